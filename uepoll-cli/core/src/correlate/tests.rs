//! The correlator record by record.

use uepoll_common::record::{Record, Resolved, RingClosed, RingSeen, Snapshot};

use super::*;

fn snapshot(before_ns: u64, head: u32, tail: u32) -> Record {
    Record::Snapshot(Snapshot {
        kind: 4,
        ring: 3,
        before_ns,
        after_ns: before_ns + 10,
        head,
        tail,
        flags: Snapshot::HEADER_RIGHT,
        reserved: 0,
    })
}

fn correlate(records: &[Record]) -> RingCorrelated {
    let mut correlator = Correlator::default();
    records.iter().for_each(|record| correlator.push(record));
    correlator.finish().rings.remove(&3).expect("ring 3 was told of")
}

#[test]
fn depth_is_right_across_the_wrap() {
    let ring = correlate(&[snapshot(100, u32::MAX - 1, 3), snapshot(200, 2, 3)]);
    assert_eq!(ring.anomalies, Anomalies::default());
    let point = ring.depth.points()[0];
    assert_eq!((point.least, point.greatest), (1, 5));
}

#[test]
fn head_beyond_tail_is_an_anomaly_and_no_depth() {
    let ring = correlate(&[snapshot(100, 11, 10)]);
    assert_eq!(ring.anomalies.head_beyond_tail, 1);
    assert!(ring.depth.points().is_empty());
}

#[test]
fn head_that_goes_back_is_counted_only_between_snapshots_in_order() {
    let back = correlate(&[snapshot(100, 50, 60), snapshot(200, 40, 60)]);
    assert_eq!(back.anomalies.head_back, 1);
    let overtaken = correlate(&[snapshot(200, 50, 60), snapshot(100, 40, 60)]);
    assert_eq!(overtaken.anomalies.head_back, 0);
}

#[test]
fn rings_beyond_the_bound_are_refused_and_counted() {
    let mut correlator = Correlator::default();
    for ring in 0..(MAX_RINGS as u32 + 5) {
        correlator.push(&Record::RingClosed(RingClosed {
            kind: 3,
            ring,
            time_ns: 1,
            head: 0,
            tail: 0,
            items_used: 0,
            reserved: 0,
        }));
    }
    let correlated = correlator.finish();
    assert_eq!((correlated.rings.len(), correlated.refused), (MAX_RINGS, 5));
}

fn resolved(position: u32, interval: u32) -> Record {
    Record::Resolved(Resolved {
        kind: 1,
        ring: 3,
        position,
        item: 0,
        arrival_ns: 0,
        add_entry_ns: 100,
        add_exit_ns: 110,
        consumed_lo_ns: 150,
        consumed_hi_ns: 190,
        sample_shift: 0,
        interval,
        waker_tid: 0,
        flags: 0,
    })
}

fn seen(time_ns: u64, head: u32, tail: u32, how: u32) -> Record {
    Record::RingSeen(RingSeen {
        kind: 2,
        ring: 3,
        time_ns,
        tgid: 0,
        tid: 0,
        fd: -1,
        max_items: 8,
        head,
        tail,
        comm: [0; 16],
        how,
        reserved: 0,
    })
}

#[test]
fn a_snapshot_that_was_overtaken_is_put_back_in_its_place() {
    let ring = correlate(&[snapshot(100, 10, 60), snapshot(300, 50, 60), snapshot(200, 40, 60)]);
    assert_eq!((ring.anomalies.head_back, ring.late), (0, 0));
}

#[test]
fn a_snapshot_beyond_the_window_is_counted_as_late_and_its_depth_kept() {
    let mut records: Vec<Record> =
        (0..=order::WINDOW as u32).map(|n| snapshot(1000 + u64::from(n), n, n + 1)).collect();
    records.push(snapshot(10, 0, 7));
    let ring = correlate(&records);
    assert_eq!((ring.late, ring.anomalies), (1, Anomalies::default()));
    assert_eq!(ring.depth.points()[0].greatest, 7);
}

#[test]
fn positions_are_told_in_their_own_interval_even_if_they_come_early() {
    let mut correlator = Correlator::default();
    for (position, interval) in [(1, 4), (2, 5), (3, 4)] {
        correlator.push(&resolved(position, interval));
    }
    assert_eq!(correlator.roll(4).rings[&3].resolved, 2);
    // What was still pending at the end was told then: this one is late.
    correlator.push(&resolved(4, 4));
    correlator.push(&resolved(5, 5));
    let next = correlator.roll(5);
    assert_eq!((next.rings[&3].resolved, next.of_other_intervals), (2, 1));
}

#[test]
fn what_was_counted_before_an_interval_begins_is_not_in_it() {
    let mut correlator = Correlator::default();
    correlator.push(&resolved(1, 0));
    correlator.push(&resolved(2, 1));
    correlator.push(&resolved(3, 2));
    let told = correlator.roll(2);
    assert_eq!((told.rings[&3].resolved, told.of_other_intervals), (1, 2));
}

#[test]
fn a_closed_ring_is_told_in_its_interval_and_forgotten() {
    let mut correlator = Correlator::default();
    correlator.push(&resolved(1, 0));
    correlator.push(&Record::RingClosed(RingClosed {
        kind: 3,
        ring: 3,
        time_ns: 1,
        head: 0,
        tail: 0,
        items_used: 0,
        reserved: 0,
    }));
    assert!(correlator.roll(0).rings[&3].closed.is_some());
    assert!(correlator.roll(1).rings.is_empty());
}

#[test]
fn what_was_in_the_ring_before_is_at_least_so_old() {
    let met = seen(1000, u32::MAX, 2, RingSeen::MET);
    let ring = correlate(&[met, snapshot(2000, u32::MAX, 9), snapshot(3000, 1, 9)]);
    let before = ring.before.expect("three were there");
    assert_eq!((before.positions, before.left, before.age_at_least_ns), (3, 1, 2000));
    let gone = correlate(&[met, snapshot(2000, 1, 9), snapshot(3000, 2, 9), snapshot(4000, 1, 9)]);
    let before = gone.before.expect("three were there");
    assert_eq!((before.left, before.age_at_least_ns), (0, 1000));
}

#[test]
fn a_ring_that_was_created_while_observed_has_nothing_from_before() {
    let created = seen(1000, 0, 0, RingSeen::CREATED);
    assert_eq!(correlate(&[created, snapshot(2000, 0, 5)]).before, None);
}

#[test]
fn a_ring_told_again_for_its_owner_does_not_look_again() {
    let mut correlator = Correlator::default();
    correlator.push(&seen(1000, 0, 3, RingSeen::MET));
    correlator.push(&snapshot(2000, 3, 3));
    correlator.roll(0);
    correlator.push(&seen(9000, 0, 3, RingSeen::MET));
    assert_eq!(correlator.roll(1).rings[&3].before, None);
}
