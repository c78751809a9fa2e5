//! The ABI of `EPOLL_USERPOLL`, protocol v2: what the kernel and a program
//! agree on. Source: the specification, "Basic structures shared with
//! userspace"; `include/uapi/linux/eventpoll.h` of the port.

/// System call number of `epoll_create2` in the port. No mainline kernel is
/// near it; the patches in `kernel/` use the same number (tested).
pub const NR_EPOLL_CREATE2: i64 = 600;

/// Flag of `epoll_create2`: make a user-polled epoll file.
pub const EPOLL_USERPOLL: u32 = 1;

/// Largest number of items that one user-polled epoll file takes.
pub const MAX_ITEMS: u32 = 65536;

/// `epoll_uheader.magic` of every version of the series.
pub const HEADER_MAGIC: u32 = 0xeb01_eb01;

/// Bytes of `epoll_uheader` before the first item.
pub const HEADER_SIZE: usize = 128;

/// Bytes of one `epoll_uitem`.
pub const ITEM_SIZE: usize = 16;

/// Byte offset of `magic` in the header (u32).
pub const OFF_MAGIC: usize = 0;
/// Byte offset of `header_length` in the header (u32, bytes of header and items).
pub const OFF_HEADER_LENGTH: usize = 4;
/// Byte offset of `index_length` in the header (u32, bytes of the index ring, a power of two).
pub const OFF_INDEX_LENGTH: usize = 8;
/// Byte offset of `max_items_nr` in the header (u32).
pub const OFF_MAX_ITEMS: usize = 12;
/// Byte offset of `head` in the header (u32, moved by the consumer).
pub const OFF_HEAD: usize = 16;
/// Byte offset of `tail` in the header (u32, moved by the kernel).
pub const OFF_TAIL: usize = 20;

/// Byte offset of `ready_events` in an item (u32).
pub const OFF_ITEM_READY_EVENTS: usize = 0;
/// Byte offset of `event.events` in an item (u32).
pub const OFF_ITEM_EVENTS: usize = 4;
/// Byte offset of `event.data` in an item (u64).
pub const OFF_ITEM_DATA: usize = 8;

/// Set by the kernel in `ready_events` of an item removed while it was ready.
/// In `ready_events` only: in poll flags the same bit is `EPOLL_URING_WAKE`.
pub const EPOLLREMOVED: u32 = 1 << 27;

/// Bytes of header plus items for `max_items`, as the kernel rounds them.
pub const fn header_length(max_items: u32, page_size: usize) -> usize {
    (HEADER_SIZE + max_items as usize * ITEM_SIZE).next_multiple_of(page_size)
}

/// Bytes of the index ring for `max_items`, as the kernel rounds them.
pub const fn index_length(max_items: u32, page_size: usize) -> usize {
    let wanted = (max_items as usize * 4).next_power_of_two();
    if wanted < page_size { page_size } else { wanted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_the_specification() {
        for n in [1, 8, 247, 248] {
            assert_eq!((header_length(n, 4096), index_length(n, 4096)), (4096, 4096));
        }
        assert_eq!(header_length(249, 4096), 8192);
        assert_eq!((header_length(1024, 4096), index_length(1024, 4096)), (20480, 4096));
        assert_eq!(
            (header_length(MAX_ITEMS, 4096), index_length(MAX_ITEMS, 4096)),
            (1_052_672, 262_144)
        );
    }
}
