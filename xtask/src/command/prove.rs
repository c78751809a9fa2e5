//! `cargo xtask prove`: the long runs behind what we claim of the port, the
//! stress program and the profiler, kept in docs/proof.md.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::test::build_release;
use crate::kernel::Flavour;
use crate::vm_tests::Bench;
use crate::vm_tests::profile::beside_bpftrace;
use crate::vm_tests::report::LOAD;
use crate::{kernel, paths, setup, span};

/// Sources, and how many events of each: the last two are slow to make.
const SOURCES: [(&str, &str); 5] = [
    ("eventfd", "1000000"),
    ("pipe", "1000000"),
    ("socketpair", "1000000"),
    ("timerfd", "100000"),
    ("inotify", "100000"),
];

/// Runs of each source on the ordinary kernel.
const RUNS: usize = 3;

/// The loads whose books are checked: most writes merged, most published.
const BOOKS: [(&str, &[&str]); 2] =
    [("unpaced", &["--events", "1000000"]), ("paced", &["--events", "1000000", "--rate", "20000"])];

/// For one run; a slow source on the debug kernel takes the longest.
const TIME_LIMIT: Duration = Duration::from_secs(3600);

/// Runs everything and writes the page.
///
/// # Errors
/// At the first run that does not bear out what we say.
pub fn run() -> anyhow::Result<u8> {
    setup::ensure()?;
    let ordinary = Bench::new(kernel::image("v2")?)?;
    let debug = ordinary.on(Flavour::Debug)?;
    build_release()?;
    let release = ordinary.sh("uname -r")?.success()?;
    let mut page = format!(
        "# Proof\n\nWritten by `cargo xtask prove`, on {} in the virtual machine with 2 CPUs. \
         Where it is emulated, times are good for ratios only.\n",
        release.trim(),
    );
    books(&ordinary, &mut page)?;
    losses(&ordinary, &mut page)?;
    splats(&debug, &mut page)?;
    let path = paths::project().join("docs/proof.md");
    std::fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("xtask: written to {}", path.display());
    Ok(0)
}

/// The books against the producers, and against bpftrace in the same machine.
fn books(bench: &Bench, page: &mut String) -> anyhow::Result<()> {
    page.push_str(
        "\n## Books\n\n`uepoll profile -- uepoll stress`, 8 producers on 8 eventfds, bpftrace \
         counting `ep_add_event_to_uring` beside it.\n\n\
         | load | writes | published | merged | bpftrace's adds | consumed | books | loss |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for (name, load) in BOOKS {
        eprintln!("xtask: books, {name}");
        let (report, stress, adds) = beside_bpftrace(bench, load, TIME_LIMIT)?;
        let ring = &report["rings"][0]["figures"];
        let of = |figure: &str| ring[figure].as_u64().with_context(|| format!("{figure}: {ring}"));
        let written = stress["events_written"].as_u64().context("no events_written")?;
        let (published, merged) = (of("published")?, of("merged")?);
        let share = 100.0 * published as f64 / written as f64;
        ensure!(published + merged == written, "{published} + {merged} != {written} writes");
        ensure!(adds == written, "bpftrace counted {adds} adds for {written} writes");
        ensure!(report["books"]["balance"] == true, "books: {}", report["rings"]);
        ensure!(report["loss"]["total"] == 0, "loss: {}", report["loss"]);
        ensure!(name != "paced" || share >= 50.0, "only {share:.1} % were published");
        writeln!(
            page,
            "| {name} | {written} | {published} ({share:.1} %) | {merged} | {adds} | {} | balance \
             | none |",
            of("consumed")?
        )?;
    }
    Ok(())
}

/// Nothing is lost, whatever the events come from.
fn losses(bench: &Bench, page: &mut String) -> anyhow::Result<()> {
    write!(
        page,
        "\n## Nothing is lost\n\n`uepoll stress`, 8 producers, {RUNS} runs of each source.\n\n\
         | source | events | run | deliveries | waits | ESTALE | events/ms | lost |\n\
         |---|---|---|---|---|---|---|---|\n"
    )?;
    for (source, events) in SOURCES {
        for run in 1..=RUNS {
            eprintln!("xtask: {source}, run {run} of {RUNS}");
            let stress = stress(bench, source, events)?;
            writeln!(
                page,
                "| {source} | {events} | {run} | {} | {} | {} | {:.0} | none |",
                stress["deliveries"],
                stress["waits_total"],
                stress["waits"]["estale"],
                stress["events_per_ms"].as_f64().unwrap_or_default()
            )?;
        }
    }
    Ok(())
}

/// The same once on the kernel that watches itself. A complaint fails the run.
fn splats(bench: &Bench, page: &mut String) -> anyhow::Result<()> {
    page.push_str(
        "\n## The kernel does not complain\n\nThe same once on `--debug` (KASAN, lockdep, object \
         debugging): no splat.\n\n| source | events | deliveries | lost |\n|---|---|---|---|\n",
    );
    for (source, events) in SOURCES {
        let started = std::time::Instant::now();
        eprint!("xtask: {source} on the debug kernel");
        let stress = stress(bench, source, events)?;
        eprintln!(", {}", span::show(started.elapsed()));
        writeln!(page, "| {source} | {events} | {} | none |", stress["deliveries"])?;
    }
    Ok(())
}

/// One run of stress, which must lose nothing.
fn stress(bench: &Bench, source: &str, events: &str) -> anyhow::Result<Value> {
    let uepoll = bench.uepoll().to_string_lossy().into_owned();
    let own = ["--source", source, "--events", events];
    let mut options = bench.options(&[&[uepoll.as_str()], &LOAD[..], &own].concat());
    options.time_limit = TIME_LIMIT;
    let stress: Value = serde_json::from_str(&bench.run_with(&options)?.success()?)?;
    ensure!(stress["lost_none"] == true, "{source}: {stress}");
    Ok(stress)
}
