//! The line of a ring's consumer: what it does with its time. How much of it
//! is known depends on who the consumer is.

use super::Lines;
use super::ring::{ABSENT, columns, head, plain};
use crate::figures::FigureId;
use crate::render::units::marked_percent;
use crate::report::{RingReport, Value};

/// The line's name.
const HEAD: &str = "consumer";

/// Room for the words after it.
const ROOM: usize = super::WIDTH - FIRST;

/// Columns before the words.
const FIRST: usize = 14;

pub(super) fn render(ring: &RingReport, out: &mut Lines) {
    use FigureId as F;
    let words = |mark_apart: bool| -> Vec<String> {
        [F::ConsumerBusy, F::ConsumerEmpty, F::ConsumerWaiting, F::SlotSpin]
            .into_iter()
            .filter_map(|id| {
                // Of an unknown consumer the reason stands there instead.
                let absent = (!ring.consumers.is_empty()).then(|| ABSENT.to_owned());
                let share = share(ring.value(id), mark_apart).or(absent)?;
                Some(format!("{} {share}", head(id)))
            })
            .collect()
    };
    let wide = words(true);
    if ring.consumers.is_empty()
        && let Value::Absent(reason) = ring.value(F::ConsumerBusy)
        && ring.activity() > 0
    {
        let reason = reason.strip_prefix("consumer ").unwrap_or(reason);
        out.wrapped_after(&first(HEAD), &first(""), reason);
        return wide.iter().for_each(|word| out.line(&format!("{}{word}", first(""))));
    }
    // In one line if there is a way; else a figure is not torn from its name.
    for line in [wide.join("   "), words(false).join("  ")] {
        if columns(&line) <= ROOM && !line.is_empty() {
            return out.line(&format!("{}{line}", first(HEAD)));
        }
    }
    for (index, pair) in wide.chunks(2).enumerate() {
        let head = if index == 0 { HEAD } else { "" };
        out.line(&format!("{}{}", first(head), pair.join("   ")));
    }
}

/// The columns before the words.
fn first(head: &str) -> String {
    format!("  {head:<width$}", width = FIRST - 2)
}

/// A share, its mark apart from it or not: `<= 22 %`, `<=22 %`.
fn share(value: &Value, mark_apart: bool) -> Option<String> {
    let (Value::Number { accuracy, .. } | Value::Count { accuracy, .. }) = value else {
        return None;
    };
    let text = plain(value, marked_percent)?;
    match text.strip_prefix(accuracy.mark()) {
        Some(number) if mark_apart && accuracy.mark() != "" => {
            Some(format!("{} {number}", accuracy.mark()))
        }
        _ => Some(text),
    }
}
