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
/// The most backends that are followed.
pub const MOST_BACKENDS: usize = 1000;

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
    /// Sorted by link.
    backends: Vec<Backend>,
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
            .map(|link| match self.find(link) {
                Some(backend) => backend.view(delivery, may_probe, now_ns),
                None => Observed::UNOBSERVED,
            })
            .collect()
    }

    /// What is known of a backend, without any effect.
    pub fn look(&self, link: u32, delivery: Delivery, now_ns: u64) -> Observed {
        let known = self.get(link);
        known.map_or(Observed::UNOBSERVED, |one| one.state(delivery, now_ns))
    }

    /// Whether requests of any kind pass a backend over because it fails.
    pub fn is_down(&self, link: u32) -> bool {
        self.get(link)
            .is_some_and(|one| one.learned.is_down_for_any())
    }

    /// How much later the first token of a backend comes because it has scaled to zero, in milliseconds. Who lost its traffic
    /// by that is tried again as others are: by what is stated.
    pub fn cold_start_ms(&self, link: u32, cold: &ScaleToZero, now_ns: u64) -> f32 {
        let known = self.get(link);
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
        if let Some(backend) = self.find(ticket.link) {
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
        match self.find(ticket.link) {
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
        self.backends
            .iter()
            .any(|backend| !backend.pending.is_empty())
    }

    /// Merges what this worker saw into `record`, which all workers share, and takes over what stands there then. Whoever
    /// fails to write the result has lost nothing: see [`BackendStats::merged`].
    pub fn merge(&mut self, record: &[u8]) -> Vec<u8> {
        let mut shared = decode(record);
        for backend in &mut self.backends {
            let place = match shared.binary_search_by_key(&backend.link, |(link, _)| *link) {
                Ok(place) => place,
                Err(place) if shared.len() < MOST_BACKENDS => {
                    shared.insert(place, (backend.link, SharedStats::new()));
                    place
                }
                Err(_) => continue,
            };
            if let Some((_, learned)) = shared.get_mut(place) {
                for seen in &backend.pending {
                    learned.see(seen);
                }
                backend.take(learned);
            }
        }
        for (link, learned) in &shared {
            if let Err(place) = self.place(*link) {
                let mut backend = Backend::new(*link);
                backend.take(learned);
                self.backends.insert(place, backend);
            }
        }
        encode(&shared)
    }

    /// The result of [`BackendStats::merge`] was written.
    pub fn merged(&mut self) {
        for backend in &mut self.backends {
            backend.pending.clear();
        }
    }

    /// Where a backend stands, or would stand.
    fn place(&self, link: u32) -> Result<usize, usize> {
        self.backends.binary_search_by_key(&link, |one| one.link)
    }

    fn get(&self, link: u32) -> Option<&Backend> {
        self.backends.get(self.place(link).ok()?)
    }

    fn find(&mut self, link: u32) -> Option<&mut Backend> {
        let place = self.place(link).ok()?;
        self.backends.get_mut(place)
    }

    /// The same, made where there is none; `None` where there are too many.
    fn find_or_add(&mut self, link: u32) -> Option<&mut Backend> {
        let place = match self.place(link) {
            Ok(place) => place,
            Err(_) if self.backends.len() >= MOST_BACKENDS => return None,
            Err(place) => {
                self.backends.insert(place, Backend::new(link));
                place
            }
        };
        self.backends.get_mut(place)
    }
}

/// Bytes of one backend in the shared record.
pub const RECORD_BYTES: usize = 4 + LEARNED_BYTES;

fn encode(shared: &[(u32, SharedStats)]) -> Vec<u8> {
    let mut record = Vec::with_capacity(shared.len() * RECORD_BYTES);
    for (link, learned) in shared {
        record.extend_from_slice(&link.to_le_bytes());
        learned.write(&mut record);
    }
    record
}

/// Reads a record, sorted by link; what is damaged is left out.
fn decode(record: &[u8]) -> Vec<(u32, SharedStats)> {
    let entries = record.chunks_exact(RECORD_BYTES).take(MOST_BACKENDS);
    let mut shared: Vec<(u32, SharedStats)> = entries.filter_map(decode_one).collect();
    shared.sort_by_key(|(link, _)| *link);
    shared.dedup_by_key(|(link, _)| *link);
    shared
}

fn decode_one(bytes: &[u8]) -> Option<(u32, SharedStats)> {
    let (link, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*link), SharedStats::read(rest)?))
}
