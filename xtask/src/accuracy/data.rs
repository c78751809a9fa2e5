//! What a run leaves: the truth of the consumer, the samples of the tool. Both
//! are JSON lines; read here, judged elsewhere.

use anyhow::{Context, ensure};
use serde_json::Value;

/// What `uepoll stress --ground-truth` wrote (schema `uepoll.truth/1`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    /// Position of the first of `stores`; the others follow one by one.
    pub first: u32,
    /// Clocks before and after the store to head that consumed each position.
    pub stores: Vec<(u64, u64)>,
    /// Positions that were not logged.
    pub not_logged: u64,
    /// Spin episodes.
    pub spin_episodes: u64,
    /// Polls that found the ring empty.
    pub spin_iterations: u64,
    /// Time in user mode that polling took, at least.
    pub spin_polled_ns: u64,
}

impl Truth {
    /// Reads the file's text.
    ///
    /// # Errors
    /// If it is not that schema, or its positions do not follow one another.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut lines = text.lines();
        let header: Value = serde_json::from_str(lines.next().context("the truth is empty")?)?;
        ensure!(header["schema"] == "uepoll.truth/1", "truth of another schema: {header}");
        let count = |key: &str| header[key].as_u64().with_context(|| format!("{key}: {header}"));
        let mut truth = Self {
            not_logged: count("positions_not_logged")?,
            spin_episodes: count("spin_episodes")?,
            spin_iterations: count("spin_iterations")?,
            spin_polled_ns: count("spin_polled_ns")?,
            ..Self::default()
        };
        for line in lines {
            let (position, before_ns, after_ns): (u32, u64, u64) =
                serde_json::from_str(line).with_context(|| format!("truth: {line}"))?;
            if truth.stores.is_empty() {
                truth.first = position;
            }
            let expected = truth.first.wrapping_add(truth.stores.len() as u32);
            ensure!(position == expected, "position {position} of the truth, not {expected}");
            truth.stores.push((before_ns, after_ns));
        }
        let positions = count("positions")?;
        ensure!(
            truth.stores.len() as u64 == positions,
            "{} positions of the truth, not {positions}",
            truth.stores.len()
        );
        Ok(truth)
    }

    /// The clocks around the consumption of a position; `None` if it was not
    /// consumed, or not logged.
    pub fn of(&self, position: u32) -> Option<(u64, u64)> {
        // Runs are far shorter than 2^32 positions: each occurs once.
        self.stores.get(position.wrapping_sub(self.first) as usize).copied()
    }
}

/// A sampled position, as `uepoll trace --json` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Number of its ring.
    pub ring: u64,
    /// The position.
    pub position: u32,
    /// Published within.
    pub add_ns: (u64, u64),
    /// Consumed no earlier, if a snapshot saw it in the ring.
    pub consumed_lo_ns: Option<u64>,
    /// Consumed no later, if a snapshot saw it gone.
    pub consumed_hi_ns: Option<u64>,
    /// Positions that it stands for.
    pub weight: u64,
}

impl Sample {
    /// Reads the lines of a trace.
    ///
    /// # Errors
    /// If there is no first line, or a line of an event is not one.
    pub fn parse_all(text: &str) -> anyhow::Result<Vec<Self>> {
        let mut lines = text.lines();
        let first: Value = serde_json::from_str(lines.next().context("no line")?)?;
        let start_ns = first["monotonic_ns"].as_u64().context("when the trace began")?;
        let events = lines.filter_map(|line| match serde_json::from_str::<Value>(line) {
            Ok(value) if value["kind"] != "event" => None,
            value => Some((line, value)),
        });
        let parse = |(line, value): (&str, serde_json::Result<Value>)| {
            Self::parse(&value?, start_ns).with_context(|| line.to_owned())
        };
        events.map(parse).collect()
    }

    fn parse(value: &Value, start_ns: u64) -> anyhow::Result<Self> {
        let number = |key: &'static str| value[key].as_u64().context(key);
        // What began before the trace did has a time below 0.
        let known = |key: &str| value[key].as_i64().map(|ns| start_ns.wrapping_add_signed(ns));
        let clock = |key: &'static str| known(key).context(key);
        Ok(Self {
            ring: number("ring")?,
            position: u32::try_from(number("position")?)?,
            add_ns: (clock("add_entry_ns")?, clock("add_exit_ns")?),
            consumed_lo_ns: known("consumed_lo_ns"),
            consumed_hi_ns: known("consumed_hi_ns"),
            weight: number("stands_for")?,
        })
    }

    /// The bounds of its residency, by the definition of residency:
    /// `lo = max(0, c_lo - add_exit)`, `hi = c_hi - add_entry`, none if it was
    /// not seen consumed.
    pub fn bounds_ns(&self) -> (i64, Option<i64>) {
        let lo = self.consumed_lo_ns.map_or(0, |lo| difference(lo, self.add_ns.1).max(0));
        (lo, self.consumed_hi_ns.map(|hi| difference(hi, self.add_ns.0)))
    }

    /// The truth of its residency, itself an interval:
    /// `[before - add_exit, after - add_entry]`.
    pub fn truth_ns(&self, (before_ns, after_ns): (u64, u64)) -> (i64, i64) {
        (difference(before_ns, self.add_ns.1), difference(after_ns, self.add_ns.0))
    }
}

/// `later - earlier`, negative if they are the other way round.
fn difference(later: u64, earlier: u64) -> i64 {
    later.wrapping_sub(earlier).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "{\"schema\":\"uepoll.truth/1\",\"positions\":2,\
                          \"positions_not_logged\":0,\"spin_episodes\":1,\
                          \"spin_iterations\":9,\"spin_polled_ns\":8}";

    #[test]
    fn the_truth_is_found_by_position_across_the_wrap() {
        let truth = Truth::parse(&format!("{HEADER}\n[4294967295,5,6]\n[0,7,8]\n")).unwrap();
        assert_eq!(truth.of(u32::MAX), Some((5, 6)));
        assert_eq!(truth.of(0), Some((7, 8)));
        assert_eq!((truth.of(1), truth.of(u32::MAX - 1)), (None, None));
        assert_eq!(truth.spin_iterations, 9);
    }

    #[test]
    fn a_gap_or_a_missing_line_is_an_error() {
        for lines in ["[1,5,6]\n[3,7,8]\n", "[1,5,6]\n", "[1,5,6]\n[2,7]\n"] {
            assert!(Truth::parse(&format!("{HEADER}\n{lines}")).is_err(), "{lines}");
        }
        assert!(Truth::parse("{}").is_err() && Truth::parse("").is_err());
    }

    #[test]
    fn bounds_and_truth_are_as_the_definition_has_them() {
        let line = "{\"monotonic_ns\":1000}\n\
                    {\"kind\":\"event\",\"ring\":0,\"position\":7,\"add_entry_ns\":-900,\
                    \"add_exit_ns\":-890,\"consumed_lo_ns\":-850,\"consumed_hi_ns\":-810,\
                    \"stands_for\":8}\n{\"kind\":\"end\"}\n";
        let sample = Sample::parse_all(line).unwrap()[0];
        assert_eq!((sample.position, sample.weight), (7, 8));
        assert_eq!(sample.bounds_ns(), (40, Some(90)));
        assert_eq!(sample.truth_ns((105, 120)), (-5, 20));
        let unseen = Sample { consumed_lo_ns: None, consumed_hi_ns: None, ..sample };
        assert_eq!(unseen.bounds_ns(), (0, None));
    }
}
