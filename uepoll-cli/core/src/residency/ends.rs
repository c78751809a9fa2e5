//! The ends of a distribution's intervals one by one, and two distributions
//! made one: for pictures, logs and runs of several intervals.

use hdrhistogram::Histogram;

use super::{Ends, Residency};

/// Values that are equal as far as their histogram tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// No value of it is less.
    pub least_ns: u64,
    /// No value of it is more.
    pub most_ns: u64,
    /// Positions that they stand for.
    pub weight: u64,
}

impl Residency {
    /// Lower ends, ascending.
    pub fn lower_ends(&self) -> impl Iterator<Item = Step> + '_ {
        self.ends.iter().flat_map(|ends| steps(&ends.lower))
    }

    /// Upper ends, ascending, of those that have one. None is more than the
    /// greatest that was seen.
    pub fn upper_ends(&self) -> impl Iterator<Item = Step> + '_ {
        self.ends.iter().flat_map(|ends| steps(&ends.upper)).map(|step| Step {
            most_ns: step.most_ns.min(self.max_hi_ns.max(step.least_ns)),
            ..step
        })
    }

    /// Adds the samples of another interval.
    pub fn merge(&mut self, other: &Self) {
        if let Some(theirs) = other.ends.as_deref() {
            let Ends { lower, upper } = &mut **self.ends.get_or_insert_default();
            if lower.add(&theirs.lower).is_err() || upper.add(&theirs.upper).is_err() {
                // As for a sample that no histogram takes: only near 2^64.
                self.not_recorded = self.not_recorded.saturating_add(other.samples);
                return;
            }
        }
        let add = |mine: &mut u64, theirs: u64| *mine = mine.saturating_add(theirs);
        add(&mut self.samples, other.samples);
        add(&mut self.unconsumed, other.unconsumed);
        add(&mut self.unconsumed_weight, other.unconsumed_weight);
        add(&mut self.total_weight, other.total_weight);
        add(&mut self.not_recorded, other.not_recorded);
        self.weight_squares = self.weight_squares.saturating_add(other.weight_squares);
        self.max_lo_ns = self.max_lo_ns.max(other.max_lo_ns);
        self.max_hi_ns = self.max_hi_ns.max(other.max_hi_ns);
    }
}

fn steps(histogram: &Histogram<u64>) -> impl Iterator<Item = Step> + '_ {
    histogram.iter_recorded().map(|bucket| Step {
        least_ns: histogram.lowest_equivalent(bucket.value_iterated_to()),
        most_ns: histogram.highest_equivalent(bucket.value_iterated_to()),
        weight: bucket.count_at_value(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::Interval;
    use super::*;
    use crate::quantile::Percentile;

    fn of(samples: impl Iterator<Item = (u64, Option<u64>)>) -> Residency {
        let mut residency = Residency::default();
        samples.for_each(|(lo_ns, hi_ns)| residency.push(Interval { lo_ns, hi_ns, weight: 4 }));
        residency
    }

    #[test]
    fn two_halves_tell_what_the_whole_tells() {
        let sample = |n: u64| (100 + n % 900, (!n.is_multiple_of(50)).then_some(2000 + n % 700));
        let mut joined = of((0..4000).map(sample));
        joined.merge(&of((4000..9000).map(sample)));
        joined.merge(&Residency::default());
        let whole = of((0..9000).map(sample));
        assert_eq!(joined.samples(), whole.samples());
        assert_eq!(joined.max(), whole.max());
        assert_eq!(joined.effective_samples(), whole.effective_samples());
        for percentile in Percentile::ALL {
            assert_eq!(joined.percentile(percentile), whole.percentile(percentile));
        }
        assert!(joined.lower_ends().eq(whole.lower_ends()));
    }

    #[test]
    fn ends_ascend_and_carry_the_weight_of_all_that_have_one() {
        let residency = of([(5, Some(70)), (5, None), (900, Some(1000))].into_iter());
        let upper: Vec<Step> = residency.upper_ends().collect();
        assert!(upper.windows(2).all(|pair| pair[0].most_ns < pair[1].least_ns));
        assert_eq!(upper.iter().map(|step| step.weight).sum::<u64>(), 8);
        assert_eq!(residency.lower_ends().map(|step| step.weight).sum::<u64>(), 12);
        assert_eq!(upper.last().map(|step| step.most_ns), Some(1000));
    }
}
