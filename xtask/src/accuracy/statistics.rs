//! The arithmetic of the check: weighted percentiles, the binomial test, and
//! the numbers from which runs are made.

/// Percentile `fraction` of values with weights: the least value that has at
/// least that share of the weight at or below it. `None` without any weight.
pub fn weighted_percentile(values: &mut [(i64, u64)], fraction: f64) -> Option<i64> {
    let total: u64 = values.iter().map(|(_, weight)| weight).sum();
    values.sort_unstable();
    let rank = (fraction * total as f64).ceil().max(1.0);
    let mut seen = 0;
    values.iter().find_map(|(value, weight)| {
        seen += weight;
        (seen as f64 >= rank).then_some(*value)
    })
}

/// Probability of `least` or more hits in `trials`, each with `chance`: the
/// upper tail of the binomial distribution.
pub fn binomial_tail(least: u64, trials: u64, chance: f64) -> f64 {
    let mut tail = 0.0;
    // ln of the probability of exactly `hits`, from one to the next.
    let mut ln_exactly = trials as f64 * (-chance).ln_1p();
    for hits in 0..=trials {
        if hits >= least {
            tail += ln_exactly.exp();
        }
        let odds = (trials - hits) as f64 / (hits + 1) as f64 * chance / (1.0 - chance);
        ln_exactly += odds.ln();
    }
    tail.min(1.0)
}

/// Numbers that are the same for the same seed, everywhere (splitmix64).
pub struct Seeded(u64);

impl Seeded {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `least` to `most`.
    pub fn within(&mut self, least: u64, most: u64) -> u64 {
        least + self.next() % (most - least + 1)
    }

    /// One of `choices`, of which there is at least one.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.within(0, choices.len() as u64 - 1) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_goes_by_weight() {
        assert_eq!(weighted_percentile(&mut [], 0.5), None);
        assert_eq!(weighted_percentile(&mut [(3, 1), (1, 1), (2, 1)], 0.5), Some(2));
        assert_eq!(weighted_percentile(&mut [(1, 1), (9, 100)], 0.5), Some(9));
        let mut hundred: Vec<_> = (1..=100).map(|value| (value, 1)).collect();
        assert_eq!(weighted_percentile(&mut hundred, 0.99), Some(99));
    }

    #[test]
    fn the_tail_is_that_of_the_tables() {
        assert!((binomial_tail(0, 10, 0.05) - 1.0).abs() < 1e-12);
        // 1 - 0.95^10, and the chance of ten heads.
        assert!((binomial_tail(1, 10, 0.05) - 0.401_263_060_761_621).abs() < 1e-12);
        assert!((binomial_tail(10, 10, 0.5) - 0.000_976_562_5).abs() < 1e-12);
        // 20 trials at 5 %: four or more has a chance of 1.59 %.
        assert!((binomial_tail(4, 20, 0.05) - 0.015_9).abs() < 1e-4);
        assert_eq!(binomial_tail(0, 0, 0.05), 1.0);
    }

    #[test]
    fn a_seed_gives_the_same_numbers_and_they_stay_within() {
        let numbers = |seed| {
            let mut seeded = Seeded::new(seed);
            (0..100).map(|_| seeded.within(3, 9)).collect::<Vec<_>>()
        };
        assert_eq!(numbers(1), numbers(1));
        assert_ne!(numbers(1), numbers(2));
        assert!(numbers(1).iter().all(|number| (3..=9).contains(number)));
    }
}
