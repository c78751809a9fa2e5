//! The programs: loaded, attached by plan, and taken away again when the value
//! that holds them is dropped. What they count is read elsewhere.

mod clock;
mod error;
pub mod plan;
mod request;
pub mod system;
pub mod usdt;

use std::os::fd::{AsFd, BorrowedFd};

use aya::maps::Map;
use aya::programs::kprobe::KProbeLinkId;
use aya::programs::links::FdLink;
use aya::programs::perf_event::PerfEventLinkId;
use aya::programs::{KProbe, Program, ProgramError};
use aya::{Btf, Ebpf, EbpfLoader, Pod};
use aya_log::{EbpfLogger, Level};
use uepoll_common::fields::{Config, KernelFields};
use uepoll_common::state::BANKS;
use uepoll_core::capture::{Attached, PlanRow};

use clock::ClockError;
use error::{chain, last_words};
use plan::{Decision, Site};

pub use error::ProbeError;

/// The object, built by the build script. Aligned: it is an ELF file.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/uepoll-ebpf"));

/// Set in the environment to be told of anomalies in the programs as they
/// happen. They are counted in any case.
const LOG_VARIABLE: &str = "UEPOLL_LOG";

/// Prints what the programs tell.
struct Stderr;

impl log::Log for Stderr {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        eprintln!("uepoll: {}", record.args());
    }

    fn flush(&self) {}
}

/// The program that each CPU's clock runs.
pub const SAMPLER: &str = "sampler";

/// The program that user space runs itself.
const LOOK: &str = "look";

/// The program that consumers' own probes run.
const SPIN_END: &str = "spin_end";

/// The program that ends the waits of threads that were met asleep, if the
/// return of a wait is probed by fexit.
const WAIT_MET_EXIT: &str = "wait_met_exit";

/// Maps with a place for each ring, and how many for each.
const RING_MAPS: [(&str, u32); 4] =
    [("RING_NUMBERS", 1), ("RING_STATES", 1), ("PROCESS_RINGS", 1), ("RING_COUNTS", BANKS as u32)];

/// `KernelFields` as aya wants globals.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct PodFields(KernelFields);

// SAFETY: `repr(C)`, of u32 alone: no padding, any bits are valid.
unsafe impl Pod for PodFields {}

/// `Config` as aya wants globals.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct PodConfig(Config);

// SAFETY: `repr(C)`, one u64 and six u32: no padding, any bits are valid.
unsafe impl Pod for PodConfig {}

/// Loaded and attached programs.
pub struct Probes {
    ebpf: Ebpf,
    decisions: Vec<Decision>,
    /// Links that are kept here and not by aya, to ask the kernel about them.
    links: Vec<FdLink>,
    /// Of the sampler, one for each CPU.
    clocks: Vec<PerfEventLinkId>,
    anomalies: Option<EbpfLogger<Stderr>>,
    /// Consumers' probes that are listened to.
    spin_probes: usize,
    /// Threads that were met asleep are seen to return by a program of its own.
    sleepers_expected: bool,
}

impl Probes {
    /// Loads the object, and attaches by `decisions`. On an error nothing stays
    /// attached.
    ///
    /// # Errors
    /// See [`ProbeError`].
    pub fn attach(
        fields: &KernelFields,
        config: &Config,
        decisions: Vec<Decision>,
        sampler_hz: u32,
    ) -> Result<Self, ProbeError> {
        let rings = config.rings;
        let (fields, config) = (PodFields(*fields), PodConfig(*config));
        let told = std::env::var_os(LOG_VARIABLE).is_some();
        let level = if told { Level::Debug as u8 } else { 0 };
        let mut loader = EbpfLoader::new();
        for (map, places) in RING_MAPS {
            loader.map_max_entries(map, places * rings);
        }
        let mut ebpf = loader
            .override_global(aya_log::LEVEL, &level, true)
            .override_global("FIELDS", &fields, true)
            .override_global("CONFIG", &config, true)
            .load(OBJECT)
            .map_err(|error| ProbeError::Object(Box::new(error)))?;
        // Its one failure is an object without messages, which has none to tell.
        let anomalies =
            told.then(|| EbpfLogger::init_with_logger(&mut ebpf, Stderr).ok()).flatten();
        let mut probes = Self {
            ebpf,
            decisions,
            links: Vec::new(),
            clocks: Vec::new(),
            anomalies,
            spin_probes: 0,
            sleepers_expected: false,
        };
        probes.load_all()?;
        for index in 0..probes.decisions.len() {
            probes.attach_one(index, sampler_hz)?;
        }
        Ok(probes)
    }

    fn load_all(&mut self) -> Result<(), ProbeError> {
        let typed = |way| matches!(way, Attached::Fentry | Attached::Iterator);
        let types = if self.decisions.iter().any(|decision| typed(decision.way)) {
            Some(Btf::from_sys_fs().map_err(|error| ProbeError::Types(chain(&error)))?)
        } else {
            None
        };
        for index in 0..self.decisions.len() {
            let Decision { row, site, way, programs } = self.decisions[index].clone();
            for name in programs.iter().copied() {
                self.load_one(name, site, &row.symbol, way, types.as_ref())?;
            }
        }
        for name in [LOOK, SPIN_END] {
            self.load_one(name, Site::Clock, name, Attached::Missing, None)?;
        }
        Ok(())
    }

    /// Loads a program; one that several points share is loaded once.
    fn load_one(
        &mut self,
        name: &'static str,
        site: Site,
        symbol: &str,
        way: Attached,
        types: Option<&Btf>,
    ) -> Result<(), ProbeError> {
        let odd = || ProbeError::NotInObject(format!("program {name} of its kind"));
        let program = self.program(name)?;
        if program.fd().is_ok() {
            return Ok(());
        }
        let loaded = match (program, types, site) {
            (Program::KProbe(program), ..) => program.load(),
            (Program::UProbe(program), ..) => program.load(),
            (Program::TracePoint(program), ..) => program.load(),
            (Program::RawTracePoint(program), ..) => program.load(),
            (Program::PerfEvent(program), ..) => program.load(),
            (Program::FEntry(program), Some(types), _) => program.load(symbol, types),
            (Program::FExit(program), Some(types), _) => program.load(symbol, types),
            (Program::Iter(program), Some(types), Site::Iterator(over)) => {
                program.load(over, types)
            }
            _ => return Err(odd()),
        };
        loaded.map_err(|error| {
            let reason = last_words(&error);
            // Where types are needed it is a trial: the plan has another way.
            if types.is_some() && matches!(way, Attached::Fentry | Attached::Iterator) {
                return ProbeError::Attach { program: name, site: symbol.to_owned(), way, reason };
            }
            ProbeError::Program { program: name, reason }
        })
    }

    fn program(&mut self, name: &str) -> Result<&mut Program, ProbeError> {
        let missing = || ProbeError::NotInObject(format!("program {name}"));
        self.ebpf.program_mut(name).ok_or_else(missing)
    }

    fn attach_one(&mut self, index: usize, sampler_hz: u32) -> Result<(), ProbeError> {
        let Decision { row, site, way, programs } = self.decisions[index].clone();
        for name in programs.iter().copied() {
            let failed = |error: &dyn std::error::Error| ProbeError::Attach {
                program: name,
                site: row.symbol.clone(),
                way,
                reason: chain(error),
            };
            match (self.program(name)?, site) {
                (Program::KProbe(program), Site::Function(..)) => {
                    let id = program.attach(&row.symbol, 0).map_err(|error| failed(&error))?;
                    let link = keep(program, id).map_err(|error| failed(&error))?;
                    self.links.extend(link);
                }
                (Program::FEntry(program), Site::Function(..)) => {
                    program.attach().map_err(|error| failed(&error))?;
                }
                (Program::FExit(program), Site::Function(..)) => {
                    program.attach().map_err(|error| failed(&error))?;
                }
                // Run on request.
                (Program::Iter(_), Site::Iterator(_)) => {}
                (Program::TracePoint(program), Site::Tracepoint(category, point)) => {
                    program.attach(category, point).map_err(|error| failed(&error))?;
                }
                (Program::RawTracePoint(program), Site::RawTracepoint(point)) => {
                    program.attach(point).map_err(|error| failed(&error))?;
                }
                (Program::PerfEvent(program), Site::Clock) => {
                    self.clocks =
                        clock::start(program, sampler_hz).map_err(|error| match error {
                            ClockError::Cpus { .. } => ProbeError::Cpus(chain(&error)),
                            ClockError::Refused { .. } => failed(&error),
                        })?;
                }
                _ => return Err(ProbeError::NotInObject(format!("program {name} of its kind"))),
            }
        }
        Ok(())
    }

    /// A map.
    ///
    /// # Errors
    /// If the object has none of this name.
    pub fn map(&self, name: &'static str) -> Result<&Map, ProbeError> {
        self.ebpf.map(name).ok_or_else(|| ProbeError::NotInObject(format!("map {name}")))
    }

    /// A map to write to.
    ///
    /// # Errors
    /// If the object has none of this name.
    pub fn map_mut(&mut self, name: &'static str) -> Result<&mut Map, ProbeError> {
        self.ebpf.map_mut(name).ok_or_else(|| ProbeError::NotInObject(format!("map {name}")))
    }

    /// A map, taken away to be owned.
    ///
    /// # Errors
    /// If the object has none of this name.
    pub fn take_map(&mut self, name: &'static str) -> Result<Map, ProbeError> {
        self.ebpf.take_map(name).ok_or_else(|| ProbeError::NotInObject(format!("map {name}")))
    }

    /// Prints the anomalies that the programs have told of, if asked for.
    pub fn tell_anomalies(&mut self) {
        if let Some(anomalies) = &mut self.anomalies {
            anomalies.flush();
        }
    }

    /// Rows of the plan, as it was carried out.
    pub fn plan(&self) -> Vec<PlanRow> {
        self.decisions.iter().map(|decision| decision.row.clone()).collect()
    }

    /// Every attached program, by name.
    pub fn programs(&self) -> impl Iterator<Item = (&'static str, BorrowedFd<'_>)> {
        let names = self.decisions.iter().flat_map(|decision| decision.programs.iter().copied());
        let names = names.chain((self.spin_probes > 0).then_some(SPIN_END));
        let names = names.chain(self.sleepers_expected.then_some(WAIT_MET_EXIT));
        // The same program serves several tracepoints: named once.
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().filter_map(|name| {
            let fd = self.ebpf.program(name)?.fd().ok()?;
            Some((name, fd.as_fd()))
        })
    }

    /// Hits that kprobes and kretprobes missed; `None` if the kernel does not
    /// tell.
    pub fn probe_misses(&self) -> Option<u64> {
        if !self.decisions.iter().any(|decision| decision.way == Attached::Kprobe) {
            return Some(0);
        }
        if self.links.is_empty() {
            return None;
        }
        self.links.iter().map(|link| system::probe_misses(link.info().ok()?.id())).sum()
    }
}

/// Takes a link out of aya's hands, where the kernel has links for probes: they
/// can be asked what they missed. Elsewhere aya keeps it.
fn keep(program: &mut KProbe, id: KProbeLinkId) -> Result<Option<FdLink>, ProgramError> {
    if !aya::features().bpf_perf_link() {
        return Ok(None);
    }
    Ok(FdLink::try_from(program.take_link(id)?).ok())
}
