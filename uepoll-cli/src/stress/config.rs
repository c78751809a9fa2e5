//! What one run of the stress program is to do.

use std::num::NonZeroU64;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

/// How the consumer learns of events.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// A user-polled ring
    Ring,
    /// Ordinary epoll, level-triggered
    Epoll,
    /// Ordinary epoll, edge-triggered
    EpollEt,
}

impl Mode {
    /// All of them, in the order of the sweep's columns.
    pub const ALL: [Self; 3] = [Self::Ring, Self::Epoll, Self::EpollEt];

    /// Its name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Epoll => "epoll",
            Self::EpollEt => "epoll-et",
        }
    }
}

/// What the events come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// A counter; one event is a write of 1
    Eventfd,
    /// A pipe; one event is a byte
    Pipe,
    /// A pair of Unix stream sockets; one event is a byte
    Socketpair,
    /// A one-shot timer; one event is an expiration
    Timerfd,
    /// A watched folder; one event is a file touched. Wakes without poll
    /// flags, so that it goes through the ring's offload worker
    Inotify,
}

impl SourceKind {
    /// Its name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Eventfd => "eventfd",
            Self::Pipe => "pipe",
            Self::Socketpair => "socketpair",
            Self::Timerfd => "timerfd",
            Self::Inotify => "inotify",
        }
    }

    /// Descriptors that one source of this kind keeps open.
    pub fn descriptors(self) -> u64 {
        match self {
            Self::Eventfd | Self::Timerfd => 1,
            Self::Pipe | Self::Socketpair | Self::Inotify => 2,
        }
    }
}

/// One run.
#[derive(Clone, Debug)]
pub struct Config {
    /// How the consumer learns of events.
    pub mode: Mode,
    /// What the events come from.
    pub source: SourceKind,
    /// Threads that write.
    pub producers: u32,
    /// Sources, and items that the ring is made for; at least `producers`.
    pub items: u32,
    /// Events in total.
    pub events: u64,
    /// Whether each thread is bound to one CPU.
    pub pin: bool,
    /// Empty polls of the ring before the consumer waits in the kernel. The
    /// ordinary modes have nothing to poll without a system call.
    pub spin: u64,
    /// Work of the consumer for each event delivered, on the CPU.
    pub think: Duration,
    /// Events per second in total; `None` writes as fast as it goes.
    pub rate_per_s: Option<NonZeroU64>,
    /// Whether the consumer logs the truth of each position.
    pub truth: bool,
    /// Without progress for so long, the run is given up.
    pub stall_after: Duration,
}

impl Config {
    /// Events that `producer` writes: an equal share, the first ones take
    /// what does not divide.
    pub fn events_of(&self, producer: u32) -> u64 {
        let (share, rest) =
            (self.events / u64::from(self.producers), self.events % u64::from(self.producers));
        share + u64::from(u64::from(producer) < rest)
    }

    /// How long nothing may move before the run counts as stalled: the pauses
    /// that were asked for are no stall.
    pub fn patience(&self) -> Duration {
        let pause = self.rate_per_s.map_or(Duration::ZERO, |rate| {
            Duration::from_secs(1) / u32::try_from(rate.get()).unwrap_or(u32::MAX)
        });
        self.stall_after.saturating_add(pause).saturating_add(self.think)
    }
}

#[cfg(test)]
impl Config {
    /// A small run on any kernel.
    pub fn for_test(mode: Mode, source: SourceKind) -> Self {
        Self {
            mode,
            source,
            producers: 2,
            items: 4,
            events: 2_000,
            pin: false,
            spin: 100,
            think: Duration::ZERO,
            rate_per_s: None,
            truth: false,
            stall_after: Duration::from_secs(30),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_the_total() {
        let mut config = Config::for_test(Mode::Epoll, SourceKind::Eventfd);
        for (events, producers) in [(10, 3), (1, 8), (1_000_000, 7), (0, 2)] {
            (config.events, config.producers) = (events, producers);
            assert_eq!((0..producers).map(|p| config.events_of(p)).sum::<u64>(), events);
        }
    }

    #[test]
    fn a_slow_pace_is_no_stall() {
        let mut config = Config::for_test(Mode::Epoll, SourceKind::Eventfd);
        config.rate_per_s = NonZeroU64::new(1);
        assert_eq!(config.patience(), Duration::from_secs(31));
    }
}
