//! One producer: writes its share of the events to the sources it owns, as
//! fast as they take them or at deadlines.

use std::num::NonZeroU64;
use std::thread;

use rustix::thread::{ClockId, clock_nanosleep_absolute, set_current_timer_slack};
use rustix::time::Timespec;

use super::clock::now_ns;
use super::error::StressError;
use super::shared::Shared;
use super::source::Source;

/// Longest sleep before a look at whether the run has ended.
const TICK_NS: u64 = 100_000_000;
/// Pause of a producer whose source waits for the consumer.
const ROOM_PAUSE_NS: u64 = 50_000;
/// So often it only gives way before it pauses.
const YIELDS: u32 = 16;

/// Writes the events of producer `number`. It owns the sources whose number
/// is its own modulo the producers, and takes them in turn.
pub fn produce(shared: &Shared<'_>, number: u32) -> Result<(), StressError> {
    let config = shared.config;
    let mut pace = config.rate_per_s.map(|rate| Pace::new(rate, config.producers, number));
    if pace.is_some() {
        // The usual 50 us of slack would be most of a short period.
        set_current_timer_slack(NonZeroU64::new(1)).map_err(|source| StressError::ThreadSetup {
            call: "prctl(PR_SET_TIMERSLACK)",
            source,
        })?;
    }
    let own = (number as usize..shared.sources.len()).step_by(config.producers as usize);
    let mut turns = own.cycle();
    for _ in 0..config.events_of(number) {
        let Some(index) = turns.next() else { break };
        let paced = pace.as_mut().is_none_or(|pace| pace.wait(shared));
        let source = &shared.sources[index];
        let sent = paced
            && send(shared, source).map_err(|error| StressError::Send {
                kind: source.kind(),
                number: index,
                source: error,
            })?;
        if !sent {
            break;
        }
    }
    Ok(())
}

/// Makes one event, waiting for room; `false` if the run ended before.
fn send(shared: &Shared<'_>, source: &Source) -> rustix::io::Result<bool> {
    let mut tries = 0;
    while !shared.ended() {
        if source.try_send()? {
            return Ok(true);
        }
        if source.wait_for_room(timespec(TICK_NS))? {
            continue;
        }
        tries += 1;
        if tries <= YIELDS {
            thread::yield_now();
        } else {
            sleep_until(now_ns() + ROOM_PAUSE_NS);
        }
    }
    Ok(false)
}

/// Deadlines on CLOCK_MONOTONIC, all producers' evenly spread.
struct Pace {
    next_ns: u64,
    period_ns: u64,
}

impl Pace {
    fn new(rate_per_s: NonZeroU64, producers: u32, number: u32) -> Self {
        let producers = u64::from(producers);
        let period_ns = (producers * 1_000_000_000 / rate_per_s.get()).max(1);
        let offset_ns = u64::from(number) * period_ns / producers;
        Self { next_ns: now_ns() + offset_ns, period_ns }
    }

    /// Sleeps until the next deadline; `false` if the run ended before.
    fn wait(&mut self, shared: &Shared<'_>) -> bool {
        while !shared.ended() {
            let now_ns = now_ns();
            if self.is_due(now_ns) {
                return true;
            }
            sleep_until(self.next_ns.min(now_ns + TICK_NS));
        }
        false
    }

    /// Whether the deadline has come; the next one is set then. What is missed
    /// by more than a period is not made up for: a burst would merge, and
    /// merged events are what a paced run is to avoid.
    fn is_due(&mut self, now_ns: u64) -> bool {
        if now_ns < self.next_ns {
            return false;
        }
        let late = now_ns - self.next_ns > self.period_ns;
        self.next_ns = if late { now_ns } else { self.next_ns } + self.period_ns;
        true
    }
}

fn sleep_until(deadline_ns: u64) {
    // A signal ends it early; every caller looks at the clock again.
    let _interrupted = clock_nanosleep_absolute(ClockId::Monotonic, &timespec(deadline_ns));
}

fn timespec(ns: u64) -> Timespec {
    Timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000) as i64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_met_keeps_the_pace() {
        let mut pace = Pace { next_ns: 1_000, period_ns: 100 };
        assert!(!pace.is_due(999));
        assert!(pace.is_due(1_040));
        assert!(!pace.is_due(1_099), "the next one is counted from the deadline, not from now");
        assert!(pace.is_due(1_100));
    }

    #[test]
    fn what_is_missed_is_not_made_up_for_in_a_burst() {
        let mut pace = Pace { next_ns: 1_000, period_ns: 100 };
        assert!(pace.is_due(5_000));
        assert!(!pace.is_due(5_099));
        assert!(pace.is_due(5_100));
    }
}
