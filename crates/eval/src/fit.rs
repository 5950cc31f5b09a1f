//! Fits calibrations to labelled prompts, with the learner of the filter: its sums and its posterior.

use pointsman::analysis::classifier::Classification;
use pointsman::state::learned_quality::posterior::{self, Learned, PRIOR_MASS};
use pointsman::state::learned_quality::sums::{FULL_WEIGHT, Features, ModelSums};

/// One thing that is known of a prompt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation<'a> {
    /// The classification of the prompt.
    pub classification: &'a Classification,
    /// The model, or the first of two.
    pub model: usize,
    /// The logit of a right answer that is expected of it.
    pub logit: f32,
    /// The other model and its logit, where a preference is known instead of a score.
    pub against: Option<(usize, f32)>,
    /// The score, or how much the first one was preferred; 0 to 1.
    pub label: f64,
    /// Whether there are scores of other models for this prompt.
    pub together: bool,
}

/// The belief about each of `models` models.
pub fn fit(observations: &[Observation<'_>], models: usize) -> Vec<Learned> {
    let mut sums = vec![ModelSums::default(); models];
    for seen in observations {
        let own = Features::new(seen.logit, seen.classification);
        match seen.against {
            None => {
                if let Some(sums) = sums.get_mut(seen.model) {
                    sums.add(&own, seen.label, FULL_WEIGHT, 0);
                    if seen.together {
                        sums.add_together(FULL_WEIGHT);
                    }
                }
            }
            Some((other, logit)) => {
                let against = Features::new(logit, seen.classification);
                if let Some(sums) = sums.get_mut(seen.model) {
                    sums.add_preference(&own, &against, seen.label, FULL_WEIGHT);
                }
                if let Some(sums) = sums.get_mut(other) {
                    sums.add_preference(&against, &own, 1.0 - seen.label, FULL_WEIGHT);
                }
            }
        }
    }
    let mut learned = posterior::fit(&sums.iter().collect::<Vec<_>>(), PRIOR_MASS);
    // The last is that of a model without outcomes.
    learned.truncate(models);
    learned
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use pointsman::analysis::classifier::Task;

    fn prompt(task: Task) -> Classification {
        Classification {
            task,
            ..Classification::default()
        }
    }

    fn scored(
        classification: &Classification,
        model: usize,
        logit: f32,
        label: f64,
    ) -> Observation<'_> {
        Observation {
            classification,
            model,
            logit,
            against: None,
            label,
            together: false,
        }
    }

    fn apply(learned: &Learned, task: Task) -> f32 {
        learned.calibration.apply(0.0, &prompt(task))
    }

    #[test]
    fn nothing_known_changes_nothing() {
        for learned in fit(&[], 2) {
            assert_eq!(apply(&learned, Task::Code), 0.0);
            assert_eq!(learned.calibration.scale, 1.0);
        }
    }

    #[test]
    fn a_model_that_does_worse_than_expected_is_moved_down() {
        // Both are expected to be right half the time; the second is right one time in ten.
        let code = prompt(Task::Code);
        let mut seen = Vec::new();
        for at in 0..200 {
            seen.push(scored(&code, 0, 0.0, f64::from(at % 2)));
            seen.push(scored(&code, 1, 0.0, f64::from(u8::from(at % 10 == 0))));
        }
        let found = fit(&seen, 2);
        let p = |model: usize| 1.0 / (1.0 + (-apply(&found[model], Task::Code)).exp());
        assert!((p(0) - 0.5).abs() < 0.03, "{}", p(0));
        assert!((p(1) - 0.1).abs() < 0.04, "{}", p(1));
        // Observations of one task say less of another.
        let other = apply(&found[1], Task::Math);
        assert!(other < -0.3 && other > apply(&found[1], Task::Code));
    }

    #[test]
    fn few_labels_move_little() {
        let chat = prompt(Task::Chat);
        let of = |count: usize| vec![scored(&chat, 0, 0.0, 0.0); count];
        let moved = |count: usize| apply(&fit(&of(count), 1)[0], Task::Chat);
        assert!(moved(3) < -0.3 && moved(3) > -1.5, "{}", moved(3));
        assert!(moved(100) < -2.0, "{}", moved(100));
    }

    #[test]
    fn estimates_that_are_too_sure_are_scaled_down() {
        // Expected 0.95 and 0.05; right are 0.7 and 0.3.
        let chat = prompt(Task::Chat);
        let mut seen = Vec::new();
        for at in 0..300 {
            let right = f64::from(u8::from(at % 10 < 7));
            seen.push(scored(&chat, 0, 3.0, right));
            seen.push(scored(&chat, 0, -3.0, 1.0 - right));
        }
        let scale = fit(&seen, 1)[0].calibration.scale;
        assert!((scale - 0.28).abs() < 0.08, "{scale}");
    }

    #[test]
    fn preferences_move_two_models_apart() {
        let chat = prompt(Task::Chat);
        let seen: Vec<Observation<'_>> = (0..100)
            .map(|at| Observation {
                against: Some((1, 0.0)),
                ..scored(&chat, 0, 0.0, f64::from(u8::from(at % 4 != 0)))
            })
            .collect();
        let found = fit(&seen, 2);
        let (first, second) = (apply(&found[0], Task::Chat), apply(&found[1], Task::Chat));
        assert!((first + second).abs() < 1e-4, "{first} {second}");
        let apart = first - second - 3.0_f32.ln();
        assert!(apart.abs() < 0.35, "{first} {second}");
    }
}
