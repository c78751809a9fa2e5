//! What can go wrong with programs, and how it is said.

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::ProgramError;
use uepoll_core::capture::Attached;

/// Why the programs could not be loaded or attached.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The object as a whole.
    #[error("cannot load the eBPF object: {}; is there enough memory for its maps?", chain(.0))]
    Object(Box<EbpfError>),
    /// One program.
    #[error("the kernel refuses the eBPF program {program}: {reason}")]
    Program {
        /// Its name.
        program: &'static str,
        /// What the kernel said, the verifier's last words included.
        reason: String,
    },
    /// A site refused its programs; the run can go on without it.
    #[error("cannot attach {program} to {site}: {reason}")]
    Attach {
        /// The program.
        program: &'static str,
        /// Symbol or tracepoint.
        site: String,
        /// The way that was tried.
        way: Attached,
        /// What the kernel said.
        reason: String,
    },
    /// The kernel's types cannot be read as aya reads them.
    #[error("cannot use the kernel's types: {0}")]
    Types(String),
    /// The object lacks what this binary expects of it: a broken build.
    #[error("the eBPF object has no {0}: build uepoll again")]
    NotInObject(String),
    /// The list of online CPUs could not be read.
    #[error("cannot tell which CPUs are online ({0}): is /sys mounted?")]
    Cpus(String),
    /// A map could not be read or written.
    #[error("cannot use the map {map}: {source}")]
    Map {
        /// Its name.
        map: &'static str,
        /// What the kernel said.
        source: MapError,
    },
}

/// An error and its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// What the kernel said about a program: of the verifier's log, the end.
pub(super) fn last_words(error: &ProgramError) -> String {
    const LINES: usize = 3;
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            if std::env::var_os("UEPOLL_VERIFIER_LOG").is_some() {
                return format!("{io_error}\n{verifier_log}");
            }
            let log = verifier_log.to_string();
            let told = log.lines().filter(|line| !line.starts_with("processed "));
            let lines: Vec<_> = told.filter(|line| !line.trim().is_empty()).collect();
            let last = lines[lines.len().saturating_sub(LINES)..].join(" | ");
            format!("{io_error}: {last}")
        }
        other => chain(other),
    }
}
