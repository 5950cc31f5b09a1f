//! Replays the questions of a judge at every position of a knob.

use std::cell::RefCell;

use pointsman::fleet::ModelId;
use pointsman::policy::Policy;
use pointsman::policy::profiles::Profile;
use pointsman::routing::judge::{Expected, ShadowPrices, cost_scale, made_easier, value_of_asking};
use pointsman::routing::select::{Selection, select};
use pointsman::state::judge::JudgeState;

use super::{Asked, JudgeSetting, Spread};
use crate::figures::Pool;
use crate::fleet::{Fleet, ModelOutcome, p_correct};
use crate::measure::bootstrap::Random;
use crate::measure::mean;
use crate::scored::ScoredPrompt;
use crate::sweep::{STEPS, Strategy, Table, Trace, ask, lambda, profile};

/// The seed of the requests that are asked about at random.
const SEED: u64 = 5;

/// The rows that are asked about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Choice {
    Nobody,
    Valuable,
    /// So many of a thousand, at random.
    Random(u64),
    Everybody,
}

/// One complete row with its grades.
struct GradedRow<'r> {
    row: &'r ScoredPrompt,
    outcomes: Vec<ModelOutcome>,
    /// By how much the grade of each draw makes the prompt easier; empty if there is none.
    eased: Vec<f64>,
    /// The probabilities after each of them.
    after: Vec<Vec<f64>>,
    deviation: f64,
    /// The probabilities if the prompt were easier by so many logits, as far as anybody asked.
    easier: RefCell<Vec<(f64, Vec<f64>)>>,
}

/// The choices at one position of a knob.
pub(super) struct Step {
    /// For each row, by the classifier alone.
    first: Vec<usize>,
    /// For each draw and row, after the grade.
    second: Vec<Vec<usize>>,
    /// For each row, whether the filter asks.
    asks: Vec<bool>,
}

/// A row's choices, and what a grade is worth before it comes.
struct Choices {
    first: usize,
    second: Vec<usize>,
    value: f64,
}

/// The rows, and the means to choose for them.
pub(super) struct Replay<'r> {
    fleet: &'r Fleet,
    table: &'r Table<'r>,
    policy: Option<&'r Policy>,
    made_up: &'r Policy,
    /// The policy under which questions are counted.
    tracking: Policy,
    ids: Vec<ModelId>,
    rows: Vec<GradedRow<'r>>,
    draws: u64,
}

impl<'r> Replay<'r> {
    pub(super) fn new(
        fleet: &'r Fleet,
        table: &'r Table<'r>,
        setting: &JudgeSetting,
        draws: u64,
        policy: Option<&'r Policy>,
        made_up: &'r Policy,
    ) -> Replay<'r> {
        let tracking = Policy {
            judge: Some(setting.judge.clone()),
            ..made_up.clone()
        };
        let mut replay = Replay {
            fleet,
            table,
            policy,
            made_up,
            tracking,
            ids: table.ids(),
            rows: Vec::new(),
            draws,
        };
        let evidence = &setting.judge.evidence;
        let graded = |(outcomes, row): (Vec<ModelOutcome>, &'r ScoredPrompt)| {
            let grades = (0..draws).filter_map(|draw| row.grade(setting.noise, draw));
            let eased: Vec<f64> = grades
                .map(|(grade, _)| evidence.ease_gained(&row.classification, grade))
                .collect();
            let after = eased.iter().map(|easier| replay.expected(row, *easier));
            GradedRow {
                row,
                outcomes,
                after: after.collect(),
                eased,
                deviation: evidence.expected_shift(&row.classification),
                easier: RefCell::default(),
            }
        };
        let rows = table.rows().map(graded).collect();
        replay.rows = rows;
        replay
    }

    /// The expected score of the chosen models if the prompt is easier by so many logits.
    fn expected(&self, row: &ScoredPrompt, easier: f64) -> Vec<f64> {
        let classification = made_easier(&row.classification, easier);
        let taken = self.table.taken.iter();
        taken
            .filter_map(|at| self.fleet.members.get(*at))
            .map(|member| f64::from(p_correct(member, self.policy, &classification)))
            .collect()
    }

    /// The choices at every position of a knob.
    pub(super) fn steps(&self, strategy: Strategy) -> Vec<Step> {
        (0..STEPS).map(|at| self.step(strategy, at)).collect()
    }

    fn step(&self, strategy: Strategy, at: usize) -> Step {
        let mut state = JudgeState::default();
        let weights = profile(Strategy::Weights, at);
        let mut step = Step {
            first: Vec::with_capacity(self.rows.len()),
            second: vec![Vec::with_capacity(self.rows.len()); self.draws as usize],
            asks: Vec::with_capacity(self.rows.len()),
        };
        for row in &self.rows {
            let choices = match strategy {
                Strategy::Weights => self.by_weights(row, &weights, &mut state),
                _ => self.by_utility(row, lambda(at)),
            };
            step.asks.push(match choices.value > 0.0 {
                true => {
                    let admitted = state.admit(&self.tracking, choices.value, 0.0, 0);
                    admitted.is_ok()
                }
                false => {
                    state.pass_by(&self.tracking);
                    false
                }
            });
            for (draw, own) in step.second.iter_mut().enumerate() {
                own.push(choices.second.get(draw).copied().unwrap_or(choices.first));
            }
            step.first.push(choices.first);
        }
        step
    }

    /// The choices at one price of cost, as [`Strategy::Utility`] makes them.
    fn by_utility(&self, row: &GradedRow<'_>, lambda: f64) -> Choices {
        let unit = self.table.unit();
        let outcomes = row.outcomes.iter();
        let costs: Vec<f64> = outcomes.map(|own| lambda * own.expected / unit).collect();
        let before: Vec<f64> = row.outcomes.iter().map(|own| own.p).collect();
        let first = best(&before, &costs);
        let gain = |easier: f64| {
            let mut known = row.easier.borrow_mut();
            let place = known.iter().position(|(own, _)| *own == easier);
            let place = place.unwrap_or_else(|| {
                known.push((easier, self.expected(row.row, easier)));
                known.len() - 1
            });
            let Some((_, p)) = known.get(place) else {
                return 0.0;
            };
            let utility = |at: usize| {
                let (p, cost) = (p.get(at), costs.get(at));
                p.zip(cost).map_or(0.0, |(p, cost)| p - cost)
            };
            utility(best(p, &costs)) - utility(first)
        };
        Choices {
            first,
            second: row.after.iter().map(|p| best(p, &costs)).collect(),
            value: match row.after.is_empty() {
                true => 0.0,
                false => value_of_asking(row.deviation, gain),
            },
        }
    }

    /// The choices of the filter's selector under a profile of [`Strategy::Weights`].
    fn by_weights(
        &self,
        row: &GradedRow<'_>,
        profile: &Profile,
        state: &mut JudgeState,
    ) -> Choices {
        let choose = |easier: f64| {
            let classification = made_easier(&row.row.classification, easier);
            let request = ask(&self.ids, row.row.input_tokens, &classification);
            select(&self.made_up.registry, profile, &request).ok()
        };
        let place = |selection: &Selection| {
            let own = self.ids.iter();
            own.copied()
                .position(|id| id == selection.chosen.model)
                .unwrap_or(self.table.best)
        };
        let Some(selection) = choose(0.0) else {
            return Choices {
                first: self.table.best,
                second: Vec::new(),
                value: 0.0,
            };
        };
        let first = place(&selection);
        let costs = selection.candidates.iter();
        let own = cost_scale(costs.map(|candidate| candidate.estimate.cost_usd));
        let scale_usd = state.cost_scale(&self.tracking).or(own);
        if let Some(own) = own {
            state.count_cost(&self.tracking, own);
        }
        let prices = ShadowPrices::new(&profile.weights, scale_usd.unwrap_or(0.0));
        let gain = |easier: f64| {
            let Some(second) = choose(easier) else {
                return 0.0;
            };
            let backend = selection.chosen.backend;
            let mut candidates = second.candidates.iter();
            let kept = candidates.find(|candidate| candidate.backend == backend);
            let chosen = Expected::from(&second.chosen.estimate);
            kept.map_or(0.0, |kept| {
                prices.gain_usd(&Expected::from(&kept.estimate), &chosen)
            })
        };
        let second = row.eased.iter().map(|easier| choose(*easier));
        Choices {
            first,
            second: second
                .map(|second| second.as_ref().map_or(first, place))
                .collect(),
            value: match row.eased.is_empty() {
                true => 0.0,
                false => value_of_asking(row.deviation, gain),
            },
        }
    }

    /// The quality that costs as much as the best model does, at −1.2 points of the classifier alone; 0 if that cannot be told.
    pub(super) fn exchange(&self, steps: &[Step]) -> f64 {
        let firsts = steps.iter().map(|step| step.first.clone()).collect();
        let price = self.pool(firsts).exchange_at_loss();
        if price.is_finite() { price } else { 0.0 }
    }

    /// The figures of a way to ask, gains at this price of cost.
    pub(super) fn asked(&self, steps: &[Step], choice: Choice, price: f64) -> Asked {
        let draws = match choice {
            Choice::Nobody => 1,
            _ => self.draws,
        };
        let (mut share, mut saved, mut gain) = (Vec::new(), Vec::new(), Vec::new());
        for draw in 0..draws {
            let all: Vec<Vec<bool>> = steps.iter().map(|step| asks(step, choice, draw)).collect();
            let pairs = steps.iter().zip(&all);
            let choices = pairs.map(|(step, asks)| chosen(step, asks, draw)).collect();
            let pool = self.pool(choices);
            let at = pool.operating_step();
            saved.push(pool.saved_at_loss());
            if let (Some(step), Some(asks)) = (steps.get(at), all.get(at)) {
                let asked = asks.iter().filter(|asks| **asks).count();
                let gained = self.gained(step, asks, draw, price);
                share.push(asked as f64 / self.rows.len() as f64);
                gain.push(match asked {
                    0 => 0.0,
                    asked => gained / asked as f64,
                });
            }
        }
        Asked {
            share: mean(share),
            at_loss: Spread::new(&saved),
            gain: mean(gain),
        }
    }

    /// The sum of what the questions of a step gained in truth.
    fn gained(&self, step: &Step, asks: &[bool], draw: u64, price: f64) -> f64 {
        let unit = self.table.unit();
        let choices = chosen(step, asks, draw);
        let both = step.first.iter().zip(&choices).zip(&self.rows);
        let gain = |((first, second), row): ((&usize, &usize), &GradedRow<'_>)| {
            let worth = |at: usize| {
                let outcome = row.outcomes.get(at);
                outcome.map_or(0.0, |own| own.score - price * own.cost / unit)
            };
            worth(*second) - worth(*first)
        };
        both.map(gain).sum()
    }

    /// Cost and quality of the rows under the choices at each position.
    fn pool(&self, choices: Vec<Vec<usize>>) -> Pool {
        let unit = self.table.unit();
        let count = self.rows.len();
        let outcome = |(row, at): (&GradedRow<'_>, usize)| {
            let outcome = row.outcomes.get(at);
            outcome.map_or((0.0, 0.0), |own| (own.cost / unit, own.score))
        };
        let trace = |all: Vec<Vec<usize>>| {
            let steps = all.into_iter();
            let outcomes = steps.map(|step| self.rows.iter().zip(step).map(outcome).unzip());
            let (cost, quality) = outcomes.unzip();
            Trace { cost, quality }
        };
        let only = |at: usize| trace(vec![vec![at; count]]);
        Pool {
            traces: vec![trace(choices)],
            cheapest: only(self.table.cheapest),
            best: only(self.table.best),
            dearest: vec![1.0; count],
        }
    }
}

/// Whether each row is asked about.
fn asks(step: &Step, choice: Choice, draw: u64) -> Vec<bool> {
    let count = step.asks.len();
    let mut random = Random(SEED.wrapping_add(draw << 32));
    match choice {
        Choice::Nobody => vec![false; count],
        Choice::Everybody => vec![true; count],
        Choice::Valuable => step.asks.clone(),
        Choice::Random(share) => (0..count)
            .map(|_| random.below(1000) < share as usize)
            .collect(),
    }
}

/// The choice of each row in a draw.
fn chosen(step: &Step, asks: &[bool], draw: u64) -> Vec<usize> {
    let Some(second) = step.second.get(draw as usize) else {
        return step.first.clone();
    };
    let both = step.first.iter().zip(second).zip(asks);
    both.map(|((first, second), asks)| if *asks { *second } else { *first })
        .collect()
}

/// The place of the greatest difference; of equals the first.
fn best(p: &[f64], costs: &[f64]) -> usize {
    let utilities = p.iter().zip(costs).map(|(p, cost)| p - cost).enumerate();
    let best =
        utilities.max_by(|left, right| left.1.total_cmp(&right.1).then(right.0.cmp(&left.0)));
    best.map_or(0, |(at, _)| at)
}
