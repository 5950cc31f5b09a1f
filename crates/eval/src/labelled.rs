//! The effect of fifty labelled prompts of a file on the rest of it: drawn at random, fitted as `pointsman calibrate` does,
//! measured on the rows that were not drawn. The mean over several draws.

use crate::figures::{Forecast, Pool, auc_within};
use crate::fit::{Observation, Prior, fit};
use crate::fleet::Fleet;
use crate::measure::bootstrap::{Random, middle};
use crate::measure::mean;
use crate::measure::probability::{bins, ece};
use crate::scored::ScoredPrompt;
use crate::sweep::{Strategy, Table, Trace};

/// How many prompts are labelled.
pub const PROMPTS: usize = 50;
/// How many times they are drawn.
const DRAWS: usize = 9;

/// Figures after labelling.
#[derive(Debug, Clone, Copy)]
pub struct Labelled {
    /// Mean expected calibration error of the other rows.
    pub ece: f64,
    /// Between which the middle four fifths of the draws lie.
    pub ece_range: [f64; 2],
    /// Mean AUC within a model of the other rows.
    pub auc: f64,
    /// Mean share of the best model's cost saved at −1.2 points; NaN without costs.
    pub at_loss: f64,
}

/// The figures; `None` if there are too few rows to draw from and to measure.
pub fn after_labels(fleet: &Fleet, rows: &[ScoredPrompt]) -> Option<Labelled> {
    let usable: Vec<usize> = (0..fleet.outcomes.len())
        .filter(|row| {
            fleet
                .outcomes
                .get(*row)
                .is_some_and(|outcomes| outcomes.iter().any(Option::is_some))
        })
        .collect();
    if usable.len() < 2 * PROMPTS {
        return None;
    }
    let mut random = Random(11);
    let draws: Vec<[f64; 3]> = (0..DRAWS)
        .map(|_| {
            let mut order = usable.clone();
            for at in 0..PROMPTS {
                order.swap(at, at + random.below(usable.len() - at));
            }
            let (drawn, rest) = order.split_at(PROMPTS);
            after(fleet, rows, drawn, rest)
        })
        .collect();
    let of = |at: usize| {
        draws
            .iter()
            .filter_map(|draw| draw.get(at).copied())
            .collect::<Vec<f64>>()
    };
    Some(Labelled {
        ece: mean(of(0)),
        ece_range: middle(of(0), 0.8),
        auc: mean(of(1)),
        at_loss: mean(of(2)),
    })
}

/// Calibration error, AUC and saving on `rest` after the labels of `drawn`.
fn after(fleet: &Fleet, rows: &[ScoredPrompt], drawn: &[usize], rest: &[usize]) -> [f64; 3] {
    let observations = observe(fleet, rows, drawn);
    let fitted = fit(&observations, fleet.members.len());
    let mut moved = Fleet {
        members: fleet.members.clone(),
        outcomes: fleet.outcomes.clone(),
        complete: rest
            .iter()
            .copied()
            .filter(|row| fleet.complete.binary_search(row).is_ok())
            .collect(),
        has_costs: fleet.has_costs,
        notes: Vec::new(),
    };
    for (member, calibration) in moved.members.iter_mut().zip(fitted) {
        member.ability.calibration = calibration;
    }
    let mut forecasts = Vec::new();
    for row in rest {
        let (Some(outcomes), Some(prompt)) = (moved.outcomes.get_mut(*row), rows.get(*row)) else {
            continue;
        };
        for (model, (outcome, member)) in outcomes.iter_mut().zip(&moved.members).enumerate() {
            let Some(outcome) = outcome else { continue };
            outcome.p = f64::from(member.ability.p_correct(&prompt.classification));
            forecasts.push(Forecast {
                row: *row,
                model,
                p: outcome.p,
                score: outcome.score,
            });
        }
    }
    let all = bins(
        forecasts
            .iter()
            .map(|forecast| (forecast.p, forecast.score, 1.0)),
    );
    let saving = if fleet.has_costs {
        saving(&moved, rows)
    } else {
        f64::NAN
    };
    [
        ece(&all),
        auc_within(&forecasts, &vec![1.0; rows.len()]),
        saving,
    ]
}

/// The labels of the rows that were drawn.
fn observe(fleet: &Fleet, rows: &[ScoredPrompt], drawn: &[usize]) -> Vec<Observation> {
    let mut observations = Vec::new();
    for row in drawn {
        let (Some(outcomes), Some(prompt)) = (fleet.outcomes.get(*row), rows.get(*row)) else {
            continue;
        };
        for (model, (outcome, member)) in outcomes.iter().zip(&fleet.members).enumerate() {
            observations.extend(outcome.map(|outcome| Observation {
                task: prompt.classification.task,
                model: Prior {
                    model,
                    logit: f64::from(member.ability.logit(&prompt.classification)),
                },
                against: None,
                label: outcome.score,
            }));
        }
    }
    observations
}

fn saving(fleet: &Fleet, rows: &[ScoredPrompt]) -> f64 {
    let Some(table) = Table::try_new(fleet, rows) else {
        return f64::NAN;
    };
    let trace = |choices: &[Vec<usize>]| {
        let (cost, quality) = choices.iter().map(|step| table.outcome(step)).unzip();
        Trace { cost, quality }
    };
    let count = table.rows().count();
    let pool = Pool {
        traces: vec![trace(&table.choices(Strategy::Utility, None))],
        cheapest: trace(&[vec![table.cheapest; count]]),
        best: trace(&[vec![table.best; count]]),
        dearest: vec![1.0; count],
    };
    pool.saved_at_loss()
}
