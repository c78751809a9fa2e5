//! The running kernel as a source: attaches, hands over records as they come,
//! and at the end everything that was counted. What it means is the core's.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use aya::maps::{MapData, MapError, RingBuf};
use aya::sys::{Stats, enable_stats};
use rustix::time::{ClockId, clock_gettime};
use uepoll_common::fields::{Config, KernelFields};
use uepoll_common::record::Record;
use uepoll_common::state::Phase;
use uepoll_core::capture::{Capture, Cost, Host, Loss, ProgramCost, Protocol};

use super::live_maps;
use crate::kernel::btf::{self, Btf, BtfError};
use crate::kernel::rights::{self, MissingRight};
use crate::kernel::symbols::{self, Symbols};
use crate::probe::plan::{self, Functions};
use crate::probe::{ProbeError, Probes, Refused, system};

/// What is watched, and how closely.
#[derive(Clone, Debug)]
pub struct LiveOptions {
    /// Processes whose rings are wanted, with those that they fork; all rings
    /// of the host without it. Numbers in the initial pid namespace.
    pub filter: Option<Vec<u32>>,
    /// Snapshots a second and CPU.
    pub sampler_hz: u32,
    /// At least so few positions are sampled: 1 in `2^sample_shift`.
    pub sample_shift: u32,
}

/// Why nothing is attached. Each is one sentence with its remedy.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The kernel does not carry the series.
    #[error(
        "this kernel ({release}) does not carry the EPOLL_USERPOLL series: struct eventpoll has \
         no user_header; boot a patched kernel, or try `cargo xtask demo`"
    )]
    NotPatched {
        /// `uname -r`.
        release: String,
    },
    /// A right is missing, or the kernel is locked down.
    #[error(transparent)]
    MissingRight(#[from] MissingRight),
    /// The kernel does not show its types.
    #[error(
        "cannot read the kernel's types from {path} ({reason}); boot a kernel built with \
         CONFIG_DEBUG_INFO_BTF, or try `cargo xtask demo`",
        path = btf::PATH
    )]
    NoBtf {
        /// What was wrong.
        reason: String,
    },
    /// It shows them, but one that is needed is not among them.
    #[error(
        "this kernel's struct {structure} has no {field}, which the probes read; \
         boot a kernel with the port in kernel/"
    )]
    NoField {
        /// The structure.
        structure: &'static str,
        /// The field.
        field: &'static str,
    },
    /// The kernel does not show its symbols.
    #[error("cannot read the kernel's symbols from {path} ({reason}); mount /proc",
        path = symbols::PATH)]
    NoSymbols {
        /// What the system said.
        reason: String,
    },
    /// The kernel hides addresses.
    #[error(
        "the kernel hides the addresses of its symbols from us; run it under sudo, or \
         `sysctl kernel.kptr_restrict=1` and give the binary cap_syslog"
    )]
    HiddenSymbols,
    /// The one address that is needed is not listed.
    #[error(
        "the kernel does not list its symbol eventpoll_fops; boot one built with \
         CONFIG_KALLSYMS_ALL"
    )]
    NoEventpollFops,
    /// Loading or attaching failed.
    #[error(transparent)]
    Probe(#[from] ProbeError),
}

/// Why a run could not be ended properly.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    /// Reading what was counted failed.
    #[error(transparent)]
    Probe(#[from] ProbeError),
}

/// How long BPF statistics stay on: they tax every program of the host.
const STATISTICS: Duration = Duration::from_millis(200);

/// How long callbacks under way are given to end, before counting begins and
/// after it ends. They take microseconds; a worker may be off the CPU.
const SETTLE: Duration = Duration::from_millis(20);

/// Positions of one ring sampled in 100 ms before fewer are.
const SAMPLE_BUDGET: u32 = 1000;

/// Symbol whose address tells an epoll file.
const EVENTPOLL_FOPS: &str = "eventpoll_fops";

/// A field that v4 and v5 of the series added.
const V4_FIELD: &str = "shadow_cnt";

/// Probes that are attached and counting. Dropped, it takes them away.
pub struct Live {
    probes: Probes,
    records: RingBuf<MapData>,
    protocol: Protocol,
    sampler_hz: u32,
    started: Instant,
    start_ns: u64,
    /// CPU time of this process before counting began: setting up is not what
    /// observing costs.
    own_cpu_before_ns: u64,
    statistics: Option<Statistics>,
    statistics_on: Duration,
    bad_records: u64,
}

/// BPF statistics while they are on.
struct Statistics {
    since: Instant,
    _on: std::os::fd::OwnedFd,
}

impl Live {
    /// Attaches every probe, then starts counting.
    ///
    /// # Errors
    /// See [`AttachError`]; nothing stays attached.
    pub fn attach(options: LiveOptions) -> Result<Self, AttachError> {
        let types = kernel_types()?;
        if types.offset("eventpoll", "user_header").is_none() {
            return Err(AttachError::NotPatched { release: release() });
        }
        rights::check()?;
        let fields = KernelFields::resolve(|structure, path| find(&types, structure, path))
            .map_err(|(structure, field)| AttachError::NoField { structure, field })?;
        let symbols = kernel_symbols()?;
        let eventpoll_fops = match symbols.address(EVENTPOLL_FOPS) {
            Some(address) => address,
            None if symbols.lists(EVENTPOLL_FOPS) => return Err(AttachError::HiddenSymbols),
            None => return Err(AttachError::NoEventpollFops),
        };
        let config = Config {
            eventpoll_fops,
            salt: salt(),
            sample_shift: options.sample_shift,
            sample_budget: SAMPLE_BUDGET,
            filter_on: u32::from(options.filter.is_some()),
            ..Config::default()
        };
        let mut probes = attach_what_can_be(&types, &symbols, &fields, config, options.sampler_hz)?;
        let records = match RingBuf::try_from(probes.take_map("RECORDS")?) {
            Ok(records) => records,
            Err(source) => return Err(map_error("RECORDS", source).into()),
        };
        for tgid in options.filter.into_iter().flatten() {
            live_maps::add_target(&mut probes, tgid)?;
        }
        live_maps::set_phase(&mut probes, Phase::Frames)?;
        // What was entered before the probes were there has left by now; what
        // is entered from here on is known, and not counted.
        sleep(SETTLE);
        let statistics = enable_stats(Stats::RunTime).ok();
        let statistics = statistics.map(|on| Statistics { since: Instant::now(), _on: on });
        live_maps::set_phase(&mut probes, Phase::Counting)?;
        let v4 = types.offset("eventpoll", V4_FIELD).is_some();
        Ok(Self {
            probes,
            records,
            protocol: if v4 { Protocol::V4 } else { Protocol::V2 },
            sampler_hz: options.sampler_hz,
            started: Instant::now(),
            start_ns: clock_ns(ClockId::Monotonic),
            own_cpu_before_ns: clock_ns(ClockId::ProcessCPUTime),
            statistics,
            statistics_on: Duration::ZERO,
            bad_records: 0,
        })
    }

    /// Hands over the records that have come so far. Never blocks.
    pub fn poll(&mut self, sink: &mut dyn FnMut(Record)) {
        self.end_statistics(STATISTICS);
        self.probes.tell_anomalies();
        while let Some(bytes) = self.records.next() {
            match Record::decode(&bytes) {
                Some(record) => sink(record),
                None => self.bad_records += 1,
            }
        }
    }

    /// Switches BPF statistics off if they have been on for `at_least`.
    fn end_statistics(&mut self, at_least: Duration) {
        if let Some(statistics) =
            self.statistics.take_if(|statistics| statistics.since.elapsed() >= at_least)
        {
            self.statistics_on += statistics.since.elapsed();
        }
    }

    /// Stops counting, hands over the last records, and reads what was counted.
    /// Nothing stays attached.
    ///
    /// # Errors
    /// If a map cannot be read.
    pub fn finish(mut self, sink: &mut dyn FnMut(Record)) -> Result<Capture, FinishError> {
        live_maps::set_phase(&mut self.probes, Phase::Draining)?;
        let duration = self.started.elapsed();
        let own_cpu_ns = clock_ns(ClockId::ProcessCPUTime) - self.own_cpu_before_ns;
        sleep(SETTLE);
        self.end_statistics(Duration::ZERO);
        // First what was sent while counting, then the last look, which may
        // send more, and then what that has left pending.
        self.poll(sink);
        let mut left = Vec::new();
        let rings = live_maps::rings(&self.probes, &mut |record| left.push(record))?;
        let mut late = Vec::new();
        self.poll(&mut |record| late.push(record));
        // What was still pending when its ring was read may have been sent since.
        left.retain(|kept| !late.iter().any(|sent| is_of_same_position(kept, sent)));
        late.into_iter().chain(left).for_each(&mut *sink);
        let host_counters = live_maps::host_counters(&self.probes)?;
        let (cost, recursion_misses) = self.cost(own_cpu_ns);
        let ticks_expected =
            duration.as_secs_f64() * f64::from(self.sampler_hz) * f64::from(self.probes.cpus());
        Ok(Capture {
            host: Host {
                release: release(),
                cpus: self.probes.cpus(),
                protocol: self.protocol,
                emulated: emulated(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
            },
            plan: self.probes.plan(),
            start_ns: self.start_ns,
            duration_ns: duration.as_nanos() as u64,
            sampler_hz: self.sampler_hz,
            rings,
            host_counters,
            loss: Loss {
                recursion_misses,
                probe_misses: self.probes.probe_misses(),
                ticks_expected: ticks_expected as u64,
                bad_records: self.bad_records,
            },
            cost,
        })
    }

    /// What the programs cost, and what they missed.
    fn cost(&self, own_cpu_ns: u64) -> (Cost, u64) {
        let mut cost = Cost {
            // Attaching is work before the interval, not a price of observing it.
            own_cpu_ns,
            programs: Vec::new(),
            statistics_on_ns: self.statistics_on.as_nanos() as u64,
        };
        let mut recursion_misses = 0;
        for (name, fd) in self.probes.programs() {
            // A descriptor of our own: the call cannot fail but for memory.
            let figures = system::program_figures(fd).unwrap_or_default();
            recursion_misses += figures.recursion_misses;
            if cost.statistics_on_ns > 0 {
                cost.programs.push(ProgramCost {
                    name: name.to_owned(),
                    run_time_ns: figures.run_time_ns,
                    hits: figures.hits,
                });
            }
        }
        (cost, recursion_misses)
    }
}

/// Attaches; a site that refuses its program is put down as missing, and the
/// rest is tried again, so that one odd function costs its own figures only.
fn attach_what_can_be(
    types: &Btf,
    symbols: &Symbols,
    fields: &KernelFields,
    config: Config,
    sampler_hz: u32,
) -> Result<Probes, AttachError> {
    let mut refused = Refused::new();
    loop {
        let functions = Functions {
            symbols,
            parameters: &|name: &str| types.parameters(name),
            refused: &refused,
        };
        let decisions = plan::decide(&functions, config.filter_on != 0);
        let config = Config {
            add_probed: u32::from(plan::attaches(&decisions, plan::ADD)),
            get_bit_probed: u32::from(plan::attaches(&decisions, plan::GET_BIT)),
            ..config
        };
        match Probes::attach(fields, &config, decisions, sampler_hz) {
            Ok(probes) => return Ok(probes),
            Err(ProbeError::Attach { site, reason, .. })
                if refused.len() < plan::POINTS.len() && !refused.contains_key(&site) =>
            {
                refused.insert(site, reason);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn map_error(map: &'static str, source: MapError) -> ProbeError {
    ProbeError::Map { map, source }
}

fn kernel_types() -> Result<Btf, AttachError> {
    let bytes =
        fs::read(btf::PATH).map_err(|error| AttachError::NoBtf { reason: error.to_string() })?;
    Btf::parse(bytes).map_err(|error: BtfError| AttachError::NoBtf { reason: error.to_string() })
}

fn kernel_symbols() -> Result<Symbols, AttachError> {
    let text = fs::read_to_string(symbols::PATH)
        .map_err(|error| AttachError::NoSymbols { reason: error.to_string() })?;
    let mut wanted = plan::functions();
    wanted.push(EVENTPOLL_FOPS);
    Ok(Symbols::parse(&text, &wanted))
}

/// Offset of a field. Some kernels of the series keep the parts of a
/// user-polled item in `struct uepitem`, which begins with the `epitem`;
/// others in the `epitem` itself.
fn find(types: &Btf, structure: &str, path: &str) -> Option<u32> {
    let found = types.offset(structure, path);
    if structure != "uepitem" {
        return found;
    }
    found.or_else(|| types.offset("epitem", path))
}

/// An odd number that nobody can know beforehand: a hasher is seeded afresh by
/// each.
fn salt() -> u32 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0u8) as u32 | 1
}

/// `uname -r`.
fn release() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.trim().to_owned()
}

/// Whether both tell what became of one sampled position.
fn is_of_same_position(a: &Record, b: &Record) -> bool {
    match (a, b) {
        (Record::Resolved(a), Record::Resolved(b)) => (a.ring, a.position) == (b.ring, b.position),
        _ => false,
    }
}

/// Whether the CPU is QEMU's own emulation, whose timings are ratios only.
fn emulated(cpuinfo: &str) -> bool {
    let model = cpuinfo.lines().find(|line| line.starts_with("model name"));
    model.is_some_and(|line| line.contains("TCG"))
}

fn clock_ns(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
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

    #[test]
    fn the_salt_is_odd() {
        assert!((0..64).all(|_| salt() & 1 == 1));
    }

    #[test]
    fn an_unpatched_kernel_is_named_with_a_remedy() {
        let text = AttachError::NotPatched { release: "6.1.0".into() }.to_string();
        assert!(text.contains("6.1.0") && text.contains("cargo xtask demo"), "{text}");
    }
}
