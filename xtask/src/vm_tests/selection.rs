//! What is chosen is what is reported, intervals add up to the whole, and a
//! process has the numbers of each pid namespace it is in.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::report::{check_trust, rings, script, several, start, total};
use super::{Bench, table};

table![
    rings_are_chosen_by_process_descriptor_name_and_cgroup,
    a_name_chooses_rings_of_processes_that_come_later,
    a_named_consumer_of_no_ring_is_said_to_be_one,
    intervals_add_up_to_what_the_producers_wrote,
    a_process_in_another_pid_namespace_is_told_by_both_numbers,
    a_command_is_profiled_from_within_a_pid_namespace,
];

fn rings_are_chosen_by_process_descriptor_name_and_cgroup(bench: &Bench) -> anyhow::Result<()> {
    // Three idle rings beside each busy one.
    let program = bench.program("ring_load");
    let programs: String = ["alpha", "beta"]
        .iter()
        .map(|name| format!("cp {} /run/{name}.program\n", program.display()))
        .collect();
    // The name of a process is that of its file.
    let names = "mkdir /run/bin; for n in alpha beta; do mv /run/$n.program /run/bin/$n; done\n";
    let started: String = ["alpha", "beta"]
        .iter()
        .map(|name| {
            let line = start(bench, name, "ring_load", "3 200", " ");
            line.replace(&program.display().to_string(), &format!("/run/bin/{name}"))
        })
        .collect();
    let cgroup = "/sys/fs/cgroup/of-beta";
    let profiles: String = [
        "-p $alpha",
        "-r $alpha:$fd",
        "--comm alpha",
        &format!("--cgroup {cgroup}"),
        "--comm gamma",
    ]
    .iter()
    .map(|own| format!("{} profile --json -d 500ms {own}\n", bench.uepoll().display()))
    .collect();
    let script_text = format!(
        "{programs}{names}{started}mkdir {cgroup}; echo $beta >{cgroup}/cgroup.procs; \
         read -r _ fd </run/alpha; {profiles}"
    );
    let reports = script(bench, 1, &script_text)?.reports;
    let expected: [(&str, &[&str], usize); 5] = [
        ("-p", &["alpha"], 4),
        ("-r", &["alpha"], 1),
        ("--comm", &["alpha"], 4),
        ("--cgroup", &["beta"], 4),
        ("--comm of nobody", &[], 0),
    ];
    ensure!(reports.len() == expected.len(), "{} reports", reports.len());
    for ((option, owners, count), report) in expected.into_iter().zip(&reports) {
        let rings = rings(report)?;
        let names: BTreeSet<_> =
            rings.iter().filter_map(|ring| ring["owner"]["comm"].as_str()).collect();
        let owners: BTreeSet<_> = owners.iter().copied().collect();
        ensure!(names == owners, "{option}: rings of {names:?}, not of {owners:?}");
        ensure!(rings.len() == count, "{option}: {} rings, not {count}", rings.len());
        check_trust(report).context(option)?;
    }
    Ok(())
}

fn a_name_chooses_rings_of_processes_that_come_later(bench: &Bench) -> anyhow::Result<()> {
    let steps = [
        super::report::profile_by_intervals(bench, "--comm ring_load"),
        start(bench, "other", "shared_ring", "", "shared"),
        start(bench, "load", "ring_load", "1 200", " "),
        super::report::end_profile_after(3),
    ];
    let reports = script(bench, 1, &steps.concat())?.reports;
    let last = reports.last().context("no report")?;
    let rings = rings(last)?;
    ensure!(rings.len() == 2, "{} rings in {last}", rings.len());
    ensure!(rings.iter().all(|ring| ring["owner"]["comm"] == "ring_load"), "{rings:?}");
    Ok(())
}

fn a_named_consumer_of_no_ring_is_said_to_be_one(bench: &Bench) -> anyhow::Result<()> {
    let profiles: String = ["1", "$alpha"]
        .iter()
        .map(|tid| {
            let uepoll = bench.uepoll().display().to_string();
            format!("{uepoll} profile --json -d 300ms --consumer {tid} -r $alpha:$fd\n")
        })
        .collect();
    let script_text = format!(
        "{}read -r _ fd </run/alpha; {profiles}",
        start(bench, "alpha", "ring_load", "0 200", " ")
    );
    let reports = script(bench, 1, &script_text)?.reports;
    let said = |report: &Value| report["notes"].to_string().contains("--consumer");
    ensure!(said(&reports[0]), "nothing is said of thread 1: {}", reports[0]["notes"]);
    ensure!(!said(&reports[1]), "its own thread is refused: {}", reports[1]["notes"]);
    Ok(())
}

fn intervals_add_up_to_what_the_producers_wrote(bench: &Bench) -> anyhow::Result<()> {
    let uepoll = bench.uepoll().to_string_lossy().into_owned();
    let own = [&uepoll, "profile", "--json", "-i", "500ms", "--"];
    let load = [&[uepoll.as_str()], &super::report::LOAD[..]].concat();
    let paced = ["--events", "12000", "--rate", "5000"];
    let mut options = bench.options(&[&own[..], &load, &paced].concat());
    options.cpus = 1;
    let ran = bench.run_with(&options)?;
    let stress: Value = serde_json::from_str(&ran.stderr_text()).context("stress")?;
    let reports = several(&ran.success()?)?;
    ensure!(reports.len() >= 3, "only {} intervals", reports.len());
    for report in &reports {
        check_trust(report)?;
    }
    let written = total(&reports, "published")? + total(&reports, "merged")?;
    ensure!(stress["events_written"] == written, "{written} writes, stress: {stress}");
    let consumed = total(&reports, "consumed")?;
    ensure!(stress["consumed_positions"] == consumed, "{consumed} consumed, stress: {stress}");
    let waits = total(&reports, "waits")?;
    ensure!(stress["waits_total"] == waits, "{waits} waits, stress: {stress}");
    Ok(())
}

fn a_process_in_another_pid_namespace_is_told_by_both_numbers(bench: &Bench) -> anyhow::Result<()> {
    // The one that unshare forks is number 1 of the new namespace.
    let load = bench.program("ring_load");
    let text = format!(
        "mkfifo /run/in; unshare --pid --fork {} 0 200 </run/in >/run/load & outer=$!; \
         exec 5>/run/in; until [ -s /run/load ]; do kill -0 $outer; sleep 0.05; done; \
         inner=$(ps --ppid $outer -o pid= | tr -d ' '); \
         {uepoll} profile --json -d 300ms -p $inner; echo $inner >&2; \
         {uepoll} profile -d 300ms -p $inner >&2",
        load.display(),
        uepoll = bench.uepoll().display()
    );
    let printed = script(bench, 1, &text)?;
    let (inner, text) = printed.stderr.split_once('\n').context("nothing on stderr")?;
    let sentence = format!("process {inner} is 1 in its own");
    let notes = printed.reports[0]["notes"].to_string();
    ensure!(notes.contains(&sentence), "no `{sentence}` in {notes}");
    ensure!(text.contains(&sentence), "no `{sentence}` in {text}");
    ensure!(rings(&printed.reports[0])?.len() == 1, "{}", printed.reports[0]);
    Ok(())
}

fn a_command_is_profiled_from_within_a_pid_namespace(bench: &Bench) -> anyhow::Result<()> {
    let uepoll = bench.uepoll().display();
    let load = super::report::LOAD.join(" ");
    // /proc stays that of the host, as in a container that has it mounted.
    let text = format!(
        "unshare --pid --fork {uepoll} profile --json -- {uepoll} {load} --events 2000 2>/run/out"
    );
    let reports = script(bench, 2, &text)?.reports;
    check_trust(&reports[0])?;
    ensure!(total(&reports, "published")? + total(&reports, "merged")? == 2000, "{reports:?}");
    Ok(())
}
