//! Reports as strings. No terminal, no file, no locale is looked at here: what
//! matters of them comes in as options.

mod buckets;
mod escape;
pub mod hlog;
pub mod html;
pub mod json;
pub mod perfetto;
pub mod text;
mod thinned;
pub mod trace;
pub mod units;

pub use escape::{Charset, escaped};

/// A time at two significant digits, rounded up.
pub(crate) fn time_for_people(value_ns: u64) -> String {
    units::time(value_ns, units::Rounding::Up)
}

/// A paragraph for a terminal, its first line after `first`, the others as far
/// in; ends with a line break.
pub fn paragraph(first: &str, text: &str) -> String {
    text::wrapped(first, text)
}
