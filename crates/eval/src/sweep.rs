//! Cost and quality of a fleet on the rows under each strategy, as the strategy's knob turns from quality to cost.

use pointsman::analysis::classifier::Classification;
use pointsman::fleet::ModelId;
use pointsman::policy::Policy;
use pointsman::policy::profiles::{Limit, Limits, Profile, Weights};
use pointsman::routing::select::{SelectionRequest, select};
use serde_json::{Value, json};

use crate::fleet::{Fleet, ModelOutcome};
use crate::measure::curve::Point;
use crate::scored::ScoredPrompt;

/// Ways to choose a model, each with one knob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// The highest P(correct) − λ · expected cost.
    Utility,
    /// The filter's own objective: the least weighted sum of the logarithms of cost and lost quality, from all weight on
    /// quality to all on cost.
    Weights,
    /// The cheapest that keeps `min_quality`.
    Floor,
    /// One model for everything, as RouterBench's zero router: the highest mean score − λ · mean cost.
    Zero,
    /// The best choice in hindsight: the highest score − λ · cost.
    Oracle,
}

impl Strategy {
    /// Every way, the router's own first.
    pub const ALL: [Strategy; 5] = [
        Strategy::Utility,
        Strategy::Weights,
        Strategy::Floor,
        Strategy::Zero,
        Strategy::Oracle,
    ];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Strategy::Utility => "utility",
            Strategy::Weights => "weights",
            Strategy::Floor => "floor",
            Strategy::Zero => "zero",
            Strategy::Oracle => "oracle",
        }
    }
}

/// How many positions a knob has.
pub const STEPS: usize = 64;

/// λ at each position, in points of quality per cost of the best model: nothing, then from a ten-thousandth to a thousand, then
/// cost alone.
pub(crate) fn lambda(step: usize) -> f64 {
    match step {
        0 => 0.0,
        _ if step + 1 == STEPS => 1e9,
        _ => 10_f64.powf(-4.0 + 7.0 * (step - 1) as f64 / (STEPS - 3) as f64),
    }
}

/// Cost and quality of every row at every position of a knob. Costs are in units of the best single model's mean cost.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// `cost[step][row]`.
    pub cost: Vec<Vec<f64>>,
    /// `quality[step][row]`.
    pub quality: Vec<Vec<f64>>,
}

impl Trace {
    /// The mean cost and quality at each position, rows counting by `weights`.
    pub fn points(&self, weights: &[f64]) -> Vec<Point> {
        let total: f64 = weights.iter().sum();
        let mean = |values: &[f64]| {
            values
                .iter()
                .zip(weights)
                .map(|(value, weight)| value * weight)
                .sum::<f64>()
                / total
        };
        let both = self.cost.iter().zip(&self.quality);
        both.map(|(cost, quality)| [mean(cost), mean(quality)])
            .collect()
    }

    /// Adds the rows of `other`, position by position.
    pub fn append(&mut self, other: &Trace) {
        for (own, new) in [
            (&mut self.cost, &other.cost),
            (&mut self.quality, &other.quality),
        ] {
            own.resize(new.len(), Vec::new());
            for (own, new) in own.iter_mut().zip(new) {
                own.extend(new);
            }
        }
    }
}

/// The complete rows of a fleet, and its members that are taken.
pub struct Table<'f> {
    fleet: &'f Fleet,
    rows: &'f [ScoredPrompt],
    /// Places of the members that are taken.
    pub taken: Vec<usize>,
    /// Which of `taken` has the highest mean score (of equals the cheaper), and which costs least (of equals the better).
    pub best: usize,
    /// See `best`.
    pub cheapest: usize,
    /// Mean cost and score of each of `taken`, in the units of the file.
    pub means: Vec<Point>,
}

impl<'f> Table<'f> {
    /// `None` if there is no complete row.
    pub fn try_new(fleet: &'f Fleet, rows: &'f [ScoredPrompt]) -> Option<Table<'f>> {
        let taken = fleet.taken();
        let count = fleet.complete.len() as f64;
        let mut means = vec![[0.0, 0.0]; taken.len()];
        for outcomes in fleet
            .complete
            .iter()
            .map(|row| outcomes_of_row(fleet, &taken, *row))
        {
            for (mean, outcome) in means.iter_mut().zip(outcomes) {
                mean[0] += outcome.cost / count;
                mean[1] += outcome.score / count;
            }
        }
        let places = || 0..means.len();
        let key = |at: usize| means.get(at).copied().unwrap_or([f64::INFINITY, 0.0]);
        let dearer = |left: &usize, right: &usize| key(*right)[0].total_cmp(&key(*left)[0]);
        let better = |left: &usize, right: &usize| key(*left)[1].total_cmp(&key(*right)[1]);
        let best = places().max_by(|left, right| better(left, right).then(dearer(left, right)))?;
        let cheapest =
            places().max_by(|left, right| dearer(left, right).then(better(left, right)))?;
        (count > 0.0).then_some(Table {
            fleet,
            rows,
            taken,
            best,
            cheapest,
            means,
        })
    }

    /// The unit of cost: the best model's mean, or 1 if that is nothing.
    pub fn unit(&self) -> f64 {
        let cost = self.means.get(self.best).map_or(0.0, |mean| mean[0]);
        if cost > 0.0 { cost } else { 1.0 }
    }

    /// For each complete row what the models that are taken made of it, and the row.
    pub fn rows(&self) -> impl Iterator<Item = (Vec<ModelOutcome>, &'f ScoredPrompt)> + '_ {
        let complete = self.fleet.complete.iter();
        complete.filter_map(|row| {
            Some((
                outcomes_of_row(self.fleet, &self.taken, *row),
                self.rows.get(*row)?,
            ))
        })
    }

    /// Cost (in units) and quality of each row under `choices[row]`, which are places in `taken`.
    pub fn outcome(&self, choices: &[usize]) -> (Vec<f64>, Vec<f64>) {
        let unit = self.unit();
        let pairs = self.rows().zip(choices).map(|((outcomes, _), choice)| {
            outcomes
                .get(*choice)
                .map_or((0.0, 0.0), |outcome| (outcome.cost / unit, outcome.score))
        });
        pairs.unzip()
    }

    /// The choice for each row at each position of the knob.
    pub fn choices(&self, strategy: Strategy, made_up: Option<&Policy>) -> Vec<Vec<usize>> {
        let unit = self.unit();
        (0..STEPS)
            .map(|step| match strategy {
                Strategy::Utility => {
                    self.by(|outcome, _| outcome.p - lambda(step) * outcome.expected / unit)
                }
                Strategy::Oracle => {
                    self.by(|outcome, _| outcome.score - lambda(step) * outcome.cost / unit)
                }
                Strategy::Zero => self.by(|_, mean| mean[1] - lambda(step) * mean[0] / unit),
                Strategy::Weights | Strategy::Floor => {
                    self.selected(&profile(strategy, step), made_up)
                }
            })
            .collect()
    }

    /// The member with the highest `value` in each row; of equals the cheaper, then the better.
    fn by(&self, value: impl Fn(&ModelOutcome, &Point) -> f64) -> Vec<usize> {
        let choose = |outcomes: Vec<ModelOutcome>| {
            let valued = outcomes.iter().zip(&self.means).enumerate();
            let best = valued.max_by(|(_, (left, left_mean)), (_, (right, right_mean))| {
                value(left, left_mean)
                    .total_cmp(&value(right, right_mean))
                    .then(right_mean[0].total_cmp(&left_mean[0]))
                    .then(left_mean[1].total_cmp(&right_mean[1]))
            });
            best.map_or(0, |(at, _)| at)
        };
        self.rows().map(|(outcomes, _)| choose(outcomes)).collect()
    }

    /// The models of `taken` in the policy that chooses among them.
    pub(crate) fn ids(&self) -> Vec<ModelId> {
        let members = self.taken.iter().filter_map(|at| {
            let member = self.fleet.members.get(*at)?;
            Some(member.id.unwrap_or(ModelId(*at as u32)))
        });
        members.collect()
    }

    /// The choice of the filter's own selector under `profile` for each row.
    pub fn selected(&self, profile: &Profile, policy: Option<&Policy>) -> Vec<usize> {
        let Some(policy) = policy else {
            return vec![0; self.fleet.complete.len()];
        };
        let ids = self.ids();
        let choose = |row: &ScoredPrompt| {
            let ask = ask(&ids, row.input_tokens, &row.classification);
            let chosen = select(&policy.registry, profile, &ask).ok()?.chosen.model;
            ids.iter().position(|id| *id == chosen)
        };
        self.rows()
            .map(|(_, row)| choose(row).unwrap_or(self.best))
            .collect()
    }
}

fn outcomes_of_row(fleet: &Fleet, taken: &[usize], row: usize) -> Vec<ModelOutcome> {
    let row = fleet.outcomes.get(row);
    taken.iter().filter_map(|at| *row?.get(*at)?).collect()
}

pub(crate) fn ask<'a>(
    allowed: &'a [ModelId],
    input_tokens: u32,
    classification: &'a Classification,
) -> SelectionRequest<'a> {
    SelectionRequest {
        allowed,
        input_tokens,
        window_tokens: input_tokens,
        classification: Some(classification),
        ..SelectionRequest::default()
    }
}

/// The profile that a way is at a position of its knob.
pub(crate) fn profile(strategy: Strategy, step: usize) -> Profile {
    let turned = step as f64 / (STEPS - 1) as f64;
    let (cost, limits) = if strategy == Strategy::Floor {
        (1.0, Limits::NONE.with(Limit::MinQuality, 1.0 - turned))
    } else {
        (turned, Limits::NONE)
    };
    Profile {
        name: strategy.name().into(),
        weights: Weights {
            cost,
            latency: 0.0,
            quality: 1.0 - cost,
        },
        limits,
        relax: Limit::ALL.to_vec(),
        tags: Vec::new(),
        ramp: None,
    }
}

/// A policy of the members of a fleet, for rows that come without one: model ids are places in [`Fleet::members`].
pub fn policy_of(fleet: &Fleet) -> Option<Policy> {
    let listed: Vec<Value> = fleet
        .members
        .iter()
        .enumerate()
        .map(|(at, _)| json!({"name": format!("model {at}"), "context_window": 100_000_000}))
        .collect();
    let backends: Vec<Value> = fleet
        .members
        .iter()
        .enumerate()
        .map(|(at, member)| {
            let [input, output] = member.price.unwrap_or([0.0, 0.0]);
            json!({"name": format!("backend {at}"), "model": format!("model {at}"), "price": {"input": input, "output": output}})
        })
        .collect();
    let text = json!({"models": listed, "backends": backends}).to_string();
    let mut policy = Policy::compile(&text).ok()?;
    for (model, member) in policy.registry.models.iter_mut().zip(&fleet.members) {
        model.ability = member.ability;
    }
    Some(policy)
}
