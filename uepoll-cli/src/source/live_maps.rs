//! What the kernel side counted, read out of its maps and summed over CPUs.
//! Also the last step of residency: positions still pending are judged by the
//! last look at their ring.

use aya::Pod;
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray};
use uepoll_common::counter::{HOST_COUNTERS, RING_COUNTERS, RING_HISTOGRAMS, RingCounter};
use uepoll_common::hist::RawHistogram;
use uepoll_common::record::{Record, RecordKind, Resolved, RingNumber, RingSeen};
use uepoll_common::state::{Control, HISTOGRAM_RINGS, PENDING, Pending, Phase, RINGS, RingState};
use uepoll_core::capture::{HostCounters, LastState, Owner, RingCapture, RingCounters};

use crate::probe::{ProbeError, Probes, system};

/// Plain data of the kernel side, as aya wants the values of maps.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Plain<T>(T);

// SAFETY: `repr(C)`; integers alone, any bits are valid, and padding that the
// kernel hands over is never read.
unsafe impl Pod for Plain<RingState> {}
// SAFETY: as above.
unsafe impl Pod for Plain<Control> {}
// SAFETY: as above.
unsafe impl Pod for Plain<RawHistogram> {}

fn in_map(map: &'static str) -> impl Fn(MapError) -> ProbeError {
    move |source| ProbeError::Map { map, source }
}

/// Tells the probes what to do.
///
/// # Errors
/// If the map cannot be written.
pub fn set_phase(probes: &mut Probes, phase: Phase) -> Result<(), ProbeError> {
    const MAP: &str = "PHASE";
    let mut map = Array::<_, u32>::try_from(probes.map_mut(MAP)?).map_err(in_map(MAP))?;
    map.set(0, phase as u32, 0).map_err(in_map(MAP))
}

/// Adds a process whose rings are wanted.
///
/// # Errors
/// If the map is full.
pub fn add_target(probes: &mut Probes, tgid: u32) -> Result<(), ProbeError> {
    const MAP: &str = "TARGETS";
    let mut map = HashMap::<_, u32, u32>::try_from(probes.map_mut(MAP)?).map_err(in_map(MAP))?;
    map.insert(tgid, 1, 0).map_err(in_map(MAP))
}

/// Counters of the host.
///
/// # Errors
/// If the map cannot be read.
pub fn host_counters(probes: &Probes) -> Result<HostCounters, ProbeError> {
    let per_cpu = PerCpuMap::<[u64; HOST_COUNTERS]>::open(probes, "HOST_COUNTS")?;
    Ok(HostCounters(per_cpu.sum(0, [0; HOST_COUNTERS], add_counters)?))
}

fn add_counters<const N: usize>(sum: &mut [u64; N], more: &[u64; N]) {
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum += more;
    }
}

/// A map with one value for each CPU.
struct PerCpuMap<'a, T: Pod> {
    name: &'static str,
    map: PerCpuArray<&'a MapData, T>,
}

impl<'a, T: Pod> PerCpuMap<'a, T> {
    fn open(probes: &'a Probes, name: &'static str) -> Result<Self, ProbeError> {
        let map: &'a Map = probes.map(name)?;
        Ok(Self { name, map: PerCpuArray::try_from(map).map_err(in_map(name))? })
    }

    fn sum<S>(&self, at: u32, mut sum: S, add: fn(&mut S, &T)) -> Result<S, ProbeError> {
        for value in self.map.get(&at, 0).map_err(in_map(self.name))?.iter() {
            add(&mut sum, value);
        }
        Ok(sum)
    }
}

/// Takes the last look at every ring, and hands over what is known of those
/// whose owner passes the filter. Positions still pending go to `sink`.
///
/// # Errors
/// If a map cannot be read, or the look not be taken.
pub fn rings(
    probes: &Probes,
    sink: &mut dyn FnMut(Record),
) -> Result<Vec<RingCapture>, ProbeError> {
    const STATES: &str = "RING_STATES";
    let states = Array::<_, Plain<RingState>>::try_from(probes.map(STATES)?);
    let states = states.map_err(in_map(STATES))?;
    let counts = PerCpuMap::<[u64; RING_COUNTERS]>::open(probes, "RING_COUNTS")?;
    let histograms = PerCpuMap::<Plain<RawHistogram>>::open(probes, "HISTOGRAMS")?;
    let look = probes.look()?;
    let mut rings = Vec::new();
    for ring in 0..met(probes)? {
        system::run_once(look, u64::from(ring)).map_err(|error| ProbeError::Program {
            program: "look",
            reason: format!("{error} (run on request, for ring {ring})"),
        })?;
        let state = states.get(&ring, 0).map_err(in_map(STATES))?.0;
        // A number that two CPUs competed for, or a ring that nobody asked for.
        if state.ep == 0 || state.selected == 0 {
            continue;
        }
        let mut counters = counts.sum(ring, [0; RING_COUNTERS], add_counters)?;
        let left = leftovers(ring, &state);
        counters[RingCounter::SampledSent as usize] += left.len() as u64;
        left.into_iter().map(Record::Resolved).for_each(&mut *sink);
        let kinds = histograms_of(&histograms, ring)?;
        rings.push(capture_of(ring, &state, RingCounters(counters), kinds));
    }
    Ok(rings)
}

/// How many ring numbers were given.
fn met(probes: &Probes) -> Result<u32, ProbeError> {
    const MAP: &str = "CONTROL";
    let map = Array::<_, Plain<Control>>::try_from(probes.map(MAP)?).map_err(in_map(MAP))?;
    let met = map.get(&0, 0).map_err(in_map(MAP))?.0.next_ring;
    Ok(met.min(RINGS as u32))
}

fn histograms_of(
    map: &PerCpuMap<'_, Plain<RawHistogram>>,
    ring: RingNumber,
) -> Result<Option<Box<[RawHistogram; RING_HISTOGRAMS]>>, ProbeError> {
    if ring as usize >= HISTOGRAM_RINGS {
        return Ok(None);
    }
    let mut all = Box::new([RawHistogram::EMPTY; RING_HISTOGRAMS]);
    for (kind, histogram) in (0u32..).zip(all.iter_mut()) {
        let at = ring * RING_HISTOGRAMS as u32 + kind;
        *histogram =
            map.sum(at, RawHistogram::EMPTY, |sum, more: &Plain<RawHistogram>| sum.merge(&more.0))?;
    }
    Ok(Some(all))
}

fn capture_of(
    ring: RingNumber,
    state: &RingState,
    counters: RingCounters,
    histograms: Option<Box<[RawHistogram; RING_HISTOGRAMS]>>,
) -> RingCapture {
    let owner = (state.owner_tgid != 0).then(|| Owner {
        pid: state.owner_tgid,
        comm: name(&state.comm),
        fd: state.fd,
        waiters: state
            .waiters
            .iter()
            .filter(|waiter| waiter.tid != 0)
            .map(|waiter| (waiter.tid, name(&waiter.comm)))
            .collect(),
    });
    let (head, tail) = end_of_count(state);
    let last = (state.final_known != 0).then(|| LastState {
        head,
        tail,
        items_used: (state.items_used != u32::MAX).then_some(state.items_used),
        header_right: state.header_wrong == 0,
    });
    RingCapture {
        ring,
        owner,
        max_items: state.max_items,
        first_head: state.first_head,
        first_tail: state.first_tail,
        last,
        closed: state.closing != 0,
        created: state.how == RingSeen::CREATED,
        counters,
        histograms,
        sample_shift: state.sample_shift,
    }
}

/// Head and tail where counting ended. The program did not stop for us: the
/// last look may show events that nobody counted, and of a ring that was closed
/// it may lack some that came while it closed.
fn end_of_count(state: &RingState) -> (u32, u32) {
    let all_counted = state.closing == RingState::CLOSING_COUNTED && state.first_known != 0;
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

/// A name as the kernel keeps it, NUL padded.
fn name(comm: &[u8; 16]) -> String {
    let end = comm.iter().position(|byte| *byte == 0).unwrap_or(comm.len());
    String::from_utf8_lossy(&comm[..end]).into_owned()
}

/// Positions that nobody has resolved: by the last look at the ring they are
/// either bracketed or, their end unknown, censored. Oldest first.
fn leftovers(ring: RingNumber, state: &RingState) -> Vec<Resolved> {
    let pending = (0..PENDING as u32)
        .map(|step| state.pending_head.wrapping_add(step))
        .map(|at| (at, &state.pending[at as usize % PENDING]))
        .filter(|(at, place)| place.state == Pending::ready(*at));
    pending.map(|(_, place)| leftover(ring, state, place)).collect()
}

fn leftover(ring: RingNumber, state: &RingState, place: &Pending) -> Resolved {
    let looked = state.final_known != 0 && state.final_before_ns >= place.add_exit_ns;
    // A head beyond tail is nothing that a latency is made of.
    let sane = state.final_tail.wrapping_sub(state.final_head)
        <= state.max_items.saturating_add(uepoll_common::abi::MAX_ITEMS);
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
        reserved: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            first_head: 0,
            first_tail: 0,
            first_known: 1,
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
        let left = leftovers(3, &ring);
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
        assert_eq!(leftovers(0, &ring), []);
    }

    #[test]
    fn a_head_beyond_tail_ends_nothing() {
        let mut ring = state();
        push(&mut ring, 4, 900);
        ring.final_head = ring.final_tail + 1;
        assert_eq!(leftovers(0, &ring)[0].consumed_hi_ns, 0);
    }

    #[test]
    fn a_ring_that_was_never_looked_at_again_leaves_its_positions_open() {
        let mut ring = state();
        push(&mut ring, 4, 900);
        ring.final_known = 0;
        let left = leftovers(0, &ring)[0];
        assert_eq!((left.consumed_lo_ns, left.consumed_hi_ns), (900, 0));
    }

    #[test]
    fn events_after_the_end_of_counting_are_not_of_the_run() {
        let mut ring = state();
        (ring.counted_tail, ring.final_head, ring.final_tail) = (7, 9, 12);
        assert_eq!(end_of_count(&ring), (7, 7));
        (ring.final_head, ring.final_tail) = (5, 12);
        assert_eq!(end_of_count(&ring), (5, 7));
        ring.closing = RingState::CLOSING_UNCOUNTED;
        assert_eq!(end_of_count(&ring), (5, 7));
        ring.closing = RingState::CLOSING_COUNTED;
        assert_eq!(end_of_count(&ring), (5, 12));
    }

    #[test]
    fn events_that_came_while_a_ring_closed_are_of_the_run() {
        let mut ring = state();
        ring.closing = RingState::CLOSING_COUNTED;
        (ring.counted_tail, ring.final_head, ring.final_tail) = (9, 7, 7);
        assert_eq!(end_of_count(&ring), (7, 9));
    }

    #[test]
    fn without_a_counted_add_nothing_was_published() {
        let mut ring = state();
        ring.first_known = 0;
        // Met at (3, 4), before counting; two adds that nobody counted.
        (ring.first_head, ring.first_tail, ring.counted_tail) = (3, 4, 4);
        (ring.final_head, ring.final_tail) = (6, 6);
        for closing in [0, RingState::CLOSING_COUNTED, RingState::CLOSING_UNCOUNTED] {
            ring.closing = closing;
            assert_eq!(end_of_count(&ring), (4, 4));
        }
    }

    #[test]
    fn a_head_that_the_program_forged_is_shown_as_it_is() {
        let mut ring = state();
        (ring.counted_tail, ring.final_head, ring.final_tail) = (7, 9, 7);
        assert_eq!(end_of_count(&ring), (9, 7));
    }

    #[test]
    fn positions_come_in_the_order_of_the_queue() {
        let mut ring = state();
        ring.pending_head = 62;
        ring.pending_tail = 62;
        for position in 10..15 {
            push(&mut ring, position, 900);
        }
        let order: Vec<_> = leftovers(0, &ring).iter().map(|r| r.position).collect();
        assert_eq!(order, [10, 11, 12, 13, 14]);
    }
}
