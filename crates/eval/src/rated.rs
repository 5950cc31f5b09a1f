//! Figures on rated rows: how near the classifier comes to what a rater forecast of four classes of model, of the answer's length,
//! its task and its subject.

use pointsman::fleet::ModelId;
use pointsman::policy::Policy;

use crate::fleet::Fleet;
use crate::measure::mean;
use crate::measure::probability::{bins, ece};
use crate::outcomes::row::CLASSES;
use crate::scored::{ScoredPrompt, find_model};

/// A prompt is easy if the rater gives class m (8B) at least this probability.
const EASY: f64 = 0.93;
/// A smaller class may be above a bigger one by so much before it counts.
const TOLERATED: f64 = 0.02;

/// Probabilities of one class of model.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassFigures {
    /// The class as `rated` names it: `s`, `m`, `l` or `xl`.
    pub class: &'static str,
    /// Mean distance between the expected and the rated probability.
    pub mean_abs: f64,
    /// Expected calibration error.
    pub ece: f64,
}

/// Labels that are as the rater set them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Labels {
    /// How many rows.
    pub count: usize,
    /// Share of them with the right task.
    pub task: f64,
    /// Share of them with the right domain.
    pub domain: f64,
}

/// Easy prompts of one profile.
#[derive(Debug, Clone, PartialEq)]
pub struct EasyPrompts {
    /// The profile.
    pub profile: String,
    /// How many prompts are easy.
    pub count: usize,
    /// Share of them that it sends to class s or m.
    pub small: f64,
    /// Share of them that it sends to class xl.
    pub largest: f64,
}

/// The figures of all rated rows of a file. A figure that cannot be computed is NaN.
#[derive(Debug, Clone, PartialEq)]
pub struct RatedFigures {
    /// How many rows are rated in all four classes.
    pub count: usize,
    /// Spearman's rank correlation of the mean expected with the mean rated probability.
    pub spearman: f64,
    /// The classes, the smallest first.
    pub classes: Vec<ClassFigures>,
    /// Share of the rows whose expected answer length is within a factor of two of the rated one.
    pub tokens_within_2: f64,
    /// Geometric mean of expected over rated length.
    pub tokens_ratio: f64,
    /// Labels of all rows.
    pub labels: Labels,
    /// Labels of the rows in other languages than English.
    pub other_languages: Labels,
    /// Rows on which a smaller class is above a bigger one by more than 0.02.
    pub smaller_above_bigger: usize,
    /// Where each profile sends easy prompts; empty without a policy.
    pub easy: Vec<EasyPrompts>,
}

/// One rated row: expected and rated probabilities by class, the smallest class first.
struct RatedRow<'r> {
    expected: [f64; 4],
    rated: [f64; 4],
    row: &'r ScoredPrompt,
}

/// The figures of the rated rows; `None` if no row is rated in all four classes.
pub fn figures(
    fleet: &Fleet,
    rows: &[ScoredPrompt],
    policy: Option<&Policy>,
) -> Option<RatedFigures> {
    let rated = rated_rows(fleet, rows);
    if rated.is_empty() {
        return None;
    }
    let ease = |of: fn(&RatedRow<'_>) -> [f64; 4]| -> Vec<f64> {
        rated.iter().map(|row| of(row).iter().sum()).collect()
    };
    let logs: Vec<f64> = rated.iter().filter_map(|row| log_ratio(row.row)).collect();
    let classes = CLASSES.iter().enumerate().map(|(at, (class, _))| {
        let pair = |row: &RatedRow<'_>| {
            let value = |values: &[f64; 4]| values.get(at).copied().unwrap_or(f64::NAN);
            (value(&row.expected), value(&row.rated))
        };
        let distances = rated.iter().map(pair).map(|(p, score)| (p - score).abs());
        ClassFigures {
            class,
            mean_abs: mean(distances),
            ece: ece(&bins(
                rated.iter().map(pair).map(|(p, score)| (p, score, 1.0)),
            )),
        }
    });
    let falls = |row: &&RatedRow<'_>| {
        let steps = row.expected.windows(2);
        steps
            .filter_map(|pair| Some(pair.first()? - pair.last()?))
            .any(|fall| fall > TOLERATED)
    };
    Some(RatedFigures {
        count: rated.len(),
        spearman: spearman(&ease(|row| row.expected), &ease(|row| row.rated)),
        classes: classes.collect(),
        tokens_within_2: mean(
            logs.iter()
                .map(|log| f64::from(u8::from(log.abs() < 2.0_f64.ln()))),
        ),
        tokens_ratio: mean(logs.iter().copied()).exp(),
        labels: labels(rated.iter().map(|row| row.row)),
        other_languages: labels(
            rated
                .iter()
                .map(|row| row.row)
                .filter(|row| !matches!(row.lang.as_str(), "" | "en")),
        ),
        smaller_above_bigger: rated.iter().filter(falls).count(),
        easy: policy.map_or_else(Vec::new, |policy| easy(policy, &rated)),
    })
}

fn rated_rows<'r>(fleet: &Fleet, rows: &'r [ScoredPrompt]) -> Vec<RatedRow<'r>> {
    let members =
        CLASSES.map(|(_, name)| fleet.members.iter().position(|member| member.name == name));
    let outcomes = |at: usize| {
        let of_row = fleet.outcomes.get(at)?;
        let mut expected = [f64::NAN; 4];
        let mut rated = [f64::NAN; 4];
        for ((member, p), score) in members.iter().zip(&mut expected).zip(&mut rated) {
            let outcome = of_row.get((*member)?).copied().flatten()?;
            (*p, *score) = (outcome.p, outcome.score);
        }
        Some((expected, rated))
    };
    rows.iter()
        .enumerate()
        .filter(|(_, row)| row.is_rated)
        .filter_map(|(at, row)| {
            let (expected, rated) = outcomes(at)?;
            Some(RatedRow {
                expected,
                rated,
                row,
            })
        })
        .collect()
}

/// ln(expected / rated tokens); `None` without rated tokens.
fn log_ratio(row: &ScoredPrompt) -> Option<f64> {
    let rated = row
        .outcomes
        .iter()
        .find_map(|(_, outcome)| outcome.output_tokens)?;
    (rated > 0.0).then(|| (f64::from(row.classification.output_tokens) / rated).ln())
}

fn labels<'r>(rows: impl Iterator<Item = &'r ScoredPrompt>) -> Labels {
    let (mut count, mut task, mut domain) = (0, 0, 0);
    for row in rows {
        count += 1;
        task += usize::from(row.task == row.classification.task.name());
        domain += usize::from(row.domain == row.classification.domain.name());
    }
    Labels {
        count,
        task: task as f64 / count as f64,
        domain: domain as f64 / count as f64,
    }
}

fn easy(policy: &Policy, rated: &[RatedRow<'_>]) -> Vec<EasyPrompts> {
    let [s, m, _, xl] = CLASSES.map(|(_, name)| find_model(policy, name));
    let is_easy = |row: &&RatedRow<'_>| {
        let [_, of_m, ..] = row.rated;
        of_m >= EASY
    };
    let prompts: Vec<&RatedRow<'_>> = rated.iter().filter(is_easy).collect();
    let share = |at: usize, models: &[Option<ModelId>]| {
        let hit = |row: &&RatedRow<'_>| {
            let chosen = row.row.routed.get(at).copied().flatten();
            chosen.is_some() && models.contains(&chosen)
        };
        mean(prompts.iter().map(|row| f64::from(u8::from(hit(row)))))
    };
    let profiles = policy.profiles.iter().enumerate();
    profiles
        .map(|(at, profile)| EasyPrompts {
            profile: profile.name.clone(),
            count: prompts.len(),
            small: share(at, &[s, m]),
            largest: share(at, &[xl]),
        })
        .collect()
}

/// Spearman's rank correlation; ties share the mean of their ranks. NaN if either list is constant.
pub fn spearman(left: &[f64], right: &[f64]) -> f64 {
    let (left, right) = (ranks(left), ranks(right));
    let centre = mean(left.iter().copied());
    let product = |a: &[f64], b: &[f64]| {
        a.iter()
            .zip(b)
            .map(|(a, b)| (a - centre) * (b - centre))
            .sum::<f64>()
    };
    product(&left, &right) / (product(&left, &left) * product(&right, &right)).sqrt()
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<(usize, f64)> = values.iter().copied().enumerate().collect();
    order.sort_by(|left, right| left.1.total_cmp(&right.1));
    let mut ranks = vec![0.0; values.len()];
    let mut below = 0;
    for ties in order.chunk_by(|left, right| left.1 == right.1) {
        let rank = below as f64 + (ties.len() as f64 - 1.0) / 2.0;
        for (at, _) in ties {
            if let Some(slot) = ranks.get_mut(*at) {
                *slot = rank;
            }
        }
        below += ties.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::benchmarks::Benchmarks;
    use crate::outcomes::Row;
    use crate::scored::Examiner;

    const POLICY: &str = include_str!("../../../models/train/everyday-policy.json");

    #[test]
    fn rated_rows_are_compared_with_what_the_classifier_says() {
        let lines = [
            r#"{"prompt": "hi, anyone there?", "lang": "en", "task_type": "chat", "domain": "general", "rated": {"s": 0.95, "m": 0.99, "l": 0.99, "xl": 0.99}, "rated_tokens": 12}"#,
            r#"{"prompt": "Demuestra los teoremas de Sylow.", "lang": "es", "task_type": "math", "domain": "mathematics", "rated": {"s": 0.02, "m": 0.2, "l": 0.7, "xl": 0.85}, "rated_tokens": 900}"#,
            r#"{"prompt": "2+2?", "models": {"gpt-4.1": 1.0}}"#,
        ];
        let policy = Policy::compile(POLICY).unwrap();
        let mut examiner = Examiner::new(Some(&policy));
        let rows: Vec<ScoredPrompt> = lines
            .iter()
            .map(|line| examiner.examine(Row::parse(line.as_bytes()).unwrap()))
            .collect();
        let benchmarks = Benchmarks::default();
        let fleet = Fleet::new(&rows, Some(&policy), &benchmarks);
        let found = figures(&fleet, &rows, Some(&policy)).unwrap();
        // The third row is measured, not rated.
        assert_eq!(found.count, 2);
        assert_eq!(found.spearman, 1.0);
        assert_eq!(found.other_languages.count, 1);
        let is_right = rows[1].classification.task.name() == "math";
        assert_eq!(found.other_languages.task, f64::from(u8::from(is_right)));
        assert_eq!(found.smaller_above_bigger, 0);
        let classes: Vec<&str> = found.classes.iter().map(|class| class.class).collect();
        assert_eq!(classes, ["s", "m", "l", "xl"]);
        // Of both rows the 8B model is expected to be neither as good as rated nor far from it.
        assert!(found.classes.iter().all(|class| class.mean_abs < 0.5));
        let auto = found.easy.iter().find(|easy| easy.profile == "auto");
        assert_eq!(auto.unwrap().count, 1);
        assert!(figures(&Fleet::new(&[], None, &benchmarks), &[], None).is_none());
    }

    #[test]
    fn spearman_by_hand() {
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[10.0, 20.0, 300.0]), 1.0);
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), -1.0);
        // Ranks 0.5, 0.5, 2 against 0, 1, 2: 1.5 / sqrt(1.5 * 2).
        let tied = spearman(&[1.0, 1.0, 5.0], &[1.0, 2.0, 3.0]);
        assert!((tied - 1.5 / 3.0_f64.sqrt()).abs() < 1e-12, "{tied}");
        assert!(spearman(&[1.0, 1.0], &[1.0, 2.0]).is_nan());
    }
}
