//! Fits calibrations to labelled prompts: logistic regression of outcomes on the logits that benchmark scores give, with offsets
//! that are shrunk towards nothing (a Gaussian prior on each), by Newton's method. Convex, so there is one answer.
//!
//! logit(model, prompt) → (1 + s + sₘ) · logit + o + oₘ + tₖ + tₘₖ: a scale, an offset and an offset for each task k, each of
//! them shared by all models and each model's own. A preference says the same of the difference of two models' logits.

use pointsman::analysis::classifier::Task;
use pointsman::fleet::ability::Calibration;

/// Standard deviations that the parameters have before a prompt is seen. Chosen among a few on benchmarks
/// taken one at a time: docs/calibrate.md.
const SHARED_SCALE: f64 = 0.25;
const SHARED_OFFSET: f64 = 0.8;
const SHARED_TASK: f64 = 0.25;
const OWN_SCALE: f64 = 0.1;
const OWN_OFFSET: f64 = 0.6;
const OWN_TASK: f64 = 0.2;

const TASKS: usize = Task::ALL.len();
/// Parameters shared by all models, and of each model alone: scale, offset, one offset a task.
const BLOCK: usize = 2 + TASKS;
const ROUNDS: usize = 40;

/// One model's logit for a prompt before calibration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prior {
    /// Which model.
    pub model: usize,
    /// Its logit.
    pub logit: f64,
}

/// One thing that is known of a prompt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// The kind of prompt.
    pub task: Task,
    /// The model, or the first of two.
    pub model: Prior,
    /// The other one, where a preference is known instead of a score.
    pub against: Option<Prior>,
    /// The score, or how much the first one was preferred; 0 to 1.
    pub label: f64,
}

impl Observation {
    /// The parameters that it touches, and by how much; and its logit without them.
    fn row(&self) -> (Vec<(usize, f64)>, f64) {
        let mut touched = Vec::with_capacity(12);
        let mut touch = |before: &Prior, sign: f64| {
            for block in [0, BLOCK * (1 + before.model)] {
                touched.push((block, sign * before.logit));
                touched.push((block + 1, sign));
                touched.push((block + 2 + self.task as usize, sign));
            }
            sign * before.logit
        };
        let mut logit = touch(&self.model, 1.0);
        if let Some(against) = &self.against {
            logit += touch(against, -1.0);
        }
        (touched, logit)
    }
}

/// The calibration of each of `models` models.
pub fn fit(observations: &[Observation], models: usize) -> Vec<Calibration> {
    let size = BLOCK * (1 + models);
    let prior: Vec<f64> = (0..size).map(precision).collect();
    let rows: Vec<Row> = observations
        .iter()
        .map(|item| {
            let (touched, logit) = item.row();
            (touched, logit, item.label)
        })
        .collect();
    let mut found = vec![0.0; size];
    let mut height = objective(&rows, &prior, &found);
    for _ in 0..ROUNDS {
        let step = newton_step(&rows, &prior, &found);
        // A whole step can overshoot if probabilities are near 0 or 1: half as far, until it climbs.
        let mut length = 1.0;
        let climbed = loop {
            let tried: Vec<f64> = found
                .iter()
                .zip(&step)
                .map(|(value, step)| value + length * step)
                .collect();
            let reached = objective(&rows, &prior, &tried);
            if reached > height {
                let gained = reached - height;
                (found, height) = (tried, reached);
                break gained;
            }
            length /= 2.0;
            if length < 1e-6 {
                break 0.0;
            }
        };
        if climbed < 1e-9 {
            break;
        }
    }
    (0..models)
        .map(|model| calibration(&found, model))
        .collect()
}

/// The parameters that an observation touches and by how much, its logit without them, its label.
type Row = (Vec<(usize, f64)>, f64, f64);

/// The logit of a row under the parameters `found`.
fn moved((touched, logit, _): &Row, found: &[f64]) -> f64 {
    let by = touched
        .iter()
        .filter_map(|(at, x)| Some(found.get(*at)? * x));
    logit + by.sum::<f64>()
}

/// The logarithm of how probable parameters and labels are together, but for a constant.
fn objective(rows: &[Row], prior: &[f64], found: &[f64]) -> f64 {
    let shrunk: f64 = found
        .iter()
        .zip(prior)
        .map(|(value, prior)| value * value * prior)
        .sum();
    let likely = rows.iter().map(|row| {
        let logit = moved(row, found);
        // y · ln σ(z) + (1 − y) · ln σ(−z), without overflow.
        row.2 * logit - logit.max(0.0) - (-logit.abs()).exp().ln_1p()
    });
    likely.sum::<f64>() - shrunk / 2.0
}

/// The next point of Newton's method after `found`.
fn newton_step(rows: &[Row], prior: &[f64], found: &[f64]) -> Vec<f64> {
    let mut matrix = Matrix::diagonal(prior);
    let mut slope: Vec<f64> = found
        .iter()
        .zip(prior)
        .map(|(value, prior)| -value * prior)
        .collect();
    for row in rows {
        let p = 1.0 / (1.0 + (-moved(row, found)).exp());
        let (touched, _, label) = row;
        for (at, x) in touched {
            if let Some(slope) = slope.get_mut(*at) {
                *slope += x * (label - p);
            }
            for (other, y) in touched {
                matrix.add(*at, *other, p * (1.0 - p) * x * y);
            }
        }
    }
    matrix.solve(&slope)
}

fn precision(at: usize) -> f64 {
    let shared = at < BLOCK;
    let deviation = match (at % BLOCK, shared) {
        (0, true) => SHARED_SCALE,
        (0, false) => OWN_SCALE,
        (1, true) => SHARED_OFFSET,
        (1, false) => OWN_OFFSET,
        (_, true) => SHARED_TASK,
        (_, false) => OWN_TASK,
    };
    1.0 / (deviation * deviation)
}

fn calibration(found: &[f64], model: usize) -> Calibration {
    let both = |at: usize| {
        let own = found.get(BLOCK * (1 + model) + at);
        (found.get(at).unwrap_or(&0.0) + own.unwrap_or(&0.0)) as f32
    };
    let mut tasks = Calibration::NEUTRAL.tasks;
    for (at, task) in tasks.iter_mut().enumerate() {
        *task = both(2 + at);
    }
    Calibration {
        // A scale below nothing would turn the order of prompts around.
        scale: (1.0 + both(0)).max(0.05),
        offset: both(1),
        tasks,
    }
}

/// A symmetric positive definite matrix.
struct Matrix {
    size: usize,
    values: Vec<f64>,
}

impl Matrix {
    fn diagonal(values: &[f64]) -> Matrix {
        let size = values.len();
        let mut matrix = Matrix {
            size,
            values: vec![0.0; size * size],
        };
        for (at, value) in values.iter().enumerate() {
            matrix.add(at, at, *value);
        }
        matrix
    }

    fn add(&mut self, row: usize, column: usize, value: f64) {
        if let Some(own) = self.values.get_mut(row * self.size + column) {
            *own += value;
        }
    }

    fn row(&self, at: usize) -> &[f64] {
        self.values
            .get(at * self.size..(at + 1) * self.size)
            .unwrap_or(&[])
    }

    /// x with Matrix · x = `right`, by Cholesky's factorisation in place.
    fn solve(mut self, right: &[f64]) -> Vec<f64> {
        let size = self.size;
        for at in 0..size {
            for column in 0..=at {
                let dot: f64 = self
                    .row(at)
                    .iter()
                    .zip(self.row(column))
                    .take(column)
                    .map(|(a, b)| a * b)
                    .sum();
                let value = self.row(at).get(column).copied().unwrap_or(0.0) - dot;
                let diagonal = self.row(column).get(column).copied().unwrap_or(1.0);
                let factor = if column == at {
                    value.max(1e-12).sqrt()
                } else {
                    value / diagonal
                };
                if let Some(own) = self.values.get_mut(at * size + column) {
                    *own = factor;
                }
            }
        }
        let mut found: Vec<f64> = Vec::with_capacity(size);
        for (at, value) in right.iter().enumerate() {
            let dot: f64 = self.row(at).iter().zip(&found).map(|(a, b)| a * b).sum();
            found.push((value - dot) / self.row(at).get(at).copied().unwrap_or(1.0));
        }
        for at in (0..size).rev() {
            let below =
                (at + 1..size).filter_map(|row| Some(self.row(row).get(at)? * found.get(row)?));
            let dot: f64 = below.sum();
            let diagonal = self.row(at).get(at).copied().unwrap_or(1.0);
            if let Some(own) = found.get_mut(at) {
                *own = (*own - dot) / diagonal;
            }
        }
        found
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn scored(model: usize, logit: f64, task: Task, label: f64) -> Observation {
        Observation {
            task,
            model: Prior { model, logit },
            against: None,
            label,
        }
    }

    #[test]
    fn equations_are_solved() {
        let mut matrix = Matrix::diagonal(&[4.0, 3.0]);
        matrix.add(0, 1, 2.0);
        matrix.add(1, 0, 2.0);
        let found = matrix.solve(&[8.0, 7.0]);
        assert!((found[0] - 1.25).abs() < 1e-12 && (found[1] - 1.5).abs() < 1e-12);
    }

    #[test]
    fn nothing_known_changes_nothing() {
        assert_eq!(fit(&[], 2), [Calibration::NEUTRAL; 2]);
    }

    #[test]
    fn a_model_that_does_worse_than_expected_is_moved_down() {
        // Both are expected to be right half the time; the second is right one time in ten.
        let mut observations = Vec::new();
        for at in 0..200 {
            observations.push(scored(0, 0.0, Task::Code, f64::from(at % 2)));
            observations.push(scored(
                1,
                0.0,
                Task::Code,
                f64::from(u8::from(at % 10 == 0)),
            ));
        }
        let found = fit(&observations, 2);
        let p = |model: usize| 1.0 / (1.0 + (-found[model].apply(0.0, Task::Code)).exp());
        assert!((p(0) - 0.5).abs() < 0.03, "{}", p(0));
        assert!((p(1) - 0.1).abs() < 0.04, "{}", p(1));
        // Observations of one task say less of another.
        let other = found[1].apply(0.0, Task::Math);
        assert!(other < -0.3 && other > found[1].apply(0.0, Task::Code));
    }

    #[test]
    fn few_labels_move_little() {
        let few: Vec<Observation> = (0..3).map(|_| scored(0, 0.0, Task::Chat, 0.0)).collect();
        let many: Vec<Observation> = (0..100).map(|_| scored(0, 0.0, Task::Chat, 0.0)).collect();
        let moved = |observations: &[Observation]| fit(observations, 1)[0].apply(0.0, Task::Chat);
        assert!(moved(&few) < -0.3 && moved(&few) > -1.5, "{}", moved(&few));
        assert!(moved(&many) < -2.5, "{}", moved(&many));
    }

    #[test]
    fn estimates_that_are_too_sure_are_scaled_down() {
        // Expected 0.95 and 0.05; right are 0.7 and 0.3.
        let mut observations = Vec::new();
        for at in 0..300 {
            let right = f64::from(u8::from(at % 10 < 7));
            observations.push(scored(0, 3.0, Task::Chat, right));
            observations.push(scored(0, -3.0, Task::Chat, 1.0 - right));
        }
        let scale = fit(&observations, 1)[0].scale;
        assert!((scale - 0.28).abs() < 0.08, "{scale}");
    }

    #[test]
    fn preferences_move_two_models_apart() {
        let observations: Vec<Observation> = (0..100)
            .map(|at| Observation {
                task: Task::Chat,
                model: Prior {
                    model: 0,
                    logit: 0.0,
                },
                against: Some(Prior {
                    model: 1,
                    logit: 0.0,
                }),
                label: f64::from(u8::from(at % 4 != 0)),
            })
            .collect();
        let found = fit(&observations, 2);
        let (first, second) = (
            found[0].apply(0.0, Task::Chat),
            found[1].apply(0.0, Task::Chat),
        );
        assert!((first + second).abs() < 1e-4, "{first} {second}");
        assert!(
            (first - second - 3.0_f64.ln() as f32).abs() < 0.25,
            "{first} {second}"
        );
    }
}
