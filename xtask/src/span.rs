//! Durations as people write them on the command line, and as xtask prints
//! them.

use std::time::Duration;

/// What [`parse`] refuses.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a duration: write 5, 5s, 500ms, 5m or 1h")]
pub struct NotADuration(String);

/// Reads `5`, `5s`, `500ms`, `5m` or `1h`; a bare number is in seconds.
pub fn parse(text: &str) -> Result<Duration, NotADuration> {
    let refused = || NotADuration(text.to_owned());
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| refused())?;
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(refused()),
    };
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(refused)
}

/// `5m 7s` or `7.3 s`, for progress lines.
pub fn show(span: Duration) -> String {
    match span.as_secs() {
        secs if secs >= 60 => format!("{}m {}s", secs / 60, secs % 60),
        _ => format!("{:.1} s", span.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, expected_ms) in
            [("5", 5_000), ("5s", 5_000), ("500ms", 500), ("2m", 120_000), ("1h", 3_600_000)]
        {
            assert_eq!(parse(text).unwrap().as_millis(), expected_ms, "{text}");
        }
        for text in ["", "s", "5x", "-5", "1.5", "18446744073709551615h"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
