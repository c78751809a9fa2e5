//! Attaching to the running kernel: what it must have, and as many probes as it
//! takes. What is counted by them is read elsewhere.

use std::fs;

use uepoll_common::fields::{Config, KernelFields};
use uepoll_common::state::RINGS;
use uepoll_core::capture::{PlanRow, Protocol};

use super::head_watch::HeadWatchError;
use super::options::{Filter, LiveOptions, ProbeKind};
use super::pace::Pace;
use crate::kernel::btf::{self, Btf, BtfError};
use crate::kernel::rights::{self, MissingRight};
use crate::kernel::symbols::{self, Symbols};
use crate::probe::plan::{self, Functions, Refused, Wants, fits};
use crate::probe::{ProbeError, Probes};

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
    /// The head of a ring cannot be watched.
    #[error(transparent)]
    HeadWatch(#[from] HeadWatchError),
}

/// Positions of one ring sampled in 100 ms before fewer are.
const SAMPLE_BUDGET: u32 = 1000;

/// Symbol whose address tells an epoll file.
const EVENTPOLL_FOPS: &str = "eventpoll_fops";

/// A field that v4 and v5 of the series added.
const V4_FIELD: &str = "shadow_cnt";

/// What is the same for every attempt to attach.
pub struct Kernel {
    types: Btf,
    symbols: Symbols,
    fields: KernelFields,
    eventpoll_fops: u64,
    /// Protocol of its rings.
    pub protocol: Protocol,
}

impl Kernel {
    /// Looks at the running kernel, and at our rights.
    ///
    /// # Errors
    /// See [`AttachError`].
    pub fn look() -> Result<Self, AttachError> {
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
        let v4 = types.offset("eventpoll", V4_FIELD).is_some();
        let protocol = if v4 { Protocol::V4 } else { Protocol::V2 };
        Ok(Self { types, symbols, fields, eventpoll_fops, protocol })
    }

    /// Attaches; a site that refuses its program is put down as missing, and the
    /// rest is tried again, so that one odd function costs its own figures only.
    ///
    /// # Errors
    /// See [`AttachError`]; nothing stays attached.
    pub fn attach(&self, options: &LiveOptions, rings: u32) -> Result<Probes, AttachError> {
        let config = self.config(options, rings);
        let wants = Wants { filtered: options.filter != Filter::Everything, kind: options.kind };
        let mut refused = Refused::new();
        loop {
            let functions = Functions {
                symbols: &self.symbols,
                parameters: &|name: &str| self.types.parameters(name),
                typed: &|name: &str| fits(&self.types, name),
                refused: &refused,
            };
            let decisions = plan::decide(&functions, &wants);
            let config = Config {
                add_probed: u32::from(plan::attaches(&decisions, plan::ADD)),
                callback_probed: u32::from(plan::attaches(&decisions, plan::CALLBACK)),
                get_bit_probed: u32::from(plan::attaches(&decisions, plan::GET_BIT)),
                ..config
            };
            match Probes::attach(&self.fields, &config, decisions, options.pace.first_hz()) {
                Ok(probes) => return Ok(probes),
                Err(ProbeError::Attach { site, way, reason, .. })
                    if !refused.contains_key(&(site.clone(), way)) =>
                {
                    refused.insert((site, way), reason);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn config(&self, options: &LiveOptions, rings: u32) -> Config {
        let mut config = Config {
            eventpoll_fops: self.eventpoll_fops,
            salt: salt(),
            sample_shift: options.sample_shift,
            sample_budget: SAMPLE_BUDGET,
            filter_on: u32::from(options.filter != Filter::Everything),
            // A lock of readers and writers has no raw spinlock inside.
            lock_is_spinlock: u32::from(self.types.offset("eventpoll", "lock.rlock").is_some()),
            slots_from_one: u32::from(self.protocol == Protocol::V2),
            rings,
            singles: u32::from(options.singles),
            ..Config::default()
        };
        match &options.filter {
            Filter::Everything => {}
            Filter::Process(_) => config.follow_forks = 1,
            Filter::Ring { fd, .. } => config.filter_fd = fd.cast_unsigned().wrapping_add(1),
            Filter::Comm { comm, .. } => config.filter_comm = *comm,
            Filter::Cgroup { id, level, .. } => {
                config.filter_cgroup = *id;
                config.filter_cgroup_level = *level;
            }
        }
        config
    }
}

/// Attaches everything once and takes it away again; nothing is counted.
///
/// # Errors
/// See [`AttachError`].
pub fn trial(kind: ProbeKind) -> Result<Vec<PlanRow>, AttachError> {
    // With a filter, so that every point of the plan is tried.
    let options = LiveOptions {
        filter: Filter::Process(std::process::id()),
        consumers: Vec::new(),
        kind,
        pace: Pace::Hz(1),
        sample_shift: 0,
        singles: false,
        watch_head: false,
    };
    Ok(Kernel::look()?.attach(&options, RINGS as u32)?.plan())
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
pub fn release() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

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
