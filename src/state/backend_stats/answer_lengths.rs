//! How much longer or shorter the answers of a backend are than expected, for each task: learned from the tokens that it counts.
//!
//! The mean of the logarithm of real by expected tokens, over about the last [`RECENT`] answers, is what counts. Where few were
//! seen it moves towards the mean of all backends, and that towards none: an expectation that is wrong everywhere must not be
//! held against the backend that happens to have the traffic. Each answer and the result are held within bounds, so that no
//! backend can make itself look free, or be made to look ruinous, by what it counts.

use crate::analysis::classifier::{TASK_COUNT, Task};
use crate::state::codec::{Reader, Writer};

/// About how many answers tell.
const RECENT: f32 = 64.0;
/// So many answers count as much as the expectation itself.
const PRIOR: f32 = 4.0;
/// How far one answer counts, as a logarithm.
const MOST_OF_ONE: f32 = 2.0;
/// By which factor an expectation is moved at most, up or down.
pub const MAX_LENGTH_RATIO: f32 = 4.0;

/// Bytes of one in the shared record.
pub(super) const LENGTHS_BYTES: usize = TASK_COUNT * 3;
/// Units of a logarithm in the shared record.
const LOG_UNITS: f32 = 16_000.0;

/// How long an answer was expected to be, before anything was learned of its backend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExpectedLength {
    /// The kind of work that was asked for.
    pub task: Task,
    /// The median of the expected tokens.
    pub tokens: f32,
    /// The most tokens that the answer may have.
    pub most_tokens: u32,
}

/// One answer's tokens and the expected ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LengthSample {
    task: Task,
    log_ratio: f32,
}

impl LengthSample {
    /// The sample of an answer of `tokens` tokens; `None` for one that was cut off before it was as long as expected.
    pub(super) fn new(expected: &ExpectedLength, tokens: u64) -> Option<LengthSample> {
        let is_cut = tokens >= u64::from(expected.most_tokens);
        let log_ratio = (tokens as f32 / expected.tokens.max(1.0)).ln();
        let counts = tokens > 0 && log_ratio.is_finite() && !(is_cut && log_ratio < 0.0);
        counts.then_some(LengthSample {
            task: expected.task,
            log_ratio: log_ratio.clamp(-MOST_OF_ONE, MOST_OF_ONE),
        })
    }
}

/// Answer lengths of one task.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct TaskLength {
    /// Mean of the logarithm of real by expected tokens.
    log_mean: f32,
    /// How many answers it is of, at most [`RECENT`].
    weight: f32,
}

impl TaskLength {
    fn add(&mut self, log_ratio: f32) {
        self.weight = (self.weight + 1.0).min(RECENT);
        self.log_mean += (log_ratio - self.log_mean) / self.weight;
    }

    /// The mean, taken together with a mean before it.
    fn log_after(&self, before: f32) -> f32 {
        (self.log_mean * self.weight + before * PRIOR) / (self.weight + PRIOR)
    }
}

/// Answer lengths of a backend by task, in the order of [`Task::ALL`].
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct AnswerLengths([TaskLength; TASK_COUNT]);

impl AnswerLengths {
    pub(super) fn add(&mut self, sample: &LengthSample) {
        if let Some(task) = self.0.get_mut(sample.task as usize) {
            task.add(sample.log_ratio);
        }
    }

    /// By how much the expected length is multiplied, for each task, if this is known of all backends.
    pub(super) fn ratios(&self, all: &AllLengths) -> [f32; TASK_COUNT] {
        let mut ratios = [1.0; TASK_COUNT];
        for ((ratio, own), all) in ratios.iter_mut().zip(&self.0).zip(&all.0) {
            let log = own.log_after(all.log_after(0.0));
            *ratio = log.exp().clamp(1.0 / MAX_LENGTH_RATIO, MAX_LENGTH_RATIO);
        }
        ratios
    }

    pub(super) fn write(&self, record: &mut Writer) {
        for task in &self.0 {
            record.u16((task.log_mean * LOG_UNITS).round() as i16 as u16);
            record.u8(task.weight as u8);
        }
    }

    pub(super) fn read(entry: &mut Reader<'_>) -> Option<AnswerLengths> {
        let mut lengths = AnswerLengths::default();
        for task in &mut lengths.0 {
            let (log_mean, weight) = (entry.u16()? as i16, entry.u8()?);
            *task = TaskLength {
                log_mean: (f32::from(log_mean) / LOG_UNITS).clamp(-MOST_OF_ONE, MOST_OF_ONE),
                weight: f32::from(weight).min(RECENT),
            };
        }
        Some(lengths)
    }
}

/// Answer lengths by task over all backends together.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct AllLengths([TaskLength; TASK_COUNT]);

impl<'a> FromIterator<&'a AnswerLengths> for AllLengths {
    fn from_iter<T: IntoIterator<Item = &'a AnswerLengths>>(backends: T) -> AllLengths {
        let mut all = AllLengths::default();
        for backend in backends {
            for (all, one) in all.0.iter_mut().zip(&backend.0) {
                let weight = all.weight + one.weight;
                if weight > 0.0 {
                    all.log_mean += (one.log_mean - all.log_mean) * one.weight / weight;
                    all.weight = weight;
                }
            }
        }
        all
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn after(count: usize, tokens: impl Fn(usize) -> u64) -> f32 {
        let mut lengths = AnswerLengths::default();
        let expected = ExpectedLength {
            task: Task::Code,
            tokens: 100.0,
            most_tokens: 10_000,
        };
        for index in 0..count {
            if let Some(sample) = LengthSample::new(&expected, tokens(index)) {
                lengths.add(&sample);
            }
        }
        let ratios = lengths.ratios(&AllLengths::default());
        let others = Task::ALL.iter().filter(|task| **task != Task::Code);
        assert!(
            others
                .map(|task| ratios[*task as usize])
                .all(|ratio| ratio == 1.0)
        );
        ratios[Task::Code as usize]
    }

    #[test]
    fn fifty_answers_count_and_few_count_little() {
        for (tokens, least, most) in [
            (200, 1.85, 2.0),
            (50, 0.5, 0.54),
            (100, 1.0, 1.0),
            (30, 0.3, 0.34),
        ] {
            let ratio = after(50, |_| tokens);
            assert!((least..=most).contains(&ratio), "{tokens}: {ratio}");
        }
        assert_eq!(after(0, |_| 1), 1.0);
        assert!(after(1, |_| 400) < 1.4);
        // Around the truth, whatever the spread.
        let noisy = after(64, |index| [60, 100, 200, 400, 660][index % 5]);
        assert!((1.7..2.2).contains(&noisy), "{noisy}");
        // The last answers count: the backend has another model now.
        let changed = after(400, |index| if index < 200 { 400 } else { 50 });
        assert!((0.5..0.65).contains(&changed), "{changed}");
    }

    #[test]
    fn what_all_backends_share_is_not_held_against_the_one_with_the_traffic() {
        let lengths = |tokens: u64, count: usize| {
            let mut lengths = AnswerLengths::default();
            let expected = ExpectedLength {
                task: Task::Chat,
                tokens: 100.0,
                most_tokens: 10_000,
            };
            for _ in 0..count {
                lengths.add(&LengthSample::new(&expected, tokens).unwrap());
            }
            lengths
        };
        let (busy, idle) = (lengths(200, 60), lengths(200, 0));
        let all: AllLengths = [&busy, &idle].into_iter().collect();
        let chat =
            |lengths: &AnswerLengths, all: &AllLengths| lengths.ratios(all)[Task::Chat as usize];
        assert!((chat(&busy, &all) / chat(&idle, &all) - 1.0).abs() < 0.1);
        assert!((1.8..2.0).contains(&chat(&idle, &all)));
        // A backend that is terser than the others is told from them.
        let terse = lengths(50, 50);
        let all: AllLengths = [&busy, &terse].into_iter().collect();
        assert!(chat(&terse, &all) < 0.56 && chat(&busy, &all) > 1.8);
    }

    #[test]
    fn a_record_keeps_what_is_known() {
        let layout = crate::state::codec::Layout::new(1, LENGTHS_BYTES, 1);
        let mut known = AnswerLengths::default();
        for (index, task) in known.0.iter_mut().enumerate() {
            task.log_mean = index as f32 / 6.0 - 1.0;
            task.weight = index as f32 * 6.0;
        }
        let mut record = layout.writer(1);
        known.write(&mut record);
        let record = record.finish();
        let read = AnswerLengths::read(&mut layout.entries(&record).next().unwrap()).unwrap();
        for (known, read) in known.0.iter().zip(&read.0) {
            assert!((known.log_mean - read.log_mean).abs() < 1e-4);
            assert_eq!(known.weight, read.weight);
        }
        let hostile = vec![0xff; record.len()];
        let mut hostile = [&record[..1], &hostile[1..]].concat();
        for _ in 0..2 {
            let read = AnswerLengths::read(&mut layout.entries(&hostile).next().unwrap()).unwrap();
            let ratios = read.ratios(&[&read].into_iter().collect());
            let bounds = 1.0 / MAX_LENGTH_RATIO..=MAX_LENGTH_RATIO;
            assert!(ratios.iter().all(|ratio| bounds.contains(ratio)));
            hostile[1..].fill(0x7f);
        }
    }

    #[test]
    fn no_value_moves_it_beyond_its_bounds() {
        for tokens in [0, 1, u64::MAX] {
            let ratio = after(10_000, |_| tokens);
            assert!(
                (1.0 / MAX_LENGTH_RATIO..=MAX_LENGTH_RATIO).contains(&ratio),
                "{ratio}"
            );
        }
        for expected in [f32::NAN, 0.0, -1.0, f32::INFINITY] {
            let expected = ExpectedLength {
                task: Task::Math,
                tokens: expected,
                most_tokens: 10,
            };
            for tokens in [0, 1, 10, u64::MAX] {
                let sample = LengthSample::new(&expected, tokens);
                assert!(sample.is_none_or(|sample| sample.log_ratio.abs() <= MOST_OF_ONE));
            }
        }
    }

    #[test]
    fn an_answer_that_its_bound_cut_off_does_not_look_short() {
        let expected = ExpectedLength {
            task: Task::Math,
            tokens: 100.0,
            most_tokens: 20,
        };
        assert_eq!(LengthSample::new(&expected, 20), None);
        assert!(LengthSample::new(&expected, 10).is_some());
        let wide = ExpectedLength {
            most_tokens: 200,
            ..expected
        };
        assert!(LengthSample::new(&wide, 200).is_some());
    }
}
