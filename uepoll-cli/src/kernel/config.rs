//! What the running kernel was built with, where it tells: the options that
//! probes rest on.

use std::fs::{self, File};
use std::io::{self, Read};

use flate2::read::GzDecoder;
use uepoll_core::doctor::{Check, Section};

/// Options, and what is lost without each.
const NEEDED: [(&str, &str); 9] = [
    ("CONFIG_BPF_SYSCALL", "everything: no program can be loaded"),
    ("CONFIG_DEBUG_INFO_BTF", "everything: the kernel does not show its types"),
    ("CONFIG_KALLSYMS_ALL", "everything: epoll files cannot be told from others"),
    ("CONFIG_PERF_EVENTS", "the sampler, and every kprobe"),
    ("CONFIG_BPF_JIT", "fentry and fexit: kprobes are used, which cost twice as much"),
    (
        "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS",
        "fentry and fexit: kprobes are used, which cost twice as much",
    ),
    ("CONFIG_KPROBE_EVENTS", "functions that take no fentry, and clones"),
    ("CONFIG_FTRACE_SYSCALLS", "by kprobes, what waits and epoll_ctl return"),
    ("CONFIG_UPROBE_EVENTS", "the consumer's own probe: exact iterations of its spin"),
];

const REMEDY: &str = "boot a kernel built with it, or try `cargo xtask demo`";

/// Checks every option, if the kernel tells.
pub fn findings(release: &str) -> Vec<Check> {
    match read(release) {
        Ok(config) => judge(&config),
        Err(tried) => vec![Check::unknown(
            Section::Kernel,
            "configuration",
            format!("not readable ({tried})"),
        )],
    }
}

/// The configuration; the error says where it was looked for.
fn read(release: &str) -> Result<String, String> {
    let beside = format!("/boot/config-{release}");
    match unpacked("/proc/config.gz") {
        Ok(config) => Ok(config),
        Err(first) => fs::read_to_string(&beside)
            .map_err(|second| format!("/proc/config.gz: {first}; {beside}: {second}")),
    }
}

fn unpacked(path: &str) -> io::Result<String> {
    let mut config = String::new();
    GzDecoder::new(File::open(path)?).read_to_string(&mut config)?;
    Ok(config)
}

/// One check for all options that are there, and one for each that is not. None
/// forbids anything: what the kernel does counts, not what it was told.
fn judge(config: &str) -> Vec<Check> {
    let is_set = |option: &str| {
        config.lines().any(|line| line.strip_prefix(option).is_some_and(|rest| rest == "=y"))
    };
    let absent: Vec<_> = NEEDED.into_iter().filter(|(option, _)| !is_set(option)).collect();
    if absent.is_empty() {
        let found = format!("all {} options that probes rest on", NEEDED.len());
        return vec![Check::ok(Section::Kernel, "configuration", found)];
    }
    let check = |(option, lost)| Check::degraded(Section::Kernel, option, lost, REMEDY);
    absent.into_iter().map(check).collect()
}

#[cfg(test)]
mod tests {
    use uepoll_core::doctor::Verdict;

    use super::*;

    fn all() -> String {
        NEEDED.iter().map(|(option, _)| format!("{option}=y\n")).collect()
    }

    #[test]
    fn a_kernel_with_all_options_is_one_line() {
        let checks = judge(&all());
        assert_eq!(checks.len(), 1);
        assert_eq!(checks[0].verdict, Verdict::Ok);
    }

    #[test]
    fn an_option_that_is_off_or_a_prefix_of_another_is_absent() {
        let config = all().replace("CONFIG_BPF_JIT=y", "CONFIG_BPF_JIT_ALWAYS_ON=y");
        let config = config.replace("CONFIG_BPF_SYSCALL=y", "# CONFIG_BPF_SYSCALL is not set");
        let checks = judge(&config);
        let told: Vec<_> = checks.iter().map(|check| check.subject).collect();
        assert_eq!(told, ["CONFIG_BPF_SYSCALL", "CONFIG_BPF_JIT"]);
        assert!(checks.iter().all(|check| check.verdict == Verdict::Degraded && !check.forbids()));
    }
}
