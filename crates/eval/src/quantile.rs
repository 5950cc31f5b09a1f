//! Quantiles of a sample, for the tables of `demo` and `bench`.

/// The smallest value with at least the share `q` (0 to 1) of the sample at or below it; NaN of an empty sample.
pub fn quantile(sample: &mut [f64], q: f64) -> f64 {
    sample.sort_unstable_by(f64::total_cmp);
    let rank = (q * sample.len() as f64).ceil() as usize;
    sample
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn nearest_rank() {
        let mut hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(quantile(&mut hundred, 0.5), 50.0);
        assert_eq!(quantile(&mut hundred, 0.99), 99.0);
        assert_eq!(quantile(&mut hundred, 1.0), 100.0);
        assert_eq!(quantile(&mut [7.0], 0.01), 7.0);
        assert!(quantile(&mut [], 0.5).is_nan());
    }
}
