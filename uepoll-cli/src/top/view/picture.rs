//! Pictures made of characters: the last depths, bars, how far a player is.

use uepoll_core::render::Charset;

/// From nothing to all, in eighths.
const LEVELS_UTF8: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const LEVELS_ASCII: [char; 8] = ['_', '.', ':', '-', '=', '+', '*', '#'];

/// One character for each value, the greatest the highest; blank where there is
/// none.
pub fn sparkline(values: &[Option<u64>], charset: Charset) -> String {
    let levels = match charset {
        Charset::Utf8 => LEVELS_UTF8,
        Charset::Ascii => LEVELS_ASCII,
    };
    let most = values.iter().flatten().copied().max().unwrap_or(0).max(1);
    values
        .iter()
        .map(|value| match value {
            // In range: a value is no greater than the greatest.
            Some(value) => levels[(u128::from(*value) * 7).div_ceil(u128::from(most)) as usize],
            None => ' ',
        })
        .collect()
}

/// A bar of `share` of `width`; whatever is not nothing can be seen.
pub fn bar(share: f64, width: usize, charset: Charset) -> String {
    let mark = match charset {
        Charset::Utf8 => "█",
        Charset::Ascii => "#",
    };
    let whole = (share.clamp(0.0, 1.0) * width as f64).round() as usize;
    mark.repeat(if share > 0.0 { whole.max(1) } else { 0 })
}

/// How far a player is, in ASCII everywhere.
pub fn progress(done: f64, width: usize) -> String {
    let whole = (done.clamp(0.0, 1.0) * width as f64).round() as usize;
    format!("{}{}", "=".repeat(whole), " ".repeat(width - whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_reaches_from_nothing_to_the_greatest() {
        let values = [Some(0), None, Some(1), Some(50), Some(100)];
        assert_eq!(sparkline(&values, Charset::Utf8), "▁ ▂▅█");
        assert_eq!(sparkline(&values, Charset::Ascii), "_ .=#");
        assert_eq!(sparkline(&[Some(0)], Charset::Ascii), "_");
        assert_eq!(sparkline(&[Some(u64::MAX)], Charset::Ascii), "#");
    }

    #[test]
    fn little_is_not_nothing() {
        assert_eq!(bar(0.0001, 10, Charset::Ascii), "#");
        assert_eq!(bar(0.0, 10, Charset::Ascii), "");
        assert_eq!(bar(7.0, 4, Charset::Utf8), "████");
        assert_eq!(progress(0.5, 4), "==  ");
    }
}
