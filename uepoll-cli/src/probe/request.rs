//! Programs that are run or attached on request, beside those of the plan: the
//! last look, the iterator over open files, what listens to consumers, and what
//! sees sleepers return.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use aya::programs::Program;
use aya::programs::uprobe::{UProbeAttachLocation, UProbeScope};
use uepoll_core::capture::Attached;

use super::error::chain;
use super::plan::{Decision, Site};
use super::{LOOK, ProbeError, Probes, SPIN_END, WAIT_MET_EXIT};

/// What sees waits return by fexit, and by tracepoint, and those tracepoints.
const WAIT_RETURN_TYPED: &str = "wait_return_typed";
const WAIT_EXIT: &str = "wait_exit";
const WAIT_EXITS: [&str; 3] =
    ["sys_exit_epoll_wait", "sys_exit_epoll_pwait", "sys_exit_epoll_pwait2"];

impl Probes {
    /// The program that takes the last look at a ring.
    ///
    /// # Errors
    /// If the object has none, or it is not loaded.
    pub fn look(&self) -> Result<BorrowedFd<'_>, ProbeError> {
        let missing = || ProbeError::NotInObject(format!("program {LOOK}"));
        let program = self.ebpf.program(LOOK).ok_or_else(missing)?;
        Ok(program.fd().map_err(|_| missing())?.as_fd())
    }

    /// Begins a pass of an iterator; what it tells is read from the file. `None`
    /// if the plan has no such iterator.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn iterate(&mut self, over: &'static str) -> Result<Option<File>, ProbeError> {
        let wanted = |decision: &&Decision| decision.site == Site::Iterator(over);
        let Some(decision) = self.decisions.iter().find(wanted) else { return Ok(None) };
        let Some(name) = decision.programs.first().copied() else { return Ok(None) };
        let symbol = decision.row.symbol.clone();
        let failed = |error: &dyn std::error::Error| ProbeError::Attach {
            program: name,
            site: symbol.clone(),
            way: Attached::Iterator,
            reason: chain(error),
        };
        let Program::Iter(program) = self.program(name)? else {
            return Err(ProbeError::NotInObject(format!("program {name} of its kind")));
        };
        let id = program.attach().map_err(|error| failed(&error))?;
        let link = program.take_link(id).map_err(|error| failed(&error))?;
        Ok(Some(link.into_file().map_err(|error| failed(&error))?))
    }

    /// Listens to the probe of consumers at `offsets` of an executable, in every
    /// process that runs it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn listen_to_spins(&mut self, file: &Path, offsets: &[u64]) -> Result<(), ProbeError> {
        let failed = |error: &dyn std::error::Error| ProbeError::Attach {
            program: SPIN_END,
            site: file.display().to_string(),
            way: Attached::Missing,
            reason: chain(error),
        };
        let Program::UProbe(program) = self.program(SPIN_END)? else {
            return Err(ProbeError::NotInObject(format!("program {SPIN_END} of its kind")));
        };
        for offset in offsets {
            let at = UProbeAttachLocation::AbsoluteOffset(*offset);
            program.attach(at, file, UProbeScope::AllProcesses).map_err(|error| failed(&error))?;
        }
        self.spin_probes += offsets.len();
        Ok(())
    }

    /// Sees to it that the waits of threads that are asleep already are seen to
    /// end: an fexit is not run for a call that was entered before it was there.
    /// Whether they are.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn expect_sleepers(&mut self) -> Result<bool, ProbeError> {
        let attached = |name: &str| self.decisions.iter().any(|d| d.programs.contains(&name));
        if !attached(WAIT_RETURN_TYPED) {
            return Ok(attached(WAIT_EXIT));
        }
        self.load_one(WAIT_MET_EXIT, Site::Clock, WAIT_MET_EXIT, Attached::Missing, None)?;
        let Program::TracePoint(program) = self.program(WAIT_MET_EXIT)? else {
            return Err(ProbeError::NotInObject(format!("program {WAIT_MET_EXIT} of its kind")));
        };
        for point in WAIT_EXITS {
            if program.attach("syscalls", point).is_err() {
                // Without tracefs, or the tracepoints: they are met at their
                // next wait.
                self.sleepers_expected = true;
                self.expect_no_sleepers()?;
                return Ok(false);
            }
        }
        self.sleepers_expected = true;
        Ok(true)
    }

    /// There are none: nobody need pay for it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn expect_no_sleepers(&mut self) -> Result<(), ProbeError> {
        if std::mem::take(&mut self.sleepers_expected)
            && let Program::TracePoint(program) = self.program(WAIT_MET_EXIT)?
        {
            program.unload().map_err(|error| ProbeError::Program {
                program: WAIT_MET_EXIT,
                reason: chain(&error),
            })?;
        }
        Ok(())
    }
}
