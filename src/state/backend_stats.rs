//! How the backends do right now, learned from the traffic itself: how much slower than declared, how often they fail, and what
//! is in flight. The statistics of several workers merge; memory is bounded; time enters as an argument.
//!
//! An answer gives two samples, each a multiple of the declared value: the time to its first token, and the time per token
//! after that. The second counts the tokens that the answer really had, so short and long answers agree, and the expected
//! length plays no part. The ratio of real to expected answer length is learned apart from that, per task. The median of few answers reacts within a dozen; it takes effect from [`NOTICED`] on and ends only
//! near the declared value, so decisions do not flap. A backend that is faster than declared gets no credit: otherwise a
//! backend with traffic would look better than one without.
//!
//! Streams and answers in one piece have separate health. Silence counts as a failure: a request without any byte for several
//! times the declared latency has failed; one that is silent for much longer, while nothing else is heard, takes the backend
//! down by itself. A backend that is passed over gets probes, fewer the longer its fault lasts, so that its recovery is
//! noticed and few requests meet the fault until then.

mod answer_lengths;
mod backend;
mod expected;
mod health;
mod shared;
mod sketch;
#[cfg(test)]
mod tests;

use super::MAX_BACKENDS;
use super::codec::{Layout, Reader};
use super::sorted_map::SortedMap;
use crate::analysis::classifier::{TASK_COUNT, Task};
use crate::fleet::ScaleToZero;
use crate::state::scale_to_zero::ScaleToZeroStats;
use answer_lengths::{AllLengths, AnswerLengths};
pub use answer_lengths::{ExpectedLength, MAX_LENGTH_RATIO};
use backend::Backend;
pub use expected::{AnswerTimes, Delivery, Expected, RequestSize};
pub use health::DOWN_AFTER;
use shared::{SHARED_BYTES, SharedStats};

/// A backend that lost its traffic gets one decision in so many if it would be best by its declared values; fewer while it keeps
/// failing.
pub const PROBE_EVERY: u32 = 32;
/// A backend counts as slow from this multiple of its declared latency on.
pub const NOTICED: f32 = 2.0;

/// A latency as a multiple of the declared one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LatencyRatio {
    /// The median, in multiples of the declared median; at least 1.
    pub median: f32,
    /// The 99th percentile, in multiples of the declared median; 0 if there are too few samples.
    pub p99: f32,
}

impl LatencyRatio {
    /// As declared by the policy.
    pub const DECLARED: LatencyRatio = LatencyRatio {
        median: 1.0,
        p99: 0.0,
    };
}

/// The observed state of a backend, as a decision uses it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observed {
    /// The time to the first token.
    pub first_token: LatencyRatio,
    /// The time per token after the first.
    pub token_time: LatencyRatio,
    /// The share of attempts that fail, 0 to 1.
    pub error_rate: f32,
    /// Whether decisions pass the backend over.
    pub down: bool,
    /// Requests of this worker that are in flight.
    pub in_flight: u32,
    /// Delay of the first token because the backend has scaled to zero, in milliseconds.
    pub cold_start_ms: f32,
    /// How many times longer than expected its answers are, for each task in the order of [`Task::ALL`]; at most
    /// [`MAX_LENGTH_RATIO`], and at least one by it.
    pub length_ratios: [f32; TASK_COUNT],
}

impl Observed {
    /// A backend of which nothing was observed: the declared values count.
    pub const UNOBSERVED: Observed = Observed {
        first_token: LatencyRatio::DECLARED,
        token_time: LatencyRatio::DECLARED,
        error_rate: 0.0,
        down: false,
        in_flight: 0,
        cold_start_ms: 0.0,
        length_ratios: [1.0; TASK_COUNT],
    };

    /// How many times longer than expected its answers to such a task are.
    pub fn length_ratio(&self, task: Task) -> f32 {
        self.length_ratios
            .get(task as usize)
            .copied()
            .unwrap_or(1.0)
    }

    /// The worse ratio of first token and speed; at least 1.
    pub const fn latency_ratio(&self) -> f32 {
        self.first_token.median.max(self.token_time.median)
    }
}

/// How an attempt at a backend ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AttemptOutcome {
    /// The backend answered, at these times.
    Answered(AnswerTimes),
    /// The backend answered at an unknown time, because other attempts came before.
    AnsweredLate,
    /// The attempt failed: no answer, an error, an empty answer, or a stream that broke off.
    Failed,
    /// The client went away before the first byte of an answer.
    Left {
        /// Milliseconds since the request was sent.
        after_ms: f32,
    },
    /// The attempt says nothing about the backend: the client left during the answer, or the fault was the client's.
    Unknown,
}

/// The statistics of all backends in one worker.
#[derive(Debug, Default)]
pub struct BackendStats {
    /// By the backend's key.
    backends: SortedMap<u32, Backend>,
    next: u64,
    /// The use of backends that scale to zero.
    pub scale_to_zero: ScaleToZeroStats,
}

/// A request in flight; handed back when the request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InFlightId {
    id: u64,
    key: u32,
}

impl BackendStats {
    /// Statistics without any observation.
    pub fn new() -> BackendStats {
        BackendStats::default()
    }

    /// Observes the backends of `keys`, in their order, for a decision; called once for each decision. `may_probe` is false if
    /// the request could not go elsewhere after a failed attempt: then it probes no backend that is passed over.
    pub fn observe_for_decision(
        &mut self,
        keys: impl Iterator<Item = u32>,
        delivery: Delivery,
        may_probe: bool,
        now_ns: u64,
    ) -> Vec<Observed> {
        let all = self.all_lengths();
        let unknown = AnswerLengths::default();
        keys.map(|key| match self.backends.get_mut(key) {
            Some(backend) => Observed {
                length_ratios: backend.shared.lengths.ratios(&all),
                ..backend.observe_for_decision(delivery, may_probe, now_ns)
            },
            None => Observed {
                length_ratios: unknown.ratios(&all),
                ..Observed::UNOBSERVED
            },
        })
        .collect()
    }

    fn all_lengths(&self) -> AllLengths {
        let backends = self.backends.values();
        backends.map(|backend| &backend.shared.lengths).collect()
    }

    /// Observes a backend without any effect.
    pub fn observe(&self, key: u32, delivery: Delivery, now_ns: u64) -> Observed {
        let backend = self.backends.get(key);
        backend.map_or(Observed::UNOBSERVED, |backend| Observed {
            length_ratios: backend.shared.lengths.ratios(&self.all_lengths()),
            ..backend.observe(delivery, now_ns)
        })
    }

    /// Whether requests of any kind pass a backend over because it fails.
    pub fn is_down(&self, key: u32) -> bool {
        let backend = self.backends.get(key);
        backend.is_some_and(|backend| backend.shared.is_down_for_any())
    }

    /// Delay of a backend's first token because the backend has scaled to zero, in milliseconds. A backend that lost its traffic
    /// for that reason gets probes like the others: it then counts as warm.
    pub fn cold_start_ms(&self, key: u32, scaling: &ScaleToZero, now_ns: u64) -> f32 {
        let is_warm = self.backends.get(key).is_some_and(Backend::counts_as_warm);
        match !is_warm && self.scale_to_zero.is_cold(key, scaling, now_ns) {
            true => scaling.start_ms,
            false => 0.0,
        }
    }

    /// Records that a request goes to a backend, with the times that the backend declares for its answer.
    pub fn on_sent(&mut self, key: u32, now_ns: u64, expected: &Expected) -> Option<InFlightId> {
        self.next = self.next.wrapping_add(1);
        let id = self.next;
        self.find_or_add(key)?.on_sent(id, now_ns, expected);
        Some(InFlightId { id, key })
    }

    /// Records the first byte of an answer.
    pub fn on_first_byte(&mut self, request: InFlightId, delivery: Delivery) {
        if let Some(backend) = self.backends.get_mut(request.key) {
            backend.on_first_byte(request.id, delivery);
        }
    }

    /// Records the end of a request; returns whether the attempt failed. `expected` as when the request was sent.
    pub fn on_end(
        &mut self,
        request: InFlightId,
        expected: &Expected,
        outcome: AttemptOutcome,
        now_ns: u64,
    ) -> bool {
        match self.backends.get_mut(request.key) {
            Some(backend) => backend.on_end(request, expected, outcome, now_ns),
            None => outcome == AttemptOutcome::Failed,
        }
    }

    /// Records an attempt that was not announced: a later one of a chain.
    pub fn on_attempt(&mut self, key: u32, delivery: Delivery, failed: bool, now_ns: u64) {
        if let Some(backend) = self.find_or_add(key) {
            backend.on_attempt(delivery, failed, now_ns);
        }
    }

    /// Whether there are samples that other workers do not have yet.
    pub fn has_news(&self) -> bool {
        let mut backends = self.backends.values();
        backends.any(|backend| !backend.pending.is_empty())
    }

    /// Merges this worker's samples into `record`, which all workers share, and takes the result over. If writing the result
    /// fails, nothing is lost: call [`BackendStats::on_merged`] only after it was written.
    pub fn merge(&mut self, record: &[u8]) -> Vec<u8> {
        let mut all = decode(record);
        for (key, backend) in self.backends.iter_mut() {
            if let Some(shared) = all.get_or_insert_with(key, MAX_BACKENDS, SharedStats::new) {
                for sample in &backend.pending {
                    shared.add(sample);
                }
                backend.adopt(shared);
            }
        }
        for (key, shared) in all.iter() {
            if self.backends.get(key).is_none()
                && let Some(backend) = self.find_or_add(key)
            {
                backend.adopt(shared);
            }
        }
        encode(&all)
    }

    /// Records that the result of [`BackendStats::merge`] was written.
    pub fn on_merged(&mut self) {
        for (_, backend) in self.backends.iter_mut() {
            backend.pending.clear();
        }
    }

    /// The backend of `key`, made if there is none; `None` if there are too many.
    fn find_or_add(&mut self, key: u32) -> Option<&mut Backend> {
        self.backends
            .get_or_insert_with(key, MAX_BACKENDS, Backend::new)
    }
}

/// An entry: a backend's key and the statistics that all workers share.
const LAYOUT: Layout = Layout::new(0x12, 4 + SHARED_BYTES, MAX_BACKENDS);

fn encode(all: &SortedMap<u32, SharedStats>) -> Vec<u8> {
    let mut record = LAYOUT.writer(all.len());
    for (key, shared) in all.iter() {
        record.u32(key);
        shared.write(&mut record);
    }
    record.finish()
}

/// Reads a record; entries with impossible numbers are left out.
fn decode(record: &[u8]) -> SortedMap<u32, SharedStats> {
    SortedMap::from_entries(LAYOUT.entries(record).filter_map(read))
}

fn read(mut entry: Reader<'_>) -> Option<(u32, SharedStats)> {
    Some((entry.u32()?, SharedStats::read(&mut entry)?))
}
