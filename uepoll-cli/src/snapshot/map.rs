//! A ring of another process, mapped to be read. Lengths are the kernel's: it
//! refuses to map more than there is, and only there where the parts begin.
//!
//! No access can raise SIGBUS. That signal comes from mappings whose file became
//! shorter, or whose pages come later and may fail to; here the file is proven to
//! be an epoll file ([`RingFile::take`]), whose mmap (ep_eventpoll_mmap) puts
//! every page in place at once (remap_vmalloc_range_partial), refuses one page
//! more than the ring has, and has no way to make a ring shorter. Pages are
//! counted by the mapping, so they outlive a close by the program.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::param::page_size;
use rustix::process::{PidfdGetfdFlags, pidfd_getfd};
use uepoll_common::abi;
use uepoll_core::list::{Capacity, Header};

/// What /proc says an epoll file is. No path reads like this: paths begin with a
/// slash, and who makes anonymous inodes is the kernel.
pub const EPOLL_FILE: &str = "anon_inode:[eventpoll]";

/// ENOTSUPP, which the series' mmap returned for ordinary epoll files up to v4;
/// no header has it.
const ENOTSUPP: i32 = 524;

/// An epoll file of another process, by a descriptor of our own. To be dropped
/// soon: it keeps the file open.
pub struct RingFile(OwnedFd);

/// What mapping an epoll file found.
pub enum Mapped {
    /// A ring: its header's page.
    Ring(Area),
    /// An ordinary epoll file.
    Ordinary,
}

impl RingFile {
    /// The epoll file behind `fd` of a process.
    ///
    /// # Errors
    /// What the system says; [`Errno::BADF`] if it is no epoll file (any more).
    pub fn take(process: &OwnedFd, fd: i32) -> Result<Self, Errno> {
        let file = pidfd_getfd(process, fd, PidfdGetfdFlags::empty())?;
        // What it is, asked of our own descriptor: that of the program may be
        // another file's since it was looked at.
        let link = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
        match link {
            Ok(link) if link.as_os_str() == EPOLL_FILE => Ok(Self(file)),
            _ => Err(Errno::BADF),
        }
    }

    /// Where its fdinfo is: by our own descriptor, so that it is this file's.
    pub fn fdinfo(&self) -> String {
        format!("/proc/self/fdinfo/{}", self.0.as_raw_fd())
    }

    /// Maps the header's first page.
    ///
    /// # Errors
    /// What the system says; that it is ordinary is no error.
    pub fn map_header(&self) -> Result<Mapped, Errno> {
        match Area::map(self, 0, page_size()) {
            Ok(area) => Ok(Mapped::Ring(area)),
            Err(Errno::OPNOTSUPP | Errno::NODEV) => Ok(Mapped::Ordinary),
            Err(errno) if errno.raw_os_error() == ENOTSUPP => Ok(Mapped::Ordinary),
            Err(errno) => Err(errno),
        }
    }
}

/// A mapped part of a ring.
pub struct Area {
    start: NonNull<u8>,
    bytes: usize,
}

impl Area {
    /// Maps `bytes` of the ring at `offset`, both whole pages.
    ///
    /// # Errors
    /// What the system says: [`Errno::NXIO`] where no part begins, or it is
    /// shorter.
    pub fn map(file: &RingFile, offset: usize, bytes: usize) -> Result<Self, Errno> {
        // SAFETY: a new mapping at an address that the kernel chooses.
        let start = unsafe {
            mmap(
                std::ptr::null_mut(),
                bytes,
                ProtFlags::READ,
                MapFlags::SHARED,
                file.0.as_fd(),
                offset as u64,
            )
        }?;
        NonNull::new(start.cast()).map(|start| Self { start, bytes }).ok_or(Errno::NOMEM)
    }

    /// The word at a byte offset; `None` where the mapping ends before it.
    pub fn word(&self, offset: usize) -> Option<u32> {
        if !offset.is_multiple_of(4) || offset.checked_add(4)? > self.bytes {
            return None;
        }
        // SAFETY: within the mapping and aligned, as was just checked; mapped as
        // long as `self` lives; others write it at any time, hence an atomic.
        let word = unsafe { AtomicU32::from_ptr(self.start.as_ptr().add(offset).cast()) };
        Some(word.load(Ordering::Acquire))
    }

    /// Head and tail, of one moment if head stood still; else false.
    pub fn head_and_tail(&self) -> (u32, u32, bool) {
        let mut seen = (0, 0, false);
        for _ in 0..super::scan::TRIES {
            let (head, tail) = (self.header(abi::OFF_HEAD), self.header(abi::OFF_TAIL));
            fence(Ordering::SeqCst);
            seen = (head, tail, self.header(abi::OFF_HEAD) == head);
            if seen.2 {
                break;
            }
        }
        seen
    }

    /// A word of the header, which every mapping at offset 0 holds.
    pub fn header(&self, offset: usize) -> u32 {
        self.word(offset).unwrap_or_default()
    }

    /// All words of the header.
    pub fn whole_header(&self) -> Header {
        Header {
            magic: self.header(abi::OFF_MAGIC),
            header_length: self.header(abi::OFF_HEADER_LENGTH),
            index_length: self.header(abi::OFF_INDEX_LENGTH),
            max_items: self.header(abi::OFF_MAX_ITEMS),
            head: self.header(abi::OFF_HEAD),
            tail: self.header(abi::OFF_TAIL),
        }
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` with this length, and not used after this.
        // Its failure leaves pages mapped that nobody knows of.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

/// The lengths of a ring, as far as the kernel maps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes of header and items.
    pub header_bytes: usize,
    /// Bytes of the index ring.
    pub index_bytes: usize,
    /// Items.
    pub capacity: Capacity,
}

/// Finds them. `told` is the number of items by fdinfo; without it the header's
/// own word is taken, if the kernel maps exactly what would be such a ring's, and
/// otherwise the length is searched for.
///
/// # Errors
/// What the system says.
pub fn geometry(file: &RingFile, header: &Area, told: Option<u32>) -> Result<Geometry, io::Error> {
    let page = page_size();
    let claimed = told.unwrap_or_else(|| header.header(abi::OFF_MAX_ITEMS));
    if (1..=abi::MAX_ITEMS).contains(&claimed) {
        let found = Geometry {
            header_bytes: abi::header_length(claimed, page),
            index_bytes: abi::index_length(claimed, page),
            capacity: Capacity::Exact(claimed),
        };
        // The index ring begins where the header ends, and nowhere else.
        let fits = |bytes| Area::map(file, found.header_bytes, bytes).is_ok();
        if fits(found.index_bytes) && !fits(found.index_bytes + page) {
            return Ok(found);
        }
    }
    // At most 257 tries, for what has been written over.
    let longest = abi::header_length(abi::MAX_ITEMS, page);
    let header_bytes = (page..=longest)
        .step_by(page)
        .find(|bytes| Area::map(file, *bytes, page).is_ok())
        .ok_or_else(|| io::Error::other("no index ring can be mapped"))?;
    let index_bytes = std::iter::successors(Some(page), |bytes| bytes.checked_mul(2))
        .take_while(|bytes| *bytes <= abi::index_length(abi::MAX_ITEMS, page))
        .take_while(|bytes| Area::map(file, header_bytes, *bytes).is_ok())
        .last()
        .unwrap_or(page);
    let by_header = (header_bytes - abi::HEADER_SIZE) / abi::ITEM_SIZE;
    let most = by_header.min(index_bytes / 4).min(abi::MAX_ITEMS as usize);
    Ok(Geometry { header_bytes, index_bytes, capacity: Capacity::AtMost(most as u32) })
}
