//! The ring of a user-polled epoll file, mapped: header with items at offset
//! 0, index ring behind it at offset `header_length`.
//!
//! The header is compared with what was asked for once, at mapping, and never
//! believed again: lengths and counts are ours from then on.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::memory::{RingMemory, RingView};
use super::user_poll::UserPollError;
use crate::abi;

/// The mapped ring. Unmapped when dropped; it may outlive the epoll file,
/// which then writes nothing more.
#[derive(Debug)]
pub struct Mapping {
    header: Area,
    index: Area,
    items: u32,
    slots: u32,
}

impl Mapping {
    /// Maps the ring of `epoll`, made for `max_items`, readable and writable.
    ///
    /// # Errors
    /// [`UserPollError::Map`] if the kernel refuses, and
    /// [`UserPollError::Header`] if the header is not that of such a ring.
    pub fn new(epoll: BorrowedFd<'_>, max_items: u32) -> Result<Self, UserPollError> {
        let page_bytes = page_bytes()?;
        let header_bytes = abi::header_length(max_items, page_bytes);
        let index_bytes = abi::index_length(max_items, page_bytes);
        let map = |part, offset, bytes| {
            Area::map(epoll, offset, bytes).map_err(|source| UserPollError::Map {
                part,
                bytes,
                source,
            })
        };
        let mapping = Self {
            header: map("header and items", 0, header_bytes)?,
            index: map("index ring", header_bytes, index_bytes)?,
            items: max_items,
            slots: (index_bytes / size_of::<u32>()) as u32,
        };
        mapping.verify("magic", abi::OFF_MAGIC, abi::HEADER_MAGIC)?;
        mapping.verify("header_length", abi::OFF_HEADER_LENGTH, header_bytes as u32)?;
        mapping.verify("index_length", abi::OFF_INDEX_LENGTH, index_bytes as u32)?;
        mapping.verify("max_items_nr", abi::OFF_MAX_ITEMS, max_items)?;
        Ok(mapping)
    }

    fn verify(
        &self,
        field: &'static str,
        offset: usize,
        expected: u32,
    ) -> Result<(), UserPollError> {
        match self.header_word(offset).load(Ordering::Relaxed) {
            seen if seen == expected => Ok(()),
            seen => Err(UserPollError::Header { field, expected, seen }),
        }
    }

    /// The u32 at `offset` of the header, one of the `abi::OFF_*`.
    #[inline]
    fn header_word(&self, offset: usize) -> &AtomicU32 {
        debug_assert!(offset < abi::HEADER_SIZE && offset.is_multiple_of(4));
        // SAFETY: `offset` is a constant of ours within the 128-byte header,
        // which the mapping of at least one page holds; aligned to 4 since the
        // mapping is to a page. Others write it at any time: hence an atomic.
        unsafe { AtomicU32::from_ptr(self.header.start.as_ptr().add(offset).cast()) }
    }

    /// Bytes from the start of the header to `item`.
    #[inline]
    fn item_offset(&self, item: u32) -> usize {
        assert!(item < self.items, "item {item} of {}: the caller checks", self.items);
        abi::HEADER_SIZE + item as usize * abi::ITEM_SIZE
    }

    #[inline]
    fn ready_events(&self, item: u32) -> &AtomicU32 {
        let offset = self.item_offset(item) + abi::OFF_ITEM_READY_EVENTS;
        // SAFETY: `item_offset` asserts that the item is one of ours, all of
        // which `header_length` covers; items are 16 bytes apart from 128, so
        // the word is aligned. Others write it at any time: hence an atomic.
        unsafe { AtomicU32::from_ptr(self.header.start.as_ptr().add(offset).cast()) }
    }

    #[inline]
    fn data(&self, item: u32) -> &AtomicU64 {
        let offset = self.item_offset(item) + abi::OFF_ITEM_DATA;
        // SAFETY: as for `ready_events`; data is at 8 of 16, aligned to 8.
        unsafe { AtomicU64::from_ptr(self.header.start.as_ptr().add(offset).cast()) }
    }

    #[inline]
    fn slot(&self, position: u32) -> &AtomicU32 {
        let slot = (position & (self.slots - 1)) as usize;
        // SAFETY: masked to the slots that the index mapping was made for (a
        // power of two of them); u32 after u32 from a page, so aligned.
        unsafe { AtomicU32::from_ptr(self.index.start.as_ptr().cast::<u32>().add(slot)) }
    }
}

impl RingView for Mapping {
    #[inline]
    fn items(&self) -> u32 {
        self.items
    }

    #[inline]
    fn slots(&self) -> u32 {
        self.slots
    }

    #[inline]
    fn load_head(&self, order: Ordering) -> u32 {
        self.header_word(abi::OFF_HEAD).load(order)
    }

    #[inline]
    fn load_tail(&self, order: Ordering) -> u32 {
        self.header_word(abi::OFF_TAIL).load(order)
    }

    #[inline]
    fn load_slot(&self, position: u32, order: Ordering) -> u32 {
        self.slot(position).load(order)
    }

    #[inline]
    fn load_ready_events(&self, item: u32, order: Ordering) -> u32 {
        self.ready_events(item).load(order)
    }

    #[inline]
    fn load_data(&self, item: u32) -> u64 {
        self.data(item).load(Ordering::Relaxed)
    }
}

impl RingMemory for Mapping {
    #[inline]
    fn store_head(&self, value: u32, order: Ordering) {
        self.header_word(abi::OFF_HEAD).store(value, order);
    }

    #[inline]
    fn store_slot(&self, position: u32, value: u32, order: Ordering) {
        self.slot(position).store(value, order);
    }

    #[inline]
    fn exchange_ready_events(&self, item: u32, value: u32, order: Ordering) -> u32 {
        self.ready_events(item).swap(value, order)
    }
}

/// One shared mapping, unmapped when dropped.
#[derive(Debug)]
struct Area {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the area is shared memory that nothing but the kernel moves or
// unmaps before the drop, and it is only reached through atomics.
unsafe impl Send for Area {}
// SAFETY: as for Send; every access is atomic.
unsafe impl Sync for Area {}

impl Area {
    fn map(file: BorrowedFd<'_>, offset: usize, bytes: usize) -> io::Result<Self> {
        let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
        // SAFETY: a new mapping at an address of the kernel's choice: it
        // touches no memory of ours. The result is checked below.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                offset,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        match NonNull::new(start.cast()) {
            Some(start) => Ok(Self { start, bytes }),
            None => Err(io::Error::other("mapped at address 0")),
        }
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        // SAFETY: exactly what `map` mapped, once; no reference outlives self.
        // A failure could only mean wrong arguments: nothing to be done here.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

/// Bytes of a page of this machine.
pub(super) fn page_bytes() -> Result<usize, UserPollError> {
    // SAFETY: no pointer is involved.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).map_err(|_| UserPollError::PageSize)
}
