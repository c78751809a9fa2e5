//! The runs that are made of a seed: each a load of `uepoll stress` and a way
//! to watch it, so chosen that together they cover what matters.

use super::statistics::Seeded;

/// Fewest runs that cover everything.
pub const LEAST_RUNS: u32 = 20;

/// How often head is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Frequency {
    /// The sampler's ticks a second and CPU, beside publishes and waits.
    Hz(u64),
    /// A thread that watches it without a pause; only for a ring that exists.
    Max,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Spec {
    /// From 1.
    pub number: u32,
    /// `--producers`.
    pub producers: u64,
    /// `--items`.
    pub items: u64,
    /// `--events`.
    pub events: u64,
    /// `--rate`; `None` writes as fast as it goes.
    pub rate_per_s: Option<u64>,
    /// `--think`.
    pub think_us: u64,
    /// `--spin`.
    pub spin: u64,
    /// `--source`.
    pub source: &'static str,
    /// `--probe-kind`.
    pub probe_kind: &'static str,
    /// `-F`.
    pub frequency: Frequency,
    /// CPUs of the machine.
    pub cpus: u32,
}

/// Kinds of source, the specification's own first.
const SOURCES: [&str; 4] = ["eventfd", "pipe", "socketpair", "timerfd"];
/// Ways to attach.
const PROBE_KINDS: [&str; 2] = ["kprobe", "fentry"];
/// Spin budgets: none, the series' first, some that end in a wait now and then,
/// and the series' last, which hardly ever does.
const SPINS: [u64; 5] = [0, 100, 1_000, 3_000, 1_000_000];
/// A run is in high-resolution mode each so often, and unpaced each so often.
const HIGH_RESOLUTION_EACH: u32 = 6;
const UNPACED_EACH: u32 = 9;
/// For how long a paced run writes.
const SECONDS: u64 = 4;
/// Events of an unpaced run.
const UNPACED_EVENTS: u64 = 60_000;

/// The runs of a seed.
pub fn runs(count: u32, seed: u64) -> Vec<Spec> {
    let mut seeded = Seeded::new(seed);
    (0..count).map(|index| run(index, &mut seeded)).collect()
}

fn run(index: u32, seeded: &mut Seeded) -> Spec {
    let producers = seeded.one_of(&[1, 2, 4, 8, 16]);
    let items = producers * seeded.one_of(&[1, 1, 4, 32]);
    let high_resolution = index % HIGH_RESOLUTION_EACH == 4;
    // Not one in high-resolution mode: its load must outlast attaching.
    let unpaced = index % UNPACED_EACH == 8 && !high_resolution;
    let rate = seeded.within(1_000, 5_000);
    // The consumer must keep up on a machine that is emulated and watched.
    let think_us = seeded.one_of(&[0, 0, 20, 60, 100]);
    let hz = seeded.one_of(&[199, 199, 997, 1_999]);
    // The first runs go through all sources by each way to attach, the spin
    // budgets (a number prime to both) across them.
    let probe_kind = PROBE_KINDS[(index / SOURCES.len() as u32 % 2) as usize];
    let spin = SPINS[index as usize % SPINS.len()];
    Spec {
        number: index + 1,
        producers,
        items,
        events: if unpaced { UNPACED_EVENTS } else { rate * SECONDS },
        rate_per_s: (!unpaced).then_some(rate),
        think_us,
        spin,
        source: SOURCES[index as usize % SOURCES.len()],
        probe_kind,
        frequency: if high_resolution { Frequency::Max } else { Frequency::Hz(hz) },
        // Kprobes are put on a running load only where the emulator takes it
        // (docs/decisions.md).
        cpus: if high_resolution && probe_kind == "kprobe" { 1 } else { 2 },
    }
}

impl Spec {
    /// Whether its load runs before it is watched.
    pub fn high_resolution(&self) -> bool {
        self.frequency == Frequency::Max
    }

    /// Arguments of `uepoll stress`, without files.
    pub fn stress_words(&self) -> String {
        let mut words = format!(
            "stress --json --producers {} --items {} --source {} --spin {} --think {}us",
            self.producers, self.items, self.source, self.spin, self.think_us
        );
        // A load that is watched in its midst is stopped when that is over.
        let events = if self.high_resolution() { self.events * 10 } else { self.events };
        words.push_str(&format!(" --events {events}"));
        if let Some(rate) = self.rate_per_s {
            words.push_str(&format!(" --rate {rate}"));
        }
        words
    }

    /// Arguments of `uepoll profile`, without a target.
    pub fn profile_words(&self) -> String {
        format!("profile --json --probe-kind {} -F {}", self.probe_kind, self.frequency)
    }
}

impl std::fmt::Display for Frequency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Hz(hz) => hz.fmt(f),
            Self::Max => f.write_str("max"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fewest_runs_cover_everything_whatever_the_seed() {
        for seed in 0..200 {
            let runs = runs(LEAST_RUNS, seed);
            let any = |claim: &dyn Fn(&Spec) -> bool| runs.iter().any(claim);
            for source in SOURCES {
                for kind in PROBE_KINDS {
                    assert!(any(&|run| run.source == source && run.probe_kind == kind));
                }
            }
            for spin in SPINS {
                assert!(any(&|run| run.spin == spin && !run.high_resolution()));
            }
            assert!(any(&|run| run.rate_per_s.is_none()));
            assert!(runs.iter().filter(|run| run.high_resolution()).count() >= 2);
            assert!(runs.iter().all(|run| run.items >= run.producers));
            assert!(runs.iter().all(|run| !run.high_resolution() || run.rate_per_s.is_some()));
        }
    }

    #[test]
    fn a_seed_gives_the_same_runs() {
        let words = |seed| runs(24, seed).iter().map(Spec::stress_words).collect::<Vec<_>>();
        assert_eq!(words(1), words(1));
        assert_ne!(words(1), words(2));
    }
}
