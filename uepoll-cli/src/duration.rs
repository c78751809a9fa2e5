//! Lengths of time as people type them, for every verb.

use std::time::Duration;

/// Longest time that is taken: anything longer is a slip of the keyboard.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// Reads `5` and `5s` (seconds), `500ms`, `10us`, `300ns`, `5m`, `1h`; whole or
/// decimal. Zero is a length of time.
///
/// # Errors
/// A sentence that says what would have been right.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no length of time: write 5, 5s, 500ms, 10us, 5m or 1h");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds = match &text[digits.len()..] {
        "" | "s" => 1.0,
        "ms" => 1e-3,
        "us" => 1e-6,
        "ns" => 1e-9,
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
    if duration > LONGEST {
        return Err(format!("`{text}` is more than a year: write 5, 5s, 500ms, 5m or 1h"));
    }
    Ok(duration)
}

/// The same for a time in which something is to be seen: not zero.
///
/// # Errors
/// As [`parse`].
pub fn parse_some(text: &str) -> Result<Duration, String> {
    match parse(text)? {
        Duration::ZERO => Err(format!("`{text}` is no time at all: nothing would be seen")),
        duration => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, us) in [
            ("5", 5_000_000),
            ("5s", 5_000_000),
            ("500ms", 500_000),
            ("1.5ms", 1_500),
            ("10us", 10),
            ("3000ns", 3),
            ("5m", 300_000_000),
            ("1h", 3_600_000_000),
            ("0.5", 500_000),
            ("0", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_micros(us)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_gets_a_sentence() {
        for text in
            ["", "s", "5 s", "-5", "+5", "5x", "1e9", "inf", "NaN", "1.2.3", "9999999h", "５"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_is_seen_in_no_time() {
        assert!(parse_some("0").is_err() && parse_some("0ms").is_err());
        assert_eq!(parse_some("1ms"), Ok(Duration::from_millis(1)));
    }
}
