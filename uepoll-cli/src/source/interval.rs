//! Intervals of the live source: ended, looked at while they go on, and put
//! together into captures.

use std::collections::BTreeSet;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use aya::sys::{Stats, enable_stats};
use uepoll_common::record::{Record, Refused, RingClosed, RingSeen, Snapshot, Waited, Worked};
use uepoll_common::state::{Phase, PhaseWord};
use uepoll_core::capture::{Capture, Cost, Host, HostCounters, Loss, RingCapture};

use super::attach::release;
use super::existing;
use super::live::{Live, SETTLE, now_ns};
use super::live_maps::{self, Bank};
use crate::probe::ProbeError;

/// Why an interval could not be ended properly.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    /// Reading what was counted failed.
    #[error(transparent)]
    Probe(#[from] ProbeError),
}

impl Live {
    /// Ends the interval, gives what was counted in it, and begins the next. The
    /// records handed over until this returns are of the interval that ended.
    ///
    /// # Errors
    /// If a map cannot be read.
    pub fn roll(&mut self, sink: &mut dyn FnMut(Record)) -> Result<Capture, FinishError> {
        let next = self.interval.wrapping_add(1) & PhaseWord::LAST_INTERVAL;
        let capture = self.close(PhaseWord::new(Phase::Counting, next), sink)?;
        self.interval = next;
        Ok(capture)
    }

    /// What was counted in this interval so far, while it goes on.
    ///
    /// # Errors
    /// If a map cannot be read.
    pub fn peek(&mut self) -> Result<Capture, FinishError> {
        let (start_ns, now_ns) = (self.start_ns, now_ns());
        let duration = self.started.elapsed();
        let open_waits = live_maps::open_waits(&self.probes, now_ns)?;
        let rings = self.peek_rings((start_ns, now_ns), &open_waits)?;
        let bank = Bank::of(self.interval, self.rings).untouched();
        let mut host_counters = bank.take_host_counters(&mut self.probes)?;
        host_counters.add(&self.carried);
        let (loss, cost) = self.meter.peek(&self.probes);
        let loss = Loss { ticks_expected: self.ticks.due(), bad_records: self.bad_records, ..loss };
        let capture = self.capture(rings, host_counters, (loss, cost), duration);
        let head_watch = self.head_watch.as_ref().map(|head| head.told(head.watch.done()));
        Ok(Capture { unfinished: true, start_ns, head_watch, ..capture })
    }

    /// Stops counting, hands over the last records, and reads what was counted.
    /// Nothing stays attached.
    ///
    /// # Errors
    /// If a map cannot be read.
    pub fn finish(mut self, sink: &mut dyn FnMut(Record)) -> Result<Capture, FinishError> {
        self.close(PhaseWord::new(Phase::Draining, self.interval), sink)
    }

    /// Ends the interval by telling the probes `next`.
    fn close(
        &mut self,
        next: PhaseWord,
        sink: &mut dyn FnMut(Record),
    ) -> Result<Capture, FinishError> {
        self.poll(sink);
        live_maps::set_phase(&mut self.probes, next)?;
        let duration = self.started.elapsed();
        let ticks_due = self.ticks.take_due();
        let (start_ns, end_ns) = (self.start_ns, now_ns());
        let open_waits = live_maps::open_waits(&self.probes, end_ns)?;
        let loss_and_cost = self.meter.end(&self.probes);
        (self.started, self.start_ns) = (Instant::now(), end_ns);
        sleep(SETTLE);
        // First what was sent while counting, then the last look, which may
        // send more, and then what that has left pending.
        self.sort_out(end_ns, sink);
        self.holders = existing::holders(&mut self.probes)?;
        let mut left = Vec::new();
        let rings = self.take_rings((start_ns, end_ns), &open_waits, &mut left)?;
        let mut late = BTreeSet::new();
        self.sort_out(end_ns, &mut |record| {
            if let Record::Resolved(resolved) = &record {
                late.insert((resolved.ring, resolved.position));
            }
            sink(record);
        });
        // What was still pending when its ring was read may have been sent since.
        left.retain(|kept| !late.contains(&(kept.ring, kept.position)));
        for mut resolved in left {
            self.narrow(&mut resolved);
            sink(Record::Resolved(resolved));
        }
        self.open_waits = open_waits;
        let bank = Bank::of(self.interval, self.rings);
        let mut host_counters = bank.take_host_counters(&mut self.probes)?;
        host_counters.add(&std::mem::take(&mut self.carried));
        let (loss, cost) = loss_and_cost;
        let bad_records = std::mem::take(&mut self.bad_records);
        let loss = Loss { ticks_expected: ticks_due, bad_records, ..loss };
        self.meter.measure(&self.probes, enable_stats(Stats::RunTime).ok());
        let capture = self.capture(rings, host_counters, (loss, cost), duration);
        let head_watch = self.head_watch.as_ref().map(|head| head.told(head.watch.take_done()));
        Ok(Capture { start_ns, head_watch, ..capture })
    }

    /// Everything together. Start and watch of head are for the caller to
    /// fill in.
    fn capture(
        &self,
        rings: Vec<RingCapture>,
        host_counters: HostCounters,
        (loss, cost): (Loss, Cost),
        duration: Duration,
    ) -> Capture {
        let cpus = self.probes.cpus();
        Capture {
            host: Host {
                release: release(),
                cpus,
                protocol: self.protocol,
                emulated: emulated(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
            },
            interval: self.interval,
            plan: self.probes.plan(),
            start_ns: 0,
            duration_ns: duration.as_nanos() as u64,
            unfinished: false,
            notes: self.notes(),
            sampler_hz: mean_hz(loss.ticks_expected, cpus, duration),
            rings,
            head_watch: None,
            host_counters,
            loss,
            cost,
        }
    }

    /// Hands over the records of the interval that ended at `end_ns`, and keeps
    /// those of the next.
    fn sort_out(&mut self, end_ns: u64, sink: &mut dyn FnMut(Record)) {
        let next = self.interval.wrapping_add(1) & PhaseWord::LAST_INTERVAL;
        for record in self.drain() {
            let (of_this, of_next) = match &record {
                Record::Resolved(resolved) => {
                    (resolved.interval == self.interval, resolved.interval == next)
                }
                Record::RingSeen(RingSeen { time_ns, .. })
                | Record::RingClosed(RingClosed { time_ns, .. })
                | Record::Snapshot(Snapshot { before_ns: time_ns, .. })
                | Record::Waited(Waited { exit_ns: time_ns, .. })
                | Record::Refused(Refused { time_ns, .. })
                | Record::Worked(Worked { end_ns: time_ns, .. }) => {
                    (*time_ns < end_ns, *time_ns >= end_ns)
                }
            };
            if of_this {
                sink(record);
            } else if of_next {
                self.held.push(record);
            }
        }
    }
}

/// Ticks a second and CPU, over an interval in which the rate may have changed.
fn mean_hz(ticks: u64, cpus: u32, duration: Duration) -> u32 {
    let seconds = duration.as_secs_f64() * f64::from(cpus.max(1));
    if seconds > 0.0 { (ticks as f64 / seconds).round() as u32 } else { 0 }
}

/// Whether the CPU is QEMU's own emulation, whose timings are ratios only.
fn emulated(cpuinfo: &str) -> bool {
    let model = cpuinfo.lines().find(|line| line.starts_with("model name"));
    model.is_some_and(|line| line.contains("TCG"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emulated_cpu_is_known_by_its_name() {
        assert!(emulated("processor: 0\nmodel name\t: QEMU TCG CPU version 2.5+\n"));
        assert!(!emulated("model name\t: Intel(R) Xeon(R)\n"));
        assert!(!emulated(""));
    }
}
