//! Rings at the end of an interval: what the kernel side knows of each, made
//! into captures.

use std::collections::BTreeMap;

use uepoll_common::counter::RingCounter;
use uepoll_common::record::{Resolved, RingNumber, RingSeen};
use uepoll_common::state::RingState;
use uepoll_core::capture::{Consumer, LastState, Owner, RingCapture};

use super::boundary::{self, HeadAndTail};
use super::existing::{self, name};
use super::live::{FinishError, Live};
use super::live_maps::{self, Bank};

/// How a ring stood when it was read.
struct End {
    last: Option<LastState>,
    closed: bool,
}

impl Live {
    /// Takes the last look at every ring in the interval that ended at `end_ns`,
    /// and gives those whose owner passes the filter. Positions still pending go
    /// to `left`.
    pub(super) fn take_rings(
        &mut self,
        (start_ns, end_ns): (u64, u64),
        open_waits: &BTreeMap<RingNumber, u64>,
        left: &mut Vec<Resolved>,
    ) -> Result<Vec<RingCapture>, FinishError> {
        let mut rings = Vec::new();
        for ring in 0..live_maps::met(&self.probes)?.min(self.rings) {
            if self.closed.contains(&ring) {
                continue;
            }
            let state = live_maps::state(&self.probes, ring)?;
            // A number that two CPUs competed for, a ring that nobody asked for,
            // or one of the next interval.
            if state.ep == 0 || state.selected == 0 || state.first_seen_ns >= end_ns {
                continue;
            }
            live_maps::look(&self.probes, ring)?;
            let mut state = live_maps::state(&self.probes, ring)?;
            // Read once more: that the next interval has begun is set before
            // anything that it changes.
            state.starts = live_maps::state(&self.probes, ring)?.starts;
            rings.push(self.take_ring(ring, &state, (start_ns, end_ns), open_waits, left)?);
        }
        Ok(rings)
    }

    /// Every ring whose owner passes the filter, as counted since `start_ns` in
    /// the interval that goes on. Nothing is changed.
    pub(super) fn peek_rings(
        &mut self,
        (start_ns, now_ns): (u64, u64),
        open_waits: &BTreeMap<RingNumber, u64>,
    ) -> Result<Vec<RingCapture>, FinishError> {
        let mut rings = Vec::new();
        for ring in 0..live_maps::met(&self.probes)?.min(self.rings) {
            if self.closed.contains(&ring) {
                continue;
            }
            let state = live_maps::state(&self.probes, ring)?;
            if state.ep == 0 || state.selected == 0 || state.first_seen_ns >= now_ns {
                continue;
            }
            let bank = Bank::of(self.interval, self.rings).untouched();
            // By the last snapshot: no look of our own is booked in mid-interval.
            let last = LastState {
                head: state.last_head,
                tail: state.last_tail,
                items_used: None,
                header_right: state.header_wrong == 0,
            };
            let end = End { last: Some(last), closed: state.closing != 0 };
            let moment = ((start_ns, now_ns), open_waits);
            rings.push(self.capture_ring(ring, &state, bank, moment, end)?);
        }
        Ok(rings)
    }

    fn take_ring(
        &mut self,
        ring: RingNumber,
        state: &RingState,
        (start_ns, end_ns): (u64, u64),
        open_waits: &BTreeMap<RingNumber, u64>,
        left: &mut Vec<Resolved>,
    ) -> Result<RingCapture, FinishError> {
        left.extend(boundary::leftovers(ring, state, self.interval));
        let (head, tail) = boundary::end(state, self.interval);
        let closed =
            state.closing != 0 && (state.final_known == 0 || state.final_before_ns < end_ns);
        let last = (state.final_known != 0).then(|| LastState {
            head,
            tail,
            items_used: (state.items_used != u32::MAX).then_some(state.items_used),
            header_right: state.header_wrong == 0,
        });
        let bank = Bank::of(self.interval, self.rings);
        let moment = ((start_ns, end_ns), open_waits);
        let capture = self.capture_ring(ring, state, bank, moment, End { last, closed })?;
        if closed {
            self.closed.insert(ring);
            self.ends.remove(&ring);
        } else {
            self.ends.insert(ring, (head, tail));
        }
        Ok(capture)
    }

    fn capture_ring(
        &mut self,
        ring: RingNumber,
        state: &RingState,
        bank: Bank,
        ((start_ns, end_ns), open_waits): ((u64, u64), &BTreeMap<RingNumber, u64>),
        End { last, closed }: End,
    ) -> Result<RingCapture, FinishError> {
        let counters = bank.take_counters(&mut self.probes, ring)?;
        let histograms = bank.take_histograms(&mut self.probes, state)?;
        let (first_head, first_tail) = self.start_of(ring, state);
        let still = |waits: &BTreeMap<RingNumber, u64>| waits.get(&ring).copied().unwrap_or(0);
        let waited_ns = counters.get(RingCounter::WaitedNs);
        let waiting_ns =
            waited_ns.saturating_add(still(open_waits)).saturating_sub(still(&self.open_waits));
        let heard = self.heard_from(state.owner_tgid, state.first_seen_ns.max(start_ns));
        let closed_ns = if state.final_known != 0 { state.final_before_ns } else { end_ns };
        Ok(RingCapture {
            ring,
            owner: owner(state),
            holders: self.holders.get(&ring).into_iter().flatten().cloned().collect(),
            consumers: self.consumers(ring, state),
            observed_ns: (if closed { closed_ns } else { end_ns })
                .saturating_sub(state.first_seen_ns.max(start_ns)),
            waiters_seen: state.waiters_seen,
            waiting_ns,
            spins_heard: heard,
            max_items: state.max_items,
            first_head,
            first_tail,
            last,
            closed,
            created: state.how == RingSeen::CREATED && state.first_seen_ns >= start_ns,
            counters,
            histograms,
            sample_shift: state.sample_shift,
        })
    }

    /// Where a ring stood when the interval began: where it stood when the last
    /// one ended, unless adds that nobody counted lie between.
    fn start_of(&self, ring: RingNumber, state: &RingState) -> HeadAndTail {
        let first = boundary::first_start(state, self.interval);
        match self.ends.get(&ring) {
            Some(end) if end.1 == first.1 || !boundary::has_start(state, self.interval) => *end,
            _ => first,
        }
    }

    /// Threads that consume from a ring: seen to wait, asleep when we came, or
    /// named.
    fn consumers(&self, ring: RingNumber, state: &RingState) -> Vec<Consumer> {
        let mut consumers: Vec<Consumer> = state
            .waiters
            .iter()
            .filter(|waiter| waiter.tid != 0)
            .map(|waiter| Consumer { tid: waiter.tid, comm: name(&waiter.comm), named: false })
            .collect();
        let asleep = self.sleepers.get(&ring).into_iter().flatten().cloned();
        let named = self.named.get(&ring).into_iter().flatten();
        let named = named.map(|tid| Consumer {
            tid: *tid,
            comm: existing::name_of_thread(*tid),
            named: true,
        });
        for consumer in asleep.chain(named) {
            match consumers.iter_mut().find(|known| known.tid == consumer.tid) {
                Some(known) => known.named |= consumer.named,
                None => consumers.push(consumer),
            }
        }
        consumers
    }
}

fn owner(state: &RingState) -> Option<Owner> {
    (state.owner_tgid != 0).then(|| Owner {
        pid: state.owner_tgid,
        comm: name(&state.comm),
        fd: state.fd,
    })
}
