//! One run in the virtual machine: the load, the tool, and the files that both
//! leave.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::data::{Sample, Truth};
use super::judge::Evidence;
use super::plan::Spec;
use crate::vm::Ending;
use crate::vm_tests::Bench;

/// For one run; it takes some seconds where the host is quiet.
const TIME_LIMIT: Duration = Duration::from_secs(180);

/// For how long a load is watched in its midst, in seconds.
const WATCHED_S: u32 = 3;

/// Files in the shared folder.
const FILES: [&str; 4] = ["report.json", "stress.json", "truth.jsonl", "samples.jsonl"];

/// Makes a run, and reads what it left. Also tells whether the machine had to
/// be started again: the emulator can panic a guest that is attached to while
/// it is busy (docs/decisions.md), which says nothing of the figures.
///
/// # Errors
/// If the run did not come to its end, or left something unreadable.
pub fn make(bench: &Bench, spec: &Spec) -> anyhow::Result<(Evidence, bool)> {
    let script = script(spec, bench.uepoll(), bench.share());
    let mut options = bench.options(&["sh", "-c", &script]);
    options.cpus = spec.cpus;
    options.time_limit = TIME_LIMIT;
    let mut again = false;
    let ran = loop {
        for file in FILES {
            let path = bench.share().join(file);
            if path.exists() {
                std::fs::remove_file(&path)?;
            }
        }
        let outcome = bench.boot(&options)?;
        // Of a run that attaches to a busy load, on two emulated processors.
        let emulators = spec.high_resolution() && spec.cpus > 1;
        if outcome.ending == Ending::Panicked && emulators && !again {
            eprintln!("xtask: run {}: the guest panicked:\n{}", spec.number, outcome.console);
            again = true;
            continue;
        }
        break bench.ended(&options, outcome)?;
    };
    ensure!(ran.status == 0, "exit status {}; stderr: {}", ran.status, ran.stderr_text());
    let read = |file: &str| {
        let path = bench.share().join(file);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let [report, stress, truth, samples] = FILES;
    let evidence = Evidence {
        report: serde_json::from_str(&read(report)?).context("the report")?,
        stress: result(&read(stress)?)?,
        truth: Truth::parse(&read(truth)?)?,
        samples: Sample::parse_all(&read(samples)?).context("a sample")?,
    };
    Ok((evidence, again))
}

/// The result of stress, among what else may be on stderr.
fn result(text: &str) -> anyhow::Result<Value> {
    let json: Vec<_> = text
        .lines()
        .skip_while(|line| *line != "{")
        .take_while(|line| !line.starts_with("uepoll: "))
        .collect();
    serde_json::from_str(&json.join("\n")).with_context(|| format!("stress's result: {text}"))
}

/// The run, kept in the guest: every sampled position is in it.
const RUN: &str = "/run/run.uepoll";

/// What the guest's shell does.
fn script(spec: &Spec, uepoll: &Path, share: &Path) -> String {
    let uepoll = uepoll.display();
    let [report, stress, truth, samples] = FILES.map(|file| share.join(file).display().to_string());
    let load = format!("{uepoll} {} --ground-truth {truth}", spec.stress_words());
    let watch = format!("{uepoll} {} -o {RUN}", spec.profile_words());
    let told = format!("{uepoll} trace --from {RUN} --json -e event >{samples}");
    if !spec.high_resolution() {
        // No shell between the two: the tool listens to the probe of the program
        // that it starts. A command's stdout goes to stderr.
        return format!("{watch} -- {load} >{report} 2>{stress} && {told}");
    }
    // The ring has to exist before it can be named.
    format!(
        "{load} >{stress} &\n\
         load=$! fd=\n\
         while [ -z \"$fd\" ]; do\n\
         \tkill -0 $load || exit 1\n\
         \tfor link in /proc/$load/fd/*; do\n\
         \t\t[ \"$(readlink $link)\" = 'anon_inode:[eventpoll]' ] && fd=${{link##*/}}\n\
         \tdone\n\
         done\n\
         {watch} -r $load:$fd -d {WATCHED_S} >{report}\n\
         status=$?\n\
         {told} || exit 1\n\
         kill -TERM $load\n\
         wait $load || exit 1\n\
         exit $status\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accuracy::plan;

    #[test]
    fn the_result_is_found_among_what_the_tool_says() {
        let text = "uepoll: a word before\n{\n  \"a\": 1\n}\nuepoll: and one after\n";
        assert_eq!(result(text).unwrap()["a"], 1);
        assert!(result("uepoll: no result\n").is_err());
    }

    #[test]
    fn the_scripts_are_ones_that_a_shell_takes() {
        for spec in plan::runs(plan::LEAST_RUNS, 1) {
            let script = script(&spec, Path::new("/t/uepoll"), Path::new("/share"));
            let status = std::process::Command::new("sh").args(["-n", "-c", &script]).status();
            assert!(status.unwrap().success(), "{script}");
            assert_eq!(script.contains(" -r $load:$fd "), spec.high_resolution());
            assert!(script.contains("--ground-truth /share/truth.jsonl"));
        }
    }
}
