//! Writes the calibration of each model of a policy next to its name.

use pointsman::analysis::classifier::{self, Task};
use pointsman::fleet::ability::Calibration;
use pointsman::policy::Policy;
use pointsman_eval::models;
use pointsman_eval::scored::ScoredPrompt;
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::io::document::{Document, Step};

/// `document` with the calibration of every model that `rows` have labels of.
pub fn fit_models(
    policy: &Policy,
    document: &Document,
    rows: &[ScoredPrompt],
) -> Result<Document, Failure> {
    let fitted = models::fit_models(policy, rows)?;
    for line in &fitted.report {
        eprintln!("{line}");
    }
    write_calibrations(policy, document, &fitted.calibrations)
}

/// `document` with these calibrations of the policy's models, in its order.
pub fn write_calibrations(
    policy: &Policy,
    document: &Document,
    calibrations: &[Option<Calibration>],
) -> Result<Document, Failure> {
    let mut changed = document.clone();
    let models = policy.registry.models.iter().zip(calibrations);
    for (at, (model, calibration)) in models.enumerate() {
        let Some(calibration) = calibration else {
            continue;
        };
        let path = [
            Step::Key("models"),
            Step::Item(at),
            Step::Key("calibration"),
        ];
        changed = changed.set(&path, &written(calibration)).ok_or_else(|| {
            Failure::Failed(format!(
                "the policy has no place for the calibration of `{}`",
                model.name
            ))
        })?;
    }
    Ok(changed)
}

/// A calibration as the policy has it, rounded; offsets of nothing are left out.
fn written(calibration: &Calibration) -> Value {
    let round = |value: f32| (f64::from(value) * 1e3).round() / 1e3;
    let tasks: Map<String, Value> = Task::ALL
        .iter()
        .zip(calibration.tasks)
        .filter(|(_, offset)| round(*offset) != 0.0)
        .map(|(task, offset)| {
            (
                task.name().to_owned(),
                json!(round(offset).clamp(-10.0, 10.0)),
            )
        })
        .collect();
    let mut fields = Map::new();
    fields.insert(
        "scale".into(),
        json!(round(calibration.scale).clamp(0.0, 10.0)),
    );
    fields.insert(
        "offset".into(),
        json!(round(calibration.offset).clamp(-10.0, 10.0)),
    );
    if !tasks.is_empty() {
        fields.insert("tasks".into(), Value::Object(tasks));
    }
    let factors = calibration.factors.map(round);
    if factors.iter().any(|weight| *weight != 0.0) {
        fields.insert("factors".into(), json!(factors));
        fields.insert("classifier".into(), json!(classifier::identity()));
    }
    Value::Object(fields)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::io::document::Form;

    fn document() -> Document {
        Document::parse(Form::Json, POLICY.to_owned()).unwrap()
    }
    use pointsman_eval::outcomes::Row;
    use pointsman_eval::scored::Examiner;

    const POLICY: &str = r#"{
  "models": [
    {"name": "small", "benchmarks": {"mmlu": 0.6}},
    {"name": "large", "benchmarks": {"mmlu": 0.85}, "calibration": {"offset": 9}},
    {"name": "other", "benchmarks": {"mmlu": 0.85}}
  ],
  "backends": [
    {"name": "a", "model": "small", "price": {"input": 1, "output": 1}},
    {"name": "b", "model": "large", "price": {"input": 9, "output": 9}},
    {"name": "c", "model": "other", "price": {"input": 9, "output": 9}}
  ]
}"#;

    fn rows(lines: impl Iterator<Item = String>) -> Vec<ScoredPrompt> {
        let mut examiner = Examiner::new(None);
        lines
            .map(|line| examiner.examine(Row::parse(line.as_bytes()).unwrap()))
            .collect()
    }

    #[test]
    fn labels_become_calibrations_and_the_rest_stays() {
        let policy = Policy::compile(POLICY).unwrap();
        // The large model never answers right, the small one always.
        let lines = (0..60).map(|at| format!(r#"{{"prompt": "What is {at} plus 4?", "models": {{"small": 1, "large": 0, "stranger": 1}}}}"#));
        let changed = fit_models(&policy, &document(), &rows(lines)).unwrap();
        let after = Policy::compile(&changed.json).unwrap();
        let ability = |at: usize| after.registry.models[at].ability.calibration;
        assert!(ability(0).offset > 0.3 && ability(1).offset < -0.3);
        assert_eq!(ability(2), Calibration::NEUTRAL);
        // Only two lines have changed.
        let lines = POLICY.lines().zip(changed.text.lines());
        assert_eq!(lines.filter(|(before, after)| before != after).count(), 2);
    }

    #[test]
    fn preferences_are_enough() {
        let policy = Policy::compile(POLICY).unwrap();
        let lines = (0..60).map(|at| {
            format!(r#"{{"prompt": "What is {at} plus 4?", "preference": {{"between": ["small", "large"], "winner": "small"}}}}"#)
        });
        let changed = fit_models(&policy, &document(), &rows(lines)).unwrap();
        let after = Policy::compile(&changed.json).unwrap();
        let ability = |at: usize| after.registry.models[at].ability.calibration;
        assert!(ability(0).offset > ability(1).offset + 0.5);
    }

    #[test]
    fn labels_of_strangers_alone_are_an_error() {
        let policy = Policy::compile(POLICY).unwrap();
        let lines = ["{\"prompt\": \"p\", \"models\": {\"stranger\": 1}}".to_owned()];
        let error = fit_models(&policy, &document(), &rows(lines.into_iter())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no row has an outcome of a model of the policy"
        );
    }
}
