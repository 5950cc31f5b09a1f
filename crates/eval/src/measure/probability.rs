//! How good probabilities are: do they rank (AUC), and does 0.8 mean 8 in 10 (expected calibration error)?

/// How many bins of equal width the calibration error and the reliability plot have.
pub const BINS: usize = 15;

/// Area under the ROC curve (Hanley and McNeil, 1982): the probability that a right answer was given a higher `p` than a wrong
/// one, ties counting half. A `score` between 0 and 1 counts as right and wrong by its parts. NaN where all are right or wrong.
pub fn auc(rows: &[(f64, f64)], weights: &[f64]) -> f64 {
    let mut order: Vec<(f64, f64, f64)> = rows
        .iter()
        .zip(weights)
        .map(|((p, score), weight)| (*p, score * weight, (1.0 - score) * weight))
        .collect();
    order.sort_by(|left, right| left.0.total_cmp(&right.0));
    let (mut below, mut won) = (0.0, 0.0);
    let (mut right, mut wrong) = (0.0, 0.0);
    for ties in order.chunk_by(|left, right| left.0 == right.0) {
        let positive: f64 = ties.iter().map(|row| row.1).sum();
        let negative: f64 = ties.iter().map(|row| row.2).sum();
        won += positive * (below + negative / 2.0);
        below += negative;
        right += positive;
        wrong += negative;
    }
    if right * wrong > 0.0 {
        won / (right * wrong)
    } else {
        f64::NAN
    }
}

/// One bin of a reliability plot.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bin {
    /// How much it holds.
    pub count: f64,
    /// Mean predicted probability.
    pub predicted: f64,
    /// Mean of what was so.
    pub observed: f64,
}

/// The bins of `(p, score)` rows.
pub fn bins(rows: impl IntoIterator<Item = (f64, f64, f64)>) -> [Bin; BINS] {
    let mut bins = [Bin::default(); BINS];
    for (p, score, weight) in rows {
        let at = ((p * BINS as f64) as usize).min(BINS - 1);
        if let Some(bin) = bins.get_mut(at) {
            bin.count += weight;
            bin.predicted += p * weight;
            bin.observed += score * weight;
        }
    }
    for bin in bins.iter_mut().filter(|bin| bin.count > 0.0) {
        bin.predicted /= bin.count;
        bin.observed /= bin.count;
    }
    bins
}

/// Expected calibration error (Naeini, Cooper and Hauskrecht, 2015): the mean distance between prediction and observation,
/// over [`BINS`] bins of equal width. NaN of nothing.
pub fn ece(bins: &[Bin]) -> f64 {
    let total: f64 = bins.iter().map(|bin| bin.count).sum();
    let off: f64 = bins
        .iter()
        .map(|bin| bin.count * (bin.predicted - bin.observed).abs())
        .sum();
    off / total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auc_by_hand() {
        let ones = [1.0; 8];
        assert_eq!(auc(&[(0.9, 1.0), (0.8, 1.0), (0.3, 0.0)], &ones), 1.0);
        assert_eq!(auc(&[(0.1, 1.0), (0.8, 0.0)], &ones), 0.0);
        assert_eq!(auc(&[(0.5, 1.0), (0.5, 0.0)], &ones), 0.5);
        // Of the four pairs of right and wrong, three are in order.
        assert_eq!(
            auc(&[(0.9, 1.0), (0.7, 0.0), (0.6, 1.0), (0.1, 0.0)], &ones),
            0.75
        );
        // Half right: it beats the wrong one with its right half and is beaten by the right one with its wrong half.
        assert_eq!(
            auc(&[(0.2, 0.0), (0.5, 0.5), (0.8, 1.0)], &ones),
            (0.5 + 1.5 + 0.125) / (1.5 * 1.5)
        );
        assert!(auc(&[(0.5, 1.0)], &ones).is_nan());
    }

    #[test]
    fn a_weight_of_two_is_two_rows() {
        let twice = auc(&[(0.9, 1.0), (0.7, 0.0), (0.7, 0.0), (0.6, 1.0)], &[1.0; 4]);
        assert_eq!(
            auc(&[(0.9, 1.0), (0.7, 0.0), (0.6, 1.0)], &[1.0, 2.0, 1.0]),
            twice
        );
    }

    #[test]
    fn ece_by_hand() {
        // Says 0.9 of four, of which two are right; says 0.1 of one that is wrong.
        let rows = [(0.9, 1.0), (0.9, 1.0), (0.9, 0.0), (0.9, 0.0), (0.1, 0.0)];
        let found = ece(&bins(rows.map(|(p, score)| (p, score, 1.0))));
        assert!((found - (4.0 * 0.4 + 0.1) / 5.0).abs() < 1e-12);
        assert!(ece(&bins([])).is_nan());
    }

    #[test]
    fn certainty_falls_into_the_last_bin() {
        let all = bins([(1.0, 1.0, 1.0), (0.0, 0.0, 1.0)]);
        assert_eq!(all.first().map(|bin| bin.count), Some(1.0));
        assert_eq!(all.last().map(|bin| bin.count), Some(1.0));
        assert_eq!(ece(&all), 0.0);
    }
}
