//! Snapshots of several CPUs, back in the order in which they were taken, by
//! a bounded window. What comes too late for it is handed back as late.

use std::collections::VecDeque;

use uepoll_common::record::Snapshot;

/// Snapshots that wait for an earlier one of another CPU.
pub const WINDOW: usize = 64;

/// The window.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// Ascending by the clock before the read.
    waiting: VecDeque<Snapshot>,
    /// Clock of the last one that left.
    left_ns: u64,
}

/// What became of a snapshot that was put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It waits, and nothing leaves.
    Waits,
    /// It waits, and this one, the earliest, leaves.
    Leaves(Snapshot),
    /// It is earlier than one that has left.
    Late,
}

impl Window {
    /// Puts a snapshot in.
    pub fn put(&mut self, snapshot: Snapshot) -> Put {
        if snapshot.before_ns < self.left_ns {
            return Put::Late;
        }
        // Nearly always at the end.
        let at = self
            .waiting
            .iter()
            .rposition(|waiting| waiting.before_ns <= snapshot.before_ns)
            .map_or(0, |before| before + 1);
        self.waiting.insert(at, snapshot);
        if self.waiting.len() <= WINDOW {
            return Put::Waits;
        }
        match self.take() {
            Some(earliest) => Put::Leaves(earliest),
            None => Put::Waits,
        }
    }

    /// Takes the earliest.
    pub fn take(&mut self) -> Option<Snapshot> {
        let earliest = self.waiting.pop_front()?;
        self.left_ns = self.left_ns.max(earliest.before_ns);
        Some(earliest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(before_ns: u64) -> Snapshot {
        Snapshot {
            kind: 4,
            ring: 0,
            before_ns,
            after_ns: before_ns,
            head: 0,
            tail: 0,
            flags: 0,
            reserved: 0,
        }
    }

    #[test]
    fn what_overtakes_within_the_window_leaves_in_order() {
        let mut window = Window::default();
        let mut out = Vec::new();
        for n in 0..500u64 {
            // Each group of eight is reversed.
            if let Put::Leaves(snapshot) = window.put(at((n / 8 * 8 + 7 - n % 8) * 10)) {
                out.push(snapshot.before_ns);
            }
        }
        out.extend(std::iter::from_fn(|| window.take()).map(|snapshot| snapshot.before_ns));
        assert_eq!(out.len(), 500);
        assert!(out.is_sorted());
    }

    #[test]
    fn what_comes_after_the_window_is_late() {
        let mut window = Window::default();
        for n in 0..=WINDOW as u64 {
            window.put(at(100 + n));
        }
        assert_eq!(window.put(at(99)), Put::Late);
        assert_eq!(window.put(at(100)), Put::Leaves(at(100)));
    }
}
