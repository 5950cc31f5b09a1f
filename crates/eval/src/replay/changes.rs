//! The decisions that change: from where to where, why, how often, and some examples of each.

use std::collections::BTreeMap;

use pointsman::analysis::classifier::Task;
use pointsman::policy::draw::mix;

/// The most kinds of changes that are told apart.
const MAX_KINDS: usize = 1000;
/// The most examples of one kind.
const MAX_OF_KIND: usize = 20;
/// The most examples of a report.
pub const MAX_EXAMPLES: usize = 100;

/// One decision that changes.
#[derive(Debug, Clone)]
pub struct Example {
    /// The number of the receipt.
    pub nonce: u64,
    /// When it was decided, in seconds since 1970.
    pub time_s: u32,
    /// The name of the tenant, or its key; `None` if it has none.
    pub tenant: Option<String>,
    /// The task of the prompt.
    pub task: Task,
    /// Its difficulty, in logits.
    pub difficulty: f32,
    /// Estimated tokens of the input.
    pub input_tokens: u32,
    /// Expected tokens of the answer.
    pub output_tokens: f32,
    /// Why it changes, in words.
    pub why: String,
    /// Probability to be right, before and after; `None` on a side where nothing answers.
    pub quality: [Option<f64>; 2],
    /// Cost in USD, before and after.
    pub cost_usd: [Option<f64>; 2],
    /// Median time to the whole answer in milliseconds, before and after.
    pub latency_p50_ms: [Option<f64>; 2],
}

/// The kind of a change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChangeKind {
    /// The backend before, or what happened instead.
    pub from: String,
    /// The backend after, or what happens instead.
    pub to: String,
    /// Why, in one word.
    pub why: &'static str,
}

/// All changes of one kind.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Their number.
    pub count: u64,
    /// Costs before and after, in USD, of those that are answered on both sides.
    pub cost_usd: [f64; 2],
    /// Sums of the probabilities to be right, of those that are answered on both sides.
    quality: [f64; 2],
    /// Number of those.
    answered: u64,
    /// Some of them, by the order of their draws: a fair sample, whatever the order of the log.
    examples: BTreeMap<u64, Example>,
}

impl Change {
    /// Mean probabilities to be right, before and after; NaN if none is answered on both sides.
    pub fn mean_quality(&self) -> [f64; 2] {
        self.quality.map(|sum| sum / self.answered as f64)
    }
}

/// All changes.
#[derive(Debug, Default)]
pub struct Changes {
    kinds: BTreeMap<ChangeKind, Change>,
    /// Changes of kinds beyond the bound.
    pub untold: u64,
}

impl Changes {
    /// Adds a change.
    pub fn add(&mut self, kind: ChangeKind, example: impl FnOnce() -> Example, nonce: u64) {
        if self.kinds.len() >= MAX_KINDS && !self.kinds.contains_key(&kind) {
            self.untold += 1;
            return;
        }
        let change = self.kinds.entry(kind).or_default();
        change.count += 1;
        let draw = mix(nonce);
        let last = change.examples.last_key_value().map(|(draw, _)| *draw);
        let example = example();
        if let ([Some(before), Some(after)], [Some(good), Some(better)]) =
            (example.cost_usd, example.quality)
        {
            change.answered += 1;
            change.cost_usd = [change.cost_usd[0] + before, change.cost_usd[1] + after];
            change.quality = [change.quality[0] + good, change.quality[1] + better];
        }
        if change.examples.len() < MAX_OF_KIND || last.is_some_and(|last| draw < last) {
            change.examples.insert(draw, example);
        }
        if change.examples.len() > MAX_OF_KIND {
            change.examples.pop_last();
        }
    }

    /// The kinds, the most frequent first.
    pub fn kinds(&self) -> Vec<(&ChangeKind, &Change)> {
        let mut kinds: Vec<_> = self.kinds.iter().collect();
        kinds.sort_by_key(|(_, change)| std::cmp::Reverse(change.count));
        kinds
    }

    /// Examples, at most [`MAX_EXAMPLES`]: one of each kind, the most frequent first, then a second of each, and so on.
    pub fn examples(&self) -> Vec<(&ChangeKind, &Example)> {
        let kinds = self.kinds();
        let rounds = (0..MAX_OF_KIND).flat_map(|round| {
            kinds.iter().filter_map(move |(kind, change)| {
                change
                    .examples
                    .values()
                    .nth(round)
                    .map(|example| (*kind, example))
            })
        });
        rounds.take(MAX_EXAMPLES).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(nonce: u64) -> Example {
        Example {
            nonce,
            time_s: 0,
            tenant: None,
            task: Task::Chat,
            difficulty: 0.0,
            input_tokens: 1,
            output_tokens: 1.0,
            why: "a larger objective".into(),
            quality: [Some(0.5), Some(0.75)],
            cost_usd: [Some(2.0), Some(1.0)],
            latency_p50_ms: [Some(1.0), Some(1.0)],
        }
    }

    fn kind(from: &str) -> ChangeKind {
        ChangeKind {
            from: from.into(),
            to: "b".into(),
            why: "larger_objective",
        }
    }

    #[test]
    fn examples_are_taken_from_all_kinds_whatever_the_order() {
        let examples_of = |numbers: &mut dyn Iterator<Item = u64>| {
            let mut changes = Changes::default();
            for nonce in numbers {
                let from = if nonce % 100 == 0 { "rare" } else { "usual" };
                changes.add(kind(from), || example(nonce), nonce);
            }
            let examples = changes.examples();
            let rare = examples.iter().filter(|(kind, _)| kind.from == "rare");
            assert_eq!(rare.count(), 10);
            assert_eq!(changes.kinds()[0].0.from, "usual");
            assert_eq!(changes.kinds()[0].1.mean_quality(), [0.5, 0.75]);
            examples
                .iter()
                .map(|(_, example)| example.nonce)
                .collect::<Vec<_>>()
        };
        let forwards = examples_of(&mut (0..1000));
        assert_eq!(forwards.len(), MAX_OF_KIND + 10);
        assert_eq!(forwards, examples_of(&mut (0..1000).rev()));
    }

    #[test]
    fn kinds_and_examples_are_bounded() {
        let mut changes = Changes::default();
        for nonce in 0..3000_u64 {
            changes.add(kind(&nonce.to_string()), || example(nonce), nonce);
        }
        assert_eq!(changes.kinds().len(), MAX_KINDS);
        assert_eq!(changes.untold, 2000);
        assert_eq!(changes.examples().len(), MAX_EXAMPLES);
    }
}
