//! Fits each model's expected share of right answers to labelled prompts of one's own.

use pointsman::fleet::ModelId;
use pointsman::fleet::ability::Calibration;
use pointsman::policy::Policy;

use crate::error::Error;
use crate::fit::{Observation, fit};
use crate::measure::probability::{bins, ece};
use crate::scored::{ScoredPrompt, find_model};

/// Fewer prompts than this get a warning.
const FEW: usize = 50;
/// Parts that take turns in being left out, to say how well the fit does on prompts that it has not seen.
const FOLDS: usize = 5;

/// The fit of a policy's models.
#[derive(Debug)]
pub struct Fitted {
    /// For each model of the policy its calibration; `None` for a model without a label.
    pub calibrations: Vec<Option<Calibration>>,
    /// The fit in lines for people.
    pub report: Vec<String>,
}

/// Fits the calibration of every model of `policy` that `rows` have labels of.
///
/// # Errors
/// [`Error::Failed`] if no row has an outcome of a model of the policy.
pub fn fit_models(policy: &Policy, rows: &[ScoredPrompt]) -> Result<Fitted, Error> {
    let observed: Vec<Vec<Observation<'_>>> = rows.iter().map(|row| observe(policy, row)).collect();
    let labelled = observed.iter().filter(|row| !row.is_empty()).count();
    if labelled == 0 {
        return Err(Error::Failed(
            "no row has an outcome of a model of the policy".into(),
        ));
    }
    let mut report = Vec::new();
    if labelled < FEW {
        report.push(format!(
            "warning: {labelled} labelled prompts are few: with {FEW} or more the fit is worth something"
        ));
    }
    let models = &policy.registry.models;
    let all: Vec<Observation<'_>> = observed.iter().flatten().copied().collect();
    report.push(held_out(&observed, models.len(), labelled));
    let mut calibrations = Vec::with_capacity(models.len());
    for (at, (model, learned)) in models.iter().zip(fit(&all, models.len())).enumerate() {
        let calibration = learned.calibration;
        let touches = |seen: &&Observation<'_>| {
            seen.model == at || seen.against.is_some_and(|(other, _)| other == at)
        };
        let labels = all.iter().filter(touches).count();
        report.push(match labels {
            0 => format!("{}: no label, left as it is", model.name),
            _ => format!(
                "{}: {labels} labels, scale {:.2}, offset {:+.2}",
                model.name, calibration.scale, calibration.offset
            ),
        });
        calibrations.push((labels > 0).then_some(calibration));
    }
    Ok(Fitted {
        calibrations,
        report,
    })
}

/// The observations of a row on the policy's models. A calibration that the policy has does not count: the fit replaces it.
fn observe<'r>(policy: &Policy, row: &'r ScoredPrompt) -> Vec<Observation<'r>> {
    let classification = &row.classification;
    let before = |name: &str| {
        let ModelId(id) = find_model(policy, name)?;
        let model = policy.registry.models.get(id as usize)?;
        Some((id as usize, model.ability.logit(classification)))
    };
    let seen = |(model, logit): (usize, f32), against, label| Observation {
        classification,
        model,
        logit,
        against,
        label,
        together: false,
    };
    let scored = row.outcomes.iter();
    let mut all: Vec<Observation<'r>> = scored
        .filter_map(|(name, outcome)| Some(seen(before(name)?, None, outcome.score)))
        .collect();
    let together = all.len() > 1;
    all.iter_mut().for_each(|seen| seen.together = together);
    if let Some(preference) = &row.preference {
        let [first, second] = &preference.between;
        if let (Some(first), Some(second)) = (before(first), before(second))
            && first.0 != second.0
        {
            all.push(seen(first, Some(second), preference.first));
        }
    }
    all
}

/// How far expected and actual scores lie apart before and after, measured on prompts that were left out of the fit.
fn held_out(observed: &[Vec<Observation<'_>>], models: usize, labelled: usize) -> String {
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
                .collect::<Vec<Observation<'_>>>()
        };
        let fitted = fit(&part(false), models);
        for one in part(true).iter().filter(|item| item.against.is_none()) {
            let Some(learned) = fitted.get(one.model) else {
                continue;
            };
            let p = |logit: f64| 1.0 / (1.0 + (-logit).exp());
            before.push((p(one.logit.into()), one.label, 1.0));
            let moved = learned.calibration.apply(one.logit, one.classification);
            after.push((p(moved.into()), one.label, 1.0));
        }
    }
    let error = |rows: Vec<(f64, f64, f64)>| ece(&bins(rows));
    if before.is_empty() {
        format!("{labelled} prompts with preferences")
    } else {
        format!(
            "{labelled} labelled prompts; calibration error on those left out of the fit: {:.3} before, {:.3} after ({FOLDS} parts)",
            error(before),
            error(after)
        )
    }
}
