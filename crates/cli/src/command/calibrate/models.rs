//! Each model's expected share of right answers, fitted to labelled prompts and written beside its name.

use pointsman::analysis::classifier::Task;
use pointsman::fleet::ModelId;
use pointsman::fleet::ability::Calibration;
use pointsman::policy::Policy;
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::io::document::{Document, Step};
use pointsman_eval::fit::{Observation, Prior, fit};
use pointsman_eval::measure::probability::{bins, ece};
use pointsman_eval::scored::{ScoredPrompt, find_model};

/// Fewer prompts than this get a warning.
const FEW: usize = 50;
/// Parts that take turns in being left out, to say how well the fit does on prompts that it has not seen.
const FOLDS: usize = 5;

/// `document` with the calibration of every model that `rows` say something of.
pub fn fit_models(
    policy: &Policy,
    document: &Document,
    rows: &[ScoredPrompt],
) -> Result<Document, Failure> {
    let observed: Vec<Vec<Observation>> = rows.iter().map(|row| observe(policy, row)).collect();
    let labelled = observed
        .iter()
        .filter(|labelled| !labelled.is_empty())
        .count();
    if labelled == 0 {
        return Err(Failure::Failed(
            "no row has an outcome of a model of the policy".into(),
        ));
    }
    if labelled < FEW {
        eprintln!(
            "warning: {labelled} labelled prompts are few: with {FEW} or more the fit is worth something"
        );
    }
    let count = policy.registry.models.len();
    let all: Vec<Observation> = observed.iter().flatten().copied().collect();
    let fitted = fit(&all, count);
    report(&observed, count, labelled);
    let mut changed = document.clone();
    for (at, (model, calibration)) in policy.registry.models.iter().zip(&fitted).enumerate() {
        let touches = |one: &&Observation| {
            one.model.model == at || one.against.is_some_and(|other| other.model == at)
        };
        let seen = all.iter().filter(touches).count();
        if seen == 0 {
            eprintln!("{}: no label, left as it is", model.name);
            continue;
        }
        eprintln!(
            "{}: {seen} labels, scale {:.2}, offset {:+.2}",
            model.name, calibration.scale, calibration.offset
        );
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

/// The observations of a row on the policy's models.
fn observe(policy: &Policy, row: &ScoredPrompt) -> Vec<Observation> {
    let before = |name: &str| {
        let ModelId(id) = find_model(policy, name)?;
        let model = policy.registry.models.get(id as usize)?;
        Some(Prior {
            model: id as usize,
            logit: f64::from(model.ability.logit(&row.classification)),
        })
    };
    let mut all: Vec<Observation> = row
        .outcomes
        .iter()
        .filter_map(|(name, outcome)| {
            Some(Observation {
                task: row.classification.task,
                model: before(name)?,
                against: None,
                label: outcome.score,
            })
        })
        .collect();
    let preferred = row.preference.as_ref().and_then(|preference| {
        let [first, second] = &preference.between;
        Some(Observation {
            task: row.classification.task,
            model: before(first)?,
            against: Some(before(second)?),
            label: preference.first,
        })
    });
    all.extend(preferred.filter(|item| {
        item.against
            .is_none_or(|other| other.model != item.model.model)
    }));
    all
}

/// Says how far expected and actual scores lie apart before and after, on prompts that were left out of the fit.
fn report(observed: &[Vec<Observation>], models: usize, labelled: usize) {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for fold in 0..FOLDS {
        let held = |at: &usize| at % FOLDS == fold;
        let part = |wanted: bool| {
            let rows = observed
                .iter()
                .enumerate()
                .filter(move |(at, _)| held(at) == wanted);
            rows.flat_map(|(_, row)| row)
                .copied()
                .collect::<Vec<Observation>>()
        };
        let fitted = fit(&part(false), models);
        for one in part(true).iter().filter(|item| item.against.is_none()) {
            let Some(calibration) = fitted.get(one.model.model) else {
                continue;
            };
            let p = |logit: f64| 1.0 / (1.0 + (-logit).exp());
            before.push((p(one.model.logit), one.label, 1.0));
            let moved = calibration.apply(one.model.logit as f32, one.task);
            after.push((p(f64::from(moved)), one.label, 1.0));
        }
    }
    let error = |rows: Vec<(f64, f64, f64)>| ece(&bins(rows));
    if before.is_empty() {
        eprintln!("{labelled} prompts with preferences");
    } else {
        eprintln!(
            "{labelled} labelled prompts; calibration error on those left out of the fit: {:.3} before, {:.3} after ({FOLDS} parts)",
            error(before),
            error(after)
        );
    }
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
