//! What only a kernel of ours can show: tests that run commands in the virtual
//! machine. One file for each feature; a test is a function in its file's
//! `TESTS`, and fails by returning an error.

mod bench;
mod crates;
mod doctor;
mod epoll_create2;
pub mod file;
mod holders;
mod list;
pub mod memory;
pub mod profile;
mod readme;
pub mod report;
mod rights;
mod runner;
mod selection;
mod spin;
mod stress;
mod top;
mod trace;
mod waits;
mod ways;

use std::time::Instant;

pub use bench::Bench;

use crate::span;

/// A test: its name and what it does.
pub type Test = (&'static str, fn(&Bench) -> anyhow::Result<()>);

/// `table![a, b]`: the table of a file, each function under its own name.
macro_rules! table {
    ($($name:ident),+ $(,)?) => {
        /// The tests of this file.
        pub const TESTS: &[$crate::vm_tests::Test] = &[$((stringify!($name), $name)),+];
    };
}
use table;

/// All of them, in the order in which they run.
const ALL: [&[Test]; 18] = [
    runner::TESTS,
    epoll_create2::TESTS,
    crates::TESTS,
    stress::TESTS,
    profile::TESTS,
    ways::TESTS,
    waits::TESTS,
    holders::TESTS,
    selection::TESTS,
    rights::TESTS,
    doctor::TESTS,
    spin::TESTS,
    trace::TESTS,
    readme::TESTS,
    top::TESTS,
    file::TESTS,
    list::TESTS,
    memory::TESTS,
];

/// How many passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Passed.
    pub passed: u32,
    /// Failed.
    pub failed: u32,
}

/// Runs the tests whose name contains `filter`, a line for each on stdout.
pub fn run(bench: &Bench, filter: &str) -> Tally {
    let mut tally = Tally::default();
    for (name, test) in ALL.into_iter().flatten() {
        let name = format!("vm::{name}");
        if !name.contains(filter) {
            continue;
        }
        let started = Instant::now();
        let result = test(bench);
        let took = span::show(started.elapsed());
        match result {
            Ok(()) => {
                tally.passed += 1;
                println!("{name} ... ok ({took})");
            }
            Err(error) => {
                tally.failed += 1;
                println!(
                    "{name} ... FAILED ({took})\n  {}",
                    format!("{error:#}").replace('\n', "\n  ")
                );
            }
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_tests_have_one_name() {
        let mut names: Vec<_> = ALL.into_iter().flatten().map(|(name, _)| name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
