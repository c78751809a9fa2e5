//! Claims about the system calls. What needs a ring is ignored by default and
//! run in a kernel that has one.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::protocol::{Consumer, Event, Stop};
use super::user_poll::{UserPoll, UserPollError, WaitOutcome};
use crate::abi::MAX_ITEMS;

const IN: u32 = libc::EPOLLIN as u32;
const ET: u32 = libc::EPOLLET as u32;
const BUDGET: u64 = 1_000_000;
const SHORT: Option<Duration> = Some(Duration::from_millis(1));

/// A source that becomes readable by one byte, and both its ends.
fn source() -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

fn drained(ring: &mut Consumer<impl super::RingMemory>) -> (Vec<Event>, super::Drained) {
    let mut events = Vec::new();
    let drained = ring.drain(BUDGET, |event| events.push(event));
    assert_eq!(drained.stop, Stop::Emptied);
    (events, drained)
}

#[test]
fn a_ring_of_no_items_or_too_many_is_refused() {
    for max_items in [0, MAX_ITEMS + 1, u32::MAX] {
        let refused = UserPoll::create(max_items);
        assert!(matches!(refused, Err(UserPollError::Items { .. })), "{refused:?}");
    }
}

#[test]
fn without_the_series_creating_says_so() {
    match UserPoll::create(8) {
        Ok(_) | Err(UserPollError::Unsupported) => {}
        Err(error) => panic!("{error}"),
    }
}

#[test]
#[ignore = "needs a kernel with the series"]
fn an_event_comes_through_the_ring_and_estale_tells_of_it() {
    let poll = UserPoll::create(8).unwrap();
    let mut ring = Consumer::new(poll.map().unwrap());
    let (mut reader, mut writer) = source();
    poll.add(reader.as_fd(), IN | ET, 77).unwrap();
    assert_eq!(poll.wait(SHORT).unwrap(), WaitOutcome::TimedOut);

    writer.write_all(b"x").unwrap();
    assert_eq!(poll.wait(None).unwrap(), WaitOutcome::Stale);
    let (events, _) = drained(&mut ring);
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].data, events[0].events & IN), (77, IN));
    assert_eq!(poll.wait(SHORT).unwrap(), WaitOutcome::TimedOut);

    reader.read_exact(&mut [0]).unwrap();
    writer.write_all(b"y").unwrap();
    assert_eq!(drained(&mut ring).0.len(), 1, "a new event after the item was handed back");
}

#[test]
#[ignore = "needs a kernel with the series"]
fn what_is_ready_when_added_is_published_at_once() {
    let poll = UserPoll::create(8).unwrap();
    let mut ring = Consumer::new(poll.map().unwrap());
    let (reader, mut writer) = source();
    writer.write_all(b"x").unwrap();
    poll.add(reader.as_fd(), IN | ET, 1).unwrap();
    assert_eq!(drained(&mut ring).0.len(), 1);
}

#[test]
#[ignore = "needs a kernel with the series"]
fn an_item_deleted_while_ready_is_skipped() {
    let poll = UserPoll::create(8).unwrap();
    let mut ring = Consumer::new(poll.map().unwrap());
    let (reader, mut writer) = source();
    poll.add(reader.as_fd(), IN | ET, 1).unwrap();
    writer.write_all(b"x").unwrap();
    poll.delete(reader.as_fd()).unwrap();
    let (events, drained) = drained(&mut ring);
    assert!(events.is_empty());
    assert_eq!((drained.consumed, drained.skipped), (1, 1));
}

#[test]
#[ignore = "needs a kernel with the series"]
fn modify_arms_a_oneshot_item_again() {
    let oneshot = IN | ET | libc::EPOLLONESHOT as u32;
    let poll = UserPoll::create(8).unwrap();
    let mut ring = Consumer::new(poll.map().unwrap());
    let (reader, mut writer) = source();
    poll.add(reader.as_fd(), oneshot, 1).unwrap();
    writer.write_all(b"x").unwrap();
    assert_eq!(drained(&mut ring).0.len(), 1);
    writer.write_all(b"y").unwrap();
    assert!(ring.is_empty(), "disarmed");
    poll.modify(reader.as_fd(), oneshot, 2).unwrap();
    let (events, _) = drained(&mut ring);
    assert_eq!(events.iter().map(|event| event.data).collect::<Vec<_>>(), [2]);
}

#[test]
#[ignore = "needs a kernel with the series"]
fn the_item_beyond_the_last_finds_no_space() {
    let poll = UserPoll::create(1).unwrap();
    let (first, second) = source();
    poll.add(first.as_fd(), IN | ET, 1).unwrap();
    let full = poll.add(second.as_fd(), IN | ET, 2);
    assert!(matches!(full, Err(UserPollError::Full { max_items: 1, .. })), "{full:?}");
}

#[test]
#[ignore = "needs a kernel with the series"]
fn level_triggered_and_exclusive_items_are_refused() {
    let poll = UserPoll::create(8).unwrap();
    let (reader, _writer) = source();
    for events in [IN, IN | ET | libc::EPOLLEXCLUSIVE as u32] {
        match poll.add(reader.as_fd(), events, 1) {
            Err(UserPollError::Control { operation: "ADD", source, .. }) => {
                assert_eq!(source.raw_os_error(), Some(libc::EINVAL));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
#[ignore = "needs a kernel with the series"]
fn rings_of_every_size_map_with_the_lengths_computed() {
    for max_items in [1, 8, 248, 249, 1024, 1025, MAX_ITEMS] {
        let poll = UserPoll::create(max_items).unwrap();
        poll.map().unwrap();
    }
}
