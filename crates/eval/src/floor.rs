//! Chooses the floor of a profile: the least quality that a candidate must have, so that a wanted share of requests goes to the
//! strong model, or a wanted cost or quality is kept. The filter's own selector decides at each floor.

use pointsman::policy::Policy;
use pointsman::policy::profiles::{Limit, Limits, Profile};

use crate::benchmarks::Benchmarks;
use crate::error::Error;
use crate::fleet::Fleet;
use crate::measure::bootstrap::intervals;
use crate::scored::ScoredPrompt;
use crate::sweep::Table;

/// Floors are tried in steps of one over this.
const STEPS: usize = 200;

/// Which limit is the floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Floor {
    /// An absolute one: `min_quality`.
    MinQuality,
    /// One relative to the best candidate: `max_quality_loss`.
    MaxQualityLoss,
}

impl Floor {
    /// The limit of a profile that it is.
    pub fn limit(self) -> Limit {
        match self {
            Floor::MinQuality => Limit::MinQuality,
            Floor::MaxQualityLoss => Limit::MaxQualityLoss,
        }
    }

    /// The limit's number at a step; the higher the step, the stricter.
    fn at(self, step: usize) -> f64 {
        let strict = step as f64 / STEPS as f64;
        match self {
            Floor::MinQuality => strict,
            Floor::MaxQualityLoss => 1.0 - strict,
        }
    }
}

/// The goal of the floor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// The share of requests that go to the strong model.
    StrongShare(f64),
    /// At most this share of what the strong model would cost for all.
    Cost(f64),
    /// At least this mean score.
    Quality(f64),
}

impl Goal {
    /// The number that was asked for.
    pub fn wanted(self) -> f64 {
        let (Goal::StrongShare(wanted) | Goal::Cost(wanted) | Goal::Quality(wanted)) = self;
        wanted
    }

    /// The step whose figures (strong share, cost, quality) meet the goal best.
    fn choose(self, figures: &[[f64; 3]]) -> Option<usize> {
        let steps = figures.iter().enumerate();
        match self {
            Goal::StrongShare(wanted) => steps
                .min_by(|(_, left), (_, right)| {
                    (left[0] - wanted)
                        .abs()
                        .total_cmp(&(right[0] - wanted).abs())
                })
                .map(|(step, _)| step),
            Goal::Cost(most) => steps
                .filter(|(_, one)| one[1] <= most)
                .map(|(step, _)| step)
                .next_back(),
            Goal::Quality(least) => steps
                .filter(|(_, one)| one[2] >= least)
                .min_by(|(_, left), (_, right)| left[1].total_cmp(&right[1]))
                .map(|(step, _)| step),
        }
    }
}

/// A floor that was chosen.
#[derive(Debug)]
pub struct Choice {
    /// The limit's number.
    pub value: f64,
    /// The expected result, in lines for people.
    pub report: Vec<String>,
}

/// Chooses the floor of `profile` for `goal` on `rows`.
///
/// # Errors
/// [`Error::Failed`] if no row can be used or no floor meets the goal; [`Error::Input`] if `strong` is unknown.
pub fn choose(
    policy: &Policy,
    profile: &Profile,
    rows: &[ScoredPrompt],
    goal: Goal,
    floor: Floor,
    strong: Option<&str>,
) -> Result<Choice, Error> {
    let fleet = Fleet::new(rows, Some(policy), &Benchmarks::default());
    let table = Table::try_new(&fleet, rows)
        .ok_or_else(|| Error::Failed("no row has outcomes of the policy's models".into()))?;
    let names: Vec<&str> = table
        .taken
        .iter()
        .filter_map(|at| fleet.members.get(*at).map(|member| member.name.as_str()))
        .collect();
    let strong = strong.map_or(Ok(table.best), |name| find(name, &names))?;
    let runs = run_all(&table, policy, profile, floor, strong);
    let count = fleet.complete.len();
    let figures = |weights: &[f64]| {
        runs.iter()
            .map(|run| run.figures(weights))
            .collect::<Vec<[f64; 3]>>()
    };
    let all = figures(&vec![1.0; count]);
    let step = goal.choose(&all).ok_or_else(|| {
        let without = |profile: &Profile| {
            let runs = run_all(&table, policy, profile, floor, strong);
            let figures = runs.iter().map(|run| run.figures(&vec![1.0; count]));
            goal.choose(&figures.collect::<Vec<_>>()).is_some()
        };
        failed(goal, &all, &obstacle(profile, floor, without))
    })?;
    let bounds = intervals(count, |weights| {
        let drawn = figures(weights);
        let again = goal.choose(&drawn).map_or(f64::NAN, |step| floor.at(step));
        let [share, cost, quality] = drawn.get(step).copied().unwrap_or([f64::NAN; 3]);
        vec![again, share, cost, quality]
    });
    let value = (floor.at(step) * 1e4).round() / 1e4;
    let [share, cost, quality] = all.get(step).copied().unwrap_or([f64::NAN; 3]);
    let line = |name: &str, value: f64, at: usize| {
        let [low, high] = bounds.get(at).copied().unwrap_or([f64::NAN; 2]);
        format!("{name} {value:.3} [{low:.3}, {high:.3}]")
    };
    let mut report = fleet.notes.clone();
    report.push(format!(
        "{count} rows; strong model {}",
        names.get(strong).copied().unwrap_or("")
    ));
    report.push(line(floor.limit().name(), value, 0));
    report.push(line("share of the strong model", share, 1));
    report.push(line("cost, of the strong model for all", cost, 2));
    report.push(line("mean score", quality, 3));
    report.push(
        "brackets hold 95 % intervals; on new traffic, expect quality to differ by about a point"
            .into(),
    );
    Ok(Choice { value, report })
}

fn find(name: &str, names: &[&str]) -> Result<usize, Error> {
    names.iter().position(|own| *own == name).ok_or_else(|| {
        Error::Input(format!(
            "--strong is `{name}`: the outcomes are of {}",
            names.join(", ")
        ))
    })
}

/// The limits that make a goal impossible: those of the profile without any one of which `can_be_met` holds, or none of them.
fn obstacle(profile: &Profile, floor: Floor, can_be_met: impl Fn(&Profile) -> bool) -> String {
    let others = || {
        let stated = profile.limits.stated();
        stated.filter(|(limit, _)| *limit != floor.limit())
    };
    let without = |left_out: Option<Limit>| {
        let kept = others().filter(|(limit, _)| left_out.is_some_and(|out| *limit != out));
        let limits = kept.fold(Limits::NONE, |limits, (limit, value)| {
            limits.with(limit, value)
        });
        can_be_met(&Profile {
            limits,
            ..profile.clone()
        })
    };
    let names: Vec<String> = others()
        .filter(|(limit, _)| without(Some(*limit)))
        .map(|(limit, value)| format!("`{}: {value}`", limit.name()))
        .collect();
    let name = &profile.name;
    if !names.is_empty() {
        let names = names.join(" or ");
        return format!("; {names} of the profile `{name}` stands in the way");
    }
    if others().next().is_some() && without(None) {
        return format!("; the limits of the profile `{name}` together stand in the way");
    }
    "; no limit of the profile stands in the way: the outcomes of the models themselves do not reach it".to_owned()
}

fn failed(goal: Goal, figures: &[[f64; 3]], obstacle: &str) -> Error {
    let most = |at: usize| {
        figures
            .iter()
            .filter_map(|item| item.get(at))
            .copied()
            .fold(f64::NAN, f64::max)
    };
    let least = |at: usize| {
        figures
            .iter()
            .filter_map(|item| item.get(at))
            .copied()
            .fold(f64::NAN, f64::min)
    };
    Error::Failed(match goal {
        Goal::Quality(wanted) => format!(
            "no floor keeps a mean score of {wanted}: the most is {:.3}{obstacle}",
            most(2)
        ),
        Goal::Cost(wanted) => format!(
            "no floor costs at most {wanted} of the strong model: the least is {:.3}{obstacle}",
            least(1)
        ),
        Goal::StrongShare(_) => "there is no row to choose on".into(),
    })
}

/// The result of one floor on the rows.
struct Run {
    strong: Vec<f64>,
    cost: Vec<f64>,
    strong_cost: Vec<f64>,
    quality: Vec<f64>,
}

impl Run {
    /// Share of the strong model, cost in parts of it, mean score.
    fn figures(&self, weights: &[f64]) -> [f64; 3] {
        let sum = |values: &[f64]| {
            values
                .iter()
                .zip(weights)
                .map(|(value, weight)| value * weight)
                .sum::<f64>()
        };
        let total: f64 = weights.iter().sum();
        [
            sum(&self.strong) / total,
            sum(&self.cost) / sum(&self.strong_cost),
            sum(&self.quality) / total,
        ]
    }
}

/// One run for each step of the floor.
fn run_all(
    table: &Table<'_>,
    policy: &Policy,
    profile: &Profile,
    floor: Floor,
    strong: usize,
) -> Vec<Run> {
    let all_strong = vec![strong; table.rows().count()];
    let (strong_cost, _) = table.outcome(&all_strong);
    (0..=STEPS)
        .map(|step| {
            let tried = Profile {
                limits: profile.limits.with(floor.limit(), floor.at(step)),
                ..profile.clone()
            };
            let choices = table.selected(&tried, Some(policy));
            let (cost, quality) = table.outcome(&choices);
            Run {
                strong: choices
                    .iter()
                    .map(|choice| f64::from(u8::from(*choice == strong)))
                    .collect(),
                cost,
                strong_cost: strong_cost.clone(),
                quality,
            }
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::outcomes::Row;
    use crate::scored::Examiner;
    use serde_json::json;

    const POLICY: &str = r#"{"models": [
      {"name": "small", "benchmarks": {"mmlu": 0.5}}, {"name": "large", "benchmarks": {"mmlu": 0.88}}],
     "backends": [
      {"name": "a", "model": "small", "price": {"input": 1, "output": 1}},
      {"name": "b", "model": "large", "price": {"input": 10, "output": 10}}],
     "profiles": {"save": {"weights": {"cost": 1}}}}"#;

    /// Forty prompts, half of them plain; the small model is right on those.
    fn rows() -> Vec<ScoredPrompt> {
        let mut examiner = Examiner::new(None);
        let hard = "Prove that every finite group of odd order is solvable, and bound the derived length in terms of the number of prime factors";
        (0..40)
            .map(|at| {
                let (prompt, small) = if at % 2 == 0 { (format!("hi, number {at}"), 1) } else { (format!("{hard} ({at})"), 0) };
                let line = json!({"prompt": prompt, "models": {"small": {"score": small, "cost": 1}, "large": {"score": 1, "cost": 10}}});
                examiner.examine(Row::parse(line.to_string().as_bytes()).unwrap())
            })
            .collect()
    }

    fn choose_for(goal: Goal, floor: Floor) -> Result<Choice, Error> {
        let policy = Policy::compile(POLICY).unwrap();
        choose(
            &policy,
            policy.find_profile("save").unwrap(),
            &rows(),
            goal,
            floor,
            None,
        )
    }

    #[test]
    fn a_floor_parts_easy_from_hard() {
        for floor in [Floor::MinQuality, Floor::MaxQualityLoss] {
            let choice = choose_for(Goal::StrongShare(0.5), floor).unwrap();
            assert!(
                choice
                    .report
                    .iter()
                    .any(|line| line.starts_with("share of the strong model 0.500")),
                "{:?}",
                choice.report
            );
            let choice = choose_for(Goal::Quality(1.0), floor).unwrap();
            assert!(
                choice
                    .report
                    .iter()
                    .any(|line| line.starts_with("cost, of the strong model for all 0.550")),
                "{:?}",
                choice.report
            );
            let choice = choose_for(Goal::Cost(0.6), floor).unwrap();
            assert!(
                choice
                    .report
                    .iter()
                    .any(|line| line.starts_with("mean score 1.000")),
                "{:?}",
                choice.report
            );
        }
    }

    #[test]
    fn an_unreachable_goal_is_an_error() {
        let error = choose_for(Goal::Cost(0.05), Floor::MinQuality).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no floor costs at most 0.05 of the strong model: the least is 0.100; no limit of the profile stands in the way: \
             the outcomes of the models themselves do not reach it"
        );
    }

    #[test]
    fn the_limit_that_makes_a_goal_impossible_is_named() {
        let policy = Policy::compile(POLICY).unwrap();
        let profile = policy.find_profile("save").unwrap();
        let limits = profile.limits.with(Limit::MaxQualityLoss, 0.0);
        let strict = Profile {
            limits: limits.with(Limit::MaxP99Ms, 86_000_000.0),
            ..profile.clone()
        };
        let error = choose(
            &policy,
            &strict,
            &rows(),
            Goal::Cost(0.2),
            Floor::MinQuality,
            None,
        );
        let text = error.unwrap_err().to_string();
        assert!(
            text.ends_with("; `max_quality_loss: 0` of the profile `save` stands in the way"),
            "{text}"
        );
    }
}
