//! The contribution of a judge to the router: its recorded or simulated grades are replayed on the rows that the filter would ask about.
//!
//! The value of a question, the shift by a grade and the share of the questions are the core's own. Grades stand in the rows
//! (`judge`); of rated rows without one they are simulated: the rated ease with an error of so many logits, drawn several times.

mod replay;

use pointsman::policy::Policy;
use pointsman::policy::judge::Judge;

use crate::fleet::{Fleet, ModelOutcome};
use crate::measure::mean;
use crate::scored::ScoredPrompt;
use crate::sweep::{Strategy, Table};
use replay::{Choice, Replay};

/// Draws of the error of simulated grades, unless another number is stated.
pub const DRAWS: u64 = 8;

/// How a judge is replayed.
#[derive(Debug, Clone)]
pub struct JudgeSetting {
    /// Its share and its evidence.
    pub judge: Judge,
    /// The standard deviation of the error of simulated grades, in logits.
    pub noise: f64,
    /// How many such errors are drawn for each row.
    pub draws: u64,
}

/// A figure over several draws of the judge's error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Its mean; NaN if it cannot be computed.
    pub mean: f64,
    /// Its standard deviation between draws; 0 of a single one.
    pub deviation: f64,
}

impl Spread {
    fn new(draws: &[f64]) -> Spread {
        let centre = mean(draws.iter().copied());
        let square = |draw: &f64| (draw - centre) * (draw - centre);
        let freedom = draws.len().saturating_sub(1).max(1) as f64;
        Spread {
            mean: centre,
            deviation: (draws.iter().map(square).sum::<f64>() / freedom).sqrt(),
        }
    }
}

/// Figures at one share of questions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Asked {
    /// The share of the rows that is asked about, at the knob's operating point.
    pub share: f64,
    /// Share of the best model's cost that is saved at −1.2 points.
    pub at_loss: Spread,
    /// The mean gain of a question at the operating point, in points of quality less cost at its price.
    pub gain: f64,
}

/// The effect of the judge on a router with one knob.
#[derive(Debug, Clone, PartialEq)]
pub struct KnobAsked {
    /// The router.
    pub strategy: Strategy,
    /// The first stage alone.
    pub nobody: Asked,
    /// As the filter asks.
    pub valuable: Asked,
    /// As many, drawn at random.
    pub random: Asked,
    /// All.
    pub everybody: Asked,
}

impl KnobAsked {
    /// How many times as much a question gains as one about a random row.
    pub fn times_random(&self) -> f64 {
        self.valuable.gain / self.random.gain
    }
}

/// The effect of the judge on one profile.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileAsked {
    /// The profile.
    pub name: String,
    /// The share of the rows that it asks about.
    pub share: f64,
    /// Mean cost in units of the best model's: without the judge, as the filter asks, and if it were asked about everything.
    pub cost: [f64; 3],
    /// Mean score: without the judge, as the filter asks, and if it were asked about everything.
    pub quality: [f64; 3],
    /// How many times as much a question gains as one about a random row.
    pub times_random: f64,
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
    /// How many such errors were drawn for each row; figures are means over them.
    pub draws: u64,
    /// The largest share that may be asked about.
    pub max_share: f64,
    /// The quality that costs as much as the best model does: the exchange of the classifier alone at −1.2 points. Gains are counted
    /// at this price.
    pub price: f64,
    /// The router by each knob.
    pub knobs: Vec<KnobAsked>,
    /// The policy's profiles; empty without a policy.
    pub profiles: Vec<ProfileAsked>,
}

/// The knobs: the difference of quality and cost, and the filter's own objective.
const KNOBS: [Strategy; 2] = [Strategy::Utility, Strategy::Weights];

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
    let complete = || table.rows().map(|(_, row)| row);
    let grades = complete().filter_map(|row| row.grade(setting.noise, 0));
    let kinds: Vec<bool> = grades.map(|(_, simulated)| simulated).collect();
    if kinds.is_empty() {
        return None;
    }
    let simulated = kinds.iter().filter(|simulated| **simulated).count();
    // Recorded grades have no error to draw.
    let draws = if simulated == 0 { 1 } else { setting.draws };
    let replay = Replay::new(fleet, &table, setting, draws, policy, made_up?);
    let mut price = f64::NAN;
    let knob = |strategy: Strategy| {
        let steps = replay.steps(strategy);
        if price.is_nan() {
            price = replay.exchange(&steps);
        }
        let asked = |choice| replay.asked(&steps, choice, price);
        let valuable = asked(Choice::Valuable);
        KnobAsked {
            strategy,
            nobody: asked(Choice::Nobody),
            valuable,
            random: asked(Choice::Random((valuable.share * 1000.0).round() as u64)),
            everybody: asked(Choice::Everybody),
        }
    };
    let knobs = KNOBS.map(knob).into();
    Some(JudgeFigures {
        count: kinds.len(),
        simulated,
        noise: setting.noise,
        draws,
        max_share: setting.judge.max_share,
        price,
        knobs,
        profiles: policy.map_or_else(Vec::new, |policy| profiles(fleet, &table, policy, price)),
    })
}

/// Cost and score of one row under a profile: without the judge, and for each draw with its grade.
struct ProfileRow {
    asked: bool,
    before: [f64; 2],
    after: Vec<[f64; 2]>,
}

impl ProfileRow {
    fn new(
        outcomes: &[ModelOutcome],
        row: &ScoredPrompt,
        profile: usize,
        place: &impl Fn(&pointsman::fleet::ModelId) -> Option<usize>,
        unit: f64,
    ) -> Option<ProfileRow> {
        let of = |id: &Option<pointsman::fleet::ModelId>| {
            let outcome = outcomes.get(place(id.as_ref()?)?)?;
            Some([outcome.cost / unit, outcome.score])
        };
        let judged = row.judged.get(profile)?;
        let after: Option<Vec<[f64; 2]>> = judged.models.iter().map(of).collect();
        Some(ProfileRow {
            asked: judged.asked,
            before: of(row.routed.get(profile)?)?,
            after: after.filter(|after| !after.is_empty())?,
        })
    }

    /// Mean cost and score over the draws.
    fn graded(&self) -> [f64; 2] {
        [0, 1].map(|at| mean(self.after.iter().filter_map(|own| own.get(at).copied())))
    }

    fn as_asked(&self) -> [f64; 2] {
        match self.asked {
            true => self.graded(),
            false => self.before,
        }
    }
}

/// Cost and score of each profile without the judge, with it and with a grade of everything, on the complete rows that it routes and
/// that have a grade.
fn profiles(fleet: &Fleet, table: &Table<'_>, policy: &Policy, price: f64) -> Vec<ProfileAsked> {
    let unit = table.unit();
    let place = |id: &pointsman::fleet::ModelId| {
        let is = |at: &usize| {
            fleet
                .members
                .get(*at)
                .is_some_and(|own| own.id == Some(*id))
        };
        table.taken.iter().position(is)
    };
    let line = |(index, name): (usize, &str)| {
        let rows = table.rows();
        let all: Vec<ProfileRow> = rows
            .filter_map(|(outcomes, row)| ProfileRow::new(&outcomes, row, index, &place, unit))
            .collect();
        let ways: [fn(&ProfileRow) -> [f64; 2]; 3] =
            [|row| row.before, ProfileRow::as_asked, ProfileRow::graded];
        let means = |at: usize| {
            ways.map(|way| mean(all.iter().filter_map(|row| way(row).get(at).copied())))
        };
        let (cost, quality) = (means(0), means(1));
        let [none, asked, every] = [0, 1, 2].map(|at| {
            let both = quality.get(at).zip(cost.get(at));
            both.map_or(f64::NAN, |(quality, cost)| quality - price * cost)
        });
        let share = mean(all.iter().map(|row| f64::from(u8::from(row.asked))));
        ProfileAsked {
            name: name.to_owned(),
            share,
            cost,
            quality,
            times_random: (asked - none) / share / (every - none),
        }
    };
    let names = policy.profiles.iter().map(|profile| profile.name.as_str());
    names.enumerate().map(line).collect()
}

#[cfg(test)]
mod tests;
