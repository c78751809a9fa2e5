//! What /proc tells of a process without looking into it: its name, its cgroup,
//! its numbers, who its parent is.

use std::fs;
use std::io;

/// PF_KTHREAD of the kernel: such a process has no descriptors.
const KERNEL_THREAD: u32 = 0x0020_0000;

/// Entries of a directory of /proc that are numbers, ascending.
///
/// # Errors
/// What the system says.
pub fn numbers_in<T: std::str::FromStr + Ord>(path: &str) -> io::Result<Vec<T>> {
    let mut found: Vec<T> = fs::read_dir(path)?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    found.sort_unstable();
    Ok(found)
}

/// Parent and flags of a process.
pub struct Status {
    /// Its parent; 0 for none.
    pub parent: u32,
    /// A thread of the kernel's.
    pub is_kernel_thread: bool,
}

/// What /proc/PID/stat says; `None` if it is gone.
pub fn status(pid: u32) -> Option<Status> {
    parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// `PID (COMM) STATE PPID PGRP SESSION TTY TPGID FLAGS ...`; a name may hold
/// blanks and parentheses.
fn parse_stat(stat: &[u8]) -> Option<Status> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(&stat[end + 1..]).ok()?;
    let words: Vec<&str> = rest.split_ascii_whitespace().collect();
    let flags: u32 = words.get(6)?.parse().ok()?;
    Some(Status {
        parent: words.get(1)?.parse().ok()?,
        is_kernel_thread: flags & KERNEL_THREAD != 0,
    })
}

/// Name of a process, lossily as text; empty if it is gone.
pub fn comm(pid: u32) -> String {
    let comm = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(comm.strip_suffix(b"\n").unwrap_or(&comm)).into_owned()
}

/// Its cgroup: that of the v2 hierarchy, or where it has none there systemd's.
pub fn cgroup(pid: u32) -> Option<String> {
    cgroup_in(&fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?)
}

fn cgroup_in(text: &str) -> Option<String> {
    let path_of = |hierarchy: &str| {
        text.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            (controllers == hierarchy && path != "/").then(|| path.to_owned())
        })
    };
    path_of("").or_else(|| path_of("name=systemd"))
}

/// Its number in its own pid namespace, if that is another than /proc's.
pub fn inner_pid(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let numbers = super::fdinfo::field(&status, "NSpid")?;
    let inner = numbers.split_ascii_whitespace().last()?.parse().ok()?;
    (inner != pid).then_some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_blanks_hides_nothing() {
        let status = parse_stat(b"7 (a) R 1 (x) S 3 7 7 0 -1 2129984 0 0\n").expect("whole");
        assert_eq!((status.parent, status.is_kernel_thread), (3, true));
        let status = parse_stat(b"7 (x) S 3 7 7 0 -1 4194304 0\n").expect("whole");
        assert!(!status.is_kernel_thread);
        assert!(parse_stat(b"7 (x").is_none());
    }

    #[test]
    fn the_cgroup_is_the_v2_one_or_systemds() {
        assert_eq!(cgroup_in("0::/a.slice/b.service\n").as_deref(), Some("/a.slice/b.service"));
        let hybrid = "5:memory:/m\n1:name=systemd:/a:b.scope\n0::/\n";
        assert_eq!(cgroup_in(hybrid).as_deref(), Some("/a:b.scope"));
        assert_eq!(cgroup_in("0::/\n"), None);
    }
}
