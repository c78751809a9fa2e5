//! Numbers for people: grouped counts, short times, bounds that stay true when
//! they are rounded.

use crate::quantile::Bounds;
use crate::report::Accuracy;

/// Which way a printed number may differ from the true one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Printed no greater than it is: a lower bound.
    Down,
    /// Printed no smaller than it is: an upper bound.
    Up,
}

/// Count with its digits in groups of three.
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// A rate or ratio behind the mark of its accuracy: whole from 100, else one
/// decimal, 0 as `0`; a bound stays one when it is rounded.
pub fn marked_number(value: f64, accuracy: Accuracy) -> String {
    match accuracy {
        Accuracy::AtLeast | Accuracy::AtMost => {
            let whole = value >= 100.0;
            let rounded = outwards(value, if whole { 1.0 } else { 10.0 }, accuracy);
            let text = match rounded {
                0.0 => "0".into(),
                v if whole => grouped(v as u64),
                v => format!("{v:.1}"),
            };
            format!("{}{text}", accuracy.mark())
        }
        Accuracy::Exact | Accuracy::Inferred => marked(number(value), accuracy),
    }
}

/// A share as per cent behind the mark of its accuracy; a bound stays one when
/// it is rounded.
pub fn marked_percent(share: f64, accuracy: Accuracy) -> String {
    let percents = share * 100.0;
    match accuracy {
        Accuracy::AtLeast | Accuracy::AtMost => {
            let tenths = percents < 10.0 || (99.0..100.0).contains(&percents);
            let text = match outwards(percents, if tenths { 10.0 } else { 1.0 }, accuracy) {
                0.0 => "0".into(),
                v if tenths && v < 100.0 => format!("{v:.1}"),
                v => format!("{v:.0}"),
            };
            format!("{}{text} %", accuracy.mark())
        }
        Accuracy::Exact | Accuracy::Inferred => marked(percent(share), accuracy),
    }
}

/// `<0.1` needs no mark of its own.
fn marked(text: String, accuracy: Accuracy) -> String {
    if text.starts_with('<') { text } else { format!("{}{text}", accuracy.mark()) }
}

/// A bound at `1 / scale`, no closer than it is; what binary fractions add to a
/// decimal one does not count.
fn outwards(bound: f64, scale: f64, accuracy: Accuracy) -> f64 {
    let scaled = bound * scale;
    let rounded = match accuracy {
        Accuracy::AtMost => (scaled * (1.0 - 1e-12)).ceil(),
        _ => (scaled * (1.0 + 1e-12)).floor(),
    };
    rounded / scale
}

/// A rate or ratio: whole from 100, else one decimal, 0 as `0`.
pub fn number(value: f64) -> String {
    match value {
        v if v >= 99.95 => grouped(v.round() as u64),
        0.0 => "0".into(),
        v if v < 0.05 => "<0.1".into(),
        v => format!("{v:.1}"),
    }
}

/// A share as per cent: `0 %`, `<0.1 %`, `0.8 %`, `14 %`, `99.9 %`, `100 %`.
pub fn percent(share: f64) -> String {
    match share * 100.0 {
        0.0 => "0 %".into(),
        v if v < 0.05 => "<0.1 %".into(),
        v if v < 9.95 => format!("{v:.1} %"),
        // Nearly all is not all.
        v if (99.0..100.0).contains(&v) => format!("{:.1} %", (v * 10.0).floor() / 10.0),
        v => format!("{v:.0} %"),
    }
}

/// A length of time in seconds or less, for people.
pub fn seconds(duration_ns: u64) -> String {
    match duration_ns {
        0..1_000_000_000 => format!("{} ms", duration_ns / 1_000_000),
        _ => format!("{:.1} s", duration_ns as f64 / 1e9),
    }
}

const UNITS: [(u64, &str); 4] = [(1_000_000_000, "s"), (1_000_000, "ms"), (1000, "us"), (1, "ns")];

/// A time at two significant digits, as digits and unit.
fn time_parts(value_ns: u64, rounding: Rounding) -> (String, &'static str) {
    let rounded = two_digits(value_ns, rounding);
    let (scale, unit) = UNITS.into_iter().find(|(scale, _)| rounded >= *scale).unwrap_or((1, "ns"));
    let tenths = rounded % scale / (scale / 10).max(1);
    let digits = if rounded / scale < 10 && scale > 1 {
        format!("{}.{tenths}", rounded / scale)
    } else {
        (rounded / scale).to_string()
    };
    (digits, unit)
}

/// `value` with all but its two leading decimal digits rounded away.
fn two_digits(value: u64, rounding: Rounding) -> u64 {
    let mut scale = 1u64;
    while value / scale >= 100 {
        scale *= 10;
    }
    let down = value / scale * scale;
    match rounding {
        Rounding::Down => down,
        Rounding::Up if down == value => value,
        Rounding::Up => down.saturating_add(scale),
    }
}

/// A time at two significant digits.
pub fn time(value_ns: u64, rounding: Rounding) -> String {
    let (digits, unit) = time_parts(value_ns, rounding);
    format!("{digits}{unit}")
}

/// Bounds of a time, rounded outwards: `4.1..5.0us`, `>=4.1us`.
pub fn time_bounds(bounds: Bounds) -> String {
    let (lo, lo_unit) = time_parts(bounds.lo, Rounding::Down);
    let Some(hi_ns) = bounds.hi else { return format!(">={lo}{lo_unit}") };
    let (hi, hi_unit) = time_parts(hi_ns, Rounding::Up);
    match () {
        () if lo_unit == hi_unit && lo == hi => format!("{hi}{hi_unit}"),
        () if lo_unit == hi_unit || bounds.lo == 0 => format!("{lo}..{hi}{hi_unit}"),
        () => format!("{lo}{lo_unit}..{hi}{hi_unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped() {
        for (value, text) in [(0, "0"), (999, "999"), (1000, "1 000"), (1234567, "1 234 567")] {
            assert_eq!(grouped(value), text);
        }
    }

    #[test]
    fn times_have_two_digits_and_round_outwards() {
        for (value, down, up) in [
            (0, "0ns", "0ns"),
            (7, "7ns", "7ns"),
            (99, "99ns", "99ns"),
            (101, "100ns", "110ns"),
            (999, "990ns", "1.0us"),
            (4149, "4.1us", "4.2us"),
            (41_500, "41us", "42us"),
            (999_999, "990us", "1.0ms"),
            (1_200_000_000, "1.2s", "1.2s"),
            (86_400_000_000_000, "86000s", "87000s"),
        ] {
            assert_eq!(time(value, Rounding::Down), down, "{value}");
            assert_eq!(time(value, Rounding::Up), up, "{value}");
        }
        assert!(time(u64::MAX, Rounding::Up).ends_with('s'));
    }

    #[test]
    fn bounds_share_a_unit_where_they_can() {
        let bounds = |lo, hi| time_bounds(Bounds { lo, hi });
        assert_eq!(bounds(4100, Some(5000)), "4.1..5.0us");
        assert_eq!(bounds(290_000, Some(1_200_000)), "290us..1.2ms");
        assert_eq!(bounds(0, Some(5000)), "0..5.0us");
        assert_eq!(bounds(4100, None), ">=4.1us");
        assert_eq!(bounds(4100, Some(4100)), "4.1us");
    }

    #[test]
    fn a_bound_that_is_rounded_for_people_stays_one() {
        for (share, at_least, at_most) in [
            (0.0, ">=0 %", "<=0 %"),
            (0.0003, ">=0 %", "<=0.1 %"),
            (0.07, ">=7.0 %", "<=7.0 %"),
            (0.0999, ">=9.9 %", "<=10.0 %"),
            (0.2249, ">=22 %", "<=23 %"),
            (0.29, ">=29 %", "<=29 %"),
            (0.9999, ">=99.9 %", "<=100 %"),
            (2.0, ">=200 %", "<=200 %"),
        ] {
            assert_eq!(marked_percent(share, Accuracy::AtLeast), at_least, "{share}");
            assert_eq!(marked_percent(share, Accuracy::AtMost), at_most, "{share}");
        }
        for (value, at_least) in
            [(0.04, ">=0"), (99.97, ">=99.9"), (1999.7, ">=1 999"), (1.4, ">=1.4")]
        {
            assert_eq!(marked_number(value, Accuracy::AtLeast), at_least, "{value}");
        }
        assert_eq!(marked_percent(0.0001, Accuracy::Inferred), "<0.1 %");
        assert_eq!(marked_percent(0.39, Accuracy::Inferred), "~39 %");
    }

    #[test]
    fn shares_and_rates_never_print_little_as_nothing_or_nearly_all_as_all() {
        for (share, text) in [(0.998, "99.8 %"), (0.99999, "99.9 %"), (1.0, "100 %")] {
            assert_eq!(percent(share), text);
        }
        assert_eq!(
            (percent(0.0), percent(0.0001), percent(0.14)),
            ("0 %".into(), "<0.1 %".into(), "14 %".into())
        );
        assert_eq!(
            (number(0.0), number(0.01), number(120_433.2)),
            ("0".into(), "<0.1".into(), "120 433".into())
        );
    }
}
