//! `cargo xtask accuracy`: the tool against the truth, into docs/accuracy.md.

use super::test::build_release;
use crate::accuracy::{self, LEAST_RUNS};
use crate::vm_tests::Bench;
use crate::{kernel, setup};

/// Options of `cargo xtask accuracy`.
#[derive(clap::Args)]
pub struct Args {
    /// How many runs
    #[arg(long, value_name = "N", default_value_t = 24,
          value_parser = clap::value_parser!(u32).range(i64::from(LEAST_RUNS)..=1000))]
    runs: u32,
    /// The runs are made of this number
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Only this run; may be given repeatedly. The page is not written then
    #[arg(long, value_name = "N")]
    only: Vec<u32>,
    /// v2, inline, debug, or the path of a bzImage
    #[arg(long, default_value = "v2")]
    kernel: String,
}

/// Makes the runs; 1 if a claim does not hold.
///
/// # Errors
/// If nothing can be run here, or the page cannot be written.
pub fn run(args: Args) -> anyhow::Result<u8> {
    setup::ensure()?;
    let bench = Bench::new(kernel::image(&args.kernel)?)?;
    build_release()?;
    let passed = accuracy::run(&bench, args.runs, args.seed, &args.only)?;
    Ok(u8::from(!passed))
}
