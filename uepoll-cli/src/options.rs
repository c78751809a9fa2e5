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
    #[arg(short, long, value_name = "TIME", value_parser = parse_duration)]
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

/// Longest time that is taken: anything longer is a slip of the keyboard.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// A length of time as people type it: `5` and `5s` seconds, `500ms`, `5m`,
/// `1h`; whole or decimal.
///
/// # Errors
/// A sentence that says what would have been right.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no length of time: write 5, 5s, 500ms, 5m or 1h");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds = match &text[digits.len()..] {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    // What f64 would also take ("inf", "1e9", "+5") is not how people write one.
    if !digits.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return Err(wrong());
    }
    let number: f64 = digits.parse().map_err(|_| wrong())?;
    let duration = Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())?;
    if duration.is_zero() {
        return Err(format!("`{text}` is no time at all: nothing would be seen"));
    }
    if duration > LONGEST {
        return Err(format!("`{text}` is more than a year: write 5, 5s, 500ms, 5m or 1h"));
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, ms) in [
            ("5", 5000),
            ("5s", 5000),
            ("500ms", 500),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("0.5", 500),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_gets_a_sentence() {
        for text in [
            "", "s", "5 s", "-5", "+5", "5x", "1e9", "inf", "NaN", "0", "0ms", "1.2.3", "9999999h",
            "５",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
