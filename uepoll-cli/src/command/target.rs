//! The process that `-p` or `-r` names: that it exists, its number in the initial
//! pid namespace (the one that the kernel side knows), what its descriptors are,
//! and when it ends. Which rings are chosen by it is `select`'s.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use uepoll_core::render::escaped;

use crate::kernel::rights;
use crate::output;

/// Inode of the initial pid namespace: `PROC_PID_INIT_INO` of the kernel, the
/// same since namespaces have inodes.
const INITIAL_NAMESPACE: &str = "pid:[4026531836]";

/// What /proc says a descriptor of an epoll file is.
const EPOLL_FILE: &str = "anon_inode:[eventpoll]";

/// Epoll files of a process that a message names.
const MOST_NAMED: usize = 8;

/// Columns that a message gives to what a descriptor is: paths may be long.
const FILE_COLUMNS: usize = 60;

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
    /// A thread that is not there.
    #[error("there is no thread {0}: `ls /proc/PID/task` lists those of a process")]
    NoSuchThread(u32),
    /// A descriptor that is not there.
    #[error("process {pid} has no descriptor {fd}: {}", epoll_files_of(.epoll_files))]
    NoSuchDescriptor {
        /// The process.
        pid: u32,
        /// The number.
        fd: i32,
        /// What would have been right.
        epoll_files: Vec<i32>,
    },
    /// A descriptor of something else.
    #[error(
        "descriptor {fd} of process {pid} is {what}, not an epoll file: {}",
        epoll_files_of(.epoll_files)
    )]
    NotAnEpollFile {
        /// The process.
        pid: u32,
        /// The descriptor.
        fd: i32,
        /// What it is, escaped.
        what: String,
        /// What would have been right.
        epoll_files: Vec<i32>,
    },
    /// Its descriptors may not be looked at.
    #[error("the system does not let us look at the descriptors of process {pid}: {remedy}")]
    DescriptorsHidden {
        /// The process.
        pid: u32,
        /// What would let us.
        remedy: String,
    },
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

    /// Checks that its descriptor `fd` is an epoll file. Whether a ring is mapped
    /// to it, the kernel side finds out.
    ///
    /// # Errors
    /// What it is instead, and which descriptors are epoll files.
    pub fn check_epoll_file(&self, fd: i32) -> Result<(), TargetError> {
        let pid = self.pid;
        let folder = format!("/proc/{}/fd", self.host_pid);
        let explain = |error: io::Error| match error.kind() {
            io::ErrorKind::PermissionDenied => {
                TargetError::DescriptorsHidden { pid, remedy: rights::remedy() }
            }
            _ => TargetError::System { pid, what: "reading its /proc/PID/fd", source: error },
        };
        match fs::read_link(format!("{folder}/{fd}")) {
            Ok(link) if link.as_os_str() == EPOLL_FILE => Ok(()),
            Ok(link) => Err(TargetError::NotAnEpollFile {
                pid,
                fd,
                what: escaped(&link.to_string_lossy(), output::charset(), FILE_COLUMNS),
                epoll_files: epoll_files_in(&folder).map_err(explain)?,
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let epoll_files = epoll_files_in(&folder).map_err(explain)?;
                Err(TargetError::NoSuchDescriptor { pid, fd, epoll_files })
            }
            Err(error) => Err(explain(error)),
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        // An error (a signal came) says nothing: the next call will tell.
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
    }
}

/// The descriptors in a `/proc/PID/fd` that are epoll files, ascending.
fn epoll_files_in(folder: &str) -> io::Result<Vec<i32>> {
    let mut found = Vec::new();
    for fd in numbers_in::<i32>(folder)? {
        match fs::read_link(format!("{folder}/{fd}")) {
            Ok(link) if link.as_os_str() == EPOLL_FILE => found.push(fd),
            Ok(_) => {}
            // Closed since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// What to do next, for somebody who named a wrong descriptor.
fn epoll_files_of(fds: &[i32]) -> String {
    if fds.is_empty() {
        return "it has no epoll file; `uepoll profile` without -r finds every ring of the host"
            .into();
    }
    let named: Vec<String> = fds.iter().take(MOST_NAMED).map(i32::to_string).collect();
    let more = if fds.len() > MOST_NAMED { ", ..." } else { "" };
    format!("its epoll files are {}{more}", named.join(", "))
}

/// Number in the initial pid namespace of the process that the caller calls
/// `pid`.
pub fn host_pid_of(pid: u32) -> Result<u32, TargetError> {
    if in_initial_namespace() {
        return Ok(pid);
    }
    number_on_host(pid, &processes().map_err(|_| TargetError::ForeignNamespace(pid))?)
}

/// Number in the initial pid namespace of the thread that the caller calls
/// `tid`, of whatever process.
pub fn host_tid_of(tid: u32) -> Result<u32, TargetError> {
    if in_initial_namespace() {
        // There for every thread, though only processes are listed in /proc.
        let there = fs::metadata(format!("/proc/{tid}/status")).is_ok();
        return there.then_some(tid).ok_or(TargetError::NoSuchThread(tid));
    }
    let foreign = |_| TargetError::ForeignNamespace(tid);
    let mut threads = Vec::new();
    for pid in processes().map_err(foreign)? {
        // One that ends meanwhile has no threads any more.
        threads.extend(numbers_in::<u32>(&format!("/proc/{pid}/task")).unwrap_or_default());
    }
    number_on_host(tid, &threads)
}

/// Every process, numbered as in the initial pid namespace.
///
/// # Errors
/// [`TargetError::ForeignNamespace`] of our own process if /proc shows other
/// numbers, [`TargetError::System`] if it cannot be read.
pub fn host_processes() -> Result<Vec<u32>, TargetError> {
    let pid = std::process::id();
    if !in_initial_namespace() && !proc_is_the_hosts() {
        return Err(TargetError::ForeignNamespace(pid));
    }
    processes().map_err(|source| TargetError::System { pid, what: "listing /proc", source })
}

/// Whether we are in the initial pid namespace.
pub fn in_initial_namespace() -> bool {
    is_initial("/proc/self/ns/pid")
}

/// Whether /proc is that of the initial pid namespace: a container may have it
/// mounted in without being there itself.
fn proc_is_the_hosts() -> bool {
    is_initial("/proc/1/ns/pid")
}

fn is_initial(path: &str) -> bool {
    fs::read_link(path).is_ok_and(|name| name.as_os_str() == INITIAL_NAMESPACE)
}

/// Every process that /proc lists.
fn processes() -> io::Result<Vec<u32>> {
    numbers_in("/proc")
}

/// The entries of a directory that are numbers.
fn numbers_in<T: std::str::FromStr>(path: &str) -> io::Result<Vec<T>> {
    let entries = fs::read_dir(path)?;
    Ok(entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect())
}

/// Which of `candidates`, processes or threads as the host numbers them, the
/// caller calls `number`, from within another pid namespace.
fn number_on_host(number: u32, candidates: &[u32]) -> Result<u32, TargetError> {
    let foreign = || TargetError::ForeignNamespace(number);
    if !proc_is_the_hosts() {
        return Err(foreign());
    }
    let own = fs::read_to_string("/proc/self/status").map_err(|_| foreign())?;
    let level = numbers_of(&own).len().checked_sub(1).ok_or_else(foreign)?;
    let namespace = |path: &str| fs::read_link(path).ok();
    let own_namespace = namespace("/proc/self/ns/pid");
    candidates
        .iter()
        .copied()
        .find(|host_number| {
            // A process of a namespace inside ours has our number at our level
            // too; one of a sibling namespace has another namespace there, and
            // is told apart by being invisible to pidfd_open from here.
            let numbers = fs::read_to_string(format!("/proc/{host_number}/status"));
            let numbers = numbers.map(|status| numbers_of(&status)).unwrap_or_default();
            numbers.get(level) == Some(&number)
                && (numbers.len() > level + 1
                    || namespace(&format!("/proc/{host_number}/ns/pid")) == own_namespace)
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
    use std::os::fd::AsRawFd;

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
    fn a_descriptor_that_is_no_epoll_file_is_named_beside_those_that_are() {
        let Ok(target) = Target::open(std::process::id()) else { return };
        let file = tempfile::NamedTempFile::new().expect("a file");
        let epoll = rustix::event::epoll::create(rustix::event::epoll::CreateFlags::CLOEXEC);
        let epoll = epoll.expect("an epoll file");
        assert!(target.check_epoll_file(epoll.as_raw_fd()).is_ok());
        let text = target.check_epoll_file(file.as_file().as_raw_fd()).expect_err("a file");
        let text = text.to_string();
        assert!(text.contains(&file.path().display().to_string()), "{text}");
        assert!(text.contains("its epoll files are "), "{text}");
        let missing = target.check_epoll_file(i32::MAX).expect_err("nobody has so many");
        assert!(matches!(missing, TargetError::NoSuchDescriptor { .. }), "{missing}");
    }

    #[test]
    fn who_has_no_epoll_file_is_told_how_to_find_rings() {
        assert!(epoll_files_of(&[]).contains("`uepoll profile`"));
        assert_eq!(epoll_files_of(&[3, 9]), "its epoll files are 3, 9");
        let many: Vec<i32> = (3..20).collect();
        assert!(epoll_files_of(&many).ends_with("10, ..."));
    }

    #[test]
    fn this_thread_exists_and_another_does_not() {
        let tid = rustix::thread::gettid().as_raw_nonzero().get() as u32;
        match host_tid_of(tid) {
            Ok(_) => assert!(matches!(host_tid_of(1 << 23), Err(TargetError::NoSuchThread(_)))),
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
