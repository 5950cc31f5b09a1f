//! How the backends are doing right now, learned from the traffic itself: how much slower than stated, how often they fail,
//! what is under way. Mergeable across workers, bounded, pure: time enters as an argument.
//!
//! Two things are learned of an answer, each as a multiple of what is stated for it: the time to its first token, and the time
//! per token after that, by the tokens that it really had. So long and short answers tell the same, and how long an answer was
//! expected to be plays no part. A median over few answers reacts within a dozen; it counts only from [`NOTICED`] on and falls
//! back only when it is near one again, so decisions do not flap. What is better than stated is not credited: a backend that
//! gets traffic would otherwise look better than one that gets none.
//!
//! Whether a backend answers is learned for streams and for answers in one piece apart. Silence is a failure, in time: a request
//! of which nothing is heard for several times what is stated has failed, and one that is silent for much longer, while
//! nothing else is heard, speaks for its backend. A backend that was passed over is tried again, the longer its fault lasts the
//! more seldom, so that it is noticed when it is well again and few meet it until then.

mod backend;
mod expected;
mod health;
mod learned;
mod sketch;
#[cfg(test)]
mod tests;

use super::MAX_BACKENDS;
use super::codec::{Layout, Reader};
use super::sorted_map::SortedMap;
use crate::fleet::ScaleToZero;
use crate::state::scale_to_zero::Warmth;
use backend::Backend;
pub use expected::{Delivery, Expected, Size, Times};
pub use health::DOWN_AFTER;
use learned::{LEARNED_BYTES, SharedStats};

/// A backend that lost its traffic gets one decision in so many, where it would be best by what is stated of it; fewer while it
/// goes on failing.
pub const PROBE_EVERY: u32 = 32;
/// How many times slower than stated a backend must be for that to count.
pub const NOTICED: f32 = 2.0;

/// How many times longer than stated something takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LatencyRatio {
    /// Its median, in multiples of the stated one; at least 1.
    pub median: f32,
    /// Its 99th percentile, in multiples of the stated median; 0 where too little was seen.
    pub p99: f32,
}

impl LatencyRatio {
    /// As stated.
    pub const AS_STATED: LatencyRatio = LatencyRatio {
        median: 1.0,
        p99: 0.0,
    };
}

/// What decisions know of a backend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observed {
    /// The time to the first token.
    pub first_token: LatencyRatio,
    /// The time per token after the first.
    pub token_time: LatencyRatio,
    /// The share of attempts that fail, 0 to 1.
    pub error_rate: f32,
    /// Whether it is to be passed over.
    pub down: bool,
    /// Requests of this worker that are under way.
    pub in_flight: u32,
    /// How much later its first token comes because it has scaled to zero, in milliseconds.
    pub cold_start_ms: f32,
}

impl Observed {
    /// Nothing that is not stated.
    pub const UNOBSERVED: Observed = Observed {
        first_token: LatencyRatio::AS_STATED,
        token_time: LatencyRatio::AS_STATED,
        error_rate: 0.0,
        down: false,
        in_flight: 0,
        cold_start_ms: 0.0,
    };

    /// How many times slower than stated it is, by the worse of first token and speed; at least 1.
    pub const fn latency_ratio(&self) -> f32 {
        self.first_token.median.max(self.token_time.median)
    }
}

/// How an exchange with a backend ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AttemptOutcome {
    /// It answered, and when.
    Answered(Times),
    /// It answered, but when is not known: other attempts came before.
    AnsweredLate,
    /// It failed: no answer, one that says so or has nothing in it, or a stream that broke off.
    Failed,
    /// The client went away after so many milliseconds in which nothing was heard.
    Left {
        /// Since the request was sent.
        after_ms: f32,
    },
    /// Nothing is known of it: the client went away from an answer that had begun, or the fault was the client's.
    Unknown,
}

/// Everything that one worker knows.
#[derive(Debug, Default)]
pub struct BackendStats {
    /// By link.
    backends: SortedMap<u32, Backend>,
    next: u64,
    /// When those that scale to zero were used.
    pub warmth: Warmth,
}

/// A request that was sent to a backend; given back when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InFlightId {
    id: u64,
    link: u32,
}

impl BackendStats {
    /// Knows nothing yet.
    pub fn new() -> BackendStats {
        BackendStats::default()
    }

    /// What a decision is to know of these backends, in their order, for a request that is to be answered so. Called once for
    /// each decision. `may_probe` is false where the request could not go elsewhere when an attempt fails: then it tries none
    /// that is passed over.
    pub fn view(
        &mut self,
        links: impl Iterator<Item = u32>,
        delivery: Delivery,
        may_probe: bool,
        now_ns: u64,
    ) -> Vec<Observed> {
        links
            .map(|link| match self.backends.get_mut(link) {
                Some(backend) => backend.view(delivery, may_probe, now_ns),
                None => Observed::UNOBSERVED,
            })
            .collect()
    }

    /// What is known of a backend, without any effect.
    pub fn look(&self, link: u32, delivery: Delivery, now_ns: u64) -> Observed {
        let known = self.backends.get(link);
        known.map_or(Observed::UNOBSERVED, |one| one.state(delivery, now_ns))
    }

    /// Whether requests of any kind pass a backend over because it fails.
    pub fn is_down(&self, link: u32) -> bool {
        self.backends
            .get(link)
            .is_some_and(|one| one.learned.is_down_for_any())
    }

    /// How much later the first token of a backend comes because it has scaled to zero, in milliseconds. Who lost its traffic
    /// by that is tried again as others are: by what is stated.
    pub fn cold_start_ms(&self, link: u32, cold: &ScaleToZero, now_ns: u64) -> f32 {
        let known = self.backends.get(link);
        if known.is_some_and(Backend::is_taken_for_warm) || !self.warmth.is_cold(link, cold, now_ns)
        {
            return 0.0;
        }
        cold.start_ms
    }

    /// A request goes to this backend, which states of its answer what is `expected`.
    pub fn sent(&mut self, link: u32, now_ns: u64, expected: &Expected) -> Option<InFlightId> {
        self.next = self.next.wrapping_add(1);
        let id = self.next;
        self.find_or_add(link)?.sent(id, now_ns, expected);
        Some(InFlightId { id, link })
    }

    /// The first bytes of its answer came.
    pub fn heard(&mut self, ticket: InFlightId, delivery: Delivery) {
        if let Some(backend) = self.backends.get_mut(ticket.link) {
            backend.heard(ticket.id, delivery);
        }
    }

    /// A request has ended; says whether that was a failure. `expected` as when it was sent.
    pub fn ended(
        &mut self,
        ticket: InFlightId,
        expected: &Expected,
        ending: AttemptOutcome,
        now_ns: u64,
    ) -> bool {
        match self.backends.get_mut(ticket.link) {
            Some(backend) => backend.ended(ticket, expected, ending, now_ns),
            None => ending == AttemptOutcome::Failed,
        }
    }

    /// An attempt at a backend ended so, without having been announced: one of a chain.
    pub fn attempted(&mut self, link: u32, delivery: Delivery, failed: bool, now_ns: u64) {
        if let Some(backend) = self.find_or_add(link) {
            backend.attempted(delivery, failed, now_ns);
        }
    }

    /// Whether there is anything that other workers do not know yet.
    pub fn has_news(&self) -> bool {
        let mut backends = self.backends.values();
        backends.any(|backend| !backend.pending.is_empty())
    }

    /// Merges what this worker saw into `record`, which all workers share, and takes over what stands there then. Whoever
    /// fails to write the result has lost nothing: see [`BackendStats::merged`].
    pub fn merge(&mut self, record: &[u8]) -> Vec<u8> {
        let mut shared = decode(record);
        for (link, backend) in self.backends.iter_mut() {
            let learned = shared.get_or_insert_with(link, MAX_BACKENDS, SharedStats::new);
            if let Some(learned) = learned {
                for seen in &backend.pending {
                    learned.see(seen);
                }
                backend.take(learned);
            }
        }
        for (link, learned) in shared.iter() {
            if self.backends.get(link).is_none()
                && let Some(backend) = self.find_or_add(link)
            {
                backend.take(learned);
            }
        }
        encode(&shared)
    }

    /// The result of [`BackendStats::merge`] was written.
    pub fn merged(&mut self) {
        for (_, backend) in self.backends.iter_mut() {
            backend.pending.clear();
        }
    }

    /// The backend of `link`, made where there is none; `None` if there are too many.
    fn find_or_add(&mut self, link: u32) -> Option<&mut Backend> {
        self.backends
            .get_or_insert_with(link, MAX_BACKENDS, Backend::new)
    }
}

/// An entry: a backend's link and what all workers know of it.
const LAYOUT: Layout = Layout::new(0x11, 4 + LEARNED_BYTES, MAX_BACKENDS);

fn encode(shared: &SortedMap<u32, SharedStats>) -> Vec<u8> {
    let mut record = LAYOUT.writer(shared.len());
    for (link, learned) in shared.iter() {
        record.u32(link);
        learned.write(&mut record);
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
