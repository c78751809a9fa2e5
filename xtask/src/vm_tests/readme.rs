//! What README says to type does what it says: every line of it that begins with
//! `uepoll`, with the numbers of a process that is there.

use anyhow::{Context, ensure};

use super::report::start;
use super::{Bench, table};
use crate::paths;

table![every_line_of_readme_works];

/// Lines of README's blocks of code that begin with `uepoll`, without what is
/// said of them.
fn lines(readme: &str) -> Vec<&str> {
    let mut in_block = false;
    let mut lines = Vec::new();
    for line in readme.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        } else if in_block && line.starts_with("uepoll ") {
            lines.push(line.split("  #").next().unwrap_or(line).trim_end());
        }
    }
    lines
}

/// The same for a test: of a process that is there, and of a second instead of
/// until Ctrl-C. `None` for what draws on a terminal, which has a test of its own.
fn shortened(line: &str) -> Option<String> {
    if line.starts_with("uepoll top") {
        return None;
    }
    let line = line.replace("4242:7", "$load:$fd").replace("-p 4242", "-p $load");
    let (uepoll, rest) = match line.split_once(" | ") {
        Some((uepoll, rest)) => (uepoll.to_owned(), format!(" | {rest}")),
        None => (line, String::new()),
    };
    let watches = uepoll.starts_with("uepoll profile") || uepoll.starts_with("uepoll trace");
    let uepoll = match uepoll.split_once(" -d ") {
        Some((before, after)) => {
            format!("{before} -d 1{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
        }
        None if watches && !uepoll.contains(" -- ") => format!("{uepoll} -d 1"),
        None if uepoll.contains("--sweep") => format!("{uepoll} --events 50"),
        None => uepoll,
    };
    Some(uepoll + &rest)
}

fn every_line_of_readme_works(bench: &Bench) -> anyhow::Result<()> {
    let readme = std::fs::read_to_string(paths::project().join("README.md"))
        .context("cannot read README.md")?;
    let lines: Vec<String> = lines(&readme).into_iter().filter_map(shortened).collect();
    ensure!(lines.len() >= 12, "README has but {} lines to try", lines.len());
    let program = bench.program("ring_load").display().to_string();
    let mut script = format!(
        "mkdir /run/bin /run/work; cp {program} /run/bin/nginx; cp -r {examples} /run/work\n\
         {load}\
         mkdir /sys/fs/cgroup/web.slice; echo $load >/sys/fs/cgroup/web.slice/cgroup.procs\n\
         read -r _ fd </run/load; cd /run/work\n\
         uepoll() {{ {uepoll} \"$@\"; }}; jq() {{ cat; }}\n\
         printf '#!/bin/sh\\nexec {uepoll} stress --events 200\\n' >server; chmod +x server\n",
        examples = paths::project().join("examples").display(),
        load = start(bench, "load", "ring_load", "1 200", " ").replace(&program, "/run/bin/nginx"),
        uepoll = bench.uepoll().display(),
    );
    for line in &lines {
        // The doctor may find this machine wanting: that is an answer.
        let also = if line.starts_with("uepoll doctor") { "[ $? = 1 ]" } else { "false" };
        script += &format!(
            "{line} >/run/out 2>/run/err || {also} || \
             {{ echo '{line}: '$? >&2; cat /run/err >&2; failed=1; }}\n"
        );
    }
    script += "exit ${failed:-0}\n";
    let mut options = bench.options(&["bash", "-o", "pipefail", "-uc", &script]);
    options.cpus = 1;
    let ran = bench.run_with(&options)?;
    ran.success().map(|_| ()).with_context(|| "lines of README that do not work".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_from_blocks_and_made_short() {
        let readme = "uepoll not this\n```\nuepoll profile -p 4242 -d 10    # ten\nls\n```\n";
        assert_eq!(lines(readme), ["uepoll profile -p 4242 -d 10"]);
        let short = |line| shortened(line).expect("one to try");
        assert_eq!(short("uepoll profile -p 4242 -d 10"), "uepoll profile -p $load -d 1");
        assert_eq!(
            short("uepoll profile --json -d 10 | jq ."),
            "uepoll profile --json -d 1 | jq ."
        );
        assert_eq!(short("uepoll trace -r 4242:7"), "uepoll trace -r $load:$fd -d 1");
        assert_eq!(short("uepoll profile -- ./server"), "uepoll profile -- ./server");
        assert_eq!(shortened("uepoll top --from x"), None);
    }
}
