//! The process that `-p` names: that it exists, its number in the initial pid
//! namespace (the one that the kernel side knows), and when it ends.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Inode of the initial pid namespace: `PROC_PID_INIT_INO` of the kernel, the
/// same since namespaces have inodes.
const INITIAL_NAMESPACE: &str = "pid:[4026531836]";

/// Why a process cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// It is not there.
    #[error("there is no process {0}: `pgrep NAME` finds the number of a running one")]
    NoSuchProcess(u32),
    /// A thread's number instead of its process's.
    #[error(
        "{0} is a thread, not a process: give the number of its process (Tgid in /proc/{0}/status)"
    )]
    IsThread(u32),
    /// Its number in the initial namespace cannot be found from here.
    #[error(
        "process {0} cannot be told to the kernel: uepoll runs in a pid namespace of its own and \
         does not see the host's; start its container with the host's (docker run --pid=host)"
    )]
    ForeignNamespace(u32),
    /// The system refused.
    #[error("process {pid} cannot be watched: {what} failed")]
    System {
        /// The process.
        pid: u32,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// A process to be watched.
#[derive(Debug)]
pub struct Target {
    /// Its number in the caller's namespace.
    pub pid: u32,
    /// Its number in the initial one.
    pub host_pid: u32,
    /// Its number in its own, where that is another.
    pub inner_pid: Option<u32>,
    pidfd: OwnedFd,
}

impl Target {
    /// The process that the caller calls `pid`.
    pub fn open(pid: u32) -> Result<Self, TargetError> {
        let system = |what| move |source: io::Error| TargetError::System { pid, what, source };
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let raw = raw.ok_or(TargetError::NoSuchProcess(pid))?;
        // Held from here on, so that no other process is taken for this one.
        let pidfd = pidfd_open(raw, PidfdFlags::empty()).map_err(|errno| match errno {
            Errno::SRCH => TargetError::NoSuchProcess(pid),
            // Newer kernels say ENOENT for a thread that leads no process.
            Errno::INVAL | Errno::NOENT => TargetError::IsThread(pid),
            errno => system("pidfd_open")(errno.into()),
        })?;
        let host_pid = host_pid_of(pid)?;
        let numbers = fs::read_to_string(format!("/proc/{host_pid}/status"))
            .or_else(|_| fs::read_to_string(format!("/proc/{pid}/status")))
            .map_err(system("reading its /proc/PID/status"))?;
        let inner_pid = numbers_of(&numbers).last().copied().filter(|inner| *inner != host_pid);
        Ok(Self { pid, host_pid, inner_pid, pidfd })
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        // An error (a signal came) says nothing: the next call will tell.
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
    }
}

/// Number in the initial pid namespace of the process that the caller calls
/// `pid`.
pub fn host_pid_of(pid: u32) -> Result<u32, TargetError> {
    let namespace = |path: &str| fs::read_link(path).ok();
    if namespace("/proc/self/ns/pid").is_some_and(|name| name.as_os_str() == INITIAL_NAMESPACE) {
        return Ok(pid);
    }
    // Not in the initial namespace, but /proc may be the host's, mounted in.
    let foreign = || TargetError::ForeignNamespace(pid);
    if namespace("/proc/1/ns/pid").is_none_or(|name| name.as_os_str() != INITIAL_NAMESPACE) {
        return Err(foreign());
    }
    let own = fs::read_to_string("/proc/self/status").map_err(|_| foreign())?;
    let level = numbers_of(&own).len().checked_sub(1).ok_or_else(foreign)?;
    let own_namespace = namespace("/proc/self/ns/pid");
    let entries = fs::read_dir("/proc").map_err(|_| foreign())?;
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .find(|host_pid| {
            // A process of a namespace inside ours has our number at our level
            // too; one of a sibling namespace has another namespace there, and
            // is told apart by being invisible to pidfd_open from here.
            let numbers = fs::read_to_string(format!("/proc/{host_pid}/status"));
            let numbers = numbers.map(|status| numbers_of(&status)).unwrap_or_default();
            numbers.get(level) == Some(&pid)
                && (numbers.len() > level + 1
                    || namespace(&format!("/proc/{host_pid}/ns/pid")) == own_namespace)
        })
        .ok_or_else(foreign)
}

/// The process numbers of a `/proc/PID/status`, from the namespace of /proc
/// inwards (`NSpid`).
fn numbers_of(status: &str) -> Vec<u32> {
    status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))
        .map(|numbers| numbers.split_whitespace().filter_map(|n| n.parse().ok()).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_from_the_host_inwards() {
        let status = "Name:\tx\nPid:\t4242\nNSpid:\t4242\t17\t1\nNSsid:\t9\n";
        assert_eq!(numbers_of(status), [4242, 17, 1]);
        assert!(numbers_of("Name:\tNSpid: 3\n").is_empty());
    }

    #[test]
    fn this_process_exists_and_has_not_ended() {
        let target = Target::open(std::process::id());
        match target {
            Ok(target) => assert!(!target.has_ended()),
            Err(error) => assert!(matches!(error, TargetError::ForeignNamespace(_)), "{error}"),
        }
    }

    #[test]
    fn a_process_that_is_not_there_is_said_to_be_missing() {
        // Above PID_MAX_LIMIT (2^22), so never given out.
        for pid in [1 << 23, u32::MAX] {
            assert!(matches!(Target::open(pid), Err(TargetError::NoSuchProcess(_))));
        }
    }
}
