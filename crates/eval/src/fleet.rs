//! The models of one file as a fleet to route among: where each stands, what it costs, and what all of them made of each row.
//!
//! With a policy the fleet is the policy's. Without one it is made from what the file says: abilities from published scores,
//! prices from the costs. A model of which nothing is published is placed by its price among the others.

use std::collections::BTreeMap;

use pointsman::analysis::classifier::Classification;
use pointsman::fleet::ModelId;
use pointsman::fleet::ability::Ability;
use pointsman::policy::Policy;

use crate::benchmarks::Benchmarks;
use crate::measure::mean;
use crate::outcomes::Outcome;
use crate::scored::{ScoredPrompt, find_model};

/// By how many standard deviations a model of ten times the price is taken to be better, if nothing else is known of it.
const SPREAD_PER_DECADE: f64 = 0.8;

/// The source of a model's ability.
#[derive(Debug, Clone, PartialEq)]
pub enum AbilitySource {
    /// The policy.
    Policy,
    /// Published scores of the model with this name.
    Published(String),
    /// Its price among the others.
    Price,
    /// Nothing: it counts as an average model.
    Average,
}

impl AbilitySource {
    /// Its description in reports.
    pub fn words(&self) -> String {
        match self {
            AbilitySource::Policy => "policy".into(),
            AbilitySource::Published(name) => format!("published scores of {name}"),
            AbilitySource::Price => "unknown: by its price".into(),
            AbilitySource::Average => "unknown: average model".into(),
        }
    }
}

/// One model of a fleet.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name in the file.
    pub name: String,
    /// Its model in the policy.
    pub id: Option<ModelId>,
    /// The source of its ability.
    pub ability_source: AbilitySource,
    /// Its ability.
    pub ability: Ability,
    /// Cost of a million tokens of input and output, tokens as the filter estimates them; `None` if nothing tells.
    pub price: Option<[f64; 2]>,
    /// How many rows have an outcome of it.
    pub count: usize,
    /// Whether it is part of the fleet: enough rows have an outcome of it and, if any model has costs, it has.
    pub taken: bool,
}

/// The outcome of a member in a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModelOutcome {
    /// How right it was, 0 to 1.
    pub score: f64,
    /// Its cost; 0 if no costs are known.
    pub cost: f64,
    /// The cost that the filter expects.
    pub expected: f64,
    /// The score that the filter expects.
    pub p: f64,
}

/// As the filter expects it: a model of the policy is held level with its smaller siblings.
pub(crate) fn p_correct(
    member: &Member,
    policy: Option<&Policy>,
    classification: &Classification,
) -> f32 {
    match (policy, member.id) {
        (Some(policy), Some(id)) => policy.registry.p_correct(id, classification),
        _ => member.ability.p_correct(classification),
    }
}

/// The logit of that probability.
pub fn expected_logit(
    member: &Member,
    policy: Option<&Policy>,
    classification: &Classification,
) -> f32 {
    match (policy, member.id) {
        (Some(policy), Some(id)) => policy.registry.expected_logit(id, classification),
        _ => member.ability.calibrated_logit(classification),
    }
}

/// The fleet of one file.
#[derive(Debug)]
pub struct Fleet {
    /// Every model of the file that can be routed to, by name.
    pub members: Vec<Member>,
    /// For every row what each member made of it; `None` if there is no outcome.
    pub outcomes: Vec<Vec<Option<ModelOutcome>>>,
    /// The rows of which every member that is taken has an outcome.
    pub complete: Vec<usize>,
    /// Whether costs are known at all.
    pub has_costs: bool,
    /// Notes for the reader of the report.
    pub notes: Vec<String>,
}

impl Fleet {
    /// The fleet of `rows`.
    pub fn new(rows: &[ScoredPrompt], policy: Option<&Policy>, benchmarks: &Benchmarks) -> Fleet {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (name, _) in rows.iter().flat_map(|row| &row.outcomes) {
            *counts.entry(name).or_default() += 1;
        }
        let mut notes = Vec::new();
        let mut members: Vec<Member> = Vec::new();
        let mut strangers = Vec::new();
        for (name, count) in counts {
            let id = policy.and_then(|policy| find_model(policy, name));
            let twice = members
                .iter()
                .find(|member| id.is_some() && member.id == id);
            match (policy, id, twice) {
                (Some(_), None, _) => strangers.push(name),
                (_, _, Some(first)) => notes.push(format!(
                    "`{name}` and `{}` are one model of the policy: only the latter counts",
                    first.name
                )),
                _ => members.push(member(name, id, count, policy, benchmarks)),
            }
        }
        if !strangers.is_empty() {
            notes.push(format!(
                "not in the policy, so left out: {}",
                strangers.join(", ")
            ));
        }
        let mut fleet = Fleet {
            members,
            outcomes: Vec::new(),
            complete: Vec::new(),
            has_costs: false,
            notes,
        };
        fleet.price(rows, policy);
        fleet.place_strangers();
        fleet.fill(rows, policy);
        fleet.take();
        fleet
    }

    /// The members that are taken, by their places in [`Fleet::members`].
    pub fn taken(&self) -> Vec<usize> {
        let all = self.members.iter().enumerate();
        all.filter(|(_, member)| member.taken)
            .map(|(at, _)| at)
            .collect()
    }

    /// The outcomes of the member at `at`, in every row that has one.
    pub fn outcomes_of(&self, at: usize) -> impl Iterator<Item = ModelOutcome> + '_ {
        self.outcomes.iter().filter_map(move |row| *row.get(at)?)
    }

    /// Finds what each member's tokens cost: the policy says so, or the least squares over the costs of the file.
    fn price(&mut self, rows: &[ScoredPrompt], policy: Option<&Policy>) {
        for member in &mut self.members {
            let stated = member.id.and_then(|id| {
                let backends = &policy?.registry.backends;
                let own = backends.iter().filter(|backend| backend.model == id);
                own.map(|backend| [backend.price.input, backend.price.output])
                    .min_by(|left, right| (left[0] + left[1]).total_cmp(&(right[0] + right[1])))
            });
            member.price = stated.or_else(|| {
                let paid = rows.iter().filter_map(|row| {
                    let cost = paid(find(row, &member.name)?, row, None)?;
                    Some([
                        f64::from(row.input_tokens),
                        f64::from(row.classification.output_tokens),
                        cost * 1e6,
                    ])
                });
                fit_price(&paid.collect::<Vec<_>>())
            });
        }
        self.has_costs = self.members.iter().any(|member| member.price.is_some());
    }

    /// Places the models of which nothing is published by their price among the others.
    fn place_strangers(&mut self) {
        let tokens = |member: &Member| {
            member
                .price
                .map(|[input, output]| (input + output).max(1e-12).log10())
        };
        let known = self
            .members
            .iter()
            .filter(|member| !matches!(member.ability_source, AbilitySource::Average));
        let anchors: Vec<f64> = known.filter_map(tokens).collect();
        let all: Vec<f64> = self.members.iter().filter_map(tokens).collect();
        let (centre, level) = if anchors.is_empty() {
            (mean(all), 0.0)
        } else {
            let skills = self.members.iter().filter(|member| {
                !matches!(member.ability_source, AbilitySource::Average) && member.price.is_some()
            });
            let unit = mean(Ability::typical(1.0).skills.map(f64::from))
                - mean(Ability::typical(0.0).skills.map(f64::from));
            let zero = mean(Ability::typical(0.0).skills.map(f64::from));
            let level = mean(skills.map(|item| mean(item.ability.skills.map(f64::from))));
            (mean(anchors), (level - zero) / unit)
        };
        for member in &mut self.members {
            if let (AbilitySource::Average, Some(price)) = (&member.ability_source, tokens(member))
            {
                let spread = level + SPREAD_PER_DECADE * (price - centre);
                member.ability = Ability::typical(spread.clamp(-2.0, 2.0) as f32);
                member.ability_source = AbilitySource::Price;
            }
        }
    }

    /// Fills in the outcome of each member in each row; a missing cost is the expected one.
    fn fill(&mut self, rows: &[ScoredPrompt], policy: Option<&Policy>) {
        let mut guessed = 0;
        for row in rows {
            let outcomes = self.members.iter().map(|member| {
                let outcome = find(row, &member.name)?;
                let expected = member.price.map_or(0.0, |price| {
                    expected(
                        price,
                        f64::from(row.input_tokens),
                        f64::from(row.classification.output_tokens),
                    )
                });
                let price = policy.and(member.price);
                let cost = paid(outcome, row, price);
                guessed += usize::from(cost.is_none() && member.price.is_some());
                Some(ModelOutcome {
                    score: outcome.score,
                    cost: cost.unwrap_or(expected),
                    expected,
                    p: f64::from(p_correct(member, policy, &row.classification)),
                })
            });
            self.outcomes.push(outcomes.collect());
        }
        if guessed > 0 {
            self.notes.push(format!(
                "{guessed} outcomes have no cost: what their model's prices make of the estimated tokens counts"
            ));
        }
    }

    /// Takes the models that enough rows have an outcome of: the most frequent first, as long as each leaves at least two
    /// thirds of the rows complete.
    fn take(&mut self) {
        let mut order: Vec<usize> = (0..self.members.len()).collect();
        let count = |at: &usize| self.members.get(*at).map_or(0, |member| member.count);
        order.sort_by_key(|at| std::cmp::Reverse(count(at)));
        let mut complete: Vec<usize> = (0..self.outcomes.len())
            .filter(|row| {
                self.outcomes
                    .get(*row)
                    .is_some_and(|outcomes| outcomes.iter().any(Option::is_some))
            })
            .collect();
        let (mut few, mut free) = (Vec::new(), Vec::new());
        let mut first = true;
        for at in order {
            let has = |row: &usize| {
                matches!(
                    self.outcomes
                        .get(*row)
                        .and_then(|outcomes| outcomes.get(at)),
                    Some(Some(_))
                )
            };
            let left: Vec<usize> = complete.iter().copied().filter(has).collect();
            let Some(member) = self.members.get_mut(at) else {
                continue;
            };
            if self.has_costs && member.price.is_none() {
                free.push(member.name.clone());
            } else if left.is_empty() || (!first && left.len() * 3 < complete.len() * 2) {
                few.push(format!("{} ({})", member.name, member.count));
            } else {
                member.taken = true;
                complete = left;
                first = false;
            }
        }
        self.complete = if first { Vec::new() } else { complete };
        if !few.is_empty() {
            self.notes.push(format!(
                "too few outcomes to be compared with the others: {}",
                few.join(", ")
            ));
        }
        if !free.is_empty() {
            self.notes.push(format!(
                "without costs, so not part of the fleet: {}",
                free.join(", ")
            ));
        }
        if !self.has_costs && !self.members.is_empty() {
            self.notes
                .push("no costs are known: the report has no figures of cost".into());
        }
    }
}

fn member(
    name: &str,
    id: Option<ModelId>,
    count: usize,
    policy: Option<&Policy>,
    benchmarks: &Benchmarks,
) -> Member {
    let stated = id.and_then(|id| policy?.registry.model(id));
    let (ability_source, ability) = match (stated, benchmarks.find(name)) {
        (Some(model), _) => (AbilitySource::Policy, model.ability),
        (None, Some((known, ability))) => (AbilitySource::Published(known), ability),
        (None, None) => (AbilitySource::Average, Ability::typical(0.0)),
    };
    Member {
        name: name.to_owned(),
        id,
        ability_source,
        ability,
        price: None,
        count,
        taken: false,
    }
}

fn find<'r>(row: &'r ScoredPrompt, name: &str) -> Option<&'r Outcome> {
    let at = row
        .outcomes
        .binary_search_by(|(own, _)| own.as_str().cmp(name));
    at.ok()
        .and_then(|at| row.outcomes.get(at))
        .map(|(_, outcome)| outcome)
}

/// The cost of an outcome: as stated, else its tokens at its own price or at `price`; tokens that are not counted are estimated.
fn paid(outcome: &Outcome, row: &ScoredPrompt, price: Option<[f64; 2]>) -> Option<f64> {
    outcome.cost.or_else(|| {
        let price = outcome.price.or(price)?;
        let input = outcome.input_tokens.unwrap_or(f64::from(row.input_tokens));
        let output = outcome
            .output_tokens
            .unwrap_or(f64::from(row.classification.output_tokens));
        Some(expected(price, input, output))
    })
}

fn expected([input, output]: [f64; 2], input_tokens: f64, output_tokens: f64) -> f64 {
    (input * input_tokens + output * output_tokens) / 1e6
}

/// Prices of input and output, neither negative, with the least squared error over rows of input tokens, output tokens and
/// millionths of cost. `None` of nothing.
fn fit_price(rows: &[[f64; 3]]) -> Option<[f64; 2]> {
    let sum = |left: usize, right: usize| -> f64 {
        rows.iter()
            .filter_map(|row| Some(row.get(left)? * row.get(right)?))
            .sum()
    };
    let (ii, oo, io, ic, oc) = (sum(0, 0), sum(1, 1), sum(0, 1), sum(0, 2), sum(1, 2));
    if rows.is_empty() {
        return None;
    }
    let determinant = ii * oo - io * io;
    if determinant > 1e-6 * ii * oo {
        let prices = [
            (ic * oo - oc * io) / determinant,
            (oc * ii - ic * io) / determinant,
        ];
        if prices.iter().all(|price| *price >= 0.0) {
            return Some(prices);
        }
    }
    // One of the two explains everything: the one that leaves the smaller error.
    let cost: f64 = rows.iter().map(|row| row[2]).sum();
    let alone = |at: usize, own: f64, with: f64| {
        let tokens: f64 = rows.iter().filter_map(|row| row.get(at)).sum();
        (
            if own > 0.0 { with * with / own } else { -1.0 },
            cost / tokens.max(1e-12),
        )
    };
    let (input, output) = (alone(0, ii, ic), alone(1, oo, oc));
    Some(if input.0 > output.0 {
        [input.1, 0.0]
    } else {
        [0.0, output.1]
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_found_in_costs() {
        let rows = [
            [100.0, 10.0, 230.0],
            [50.0, 40.0, 220.0],
            [10.0, 10.0, 50.0],
        ];
        let [input, output] = fit_price(&rows).unwrap();
        assert!((input - 2.0).abs() < 1e-9 && (output - 3.0).abs() < 1e-9);
        assert_eq!(fit_price(&[]), None);
    }

    #[test]
    fn prices_are_never_negative_and_keep_the_sum() {
        let [input, output] =
            fit_price(&[[100.0, 1.0, 10.0], [10.0, 100.0, 5.0], [1.0, 200.0, 1.0]]).unwrap();
        assert!(input >= 0.0 && output >= 0.0);
        let rows = [[100.0, 10.0, 500.0], [200.0, 20.0, 1000.0]];
        let [input, output] = fit_price(&rows).unwrap();
        let total: f64 = rows
            .iter()
            .map(|row| row[0] * input + row[1] * output)
            .sum();
        assert!((total - 1500.0).abs() < 1e-6);
    }
}
