//! Where a ring stood when an interval began and when it ended, and what became
//! of the sampled positions that nobody had resolved by then. Pure: made of the
//! ring's state as the kernel side left it.

use uepoll_common::abi::MAX_ITEMS;
use uepoll_common::record::{RecordKind, Resolved, RingNumber};
use uepoll_common::state::{BANKS, PENDING, Pending, PhaseWord, RingState, Start};

/// Head and tail.
pub type HeadAndTail = (u32, u32);

/// Where a ring stood at the first add counted in an interval; `None` if none
/// was.
fn start_in(state: &RingState, interval: u32) -> Option<&Start> {
    let start = state.starts.get(interval as usize % BANKS)?;
    (start.interval == interval.wrapping_add(1)).then_some(start)
}

/// Where a ring stood when an interval began in which it was told of first: at
/// the first add that was counted, else when it was met.
pub fn first_start(state: &RingState, interval: u32) -> HeadAndTail {
    start_in(state, interval)
        .map_or((state.met_head, state.met_tail), |start| (start.head, start.tail))
}

/// Whether any add was counted in an interval.
pub fn has_start(state: &RingState, interval: u32) -> bool {
    start_in(state, interval).is_some()
}

/// Where it stood when the interval ended. The program does not stop for us:
/// the last look may show events of the next interval, or that nobody counted,
/// and of a ring that was closed it may lack some that came while it closed.
pub fn end(state: &RingState, interval: u32) -> HeadAndTail {
    if let Some(next) = start_in(state, interval.wrapping_add(1) & PhaseWord::LAST_INTERVAL) {
        return (next.head, next.tail);
    }
    let counted = state.starts.iter().any(|start| start.interval != 0);
    let all_counted = state.closing == RingState::CLOSING_COUNTED && counted;
    let looked_later = state.final_tail.wrapping_sub(state.counted_tail).cast_signed() > 0;
    if all_counted && looked_later {
        return (state.final_head, state.final_tail);
    }
    // Without a counted add, tail as it was when the ring was met.
    let tail = state.counted_tail;
    let beyond = state.final_head.wrapping_sub(tail).cast_signed() > 0;
    // A head beyond the mapped tail is the program's doing, and shown as it is.
    let uncounted = state.final_tail.wrapping_sub(tail).cast_signed() > 0;
    (if beyond && uncounted { tail } else { state.final_head }, tail)
}

/// Positions published in an interval that nobody has resolved: by the last look
/// at the ring they are either bracketed or, their end unknown, censored.
/// Oldest first.
pub fn leftovers(ring: RingNumber, state: &RingState, interval: u32) -> Vec<Resolved> {
    let pending = (0..PENDING as u32)
        .map(|step| state.pending_head.wrapping_add(step))
        .map(|at| (at, &state.pending[at as usize % PENDING]))
        .filter(|(at, place)| place.state == Pending::ready(*at) && place.interval == interval);
    pending.map(|(_, place)| leftover(ring, state, place)).collect()
}

fn leftover(ring: RingNumber, state: &RingState, place: &Pending) -> Resolved {
    let looked = state.final_known != 0 && state.final_before_ns >= place.add_exit_ns;
    // A head beyond tail is nothing that a latency is made of.
    let sane = state.final_tail.wrapping_sub(state.final_head)
        <= state.max_items.saturating_add(MAX_ITEMS);
    let passed = state.final_head.wrapping_sub(place.position).cast_signed() > 0;
    let (lo_ns, hi_ns) = match (looked && sane, passed) {
        (true, true) => (place.lo_ns, state.final_after_ns),
        (true, false) => (place.lo_ns.max(state.final_before_ns), 0),
        (false, _) => (place.lo_ns, 0),
    };
    Resolved {
        kind: RecordKind::Resolved as u32,
        ring,
        position: place.position,
        item: place.item,
        arrival_ns: place.arrival_ns,
        add_entry_ns: place.add_entry_ns,
        add_exit_ns: place.add_exit_ns,
        consumed_lo_ns: lo_ns,
        consumed_hi_ns: hi_ns,
        sample_shift: place.sample_shift,
        interval: place.interval,
        waker_tid: place.waker & !Pending::BY_WORKER,
        flags: if place.waker & Pending::BY_WORKER != 0 { Resolved::BY_WORKER } else { 0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uepoll_common::record::RingSeen;

    /// A ring whose memory is all zero, as a map's is.
    fn state() -> RingState {
        RingState {
            ep: 1,
            header: 2,
            first_seen_ns: 0,
            owner_tgid: 0,
            owner_tid: 0,
            fd: -1,
            comm: [0; 16],
            how: RingSeen::MET,
            selected: 1,
            closing: 0,
            max_items: 8,
            sample_shift: 0,
            window_due: 0,
            active: 0,
            met_head: 0,
            met_tail: 0,
            adding: 0,
            adding_tail: 0,
            histograms: 0,
            starts: [Start { interval: 1, head: 0, tail: 0 }, Start::default()],
            counted_tail: 7,
            last_head: 0,
            last_tail: 0,
            header_wrong: 0,
            items_used: 0,
            final_known: 1,
            window_start_ns: 0,
            final_before_ns: 1000,
            final_after_ns: 1010,
            final_head: 5,
            final_tail: 7,
            sent_head: 0,
            sent_tail: 0,
            sent_ns: 0,
            pending_head: 0,
            pending_tail: 0,
            singles_window_ns: 0,
            singles_due: 0,
            singles_shift: 0,
            waiters_seen: 0,
            reserved: 0,
            waiters: Default::default(),
            pending: [Pending::default(); PENDING],
        }
    }

    fn push(state: &mut RingState, position: u32, add_exit_ns: u64) {
        let at = state.pending_tail;
        state.pending[at as usize % PENDING] = Pending {
            state: Pending::ready(at),
            position,
            add_exit_ns,
            lo_ns: add_exit_ns,
            ..Pending::default()
        };
        state.pending_tail += 1;
    }

    #[test]
    fn the_last_look_brackets_what_was_consumed_and_censors_the_rest() {
        let mut ring = state();
        push(&mut ring, 4, 900);
        push(&mut ring, 5, 950);
        let left = leftovers(3, &ring, 0);
        let bounds: Vec<_> =
            left.iter().map(|r| (r.position, r.consumed_lo_ns, r.consumed_hi_ns)).collect();
        assert_eq!(bounds, [(4, 900, 1010), (5, 1000, 0)]);
        assert!(left.iter().all(|resolved| resolved.ring == 3));
    }

    #[test]
    fn a_place_that_was_claimed_or_left_behind_is_no_position() {
        let mut ring = state();
        push(&mut ring, 4, 900);
        push(&mut ring, 5, 950);
        ring.pending[0].state = Pending::STATE_CLAIMED;
        ring.pending[1].state = Pending::ready(1 + PENDING as u32);
        assert_eq!(leftovers(0, &ring, 0), []);
    }

    #[test]
    fn a_head_beyond_tail_ends_nothing() {
        let mut ring = state();
        push(&mut ring, 4, 900);
        ring.final_head = ring.final_tail + 1;
        assert_eq!(leftovers(0, &ring, 0)[0].consumed_hi_ns, 0);
    }

    #[test]
    fn a_ring_that_was_never_looked_at_again_leaves_its_positions_open() {
        let mut ring = state();
        push(&mut ring, 4, 900);
        ring.final_known = 0;
        let left = leftovers(0, &ring, 0)[0];
        assert_eq!((left.consumed_lo_ns, left.consumed_hi_ns), (900, 0));
    }

    #[test]
    fn events_after_the_end_of_counting_are_not_of_the_run() {
        let mut ring = state();
        (ring.counted_tail, ring.final_head, ring.final_tail) = (7, 9, 12);
        assert_eq!(end(&ring, 0), (7, 7));
        (ring.final_head, ring.final_tail) = (5, 12);
        assert_eq!(end(&ring, 0), (5, 7));
        ring.closing = RingState::CLOSING_UNCOUNTED;
        assert_eq!(end(&ring, 0), (5, 7));
        ring.closing = RingState::CLOSING_COUNTED;
        assert_eq!(end(&ring, 0), (5, 12));
    }

    #[test]
    fn events_that_came_while_a_ring_closed_are_of_the_run() {
        let mut ring = state();
        ring.closing = RingState::CLOSING_COUNTED;
        (ring.counted_tail, ring.final_head, ring.final_tail) = (9, 7, 7);
        assert_eq!(end(&ring, 0), (7, 9));
    }

    #[test]
    fn without_a_counted_add_nothing_was_published() {
        let mut ring = state();
        ring.starts = [Start::default(); BANKS];
        // Met at (3, 4), before counting; two adds that nobody counted.
        (ring.met_head, ring.met_tail, ring.counted_tail) = (3, 4, 4);
        assert_eq!(first_start(&ring, 0), (3, 4));
        (ring.final_head, ring.final_tail) = (6, 6);
        for closing in [0, RingState::CLOSING_COUNTED, RingState::CLOSING_UNCOUNTED] {
            ring.closing = closing;
            assert_eq!(end(&ring, 0), (4, 4));
        }
    }

    #[test]
    fn a_head_that_the_program_forged_is_shown_as_it_is() {
        let mut ring = state();
        (ring.counted_tail, ring.final_head, ring.final_tail) = (7, 9, 7);
        assert_eq!(end(&ring, 0), (9, 7));
    }

    #[test]
    fn positions_come_in_the_order_of_the_queue() {
        let mut ring = state();
        ring.pending_head = 62;
        ring.pending_tail = 62;
        for position in 10..15 {
            push(&mut ring, position, 900);
        }
        let order: Vec<_> = leftovers(0, &ring, 0).iter().map(|r| r.position).collect();
        assert_eq!(order, [10, 11, 12, 13, 14]);
    }

    #[test]
    fn an_interval_ends_where_the_next_begins() {
        let mut ring = state();
        ring.starts[1] = Start { interval: 2, head: 3, tail: 6 };
        (ring.counted_tail, ring.final_head, ring.final_tail) = (9, 8, 9);
        assert_eq!(end(&ring, 0), (3, 6));
        assert_eq!(first_start(&ring, 1), (3, 6));
        assert_eq!(end(&ring, 1), (8, 9));
        // The bank is used again by the interval after the next.
        ring.starts[0] = Start { interval: 3, head: 9, tail: 9 };
        assert_eq!(end(&ring, 1), (9, 9));
    }

    #[test]
    fn a_position_of_another_interval_is_told_there() {
        let mut ring = state();
        push(&mut ring, 4, 900);
        ring.pending[0].interval = 1;
        assert_eq!(leftovers(0, &ring, 0), []);
        assert_eq!(leftovers(0, &ring, 1).len(), 1);
    }
}
