//! One outcome file from its rows to its report.

use std::collections::BTreeMap;

use pointsman::policy::Policy;
use pointsman::policy::profiles::{Limit, Profile};

use crate::benchmarks::Benchmarks;
use crate::figures::{Calibration, Curves, Forecast, Pool, calibration};
use crate::fleet::{AbilitySource, Fleet};
use crate::gaps::{self, Saved};
use crate::judge::{self, JudgeFigures, JudgeSetting};
use crate::learning_curve::{AfterPrompts, CurvePoint, after_labels, learning_curve};
use crate::measure::mean;
use crate::others::{OtherLearner, OtherPoint};
use crate::outcomes::BadLine;
use crate::pairing::{PairReport, pair};
use crate::pooling::pool;
use crate::quantile::quantile;
use crate::rated::{self, RatedFigures};
use crate::scored::ScoredPrompt;
use crate::sweep::{Table, policy_of};

/// Settings that all files share.
pub struct Setting<'s> {
    /// The policy, if one was given.
    pub policy: Option<&'s Policy>,
    /// Published scores.
    pub benchmarks: &'s Benchmarks,
    /// The pair, if one was given: weak and strong.
    pub pair: Option<(String, String)>,
    /// The points of the learning curve that are asked for.
    pub after: AfterPrompts,
    /// The judge, if one is replayed.
    pub judge: Option<JudgeSetting>,
    /// Learners that ours is compared with.
    pub others: Vec<OtherLearner>,
}

/// A line of a table of models.
#[derive(Debug, Clone)]
pub struct ModelLine {
    /// The model.
    pub name: String,
    /// The source of its ability.
    pub placed: String,
    /// How many outcomes it has.
    pub count: usize,
    /// Mean score over them.
    pub quality: f64,
    /// Mean of what was expected.
    pub expected: f64,
    /// Mean cost; NaN if unknown.
    pub cost: f64,
    /// Share of the rows that the router sends it at its operating point; NaN if it is not part of the fleet.
    pub share: f64,
}

/// A line of a table of kinds of prompts.
#[derive(Debug, Clone)]
pub struct GroupLine {
    /// The kind.
    pub name: String,
    /// How many complete rows are of it.
    pub count: usize,
    /// Mean score of the cheapest model.
    pub cheapest: f64,
    /// Mean score of the best model.
    pub best: f64,
    /// Mean score of the router at its operating point.
    pub router: f64,
    /// Share of the best model's cost that the router saves there.
    pub saved: f64,
    /// Share of the rows that the router sends to the best model.
    pub to_best: f64,
}

/// Kinds of prompts by one label.
#[derive(Debug, Clone)]
pub struct Groups {
    /// The label.
    pub by: &'static str,
    /// Its kinds, the most frequent first.
    pub lines: Vec<GroupLine>,
}

/// Cost, quality and shares of a profile on the complete rows.
#[derive(Debug, Clone)]
pub struct ProfileLine {
    /// The profile.
    pub name: String,
    /// How it chooses.
    pub selection: String,
    /// Mean cost in units of the best model's.
    pub cost: f64,
    /// Mean score.
    pub quality: f64,
    /// Share of the rows that it refuses or does not route.
    pub refused: f64,
    /// Shares of the models, the largest first.
    pub shares: Vec<(String, f64)>,
}

/// Everything about one file, or about all together.
#[derive(Debug, Default)]
pub struct Report {
    /// The file as it was named; `overall` for all together.
    pub name: String,
    /// Rows with an outcome of a model of the fleet.
    pub count: usize,
    /// Rows without.
    pub without: usize,
    /// Rows that every model of the fleet has an outcome of.
    pub complete: usize,
    /// Lines that are not rows.
    pub bad: Vec<BadLine>,
    /// Notes for the reader.
    pub notes: Vec<String>,
    /// The models.
    pub models: Vec<ModelLine>,
    /// The best and the cheapest single model.
    pub best: Option<String>,
    /// See `best`.
    pub cheapest: Option<String>,
    /// Whether costs are known.
    pub has_costs: bool,
    /// Cost and quality; `None` if there is no complete row, or no cost is known.
    pub curves: Option<Curves>,
    /// The pair.
    pub pair: Option<PairReport>,
    /// How good the probabilities are.
    pub calibration: Option<Calibration>,
    /// Figures on rated rows; `None` if the file has none.
    pub rated: Option<RatedFigures>,
    /// The points of the learning curve that were asked for.
    pub after: Vec<CurvePoint>,
    /// Those of other learners on this file, by their name.
    pub others: Vec<(String, Vec<OtherPoint>)>,
    /// Calibration after labelled prompts.
    pub labelled: Option<CurvePoint>,
    /// The judge's contribution; `None` if none is replayed, or no row has a grade.
    pub judge: Option<JudgeFigures>,
    /// Each profile's cost and quality on the rows.
    pub profiles: Vec<ProfileLine>,
    /// Savings of routing between every two models of which one costs far less.
    pub pairs: Vec<Saved>,
    /// Kinds of prompts.
    pub groups: Vec<Groups>,
    /// Microseconds of each classification.
    pub micros: Vec<f64>,
    /// To be pooled.
    pub pool: Pool,
    /// To be pooled: model numbers are of this file.
    pub forecasts: Vec<Forecast>,
}

impl Report {
    /// A quantile of the time that one classification takes, in microseconds.
    pub fn micros(&self, q: f64) -> f64 {
        quantile(&mut self.micros.clone(), q)
    }
}

/// How many rows have an outcome of a model of the fleet.
fn rows_with_outcomes(fleet: &Fleet) -> usize {
    let rows = fleet.outcomes.iter();
    rows.filter(|outcomes| outcomes.iter().any(Option::is_some))
        .count()
}

/// The curves of other learners on the file `name`, by their names.
fn others(name: &str, setting: &Setting<'_>) -> Vec<(String, Vec<OtherPoint>)> {
    let one_per_prompt = setting.after.one_per_prompt;
    let all = setting.others.iter();
    let all = all.map(|other| (other.name.clone(), other.points(name, one_per_prompt)));
    all.filter(|(_, points)| !points.is_empty()).collect()
}

/// The report on the rows of a file.
pub fn report(
    name: &str,
    rows: &[ScoredPrompt],
    bad: Vec<BadLine>,
    setting: &Setting<'_>,
) -> Report {
    let fleet = Fleet::new(rows, setting.policy, setting.benchmarks);
    let mut report = Report {
        name: name.to_owned(),
        count: rows_with_outcomes(&fleet),
        complete: fleet.complete.len(),
        bad,
        notes: fleet.notes.clone(),
        has_costs: fleet.has_costs,
        micros: rows.iter().map(|row| row.micros).collect(),
        others: others(name, setting),
        ..Report::default()
    };
    report.without = rows.len() - report.count;
    note_unknown_models(&fleet, &mut report.notes);
    report.forecasts = forecasts(&fleet);
    report.calibration = (!report.forecasts.is_empty())
        .then(|| calibration(&report.forecasts, fleet.outcomes.len()));
    report.rated = rated::figures(&fleet, rows, setting.policy);
    report.labelled = after_labels(&fleet, rows, setting.policy);
    report.after = learning_curve(&fleet, rows, setting.policy, &setting.after);
    let made_up = policy_of(&fleet).filter(|_| setting.policy.is_none());
    let policy = setting.policy.or(made_up.as_ref());
    report.judge = judge::figures(&fleet, rows, setting.judge.as_ref(), setting.policy, policy);
    let mut shares = vec![f64::NAN; fleet.members.len()];
    if let Some(table) = Table::try_new(&fleet, rows) {
        let member = |at: usize| {
            let place = table.taken.get(at)?;
            fleet.members.get(*place).map(|member| member.name.clone())
        };
        report.best = member(table.best);
        report.cheapest = report.has_costs.then(|| member(table.cheapest)).flatten();
        if report.has_costs {
            let operating = add_costs(
                &mut report,
                &fleet,
                &table,
                policy,
                setting.policy.is_some(),
            );
            add_shares(&mut shares, &table, &operating);
        }
        report.pairs = gaps::pairs(&fleet, rows);
        let wanted = setting.pair.as_ref();
        report.pair = pair(&fleet, rows, &table, wanted, &mut report.notes);
    } else if report.count == 0 {
        let note = "no row has an outcome: there is nothing to measure";
        report.notes.push(note.into());
    }
    report.models = model_lines(&fleet, &shares);
    report
}

/// Sets each member's share of the router's choices.
fn add_shares(shares: &mut [f64], table: &Table<'_>, choices: &[usize]) {
    for (at, place) in table.taken.iter().enumerate() {
        let count = choices.iter().filter(|choice| **choice == at).count();
        if let Some(share) = shares.get_mut(*place) {
            *share = count as f64 / choices.len() as f64;
        }
    }
}

/// Adds the figures of cost and quality; gives the router's choices at its operating point.
fn add_costs(
    report: &mut Report,
    fleet: &Fleet,
    table: &Table<'_>,
    policy: Option<&Policy>,
    routed: bool,
) -> Vec<usize> {
    let (pool, choices) = pool(table, policy);
    let operating = choices
        .get(pool.operating_step())
        .cloned()
        .unwrap_or_default();
    report.groups = groups(table, &operating);
    report.curves = Some(pool.figures());
    report.profiles = profiles(fleet, table, policy, routed);
    report.pool = pool;
    operating
}

fn note_unknown_models(fleet: &Fleet, notes: &mut Vec<String>) {
    let unknown =
        |placed: &AbilitySource| matches!(placed, AbilitySource::Price | AbilitySource::Average);
    let names: Vec<&str> = fleet
        .members
        .iter()
        .filter(|member| unknown(&member.ability_source))
        .map(|member| member.name.as_str())
        .collect();
    if !names.is_empty() {
        notes.push(format!(
            "no published scores are known of {}: placed by price among the others, or as average; add them with --models",
            names.join(", ")
        ));
    }
}

fn forecasts(fleet: &Fleet) -> Vec<Forecast> {
    let mut all = Vec::new();
    for (row, outcomes) in fleet.outcomes.iter().enumerate() {
        for (model, outcome) in outcomes.iter().enumerate() {
            all.extend(outcome.map(|outcome| Forecast {
                row,
                model,
                p: outcome.p,
                score: outcome.score,
            }));
        }
    }
    all
}

fn model_lines(fleet: &Fleet, shares: &[f64]) -> Vec<ModelLine> {
    let lines = fleet.members.iter().enumerate().map(|(at, member)| {
        let of = |value: fn(&crate::fleet::ModelOutcome) -> f64| {
            mean(fleet.outcomes_of(at).map(|outcome| value(&outcome)))
        };
        ModelLine {
            name: member.name.clone(),
            placed: member.ability_source.words(),
            count: member.count,
            quality: of(|outcome| outcome.score),
            expected: of(|outcome| outcome.p),
            cost: if member.price.is_some() {
                of(|outcome| outcome.cost)
            } else {
                f64::NAN
            },
            share: shares.get(at).copied().unwrap_or(f64::NAN),
        }
    });
    let mut lines: Vec<ModelLine> = lines.collect();
    lines.sort_by(|left, right| right.quality.total_cmp(&left.quality));
    lines
}

/// The label of a row in one of the tables of kinds.
type Label = fn(&ScoredPrompt) -> &str;

/// The tables of kinds of prompts: by the file's labels and by the classifier's.
fn groups(table: &Table<'_>, operating: &[usize]) -> Vec<Groups> {
    let labels: [(&'static str, Label); 4] = [
        ("task of the file", |row| &row.task),
        ("domain of the file", |row| &row.domain),
        ("task as classified", |row| row.classification.task.name()),
        ("domain as classified", |row| {
            row.classification.domain.name()
        }),
    ];
    let mut all = Vec::new();
    for (by, label) in labels {
        let mut sums: BTreeMap<&str, [f64; 7]> = BTreeMap::new();
        for ((outcomes, row), choice) in table.rows().zip(operating) {
            let (Some(cheap), Some(best), Some(own)) = (
                outcomes.get(table.cheapest),
                outcomes.get(table.best),
                outcomes.get(*choice),
            ) else {
                continue;
            };
            let to_best = f64::from(u8::from(*choice == table.best));
            let add = [
                1.0,
                cheap.score,
                best.score,
                own.score,
                own.cost,
                best.cost,
                to_best,
            ];
            let sum = sums.entry(label(row)).or_default();
            for (sum, add) in sum.iter_mut().zip(add) {
                *sum += add;
            }
        }
        sums.remove("");
        let mut lines: Vec<GroupLine> = sums
            .into_iter()
            .map(|(name, sums)| group_line(name, sums))
            .collect();
        lines.sort_by_key(|line| std::cmp::Reverse(line.count));
        if !lines.is_empty() {
            all.push(Groups { by, lines });
        }
    }
    all
}

/// The line of a group from its sums: count, scores of the cheapest, the best and the router, cost of the router and the
/// best, and how many went to the best.
fn group_line(
    name: &str,
    [count, cheapest, best, router, cost, best_cost, to_best]: [f64; 7],
) -> GroupLine {
    GroupLine {
        name: name.to_owned(),
        count: count as usize,
        cheapest: cheapest / count,
        best: best / count,
        router: router / count,
        saved: if best_cost > 0.0 {
            1.0 - cost / best_cost
        } else {
            f64::NAN
        },
        to_best: to_best / count,
    }
}

/// Cost and quality of every profile of the policy (or every built-in one) on the complete rows.
fn profiles(
    fleet: &Fleet,
    table: &Table<'_>,
    policy: Option<&Policy>,
    routed: bool,
) -> Vec<ProfileLine> {
    let Some(policy) = policy else {
        return Vec::new();
    };
    let lines = policy.profiles.iter().enumerate().map(|(index, profile)| {
        let choices: Vec<Option<usize>> = if routed {
            let place = |row: &ScoredPrompt| {
                let id = (*row.routed.get(index)?)?;
                let own = |at: &usize| {
                    fleet
                        .members
                        .get(*at)
                        .is_some_and(|member| member.id == Some(id))
                };
                table.taken.iter().position(own)
            };
            table.rows().map(|(_, row)| place(row)).collect()
        } else {
            table
                .selected(profile, Some(policy))
                .into_iter()
                .map(Some)
                .collect()
        };
        profile_line(fleet, table, profile, &choices)
    });
    lines.collect()
}

fn profile_line(
    fleet: &Fleet,
    table: &Table<'_>,
    profile: &Profile,
    choices: &[Option<usize>],
) -> ProfileLine {
    let unit = table.unit();
    let taken: Vec<(f64, f64)> = table
        .rows()
        .zip(choices)
        .filter_map(|((outcomes, _), choice)| {
            outcomes
                .get((*choice)?)
                .map(|outcome| (outcome.cost / unit, outcome.score))
        })
        .collect();
    let count = |at: usize| choices.iter().filter(|choice| **choice == Some(at)).count();
    let total = choices.len() as f64;
    let mut shares: Vec<(String, f64)> = table
        .taken
        .iter()
        .enumerate()
        .filter(|(at, _)| count(*at) > 0)
        .filter_map(|(at, place)| {
            Some((
                fleet.members.get(*place)?.name.clone(),
                count(at) as f64 / total,
            ))
        })
        .collect();
    shares.sort_by(|left, right| right.1.total_cmp(&left.1));
    ProfileLine {
        name: profile.name.clone(),
        selection: selection(profile),
        cost: mean(taken.iter().map(|outcome| outcome.0)),
        quality: mean(taken.iter().map(|outcome| outcome.1)),
        refused: 1.0 - taken.len() as f64 / total,
        shares,
    }
}

/// In words how a profile chooses: by utility (a weighted sum), by a floor of quality, or by both.
fn selection(profile: &Profile) -> String {
    let weights = &profile.weights;
    let parts = [
        ("cost", weights.cost),
        ("latency", weights.latency),
        ("quality", weights.quality),
    ];
    let used: Vec<String> = parts
        .iter()
        .filter(|(_, weight)| *weight > 0.0)
        .map(|(name, weight)| format!("{name} {weight:.2}"))
        .collect();
    let limits: Vec<String> = profile
        .limits
        .stated()
        .map(|(limit, value)| format!("{} {value}", limit.name()))
        .collect();
    let floor = profile
        .limits
        .stated()
        .any(|(limit, _)| limit.is_of_quality() || limit == Limit::MaxCostUsd);
    let kind = match (used.len() > 1, floor) {
        (true, true) => "utility above a floor",
        (true, false) => "utility",
        (false, true) => "floor",
        (false, false) => "one goal",
    };
    let limits = if limits.is_empty() {
        String::new()
    } else {
        format!("; {}", limits.join(", "))
    };
    format!("{kind}: {}{limits}", used.join(", "))
}
