//! Claims about the protocol, over a ring in plain memory.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::memory::{RingMemory, RingView};
use super::model::{ModelRing, Publication};
use super::protocol::{Consumer, Corruption, Event, Spun, Stop};
use crate::abi::{EPOLLREMOVED, MAX_ITEMS};
use crate::position::Position;

const IN: u32 = 1;
const OUT: u32 = 4;
/// Small where a slot is meant to stay empty.
const BUDGET: u64 = 100;

fn ring(items: u32) -> ModelRing {
    ring_from(items, Position(0))
}

fn ring_from(items: u32, start: Position) -> ModelRing {
    let ring = ModelRing::new(items, start);
    for item in 0..items {
        ring.set_data(item, data_of(item));
    }
    ring
}

fn data_of(item: u32) -> u64 {
    1000 + u64::from(item)
}

fn drained(consumer: &mut Consumer<impl RingMemory>) -> (Vec<Event>, super::Drained) {
    let mut events = Vec::new();
    let drained = consumer.drain(BUDGET, |event| events.push(event));
    (events, drained)
}

#[test]
fn drain_consumes_in_ring_order() {
    let ring = ring(8);
    for item in [5, 0, 7, 2] {
        assert!(matches!(ring.publish(item, IN), Publication::New(_)));
    }
    let mut consumer = Consumer::new(&ring);
    assert_eq!(consumer.depth(), 4);
    let (events, drained) = drained(&mut consumer);
    assert_eq!(events.iter().map(|event| event.item).collect::<Vec<_>>(), [5, 0, 7, 2]);
    assert!(events.iter().all(|event| event.events == IN && event.data == data_of(event.item)));
    assert_eq!((drained.consumed, drained.skipped, drained.slot_spins), (4, 0, 0));
    assert_eq!(drained.stop, Stop::Emptied);
    assert!(consumer.is_empty());
    assert_eq!(ring.load_head(Ordering::Relaxed), 4);
    assert!((0..8).all(|slot| ring.load_slot(slot, Ordering::Relaxed) == 0));
}

#[test]
fn merged_events_take_no_new_slot_and_arrive_together() {
    let ring = ring(8);
    assert_eq!(ring.publish(3, IN), Publication::New(Position(0)));
    assert_eq!(ring.publish(3, OUT), Publication::Merged);
    let (events, _) = drained(&mut Consumer::new(&ring));
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].events, IN | OUT);
}

#[test]
fn a_removed_item_is_skipped_but_counted() {
    let ring = ring(8);
    ring.publish(1, IN);
    ring.publish(2, IN);
    ring.remove(1);
    let (events, drained) = drained(&mut Consumer::new(&ring));
    assert_eq!(events.iter().map(|event| event.item).collect::<Vec<_>>(), [2]);
    assert_eq!((drained.consumed, drained.skipped), (2, 1));
    assert_eq!(drained.stop, Stop::Emptied);
}

#[test]
fn an_item_reused_after_removal_gets_its_event_through_the_old_slot() {
    let ring = ring(8);
    ring.publish(1, IN);
    ring.remove(1);
    assert_eq!(ring.publish(1, OUT), Publication::Merged);
    let (events, drained) = drained(&mut Consumer::new(&ring));
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].events, OUT, "EPOLLREMOVED is masked, and what was ready is not kept");
    assert_eq!(drained.skipped, 0);
}

#[test]
fn the_removed_bit_never_reaches_the_sink() {
    let ring = ring(8);
    ring.publish(1, IN | EPOLLREMOVED);
    let (events, _) = drained(&mut Consumer::new(&ring));
    assert_eq!(events[0].events, IN);
}

#[test]
fn an_index_beyond_the_items_is_corrupt_not_a_panic() {
    for (slot, item) in [(9, 8), (u32::MAX, u32::MAX - 1)] {
        let ring = ring(8);
        let position = ring.reserve(0, IN).unwrap();
        ring.store_slot(position.0, slot, Ordering::Relaxed);
        let mut consumer = Consumer::new(&ring);
        let (events, drained) = drained(&mut consumer);
        assert!(events.is_empty());
        let corruption = Corruption::IndexBeyondItems { position, item, items: 8 };
        assert_eq!(drained.stop, Stop::Corrupt(corruption));
        assert_eq!(consumer.head(), position, "head stays before what is not understood");
    }
}

#[test]
fn a_tail_beyond_the_ring_is_corrupt() {
    let ring = ring(8);
    let slots = ring.slots();
    for tail in [slots + 1, u32::MAX] {
        ring.force_tail(tail);
        let (events, drained) = drained(&mut Consumer::new(&ring));
        assert!(events.is_empty());
        let corruption = Corruption::TailBeyondRing { head: Position(0), tail: Position(tail) };
        assert_eq!(drained.stop, Stop::Corrupt(corruption));
    }
}

#[test]
fn wraps_at_u32_max() {
    let ring = ring_from(8, Position(u32::MAX - 2));
    for item in 0..6 {
        ring.publish(item, IN);
    }
    let mut consumer = Consumer::new(&ring);
    let (events, drained) = drained(&mut consumer);
    assert_eq!(events.len(), 6);
    assert_eq!(events[5].position, Position(2));
    assert_eq!((drained.consumed, drained.stop), (6, Stop::Emptied));
    assert_eq!(ring.load_head(Ordering::Relaxed), 3);
}

#[test]
fn an_empty_slot_ends_in_a_count_not_a_hang() {
    let ring = ring(8);
    ring.publish(4, IN);
    let gap = ring.reserve(5, IN).unwrap();
    ring.publish(6, IN);
    let mut consumer = Consumer::new(&ring);
    let (events, first) = drained(&mut consumer);
    assert_eq!(events.len(), 1);
    assert_eq!(first.stop, Stop::SlotStayedEmpty(gap));
    assert_eq!((first.consumed, first.slot_spins), (1, BUDGET));

    ring.fill(gap, 5);
    let (events, second) = drained(&mut consumer);
    assert_eq!(events.iter().map(|event| event.item).collect::<Vec<_>>(), [5, 6]);
    assert_eq!((second.stop, second.slot_spins), (Stop::Emptied, 0));
}

#[test]
fn the_tail_is_cached_so_that_one_drain_ends() {
    let ring = ring(8);
    ring.publish(0, IN);
    let mut seen = 0;
    let drained = Consumer::new(&ring).drain(BUDGET, |event| {
        seen += 1;
        // A source that is ready again at once, as long as it is looked at.
        ring.publish(event.item, IN);
    });
    assert_eq!((seen, drained.consumed, drained.stop), (1, 1, Stop::Emptied));
}

#[test]
fn the_largest_ring_is_consumed_when_full() {
    let ring = ring(MAX_ITEMS);
    assert_eq!(ring.slots(), MAX_ITEMS);
    for item in 0..MAX_ITEMS {
        ring.publish(item, IN);
    }
    let drained = Consumer::new(&ring).drain(BUDGET, |_| ());
    assert_eq!((drained.consumed, drained.stop), (MAX_ITEMS, Stop::Emptied));
}

#[test]
fn head_moves_last() {
    let ring = ring(8);
    ring.publish(3, IN);
    let logged = Logged { ring: &ring, log: RefCell::default() };
    let drained = Consumer::new(&logged).drain(BUDGET, |_| logged.note("sink"));
    assert_eq!(drained.stop, Stop::Emptied);
    assert_eq!(
        *logged.log.borrow(),
        [
            "load head Relaxed",
            "load tail Relaxed",
            "load slot Acquire",
            "store slot Relaxed",
            "load data",
            "exchange ready_events AcqRel",
            "store head Release",
            "sink",
        ]
    );
}

#[test]
fn concurrent_producers_lose_nothing() {
    const PRODUCERS: u32 = 4;
    const WRITES: u64 = 20_000;
    let ring = ring(PRODUCERS);
    let counters: Vec<AtomicU64> = (0..PRODUCERS).map(|_| AtomicU64::new(0)).collect();
    let mut taken = vec![0; PRODUCERS as usize];
    thread::scope(|scope| {
        for item in 0..PRODUCERS {
            let (ring, counter) = (&ring, &counters[item as usize]);
            scope.spawn(move || {
                for _ in 0..WRITES {
                    // Relaxed: the order is what the ring has to give.
                    counter.fetch_add(1, Ordering::Relaxed);
                    ring.publish(item, IN);
                }
            });
        }
        let mut consumer = Consumer::new(&ring);
        while taken.iter().sum::<u64>() < u64::from(PRODUCERS) * WRITES {
            let drained = consumer.drain(BUDGET, |event| {
                let item = event.item as usize;
                taken[item] += counters[item].swap(0, Ordering::Relaxed);
            });
            assert!(!matches!(drained.stop, Stop::Corrupt(_)), "{drained:?}");
            if drained.consumed == 0 {
                thread::yield_now();
            }
        }
    });
    assert_eq!(taken, vec![WRITES; PRODUCERS as usize]);
}

/// A ring that writes down what is done to it.
struct Logged<'a> {
    ring: &'a ModelRing,
    log: RefCell<Vec<String>>,
}

impl Logged<'_> {
    fn note(&self, what: impl Into<String>) {
        self.log.borrow_mut().push(what.into());
    }
}

impl RingView for Logged<'_> {
    fn items(&self) -> u32 {
        self.ring.items()
    }

    fn slots(&self) -> u32 {
        self.ring.slots()
    }

    fn load_head(&self, order: Ordering) -> u32 {
        self.note(format!("load head {order:?}"));
        self.ring.load_head(order)
    }

    fn load_tail(&self, order: Ordering) -> u32 {
        self.note(format!("load tail {order:?}"));
        self.ring.load_tail(order)
    }

    fn load_slot(&self, position: u32, order: Ordering) -> u32 {
        self.note(format!("load slot {order:?}"));
        self.ring.load_slot(position, order)
    }

    fn load_ready_events(&self, item: u32, order: Ordering) -> u32 {
        self.note(format!("load ready_events {order:?}"));
        self.ring.load_ready_events(item, order)
    }

    fn load_data(&self, item: u32) -> u64 {
        self.note("load data");
        self.ring.load_data(item)
    }
}

impl RingMemory for Logged<'_> {
    fn store_head(&self, value: u32, order: Ordering) {
        self.note(format!("store head {order:?}"));
        self.ring.store_head(value, order);
    }

    fn store_slot(&self, position: u32, value: u32, order: Ordering) {
        self.note(format!("store slot {order:?}"));
        self.ring.store_slot(position, value, order);
    }

    fn exchange_ready_events(&self, item: u32, value: u32, order: Ordering) -> u32 {
        self.note(format!("exchange ready_events {order:?}"));
        self.ring.exchange_ready_events(item, value, order)
    }
}

#[test]
fn spinning_counts_the_polls_that_found_nothing() {
    let ring = ring(2);
    let consumer = Consumer::new(&ring);
    assert_eq!(consumer.spin(-1, 5, || {}), Spun { polls: 5, event: false });
    assert_eq!(consumer.spin(-1, 0, || {}), Spun { polls: 0, event: false });
    let mut polls = 0;
    let spun = consumer.spin(-1, 100, || {
        polls += 1;
        if polls == 3 {
            assert!(matches!(ring.publish(0, IN), Publication::New(_)));
        }
    });
    assert_eq!(spun, Spun { polls: 3, event: true });
    assert_eq!(consumer.spin(-1, 100, || {}), Spun { polls: 0, event: true });
}
