//! What all workers know of a backend: how slow it is, and whether it answers.

use super::expected::Delivery;
use super::health::{HEALTH_BYTES, Health};
use super::sketch::{BUCKETS, Sketch, bucket};
use super::{LatencyRatio, NOTICED};
use crate::state::codec::{Reader, Writer};

/// The least ratio that is told apart.
const LEAST_RATIO: f32 = 0.1;
/// About how many answers tell how slow a backend is,
const RECENT: u32 = 16;
/// and about how many tell its 99th percentile.
const LONG: u32 = 256;
/// The fewest answers for a 99th percentile: of so many, a single one is less than a hundredth.
const ENOUGH: u32 = 128;
/// An answer of a kind is no news of that kind after so many seconds.
const NEWS_S: u32 = 60;

/// One thing that was seen of a backend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Observation {
    pub(super) delivery: Delivery,
    /// When, in seconds.
    pub(super) at_s: u32,
    pub(super) what: What,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum What {
    /// An answer: how its first token and its speed compare to what is stated, where that is known.
    Answer {
        first_token: Option<Multiple>,
        token_time: Option<Multiple>,
    },
    /// A failure.
    Failure,
    /// Nothing was heard for so long, and of nothing else either, that it is down.
    Silence,
    /// A request tries whether it is well again.
    Probe,
}

/// A multiple of what is stated, as its place in a sketch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Multiple(u8);

impl Multiple {
    pub(super) fn of(ratio: f32) -> Multiple {
        Multiple(bucket(ratio, LEAST_RATIO))
    }

    fn is_as_stated(self) -> bool {
        self.0 < bucket(NOTICED, LEAST_RATIO) + 1
    }
}

/// How many times slower than stated something is: learned from multiples, or as the record has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ratio {
    /// Multiples of the last answers.
    recent: Sketch,
    /// Multiples of more answers, for the 99th percentile.
    long: Sketch,
    /// The median that counts, at least 1.
    median: f32,
}

impl Ratio {
    const NONE: Ratio = Ratio {
        recent: Sketch::EMPTY,
        long: Sketch::EMPTY,
        median: 1.0,
    };

    fn add(&mut self, multiple: Multiple) {
        self.recent.add(multiple.0, RECENT);
        self.long.add(multiple.0, LONG);
        self.settle();
    }

    /// Takes over what the last answers say once it differs clearly from what counts.
    fn settle(&mut self) {
        if self.recent.weight() < 4 {
            return;
        }
        let seen = self.recent.quantile(0.5) * LEAST_RATIO;
        let seen = if seen < NOTICED { 1.0 } else { seen };
        let change = seen / self.median;
        if !(1.0 / NOTICED..=NOTICED).contains(&change) {
            self.median = seen;
            // What was seen before belongs to another time.
            self.long = self.recent.clone();
        }
    }

    pub(super) fn state(&self) -> LatencyRatio {
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

    fn read(entry: &mut Reader<'_>) -> Option<Ratio> {
        Some(Ratio {
            recent: Sketch::read(entry)?,
            long: Sketch::read(entry)?,
            median: entry.f32()?.max(1.0),
        })
    }
}

/// What all workers know of a backend.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SharedStats {
    pub(super) first_token: Ratio,
    pub(super) token_time: Ratio,
    /// By kind of request: one may fail where the other works.
    health: [Health; 2],
}

/// Bytes of one in the shared record.
pub(super) const LEARNED_BYTES: usize = 2 * (2 * 2 * BUCKETS + 4) + 2 * HEALTH_BYTES;

impl SharedStats {
    pub(super) fn new() -> SharedStats {
        SharedStats {
            first_token: Ratio::NONE,
            token_time: Ratio::NONE,
            health: [Health::default(), Health::default()],
        }
    }

    pub(super) fn see(&mut self, seen: &Observation) {
        let at_s = seen.at_s;
        let health = self.health_mut(seen.delivery);
        match seen.what {
            What::Answer {
                first_token,
                token_time,
            } => {
                let known = first_token.or(token_time).is_some();
                let mut multiples = [first_token, token_time].into_iter().flatten();
                let as_stated = known.then(|| multiples.all(Multiple::is_as_stated));
                health.answered(at_s, as_stated);
                for (ratio, multiple) in [
                    (&mut self.first_token, first_token),
                    (&mut self.token_time, token_time),
                ] {
                    if let Some(multiple) = multiple {
                        ratio.add(multiple);
                    }
                }
            }
            What::Failure => health.failed(at_s),
            What::Silence => health.silent(at_s),
            What::Probe => health.probed(at_s),
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

    /// Whether requests of this kind are to pass it over. Of a kind of which nothing was heard lately, or only failures, the
    /// other one tells.
    pub(super) fn is_down(&self, delivery: Delivery, now_s: u32) -> bool {
        let own = self.health(delivery);
        let other = self.health(match delivery {
            Delivery::Whole => Delivery::Streamed,
            Delivery::Streamed => Delivery::Whole,
        });
        let no_news = own.answered_s.saturating_add(NEWS_S) < now_s;
        own.down || (other.down && (own.failures > 0 || no_news))
    }

    /// Whether requests of any kind pass it over.
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
    }

    /// Reads what [`SharedStats::write`] wrote; `None` if a number is impossible.
    pub(super) fn read(entry: &mut Reader<'_>) -> Option<SharedStats> {
        Some(SharedStats {
            first_token: Ratio::read(entry)?,
            token_time: Ratio::read(entry)?,
            health: [Health::read(entry)?, Health::read(entry)?],
        })
    }
}
