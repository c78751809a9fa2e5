//! What the live source is asked for: which rings, how probed, how closely
//! looked at.

use super::pace::Pace;

/// What is watched, and how closely. Process and thread numbers are those of
/// the initial pid namespace.
#[derive(Clone, Debug)]
pub struct LiveOptions {
    /// Which rings.
    pub filter: Filter,
    /// Threads that the user names as consumers, each of the one ring that
    /// `filter` leaves it.
    pub consumers: Vec<u32>,
    /// How functions are probed.
    pub kind: ProbeKind,
    /// Snapshots a second and CPU.
    pub pace: Pace,
    /// At least so few positions are sampled: 1 in `2^sample_shift`.
    pub sample_shift: u32,
    /// Also send single events: waits, refused adds, runs of the worker.
    pub singles: bool,
    /// Also watch the head of the one ring that [`Filter::Ring`] names, as fast
    /// as one CPU can read it.
    pub watch_head: bool,
}

/// Which rings are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// All of the host.
    Everything,
    /// Those of a process and of whatever it forks.
    Process(u32),
    /// The one behind a descriptor of a process.
    Ring {
        /// Process.
        tgid: u32,
        /// Its descriptor.
        fd: i32,
    },
    /// Those of processes of this name (as in /proc/PID/comm).
    Comm {
        /// NUL padded.
        comm: [u8; 16],
        /// Processes that have it now.
        present: Vec<u32>,
    },
    /// Those of processes in this cgroup (v2) and below it.
    Cgroup {
        /// Its number: the inode of its directory.
        id: u64,
        /// Its depth: 0 for the root of the hierarchy.
        level: u32,
        /// Processes that are in it, or below it, now.
        present: Vec<u32>,
    },
}

/// How functions are probed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ProbeKind {
    /// By fentry and fexit where a trial succeeds, else by kprobe and kretprobe
    #[default]
    Auto,
    /// By fentry and fexit alone
    Fentry,
    /// By kprobe and kretprobe alone
    Kprobe,
}

impl Filter {
    /// Processes whose rings are wanted that exist now.
    pub(super) fn targets(&self) -> &[u32] {
        match self {
            Self::Everything => &[],
            Self::Process(tgid) | Self::Ring { tgid, .. } => std::slice::from_ref(tgid),
            Self::Comm { present, .. } | Self::Cgroup { present, .. } => present,
        }
    }

    /// Whether one process, or what it forks, is looked at: close enough to
    /// listen to its own probes, which take a trap each time.
    pub(super) fn is_of_one_process(&self) -> bool {
        matches!(self, Self::Process(_) | Self::Ring { .. })
    }
}
