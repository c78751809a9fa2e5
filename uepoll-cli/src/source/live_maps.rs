//! What the kernel side counted, read out of its maps and summed over CPUs, one
//! interval at a time; and the few words that user space puts there.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use aya::Pod;
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, PerCpuValues};
use uepoll_common::counter::{HOST_COUNTERS, RING_COUNTERS, RING_HISTOGRAMS};
use uepoll_common::hist::RawHistogram;
use uepoll_common::record::RingNumber;
use uepoll_common::state::{
    BANKS, Control, HISTOGRAM_RINGS, NAMED_CONSUMER, PhaseWord, RingState, WaitFrame,
};
use uepoll_core::capture::{HostCounters, RingCounters};

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
// SAFETY: as above.
unsafe impl Pod for Plain<WaitFrame> {}

/// Insert only if the key is not there yet.
const BPF_NOEXIST: u64 = 1;

fn in_map(map: &'static str) -> impl Fn(MapError) -> ProbeError {
    move |source| ProbeError::Map { map, source }
}

/// Tells the probes what to do, and in which interval.
///
/// # Errors
/// If the map cannot be written.
pub fn set_phase(probes: &mut Probes, phase: PhaseWord) -> Result<(), ProbeError> {
    const MAP: &str = "PHASE";
    let mut map = Array::<_, u32>::try_from(probes.map_mut(MAP)?).map_err(in_map(MAP))?;
    map.set(0, phase.0, 0).map_err(in_map(MAP))
}

/// Adds a process whose rings are wanted.
///
/// # Errors
/// If the map is full.
pub fn add_target(probes: &mut Probes, tgid: u32) -> Result<(), ProbeError> {
    put(probes, "TARGETS", tgid, 1)
}

/// Names a thread as the consumer of a ring.
///
/// # Errors
/// If the map is full.
pub fn add_consumer(probes: &mut Probes, tid: u32, ring: RingNumber) -> Result<(), ProbeError> {
    put(probes, "CONSUMERS", tid, (ring + 1) | NAMED_CONSUMER)
}

fn put(probes: &mut Probes, name: &'static str, key: u32, value: u32) -> Result<(), ProbeError> {
    let mut map = HashMap::<_, u32, u32>::try_from(probes.map_mut(name)?).map_err(in_map(name))?;
    map.insert(key, value, 0).map_err(in_map(name))
}

const WAITS: &str = "WAITS";

/// Puts down the wait of a thread that was asleep in it before, unless it has
/// begun another since. Whether it was put down.
///
/// # Errors
/// If the map cannot be written.
pub fn add_wait(probes: &mut Probes, thread: u64, wait: WaitFrame) -> Result<bool, ProbeError> {
    let mut map = waits_mut(probes)?;
    match map.insert(thread, Plain(wait), BPF_NOEXIST) {
        Ok(()) => Ok(true),
        Err(MapError::SyscallError(error)) if is_eexist(&error.io_error) => Ok(false),
        Err(error) => Err(in_map(WAITS)(error)),
    }
}

fn is_eexist(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(libc::EEXIST)
}

/// Takes it away again.
///
/// # Errors
/// If the map cannot be written.
pub fn remove_wait(probes: &mut Probes, thread: u64) -> Result<(), ProbeError> {
    // Its failure is that the wait has ended meanwhile.
    let _ = waits_mut(probes)?.remove(&thread);
    Ok(())
}

fn waits_mut(
    probes: &mut Probes,
) -> Result<HashMap<&mut MapData, u64, Plain<WaitFrame>>, ProbeError> {
    HashMap::try_from(probes.map_mut(WAITS)?).map_err(in_map(WAITS))
}

/// How long the waits that go on have lasted at `now_ns`, summed by ring.
///
/// # Errors
/// If the map cannot be read.
pub fn open_waits(probes: &Probes, now_ns: u64) -> Result<BTreeMap<RingNumber, u64>, ProbeError> {
    let map = HashMap::<_, u64, Plain<WaitFrame>>::try_from(probes.map(WAITS)?);
    let map = map.map_err(in_map(WAITS))?;
    // What could not be read is a wait that has just ended.
    let waits = map.iter().take(MOST_STEPS).filter_map(Result::ok);
    Ok(lasted(waits.map(|(thread, Plain(wait))| (thread, wait)), now_ns))
}

/// Most steps of a walk over the waits: as many as there can be, several times.
const MOST_STEPS: usize = 1 << 17;

/// The sum by ring. A wait that ends where the walk stands makes it begin anew:
/// the same thread may come more than once, and counts once.
fn lasted(waits: impl Iterator<Item = (u64, WaitFrame)>, now_ns: u64) -> BTreeMap<RingNumber, u64> {
    let waits: BTreeMap<u64, WaitFrame> = waits.collect();
    let mut sums = BTreeMap::new();
    for wait in waits.values() {
        let sum: &mut u64 = sums.entry(wait.ring).or_default();
        *sum = sum.saturating_add(now_ns.saturating_sub(wait.entry_ns));
    }
    sums
}

/// How many ring numbers were given.
///
/// # Errors
/// If the map cannot be read.
pub fn met(probes: &Probes) -> Result<u32, ProbeError> {
    const MAP: &str = "CONTROL";
    let map = Array::<_, Plain<Control>>::try_from(probes.map(MAP)?).map_err(in_map(MAP))?;
    Ok(map.get(&0, 0).map_err(in_map(MAP))?.0.next_ring)
}

/// State of a ring; of one that is being used, as it was a moment ago.
///
/// # Errors
/// If the map cannot be read.
pub fn state(probes: &Probes, ring: RingNumber) -> Result<RingState, ProbeError> {
    const MAP: &str = "RING_STATES";
    let states = Array::<_, Plain<RingState>>::try_from(probes.map(MAP)?).map_err(in_map(MAP))?;
    Ok(states.get(&ring, 0).map_err(in_map(MAP))?.0)
}

/// Takes the last look at a ring in an interval that has ended.
///
/// # Errors
/// What the kernel says.
pub fn look(probes: &Probes, ring: RingNumber) -> Result<(), ProbeError> {
    system::run_once(probes.look()?, u64::from(ring)).map_err(|error| ProbeError::Program {
        program: "look",
        reason: format!("{error} (run on request, for ring {ring})"),
    })
}

/// What one bank holds. Read once its interval has ended, and emptied for the
/// next but one; or read while it goes on, and left as it is.
#[derive(Clone, Copy, Debug)]
pub struct Bank {
    bank: u32,
    /// Places in the maps of rings.
    rings: u32,
    /// It is emptied when it is read.
    emptied: bool,
}

impl Bank {
    /// The bank of an interval.
    pub fn of(interval: u32, rings: u32) -> Self {
        Self { bank: interval % BANKS as u32, rings, emptied: true }
    }

    /// The same, left as it is by whoever reads it.
    pub fn untouched(self) -> Self {
        Self { emptied: false, ..self }
    }

    /// Counters of the host.
    ///
    /// # Errors
    /// If the map cannot be read.
    pub fn take_host_counters(self, probes: &mut Probes) -> Result<HostCounters, ProbeError> {
        let sum = self.take(probes, "HOST_COUNTS", self.bank, [0; HOST_COUNTERS], add_counters)?;
        Ok(HostCounters(sum))
    }

    /// Counters of a ring.
    ///
    /// # Errors
    /// If the map cannot be read.
    pub fn take_counters(
        self,
        probes: &mut Probes,
        ring: RingNumber,
    ) -> Result<RingCounters, ProbeError> {
        let at = self.bank * self.rings + ring;
        Ok(RingCounters(self.take(probes, "RING_COUNTS", at, [0; RING_COUNTERS], add_counters)?))
    }

    /// Histograms of a ring, from its state; `None` if there were none left for
    /// it.
    ///
    /// # Errors
    /// If the map cannot be read.
    pub fn take_histograms(
        self,
        probes: &mut Probes,
        state: &RingState,
    ) -> Result<Option<Arc<[RawHistogram; RING_HISTOGRAMS]>>, ProbeError> {
        // Shared: most rings of a host with many have nothing in them.
        static EMPTY: LazyLock<Arc<[RawHistogram; RING_HISTOGRAMS]>> =
            LazyLock::new(|| Arc::new([RawHistogram::EMPTY; RING_HISTOGRAMS]));
        let Some(set) = state.histograms.checked_sub(1) else {
            return Ok(Some(Arc::clone(&EMPTY)));
        };
        if set as usize >= HISTOGRAM_RINGS {
            return Ok(None);
        }
        let mut all = Box::new([RawHistogram::EMPTY; RING_HISTOGRAMS]);
        let first = (self.bank * HISTOGRAM_RINGS as u32 + set) * RING_HISTOGRAMS as u32;
        for (kind, histogram) in (0u32..).zip(all.iter_mut()) {
            let empty = Plain(RawHistogram::EMPTY);
            let add = |sum: &mut Plain<RawHistogram>, more: &Plain<_>| sum.0.merge(&more.0);
            *histogram = self.take(probes, "HISTOGRAMS", first + kind, empty, add)?.0;
        }
        Ok(Some(all.into()))
    }

    /// The sum over CPUs of one value, which is set to `empty` if the bank is to
    /// be emptied.
    fn take<T: Pod>(
        self,
        probes: &mut Probes,
        name: &'static str,
        at: u32,
        empty: T,
        add: impl Fn(&mut T, &T),
    ) -> Result<T, ProbeError> {
        let map: &mut Map = probes.map_mut(name)?;
        let mut map = PerCpuArray::<_, T>::try_from(map).map_err(in_map(name))?;
        let values = map.get(&at, 0).map_err(in_map(name))?;
        let mut sum = empty;
        for value in values.iter() {
            add(&mut sum, value);
        }
        if self.emptied {
            let blank = vec![empty; values.len()];
            let blank = PerCpuValues::try_from(blank).map_err(|source| ProbeError::Map {
                map: name,
                source: MapError::IoError(source),
            })?;
            map.set(at, blank, 0).map_err(in_map(name))?;
        }
        Ok(sum)
    }
}

fn add_counters<const N: usize>(sum: &mut [u64; N], more: &[u64; N]) {
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum = sum.saturating_add(*more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_that_begins_anew_counts_no_wait_twice() {
        let wait = |ring, entry_ns| WaitFrame { ring, entry_ns, ..WaitFrame::default() };
        let walk = [(7, wait(0, 100)), (8, wait(0, 300)), (7, wait(0, 100)), (9, wait(1, 900))];
        // The last one began after the moment that is asked for.
        assert_eq!(lasted(walk.into_iter(), 500), [(0, 600), (1, 0)].into());
    }
}
