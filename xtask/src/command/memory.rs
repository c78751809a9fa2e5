//! `cargo xtask memory`: what watching takes, measured, into docs/memory.md.

use std::fmt::Write as _;

use anyhow::{Context, ensure};

use super::test::{build_programs, build_release};
use crate::vm_tests::Bench;
use crate::vm_tests::memory::{IDLE, TOLERANCE, Taken, check, function, measure, places, stated};
use crate::{kernel, paths, setup};

/// Processors of the guests.
const CPUS: [u32; 3] = [1, 2, 4];

/// What the sampler may take of one CPU where nobody asks for a rate.
const MOST_SHARE: f64 = 0.01;

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
            ensure!(taken.sampler_share() < MOST_SHARE, "the sampler takes more: {taken:?}");
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
        "\n## The sampler\n\nThe same runs, without `-F`: rings that one tick looked at, how long it \
         took (program bodies, where emulated good for ratios only), the ticks a second and CPU \
         that this price was found to allow, and what they take of **one** CPU, all CPUs' ticks \
         together. It is below {:.0} %, or this page is not written.\n\n\
         | CPUs | rings | looks a tick | ns a tick | ticks/s | of one CPU |\n\
         |---|---|---|---|---|---|\n",
        100.0 * MOST_SHARE
    )?;
    for taken in all {
        let Taken { cpus, rings, looks_per_tick, sampler_ns, asked_hz, .. } = taken;
        let share = 100.0 * taken.sampler_share();
        writeln!(
            page,
            "| {cpus} | {rings} | {looks_per_tick:.2} | {sampler_ns:.0} | {asked_hz} | {share:.2} % |"
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
