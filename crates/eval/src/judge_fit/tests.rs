#![allow(clippy::unwrap_used)]

use super::*;
use crate::measure::bootstrap::Random;

/// Rows of prompts whose ease differs from what the classifier says by so much, with two models' outcomes and a grade that
/// shows the true ease with some error.
fn rows(count: usize, spread: f64, noise: f64) -> Vec<FitRow> {
    let mut random = Random(3);
    let mut normal = move || {
        (0..12)
            .map(|_| (random.bits() >> 11) as f64 / (1_u64 << 53) as f64)
            .sum::<f64>()
            - 6.0
    };
    let mut random = Random(4);
    let mut uniform = move || (random.bits() >> 11) as f64 / (1_u64 << 53) as f64;
    (0..count)
        .map(|_| {
            let ease = 2.0 + normal();
            let truth = ease + spread * normal();
            let outcomes = [-1.5, 0.5].map(|reach| {
                let p = 1.0 / (1.0 + (-(reach + truth)).exp());
                FitOutcome {
                    logit: reach + ease,
                    scale: 1.0,
                    score: f64::from(u8::from(uniform() < p)),
                }
            });
            FitRow {
                ease,
                variance: spread * spread,
                grade: (truth - 1.0) / 0.8 + noise * normal(),
                outcomes: outcomes.into(),
            }
        })
        .collect()
}

#[test]
fn slope_and_intercept_are_found() {
    let rows = rows(4000, 1.2, 0.5);
    let all: Vec<&FitRow> = rows.iter().collect();
    let Evidence {
        slope,
        intercept,
        variance,
    } = fit(&all, true);
    assert!((slope - 0.8).abs() < 0.15, "{slope}");
    assert!((intercept - 1.0).abs() < 0.4, "{intercept}");
    // The error of the grade in units of ease: (0.8 · 0.5)².
    assert!((0.05..0.6).contains(&variance), "{variance}");
    let (gain, error) = held_out(&rows);
    assert!(gain > 5.0 * error, "{gain} {error}");
}

#[test]
fn noise_gains_nothing() {
    let mut rows = rows(1000, 1.2, 0.5);
    let count = rows.len();
    let grades: Vec<f64> = rows.iter().map(|row| row.grade).collect();
    for (at, row) in rows.iter_mut().enumerate() {
        row.grade = grades.get((at * 379 + 11) % count).copied().unwrap();
    }
    let (gain, error) = held_out(&rows);
    assert!(gain <= CERTAIN * error, "{gain} {error}");
}
