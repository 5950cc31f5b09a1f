//! The effect of outcomes of a file on the rest of it: prompts drawn at random, learned as the filter and `pointsman calibrate` do,
//! measured on the rows that were not drawn. The mean over several draws.

use std::collections::BTreeSet;

use pointsman::policy::Policy;

use crate::figures::{Forecast, Pool, auc_within};
use crate::fit::{Observation, fit};
use crate::fleet::{Fleet, expected_logit};
use crate::measure::bootstrap::{Random, middle};
use crate::measure::mean;
use crate::measure::probability::{bins, ece};
use crate::scored::ScoredPrompt;
use crate::sweep::{Strategy, Table, Trace};

/// How many prompts are labelled where nobody says.
pub const PROMPTS: usize = 50;
/// How many times they are drawn.
const DRAWS: usize = 9;
/// Fewer rows than this measure nothing.
const LEAST_LEFT: usize = 50;

/// The points of a learning curve that are asked for.
#[derive(Debug, Clone, Default)]
pub struct AfterPrompts {
    /// Numbers of prompts.
    pub counts: Vec<usize>,
    /// Of each prompt the outcome of one model is known, drawn at random, as in a running system; else of all.
    pub one_per_prompt: bool,
}

/// Figures after a number of prompts; NaN where they cannot be computed.
#[derive(Debug, Clone, Copy)]
pub struct CurvePoint {
    /// Number of prompts with outcomes.
    pub prompts: usize,
    /// Whether of each the outcome of one model is known.
    pub one_per_prompt: bool,
    /// Mean AUC within a model of the other rows.
    pub auc: f64,
    /// The interval that holds the middle four fifths of the draws.
    pub auc_range: [f64; 2],
    /// Mean expected calibration error of the other rows.
    pub ece: f64,
    /// As `auc_range`.
    pub ece_range: [f64; 2],
    /// Mean share of the best model's cost saved at −1.2 points; NaN without costs.
    pub at_loss: f64,
    /// As `auc_range`.
    pub at_loss_range: [f64; 2],
}

/// The points of the curve that are asked for.
pub fn learning_curve(
    fleet: &Fleet,
    rows: &[ScoredPrompt],
    policy: Option<&Policy>,
    asked: &AfterPrompts,
) -> Vec<CurvePoint> {
    let points = asked.counts.iter();
    points
        .map(|count| after(fleet, rows, policy, *count, asked.one_per_prompt))
        .collect()
}

/// The figures after [`PROMPTS`] prompts of which all outcomes are known; `None` where there are too few rows.
pub fn after_labels(
    fleet: &Fleet,
    rows: &[ScoredPrompt],
    policy: Option<&Policy>,
) -> Option<CurvePoint> {
    let point = after(fleet, rows, policy, PROMPTS, false);
    (point.auc.is_finite() || point.ece.is_finite()).then_some(point)
}

/// Prompts drawn from a file, what is known of them, and the rows that are left to measure on.
#[derive(Debug, Clone)]
pub struct Draw {
    /// Each outcome that is known, by row and by place in [`Fleet::members`].
    pub known: Vec<(usize, usize)>,
    /// The rows that were not drawn.
    pub rest: Vec<usize>,
}

/// Draws `count` prompts several times; of none all draws are alike, so there is one. Empty where too few rows would be left.
pub fn draws(fleet: &Fleet, count: usize, one_per_prompt: bool) -> Vec<Draw> {
    let has_outcome = |row: &usize| {
        let outcomes = fleet.outcomes.get(*row);
        outcomes.is_some_and(|outcomes| outcomes.iter().any(Option::is_some))
    };
    let usable: Vec<usize> = (0..fleet.outcomes.len()).filter(has_outcome).collect();
    if usable.len() < count + LEAST_LEFT {
        return Vec::new();
    }
    let mut random = Random(11);
    let mut draw = || {
        let mut order = usable.clone();
        for at in 0..count {
            order.swap(at, at + random.below(usable.len() - at));
        }
        let rest = order.split_off(count);
        let mut known = Vec::new();
        for row in order {
            let outcomes = fleet.outcomes.get(row).into_iter().flatten().enumerate();
            let mut own: Vec<(usize, usize)> = outcomes
                .filter_map(|(member, outcome)| outcome.is_some().then_some((row, member)))
                .collect();
            if one_per_prompt {
                known.push(own.swap_remove(random.below(own.len())));
            } else {
                known.append(&mut own);
            }
        }
        Draw { known, rest }
    };
    let times = if count == 0 { 1 } else { DRAWS };
    (0..times).map(|_| draw()).collect()
}

/// The figures after `count` prompts.
fn after(
    fleet: &Fleet,
    rows: &[ScoredPrompt],
    policy: Option<&Policy>,
    count: usize,
    one_per_prompt: bool,
) -> CurvePoint {
    let drawn: Vec<[f64; 3]> = draws(fleet, count, one_per_prompt)
        .iter()
        .map(|draw| measure(fleet, rows, policy, draw))
        .collect();
    let of = |at: usize| -> Vec<f64> {
        let values = drawn.iter().filter_map(|draw| draw.get(at).copied());
        values.collect()
    };
    let range = |at: usize| match drawn.len() {
        0 => [f64::NAN; 2],
        _ => middle(of(at), 0.8),
    };
    CurvePoint {
        prompts: count,
        one_per_prompt,
        auc: mean(of(0)),
        auc_range: range(0),
        ece: mean(of(1)),
        ece_range: range(1),
        at_loss: mean(of(2)),
        at_loss_range: range(2),
    }
}

/// AUC, calibration error and saving on the rows that were not drawn, after what is known of the others.
fn measure(fleet: &Fleet, rows: &[ScoredPrompt], policy: Option<&Policy>, draw: &Draw) -> [f64; 3] {
    let mut moved = Fleet {
        members: fleet.members.clone(),
        outcomes: fleet.outcomes.clone(),
        complete: draw
            .rest
            .iter()
            .copied()
            .filter(|row| fleet.complete.binary_search(row).is_ok())
            .collect(),
        has_costs: fleet.has_costs,
        notes: Vec::new(),
    };
    let observations = observe(fleet, rows, policy, &draw.known);
    let learned = match observations.is_empty() {
        true => Vec::new(),
        false => fit(&observations, fleet.members.len()),
    };
    let mut forecasts = Vec::new();
    for row in &draw.rest {
        let (Some(outcomes), Some(prompt)) = (moved.outcomes.get_mut(*row), rows.get(*row)) else {
            continue;
        };
        for (model, (outcome, member)) in outcomes.iter_mut().zip(&moved.members).enumerate() {
            let Some(outcome) = outcome else { continue };
            if let Some(learned) = learned.get(model) {
                let logit = expected_logit(member, policy, &prompt.classification);
                let moved = learned.calibration.apply(logit, &prompt.classification);
                outcome.p = f64::from(1.0 / (1.0 + (-moved).exp()));
            }
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
        auc_within(&forecasts, &vec![1.0; rows.len()]),
        ece(&all),
        saving,
    ]
}

/// The outcomes that are known.
fn observe<'r>(
    fleet: &Fleet,
    rows: &'r [ScoredPrompt],
    policy: Option<&Policy>,
    known: &[(usize, usize)],
) -> Vec<Observation<'r>> {
    let rows_known: BTreeSet<usize> = known.iter().map(|(row, _)| *row).collect();
    // A draw has either one outcome of each row or all.
    let together = rows_known.len() < known.len();
    let seen = |(row, model): &(usize, usize)| {
        let (outcomes, prompt) = (fleet.outcomes.get(*row)?, rows.get(*row)?);
        let member = fleet.members.get(*model)?;
        Some(Observation {
            classification: &prompt.classification,
            model: *model,
            logit: expected_logit(member, policy, &prompt.classification),
            against: None,
            label: (*outcomes.get(*model)?)?.score,
            together,
        })
    };
    known.iter().filter_map(seen).collect()
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
