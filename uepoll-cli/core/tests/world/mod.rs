//! A ring, its producers on several CPUs and its consumers, as numbers: what
//! truly happened, and what the kernel side would tell of it.

use std::collections::VecDeque;
use std::fmt;

use proptest::prelude::*;
use uepoll_common::record::{Resolved, Snapshot};

/// What an event may take a consumer that keeps up, but not at once.
pub const STEADY_BUSY_NS: u64 = 4000;

/// Places for pending positions.
const TABLE: usize = 64;

/// A small generator: the same numbers from the same seed everywhere.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// One position.
#[derive(Clone, Copy, Debug)]
pub struct Truth {
    pub add_entry_ns: u64,
    pub published_ns: u64,
    pub add_exit_ns: u64,
    /// Head passed it for the first time.
    pub passed_first_ns: u64,
    /// For the last: a second consumer in mid-step may have put head back.
    pub passed_last_ns: u64,
}

/// What comes through the ring buffer, and what the caller does in between.
#[derive(Clone, Copy, Debug)]
pub enum Sent {
    /// A sampled position, for the first time.
    Resolved(Resolved),
    /// One that was told as unconsumed before.
    Late(Resolved),
    Snapshot(Snapshot),
    /// The interval ends here.
    End(u32),
}

impl Sent {
    /// The sampled position, if it is told for the first time.
    pub fn resolved(&self) -> Option<Resolved> {
        match self {
            Self::Resolved(record) => Some(*record),
            _ => None,
        }
    }
}

/// Everything that happened.
#[derive(Clone)]
pub struct World {
    pub first: u32,
    pub consumers: u32,
    pub begin_ns: u64,
    pub end_ns: u64,
    /// Sample shift of each interval.
    pub shifts: Vec<u32>,
    truths: Vec<Truth>,
    /// When head took which value, ascending in time.
    heads: Vec<(u64, u32)>,
    /// Clock before, moment of the read, clock after, when it was acted upon.
    looks: Vec<[u64; 4]>,
    /// Ends of the intervals.
    ends_ns: Vec<u64>,
    seed: u64,
}

/// Worlds near the wrap of positions as well as far from it.
pub fn worlds() -> impl Strategy<Value = World> {
    let first = prop_oneof![any::<u32>(), (u32::MAX - 300)..=u32::MAX];
    let busy_ns = prop_oneof![Just(500u64), Just(STEADY_BUSY_NS), Just(12_000)];
    (first, 1u32..=2, 1usize..4, 50u64..500, any::<u64>(), busy_ns).prop_map(
        |(first, consumers, intervals, events, seed, busy_ns)| {
            World::new(first, consumers, intervals, events, seed, busy_ns)
        },
    )
}

/// What it was made from: all else follows.
impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, consumers, seed, .. } = self;
        let (events, intervals) = (self.truths.len(), self.intervals());
        write!(
            f,
            "World {{ {first}, {consumers} consumers, {intervals} intervals, {events} events, seed {seed} }}"
        )
    }
}

impl World {
    /// As many events, each of which takes a consumer up to `busy_ns`.
    pub fn new(
        first: u32,
        consumers: u32,
        intervals: usize,
        events: u64,
        seed: u64,
        busy_ns: u64,
    ) -> Self {
        let mut random = Random(seed);
        let begin_ns = 1_000_000;
        let mut now = begin_ns;
        let mut consumer_ns = begin_ns;
        let (mut truths, mut heads, mut looks) = (Vec::new(), Vec::new(), Vec::new());
        for n in 0..events {
            // Adds follow each other: ep->lock is a spinlock.
            let add_entry_ns = now + 1 + random.below(4000);
            let published_ns = add_entry_ns + 1 + random.below(200);
            let add_exit_ns = published_ns + random.below(200);
            now = add_exit_ns;
            // Each add looks at its exit, on whichever CPU it is.
            looks.push(look(add_exit_ns, &mut random));
            consumer_ns = consumer_ns.max(published_ns) + 1 + random.below(busy_ns);
            let passed_first_ns = consumer_ns;
            let position = first.wrapping_add(n as u32);
            heads.push((passed_first_ns, position.wrapping_add(1)));
            let mut passed_last_ns = passed_first_ns;
            if consumers == 2 && random.below(20) == 0 {
                // The other consumer's store comes late, and is put right by
                // the next of either.
                heads.push((consumer_ns + 10, position));
                passed_last_ns = consumer_ns + 20 + random.below(300);
                heads.push((passed_last_ns, position.wrapping_add(1)));
                consumer_ns = passed_last_ns;
            }
            truths.push(Truth {
                add_entry_ns,
                published_ns,
                add_exit_ns,
                passed_first_ns,
                passed_last_ns,
            });
        }
        let end_ns = now + random.below(20_000);
        let mut tick = begin_ns;
        while tick < end_ns {
            tick += 1 + random.below(20_000);
            looks.push(look(tick, &mut random));
        }
        looks.retain(|look| look[3] <= end_ns);
        // In the order in which they are acted upon, which is not that of reads.
        looks.sort_unstable_by_key(|look| look[3]);
        let length_ns = (end_ns - begin_ns) / intervals as u64 + 1;
        let ends_ns = (1..=intervals as u64).map(|n| begin_ns + n * length_ns).collect();
        let shifts = (0..intervals).map(|_| random.below(3) as u32 / 2).collect();
        Self { first, consumers, begin_ns, end_ns, shifts, truths, heads, looks, ends_ns, seed }
    }

    pub fn truth(&self, position: u32) -> &Truth {
        &self.truths[position.wrapping_sub(self.first) as usize]
    }

    /// Mean time between two looks.
    pub fn spacing_ns(&self) -> u64 {
        (self.end_ns - self.begin_ns) / self.looks.len() as u64
    }

    pub fn intervals(&self) -> usize {
        self.ends_ns.len()
    }

    fn interval_at(&self, time_ns: u64) -> u32 {
        let over = self.ends_ns.iter().filter(|end_ns| **end_ns <= time_ns).count();
        over.min(self.intervals() - 1) as u32
    }

    /// What a watch that reads head every `step_ns` knows of a position.
    pub fn watched(&self, position: u32, step_ns: u64) -> (u64, u64) {
        let truth = self.truth(position);
        let mut lo_ns = 0;
        let from_ns = truth.add_entry_ns / step_ns * step_ns;
        for at in (0..).map(|n| from_ns + n * step_ns).take_while(|at| *at <= self.end_ns) {
            if (self.head_at(at).wrapping_sub(position) as i32) > 0 {
                return (lo_ns, at + 1);
            }
            lo_ns = at;
        }
        (lo_ns, 0)
    }

    fn head_at(&self, time_ns: u64) -> u32 {
        let moved = self.heads.partition_point(|(at, _)| *at <= time_ns);
        moved.checked_sub(1).map_or(self.first, |last| self.heads[last].1)
    }

    fn tail_at(&self, time_ns: u64) -> u32 {
        let published = self.truths.partition_point(|truth| truth.published_ns <= time_ns);
        self.first.wrapping_add(published as u32)
    }

    /// What is sent: a bounded table of pending positions, of which each look
    /// resolves the oldest; handed over as unconsumed when their interval ends.
    pub fn told(&self) -> Vec<Sent> {
        let mut random = Random(self.seed ^ 1);
        let mut pending: VecDeque<(Resolved, bool)> = VecDeque::new();
        let mut out: Vec<Sent> = Vec::new();
        let mut next = 0;
        let mut ended = 0;
        for [before_ns, read_ns, after_ns, acted_ns] in &self.looks {
            while ended + 1 < self.intervals() && self.ends_ns[ended] <= *acted_ns {
                self.end(ended as u32, &mut pending, &mut out, &mut random);
                ended += 1;
            }
            while let Some(truth) = self.truths.get(next).filter(|t| t.add_exit_ns <= *before_ns) {
                let interval = self.interval_at(truth.add_entry_ns);
                let position = self.first.wrapping_add(next as u32);
                let shift = self.shifts[interval as usize];
                let chosen = (position.wrapping_mul(0x9e37_79b1) >> 1).is_multiple_of(1 << shift);
                // An interval that has ended takes no more.
                if chosen && pending.len() < TABLE && interval as usize >= ended {
                    pending.push_back((resolved(position, truth, shift, interval), false));
                }
                next += 1;
            }
            let head = self.head_at(*read_ns);
            let mut carried_ns = 0;
            for _ in 0..8 {
                let Some((record, is_late)) = pending.front_mut() else { break };
                if (head.wrapping_sub(record.position) as i32) <= 0 {
                    let lo_ns = &mut record.consumed_lo_ns;
                    *lo_ns = (*lo_ns).max(*before_ns).max(carried_ns);
                    break;
                }
                carried_ns = carried_ns.max(record.consumed_lo_ns);
                // A look that began before the position was there tells nothing.
                if *after_ns < record.add_entry_ns {
                    break;
                }
                record.consumed_hi_ns = *after_ns;
                out.push(if *is_late { Sent::Late(*record) } else { Sent::Resolved(*record) });
                pending.pop_front();
            }
            out.push(Sent::Snapshot(Snapshot {
                kind: 4,
                ring: 0,
                before_ns: *before_ns,
                after_ns: *after_ns,
                head: head_below(head, self.tail_at(*read_ns)),
                tail: self.tail_at(*read_ns),
                flags: Snapshot::HEADER_RIGHT,
                reserved: 0,
            }));
        }
        for interval in ended..self.intervals() {
            self.end(interval as u32, &mut pending, &mut out, &mut random);
        }
        out
    }

    /// Ends an interval: what is pending of it is told as unconsumed. A look
    /// that was under way tells some of them again.
    fn end(
        &self,
        interval: u32,
        pending: &mut VecDeque<(Resolved, bool)>,
        out: &mut Vec<Sent>,
        random: &mut Random,
    ) {
        let last = interval as usize + 1 == self.intervals();
        pending.retain_mut(|(record, is_late)| {
            if record.interval != interval {
                return !*is_late;
            }
            out.push(Sent::Resolved(*record));
            *is_late = true;
            !last && random.below(4) == 0
        });
        out.push(Sent::End(interval));
    }
}

/// With two consumers head may be put back, never beyond tail.
fn head_below(head: u32, tail: u32) -> u32 {
    if (tail.wrapping_sub(head) as i32) < 0 { tail } else { head }
}

/// A look on some CPU: what it reads is acted upon a little later, perhaps
/// after that of another CPU that read later.
fn look(begins_ns: u64, random: &mut Random) -> [u64; 4] {
    let read_ns = begins_ns + random.below(60);
    let after_ns = read_ns + random.below(60);
    [begins_ns, read_ns, after_ns, after_ns + random.below(150)]
}

fn resolved(position: u32, truth: &Truth, shift: u32, interval: u32) -> Resolved {
    Resolved {
        kind: 1,
        ring: 0,
        position,
        item: 0,
        arrival_ns: truth.add_entry_ns,
        add_entry_ns: truth.add_entry_ns,
        add_exit_ns: truth.add_exit_ns,
        consumed_lo_ns: 0,
        consumed_hi_ns: 0,
        sample_shift: shift,
        interval,
        waker_tid: 0,
        flags: 0,
    }
}
