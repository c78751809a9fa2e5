//! The consumer's loop over a ring whose every word is hostile, and may be
//! another one at the next look: it must end, stay within the ring, and keep
//! its own head.

#![no_main]

use std::cell::RefCell;
use std::sync::atomic::Ordering;

use libfuzzer_sys::fuzz_target;
use uepoll_common::abi;
use uepoll_common::consumer::{Consumer, RingMemory, RingView, Stop};

/// A ring that answers each load with the next word of the input.
struct Hostile<'a> {
    words: RefCell<std::slice::ChunksExact<'a, u8>>,
    items: u32,
    loads: RefCell<u64>,
}

impl Hostile<'_> {
    fn next(&self) -> u32 {
        *self.loads.borrow_mut() += 1;
        let word = self.words.borrow_mut().next();
        // Small numbers are likelier to pass for an item's.
        word.map_or(1, |bytes| match u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) {
            word if bytes[3] < 128 => word % (self.items + 2),
            word => word,
        })
    }
}

impl RingView for Hostile<'_> {
    fn items(&self) -> u32 {
        self.items
    }

    fn slots(&self) -> u32 {
        (abi::index_length(self.items, 4096) / size_of::<u32>()) as u32
    }

    fn load_head(&self, _: Ordering) -> u32 {
        self.next()
    }

    fn load_tail(&self, _: Ordering) -> u32 {
        self.next()
    }

    fn load_slot(&self, _: u32, _: Ordering) -> u32 {
        self.next()
    }

    fn load_ready_events(&self, item: u32, _: Ordering) -> u32 {
        assert!(item < self.items, "looked at item {item} of {}", self.items);
        self.next()
    }

    fn load_data(&self, item: u32) -> u64 {
        assert!(item < self.items, "looked at item {item} of {}", self.items);
        u64::from(self.next())
    }
}

impl RingMemory for Hostile<'_> {
    fn store_head(&self, _: u32, _: Ordering) {}

    fn store_slot(&self, _: u32, value: u32, _: Ordering) {
        assert_eq!(value, 0, "a consumer only empties slots");
    }

    fn exchange_ready_events(&self, item: u32, value: u32, _: Ordering) -> u32 {
        assert!(item < self.items, "exchanged item {item} of {}", self.items);
        assert_eq!(value, 0, "a consumer only clears events");
        self.next()
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&[first, budget], words)) = data.split_first_chunk::<2>() else { return };
    let memory = Hostile {
        words: RefCell::new(words.chunks_exact(4)),
        items: u32::from(first) + 1,
        loads: RefCell::new(0),
    };
    let slots = u64::from(memory.slots());
    let budget = u64::from(budget % 16);
    let mut consumer = Consumer::new(&memory);
    for _ in 0..4 {
        let before = consumer.head();
        let loads_before = *memory.loads.borrow();
        let mut given = 0;
        let drained = consumer.drain(budget, |event| {
            assert!(event.item < memory.items && event.events & abi::EPOLLREMOVED == 0);
            assert_ne!(event.events, 0);
            given += 1;
        });
        let loads = *memory.loads.borrow() - loads_before;
        assert!(loads <= 1 + slots * (budget + 3) + budget + 1, "{loads} loads do not end");
        assert_eq!(before.distance_to(consumer.head()), drained.consumed);
        assert_eq!(given + drained.skipped, drained.consumed);
        if matches!(drained.stop, Stop::Corrupt(_)) {
            break;
        }
    }
});
