//! `uepoll stress` on a real ring: whatever the events come from, none is lost.

use anyhow::ensure;

use super::{Bench, table};

table![
    stress_loses_no_eventfd_event,
    stress_loses_no_pipe_event,
    stress_loses_no_socketpair_event,
    stress_loses_no_timerfd_event,
    stress_loses_no_inotify_event,
];

fn stress_loses_no_eventfd_event(bench: &Bench) -> anyhow::Result<()> {
    loses_none(bench, "eventfd", 100_000)
}

fn stress_loses_no_pipe_event(bench: &Bench) -> anyhow::Result<()> {
    loses_none(bench, "pipe", 100_000)
}

fn stress_loses_no_socketpair_event(bench: &Bench) -> anyhow::Result<()> {
    loses_none(bench, "socketpair", 100_000)
}

fn stress_loses_no_timerfd_event(bench: &Bench) -> anyhow::Result<()> {
    loses_none(bench, "timerfd", 10_000)
}

/// Its events come without flags, so all of them go through the offload.
fn stress_loses_no_inotify_event(bench: &Bench) -> anyhow::Result<()> {
    loses_none(bench, "inotify", 10_000)
}

fn loses_none(bench: &Bench, source: &str, events: u64) -> anyhow::Result<()> {
    let count = events.to_string();
    let report = bench.uepoll_json(&[
        "stress",
        "--producers",
        "8",
        "--items",
        "8",
        "--source",
        source,
        "--events",
        &count,
    ])?;
    ensure!(report["lost_none"] == true, "{report:#}");
    for figure in ["events_written", "events_read"] {
        ensure!(report[figure] == events, "{figure} of {events}: {report:#}");
    }
    Ok(())
}
