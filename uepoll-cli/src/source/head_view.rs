//! The first page of a ring's mapping, read only: its head.

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use uepoll_common::abi::{HEADER_SIZE, OFF_HEAD};

/// A mapping of a ring's header, of its first page.
pub struct HeadView {
    page: NonNull<u8>,
}

// SAFETY: the mapping belongs to the process, not to a thread, and is only read.
unsafe impl Send for HeadView {}

impl HeadView {
    /// Maps the header of a ring.
    ///
    /// # Errors
    /// What mmap says: the descriptor is no ring.
    pub fn open(ring: BorrowedFd<'_>) -> io::Result<Self> {
        // SAFETY: a new mapping at an address that the kernel chooses.
        let page = unsafe {
            mmap(std::ptr::null_mut(), HEADER_SIZE, ProtFlags::READ, MapFlags::SHARED, ring, 0)
        }?;
        let page = NonNull::new(page.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { page })
    }

    /// Head, as the program left it.
    pub fn head(&self) -> u32 {
        // SAFETY: the page is mapped as long as `self` lives; the word is within
        // it, aligned, and others change it atomically.
        let head = unsafe { AtomicU32::from_ptr(self.page.as_ptr().add(OFF_HEAD).cast()) };
        head.load(Ordering::Acquire)
    }
}

impl Drop for HeadView {
    fn drop(&mut self) {
        // SAFETY: mapped by `open` with this length, and not used after this.
        // Its failure leaves a page mapped that nobody knows of.
        let _ = unsafe { munmap(self.page.as_ptr().cast(), HEADER_SIZE) };
    }
}
