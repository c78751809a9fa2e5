//! The tests of our crates that need a ring: ignored on the host, run here.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, ensure};

use super::{Bench, table};
use crate::command::test::cargo;

table![tests_of_the_crates_that_need_a_ring_pass];

fn tests_of_the_crates_that_need_a_ring_pass(bench: &Bench) -> anyhow::Result<()> {
    let mut ran = 0;
    for program in test_programs()? {
        let arguments = [program.to_string_lossy().into_owned(), "--ignored".to_owned()];
        let stdout = bench.run(&arguments)?.success()?;
        ran += passed(&stdout).with_context(|| format!("{}: {stdout:?}", program.display()))?;
    }
    ensure!(ran > 0, "no test of our crates is marked as needing a ring");
    Ok(())
}

/// The unit tests of the crates that have such tests, built.
fn test_programs() -> anyhow::Result<Vec<PathBuf>> {
    let out = cargo()
        .args(["test", "--no-run", "--quiet", "--lib", "--bins", "--message-format=json"])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(out.status.success(), "the tests do not build; the compiler's words are above");
    let mut programs = Vec::new();
    for line in String::from_utf8_lossy(&out.stdout).lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        let name = message["target"]["name"].as_str().unwrap_or_default();
        if let Some(path) = message["executable"].as_str()
            && ["uepoll", "uepoll_common"].contains(&name)
        {
            programs.push(PathBuf::from(path));
        }
    }
    ensure!(programs.len() == 2, "built {programs:?}, not the tests of two crates");
    Ok(programs)
}

/// How many tests a test program says have passed.
fn passed(stdout: &str) -> Option<u32> {
    stdout.split_once("test result: ok. ")?.1.split_once(" passed")?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_says_how_many_passed() {
        assert_eq!(passed("x\ntest result: ok. 7 passed; 0 failed; 0 ignored"), Some(7));
        assert_eq!(passed("test result: FAILED. 7 passed; 1 failed"), None);
    }
}
