//! The running kernel as a source: attaches, hands over records as they come,
//! and at the end of each interval everything that was counted. What it means is
//! the core's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use aya::maps::{MapData, RingBuf};
use aya::sys::{Stats, enable_stats};
use rustix::time::{ClockId, clock_gettime};
use uepoll_common::counter::HostCounter;
use uepoll_common::record::{Record, Resolved, RingNumber};
use uepoll_common::state::{Phase, PhaseWord, RINGS};
use uepoll_core::capture::{HostCounters, Protocol};
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
pub use super::interval::FinishError;
pub use super::options::{Filter, LiveOptions, ProbeKind};
pub use super::pace::Pace;

/// How long BPF statistics stay on: they tax every program of the host.
const STATISTICS: Duration = Duration::from_millis(200);

/// How long callbacks under way are given to end, before counting begins and
/// after an interval ends. They take microseconds; a worker may be off the CPU.
pub(super) const SETTLE: Duration = Duration::from_millis(20);

/// Most places that maps of rings are given.
const MOST_RINGS: u32 = 1 << 16;

/// Probes that are attached and counting. Dropped, it takes them away.
pub struct Live {
    pub(super) probes: Probes,
    pub(super) records: RingBuf<MapData>,
    pub(super) protocol: Protocol,
    pub(super) ticks: Ticks,
    /// Places in the maps of rings.
    pub(super) rings: u32,
    /// Number of the interval.
    pub(super) interval: u32,
    pub(super) started: Instant,
    pub(super) start_ns: u64,
    pub(super) meter: Meter,
    pub(super) bad_records: u64,
    /// What the host counted before the interval began.
    pub(super) carried: HostCounters,
    /// A ring was met.
    pub(super) ring_seen: bool,
    /// Records of the interval that has just begun, read while the one before
    /// was being ended.
    pub(super) held: Vec<Record>,
    pub(super) holders: Holders,
    pub(super) sleepers: Sleepers,
    /// Where rings stood when the last interval ended.
    pub(super) ends: BTreeMap<RingNumber, HeadAndTail>,
    /// Rings whose close was told.
    pub(super) closed: BTreeSet<RingNumber>,
    /// Waits that went on when the last interval ended.
    pub(super) open_waits: BTreeMap<RingNumber, u64>,
    /// Threads that the user names as consumers, whose ring is not met yet.
    pub(super) unplaced: Vec<u32>,
    /// Those that have one.
    pub(super) named: BTreeMap<RingNumber, Vec<u32>>,
    pub(super) spins: Spins,
    pub(super) head_watch: Option<Watched>,
}

/// A ring whose head is watched.
pub(super) struct Watched {
    pub(super) watch: HeadWatch,
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
    pub(super) fn drain(&mut self) -> Vec<Record> {
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

    pub(super) fn narrow(&mut self, resolved: &mut Resolved) {
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

    /// What the report has to say of threads that the user named.
    pub(super) fn notes(&self) -> Vec<String> {
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
    pub(super) fn told(&self, done: Done) -> uepoll_core::capture::HeadWatch {
        uepoll_core::capture::HeadWatch {
            ring: self.ring,
            reads: done.reads,
            watched_ns: done.watched_ns,
            longest_gap_ns: done.longest_gap_ns,
            ended: done.ended.then(|| "the process exited, and its file was let go".to_owned()),
        }
    }
}

/// CLOCK_MONOTONIC, as the kernel side reads it.
pub(super) fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}
