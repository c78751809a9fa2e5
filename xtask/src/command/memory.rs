//! `cargo xtask memory`: what watching takes, measured, into docs/memory.md.

use std::fmt::Write as _;

use anyhow::Context;

use super::test::{build_programs, build_release};
use crate::vm_tests::Bench;
use crate::vm_tests::memory::{IDLE, TOLERANCE, Taken, check, function, measure, places, stated};
use crate::{kernel, paths, setup};

/// Processors of the guests.
const CPUS: [u32; 3] = [1, 2, 4];

/// What `uepoll profile` takes without -F.
const DEFAULT_HZ: u32 = 199;

/// Writes to the busy ring: enough to be seen, too few to be in the way.
const WRITES_PER_S: u32 = 100;

/// Measures, checks, and writes the page.
///
/// # Errors
/// If a run fails, or takes another amount of memory than is stated.
pub fn run() -> anyhow::Result<u8> {
    setup::ensure()?;
    let bench = Bench::new(kernel::image("v2")?)?;
    build_release()?;
    build_programs()?;
    let mut all = Vec::new();
    for cpus in CPUS {
        for idle in IDLE {
            eprintln!("xtask: {} rings, {cpus} processors", idle + 1);
            let taken = measure(&bench, cpus, idle, WRITES_PER_S)?;
            check(&taken)?;
            all.push(taken);
        }
    }
    let path = paths::project().join("docs/memory.md");
    std::fs::write(&path, page(&all)?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("xtask: written to {}", path.display());
    Ok(0)
}

/// A page of what was measured.
fn page(all: &[Taken]) -> anyhow::Result<String> {
    let mut page = head();
    for taken in all {
        writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} | {} |",
            taken.cpus,
            taken.rings,
            places(taken.rings),
            mib(taken.maps_bytes),
            mib(stated(taken.rings, taken.cpus)),
            mib(taken.programs_bytes),
            mib(taken.resident_bytes),
        )?;
    }
    write!(
        page,
        "\n## The sampler\n\nThe same runs: rings that one tick looked at, and how long it took \
         (program bodies, where emulated good for ratios only); its share of each CPU at the \
         {DEFAULT_HZ} ticks a second that are the default.\n\n\
         | CPUs | rings | looks a tick | ns a tick | share of a CPU |\n|---|---|---|---|---|\n"
    )?;
    for taken in all {
        let Taken { cpus, rings, looks_per_tick, sampler_ns, .. } = taken;
        let share = sampler_ns * f64::from(DEFAULT_HZ) / 1e7;
        writeln!(
            page,
            "| {cpus} | {rings} | {looks_per_tick:.2} | {sampler_ns:.0} | {share:.2} % |"
        )?;
    }
    Ok(page)
}

fn mib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}

/// What the numbers mean, and the function that they are checked against.
fn head() -> String {
    format!(
        "# Memory\n\nWritten by `cargo xtask memory`: one busy ring beside rings in which nothing \
         happens, all of them there before `uepoll profile` attaches, in the virtual machine.\n\n\
         Memory is a function of rings and CPUs:\n\n\
         ```\n{}\n```\n\n\
         A run has {} places for rings, or four times as many, and so on, until those that it \
         finds fill no more than half of them. A ring for which there is no place is counted as \
         lost. Sizes in MiB; *stated* is the function for maps, \
         and what was measured is within {:.0} % of it, or this page is not written.\n\n\
         | CPUs | rings | places | maps | stated | programs | process |\n\
         |---|---|---|---|---|---|---|\n",
        function(),
        places(0),
        100.0 * TOLERANCE
    )
}
