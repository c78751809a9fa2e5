//! Every map, and how counters and histograms in them are reached. Memory is a
//! function of rings and CPUs alone: see the constants in `uepoll_common::state`.

use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, PerCpuArray, RingBuf};
use uepoll_common::counter::{
    HOST_COUNTERS, HostCounter, RING_COUNTERS, RING_HISTOGRAMS, RingCounter, RingHistogram,
};
use uepoll_common::hist::RawHistogram;
use uepoll_common::state::{
    ACTIVE_RINGS, BANKS, Control, HISTOGRAM_RINGS, Phase, PhaseWord, RINGS, RingState, WaitFrame,
};

use crate::atomic::{add, add_wide, load, swap_if};
use crate::fields;
use crate::frames::{CpuFrames, CtlFrame, WorkerFrame};

/// Threads that can be inside a control call, or a wait, at one time.
const THREADS: u32 = 16384;

/// Address of the `struct eventpoll` to number of the ring.
#[map]
pub static RING_NUMBERS: HashMap<u64, u32> = HashMap::with_max_entries(RINGS as u32, 0);

#[map]
static RING_STATES: Array<RingState> = Array::with_max_entries(RINGS as u32, 0);

#[map]
static RING_COUNTS: PerCpuArray<[u64; RING_COUNTERS]> =
    PerCpuArray::with_max_entries((BANKS * RINGS) as u32, 0);

#[map]
static HISTOGRAMS: PerCpuArray<RawHistogram> =
    PerCpuArray::with_max_entries((BANKS * HISTOGRAM_RINGS * RING_HISTOGRAMS) as u32, 0);

#[map]
static HOST_COUNTS: PerCpuArray<[u64; HOST_COUNTERS]> =
    PerCpuArray::with_max_entries(BANKS as u32, 0);

/// The [`PhaseWord`]: the one word that user space writes during a run.
#[map]
static PHASE: Array<u32> = Array::with_max_entries(1, 0);

#[map]
static CONTROL: Array<Control> = Array::with_max_entries(1, 0);

/// Numbers plus one of the rings that have published of late.
#[map]
static ACTIVE: Array<[u32; ACTIVE_RINGS]> = Array::with_max_entries(1, 0);

/// Processes whose rings are wanted, if a filter is on.
#[map]
pub static TARGETS: HashMap<u32, u32> = HashMap::with_max_entries(16384, 0);

/// Process to the numbers plus one of up to four rings that it owns.
#[map]
pub static PROCESS_RINGS: HashMap<u32, [u32; 4]> = HashMap::with_max_entries(RINGS as u32, 0);

/// Thread to the number plus one of the ring that it consumes from: it was seen
/// to wait there, or the user says so.
#[map]
pub static CONSUMERS: HashMap<u32, u32> = HashMap::with_max_entries(THREADS, 0);

#[map]
static CPU_FRAMES: PerCpuArray<CpuFrames> = PerCpuArray::with_max_entries(1, 0);

/// Thread to the offload work that it runs.
#[map]
pub static WORKERS: HashMap<u64, WorkerFrame> = HashMap::with_max_entries(1024, 0);

/// Item to the clock of the wake-up that queued its work.
#[map]
pub static OFFLOADS: HashMap<u64, u64> = HashMap::with_max_entries(65536, 0);

/// Thread to the control call that it is in.
#[map]
pub static CTLS: HashMap<u64, CtlFrame> = HashMap::with_max_entries(THREADS, 0);

/// Thread to the wait that it is in.
#[map]
pub static WAITS: HashMap<u64, WaitFrame> = HashMap::with_max_entries(THREADS, 0);

/// Stack pointer of a release that is running to the `struct eventpoll`.
#[map]
pub static RELEASES: HashMap<u64, u64> = HashMap::with_max_entries(1024, 0);

/// What user space reads while the run goes on.
#[map]
pub static RECORDS: RingBuf = RingBuf::with_byte_size(1 << 21, 0);

/// The one cell that belongs to no ring.
#[inline(always)]
pub fn control() -> Option<*mut Control> {
    CONTROL.get_ptr_mut(0)
}

/// What the probes do now, and in which interval.
#[inline(always)]
pub fn phase() -> PhaseWord {
    PhaseWord(PHASE.get_ptr(0).map_or(Phase::Off as u32, load))
}

/// The interval, if what happens now is counted.
#[inline(always)]
pub fn counting() -> Option<u32> {
    let phase = phase();
    if phase.is(Phase::Counting) { Some(phase.interval()) } else { None }
}

/// The bank that an interval counts in.
#[inline(always)]
fn bank(interval: u32) -> u32 {
    interval & (BANKS as u32 - 1)
}

/// The list of active rings.
#[inline(always)]
pub fn active() -> Option<*mut [u32; ACTIVE_RINGS]> {
    ACTIVE.get_ptr_mut(0)
}

/// Frames of the CPU that runs the program.
#[inline(always)]
pub fn cpu_frames() -> Option<*mut CpuFrames> {
    CPU_FRAMES.get_ptr_mut(0)
}

/// State of a ring.
#[inline(always)]
pub fn state(ring: u32) -> Option<*mut RingState> {
    RING_STATES.get_ptr_mut(ring)
}

/// Counters of a ring in an interval, on this CPU.
#[inline(always)]
pub fn counters(ring: u32, interval: u32) -> Option<*mut [u64; RING_COUNTERS]> {
    RING_COUNTS.get_ptr_mut(bank(interval) * fields::rings() + ring)
}

/// Counts one in counters already looked up.
#[inline(always)]
pub fn count_in(counters: *mut [u64; RING_COUNTERS], which: RingCounter) {
    // SAFETY: the pointer comes from `counters`, the index is an enum's.
    unsafe { (*counters)[which as usize] += 1 }
}

/// Counts one for a ring where this CPU may be interrupted by, or switch to, who
/// counts the same.
#[inline(always)]
pub fn count_shared(ring: u32, interval: u32, which: RingCounter) {
    add_shared(ring, interval, which, 1);
}

/// Adds for a ring, as [`count_shared`].
#[inline(always)]
pub fn add_shared(ring: u32, interval: u32, which: RingCounter, value: u64) {
    if let Some(counters) = counters(ring, interval) {
        // SAFETY: as in `count_in`.
        add_wide(unsafe { &raw mut (*counters)[which as usize] }, value);
    }
}

/// Counts one for a ring.
#[inline(always)]
pub fn count(ring: u32, interval: u32, which: RingCounter) {
    if let Some(counters) = counters(ring, interval) {
        count_in(counters, which);
    }
}

/// Counts one for the host.
#[inline(always)]
pub fn count_host(which: HostCounter) {
    if let Some(counters) = HOST_COUNTS.get_ptr_mut(bank(phase().interval())) {
        // SAFETY: this CPU's own map memory, the index is an enum's.
        unsafe { (*counters)[which as usize] += 1 }
    }
}

/// Adds a value to a histogram of a ring, if that ring has histograms. A
/// function of its own, so that the verifier meets its many branches once for
/// each call and not once for each path around it.
#[inline(never)]
pub fn record(ring: u32, interval: u32, which: u32, value: u64) {
    let Some(state) = state(ring) else { return };
    // SAFETY: map memory, from `state`.
    let word = unsafe { &raw mut (*state).histograms };
    let mut set = load(word);
    if set == 0 {
        let Some(control) = control() else { return };
        // SAFETY: map memory. Of two CPUs that ask at once for one ring, one
        // asks in vain.
        let asked = add(unsafe { &raw mut (*control).next_histograms }, 1);
        let given = if asked < HISTOGRAM_RINGS as u32 { asked } else { HISTOGRAM_RINGS as u32 };
        swap_if(word, 0, given + 1);
        set = load(word);
    }
    if set == 0 || set > HISTOGRAM_RINGS as u32 {
        return;
    }
    let at = bank(interval) * HISTOGRAM_RINGS as u32 + set - 1;
    if let Some(histogram) = HISTOGRAMS.get_ptr_mut(at * RING_HISTOGRAMS as u32 + which) {
        // SAFETY: this CPU's own map memory.
        unsafe { (*histogram).record(value) }
    }
}

/// As [`record`], by name.
#[inline(always)]
pub fn record_in(ring: u32, interval: u32, which: RingHistogram, value: u64) {
    record(ring, interval, which as u32, value);
}
