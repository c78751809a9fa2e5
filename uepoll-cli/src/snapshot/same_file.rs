//! Whether two descriptors are one open file: kcmp(2). Anonymous inodes share one
//! inode number, so nothing else tells.

use std::cmp::Ordering;
use std::io;

/// KCMP_FILE and KCMP_EPOLL_TFD of `<linux/kcmp.h>`.
const KCMP_FILE: libc::c_int = 0;
const KCMP_EPOLL_TFD: libc::c_int = 7;

/// `struct kcmp_epoll_slot`.
#[repr(C)]
struct EpollSlot {
    epoll_fd: u32,
    target_fd: u32,
    /// Which of several items that were added by the same number.
    nth: u32,
}

/// The order of the files behind two descriptors of two processes, which the
/// kernel keeps as long as it runs; equal for one and the same.
///
/// # Errors
/// What the system says: ESRCH and EBADF for what is gone, EPERM, ENOSYS.
pub fn order(a: (u32, i32), b: (u32, i32)) -> io::Result<Ordering> {
    let argument = |fd: i32| libc::c_ulong::from(fd.cast_unsigned());
    kcmp(a.0, b.0, KCMP_FILE, argument(a.1), argument(b.1))
}

/// Whether descriptor `target_fd` of the process is the file that its epoll file
/// `epoll_fd` watches by this number, as the `nth` of those it watches by it: a
/// number is given out again while a file lives on by another.
///
/// # Errors
/// As [`order`]; ENOENT if it watches none by that number.
pub fn is_target(pid: u32, epoll_fd: i32, target_fd: i32, nth: u32) -> io::Result<bool> {
    let (epoll_fd, target_fd) = (epoll_fd.cast_unsigned(), target_fd.cast_unsigned());
    let slot = EpollSlot { epoll_fd, target_fd, nth };
    let slot = (&raw const slot).expose_provenance() as libc::c_ulong;
    let file = libc::c_ulong::from(target_fd);
    kcmp(pid, pid, KCMP_EPOLL_TFD, file, slot).map(|order| order == Ordering::Equal)
}

fn kcmp(
    a: u32,
    b: u32,
    kind: libc::c_int,
    first: libc::c_ulong,
    second: libc::c_ulong,
) -> io::Result<Ordering> {
    let pid = |pid: u32| pid.cast_signed();
    // SAFETY: kcmp reads no memory but, for KCMP_EPOLL_TFD, the slot that
    // `second` points to, which `is_target` keeps for the length of the call.
    match unsafe { libc::syscall(libc::SYS_kcmp, pid(a), pid(b), kind, first, second) } {
        0 => Ok(Ordering::Equal),
        1 => Ok(Ordering::Less),
        2 => Ok(Ordering::Greater),
        -1 => Err(io::Error::last_os_error()),
        // "Not equal, and no order can be told": nothing that KCMP_FILE says.
        _ => Err(io::Error::other("kcmp told no order")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::{AsFd, AsRawFd};

    #[test]
    fn a_duplicate_is_the_same_file_and_another_is_not() {
        let make = || rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).expect("one");
        let (one, other) = (make(), make());
        let again = one.as_fd().try_clone_to_owned().expect("a duplicate");
        let pid = std::process::id();
        let compare = |b: i32| match order((pid, one.as_raw_fd()), (pid, b)) {
            Ok(order) => Some(order),
            // Not every kernel has it, nor every container lets us.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => None,
            Err(error) => panic!("{error}"),
        };
        assert!(compare(again.as_raw_fd()).is_none_or(Ordering::is_eq));
        assert!(compare(other.as_raw_fd()).is_none_or(Ordering::is_ne));
    }
}
