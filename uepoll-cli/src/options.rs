//! The options that every verb that watches takes, defined once. What they ask
//! for is done elsewhere.

use std::time::Duration;

use clap::Args;

/// Which processes, for how long, how often looked at, and in what form told.
#[derive(Args, Clone, Debug)]
pub struct WatchOptions {
    /// Rings of this process and of its children alone
    #[arg(short, long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pub pid: Option<u32>,

    /// For how long: 5, 5s, 500ms, 5m; without it, until Ctrl-C
    #[arg(short, long, value_name = "TIME", value_parser = crate::duration::parse_some)]
    pub duration: Option<Duration>,

    /// Snapshots of head and tail a second and CPU: more make bounds narrower
    #[arg(
        short = 'F',
        long = "frequency",
        value_name = "HZ",
        default_value_t = 199,
        value_parser = clap::value_parser!(u32).range(1..=10_000)
    )]
    pub sampler_hz: u32,

    /// The report as JSON (schema uepoll.report/1)
    #[arg(long)]
    pub json: bool,

    /// Every count, the books, the probe plan and the price of each probe too
    #[arg(short, long)]
    pub verbose: bool,

    /// Exit with 4 if anything was lost or the books do not balance
    #[arg(long)]
    pub strict: bool,
}
