//! When a simulated backend answers, and how much: drawn from its figures. Deterministic for a seed; it never sleeps itself.

use std::time::Duration;

/// The 99th percentile of the standard normal distribution.
const Z_99: f64 = 2.326_347_874;

/// A small random stream (SplitMix64): good enough to draw delays from, and the same on every machine.
#[derive(Debug, Clone)]
pub struct Draws(u64);

impl Draws {
    /// A stream of its own for each seed.
    pub fn new(seed: u64) -> Draws {
        Draws(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in 0 (inclusive) to 1 (exclusive).
    pub fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Standard normal, by Box and Muller's method.
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Log-normal with this median and 99th percentile; latencies of real servers are skewed like that.
    pub fn log_normal(&mut self, p50: f64, p99: f64) -> f64 {
        if p50 <= 0.0 {
            return 0.0;
        }
        let sigma = (p99.max(p50) / p50).ln() / Z_99;
        p50 * (sigma * self.normal()).exp()
    }
}

/// A seed out of bytes (FNV-1a), so that the same prompt gets an answer of the same length everywhere.
pub fn seed_of(bytes: &[u8]) -> u64 {
    pointsman::fnv::hash64(bytes.iter().copied())
}

/// Milliseconds of the simulated world as time of this one.
pub fn scaled(ms: f64, time_scale: f64) -> Duration {
    Duration::try_from_secs_f64((ms * time_scale / 1_000.0).max(0.0)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_normal_draws_have_the_stated_percentiles() {
        let mut draws = Draws::new(7);
        let mut values: Vec<f64> = (0..20_000)
            .map(|_| draws.log_normal(100.0, 400.0))
            .collect();
        values.sort_by(f64::total_cmp);
        assert!((values[10_000] - 100.0).abs() < 4.0, "{}", values[10_000]);
        assert!((values[19_800] - 400.0).abs() < 40.0, "{}", values[19_800]);
    }

    #[test]
    fn no_time_passes_at_scale_zero() {
        assert_eq!(scaled(5_000.0, 0.0), Duration::ZERO);
        assert_eq!(scaled(5_000.0, 0.5), Duration::from_millis(2_500));
    }
}
