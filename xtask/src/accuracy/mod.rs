//! The tool against the truth: seeded runs in the virtual machine, each judged
//! by what its consumer knows, into docs/accuracy.md.
//!
//! Runs are chosen in `plan.rs`, made in `guest.rs`, judged in `judge.rs`.

mod data;
mod guest;
mod judge;
mod page;
mod plan;
mod statistics;

use std::time::Instant;

use anyhow::Context;

use crate::vm_tests::Bench;
use crate::{paths, span};
use judge::{Verdict, Width};
use page::Machine;
pub use plan::LEAST_RUNS;
use plan::Spec;
use statistics::binomial_tail;

/// Chance of a percentile to be outside bounds that hold at 95 %.
const OUTSIDE_CHANCE: f64 = 0.05;

/// The claim about percentiles is given up if what was seen is less likely.
const LEVEL_OF_TEST: f64 = 0.05;

/// A run, and what became of it.
struct Judged {
    spec: Spec,
    /// Why it could not be made or judged, otherwise.
    result: Result<Verdict, String>,
    /// The machine was started twice.
    repeated: bool,
}

/// All runs together.
#[derive(Clone, Copy, Debug)]
struct Summary {
    /// Sampled positions that were compared.
    compared: usize,
    /// Those outside their bounds.
    outside: usize,
    /// Ends of percentiles that were compared.
    claims: u64,
    /// Those outside.
    violations: u64,
    /// Chance of so many or more.
    chance: f64,
    /// Runs with a failure.
    failed: usize,
    /// Runs whose machine was started twice.
    repeated: usize,
    /// Runs that could not be made or judged.
    not_made: usize,
    /// Runs in high-resolution mode.
    watched: usize,
    /// Those of them with useful bounds.
    watched_useful: usize,
}

impl Summary {
    fn of(runs: &[Judged]) -> Self {
        let verdicts = || runs.iter().filter_map(|run| run.result.as_ref().ok());
        let watched = || {
            let watched = runs.iter().filter(|run| run.spec.high_resolution());
            watched.filter_map(|run| run.result.as_ref().ok())
        };
        let claims = verdicts().map(|verdict| verdict.claims).sum();
        let violations = verdicts().map(|verdict| verdict.violations).sum();
        Self {
            compared: verdicts().map(|verdict| verdict.compared).sum(),
            outside: verdicts().map(|verdict| verdict.outside).sum(),
            claims,
            violations,
            chance: binomial_tail(violations, claims, OUTSIDE_CHANCE),
            failed: verdicts().filter(|verdict| !verdict.failures.is_empty()).count(),
            repeated: runs.iter().filter(|run| run.repeated).count(),
            watched: watched().count(),
            watched_useful: watched().filter(|verdict| verdict.width == Width::Useful).count(),
            not_made: runs.iter().filter(|run| run.result.is_err()).count(),
        }
    }

    /// Whether every claim holds.
    fn passed(&self) -> bool {
        let watched = self.watched == 0 || self.watched_useful > 0;
        self.failed == 0 && self.not_made == 0 && self.chance >= LEVEL_OF_TEST && watched
    }
}

/// Makes and judges `count` runs of `seed`, those with a number in `only` if it
/// is not empty; writes the page if all were made. Gives whether all claims hold.
///
/// # Errors
/// If nothing can be run here, or the page cannot be written.
pub fn run(bench: &Bench, count: u32, seed: u64, only: &[u32]) -> anyhow::Result<bool> {
    let release = bench.sh("uname -r")?.success()?.trim().to_owned();
    let mut runs = Vec::new();
    let mut emulated = false;
    for spec in plan::runs(count, seed) {
        if !only.is_empty() && !only.contains(&spec.number) {
            continue;
        }
        let started = Instant::now();
        let made = guest::make(bench, &spec).and_then(|(evidence, repeated)| {
            emulated |= evidence.report["host"]["emulated"] == true;
            Ok((judge::judge(&spec, &evidence)?, repeated))
        });
        let (result, repeated) = match made {
            Ok((verdict, repeated)) => (Ok(verdict), repeated),
            Err(error) => (Err(format!("{error:#}")), false),
        };
        let judged = Judged { spec, result, repeated };
        tell(&judged, &span::show(started.elapsed()));
        runs.push(judged);
    }
    let summary = Summary::of(&runs);
    println!(
        "{} of {} sampled positions outside; {} of {} percentiles outside (chance {:.3}); {} runs \
         failed, {} not made",
        summary.outside,
        summary.compared,
        summary.violations,
        summary.claims,
        summary.chance,
        summary.failed,
        summary.not_made
    );
    if only.is_empty() {
        let machine = Machine { release, cpu: host_cpu(), emulated };
        let command = format!("cargo xtask accuracy --runs {count} --seed {seed}");
        let path = paths::project().join("docs/accuracy.md");
        std::fs::write(&path, page::render(&machine, &command, &runs, &summary))
            .with_context(|| format!("cannot write {}", path.display()))?;
        eprintln!("xtask: written to {}", path.display());
    }
    Ok(summary.passed())
}

/// A line for the run, one for each failure, and what was run if there is one.
fn tell(judged: &Judged, took: &str) {
    let number = judged.spec.number;
    match &judged.result {
        Ok(verdict) => {
            let outcome = if verdict.failures.is_empty() { "ok" } else { "FAILED" };
            println!(
                "run {number} ... {outcome} ({took}; {} positions, {} of {} percentiles outside)",
                verdict.compared, verdict.violations, verdict.claims
            );
            for failure in &verdict.failures {
                println!("  {failure}");
            }
            if verdict.failures.is_empty() {
                return;
            }
        }
        Err(error) => println!("run {number} ... NOT MADE ({took})\n  {error}"),
    }
    // What somebody who looks into it types next.
    let Spec { cpus, .. } = judged.spec;
    println!(
        "  cargo xtask vm --cpus {cpus}: uepoll {}, uepoll {}",
        judged.spec.profile_words(),
        judged.spec.stress_words()
    );
}

/// Model of this host's CPU.
fn host_cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or("an unknown CPU", |(_, name)| name.trim()).to_owned()
}
