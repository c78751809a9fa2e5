//! What this host allows us, asked before anything is loaded, so that a refusal
//! is one sentence with its remedy and not an error number. `uepoll doctor`
//! prints every finding, a run stops at those it cannot do without.

use std::fs;

use uepoll_core::doctor::{Check, Section, obstacles};

/// A right that is missing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{what}; {remedy}")]
pub struct MissingRight {
    /// What cannot be done, and why.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

const CAP_DAC_READ_SEARCH: u32 = 2;
const CAP_SYS_PTRACE: u32 = 19;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_SYSLOG: u32 = 34;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// Name in /proc/self/ns of the pid namespace that the kernel starts with
/// (`PROC_PID_INIT_INO` of its include/linux/proc_ns.h).
const INITIAL_NAMESPACE: &str = "pid:[4026531836]";

/// What tracefs shows us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracefs {
    /// The tracepoints of system calls too.
    SystemCalls,
    /// Others only.
    Others,
    /// None: not mounted, or not readable for us.
    Nothing,
}

/// What is read of the host before it is judged; `None` where it is not
/// readable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Effective user.
    pub user: u32,
    /// Effective capabilities, a bit each.
    pub capabilities: u64,
    /// /sys/kernel/security/lockdown.
    pub lockdown: Option<String>,
    /// kernel.kptr_restrict.
    pub kptr_restrict: Option<u32>,
    /// kernel.perf_event_paranoid.
    pub perf_event_paranoid: Option<i32>,
    /// Name of our pid namespace.
    pub pid_namespace: Option<String>,
    /// Tracepoints.
    pub tracefs: Tracefs,
    /// The kernel takes kprobes of perf.
    pub kprobes: bool,
    /// Path of the binary that runs.
    pub binary: String,
}

impl Facts {
    /// Reads them. Nothing is changed.
    pub fn read() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let binary = std::env::current_exe().unwrap_or_else(|_| "uepoll".into());
        let namespace = fs::read_link("/proc/self/ns/pid").ok();
        Self {
            user: rustix::process::geteuid().as_raw(),
            capabilities: capabilities_in(&status),
            lockdown: fs::read_to_string("/sys/kernel/security/lockdown").ok(),
            kptr_restrict: sysctl("kptr_restrict"),
            perf_event_paranoid: sysctl("perf_event_paranoid"),
            pid_namespace: namespace.map(|name| name.to_string_lossy().into_owned()),
            tracefs: tracefs(),
            kprobes: fs::metadata("/sys/bus/event_source/devices/kprobe").is_ok(),
            binary: binary.display().to_string(),
        }
    }

    fn has(&self, capability: u32) -> bool {
        self.capabilities >> capability & 1 != 0
    }

    /// The line that gives the binary what it needs.
    fn setcap(&self) -> String {
        format!(
            "run it under sudo, or once `sudo setcap \
             cap_bpf,cap_perfmon,cap_syslog,cap_dac_read_search,cap_sys_ptrace+ep {}`",
            self.binary
        )
    }
}

/// What gives us every right that a run takes.
pub fn remedy() -> String {
    Facts::read().setcap()
}

/// Checks that programs can be loaded here at all.
///
/// # Errors
/// The first right that is missing.
pub fn check() -> Result<(), MissingRight> {
    match obstacles(&findings(&Facts::read())).into_iter().next() {
        Some(obstacle) => Err(MissingRight { what: obstacle.what, remedy: obstacle.remedy }),
        None => Ok(()),
    }
}

/// Everything that a host allows or forbids, judged.
pub fn findings(facts: &Facts) -> Vec<Check> {
    let user = match facts.user {
        0 => "root".to_owned(),
        number => format!("number {number}"),
    };
    let mut findings = vec![Check::ok(Section::Rights, "user", user)];
    findings.extend(capabilities(facts));
    findings.push(lockdown(facts.lockdown.as_deref()));
    findings.push(kptr_restrict(facts.kptr_restrict));
    findings.push(perf_event_paranoid(facts));
    findings.push(kprobes(facts.kprobes));
    findings.push(tracepoints(facts));
    findings.push(pid_namespace(facts.pid_namespace.as_deref()));
    findings
}

fn capabilities(facts: &Facts) -> Vec<Check> {
    let admin = facts.has(CAP_SYS_ADMIN);
    let section = Section::Rights;
    // CAP_SYS_ADMIN includes the first two; nothing includes the others.
    let essential = [
        ("CAP_BPF", facts.has(CAP_BPF) || admin, "no program can be loaded"),
        ("CAP_PERFMON", facts.has(CAP_PERFMON) || admin, "no program can be attached"),
        ("CAP_SYSLOG", facts.has(CAP_SYSLOG), "the kernel hides its addresses"),
    ];
    let useful = [
        (
            "CAP_SYS_PTRACE",
            facts.has(CAP_SYS_PTRACE),
            "threads that wait since before, and the high-resolution mode",
        ),
        (
            "CAP_DAC_READ_SEARCH",
            facts.has(CAP_DAC_READ_SEARCH),
            "descriptors of other users' processes; tracepoints, should fentry be refused",
        ),
    ];
    let mut checks = Vec::new();
    for (name, held, lost) in essential {
        checks.push(match held {
            true => Check::ok(section, name, ""),
            false => Check::essential(section, name, lost, facts.setcap()),
        });
    }
    for (name, held, lost) in useful {
        checks.push(match held {
            true => Check::ok(section, name, ""),
            false => Check::degraded(section, name, lost, facts.setcap()),
        });
    }
    checks.push(match admin {
        true => Check::ok(section, "CAP_SYS_ADMIN", ""),
        // bpf_enable_stats() and BPF_LINK_GET_FD_BY_ID ask for this one alone.
        false => Check::degraded(
            section,
            "CAP_SYS_ADMIN",
            "the price of each probe, and how many hits kprobes missed",
            "run it under sudo; no smaller capability shows these",
        ),
    });
    checks
}

fn lockdown(text: Option<&str>) -> Check {
    let (section, subject) = (Section::Rights, "lockdown");
    let Some(text) = text else {
        let why = "/sys/kernel/security/lockdown is not readable, or there is none";
        let remedy = "run `mount -t securityfs none /sys/kernel/security` to see it: \
                      `confidentiality` forbids every probe";
        let unknown = Check::unknown(section, subject, why);
        return Check { remedy: Some(remedy.to_owned()), ..unknown };
    };
    // "none [integrity] confidentiality": the word in brackets rules.
    let level = text.split_ascii_whitespace().find_map(|word| word.strip_prefix('['));
    let level = level.map_or("none", |word| word.trim_end_matches(']'));
    match level {
        // Kprobes, perf, tracefs and reading kernel memory from BPF are above
        // LOCKDOWN_INTEGRITY_MAX (include/linux/security.h): allowed with it.
        "none" | "integrity" => Check::ok(section, subject, level),
        level => Check::essential(
            section,
            subject,
            format!("{level} forbids kprobes, and programs to read the kernel's memory"),
            "boot with lockdown=integrity or none, or try `cargo xtask demo`",
        ),
    }
}

fn kptr_restrict(value: Option<u32>) -> Check {
    let (section, subject) = (Section::Rights, "kernel.kptr_restrict");
    match value {
        None => Check::unknown(section, subject, "/proc/sys/kernel/kptr_restrict is not readable"),
        Some(value @ (0 | 1)) => Check::ok(section, subject, value.to_string()),
        Some(value) => Check::essential(
            section,
            subject,
            format!("{value} hides the kernel's addresses from everybody"),
            "run `sudo sysctl kernel.kptr_restrict=1`",
        ),
    }
}

fn perf_event_paranoid(facts: &Facts) -> Check {
    let (section, subject) = (Section::Rights, "kernel.perf_event_paranoid");
    let Some(value) = facts.perf_event_paranoid else {
        let why = "/proc/sys/kernel/perf_event_paranoid is not readable";
        return Check::unknown(section, subject, why);
    };
    let with = facts.has(CAP_PERFMON) || facts.has(CAP_SYS_ADMIN);
    let found = match with {
        true => format!("{value}; does not bind CAP_PERFMON"),
        false => format!("{value}; whatever it is, CAP_PERFMON is needed"),
    };
    Check::ok(section, subject, found)
}

fn kprobes(there: bool) -> Check {
    let (section, subject) = (Section::Rights, "kprobes");
    match there {
        true => Check::ok(section, subject, ""),
        false => Check::degraded(
            section,
            subject,
            "functions that take no fentry, and clones (the kernel has no CONFIG_KPROBE_EVENTS)",
            "boot a kernel that has it, or try `cargo xtask demo`",
        ),
    }
}

fn tracepoints(facts: &Facts) -> Check {
    let (section, subject) = (Section::Rights, "tracefs");
    let lost = "by kprobes, what waits and epoll_ctl return; fentry needs none of it";
    match facts.tracefs {
        Tracefs::SystemCalls => Check::ok(section, subject, ""),
        Tracefs::Others => Check::degraded(
            section,
            subject,
            format!("{lost} (the kernel has no CONFIG_FTRACE_SYSCALLS)"),
            "boot a kernel that has it, or try `cargo xtask demo`",
        ),
        Tracefs::Nothing => Check::degraded(
            section,
            subject,
            format!("{lost} (not mounted, or not readable for us)"),
            "run `mount -t tracefs tracefs /sys/kernel/tracing`, and without root give the \
             binary cap_dac_read_search",
        ),
    }
}

fn pid_namespace(name: Option<&str>) -> Check {
    let (section, subject) = (Section::Rights, "pid namespace");
    match name {
        None => Check::unknown(section, subject, "/proc/self/ns/pid is not readable"),
        Some(INITIAL_NAMESPACE) => Check::ok(section, subject, "the host's"),
        Some(_) => Check::degraded(
            section,
            subject,
            "a container's: processes outside it have other numbers in reports than in /proc, \
             and their names and descriptors cannot be looked up",
            "run it in the host's pid namespace (`docker run --pid=host`, `hostPID: true`)",
        ),
    }
}

fn capabilities_in(status: &str) -> u64 {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
}

fn sysctl<T: std::str::FromStr>(name: &str) -> Option<T> {
    fs::read_to_string(format!("/proc/sys/kernel/{name}")).ok()?.trim().parse().ok()
}

/// Tracepoints are found by their number in tracefs.
fn tracefs() -> Tracefs {
    let roots = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
    let shows =
        |what: &str| roots.iter().any(|root| fs::metadata(format!("{root}/{what}")).is_ok());
    match (shows("events/syscalls"), shows("events")) {
        (true, _) => Tracefs::SystemCalls,
        (false, true) => Tracefs::Others,
        (false, false) => Tracefs::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use uepoll_core::doctor::Verdict;

    use super::*;

    fn root() -> Facts {
        Facts {
            user: 0,
            capabilities: 0x1ff_ffff_ffff,
            lockdown: Some("none [integrity] confidentiality\n".into()),
            kptr_restrict: Some(1),
            perf_event_paranoid: Some(3),
            pid_namespace: Some(INITIAL_NAMESPACE.into()),
            tracefs: Tracefs::SystemCalls,
            kprobes: true,
            binary: "/usr/bin/uepoll".into(),
        }
    }

    fn finding(facts: &Facts, subject: &str) -> Check {
        findings(facts).into_iter().find(|check| check.subject == subject).unwrap()
    }

    #[test]
    fn root_on_the_host_lacks_nothing() {
        for check in findings(&root()) {
            assert_eq!(check.verdict, Verdict::Ok, "{check:?}");
        }
    }

    #[test]
    fn the_capabilities_that_are_missing_are_named_with_one_line_for_all() {
        let nobody = Facts { user: 1000, capabilities: 0, ..root() };
        let told = obstacles(&findings(&nobody));
        assert_eq!(told.len(), 1, "{told:?}");
        for name in ["CAP_BPF", "CAP_PERFMON", "CAP_SYSLOG"] {
            assert!(told[0].what.contains(name), "{told:?}");
        }
        assert!(told[0].remedy.contains("setcap cap_bpf") && told[0].remedy.contains("sudo"));
        let two = 1 << CAP_BPF | 1 << CAP_PERFMON;
        let told = obstacles(&findings(&Facts { capabilities: two, ..root() }));
        assert!(told[0].what.starts_with("CAP_SYSLOG"), "{told:?}");
    }

    #[test]
    fn capabilities_alone_are_enough_but_for_what_root_alone_is_shown() {
        let all = [CAP_BPF, CAP_PERFMON, CAP_SYSLOG, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH];
        let capabilities = all.iter().fold(0, |all, one| all | 1 << one);
        let facts = Facts { user: 1000, capabilities, ..root() };
        assert_eq!(obstacles(&findings(&facts)), []);
        let lost: Vec<_> =
            findings(&facts).into_iter().filter(|check| check.verdict != Verdict::Ok).collect();
        assert_eq!(lost.iter().map(|check| check.subject).collect::<Vec<_>>(), ["CAP_SYS_ADMIN"]);
    }

    #[test]
    fn lockdown_is_an_obstacle_where_it_forbids_kprobes() {
        for text in ["[none] integrity confidentiality\n", "none [integrity] confidentiality", ""] {
            assert_eq!(lockdown(Some(text)).verdict, Verdict::Ok, "{text}");
        }
        assert!(lockdown(Some("none integrity [confidentiality]")).forbids());
        assert_eq!(lockdown(None).verdict, Verdict::Unknown);
    }

    #[test]
    fn hidden_addresses_name_the_sysctl() {
        let hidden = finding(&Facts { kptr_restrict: Some(2), ..root() }, "kernel.kptr_restrict");
        assert!(hidden.forbids());
        assert!(hidden.remedy.is_some_and(|line| line.contains("sysctl kernel.kptr_restrict=1")));
    }

    #[test]
    fn what_some_figures_need_is_no_obstacle() {
        let facts = Facts {
            tracefs: Tracefs::Nothing,
            kprobes: false,
            pid_namespace: Some("pid:[4026532000]".into()),
            ..root()
        };
        assert_eq!(obstacles(&findings(&facts)), []);
        for subject in ["tracefs", "kprobes", "pid namespace"] {
            let check = finding(&facts, subject);
            assert_eq!(check.verdict, Verdict::Degraded, "{check:?}");
            assert!(check.remedy.is_some(), "{check:?}");
        }
    }

    #[test]
    fn effective_capabilities_are_read_from_the_status() {
        assert_eq!(capabilities_in("CapPrm:\tff\nCapEff:\t00000000000000a1\n"), 0xa1);
        assert_eq!(capabilities_in("nothing"), 0);
    }
}
