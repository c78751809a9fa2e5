//! Single events for whoever wants to see them one by one: waits, refused adds,
//! runs of the worker. What is counted does not depend on them; no more of a
//! ring are sent than a reader can follow, and each says how many it stands for.

use uepoll_common::counter::HostCounter;
use uepoll_common::record::{RecordKind, Refused, Waited, Worked};
use uepoll_common::state::WaitFrame;

use crate::frames::WorkerFrame;
use crate::publish::{MAX_SHIFT, WINDOW_NS, chosen};
use crate::{fields, life, maps};

/// Single events of one ring that are sent in one window before fewer are.
const BUDGET: u32 = 256;

/// Wakes no reader: the tool must not be woken by a probe.
const NO_WAKEUP: u64 = aya_ebpf::bindings::BPF_RB_NO_WAKEUP as u64;

/// Whether an event of a ring at this moment is sent: then how many it stands
/// for, as a power of two.
#[inline(always)]
fn shift(ring: u32, now_ns: u64) -> Option<u32> {
    if fields::singles() == 0 {
        return None;
    }
    let state = maps::state(ring)?;
    // SAFETY: map memory, from `maps::state`. CPUs that count in the same window
    // at once may count one too few: a window is a little larger then.
    unsafe {
        let shift = (*state).singles_shift;
        if !chosen(now_ns as u32, shift) {
            return None;
        }
        if now_ns.wrapping_sub((*state).singles_window_ns) > WINDOW_NS {
            (*state).singles_window_ns = now_ns;
            (*state).singles_due = 0;
        }
        (*state).singles_due += 1;
        if (*state).singles_due > BUDGET && shift < MAX_SHIFT {
            (*state).singles_shift = shift + 1;
            (*state).singles_due = 0;
        }
        Some(shift)
    }
}

#[inline(always)]
fn send<T: 'static>(record: T) {
    let Some(mut entry) = maps::RECORDS.reserve::<T>(0) else {
        return maps::count_host(HostCounter::SinglesLost);
    };
    entry.write(record);
    entry.submit(NO_WAKEUP);
}

/// A wait has returned.
#[inline(always)]
pub fn waited(frame: &WaitFrame, woken_ns: u64, exit_ns: u64, result: i64, slept: bool) {
    let Some(sample_shift) = shift(frame.ring, exit_ns) else { return };
    let met_asleep = frame.flags & WaitFrame::MET_ASLEEP != 0;
    send(Waited {
        kind: RecordKind::Waited as u32,
        ring: frame.ring,
        tid: life::thread() as u32,
        result: result as i32,
        entry_ns: frame.entry_ns,
        exit_ns,
        woken_ns: if slept && woken_ns >= frame.entry_ns && woken_ns <= exit_ns {
            woken_ns
        } else {
            0
        },
        flags: if slept { Waited::SLEPT } else { 0 }
            | if met_asleep { Waited::MET_ASLEEP } else { 0 },
        sample_shift,
    });
}

/// An add has failed with ENOSPC.
#[inline(always)]
pub fn refused(ring: u32, full: bool, likely: bool) {
    let time_ns = fields::now_ns();
    let Some(sample_shift) = shift(ring, time_ns) else { return };
    send(Refused {
        kind: RecordKind::Refused as u32,
        ring,
        time_ns,
        tid: life::thread() as u32,
        cause: if full { Refused::RING_FULL } else { Refused::USER_WATCHES },
        sample_shift,
        likely: u32::from(likely),
    });
}

/// A worker's run has ended.
#[inline(always)]
pub fn worked(frame: &WorkerFrame, end_ns: u64) {
    let Some(sample_shift) = shift(frame.ring, end_ns) else { return };
    send(Worked {
        kind: RecordKind::Worked as u32,
        ring: frame.ring,
        queued_ns: frame.queued_ns,
        begin_ns: frame.entry_ns,
        end_ns,
        item: frame.bit,
        tid: life::thread() as u32,
        flags: if frame.called_back == 0 { Worked::EMPTY } else { 0 },
        sample_shift,
    });
}
