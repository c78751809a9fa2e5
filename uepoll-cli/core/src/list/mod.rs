//! The rings of a host at one moment, as plain data: what `uepoll list` tells.
//! How they were found and read is not here.

mod container;
mod detail;
mod detail_text;
mod events;
mod json;
mod table;

pub use container::container;
pub use detail::{
    Detail, Header, Item, Known, Memory, Slot, SlotContent, Target, What, live_slots, match_targets,
};
pub use detail_text::text as detail_text;
pub use events::{interest, ready};
pub use json::{SCHEMA, detail as detail_json, listing as json};
pub use table::text;

use crate::capture::{Holder, Protocol};

/// Every ring that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The kernel.
    pub release: String,
    /// Its protocol; `None` if its types cannot be read.
    pub protocol: Option<Protocol>,
    /// Sorted by process and descriptor; each ring once.
    pub rings: Vec<Ring>,
    /// What could not be looked into.
    pub hidden: Hidden,
    /// What else has to be said.
    pub notes: Vec<String>,
}

/// What could not be looked into, and what would show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    /// Processes whose descriptors are not shown to us.
    pub processes: usize,
    /// Epoll files of which the kernel tells only whoever may map them whether
    /// they are rings.
    pub files: usize,
    /// Processes whose threads' system calls are not shown to us.
    pub waits: usize,
    /// What to do, a whole clause.
    pub remedy: String,
}

impl Hidden {
    /// Whether nothing was hidden.
    pub fn is_nothing(&self) -> bool {
        self.processes == 0 && self.files == 0 && self.waits == 0
    }
}

/// One ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    /// The first descriptor of it, by process and number.
    pub holder: Holder,
    /// The same process's number in its own pid namespace, if that is another.
    pub inner_pid: Option<u32>,
    /// All other descriptors of the same ring.
    pub others: Vec<Holder>,
    /// Its numbers.
    pub state: State,
    /// Threads asleep in a wait on it; `None` if we may not look.
    pub asleep: Option<Vec<Sleeper>>,
    /// The cgroup of the first holder, as /proc/PID/cgroup has it.
    pub cgroup: Option<String>,
}

/// A thread asleep in a wait.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sleeper {
    /// Its number.
    pub tid: u32,
    /// Its name.
    pub comm: String,
}

/// Head, tail and how many items there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The program's word: what it stored last.
    pub head: u32,
    /// The kernel's, or its copy in the header where the kernel tells no other.
    pub tail: u32,
    /// Items in use; `None` if nobody tells.
    pub used: Option<u32>,
    /// Items it can have.
    pub capacity: Capacity,
    /// Head moved each time it was read beside tail: the two are of different
    /// moments.
    pub moving: bool,
}

impl State {
    /// Published and not consumed, by wrapping difference.
    pub fn depth(&self) -> u32 {
        self.tail.wrapping_sub(self.head)
    }

    /// The same, if head and tail can be a pair. A consumer in mid-step adds one,
    /// so a little more than the capacity is possible.
    pub fn sound_depth(&self) -> Option<u32> {
        let depth = self.depth();
        (depth <= self.capacity.most().saturating_mul(2)).then_some(depth)
    }

    /// Whether head and tail cannot both be right. A head read after tail may be
    /// ahead of it for as long as the ring moves: that alone is no corruption.
    pub fn is_impossible(&self) -> bool {
        !self.moving && self.sound_depth().is_none()
    }
}

/// Items that a ring can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capacity {
    /// So many.
    Exact(u32),
    /// No more: the length of the mapping tells, and the header does not agree
    /// with it.
    AtMost(u32),
}

impl Capacity {
    /// The number, or its upper bound.
    pub fn most(self) -> u32 {
        match self {
            Self::Exact(items) | Self::AtMost(items) => items,
        }
    }
}

impl std::fmt::Display for Capacity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(items) => write!(f, "{items}"),
            Self::AtMost(items) => write!(f, "<={items}"),
        }
    }
}

/// The protocol's name.
fn protocol_name(protocol: Option<Protocol>) -> Option<&'static str> {
    protocol.map(|protocol| match protocol {
        Protocol::V2 => "v2",
        Protocol::V4 => "v4",
    })
}

/// `1 process`, `2 processes`.
fn count(number: usize, one: &str, several: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {several}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_goes_across_the_wrap() {
        let state = |head, tail, moving| State {
            head,
            tail,
            used: Some(8),
            capacity: Capacity::Exact(8),
            moving,
        };
        assert_eq!(state(u32::MAX, 3, false).depth(), 4);
        assert!(!state(u32::MAX, 3, false).is_impossible());
        assert!(!state(0, 9, false).is_impossible(), "a consumer in mid-step");
        assert!(state(1000, 1, false).is_impossible());
        assert!(!state(4, 3, true).is_impossible(), "head was read later");
        assert_eq!(state(4, 3, true).sound_depth(), None);
    }
}
