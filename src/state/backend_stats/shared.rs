//! The statistics of a backend that all workers share: how slow it is, and whether it answers.

use super::answer_lengths::{AnswerLengths, LENGTHS_BYTES, LengthSample};
use super::expected::Delivery;
use super::health::{HEALTH_BYTES, Health};
use super::sketch::{BUCKETS, Sketch, bucket};
use super::{LatencyRatio, NOTICED};
use crate::state::codec::{Reader, Writer};

/// The least ratio that has a bucket of its own.
const LEAST_RATIO: f32 = 0.1;
/// About so many answers tell how slow a backend is.
const RECENT: u32 = 16;
/// About so many answers tell its 99th percentile.
const LONG: u32 = 256;
/// The fewest answers for a 99th percentile: a single one is less than a hundredth of these.
const ENOUGH: u32 = 128;
/// A kind of request without an answer for so many seconds has no news of its own.
const NEWS_S: u32 = 60;

/// One observation of a backend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    pub(super) delivery: Delivery,
    /// When, in seconds.
    pub(super) at_s: u32,
    pub(super) kind: SampleKind,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum SampleKind {
    /// An answer, with its first token and its speed compared to the declared values, as far as they are known.
    Answer {
        first_token: Option<Multiple>,
        token_time: Option<Multiple>,
        length: Option<LengthSample>,
    },
    /// A failure.
    Failure,
    /// A silence of this and all other requests, so long that the backend is down.
    Silence,
    /// A request that probes whether the backend has recovered.
    Probe,
}

/// A multiple of the declared value, as its bucket in a sketch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Multiple(u8);

impl Multiple {
    pub(super) fn new(ratio: f32) -> Multiple {
        Multiple(bucket(ratio, LEAST_RATIO))
    }

    fn is_as_declared(self) -> bool {
        self.0 < bucket(NOTICED, LEAST_RATIO) + 1
    }
}

/// How many times slower than declared something is, learned from multiples.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LearnedRatio {
    /// Multiples of the last answers.
    recent: Sketch,
    /// Multiples of more answers, for the 99th percentile.
    long: Sketch,
    /// The median in effect, at least 1.
    median: f32,
}

impl LearnedRatio {
    const NONE: LearnedRatio = LearnedRatio {
        recent: Sketch::EMPTY,
        long: Sketch::EMPTY,
        median: 1.0,
    };

    fn add(&mut self, multiple: Multiple) {
        self.recent.add(multiple.0, RECENT);
        self.long.add(multiple.0, LONG);
        self.update_median();
    }

    /// Takes the median of the last answers over if it differs clearly from the one in effect.
    fn update_median(&mut self) {
        if self.recent.weight() < 4 {
            return;
        }
        let observed = self.recent.quantile(0.5) * LEAST_RATIO;
        let observed = if observed < NOTICED { 1.0 } else { observed };
        let change = observed / self.median;
        if !(1.0 / NOTICED..=NOTICED).contains(&change) {
            self.median = observed;
            // Older answers belong to another state of the backend.
            self.long = self.recent.clone();
        }
    }

    pub(super) fn ratio(&self) -> LatencyRatio {
        let p99 = match self.long.weight() {
            ..ENOUGH => 0.0,
            _ => self.long.quantile(0.99) * LEAST_RATIO,
        };
        LatencyRatio {
            median: self.median,
            p99,
        }
    }

    fn write(&self, record: &mut Writer) {
        self.recent.write(record);
        self.long.write(record);
        record.f32(self.median);
    }

    fn read(entry: &mut Reader<'_>) -> Option<LearnedRatio> {
        Some(LearnedRatio {
            recent: Sketch::read(entry)?,
            long: Sketch::read(entry)?,
            median: entry.f32()?.max(1.0),
        })
    }
}

/// The statistics of a backend that all workers share.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SharedStats {
    pub(super) first_token: LearnedRatio,
    pub(super) token_time: LearnedRatio,
    /// By kind of request: one kind may fail while the other works.
    health: [Health; 2],
    /// The length of its answers.
    pub(super) lengths: AnswerLengths,
}

/// Bytes of one in the shared record.
pub(super) const SHARED_BYTES: usize = 2 * (2 * 2 * BUCKETS + 4) + 2 * HEALTH_BYTES + LENGTHS_BYTES;

impl SharedStats {
    pub(super) fn new() -> SharedStats {
        SharedStats {
            first_token: LearnedRatio::NONE,
            token_time: LearnedRatio::NONE,
            health: [Health::default(), Health::default()],
            lengths: AnswerLengths::default(),
        }
    }

    pub(super) fn add(&mut self, sample: &Sample) {
        let at_s = sample.at_s;
        let health = self.health_mut(sample.delivery);
        match sample.kind {
            SampleKind::Answer {
                first_token,
                token_time,
                length,
            } => {
                let known = first_token.or(token_time).is_some();
                let mut multiples = [first_token, token_time].into_iter().flatten();
                let as_declared = known.then(|| multiples.all(Multiple::is_as_declared));
                health.on_answer(at_s, as_declared);
                for (ratio, multiple) in [
                    (&mut self.first_token, first_token),
                    (&mut self.token_time, token_time),
                ] {
                    if let Some(multiple) = multiple {
                        ratio.add(multiple);
                    }
                }
                if let Some(length) = length {
                    self.lengths.add(&length);
                }
            }
            SampleKind::Failure => health.on_failure(at_s),
            SampleKind::Silence => health.on_silence(at_s),
            SampleKind::Probe => health.on_probe(at_s),
        }
    }

    pub(super) fn health(&self, delivery: Delivery) -> &Health {
        let [whole, streamed] = &self.health;
        match delivery {
            Delivery::Whole => whole,
            Delivery::Streamed => streamed,
        }
    }

    fn health_mut(&mut self, delivery: Delivery) -> &mut Health {
        let [whole, streamed] = &mut self.health;
        match delivery {
            Delivery::Whole => whole,
            Delivery::Streamed => streamed,
        }
    }

    /// Whether requests of this kind pass the backend over. A kind without recent answers, or with failures alone, follows the
    /// other kind.
    pub(super) fn is_down(&self, delivery: Delivery, now_s: u32) -> bool {
        let own = self.health(delivery);
        let other = self.health(match delivery {
            Delivery::Whole => Delivery::Streamed,
            Delivery::Streamed => Delivery::Whole,
        });
        let no_news = own.answered_s.saturating_add(NEWS_S) < now_s;
        own.down || (other.down && (own.failures > 0 || no_news))
    }

    /// Whether requests of any kind pass the backend over.
    pub(super) fn is_down_for_any(&self) -> bool {
        self.health.iter().any(|health| health.down)
    }

    pub(super) fn write(&self, record: &mut Writer) {
        for ratio in [&self.first_token, &self.token_time] {
            ratio.write(record);
        }
        for health in &self.health {
            health.write(record);
        }
        self.lengths.write(record);
    }

    /// Reads statistics that [`SharedStats::write`] wrote; `None` if a number is impossible.
    pub(super) fn read(entry: &mut Reader<'_>) -> Option<SharedStats> {
        Some(SharedStats {
            first_token: LearnedRatio::read(entry)?,
            token_time: LearnedRatio::read(entry)?,
            health: [Health::read(entry)?, Health::read(entry)?],
            lengths: AnswerLengths::read(entry)?,
        })
    }
}
