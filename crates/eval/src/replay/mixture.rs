//! The latencies of many answers together: each answer's is a distribution, and percentiles are those of the mixture of all.
//!
//! Of each answer its median and its 99th percentile are known. It counts as a log-normal distribution by a few points, each with
//! its weight, in bins of equal ratio: memory does not grow with the number of answers.

/// Points of the standard normal distribution, and how much of it each stands for: the middle of its part, so that the median and the
/// 99th percentile of one answer are points.
const POINTS: [(f64, f64); 23] = [
    (-2.241, 0.025),
    (-1.645, 0.05),
    (-1.282, 0.05),
    (-1.036, 0.05),
    (-0.842, 0.05),
    (-0.674, 0.05),
    (-0.524, 0.05),
    (-0.385, 0.05),
    (-0.253, 0.05),
    (-0.126, 0.05),
    (0.000, 0.05),
    (0.126, 0.05),
    (0.253, 0.05),
    (0.385, 0.05),
    (0.524, 0.05),
    (0.674, 0.05),
    (0.842, 0.05),
    (1.036, 0.05),
    (1.282, 0.05),
    (1.645, 0.05),
    (2.054, 0.01),
    (2.326, 0.01),
    (2.807, 0.005),
];

/// The 99th percentile of the standard normal distribution.
const Z99: f64 = 2.326;
/// The least latency that is told apart, in milliseconds.
const LEAST_MS: f64 = 0.1;
/// The logarithm of the ratio of two neighbouring bins.
const WIDTH: f64 = 0.02;
/// The most bins: up to half a year.
const MAX_BINS: usize = 1300;

/// The distribution of a latency over answers.
#[derive(Debug, Clone, Default)]
pub struct Mixture {
    bins: Vec<f64>,
}

impl Mixture {
    /// Adds an answer with this median and this 99th percentile, in milliseconds.
    pub fn add(&mut self, p50_ms: f64, p99_ms: f64) {
        if !p50_ms.is_finite() || !p99_ms.is_finite() {
            return;
        }
        let mu = (p50_ms.max(LEAST_MS) / LEAST_MS).ln();
        let sigma = (p99_ms / p50_ms.max(LEAST_MS)).max(1.0).ln() / Z99;
        for (z, weight) in POINTS {
            let place = ((mu + sigma * z).max(0.0) / WIDTH) as usize;
            let place = place.min(MAX_BINS - 1);
            if self.bins.len() <= place {
                self.bins.resize(place + 1, 0.0);
            }
            if let Some(bin) = self.bins.get_mut(place) {
                *bin += weight;
            }
        }
    }

    /// The latency, in milliseconds, below which this share of the answers is; NaN without answers.
    pub fn quantile(&self, share: f64) -> f64 {
        let total: f64 = self.bins.iter().sum();
        if total <= 0.0 {
            return f64::NAN;
        }
        let wanted = share * total;
        let mut below = 0.0;
        for (place, bin) in self.bins.iter().enumerate() {
            if below + bin >= wanted && *bin > 0.0 {
                let part = ((wanted - below) / bin).clamp(0.0, 1.0);
                return LEAST_MS * ((place as f64 + part) * WIDTH).exp();
            }
            below += bin;
        }
        LEAST_MS * (self.bins.len() as f64 * WIDTH).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_has_its_own_percentiles() {
        let mut mixture = Mixture::default();
        mixture.add(800.0, 4000.0);
        let (p50, p99) = (mixture.quantile(0.5), mixture.quantile(0.99));
        assert!((p50 / 800.0 - 1.0).abs() < 0.04, "{p50}");
        assert!((p99 / 4000.0 - 1.0).abs() < 0.06, "{p99}");
    }

    #[test]
    fn percentiles_of_a_mixture_are_not_means_of_percentiles() {
        let mut mixture = Mixture::default();
        (0..90).for_each(|_| mixture.add(100.0, 120.0));
        (0..10).for_each(|_| mixture.add(10_000.0, 12_000.0));
        assert!(mixture.quantile(0.5) < 110.0);
        assert!(mixture.quantile(0.95) > 9000.0);
        assert!((0.0..115.0).contains(&mixture.quantile(0.85)));
    }

    #[test]
    fn odd_numbers_change_nothing() {
        let mut mixture = Mixture::default();
        assert!(mixture.quantile(0.5).is_nan());
        mixture.add(f64::NAN, 1.0);
        mixture.add(1.0, f64::INFINITY);
        assert!(mixture.quantile(0.5).is_nan());
        mixture.add(0.0, 0.0);
        mixture.add(1e30, 1e30);
        assert!(mixture.quantile(0.99).is_finite());
    }
}
