//! The series' table: 8 to 256 producers, each with its own source, the ring
//! beside the ordinary ways.

use std::fmt::Write;
use std::sync::atomic::AtomicBool;

use super::config::{Config, Mode};
use super::error::StressError;
use super::outcome::Outcome;

/// Producers of the series' test program.
pub const PRODUCERS: [u32; 6] = [8, 16, 32, 64, 128, 256];

/// Runs `base` for each number of producers and each mode in turn, a row for
/// each number; `base.events` is what one producer writes. `on_row` gets each
/// row as soon as it is complete, and says whether to go on.
pub fn run<E: From<StressError>>(
    base: &Config,
    modes: &[Mode],
    stop: &AtomicBool,
    mut on_row: impl FnMut(Vec<Outcome>) -> Result<bool, E>,
) -> Result<(), E> {
    for producers in PRODUCERS {
        let mut row = Vec::with_capacity(modes.len());
        for &mode in modes {
            let config = Config {
                mode,
                producers,
                items: producers,
                events: base.events.saturating_mul(producers.into()),
                ..base.clone()
            };
            row.push(super::run(&config, stop)?);
        }
        if !on_row(row)? {
            break;
        }
    }
    Ok(())
}

/// The two lines above the rows.
pub fn header(modes: &[Mode]) -> String {
    let mut lines = " ".repeat(7);
    for mode in modes {
        // A String takes everything.
        let _infallible = write!(lines, "{:>24}", mode.name());
    }
    lines.push_str("\nthreads");
    for _ in modes {
        lines.push_str("   events/ms run-time ms");
    }
    lines.push('\n');
    lines
}

/// One row: threads, then events/ms and run time for each mode.
pub fn line(row: &[Outcome]) -> String {
    let mut line = format!("{:>7}", row.first().map_or(0, Outcome::producers));
    for outcome in row {
        // A String takes everything.
        let _infallible =
            write!(line, "{:>12.0}{:>12.0}", outcome.events_per_ms(), outcome.run_time_ms());
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_fits_80_columns() {
        let header = header(&Mode::ALL);
        assert!(header.lines().all(|line| line.len() <= 80), "{header}");
        assert_eq!(header.lines().nth(1).map(|line| line.starts_with("threads")), Some(true));
    }
}
