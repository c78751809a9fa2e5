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

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Pid, PidfdFlags, getpid, pidfd_open};
    use uepoll_common::consumer::UserPoll;

    /// A ring, as another process's would be had.
    fn ring(items: u32) -> (UserPoll, RingFile) {
        let ring = UserPoll::create(items).expect("the kernel has rings");
        let own: Pid = getpid();
        let process = pidfd_open(own, PidfdFlags::empty()).expect("ourselves");
        let file = RingFile::take(&process, ring.as_raw_fd()).expect("our own");
        (ring, file)
    }

    fn header_of(file: &RingFile) -> Area {
        let Ok(Mapped::Ring(area)) = file.map_header() else { panic!("it is a ring") };
        area
    }

    /// Writes over a word of the header, as its program can.
    fn scribble(ring: &UserPoll, offset: usize, value: u32) {
        // SAFETY: a new mapping at an address that the kernel chooses, of a page.
        let page = unsafe {
            let flags = ProtFlags::READ | ProtFlags::WRITE;
            mmap(std::ptr::null_mut(), page_size(), flags, MapFlags::SHARED, ring, 0)
        }
        .expect("a page");
        // SAFETY: within that page, aligned, and nobody else writes to it.
        unsafe { page.cast::<u8>().add(offset).cast::<u32>().write_volatile(value) };
        // SAFETY: mapped above, and not used after this.
        unsafe { munmap(page, page_size()) }.expect("unmapped");
    }

    #[test]
    #[ignore = "needs a kernel with the series"]
    fn lengths_are_found_with_and_without_the_kernels_word() {
        for items in [1, 8, 248, 249, 1024, abi::MAX_ITEMS] {
            let (_ring, file) = ring(items);
            let told = geometry(&file, &header_of(&file), Some(items)).expect("told");
            assert_eq!(told.header_bytes, abi::header_length(items, page_size()));
            assert_eq!(told.index_bytes, abi::index_length(items, page_size()));
            assert_eq!(geometry(&file, &header_of(&file), None).expect("found"), told);
        }
    }

    #[test]
    #[ignore = "needs a kernel with the series"]
    fn a_header_that_lies_is_not_believed() {
        let (ring, file) = ring(1024);
        let honest = geometry(&file, &header_of(&file), Some(1024)).expect("told");
        for lie in [0, 1, 65536, 65537, u32::MAX] {
            scribble(&ring, abi::OFF_MAX_ITEMS, lie);
            let found = geometry(&file, &header_of(&file), None).expect("found");
            assert_eq!(found.header_bytes, honest.header_bytes, "{lie}");
            assert_eq!(found.index_bytes, honest.index_bytes, "{lie}");
            // As many as the ring's 1024 slots.
            assert_eq!(found.capacity, Capacity::AtMost(1024), "{lie}");
        }
    }

    #[test]
    #[ignore = "needs a kernel with the series"]
    fn no_word_beyond_the_mapping_is_read() {
        let (_ring, file) = ring(8);
        let header = header_of(&file);
        assert!(header.word(page_size() - 4).is_some());
        for offset in [page_size(), page_size() - 3, usize::MAX - 3, usize::MAX] {
            assert_eq!(header.word(offset), None, "{offset}");
        }
        assert!(Area::map(&file, 0, 2 * page_size()).is_err(), "longer than the ring");
    }

    #[test]
    fn what_is_no_epoll_file_is_never_mapped() {
        let process = pidfd_open(getpid(), PidfdFlags::empty()).expect("ourselves");
        let file = tempfile::tempfile().expect("a file");
        assert_eq!(RingFile::take(&process, file.as_raw_fd()).err(), Some(Errno::BADF));
    }
}
