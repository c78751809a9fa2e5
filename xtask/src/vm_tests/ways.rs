//! The two ways to attach see the same, and so do the two times: before a ring
//! exists and after.

use anyhow::{Context, ensure};
use serde_json::Value;

use super::report::{
    check_books, check_trust, count, end_profile_after, known, only_ring, profile_by_intervals,
    profiled, rings, script, start, total,
};
use super::{Bench, table};

table![
    kprobe_and_fentry_count_the_same_on_the_same_work,
    attached_before_or_after_a_ring_exists_the_figures_are_the_same,
    attached_before_or_after_a_ring_exists_the_rates_are_the_same,
];

/// The ways, as `--probe-kind` and the report call them.
pub const WAYS: [&str; 2] = ["kprobe", "fentry"];

fn kprobe_and_fentry_count_the_same_on_the_same_work(bench: &Bench) -> anyhow::Result<()> {
    let load = ["--events", "20000", "--rate", "10000"];
    let mut figures = Vec::new();
    for way in WAYS {
        let (report, stress) = profiled(bench, &["--probe-kind", way], &load)?;
        ensure!(report["probe_kind"] == way, "{way}: attached by {}", report["probe_kind"]);
        check_books(&report, &stress).context(way)?;
        let ring = only_ring(&report)?;
        let waits = count(ring, "waits")?;
        ensure!(stress["waits_total"] == waits, "{way}: {waits} waits, stress: {stress}");
        let stale = count(ring, "waits_estale_at_once")? + count(ring, "waits_estale_slept")?;
        ensure!(stress["waits"]["estale"] == stale, "{way}: {stale} ESTALE, stress: {stress}");
        ensure!(count(ring, "adds")? == 8, "{way}: {ring}");
        figures.push(known(ring)?.into_iter().map(str::to_owned).collect::<Vec<_>>());
    }
    ensure!(figures[0] == figures[1], "by kprobe {:?}, by fentry {:?}", figures[0], figures[1]);
    Ok(())
}

fn attached_before_or_after_a_ring_exists_the_figures_are_the_same(
    bench: &Bench,
) -> anyhow::Result<()> {
    let load = start(bench, "load", "ring_load", "0 1000", " ");
    let end = end_profile_after(3);
    for way in WAYS {
        let profile = profile_by_intervals(bench, &format!("-F 199 --probe-kind {way}"));
        let before = script(bench, 1, &[profile.as_str(), &load, &end].concat())?;
        let after = script(bench, 1, &[load.as_str(), &profile, &end].concat())?;
        let (before, after) = (steady(&before.reports)?, steady(&after.reports)?);
        let (before, after) = (only_ring(before)?, only_ring(after)?);
        for ring in [before, after] {
            ensure!(ring["owner"]["comm"] == "ring_load", "{way}: owner {}", ring["owner"]);
            ensure!(ring["consumers"][0]["comm"] == "consumer", "{way}: {}", ring["consumers"]);
            ensure!(count(ring, "published")? + count(ring, "merged")? > 0, "{way}: {ring}");
        }
        for fact in ["max_items", "items_used", "closed", "corrupt"] {
            let (before, after) = (&before[fact], &after[fact]);
            ensure!(before == after, "{way}: {fact} {before} before, {after} after");
        }
        let (fd_before, fd_after) = (&before["owner"]["fd"], &after["owner"]["fd"]);
        ensure!(fd_before == fd_after && fd_after.is_u64(), "{way}: fd {fd_before}, {fd_after}");
        let (before, after) = (known(before)?, known(after)?);
        ensure!(before == after, "{way}: figures before {before:?}, after {after:?}");
    }
    Ok(())
}

/// Rates of the same load at the same time, so that the machine's mood is in
/// both: one profiler was there before the ring, another came after it, and both
/// end together.
fn attached_before_or_after_a_ring_exists_the_rates_are_the_same(
    bench: &Bench,
) -> anyhow::Result<()> {
    let load = start(bench, "load", "ring_load", "0 1000", " ");
    for way in WAYS {
        let early = profile_by_intervals(bench, &format!("--probe-kind {way}"));
        let late = format!(
            "{uepoll} profile --json --probe-kind {way} -d 3 >/run/late; \
             kill -INT $profiler; wait $profiler; cat /run/reports /run/late\n",
            uepoll = bench.uepoll().display()
        );
        let printed = script(bench, 1, &[early.as_str(), &load, &late].concat())?;
        let (late, early) = printed.reports.split_last().context("no report")?;
        // The last intervals of the early one that lie within the late one's run.
        let late_ns = duration_ns(late)?;
        let mut covered_ns = 0;
        let mut within = early.len();
        while within > 0 && covered_ns + duration_ns(&early[within - 1])? <= late_ns {
            within -= 1;
            covered_ns += duration_ns(&early[within])?;
        }
        ensure!(covered_ns > late_ns / 2, "{way}: {covered_ns} of {late_ns} ns are compared");
        let early = &early[within..];
        early.iter().chain([late]).try_for_each(check_trust)?;
        let per_s = |count: u64, ns: u64| count as f64 * 1e9 / ns as f64;
        let arrivals = per_s(count(only_ring(late)?, "arrivals")?, late_ns);
        ensure!(arrivals > 10.0, "{way}: a load that hardly writes: {arrivals:.1}/s");
        for figure in ["arrivals", "published", "merged", "consumed", "waits"] {
            let early = per_s(total(early, figure)?, covered_ns);
            let late = per_s(count(only_ring(late)?, figure)?, late_ns);
            // The two run for nearly the same time, not exactly.
            ensure!(
                (early - late).abs() <= 0.15 * arrivals,
                "{way}: {figure} {early:.1}/s attached before, {late:.1}/s after"
            );
            println!("  {way}: {figure} {early:.1}/s attached before, {late:.1}/s after");
        }
    }
    Ok(())
}

fn duration_ns(report: &Value) -> anyhow::Result<u64> {
    report["duration_ns"].as_u64().with_context(|| format!("no duration in {report}"))
}

/// The last whole interval of a run that Ctrl-C ended: the one before the last.
fn steady(reports: &[Value]) -> anyhow::Result<&Value> {
    let whole = reports.len().checked_sub(2).and_then(|at| reports.get(at));
    let whole = whole.with_context(|| format!("only {} intervals", reports.len()))?;
    ensure!(!rings(whole)?.is_empty(), "no ring in {whole}");
    check_trust(whole)?;
    Ok(whole)
}
