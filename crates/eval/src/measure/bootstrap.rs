//! 95 % intervals by the percentile bootstrap: rows are drawn with replacement, the figures computed again.
//!
//! Efron, "Bootstrap methods: another look at the jackknife", 1979. Seeded, so that a report can be made again to the digit.

/// How often rows are drawn.
pub const ROUNDS: usize = 300;

/// Numbers that look random: SplitMix64 (Steele, Lea and Flood, 2014).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A whole number below `end`; 0 where `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.bits()) * end as u128) >> 64) as usize
    }
}

/// The interval of each figure that `figures` computes from how often each of `count` rows was drawn. A figure that is not a
/// number in some draw is left out of it there; the interval is NaN if it never is one.
pub fn intervals(count: usize, figures: impl Fn(&[f64]) -> Vec<f64>) -> Vec<[f64; 2]> {
    let mut random = Random(7);
    let mut drawn: Vec<Vec<f64>> = Vec::new();
    for _ in 0..ROUNDS {
        let mut weights = vec![0.0; count];
        for _ in 0..count {
            if let Some(weight) = weights.get_mut(random.below(count)) {
                *weight += 1.0;
            }
        }
        let values = figures(&weights);
        drawn.resize(values.len(), Vec::new());
        for (all, value) in drawn.iter_mut().zip(values) {
            all.extend(value.is_finite().then_some(value));
        }
    }
    drawn
        .into_iter()
        .map(|values| middle(values, 0.95))
        .collect()
}

/// The bounds between which the middle `share` of `values` lies, interpolated between neighbours.
pub fn middle(mut values: Vec<f64>, share: f64) -> [f64; 2] {
    values.sort_unstable_by(f64::total_cmp);
    let at = |q: f64| {
        let place = q * values.len().saturating_sub(1) as f64;
        let value = |index: f64| values.get(index as usize).copied().unwrap_or(f64::NAN);
        let (low, high) = (value(place.floor()), value(place.ceil()));
        low + (high - low) * place.fract()
    };
    [at((1.0 - share) / 2.0), at((1.0 + share) / 2.0)]
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_mean_is_about_two_standard_errors_wide() {
        // A fair coin, 400 throws: the standard error of the mean is 0.025.
        let coin: Vec<f64> = (0..400).map(|at| f64::from(at % 2)).collect();
        let mean = |weights: &[f64]| {
            let sum: f64 = weights
                .iter()
                .zip(&coin)
                .map(|(weight, value)| weight * value)
                .sum();
            vec![sum / 400.0]
        };
        let [low, high] = intervals(400, mean)[0];
        assert!(
            (low - 0.451).abs() < 0.012 && (high - 0.549).abs() < 0.012,
            "{low} {high}"
        );
        assert_eq!(intervals(400, mean), intervals(400, mean));
    }

    #[test]
    fn what_is_never_a_number_has_no_interval() {
        let bounds = intervals(0, |_| vec![f64::NAN, 1.0]);
        assert!(bounds[0][0].is_nan());
        assert_eq!(bounds[1], [1.0, 1.0]);
    }
}
