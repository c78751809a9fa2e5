//! The running kernel as a source: attaches, hands over records as they come,
//! and at the end of each interval everything that was counted. What it means is
//! the core's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use aya::maps::{MapData, RingBuf};
use aya::sys::{Stats, enable_stats};
use rustix::time::{ClockId, clock_gettime};
use uepoll_common::counter::HostCounter;
use uepoll_common::record::{
    Record, Refused, Resolved, RingClosed, RingNumber, RingSeen, Snapshot, Waited, Worked,
};
use uepoll_common::state::{Phase, PhaseWord, RINGS};
use uepoll_core::capture::{Capture, Cost, Host, HostCounters, Loss, Protocol, RingCapture};
use uepoll_core::residency::narrow;

use super::attach::Kernel;
use super::boundary::HeadAndTail;
use super::cost::Meter;
use super::existing::{self, Holders, Sleepers};
use super::head_watch::{Done, HeadWatch};
use super::live_maps::{self, Bank};
use super::pace::Ticks;
use super::spins::Spins;
use crate::probe::{ProbeError, Probes, SAMPLER};

pub use super::attach::{AttachError, release, trial};
pub use super::options::{Filter, LiveOptions, ProbeKind};
pub use super::pace::Pace;

/// Why an interval could not be ended properly.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    /// Reading what was counted failed.
    #[error(transparent)]
    Probe(#[from] ProbeError),
}

/// How long BPF statistics stay on: they tax every program of the host.
const STATISTICS: Duration = Duration::from_millis(200);

/// How long callbacks under way are given to end, before counting begins and
/// after an interval ends. They take microseconds; a worker may be off the CPU.
const SETTLE: Duration = Duration::from_millis(20);

/// Most places that maps of rings are given.
const MOST_RINGS: u32 = 1 << 16;

/// Probes that are attached and counting. Dropped, it takes them away.
pub struct Live {
    pub(super) probes: Probes,
    records: RingBuf<MapData>,
    protocol: Protocol,
    ticks: Ticks,
    /// Places in the maps of rings.
    pub(super) rings: u32,
    /// Number of the interval.
    pub(super) interval: u32,
    started: Instant,
    start_ns: u64,
    meter: Meter,
    bad_records: u64,
    /// What the host counted before the interval began.
    carried: HostCounters,
    /// A ring was met.
    ring_seen: bool,
    /// Records of the interval that has just begun, read while the one before
    /// was being ended.
    held: Vec<Record>,
    pub(super) holders: Holders,
    pub(super) sleepers: Sleepers,
    /// Where rings stood when the last interval ended.
    pub(super) ends: BTreeMap<RingNumber, HeadAndTail>,
    /// Rings whose close was told.
    pub(super) closed: BTreeSet<RingNumber>,
    /// Waits that went on when the last interval ended.
    pub(super) open_waits: BTreeMap<RingNumber, u64>,
    /// Threads that the user names as consumers, whose ring is not met yet.
    unplaced: Vec<u32>,
    /// Those that have one.
    pub(super) named: BTreeMap<RingNumber, Vec<u32>>,
    spins: Spins,
    head_watch: Option<Watched>,
}

/// A ring whose head is watched.
struct Watched {
    watch: HeadWatch,
    tgid: u32,
    fd: i32,
    ring: Option<RingNumber>,
}

impl Live {
    /// Attaches every probe, finds what exists, then starts counting.
    ///
    /// # Errors
    /// See [`AttachError`]; nothing stays attached.
    pub fn attach(options: LiveOptions) -> Result<Self, AttachError> {
        let kernel = Kernel::look()?;
        let mut rings = RINGS as u32;
        let (mut probes, holders) = loop {
            let mut probes = kernel.attach(&options, rings)?;
            for tgid in options.filter.targets() {
                live_maps::add_target(&mut probes, *tgid)?;
            }
            live_maps::set_phase(&mut probes, PhaseWord::new(Phase::Frames, 0))?;
            let holders = existing::holders(&mut probes)?;
            // A host with many rings gets places for as many again.
            if live_maps::met(&probes)? <= rings / 2 || rings >= MOST_RINGS {
                break (probes, holders);
            }
            rings *= 4;
        };
        let mut sleepers = Sleepers::new();
        if probes.expect_sleepers()? {
            sleepers = existing::sleepers(&mut probes, &holders, now_ns())?;
        }
        if sleepers.is_empty() {
            probes.expect_no_sleepers()?;
        }
        let records = match RingBuf::try_from(probes.take_map("RECORDS")?) {
            Ok(records) => records,
            Err(source) => return Err(ProbeError::Map { map: "RECORDS", source }.into()),
        };
        let head_watch = match &options.filter {
            Filter::Ring { tgid, fd } if options.watch_head => {
                let watch = HeadWatch::begin(*tgid, *fd)?;
                Some(Watched { watch, tgid: *tgid, fd: *fd, ring: None })
            }
            _ => None,
        };
        let ticks = Ticks::new(options.pace, probes.cpus());
        let mut live = Self {
            probes,
            records,
            protocol: kernel.protocol,
            ticks,
            rings,
            interval: 0,
            started: Instant::now(),
            start_ns: 0,
            meter: Meter::default(),
            bad_records: 0,
            carried: HostCounters::default(),
            ring_seen: !holders.is_empty(),
            held: Vec::new(),
            holders,
            sleepers,
            ends: BTreeMap::new(),
            closed: BTreeSet::new(),
            open_waits: BTreeMap::new(),
            unplaced: options.consumers,
            named: BTreeMap::new(),
            spins: Spins::new(options.filter.is_of_one_process()),
            head_watch,
        };
        live.note_holders()?;
        // What was entered before the probes were there has left by now; what
        // is entered from here on is known, and not counted.
        sleep(SETTLE);
        live.begin();
        live_maps::set_phase(&mut live.probes, PhaseWord::new(Phase::Counting, 0))?;
        Ok(live)
    }

    /// Starts the clock and the statistics of the interval anew: to be called
    /// when a command is released that was held until everything was attached.
    pub fn begin(&mut self) {
        // Ticks until now are none of those that are expected from here on; what
        // was lost until now is lost. If it cannot be read here, it cannot be at
        // the end, and that is told there.
        let bank = Bank::of(self.interval, self.rings);
        if let Ok(mut before) = bank.take_host_counters(&mut self.probes) {
            before.0[HostCounter::SamplerTicks as usize] = 0;
            self.carried.add(&before);
        }
        self.started = Instant::now();
        self.start_ns = now_ns();
        self.ticks.begin();
        self.meter.begin(&self.probes, enable_stats(Stats::RunTime).ok());
        // How long the waits that go on had lasted by then is no part of it.
        // The same map is read at the end, where its failure is told.
        self.open_waits = live_maps::open_waits(&self.probes, self.start_ns).unwrap_or_default();
    }

    /// When the interval began, on the clock of the records.
    pub fn start_ns(&self) -> u64 {
        self.start_ns
    }

    /// The same as nanoseconds since 1970, by the clock as it is set now.
    pub fn start_unix_ns(&self) -> u64 {
        let time = clock_gettime(ClockId::Realtime);
        let now_unix_ns =
            time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned();
        now_unix_ns.saturating_sub(now_ns().saturating_sub(self.start_ns))
    }

    /// Listens to the spin probes that an executable carries, from now on. One
    /// that carries none, or cannot be read, has none.
    ///
    /// # Errors
    /// If the kernel refuses to listen to one that is there.
    pub fn listen_to_spins_of(&mut self, executable: &Path) -> Result<(), ProbeError> {
        self.spins.listen(&mut self.probes, executable)
    }

    /// Hands over the records that have come so far. Never blocks.
    pub fn poll(&mut self, sink: &mut dyn FnMut(Record)) {
        if self.meter.end_statistics(&self.probes, STATISTICS) {
            self.keep_pace();
        }
        self.probes.tell_anomalies();
        std::mem::take(&mut self.held).into_iter().for_each(&mut *sink);
        let interval = self.interval;
        for record in self.drain() {
            match &record {
                // Of an interval that was told; there it stands as unconsumed.
                Record::Resolved(resolved) if resolved.interval != interval => {}
                _ => sink(record),
            }
        }
    }

    /// Sets the sampler's rate by the price of a tick that was just measured.
    fn keep_pace(&mut self) {
        let price = self.meter.price_of(SAMPLER);
        if let Some(hz) = self.ticks.better_hz(price)
            // Refused, it ticks as before; the report tells rate and price.
            && self.probes.set_sampler_hz(hz).is_ok()
        {
            self.ticks.changed_to(hz);
        }
    }

    /// Every record that is in the ring buffer, narrowed where head is watched.
    fn drain(&mut self) -> Vec<Record> {
        let mut records = Vec::new();
        while let Some(bytes) = self.records.next() {
            match Record::decode(&bytes) {
                Some(record) => records.push(record),
                None => self.bad_records += 1,
            }
        }
        for record in &mut records {
            match record {
                Record::Resolved(resolved) => self.narrow(resolved),
                Record::RingSeen(seen) => {
                    // A command takes its time to make its first ring: what
                    // was measured until then is the price of nothing.
                    if !std::mem::replace(&mut self.ring_seen, true) {
                        self.meter.measure(&self.probes, enable_stats(Stats::RunTime).ok());
                    }
                    self.note_ring(seen.ring, seen.tgid, seen.fd);
                }
                _ => {}
            }
        }
        records
    }

    fn narrow(&mut self, resolved: &mut Resolved) {
        let Some(watched) = &self.head_watch else { return };
        if watched.ring != Some(resolved.ring) {
            return;
        }
        if let Some((lo_ns, hi_ns)) = watched.watch.passing(resolved.position)
            && !narrow(resolved, lo_ns, hi_ns)
        {
            // It is left as it was, true and wider; one of the two is wrong.
            self.bad_records += 1;
        }
    }

    /// Every descriptor of a ring that is known may be of use.
    fn note_holders(&mut self) -> Result<(), ProbeError> {
        let known: Vec<_> = self
            .holders
            .iter()
            .flat_map(|(ring, holders)| holders.iter().map(|h| (*ring, h.pid, h.fd)))
            .collect();
        for (ring, tgid, fd) in known {
            self.note_ring(ring, tgid, fd);
        }
        Ok(())
    }

    /// A ring, and a process that uses it, was met: its executable may carry the
    /// spin probe, its threads may be named as consumers, its head watched.
    fn note_ring(&mut self, ring: RingNumber, tgid: u32, fd: i32) {
        if tgid == 0 {
            return;
        }
        if let Some(watched) = &mut self.head_watch
            && (watched.tgid, watched.fd) == (tgid, fd)
        {
            // One that is behind the descriptor later is another file's.
            watched.ring.get_or_insert(ring);
        }
        // A refusal costs the exact iterations of this program alone; they are
        // then said to be unknown.
        let _ = self.spins.listen_to_process(&mut self.probes, tgid);
        // A process may have rings that nobody asked for: its threads are named
        // as consumers of one that somebody did.
        let wanted = |probes| live_maps::state(probes, ring).is_ok_and(|ring| ring.selected != 0);
        if self.unplaced.is_empty() || !wanted(&self.probes) {
            return;
        }
        let (probes, named) = (&mut self.probes, &mut self.named);
        self.unplaced.retain(|tid| {
            let placed = existing::process_of(*tid) == Some(tgid)
                && live_maps::add_consumer(probes, *tid, ring).is_ok();
            if placed {
                named.entry(ring).or_default().push(*tid);
            }
            !placed
        });
    }

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

    /// What the report has to say of threads that the user named.
    fn notes(&self) -> Vec<String> {
        let of_none = |tid: &u32| {
            format!(
                "thread {tid}, named with --consumer, belongs to no process with a ring that was \
                 watched: it is counted as a consumer of none"
            )
        };
        self.unplaced.iter().map(of_none).collect()
    }

    /// Whether the spin probes of a ring's owner were listened to by `time_ns`;
    /// `None` if they are not.
    pub(super) fn heard_from(&self, tgid: u32, time_ns: u64) -> Option<bool> {
        self.spins.since(tgid).map(|since_ns| since_ns <= time_ns)
    }
}

impl Watched {
    fn told(&self, done: Done) -> uepoll_core::capture::HeadWatch {
        uepoll_core::capture::HeadWatch {
            ring: self.ring,
            reads: done.reads,
            watched_ns: done.watched_ns,
            longest_gap_ns: done.longest_gap_ns,
            ended: done.ended.then(|| "the process exited, and its file was let go".to_owned()),
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

/// CLOCK_MONOTONIC, as the kernel side reads it.
pub(super) fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
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
