//! `cargo xtask test`: everything that CI runs, on the host and in the machine.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::vm_tests::{self, Bench, Tally};
use crate::{kernel, paths, setup};

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub struct Args {
    /// Only what needs no virtual machine
    #[arg(long)]
    host_only: bool,
    /// Only what runs in the virtual machine
    #[arg(long, conflicts_with = "host_only")]
    vm_only: bool,
    /// The kernel for the virtual machine: v2, debug, or a path
    #[arg(long, default_value = "v2", conflicts_with = "host_only")]
    kernel: String,
    /// Only tests whose name contains this
    filter: Option<String>,
}

/// Runs the tests; 1 if one failed.
///
/// # Errors
/// If they cannot be run: set-up, a build, a kernel.
pub fn run(args: Args) -> anyhow::Result<u8> {
    setup::ensure()?;
    let filter = args.filter.as_deref().unwrap_or_default();
    // First what takes longest and fails without a word of ours: the kernel.
    let image = if args.host_only { None } else { Some(kernel::image(&args.kernel)?) };
    let mut tally = Tally::default();
    if !args.vm_only {
        tally = host(filter)?;
        if "formats".contains(filter) {
            match super::formats::look() {
                Ok(()) => tally.passed += 1,
                Err(error) => {
                    println!("formats: {error:#}");
                    tally.failed += 1;
                }
            }
        }
    }
    if let Some(image) = image {
        build_release()?;
        build_programs()?;
        let vm = vm_tests::run(&Bench::new(image)?, filter);
        tally.passed += vm.passed;
        tally.failed += vm.failed;
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if tally == Tally::default() {
        bail!("no test's name contains `{filter}`");
    }
    Ok(u8::from(tally.failed > 0))
}

/// Builds `uepoll` as the machine runs it.
///
/// # Errors
/// If it does not build.
pub fn build_release() -> anyhow::Result<()> {
    build(&["--package", "uepoll-cli"], "uepoll")
}

/// Builds the small programs that tests in the machine watch.
///
/// # Errors
/// If they do not build.
pub fn build_programs() -> anyhow::Result<()> {
    let package = ["--package", "uepoll-common", "--features", "user", "--examples"];
    build(&package, "a program of uepoll-common/examples")
}

fn build(package: &[&str], what: &str) -> anyhow::Result<()> {
    let mut command = cargo();
    let status = command.args(["build", "--release"]).args(package).status();
    if !status.context("cannot run cargo")?.success() {
        bail!("{what} does not build; the compiler's words are above");
    }
    Ok(())
}

fn host(filter: &str) -> anyhow::Result<Tally> {
    let mut command = cargo();
    command.args(["test", "--no-fail-fast", "--", filter]);
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot run cargo")?;
    let stdout = child.stdout.take().context("cargo's stdout was asked for")?;
    let mut tally = Tally::default();
    for line in BufReader::new(stdout).lines() {
        let line = line.context("cannot read what cargo says")?;
        println!("{line}");
        if let Some(part) = counted(&line) {
            tally.passed += part.passed;
            tally.failed += part.failed;
        }
    }
    let status = child.wait().context("cannot wait for cargo")?;
    // A test program that does not build, or dies, counts no failure of its own.
    if !status.success() && tally.failed == 0 {
        bail!("`cargo test` failed ({status}) without a failed test; its words are above");
    }
    Ok(tally)
}

/// The counts in a test program's closing line.
fn counted(line: &str) -> Option<Tally> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let mut parts = counts.split("; ");
    let mut count = |word: &str| parts.next()?.strip_suffix(word)?.trim().parse().ok();
    Some(Tally { passed: count("passed")?, failed: count("failed")? })
}

/// The cargo that runs us, in the project's root.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(paths::project());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_a_test_programs_closing_line() {
        let line =
            "test result: FAILED. 19 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(counted(line), Some(Tally { passed: 19, failed: 1 }));
        assert_eq!(counted("test a::b ... ok"), None);
    }
}
