//! Whole numbers as people type them, for every verb: what is wrong is said in
//! words for the thing that was meant.

use std::fmt::Display;
use std::ops::RangeInclusive;

/// A whole number that clap can check and every verb can use.
pub trait Whole: TryFrom<u64> + Display + Copy + Into<u64> + Send + Sync + 'static {}

impl<T: TryFrom<u64> + Display + Copy + Into<u64> + Send + Sync + 'static> Whole for T {}

/// A parser of whole numbers in `range`; `what` names them in an error
/// ("a process number").
pub fn within<T: Whole>(
    what: &'static str,
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    let (least, most) = (*range.start(), *range.end());
    move |text| {
        parse(text)
            .filter(|number| (least.into()..=most.into()).contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| {
                format!("`{text}` is not {what}: write a whole number from {least} to {most}")
            })
    }
}

/// Digits alone: no sign, no spaces, nothing beyond 64 bits.
fn parse(text: &str) -> Option<u64> {
    // `str::parse` would take "+5" too.
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(())?;
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_within_the_range_are_taken() {
        let parse = within("a number of threads", 1u32..=64);
        assert_eq!((parse("1"), parse("64"), parse("007")), (Ok(1), Ok(64), Ok(7)));
    }

    #[test]
    fn what_is_no_such_number_gets_a_sentence_that_says_what_is() {
        let parse = within("a number of threads", 1u32..=64);
        for text in ["", "0", "65", "-1", "+1", "1.5", " 1", "x", "99999999999999999999", "５"] {
            let message = parse(text).expect_err(text);
            assert_eq!(
                message,
                format!("`{text}` is not a number of threads: write a whole number from 1 to 64")
            );
        }
    }
}
