//! `cargo xtask kills`: a hundred recorders killed, a hundred files read.

use super::test::{build_programs, build_release};
use crate::vm_tests::{Bench, file};
use crate::{kernel, setup};

/// Kills.
const KILLS: u32 = 100;

/// Kills, reads, and says how it went in one line.
///
/// # Errors
/// If one of the files cannot be read.
pub fn run() -> anyhow::Result<u8> {
    setup::ensure()?;
    let bench = Bench::new(kernel::image("v2")?)?;
    build_release()?;
    build_programs()?;
    let killed = file::kills(&bench, KILLS)?;
    println!(
        "{KILLS} recorders killed, every file readable: {} told up to the kill, {} without a run \
         yet, {} not yet made",
        killed.told, killed.no_run, killed.no_file
    );
    Ok(0)
}
