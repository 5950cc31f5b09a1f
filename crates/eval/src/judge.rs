//! The contribution of a judge to the router: its recorded or simulated grades are replayed on the rows that the filter would ask about.
//!
//! The value of a question, the shift by a grade and the share of the questions are the core's own. Grades stand in the rows
//! (`judge`); of rated rows without one they are simulated: the rated ease with an error of so many logits.

use std::cell::RefCell;

use pointsman::api::judge::Grade;
use pointsman::policy::Policy;
use pointsman::policy::judge::Judge;
use pointsman::routing::judge::{made_easier, value_of_asking};
use pointsman::state::judge::JudgeState;

use crate::figures::Pool;
use crate::fleet::{Fleet, ModelOutcome, p_correct};
use crate::measure::bootstrap::Random;
use crate::measure::mean;
use crate::scored::{JudgedChoice, ScoredPrompt};
use crate::sweep::{STEPS, Strategy, Table, Trace, lambda};

/// The seed of the requests that are asked about at random.
const SEED: u64 = 5;

/// How a judge is replayed.
#[derive(Debug, Clone)]
pub struct JudgeSetting {
    /// Its share and its evidence.
    pub judge: Judge,
    /// The standard deviation of the error of simulated grades, in logits.
    pub noise: f64,
}

/// Figures at one share of questions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Asked {
    /// The share of the rows that is asked about, at the knob's operating point.
    pub share: f64,
    /// Share of the best model's cost that is saved at −1.2 points; NaN if it cannot be computed.
    pub at_loss: f64,
    /// The mean gain of a question at the operating point, in points of quality less cost.
    pub gain: f64,
}

/// The effect of the judge on one profile.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileAsked {
    /// The profile.
    pub name: String,
    /// The share of the rows that it asks about.
    pub share: f64,
    /// Mean cost without the judge, in units of the best model's, and with it.
    pub cost: [f64; 2],
    /// Mean score without the judge, and with it.
    pub quality: [f64; 2],
}

/// The contribution of a judge on the rows of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgeFigures {
    /// How many complete rows have a grade, and how many of these are simulated.
    pub count: usize,
    /// See `count`.
    pub simulated: usize,
    /// The error of simulated grades, in logits.
    pub noise: f64,
    /// The largest share that may be asked about.
    pub max_share: f64,
    /// The first stage alone.
    pub nobody: Asked,
    /// As the filter asks.
    pub valuable: Asked,
    /// As many, drawn at random.
    pub random: Asked,
    /// All.
    pub everybody: Asked,
    /// The policy's profiles; empty without a policy.
    pub profiles: Vec<ProfileAsked>,
}

impl JudgeFigures {
    /// How many times as much a question gains as one about a random row.
    pub fn times_random(&self) -> f64 {
        self.valuable.gain / self.random.gain
    }
}

/// One complete row with its grade.
struct GradedRow<'r> {
    row: &'r ScoredPrompt,
    outcomes: Vec<ModelOutcome>,
    /// The probabilities after the grade; `None` if there is none.
    after: Option<Vec<f64>>,
    deviation: f64,
    /// The probabilities if the prompt were easier by so many logits, as far as anybody asked.
    easier: RefCell<Vec<(f64, Vec<f64>)>>,
}

/// The rows that are asked about.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Choice {
    Nobody,
    Valuable,
    /// So many of a thousand, at random.
    Random(u64),
    Everybody,
}

/// The figures of a judge on the rows of `fleet`; `None` if no judge is replayed, no complete row
/// has a grade, or no costs are known. `policy` is the
/// operator's own, `made_up` the one to choose by.
pub fn figures(
    fleet: &Fleet,
    rows: &[ScoredPrompt],
    setting: Option<&JudgeSetting>,
    policy: Option<&Policy>,
    made_up: Option<&Policy>,
) -> Option<JudgeFigures> {
    let setting = setting?;
    let table = Table::try_new(fleet, rows).filter(|_| fleet.has_costs)?;
    let graded = graded_rows(fleet, &table, setting, policy);
    let of_grade = |row: &GradedRow<'_>| row.row.grade(setting.noise);
    let grades: Vec<(Grade, bool)> = graded.iter().filter_map(of_grade).collect();
    if grades.is_empty() {
        return None;
    }
    let tracking = tracking(made_up?, &setting.judge);
    let replay = Replay {
        fleet,
        policy,
        table: &table,
        rows: &graded,
        tracking: &tracking,
    };
    let nobody = replay.asked(Choice::Nobody);
    let valuable = replay.asked(Choice::Valuable);
    let share = (valuable.share * 1000.0).round() as u64;
    Some(JudgeFigures {
        count: grades.len(),
        simulated: grades.iter().filter(|(_, simulated)| *simulated).count(),
        noise: setting.noise,
        max_share: setting.judge.max_share,
        nobody,
        valuable,
        random: replay.asked(Choice::Random(share)),
        everybody: replay.asked(Choice::Everybody),
        profiles: policy.map_or_else(Vec::new, |policy| profiles(fleet, &table, policy)),
    })
}

/// A policy under which questions are counted.
fn tracking(policy: &Policy, judge: &Judge) -> Policy {
    Policy {
        judge: Some(judge.clone()),
        ..policy.clone()
    }
}

fn graded_rows<'r>(
    fleet: &Fleet,
    table: &Table<'r>,
    setting: &JudgeSetting,
    policy: Option<&Policy>,
) -> Vec<GradedRow<'r>> {
    let evidence = &setting.judge.evidence;
    let make = |(outcomes, row): (Vec<ModelOutcome>, &'r ScoredPrompt)| {
        let classification = &row.classification;
        let after = row.grade(setting.noise).map(|(grade, _)| {
            let easier = evidence.ease_gained(classification, grade);
            probabilities(fleet, table, policy, row, easier)
        });
        GradedRow {
            row,
            outcomes,
            after,
            deviation: evidence.expected_shift(classification),
            easier: RefCell::default(),
        }
    };
    table.rows().map(make).collect()
}

/// The expected score of the chosen models if the prompt is easier by so many logits.
fn probabilities(
    fleet: &Fleet,
    table: &Table<'_>,
    policy: Option<&Policy>,
    row: &ScoredPrompt,
    easier: f64,
) -> Vec<f64> {
    let classification = made_easier(&row.classification, easier);
    let members = table.taken.iter().filter_map(|at| fleet.members.get(*at));
    members
        .map(|member| f64::from(p_correct(member, policy, &classification)))
        .collect()
}

/// The rows under one way to ask after another.
struct Replay<'r> {
    fleet: &'r Fleet,
    policy: Option<&'r Policy>,
    table: &'r Table<'r>,
    rows: &'r [GradedRow<'r>],
    tracking: &'r Policy,
}

/// The choices at one position of the knob.
struct Step {
    choices: Vec<usize>,
    asked: usize,
    /// The sum of what the questions gained in truth, in points of quality less cost.
    gained: f64,
}

impl Replay<'_> {
    /// The figures of a way to ask.
    fn asked(&self, choice: Choice) -> Asked {
        let steps: Vec<Step> = (0..STEPS).map(|at| self.step(choice, lambda(at))).collect();
        let trace = |choices: &mut dyn Iterator<Item = &[usize]>| {
            let outcomes = choices.map(|choices| self.table.outcome(choices));
            let (cost, quality) = outcomes.unzip();
            Trace { cost, quality }
        };
        let count = self.rows.len();
        let only = |at: usize| trace(&mut std::iter::once(vec![at; count].as_slice()));
        let pool = Pool {
            traces: vec![trace(&mut steps.iter().map(|step| step.choices.as_slice()))],
            cheapest: only(self.table.cheapest),
            best: only(self.table.best),
            dearest: vec![1.0; count],
        };
        let operating = steps.get(pool.operating_step());
        let (asked, gained) = operating.map_or((0, 0.0), |step| (step.asked, step.gained));
        Asked {
            share: asked as f64 / count as f64,
            at_loss: pool.saved_at_loss(),
            gain: match asked {
                0 => 0.0,
                asked => gained / asked as f64,
            },
        }
    }

    /// The choices at one price of cost, as [`Strategy::Utility`] makes them.
    fn step(&self, choice: Choice, lambda: f64) -> Step {
        debug_assert_eq!(Strategy::ALL[0], Strategy::Utility);
        let unit = self.table.unit();
        let mut state = JudgeState::default();
        let mut random = Random(SEED);
        let mut step = Step {
            choices: Vec::with_capacity(self.rows.len()),
            asked: 0,
            gained: 0.0,
        };
        for row in self.rows {
            let costs: Vec<f64> = row
                .outcomes
                .iter()
                .map(|own| lambda * own.expected / unit)
                .collect();
            let before: Vec<f64> = row.outcomes.iter().map(|own| own.p).collect();
            let first = best(&before, &costs);
            let asks = match choice {
                Choice::Nobody => false,
                Choice::Everybody => true,
                Choice::Random(share) => random.below(1000) < share as usize,
                Choice::Valuable => {
                    let gain = self.value(row, first, &costs);
                    match gain > 0.0 {
                        true => state.admit(self.tracking, gain, 0.0, 0).is_ok(),
                        false => {
                            state.pass_by(self.tracking);
                            false
                        }
                    }
                }
            };
            let second = match (&row.after, asks) {
                (Some(after), true) => {
                    step.asked += 1;
                    best(after, &costs)
                }
                _ => first,
            };
            let worth = |at: usize| {
                let outcome = row.outcomes.get(at);
                outcome.map_or(0.0, |own| own.score - lambda * own.cost / unit)
            };
            step.gained += worth(second) - worth(first);
            step.choices.push(second);
        }
        step
    }

    /// The expected gain of a grade.
    fn value(&self, row: &GradedRow<'_>, first: usize, costs: &[f64]) -> f64 {
        if row.after.is_none() {
            return 0.0;
        }
        value_of_asking(row.deviation, |easier| {
            let mut known = row.easier.borrow_mut();
            let place = known.iter().position(|(own, _)| *own == easier);
            let place = place.unwrap_or_else(|| {
                let p = probabilities(self.fleet, self.table, self.policy, row.row, easier);
                known.push((easier, p));
                known.len() - 1
            });
            let Some((_, p)) = known.get(place) else {
                return 0.0;
            };
            let utility = |at: usize| {
                let (p, cost) = (p.get(at), costs.get(at));
                p.zip(cost).map_or(0.0, |(p, cost)| p - cost)
            };
            utility(best(p, costs)) - utility(first)
        })
    }
}

/// The place of the greatest difference; of equals the first.
fn best(p: &[f64], costs: &[f64]) -> usize {
    let utilities = p.iter().zip(costs).map(|(p, cost)| p - cost).enumerate();
    let best =
        utilities.max_by(|left, right| left.1.total_cmp(&right.1).then(right.0.cmp(&left.0)));
    best.map_or(0, |(at, _)| at)
}

/// Cost and score of each profile without the judge and with it, on the complete rows that it routes.
fn profiles(fleet: &Fleet, table: &Table<'_>, policy: &Policy) -> Vec<ProfileAsked> {
    let unit = table.unit();
    let place = |id| {
        let is = |at: &usize| fleet.members.get(*at).is_some_and(|own| own.id == Some(id));
        table.taken.iter().position(is)
    };
    let line = |(index, name): (usize, &str)| {
        let mut all: Vec<([f64; 2], [f64; 2], bool)> = Vec::new();
        for (outcomes, row) in table.rows() {
            let (Some(Some(before)), Some(judged)) = (row.routed.get(index), row.judged.get(index))
            else {
                continue;
            };
            let JudgedChoice { asked, model } = *judged;
            let of = |id| outcomes.get(place(id)?);
            if let (Some(before), Some(after)) = (of(*before), model.and_then(of)) {
                let cost = [before.cost / unit, after.cost / unit];
                all.push((cost, [before.score, after.score], asked));
            }
        }
        ProfileAsked {
            name: name.to_owned(),
            share: mean(all.iter().map(|(_, _, asked)| f64::from(u8::from(*asked)))),
            cost: [0, 1].map(|at| mean(all.iter().filter_map(|(cost, ..)| cost.get(at).copied()))),
            quality: [0, 1].map(|at| {
                mean(
                    all.iter()
                        .filter_map(|(_, score, _)| score.get(at).copied()),
                )
            }),
        }
    };
    let names = policy.profiles.iter().map(|profile| profile.name.as_str());
    names.enumerate().map(line).collect()
}

#[cfg(test)]
mod tests;
