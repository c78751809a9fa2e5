//! One ring, looked into: its header, its live slots, its items, and which file
//! each item is for. What was read came from memory that the program writes:
//! nothing of it is followed further than the kernel's own lengths go.

use super::{Hidden, Ring};
use crate::capture::Protocol;

/// One ring and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail {
    /// The kernel.
    pub release: String,
    /// Its protocol; `None` if its types cannot be read.
    pub protocol: Option<Protocol>,
    /// The ring.
    pub ring: Ring,
    /// Its memory, or why that cannot be had.
    pub memory: Result<Memory, String>,
    /// What it watches, as the kernel tells it, in the kernel's order.
    pub targets: Vec<Target>,
    /// What could not be looked into.
    pub hidden: Hidden,
    /// What else has to be said.
    pub notes: Vec<String>,
}

/// A ring's memory at one moment, or nearly so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The header's words.
    pub header: Header,
    /// Bytes of header and items, by the kernel's word.
    pub header_bytes: usize,
    /// Bytes of the index ring, by the kernel's word.
    pub index_bytes: usize,
    /// Slots from head to tail.
    pub slots: Vec<Slot>,
    /// Items that are or were in use, in their order.
    pub items: Vec<Item>,
    /// Head moved in each try while slots and items were read.
    pub moving: bool,
}

/// The header, as it is in the program's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// `magic`.
    pub magic: u32,
    /// `header_length`, bytes.
    pub header_length: u32,
    /// `index_length`, bytes.
    pub index_length: u32,
    /// `max_items_nr`.
    pub max_items: u32,
    /// `head`.
    pub head: u32,
    /// `tail`.
    pub tail: u32,
}

/// A slot of the index ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its position.
    pub position: u32,
    /// What is in it.
    pub content: SlotContent,
}

/// What a slot says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotContent {
    /// The number of an item.
    Item(u32),
    /// Nothing: not written yet, or taken and head not yet moved.
    Empty,
    /// A number that no item has.
    OutOfRange(u32),
}

impl SlotContent {
    /// What the word of a slot says, by protocol: v2 keeps an item's number plus
    /// one, v4 the number.
    pub fn of(word: u32, protocol: Protocol, items: u32) -> Self {
        let item = match (protocol, word) {
            (Protocol::V2, 0) => return Self::Empty,
            (Protocol::V2, word) => word - 1,
            (Protocol::V4, word) => word,
        };
        if item < items { Self::Item(item) } else { Self::OutOfRange(word) }
    }
}

/// The positions from head to tail; none if they are farther apart than there
/// are slots: then one of them is no position.
pub fn live_slots(head: u32, tail: u32, slots: u32) -> impl Iterator<Item = u32> {
    let depth = tail.wrapping_sub(head);
    let depth = if depth > slots { 0 } else { depth };
    (0..depth).map(move |step| head.wrapping_add(step))
}

/// An item that is or was in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its number: the bit.
    pub number: u32,
    /// What it asks for.
    pub events: u32,
    /// What it has.
    pub ready_events: u32,
    /// What the program gave to `epoll_ctl`.
    pub data: u64,
    /// Its oldest slot.
    pub position: Option<u32>,
    /// What it is for.
    pub known: Known,
}

/// What is known of an item's target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// This one of the targets.
    Target(usize),
    /// It could be several, or the kernel tells none with its data.
    Unknown,
    /// None: every target has another item, so this one is free.
    Free,
}

/// What a ring watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The descriptor by which it was added.
    pub fd: i32,
    /// What was asked for.
    pub events: u32,
    /// What the program gave to `epoll_ctl`.
    pub data: u64,
    /// What the file is.
    pub what: What,
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// This: a word for its kind, and a description that may be empty.
    File {
        /// `eventfd`, `tcp`, `pipe`.
        kind: String,
        /// Counts, addresses, a path: unescaped.
        description: String,
    },
    /// That descriptor is another file now, or closed; the ring has the first.
    Replaced,
    /// Not to be had.
    Unknown,
}

/// Finds out which target each item is for: the one with the same data, where
/// one item and one target alone have it. Where each target has its item, the
/// others are free.
pub fn match_targets(items: &mut [Item], targets: &[Target]) {
    let mut matched = 0;
    for at in 0..items.len() {
        let data = items[at].data;
        let mut of_targets = (0..targets.len()).filter(|target| targets[*target].data == data);
        let (Some(target), None) = (of_targets.next(), of_targets.next()) else { continue };
        if items.iter().filter(|item| item.data == data).count() == 1 {
            items[at].known = Known::Target(target);
            matched += 1;
        }
    }
    if matched == targets.len() {
        for item in items.iter_mut().filter(|item| item.known == Known::Unknown) {
            item.known = Known::Free;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(number: u32, data: u64) -> Item {
        Item { number, events: 1, ready_events: 0, data, position: None, known: Known::Unknown }
    }

    fn target(fd: i32, data: u64) -> Target {
        Target { fd, events: 1, data, what: What::Unknown }
    }

    fn known(items: &[(u32, u64)], targets: &[Target]) -> Vec<Known> {
        let mut items: Vec<Item> = items.iter().map(|(n, data)| item(*n, *data)).collect();
        match_targets(&mut items, targets);
        items.into_iter().map(|item| item.known).collect()
    }

    #[test]
    fn an_item_is_for_the_target_that_alone_has_its_data() {
        let targets = [target(9, 20), target(5, 10)];
        assert_eq!(known(&[(0, 10), (1, 20)], &targets), [Known::Target(1), Known::Target(0)]);
    }

    #[test]
    fn where_several_have_the_same_data_nothing_is_guessed() {
        let twice = [target(5, 7), target(9, 7)];
        assert_eq!(known(&[(0, 7), (1, 7)], &twice), [Known::Unknown; 2]);
        // Removed and added again under another number: which is it now?
        assert_eq!(known(&[(0, 7), (1, 7)], &twice[..1]), [Known::Unknown; 2]);
        assert_eq!(known(&[(0, 8)], &twice[..1]), [Known::Unknown]);
    }

    #[test]
    fn an_item_is_free_once_each_target_has_another() {
        let targets = [target(5, 7)];
        assert_eq!(known(&[(0, 7), (1, 8)], &targets), [Known::Target(0), Known::Free]);
        assert_eq!(known(&[(0, 7)], &[]), [Known::Free]);
    }

    #[test]
    fn a_slot_is_read_by_its_protocol_and_never_beyond_the_items() {
        use SlotContent::{Empty, Item, OutOfRange};
        let of = SlotContent::of;
        assert_eq!(
            [0, 1, 8, 9].map(|word| of(word, Protocol::V2, 8)),
            [Empty, Item(0), Item(7), OutOfRange(9)]
        );
        assert_eq!(of(u32::MAX, Protocol::V2, 8), OutOfRange(u32::MAX));
        assert_eq!([0, 8].map(|word| of(word, Protocol::V4, 8)), [Item(0), OutOfRange(8)]);
    }

    #[test]
    fn live_slots_go_across_the_wrap_and_are_none_for_a_forged_head() {
        let positions: Vec<u32> = live_slots(u32::MAX, 2, 1024).collect();
        assert_eq!(positions, [u32::MAX, 0, 1]);
        assert_eq!(live_slots(5, 4, 1024).count(), 0);
        assert_eq!(live_slots(5, 5, 1024).count(), 0);
        assert_eq!(live_slots(0, 1024, 1024).count(), 1024);
    }
}
