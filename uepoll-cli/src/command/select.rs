//! Which rings the options choose: checked against the running host, and put
//! into the numbers that the kernel side knows.

use std::fs;
use std::path::Path;

use super::cgroup::{Cgroup, CgroupError};
use super::target::{self, Target, TargetError};
use crate::exit::{CannotRun, Usage};
use crate::options::{Comm, WatchOptions};
use crate::source::live::Filter;

/// Why what was chosen cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// The process, its descriptor or a thread.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The cgroup.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
}

impl SelectError {
    /// The same as an error whose exit code is that of its remedy.
    pub fn with_code(self) -> anyhow::Error {
        match &self {
            Self::Target(error) => match error {
                TargetError::NoSuchProcess(_)
                | TargetError::IsThread(_)
                | TargetError::NoSuchThread(_)
                | TargetError::NoSuchDescriptor { .. }
                | TargetError::NotAnEpollFile { .. } => Usage(self.to_string()).into(),
                TargetError::ForeignNamespace(_) | TargetError::DescriptorsHidden { .. } => {
                    CannotRun(self.to_string()).into()
                }
                TargetError::System { .. } => self.into(),
            },
            Self::Cgroup(error) => match error {
                CgroupError::NoSuchCgroup { .. } | CgroupError::Threaded { .. } => {
                    Usage(self.to_string()).into()
                }
                CgroupError::NotMounted | CgroupError::PartOnly { .. } => {
                    CannotRun(self.to_string()).into()
                }
                CgroupError::System { .. } => self.into(),
            },
        }
    }
}

/// What is watched.
#[derive(Debug)]
pub struct Selection {
    /// Which rings, in the kernel side's numbers.
    pub filter: Filter,
    /// Threads named as consumers, numbered as in the initial pid namespace.
    pub consumers: Vec<u32>,
    /// The process whose end ends watching.
    pub target: Option<Target>,
    /// What is watched, in words.
    pub words: String,
    /// What the report has to say of it.
    pub notes: Vec<String>,
}

impl Selection {
    /// What the options choose.
    ///
    /// # Errors
    /// If it is not there, or cannot be told to the kernel.
    pub fn of(options: &WatchOptions) -> Result<Self, SelectError> {
        let mut selection = if let Some(pid) = options.pid {
            let target = Target::open(pid)?;
            Self {
                filter: Filter::Process(target.host_pid),
                words: format!("process {pid}"),
                notes: note_of(&target).into_iter().collect(),
                ..Self::everything_of(Some(target))
            }
        } else if let Some(ring) = options.ring {
            let target = Target::open(ring.pid)?;
            target.check_epoll_file(ring.fd)?;
            Self {
                filter: Filter::Ring { tgid: target.host_pid, fd: ring.fd },
                words: format!("ring {ring}"),
                notes: note_of(&target).into_iter().collect(),
                ..Self::everything_of(Some(target))
            }
        } else if let Some(comm) = &options.comm {
            Self::of_comm(comm)?
        } else if let Some(path) = &options.cgroup {
            Self::of_cgroup(path)?
        } else {
            Self::everything_of(None)
        };
        selection.consumers = options
            .consumers
            .iter()
            .map(|tid| target::host_tid_of(*tid))
            .collect::<Result<_, _>>()?;
        selection.notes.extend((!target::in_initial_namespace()).then(|| {
            "uepoll runs in a pid namespace of its own: of what existed before it attached, only \
             what belongs to that namespace was found (run it in the host's: docker run \
             --pid=host)"
                .into()
        }));
        Ok(selection)
    }

    fn everything_of(target: Option<Target>) -> Self {
        Self {
            filter: Filter::Everything,
            consumers: Vec::new(),
            target,
            words: "every user-polled ring".into(),
            notes: Vec::new(),
        }
    }

    fn of_comm(comm: &Comm) -> Result<Self, SelectError> {
        let present = processes_called(comm.bytes())?;
        let name = String::from_utf8_lossy(comm.bytes()).into_owned();
        let nobody = present.is_empty().then(|| {
            format!("no process was called {name} at the start; those named so later were watched")
        });
        Ok(Self {
            filter: Filter::Comm { comm: comm.0, present },
            words: format!("processes called {name}"),
            notes: nobody.into_iter().collect(),
            ..Self::everything_of(None)
        })
    }

    fn of_cgroup(path: &Path) -> Result<Self, SelectError> {
        let cgroup = Cgroup::find(path)?;
        let present = cgroup
            .processes()?
            .into_iter()
            // In the initial namespace this is the number itself; 0, outside of
            // our namespace, is nobody's number there and refused.
            .map(target::host_pid_of)
            .collect::<Result<Vec<_>, _>>()?;
        let path = path.display();
        let nobody = present
            .is_empty()
            .then(|| format!("cgroup {path} was empty at the start; who came later was watched"));
        Ok(Self {
            filter: Filter::Cgroup { id: cgroup.id, level: cgroup.level, present },
            words: format!("cgroup {path}"),
            notes: nobody.into_iter().collect(),
            ..Self::everything_of(None)
        })
    }
}

/// Every process of this name, numbered as in the initial pid namespace.
fn processes_called(name: &[u8]) -> Result<Vec<u32>, TargetError> {
    let mut found = target::host_processes()?;
    // One that ends meanwhile has no name any more.
    found.retain(|pid| {
        fs::read(format!("/proc/{pid}/comm"))
            .is_ok_and(|comm| comm.strip_suffix(b"\n").unwrap_or(&comm) == name)
    });
    Ok(found)
}

/// The numbers of a process that has several.
fn note_of(target: &Target) -> Option<String> {
    let host = (target.host_pid != target.pid)
        .then(|| format!("{} in the initial pid namespace", target.host_pid));
    let inner = target
        .inner_pid
        .filter(|inner| *inner != target.pid)
        .map(|inner| format!("{inner} in its own"));
    let others: Vec<String> = host.into_iter().chain(inner).collect();
    (!others.is_empty()).then(|| format!("process {} is {}", target.pid, others.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_a_choice_have_the_code_of_their_remedy() {
        let code = |error: SelectError| error.with_code();
        assert!(code(TargetError::NoSuchProcess(1).into()).is::<Usage>());
        assert!(code(TargetError::NoSuchThread(1).into()).is::<Usage>());
        assert!(
            code(TargetError::DescriptorsHidden { pid: 1, remedy: "x".into() }.into())
                .is::<CannotRun>()
        );
        assert!(code(TargetError::ForeignNamespace(1).into()).is::<CannotRun>());
        assert!(code(CgroupError::NotMounted.into()).is::<CannotRun>());
        let path = "/x".to_owned();
        assert!(code(CgroupError::Threaded { path }.into()).is::<Usage>());
    }

    #[test]
    fn processes_are_found_by_the_name_they_have() {
        let own = fs::read("/proc/self/comm").expect("our own name");
        let name = own.strip_suffix(b"\n").unwrap_or(&own);
        match processes_called(name) {
            Ok(found) => {
                assert!(found.contains(&std::process::id()), "{found:?}");
                assert!(processes_called(b"\x01nobody").expect("as before").is_empty());
            }
            Err(error) => assert!(matches!(error, TargetError::ForeignNamespace(_)), "{error}"),
        }
    }
}
