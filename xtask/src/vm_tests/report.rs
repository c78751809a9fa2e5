//! What tests read from the JSON of `uepoll profile` and `uepoll stress`, and
//! how they run the first on something. Claims are made elsewhere.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::Bench;

/// A load of eight producers on eight items, in JSON.
pub const LOAD: [&str; 6] = ["stress", "--json", "--producers", "8", "--items", "8"];

/// `uepoll profile` of `uepoll stress`, each with these options: both reports.
///
/// # Errors
/// If one of them fails.
pub fn profiled(bench: &Bench, own: &[&str], load: &[&str]) -> anyhow::Result<(Value, Value)> {
    let uepoll = bench.uepoll().to_string_lossy().into_owned();
    let command = [&[&uepoll, "profile", "--json"], own, &["--", &uepoll], &LOAD, load].concat();
    let ran = bench.run(&command)?;
    let report = serde_json::from_str(&ran.success()?).context("profile's report")?;
    let stress = ran.stderr_text();
    let stress = serde_json::from_str(&stress).with_context(|| format!("stress: {stress}"))?;
    Ok((report, stress))
}

/// What a script printed: reports on stdout, and whatever on stderr.
pub struct Printed {
    /// The reports, in their order.
    pub reports: Vec<Value>,
    /// The other stream.
    pub stderr: String,
}

/// Runs a script of bash in a guest with so many processors: one, where it
/// attaches to a program that is busy already (see docs/decisions.md).
///
/// # Errors
/// If it fails, or prints something else than reports.
pub fn script(bench: &Bench, cpus: u32, script: &str) -> anyhow::Result<Printed> {
    let mut options = bench.options(&["bash", "-euc", script]);
    options.cpus = cpus;
    let ran = bench.run_with(&options)?;
    Ok(Printed { stderr: ran.stderr_text(), reports: several(&ran.success()?)? })
}

/// The JSON documents that stand one after the other in `text`.
///
/// # Errors
/// If one is malformed, or there is none.
pub fn several(text: &str) -> anyhow::Result<Vec<Value>> {
    let documents: Result<Vec<Value>, _> =
        serde_json::Deserializer::from_str(text).into_iter().collect();
    let documents = documents.with_context(|| format!("not JSON: {text}"))?;
    ensure!(!documents.is_empty(), "no report was printed");
    Ok(documents)
}

/// Bash: starts a program of the examples with a pipe as its stdin, which stays
/// open, and waits until it has said `ready` on stdout, which is kept in
/// `/run/NAME`. `$NAME` is then its process, `$NAME_in` the pipe's descriptor.
pub fn start(bench: &Bench, name: &str, program: &str, arguments: &str, ready: &str) -> String {
    let program = bench.program(program);
    format!(
        "mkfifo /run/{name}.in; {program} {arguments} </run/{name}.in >/run/{name} & {name}=$!; \
         exec {{{name}_in}}>/run/{name}.in; \
         until grep -q '{ready}' /run/{name}; do kill -0 ${name}; sleep 0.05; done\n",
        program = program.display()
    )
}

/// Bash: starts `uepoll profile -i 300ms --json` with these options and waits
/// for its first report, so that it counts from here on; reports go to
/// `/run/reports`, `$profiler` is its process.
pub fn profile_by_intervals(bench: &Bench, own: &str) -> String {
    format!(
        "{uepoll} profile -i 300ms --json {own} >/run/reports & profiler=$!; \
         until [ -s /run/reports ]; do kill -0 $profiler; sleep 0.05; done\n",
        uepoll = bench.uepoll().display()
    )
}

/// Bash: waits until so many more intervals have been reported, then ends the
/// profiler as Ctrl-C does and prints what it reported.
pub fn end_profile_after(intervals: u32) -> String {
    format!(
        "before=$(wc -l </run/reports); \
         until [ $(wc -l </run/reports) -ge $((before + {intervals})) ]; \
         do kill -0 $profiler; sleep 0.05; done; \
         kill -INT $profiler; wait $profiler; cat /run/reports\n"
    )
}

/// The only ring of a report.
///
/// # Errors
/// If there is none, or more than one.
pub fn only_ring(report: &Value) -> anyhow::Result<&Value> {
    let rings = rings(report)?;
    ensure!(rings.len() == 1, "{} rings in the report", rings.len());
    Ok(&rings[0])
}

/// The rings of a report.
///
/// # Errors
/// If it is no report.
pub fn rings(report: &Value) -> anyhow::Result<&Vec<Value>> {
    report["rings"].as_array().context("no rings in the report")
}

/// A count among a ring's figures.
///
/// # Errors
/// If it is absent.
pub fn count(ring: &Value, figure: &str) -> anyhow::Result<u64> {
    ring["figures"][figure].as_u64().with_context(|| format!("{figure} is not a count: {ring}"))
}

/// The sum of a count over a ring's intervals. The ring is the only one of each
/// report that has any.
///
/// # Errors
/// If it is absent from one.
pub fn total(reports: &[Value], figure: &str) -> anyhow::Result<u64> {
    let mut total = 0;
    for report in reports {
        if !rings(report)?.is_empty() {
            total += count(only_ring(report)?, figure)?;
        }
    }
    Ok(total)
}

/// The figures of a ring that are not null.
///
/// # Errors
/// If it has none.
pub fn known(ring: &Value) -> anyhow::Result<BTreeSet<&str>> {
    let figures = ring["figures"].as_object().context("no figures")?;
    let known = figures.iter().filter(|(_, value)| !value.is_null());
    Ok(known.map(|(name, _)| name.as_str()).collect())
}

/// Nothing lost, and the books balance by themselves.
///
/// # Errors
/// If not.
pub fn check_trust(report: &Value) -> anyhow::Result<()> {
    ensure!(report["loss"]["total"] == 0, "loss: {}", report["loss"]);
    // Null where there is no ring, and so nothing to balance.
    let balance = &report["books"]["balance"];
    let empty = report["rings"].as_array().is_some_and(Vec::is_empty);
    ensure!(*balance == true || (balance.is_null() && empty), "books: {}", report["rings"]);
    ensure!(report["books"]["not_checked"] == 0, "books: {}", report["rings"]);
    Ok(())
}

/// As [`check_trust`], and the books balance against the producers. Gives the
/// share of writes that were published.
///
/// # Errors
/// If not.
pub fn check_books(report: &Value, stress: &Value) -> anyhow::Result<f64> {
    check_trust(report)?;
    ensure!(stress["lost_none"] == true, "stress: {stress}");
    let ring = only_ring(report)?;
    let written = stress["events_written"].as_u64().context("no events_written")?;
    let (published, merged) = (count(ring, "published")?, count(ring, "merged")?);
    ensure!(published + merged == written, "{published} + {merged} != {written} writes");
    let consumed = count(ring, "consumed")?;
    ensure!(stress["consumed_positions"] == consumed, "consumed {consumed}, stress: {stress}");
    Ok(published as f64 / written as f64)
}
