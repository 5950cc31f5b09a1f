//! The effect of outcomes of a file on the rest of it: prompts drawn at random, learned as the filter and `pointsman calibrate` do,
//! measured on the rows that were not drawn. The mean over several draws.

use crate::figures::{Forecast, Pool, auc_within};
use crate::fit::{Observation, fit};
use crate::fleet::Fleet;
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
    asked: &AfterPrompts,
) -> Vec<CurvePoint> {
    let points = asked.counts.iter();
    points
        .map(|count| after(fleet, rows, *count, asked.one_per_prompt))
        .collect()
}

/// The figures after [`PROMPTS`] prompts of which all outcomes are known; `None` where there are too few rows.
pub fn after_labels(fleet: &Fleet, rows: &[ScoredPrompt]) -> Option<CurvePoint> {
    let point = after(fleet, rows, PROMPTS, false);
    (point.auc.is_finite() || point.ece.is_finite()).then_some(point)
}

/// The figures after `count` prompts.
fn after(fleet: &Fleet, rows: &[ScoredPrompt], count: usize, one_per_prompt: bool) -> CurvePoint {
    let usable: Vec<usize> = (0..fleet.outcomes.len())
        .filter(|row| {
            let outcomes = fleet.outcomes.get(*row);
            outcomes.is_some_and(|outcomes| outcomes.iter().any(Option::is_some))
        })
        .collect();
    let mut random = Random(11);
    let mut draws: Vec<[f64; 3]> = Vec::new();
    // Without any prompt all draws are alike.
    let times = if count == 0 { 1 } else { DRAWS };
    if usable.len() >= count + LEAST_LEFT {
        for _ in 0..times {
            let mut order = usable.clone();
            for at in 0..count {
                order.swap(at, at + random.below(usable.len() - at));
            }
            let (drawn, rest) = order.split_at(count);
            let observations = observe(fleet, rows, drawn, one_per_prompt.then_some(&mut random));
            draws.push(measure(fleet, rows, &observations, rest));
        }
    }
    let of = |at: usize| -> Vec<f64> {
        let values = draws.iter().filter_map(|draw| draw.get(at).copied());
        values.collect()
    };
    let range = |at: usize| match draws.len() {
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

/// AUC, calibration error and saving on the rows `rest` after the observations.
fn measure(
    fleet: &Fleet,
    rows: &[ScoredPrompt],
    observations: &[Observation<'_>],
    rest: &[usize],
) -> [f64; 3] {
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
    if !observations.is_empty() {
        let fitted = fit(observations, fleet.members.len());
        for (member, learned) in moved.members.iter_mut().zip(fitted) {
            let stated = member.ability.calibration;
            member.ability.calibration = stated.then(&learned.calibration);
        }
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
        auc_within(&forecasts, &vec![1.0; rows.len()]),
        ece(&all),
        saving,
    ]
}

/// The outcomes of the rows that were drawn: all of them, or with `one` a random one of each row.
fn observe<'r>(
    fleet: &Fleet,
    rows: &'r [ScoredPrompt],
    drawn: &[usize],
    mut one: Option<&mut Random>,
) -> Vec<Observation<'r>> {
    let mut observations = Vec::new();
    for row in drawn {
        let (Some(outcomes), Some(prompt)) = (fleet.outcomes.get(*row), rows.get(*row)) else {
            continue;
        };
        let all = outcomes.iter().zip(&fleet.members).enumerate();
        let mut own: Vec<Observation<'r>> = all
            .filter_map(|(model, (outcome, member))| {
                Some(Observation {
                    classification: &prompt.classification,
                    model,
                    logit: member.ability.calibrated_logit(&prompt.classification),
                    against: None,
                    label: outcome.as_ref()?.score,
                })
            })
            .collect();
        match &mut one {
            Some(random) if !own.is_empty() => {
                observations.push(own.swap_remove(random.below(own.len())));
            }
            _ => observations.extend(own),
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
