//! Fits what a judge's grades are worth to recorded grades with outcomes: slope, intercept and variance of its evidence.
//!
//! For each variance the logits of right answers are linear in slope and intercept, so these have one best pair, found by Newton's
//! method; the best of a grid of variances counts. Whether grades say anything is told on rows that were left out: a judge whose
//! grades lower the log-loss no more than a fit without grades does, beyond chance, is noise.

use pointsman::api::judge::Grade;
use pointsman::policy::Policy;
use pointsman::policy::judge::Evidence;
use pointsman::routing::judge::{classifier_variance, log_odds};

use crate::error::Error;
use crate::scored::{ScoredPrompt, find_model};

/// Parts that take turns in being left out.
const FOLDS: usize = 5;
/// Fewer graded rows than this are too few to tell a judge from noise.
const LEAST_ROWS: usize = 30;
/// Standard errors by which grades must lower the log-loss.
const CERTAIN: f64 = 2.0;
/// The variances that are tried, in squared logits: the least, the factor between two, how many.
const VARIANCES: (f64, f64, usize) = (0.05, 1.35, 26);
/// The default slope and intercept, and how far from them a fit on few rows is drawn back: standard deviations.
const PRIOR_DEVIATIONS: [f64; 2] = [0.5, 1.5];

/// The fitted evidence.
#[derive(Debug, Clone, PartialEq)]
pub struct FittedEvidence {
    /// What a grade is worth; its slope is 0 if the judge is noise.
    pub evidence: Evidence,
    /// How many rows have a grade and an outcome of a model of the policy.
    pub rows: usize,
    /// By how much grades lower the log-loss of the rows that were left out, in nats per row, against a fit without grades.
    pub gain: f64,
    /// The standard error of `gain`.
    pub error: f64,
}

impl FittedEvidence {
    /// The fit in lines for people.
    pub fn report(&self) -> Vec<String> {
        let Evidence {
            slope,
            intercept,
            variance,
        } = self.evidence;
        let held_out = format!(
            "on rows left out of the fit, grades lower the log-loss by {:.4} ± {:.4} nats a row ({FOLDS} parts)",
            self.gain, self.error
        );
        let result = match slope > 0.0 {
            true => format!("slope {slope:.3}, intercept {intercept:+.3}, variance {variance:.3}"),
            false => "the judge is noise: its slope is 0, and it is not asked any more".to_owned(),
        };
        vec![
            format!("{} graded rows with outcomes; {held_out}", self.rows),
            result,
        ]
    }
}

/// One graded row: the prompt's ease by the classifier and its variance, the grade's log-odds, and the models' outcomes.
struct FitRow {
    ease: f64,
    variance: f64,
    grade: f64,
    outcomes: Vec<FitOutcome>,
}

/// An outcome: the expected logit of a right answer, by how much it grows with ease, and the score.
struct FitOutcome {
    logit: f64,
    scale: f64,
    score: f64,
}

/// Fits the evidence of the judge whose grades stand in `rows`.
///
/// # Errors
/// [`Error::Failed`] if there are too few rows with a grade and an outcome of a model of the policy.
pub fn fit_evidence(policy: &Policy, rows: &[ScoredPrompt]) -> Result<FittedEvidence, Error> {
    let graded = |row: &ScoredPrompt| Some(fit_row(policy, row, row.recorded_grade?));
    let rows: Vec<FitRow> = rows
        .iter()
        .filter_map(graded)
        .filter(|row| !row.outcomes.is_empty())
        .collect();
    if rows.len() < LEAST_ROWS {
        return Err(Error::Failed(format!(
            "{} rows have a grade (`judge`) and an outcome of a model of the policy: {LEAST_ROWS} are needed",
            rows.len()
        )));
    }
    let (gain, error) = held_out(&rows);
    let all: Vec<&FitRow> = rows.iter().collect();
    let evidence = fit(&all, true);
    let is_noise = gain <= CERTAIN * error || evidence.slope <= 0.0;
    Ok(FittedEvidence {
        evidence: match is_noise {
            true => Evidence {
                slope: 0.0,
                ..evidence
            },
            false => evidence,
        },
        rows: rows.len(),
        gain,
        error,
    })
}

fn fit_row(policy: &Policy, row: &ScoredPrompt, grade: Grade) -> FitRow {
    let classification = &row.classification;
    let outcome = |(name, outcome): &(String, crate::outcomes::Outcome)| {
        let id = find_model(policy, name)?;
        let model = policy.registry.model(id)?;
        Some(FitOutcome {
            logit: policy.registry.expected_logit(id, classification).into(),
            scale: model.ability.calibration.scale.into(),
            score: outcome.score,
        })
    };
    FitRow {
        ease: -f64::from(classification.difficulty),
        variance: classifier_variance(classification),
        grade: log_odds(grade),
        outcomes: row.outcomes.iter().filter_map(outcome).collect(),
    }
}

/// By how much grades lower the log-loss of the rows left out, per row, and the standard error of that.
fn held_out(rows: &[FitRow]) -> (f64, f64) {
    let mut gains = Vec::with_capacity(rows.len());
    for fold in 0..FOLDS {
        let part = |wanted: bool| {
            let all = rows.iter().enumerate();
            all.filter(move |(at, _)| (at % FOLDS == fold) == wanted)
                .map(|(_, row)| row)
                .collect::<Vec<&FitRow>>()
        };
        let (with, without) = (fit(&part(false), true), fit(&part(false), false));
        for row in part(true) {
            gains.push(loss(row, &without) - loss(row, &with));
        }
    }
    let count = gains.len() as f64;
    let mean = gains.iter().sum::<f64>() / count;
    let spread = gains.iter().map(|gain| (gain - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, (spread / count).sqrt())
}

/// The best evidence for the rows; without grades its slope is 0, so that it only draws prompts towards the mean.
fn fit(rows: &[&FitRow], with_grades: bool) -> Evidence {
    let (least, factor, count) = VARIANCES;
    let variances = (0..count).map(|at| least * factor.powi(at as i32));
    let fitted = variances.map(|variance| {
        let (slope, intercept) = newton(rows, variance, with_grades);
        let evidence = Evidence {
            slope,
            intercept,
            variance,
        };
        let sum: f64 = rows.iter().map(|row| loss(row, &evidence)).sum();
        (sum, evidence)
    });
    fitted
        .min_by(|left, right| left.0.total_cmp(&right.0))
        .map_or_else(Evidence::default, |(_, evidence)| evidence)
}

/// The log-loss of a row's outcomes, in nats in sum.
fn loss(row: &FitRow, evidence: &Evidence) -> f64 {
    let shift = shift(row, evidence);
    let of = |own: &FitOutcome| {
        let logit = own.logit + own.scale * shift;
        // ln(1 + e^x) without overflow.
        let soft = logit.max(0.0) + (-logit.abs()).exp().ln_1p();
        soft - own.score * logit
    };
    row.outcomes.iter().map(of).sum()
}

fn shift(row: &FitRow, evidence: &Evidence) -> f64 {
    let weight = row.variance / (row.variance + evidence.variance);
    weight * (evidence.slope * row.grade + evidence.intercept - row.ease)
}

/// Slope and intercept at a variance, by Newton's method on a convex loss.
fn newton(rows: &[&FitRow], variance: f64, with_grades: bool) -> (f64, f64) {
    const ROUNDS: usize = 12;
    let usual = Evidence::default();
    let start = if with_grades { usual.slope } else { 0.0 };
    let prior = PRIOR_DEVIATIONS.map(|deviation| deviation.powi(-2));
    let (mut slope, mut intercept) = (start, usual.intercept);
    for _ in 0..ROUNDS {
        let mut steepness = [
            prior[0] * (slope - start),
            prior[1] * (intercept - usual.intercept),
        ];
        let mut bend = [[prior[0], 0.0], [0.0, prior[1]]];
        for row in rows {
            let evidence = Evidence {
                slope,
                intercept,
                variance,
            };
            let shift = shift(row, &evidence);
            let weight = row.variance / (row.variance + variance);
            for own in &row.outcomes {
                let p = 1.0 / (1.0 + (-(own.logit + own.scale * shift)).exp());
                let by_intercept = own.scale * weight;
                let by_slope = match with_grades {
                    true => by_intercept * row.grade,
                    false => 0.0,
                };
                let (error, curvature) = (p - own.score, (p * (1.0 - p)).max(1e-4));
                steepness[0] += error * by_slope;
                steepness[1] += error * by_intercept;
                bend[0][0] += curvature * by_slope * by_slope;
                bend[0][1] += curvature * by_slope * by_intercept;
                bend[1][1] += curvature * by_intercept * by_intercept;
            }
        }
        let determinant = bend[0][0] * bend[1][1] - bend[0][1] * bend[0][1];
        if determinant.abs() < 1e-12 {
            break;
        }
        slope -= (bend[1][1] * steepness[0] - bend[0][1] * steepness[1]) / determinant;
        intercept -= (bend[0][0] * steepness[1] - bend[0][1] * steepness[0]) / determinant;
    }
    (slope, intercept)
}

#[cfg(test)]
mod tests;
