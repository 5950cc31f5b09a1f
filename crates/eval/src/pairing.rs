//! Two models of a file: which they are, what ranks the prompts between them, and the figures of that.

use crate::error::Error;
use crate::figures::{Curves, PairFigures, PairRows, Pool};
use crate::fleet::{AbilitySource, Fleet, ModelOutcome};
use crate::pooling::pool;
use crate::scored::ScoredPrompt;
use crate::sweep::Table;

/// Weight of the gap between two models' P(correct) relative to `gain`, which is a z-score: see docs/eval.md.
const GAP_WEIGHT: f64 = 8.0;

/// A pair and its figures.
#[derive(Debug, Clone)]
pub struct PairReport {
    /// The weak model.
    pub weak: String,
    /// The strong model.
    pub strong: String,
    /// The score that ranks the prompts.
    pub scorer: String,
    /// The figures.
    pub figures: PairFigures,
    /// Cost and quality of routing between the two; `None` without costs.
    pub curves: Option<Curves>,
    /// The rows, to be pooled.
    pub rows: PairRows,
    /// The rows of its curves, to be pooled.
    pub pool: Pool,
}

/// The pair that was asked for, or the cheapest and the best model.
pub fn pair(
    fleet: &Fleet,
    rows: &[ScoredPrompt],
    table: &Table<'_>,
    wanted: Option<&(String, String)>,
    notes: &mut Vec<String>,
) -> Option<PairReport> {
    let (weak, strong) = match wanted {
        Some((weak, strong)) => {
            let find = |name: &str| fleet.members.iter().position(|member| member.name == *name);
            let (Some(weak), Some(strong)) = (find(weak), find(strong)) else {
                notes.push(format!(
                    "has no outcomes of both {weak} and {strong}: no pair"
                ));
                return None;
            };
            (weak, strong)
        }
        None => chosen_pair(fleet, table, notes)?,
    };
    let narrowed = narrowed(fleet, weak, strong);
    let (weak_member, strong_member) = (fleet.members.get(weak)?, fleet.members.get(strong)?);
    let is_known = |source: &AbilitySource| {
        matches!(source, AbilitySource::Policy | AbilitySource::Published(_))
    };
    let gap_weight =
        if is_known(&weak_member.ability_source) && is_known(&strong_member.ability_source) {
            GAP_WEIGHT
        } else {
            0.0
        };
    let pair_rows = ranked(&narrowed, rows, weak, strong, gap_weight);
    let figures = pair_rows.figures()?;
    if figures.curve.strong <= figures.curve.weak {
        notes.push(format!(
            "{} is not better than {} here: there is no gap to recover",
            strong_member.name, weak_member.name
        ));
    }
    let pair_table = Table::try_new(&narrowed, rows)?;
    let costs = fleet.has_costs && weak_member.price.is_some() && strong_member.price.is_some();
    let pool = if costs {
        pool(&pair_table, None).0
    } else {
        Pool::default()
    };
    Some(PairReport {
        weak: weak_member.name.clone(),
        strong: strong_member.name.clone(),
        scorer: if gap_weight > 0.0 {
            format!("gain + {GAP_WEIGHT} · (P(strong) − P(weak))")
        } else {
            "gain".into()
        },
        figures,
        curves: costs.then(|| pool.figures()),
        rows: pair_rows,
        pool,
    })
}

fn chosen_pair(
    fleet: &Fleet,
    table: &Table<'_>,
    notes: &mut Vec<String>,
) -> Option<(usize, usize)> {
    let quality = |at: usize| table.means.get(at).map_or(0.0, |mean| mean[1]);
    let weak = if fleet.has_costs {
        table.cheapest
    } else {
        (0..table.taken.len()).min_by(|left, right| quality(*left).total_cmp(&quality(*right)))?
    };
    if table.taken.len() < 2 {
        notes.push("has one model: no pair".into());
        return None;
    }
    if weak == table.best {
        notes.push("the cheapest model is also the best one: no pair, and nothing to save".into());
        return None;
    }
    let (weak, strong) = (*table.taken.get(weak)?, *table.taken.get(table.best)?);
    let name = |at: usize| {
        fleet
            .members
            .get(at)
            .map_or("", |member| member.name.as_str())
    };
    let which = if fleet.has_costs {
        "cheapest"
    } else {
        "weakest"
    };
    notes.push(format!(
        "pair chosen: the {which} model {} and the best one {}",
        name(weak),
        name(strong)
    ));
    Some((weak, strong))
}

fn both(
    fleet: &Fleet,
    row: usize,
    weak: usize,
    strong: usize,
) -> Option<(ModelOutcome, ModelOutcome)> {
    let outcomes = fleet.outcomes.get(row)?;
    Some(((*outcomes.get(weak)?)?, (*outcomes.get(strong)?)?))
}

/// The fleet of the two alone, with the rows that both have an outcome of.
pub fn narrowed(fleet: &Fleet, weak: usize, strong: usize) -> Fleet {
    let mut narrowed = Fleet {
        members: fleet.members.clone(),
        outcomes: fleet.outcomes.clone(),
        complete: (0..fleet.outcomes.len())
            .filter(|row| both(fleet, *row, weak, strong).is_some())
            .collect(),
        has_costs: fleet.has_costs,
        notes: Vec::new(),
    };
    for (at, member) in narrowed.members.iter_mut().enumerate() {
        member.taken = at == weak || at == strong;
    }
    narrowed
}

/// The rows of the two with what ranks them.
fn ranked(
    fleet: &Fleet,
    rows: &[ScoredPrompt],
    weak: usize,
    strong: usize,
    gap_weight: f64,
) -> PairRows {
    let mut ranked = PairRows::default();
    for row in &fleet.complete {
        if let (Some((left, right)), Some(prompt)) =
            (both(fleet, *row, weak, strong), rows.get(*row))
        {
            ranked
                .score
                .push(f64::from(prompt.classification.gain) + gap_weight * (right.p - left.p));
            ranked.weak.push(left.score);
            ranked.strong.push(right.score);
        }
    }
    ranked
}

/// The two models that `pair` names. A name may hold colons itself, so every place to part it is tried.
///
/// # Errors
/// [`Error::Input`] if it names no two of the models in `rows`.
pub fn find_pair<'r>(
    pair: &str,
    rows: impl Iterator<Item = &'r ScoredPrompt>,
) -> Result<(String, String), Error> {
    let mut names: Vec<&str> = rows
        .flat_map(|row| &row.outcomes)
        .map(|(name, _)| name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    let find = |written: &str| {
        names
            .iter()
            .find(|name| **name == written)
            .or_else(|| names.iter().find(|name| same(name, written)))
    };
    let colons = pair.match_indices(':').map(|(at, _)| at);
    let parted = colons.filter_map(|at| Some((pair.get(..at)?, pair.get(at + 1..)?)));
    let parted: Vec<(&str, &str)> = parted.collect();
    for (weak, strong) in &parted {
        if let (Some(weak), Some(strong)) = (find(weak), find(strong)) {
            if weak == strong {
                return Err(Error::Input(format!("--pair names `{weak}` twice")));
            }
            return Ok(((*weak).to_owned(), (*strong).to_owned()));
        }
    }
    if parted.is_empty() {
        return Err(Error::Input(format!(
            "--pair is `{pair}`: expected WEAK:STRONG"
        )));
    }
    Err(Error::Input(format!(
        "--pair is `{pair}`: the outcomes are of {}",
        if names.is_empty() {
            "no model".to_owned()
        } else {
            names.join(", ")
        }
    )))
}

/// Whether two spellings mean one model.
fn same(left: &str, right: &str) -> bool {
    use pointsman::fleet::ability::published_scores::names::canonical;
    canonical(left) == canonical(right)
}
