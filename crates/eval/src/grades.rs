//! Grades of a judge: as rows record them, else simulated from ratings.

use pointsman::api::judge::{Grade, SINGLE_GRADE_SPREAD};

use crate::measure::bootstrap::Random;

/// The error of a simulated judge, in logits, unless another is stated.
pub const NOISE: f64 = 1.0;

/// The judge's grade of a row: as recorded, else simulated from the row's rating. The second is `true` if it is simulated.
pub fn grade_of(
    recorded: Option<Grade>,
    ease: Option<f64>,
    seed: u64,
    noise: f64,
) -> Option<(Grade, bool)> {
    if let Some(grade) = recorded {
        return Some((grade, false));
    }
    let x = ease? + noise * normal(seed);
    let grade = Grade {
        mean: (1.0 / (1.0 + (-x).exp())) as f32,
        spread: SINGLE_GRADE_SPREAD,
    };
    Some((grade, true))
}

/// A number drawn from the standard normal distribution, the same for the same seed: Box and Muller, 1958.
fn normal(seed: u64) -> f64 {
    let mut random = Random(seed);
    let mut uniform = || (random.bits() >> 11) as f64 / (1_u64 << 53) as f64;
    let (first, second) = (uniform().max(1e-300), uniform());
    (-2.0 * first.ln()).sqrt() * (std::f64::consts::TAU * second).cos()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::measure::mean;

    #[test]
    fn recorded_grades_come_before_simulated_ones() {
        let recorded = Grade {
            mean: 0.25,
            spread: 0.1,
        };
        assert_eq!(
            grade_of(Some(recorded), Some(1.0), 1, 1.0),
            Some((recorded, false))
        );
        assert_eq!(grade_of(None, None, 1, 1.0), None);
        let (grade, simulated) = grade_of(None, Some(0.0), 1, 0.0).unwrap();
        assert!(simulated && grade.mean == 0.5);
    }

    #[test]
    fn simulated_errors_are_normal() {
        let draws: Vec<f64> = (0..4000).map(normal).collect();
        let centre = mean(draws.iter().copied());
        let variance = mean(draws.iter().map(|draw| (draw - centre).powi(2)));
        assert!(
            centre.abs() < 0.06 && (variance - 1.0).abs() < 0.08,
            "{centre} {variance}"
        );
    }
}
