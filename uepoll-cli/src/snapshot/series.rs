//! Whether the kernel carries the series, and which protocol: found out without
//! any right.

use std::fs;

use rustix::event::epoll;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap};
use rustix::param::page_size;
use uepoll_common::consumer::UserPoll;
use uepoll_core::capture::Protocol;

use crate::kernel::btf::{self, Btf};

/// Whether this kernel can map epoll files at all: without the series mmap says
/// ENODEV, as of any file that has no such method.
pub fn is_present() -> bool {
    let Ok(epoll) = epoll::create(epoll::CreateFlags::CLOEXEC) else { return false };
    // SAFETY: a new mapping at an address that the kernel chooses; of an ordinary
    // epoll file, so that there is none to be undone.
    let mapped = unsafe {
        mmap(std::ptr::null_mut(), page_size(), ProtFlags::READ, MapFlags::SHARED, &epoll, 0)
    };
    !matches!(mapped, Err(Errno::NODEV))
}

/// Whether the kernel shows rings in fdinfo, as our port does: a ring of our own
/// is asked, made for a moment.
pub fn is_shown_in_fdinfo() -> bool {
    use std::os::fd::AsRawFd;
    UserPoll::create(1).is_ok_and(|ring| {
        matches!(
            super::fdinfo::ring_facts(&format!("/proc/self/fdinfo/{}", ring.as_raw_fd())),
            Ok(Some(_))
        )
    })
}

/// Which protocol, by the kernel's types; `None` if they cannot be read.
pub fn protocol() -> Option<Protocol> {
    let types = Btf::parse(fs::read(btf::PATH).ok()?).ok()?;
    types.offset("eventpoll", "user_header")?;
    let v4 = types.offset("eventpoll", "shadow_cnt").is_some();
    Some(if v4 { Protocol::V4 } else { Protocol::V2 })
}
