//! Savings of routing between two models, over every two of a file of which one costs far less: by how far the cheap one is behind.
//!
//! A saving means little without the gap that it was made over: between equal models everything can be saved, and where the cheap
//! one is ten points behind hardly anything. So this stands next to the figures of the one pair and of the whole fleet.

use crate::figures::Pool;
use crate::fleet::Fleet;
use crate::measure::bootstrap::middle;
use crate::measure::mean;
use crate::pairing::narrowed;
use crate::pooling::trace;
use crate::scored::ScoredPrompt;
use crate::sweep::{Strategy, Table};

/// The most that the cheap model of a pair costs, as a share of the other's cost: above it there is little to save.
pub const FAR_CHEAPER: f64 = 1.0 / 3.0;
/// Names of the classes, and the points (hundredths of a score) behind which the next one begins.
const CLASSES: [(&str, f64); 4] = [
    ("0 to 3", 3.0),
    ("3 to 5", 5.0),
    ("5 to 8", 8.0),
    ("over 8", f64::INFINITY),
];
/// Gaps, in points, over which the saving is compared with that of random mixing: below, random mixing saves most of it too.
const COMPARED: [f64; 2] = [3.0, 12.0];

/// Savings between two models at −1.2 points against the dear one alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Saved {
    /// How many points the cheap model is behind.
    pub gap: f64,
    /// Share saved by the router's own way ([`Strategy::Utility`]).
    pub router: f64,
    /// By sending a share of the requests, drawn at random, to the cheap one.
    pub random: f64,
    /// By who knows every outcome.
    pub oracle: f64,
}

/// The pairs of a class, each counting once.
#[derive(Debug, Clone, PartialEq)]
pub struct Class {
    /// How many points the cheap model is behind.
    pub behind: &'static str,
    /// How many pairs there are.
    pub count: usize,
    /// Mean over pairs; of each of the three ways.
    pub router: f64,
    /// Between which the middle four fifths of the pairs lie.
    pub router_range: [f64; 2],
    /// See [`Saved::random`].
    pub random: f64,
    /// See [`Saved::oracle`].
    pub oracle: f64,
}

/// Every two members of `fleet` of which the better costs at least three times as much.
pub fn pairs(fleet: &Fleet, rows: &[ScoredPrompt]) -> Vec<Saved> {
    let taken = fleet.taken();
    let mut all = Vec::new();
    if !fleet.has_costs {
        return all;
    }
    for (at, first) in taken.iter().enumerate() {
        for second in taken.iter().skip(at + 1) {
            all.extend(saved_between(fleet, rows, *first, *second));
        }
    }
    all
}

fn saved_between(
    fleet: &Fleet,
    rows: &[ScoredPrompt],
    first: usize,
    second: usize,
) -> Option<Saved> {
    let two = narrowed(fleet, first, second);
    let table = Table::try_new(&two, rows)?;
    let [cheap, best] = [table.cheapest, table.best].map(|at| table.means.get(at).copied());
    let ([cheap_cost, cheap_score], [best_cost, best_score]) = (cheap?, best?);
    if best_score <= cheap_score || cheap_cost > FAR_CHEAPER * best_cost {
        return None;
    }
    let count = table.rows().count();
    let saved = |strategy: Option<Strategy>| {
        let pool = Pool {
            traces: strategy
                .map(|strategy| trace(&table, &table.choices(strategy, None)))
                .into_iter()
                .collect(),
            cheapest: trace(&table, &[vec![table.cheapest; count]]),
            best: trace(&table, &[vec![table.best; count]]),
            dearest: vec![1.0; count],
        };
        pool.saved_at_loss()
    };
    Some(Saved {
        gap: 100.0 * (best_score - cheap_score),
        router: saved(Some(Strategy::Utility)),
        random: saved(None),
        oracle: saved(Some(Strategy::Oracle)),
    })
}

/// The classes that have a pair.
pub fn classes(pairs: &[Saved]) -> Vec<Class> {
    let mut from = 0.0;
    let mut all = Vec::new();
    for (behind, to) in CLASSES {
        let own: Vec<&Saved> = pairs
            .iter()
            .filter(|pair| pair.gap > from && pair.gap <= to)
            .collect();
        from = to;
        if own.is_empty() {
            continue;
        }
        all.push(Class {
            behind,
            count: own.len(),
            router: mean(own.iter().map(|item| item.router)),
            router_range: middle(own.iter().map(|item| item.router).collect(), 0.8),
            random: mean(own.iter().map(|item| item.random)),
            oracle: mean(own.iter().map(|item| item.oracle)),
        });
    }
    all
}

/// How many times as much the router saves as random mixing, over pairs whose gap is 3 to 12 points; NaN if there is none.
pub fn over_random(pairs: &[Saved]) -> f64 {
    let [from, to] = COMPARED;
    let own = || {
        pairs
            .iter()
            .filter(|pair| pair.gap > from && pair.gap <= to)
    };
    own().map(|item| item.router).sum::<f64>() / own().map(|item| item.random).sum::<f64>()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn saved(gap: f64, router: f64) -> Saved {
        Saved {
            gap,
            router,
            random: 0.2,
            oracle: 0.9,
        }
    }

    #[test]
    fn pairs_are_classed_by_their_gap() {
        let classes = classes(&[saved(1.0, 0.5), saved(3.0, 0.7), saved(9.0, 0.1)]);
        let message: Vec<(&str, usize)> = classes
            .iter()
            .map(|class| (class.behind, class.count))
            .collect();
        assert_eq!(message, [("0 to 3", 2), ("over 8", 1)]);
        assert!((classes[0].router - 0.6).abs() < 1e-12);
        assert!(classes[0].router_range[0] > 0.5 && classes[0].router_range[1] < 0.7);
    }

    #[test]
    fn small_and_large_gaps_are_not_compared_with_random() {
        let pairs = [
            saved(2.0, 0.9),
            saved(4.0, 0.4),
            saved(12.0, 0.2),
            saved(20.0, 0.0),
        ];
        assert!((over_random(&pairs) - 1.5).abs() < 1e-12);
        assert!(over_random(&[]).is_nan());
    }

    #[test]
    fn only_a_far_cheaper_and_weaker_model_makes_a_pair() {
        use crate::benchmarks::Benchmarks;
        use crate::outcomes::Row;
        use crate::scored::Examiner;
        let mut examiner = Examiner::new(None);
        let rows: Vec<ScoredPrompt> = (0..40)
            .map(|at| {
                let (small, large) = (u8::from(at % 5 != 0), u8::from(at % 20 != 0));
                let line = format!(
                    r#"{{"prompt": "What is {at} plus 4?", "models": {{"small": {{"score": {small}, "cost": 0.1}}, "middle": {{"score": {small}, "cost": 0.5}}, "large": {{"score": {large}, "cost": 1}}}}}}"#
                );
                examiner.examine(Row::parse(line.as_bytes()).unwrap())
            })
            .collect();
        let fleet = Fleet::new(&rows, None, &Benchmarks::with(None).unwrap());
        let pairs = pairs(&fleet, &rows);
        // small with large; middle costs too much, and small is as good as middle.
        assert_eq!(pairs.len(), 1);
        assert!((pairs[0].gap - 15.0).abs() < 1e-9);
        assert!((pairs[0].random - 0.9 * 0.012 / 0.15).abs() < 1e-9);
        assert!(pairs[0].oracle >= pairs[0].router && pairs[0].router >= pairs[0].random - 1e-9);
    }
}
