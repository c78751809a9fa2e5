//! Numbers and names as a page shows them: typographic marks in place of ASCII
//! ones, everything that is not ours escaped twice, for eyes and for HTML.

use crate::figures::{FigureId, Unit};
use crate::quantile::Bounds;
use crate::render::escape::{Charset, escaped};
use crate::render::units::{
    Rounding, grouped, marked_number, marked_percent, seconds, time, time_bounds,
};
use crate::report::{RingReport, Value};

/// What stands where there is no figure.
pub(super) const ABSENT: &str = "–";

/// Most characters of a string from elsewhere.
const LONGEST: usize = 400;

/// A string from elsewhere, as text of a document or of an attribute.
pub(super) fn foreign(text: &str) -> String {
    html(&escaped(text, Charset::Utf8, LONGEST))
}

/// Text as HTML, also within a quoted attribute.
pub(super) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// ASCII as the text report prints it, in signs: `>=4.1us` as `≥ 4.1 µs`.
pub(super) fn signs(text: &str) -> String {
    let marked = text.replace(">=", "≥ ").replace("<=", "≤ ").replace("..", "–");
    let marked = match marked.strip_prefix('<') {
        Some(rest) => format!("< {rest}"),
        None => marked,
    };
    // A space before the unit of each time: the digit before it is ours.
    let mut out = String::with_capacity(marked.len() + 4);
    let mut last = ' ';
    for c in marked.chars() {
        if last.is_ascii_digit() && matches!(c, 'n' | 'u' | 'm' | 's') {
            out.push('\u{a0}');
        }
        out.push(if c == 'u' { 'µ' } else { c });
        last = c;
    }
    out
}

/// A time, rounded up.
pub(super) fn time_up(value_ns: u64) -> String {
    signs(&time(value_ns, Rounding::Up))
}

/// Bounds of a time.
pub(super) fn bounds(bounds: Bounds) -> String {
    signs(&time_bounds(bounds))
}

/// A time since the start of the run.
pub(super) fn since_start(offset_ns: u64, step_ns: u64) -> String {
    let seconds = offset_ns as f64 / 1e9;
    match step_ns {
        0..10_000_000 => format!("{seconds:.3}\u{a0}s"),
        10_000_000..1_000_000_000 => format!("{seconds:.2}\u{a0}s"),
        _ => format!("{seconds:.0}\u{a0}s"),
    }
}

/// A length of time.
pub(super) fn length(duration_ns: u64) -> String {
    match duration_ns / 1_000_000_000 {
        0..600 => seconds(duration_ns),
        whole => format!("{} min {} s", whole / 60, whole % 60),
    }
}

/// A single number of a figure with its mark and unit, as plain text; `None` if
/// the figure is absent or a distribution.
pub(super) fn number(ring: &RingReport, id: FigureId) -> Option<String> {
    let unit = id.row().unit;
    let text = match ring.value(id) {
        Value::Count { value, accuracy } if unit == Unit::Nanoseconds => {
            format!("{}{}", accuracy.mark(), time(*value, Rounding::Up))
        }
        Value::Number { value, accuracy } if unit == Unit::Nanoseconds => {
            format!("{}{}", accuracy.mark(), time(value.max(0.0) as u64, Rounding::Up))
        }
        Value::Count { value, accuracy } => format!("{}{}", accuracy.mark(), grouped(*value)),
        Value::Number { value, accuracy } if unit == Unit::Share => {
            marked_percent(*value, *accuracy)
        }
        Value::Number { value, accuracy } if unit == Unit::PerSecond => {
            return Some(format!("{}/s", marks(&marked_number(*value, *accuracy))));
        }
        Value::Number { value, accuracy } => marked_number(*value, *accuracy),
        Value::Distribution(_) | Value::Interval(_) | Value::Absent(_) => return None,
    };
    Some(if unit == Unit::Nanoseconds { signs(&text) } else { marks(&text) })
}

/// Marks alone, of a text without times.
pub(super) fn marks(text: &str) -> String {
    text.replace(">=", "≥ ").replace("<=", "≤ ").replace(' ', "\u{a0}")
}

/// Date and time of day in UTC.
pub(super) fn utc(unix_ns: u64) -> String {
    let whole = unix_ns / 1_000_000_000;
    let (day, second) = (whole / 86_400, whole % 86_400);
    let (year, month, date) = civil(day);
    format!(
        "{year}-{month:02}-{date:02} {:02}:{:02}:{:02} UTC",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// Year, month and day of the month of a day since 1970, by the Gregorian
/// calendar: years begin in March here, so that the leap day is their last.
fn civil(day: u64) -> (u64, u64, u64) {
    // Days from 1 March of year 0 to 1 January 1970.
    let day = day + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_foreign_is_inert() {
        let text = foreign("</script><img src=x onerror='a()'>\x1b&\"");
        assert!(!text.contains(['<', '>', '"', '\'', '\x1b']), "{text}");
        assert!(text.starts_with("&lt;/script&gt;"), "{text}");
    }

    #[test]
    fn marks_and_units_are_set_in_type() {
        assert_eq!(signs(">=4.1us"), "≥ 4.1\u{a0}µs");
        assert_eq!(signs("290us..1.2ms"), "290\u{a0}µs–1.2\u{a0}ms");
        assert_eq!(signs("<1.2ms"), "< 1.2\u{a0}ms");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (unix_s, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_735_689_599, "2024-12-31 23:59:59 UTC"),
            (1_767_225_600, "2026-01-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc(unix_s * 1_000_000_000), text);
        }
        assert!(utc(u64::MAX).starts_with("2554-"));
    }
}
