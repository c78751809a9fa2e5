//! Capabilities instead of root: those that the message names are enough, and
//! each of them is missed by its name.

use anyhow::{Context, ensure};

use super::report::{LOAD, check_trust, several, total};
use super::{Bench, table};

table![the_capabilities_that_the_message_names_are_enough, a_capability_that_is_missing_is_named,];

/// An ordinary user.
const AS_NOBODY: &str = "setpriv --reuid=65534 --regid=65534 --clear-groups";

/// Without which nothing can be attached; cap_sys_ptrace is for processes of
/// others only, cap_dac_read_search for those and for what kprobes need of tracefs.
const NEEDED: [&str; 3] = ["cap_bpf", "cap_perfmon", "cap_syslog"];

/// The list in the line that the message gives for `setcap`.
fn named(bench: &Bench) -> anyhow::Result<String> {
    let ran = bench.sh(&format!("{AS_NOBODY} {} profile -d 1", bench.uepoll().display()))?;
    let message = ran.stderr_text();
    let words = message.split_whitespace();
    let list = words.filter_map(|word| word.strip_suffix("+ep")).next();
    Ok(list.with_context(|| format!("no list for setcap in: {message}"))?.to_owned())
}

fn the_capabilities_that_the_message_names_are_enough(bench: &Bench) -> anyhow::Result<()> {
    let list = named(bench)?;
    let uepoll = bench.uepoll().display();
    let ran = bench.sh(&format!(
        "cp {uepoll} /run/uepoll && setcap {list}+ep /run/uepoll && \
         {AS_NOBODY} /run/uepoll profile --json -- {uepoll} {} --events 5000",
        LOAD.join(" ")
    ))?;
    let reports = several(&ran.success()?)?;
    check_trust(&reports[0])?;
    ensure!(total(&reports, "published")? + total(&reports, "merged")? == 5000, "{reports:?}");
    Ok(())
}

fn a_capability_that_is_missing_is_named(bench: &Bench) -> anyhow::Result<()> {
    let list = named(bench)?;
    let uepoll = bench.uepoll().display();
    let mut script = format!("cp {uepoll} /run/uepoll\n");
    for missing in NEEDED {
        let others: Vec<_> = list.split(',').filter(|name| *name != missing).collect();
        ensure!(others.len() < list.split(',').count(), "{missing} is not in {list}");
        script += &format!(
            "setcap {}+ep /run/uepoll && {AS_NOBODY} /run/uepoll profile -d 1 \
             --probe-kind kprobe 2>&1; echo \"status $?\"\n",
            others.join(",")
        );
    }
    let said = bench.sh(&script)?.success()?;
    let answers: Vec<_> = said.split_inclusive("status 3\n").collect();
    ensure!(answers.len() == NEEDED.len(), "not every run was refused: {said}");
    for (missing, answer) in NEEDED.iter().zip(answers) {
        ensure!(answer.to_lowercase().contains(missing), "{missing} is not named in: {answer}");
    }
    Ok(())
}
