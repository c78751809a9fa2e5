//! The sampler's clocks: one on each CPU, and how fast they go.

use aya::programs::perf_event::{
    PerfEventConfig, PerfEventLinkId, PerfEventScope, SamplePolicy, SoftwareEvent,
};
use aya::programs::{PerfEvent, Program, ProgramError};
use aya::util::online_cpus;

use super::error::chain;
use super::{ProbeError, Probes, SAMPLER};

/// Why the sampler has no clock.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClockError {
    /// Which CPUs there are is not known.
    #[error("{path}")]
    Cpus { path: &'static str, source: std::io::Error },
    /// One of them refuses.
    #[error("no clock on CPU {cpu}")]
    Refused { cpu: u32, source: ProgramError },
}

/// Attaches the sampler to every online CPU, or to none.
pub(super) fn start(
    program: &mut PerfEvent,
    sampler_hz: u32,
) -> Result<Vec<PerfEventLinkId>, ClockError> {
    let cpus = online_cpus().map_err(|(path, source)| ClockError::Cpus { path, source })?;
    let mut clocks = Vec::new();
    for cpu in cpus {
        let attached = program.attach(
            PerfEventConfig::Software(SoftwareEvent::CpuClock),
            PerfEventScope::AllProcessesOneCpu { cpu },
            SamplePolicy::Frequency(u64::from(sampler_hz)),
            false,
        );
        match attached {
            Ok(clock) => clocks.push(clock),
            Err(source) => {
                stop(program, clocks);
                return Err(ClockError::Refused { cpu, source });
            }
        }
    }
    Ok(clocks)
}

fn stop(program: &mut PerfEvent, clocks: Vec<PerfEventLinkId>) {
    for clock in clocks {
        // Ours, and attached: there is nothing that could fail.
        let _ = program.detach(clock);
    }
}

impl Probes {
    /// CPUs that have a sampler.
    pub fn cpus(&self) -> u32 {
        self.clocks.len() as u32
    }

    /// Lets the sampler tick at another rate.
    ///
    /// # Errors
    /// If the kernel refuses it a clock; it then ticks as before.
    pub fn set_sampler_hz(&mut self, sampler_hz: u32) -> Result<(), ProbeError> {
        let before = std::mem::take(&mut self.clocks);
        let Program::PerfEvent(program) = self.program(SAMPLER)? else {
            return Err(ProbeError::NotInObject(format!("program {SAMPLER} of its kind")));
        };
        // The new ones first: should one be refused, the old ones go on.
        let (clocks, result) = match start(program, sampler_hz) {
            Ok(clocks) => {
                stop(program, before);
                (clocks, Ok(()))
            }
            Err(error) => (before, Err(ProbeError::Cpus(chain(&error)))),
        };
        self.clocks = clocks;
        result
    }
}
