//! What this host allows us, asked before anything is loaded, so that a refusal
//! is one sentence with its remedy and not an error number.

use std::fs;
use std::path::Path;

/// A right that is missing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{what}; {remedy}")]
pub struct MissingRight {
    /// What cannot be done, and why.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

const CAP_SYS_ADMIN: u32 = 21;
const CAP_SYSLOG: u32 = 34;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// The line that gives the binary what it needs.
fn setcap() -> String {
    let binary = std::env::current_exe().unwrap_or_else(|_| "uepoll".into());
    format!(
        "run it under sudo, or once `sudo setcap \
         cap_bpf,cap_perfmon,cap_syslog,cap_dac_read_search,cap_sys_ptrace+ep {}`",
        binary.display()
    )
}

/// Checks that programs can be loaded and attached here.
///
/// # Errors
/// The first right that is missing.
pub fn check() -> Result<(), MissingRight> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    capabilities(&status)?;
    let lockdown = fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    lockdown_allows(&lockdown)?;
    if !Path::new("/sys/bus/event_source/devices/kprobe").exists() {
        return Err(MissingRight {
            what: "this kernel has no kprobes (CONFIG_KPROBE_EVENTS)".into(),
            remedy: "boot one that has, or try `cargo xtask demo`".into(),
        });
    }
    tracefs()
}

fn capabilities(status: &str) -> Result<(), MissingRight> {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    let effective = effective.unwrap_or(0);
    let has = |capability: u32| effective >> capability & 1 != 0;
    // CAP_SYS_ADMIN includes the first two; nothing includes CAP_SYSLOG.
    let missing: Vec<_> = [
        ("CAP_BPF", has(CAP_BPF) || has(CAP_SYS_ADMIN)),
        ("CAP_PERFMON", has(CAP_PERFMON) || has(CAP_SYS_ADMIN)),
        ("CAP_SYSLOG", has(CAP_SYSLOG)),
    ]
    .into_iter()
    .filter_map(|(name, there)| (!there).then_some(name))
    .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(MissingRight {
        what: format!("cannot load probes without {}", missing.join(" and ")),
        remedy: setcap(),
    })
}

fn lockdown_allows(text: &str) -> Result<(), MissingRight> {
    // "none [integrity] confidentiality": the word in brackets rules.
    let level = text.split_ascii_whitespace().find_map(|word| word.strip_prefix('['));
    let level = level.map(|word| word.trim_end_matches(']'));
    match level {
        // Kprobes, perf, tracefs and reading kernel memory from BPF are above
        // LOCKDOWN_INTEGRITY_MAX (include/linux/security.h): allowed with it.
        None | Some("none" | "integrity") => Ok(()),
        Some(level) => Err(MissingRight {
            what: format!(
                "the kernel is locked down ({level} in /sys/kernel/security/lockdown), \
                 which forbids kprobes"
            ),
            remedy: "boot with lockdown=integrity or none, or try `cargo xtask demo`".into(),
        }),
    }
}

/// Tracepoints are found by their number in tracefs.
fn tracefs() -> Result<(), MissingRight> {
    let roots = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
    if roots.iter().any(|root| fs::metadata(format!("{root}/events/syscalls")).is_ok()) {
        return Ok(());
    }
    if roots.iter().any(|root| fs::metadata(format!("{root}/events")).is_ok()) {
        return Err(MissingRight {
            what: "this kernel has no tracepoints of system calls (CONFIG_FTRACE_SYSCALLS)".into(),
            remedy: "boot one that has, or try `cargo xtask demo`".into(),
        });
    }
    Err(MissingRight {
        what: "tracefs is not mounted, or not readable for us".into(),
        remedy: "run `mount -t tracefs tracefs /sys/kernel/tracing`, and without root give \
                 the binary cap_dac_read_search"
            .into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capability_that_is_missing_is_named() {
        assert_eq!(capabilities("CapEff:\t000001ffffffffff\n"), Ok(()));
        let text = capabilities("CapEff:\t0000000000000000\n").unwrap_err().to_string();
        assert!(text.contains("CAP_BPF and CAP_PERFMON and CAP_SYSLOG"), "{text}");
        let bpf_and_perfmon = 1u64 << CAP_BPF | 1 << CAP_PERFMON;
        let text = capabilities(&format!("CapEff:\t{bpf_and_perfmon:016x}\n"));
        assert!(text.unwrap_err().what.ends_with("without CAP_SYSLOG"));
    }

    #[test]
    fn lockdown_is_refused_where_it_forbids_kprobes() {
        for text in ["[none] integrity confidentiality\n", "none [integrity] confidentiality", ""] {
            assert_eq!(lockdown_allows(text), Ok(()), "{text}");
        }
        assert!(lockdown_allows("none integrity [confidentiality]").is_err());
    }
}
