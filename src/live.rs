//! How the backends are doing right now, learned from the traffic itself: how much slower than stated, how often they fail,
//! what is under way. Mergeable across workers, bounded, pure: time enters as an argument.
//!
//! What is observed of an answer is its time as a multiple of what was expected of it, so that long and short answers
//! tell the same. A median over few answers reacts within a dozen; it counts only from [`NOTICED`] on and falls back only
//! when it is near one again, so decisions do not flap. What is better than stated is not credited: a backend that gets
//! traffic would otherwise look better than one that gets none. A backend that was passed over is tried again with one
//! decision in [`PROBE_EVERY`], so that it is noticed when it is well again.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use crate::registry::Cold;
use crate::warmth::Warmth;

/// A backend that lost its traffic gets one decision in so many, where it would be best by what is stated of it.
pub const PROBE_EVERY: u32 = 32;
/// How many times slower than stated a backend must be for that to count.
pub const NOTICED: f32 = 2.0;
/// Failures in a row after which a backend counts as down.
pub const DOWN_AFTER: u8 = 3;
/// Answers in a row after which one that was down counts as up.
const UP_AFTER: u8 = 2;
/// A request without an answer counts as slow once it takes so many times what is expected of it.
const OVERDUE: f32 = 3.0;
/// The most requests under way at one backend whose times are followed; of more, only the number.
const MOST_FLIGHTS: usize = 64;
/// The most observations of one backend that wait for the next merge.
const MOST_PENDING: usize = 64;
/// The most backends that are followed.
pub const MOST_BACKENDS: usize = 1000;

/// What decisions know of a backend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observed {
    /// How many times slower than stated its median answer is; at least 1.
    pub slowdown: f32,
    /// The same of its 99th percentile.
    pub slowdown_p99: f32,
    /// The 99th percentile of the time to the first token in milliseconds, where enough was seen.
    pub first_token_p99_ms: Option<f32>,
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
    pub const NOTHING: Observed = Observed {
        slowdown: 1.0,
        slowdown_p99: 1.0,
        first_token_p99_ms: None,
        error_rate: 0.0,
        down: false,
        in_flight: 0,
        cold_start_ms: 0.0,
    };
}

/// How an exchange with a backend ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ending {
    /// It answered; milliseconds to the first token where it was streamed, and to the end.
    Answered {
        /// To the first token.
        first_token_ms: Option<f32>,
        /// To the end.
        total_ms: f32,
    },
    /// It answered, but when is not known: other attempts came before.
    AnsweredLate,
    /// It failed: no answer, a status that says so, or a stream that broke off.
    Failed,
    /// Nothing is known of it: the client went away, or the fault was the client's.
    Unknown,
}

/// Counts of values in logarithmic buckets, eight to the factor ten, of which old ones count less and less.
#[derive(Debug, Clone, PartialEq)]
struct Sketch {
    counts: [u16; BUCKETS],
    total: u32,
}

const BUCKETS: usize = 40;
const PER_DECADE: f32 = 8.0;
/// What one value counts before it ages.
const UNIT: u16 = 32;
/// The least ratio that is told apart; the least time in milliseconds is 1.
const LEAST_RATIO: f32 = 0.01;

impl Sketch {
    const EMPTY: Sketch = Sketch {
        counts: [0; BUCKETS],
        total: 0,
    };

    /// Adds a value in multiples of the least; what is older than about `window` values is forgotten.
    fn add(&mut self, bucket: u8, window: u32) {
        if let Some(count) = self.counts.get_mut(usize::from(bucket)) {
            *count = count.saturating_add(UNIT);
            self.total += u32::from(UNIT);
        }
        if self.total > window * u32::from(UNIT) {
            self.total = 0;
            for count in &mut self.counts {
                *count /= 2;
                self.total += u32::from(*count);
            }
        }
    }

    /// How many values it holds, aged ones in part.
    fn weight(&self) -> u32 {
        self.total / u32::from(UNIT)
    }

    /// The quantile in multiples of the least value; 0 of none.
    fn quantile(&self, q: f32) -> f32 {
        let wanted = (self.total as f32 * q) as u32;
        let mut sum = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            sum += u32::from(*count);
            if sum > wanted {
                return 10_f32.powf((bucket as f32 + 0.5) / PER_DECADE);
            }
        }
        0.0
    }
}

fn bucket(value: f32, least: f32) -> u8 {
    let place = ((value / least).max(1.0).log10() * PER_DECADE) as usize;
    place.min(BUCKETS - 1) as u8
}

/// One thing that was seen of a backend.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Sight {
    /// An answer: the bucket of its ratio, and of its time to the first token.
    Answer { ratio: u8, first: Option<u8> },
    /// An answer whose time is not known.
    Alive,
    /// A failure.
    Failure,
}

/// What all workers know of a backend.
#[derive(Debug, Clone, PartialEq)]
struct Learned {
    /// Ratios of the last answers.
    recent: Sketch,
    /// Ratios of more answers, for the 99th percentile.
    long: Sketch,
    /// Times to the first token.
    first: Sketch,
    /// The slowdown that counts.
    slowdown: f32,
    error_rate: f32,
    failures: u8,
    answers: u8,
    down: bool,
}

const RECENT: u32 = 16;
const LONG: u32 = 256;
/// The fewest answers for a 99th percentile.
const ENOUGH: u32 = 64;

impl Learned {
    fn new() -> Learned {
        Learned {
            recent: Sketch::EMPTY,
            long: Sketch::EMPTY,
            first: Sketch::EMPTY,
            slowdown: 1.0,
            error_rate: 0.0,
            failures: 0,
            answers: 0,
            down: false,
        }
    }

    fn see(&mut self, sight: Sight) {
        let failed = matches!(sight, Sight::Failure);
        self.error_rate += (f32::from(u8::from(failed)) - self.error_rate) / 16.0;
        if failed {
            self.failures = self.failures.saturating_add(1);
            self.answers = 0;
        } else {
            self.failures = 0;
            self.answers = self.answers.saturating_add(1);
        }
        if self.failures >= DOWN_AFTER || self.error_rate > 0.5 {
            self.down = true;
        } else if self.down && self.answers >= UP_AFTER {
            self.down = false;
            self.error_rate = self.error_rate.min(0.25);
        }
        let Sight::Answer { ratio, first } = sight else {
            return;
        };
        self.recent.add(ratio, RECENT);
        self.long.add(ratio, LONG);
        if let Some(first) = first {
            self.first.add(first, LONG);
        }
        self.settle();
    }

    /// Takes over what the last answers say once it differs clearly from what counts.
    fn settle(&mut self) {
        if self.recent.weight() < 4 {
            return;
        }
        let seen = self.recent.quantile(0.5) * LEAST_RATIO;
        let seen = if seen < NOTICED { 1.0 } else { seen };
        let change = seen / self.slowdown;
        if !(1.0 / NOTICED..=NOTICED).contains(&change) {
            self.slowdown = seen;
            // What was seen before belongs to another time.
            self.long = self.recent.clone();
            self.first = Sketch::EMPTY;
        }
    }

    fn tail(&self) -> f32 {
        if self.long.weight() < ENOUGH {
            return self.slowdown;
        }
        let seen = self.long.quantile(0.99) * LEAST_RATIO;
        seen.max(self.slowdown)
    }
}

/// A request under way.
#[derive(Debug, Clone, Copy)]
struct Flight {
    id: u64,
    started_ns: u64,
    expected_ms: f32,
    /// Whether it counted as slow already.
    counted: bool,
}

/// One backend as this worker sees it.
#[derive(Debug)]
struct Backend {
    link: u32,
    learned: Learned,
    pending: Vec<Sight>,
    flights: VecDeque<Flight>,
    in_flight: u32,
    /// Decisions since it was chosen last.
    unused: u32,
}

/// Everything that one worker knows.
#[derive(Debug, Default)]
pub struct Live {
    /// Sorted by link.
    backends: Vec<Backend>,
    next: u64,
    /// When those that scale to zero were used.
    pub warmth: Warmth,
}

/// A request that was sent to a backend; given back when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    id: u64,
    link: u32,
}

impl Live {
    /// Knows nothing yet.
    pub fn new() -> Live {
        Live::default()
    }

    /// What decisions are to know of these backends, in their order. Called once for each decision.
    pub fn view(&mut self, links: impl Iterator<Item = u32>, now_ns: u64) -> Vec<Observed> {
        links
            .map(|link| match self.find(link) {
                Some(backend) => {
                    backend.count_overdue(now_ns);
                    backend.unused = backend.unused.saturating_add(1);
                    backend.observed()
                }
                None => Observed::NOTHING,
            })
            .collect()
    }

    /// What is known of a backend, without any effect.
    pub fn look(&self, link: u32) -> Observed {
        let known = self.place(link).ok();
        let known = known.and_then(|place| self.backends.get(place));
        known.map_or(Observed::NOTHING, Backend::state)
    }

    /// How much later the first token of a backend comes because it has scaled to zero, in milliseconds. Who lost its traffic
    /// by that is tried again as others are: by what is stated.
    pub fn cold_start_ms(&self, link: u32, cold: &Cold, now_ns: u64) -> f32 {
        let known = self.place(link).ok();
        let known = known.and_then(|place| self.backends.get(place));
        if known.is_some_and(|one| one.in_flight > 0 || one.unused >= PROBE_EVERY)
            || !self.warmth.is_cold(link, cold, now_ns)
        {
            return 0.0;
        }
        cold.start_ms
    }

    /// A request goes to this backend; `expected_ms` is what is stated for its whole answer.
    pub fn sent(&mut self, link: u32, now_ns: u64, expected_ms: f32) -> Option<Ticket> {
        self.next = self.next.wrapping_add(1);
        let id = self.next;
        let backend = self.find_or_add(link)?;
        backend.unused = 0;
        backend.in_flight = backend.in_flight.saturating_add(1);
        if backend.flights.len() < MOST_FLIGHTS {
            backend.flights.push_back(Flight {
                id,
                started_ns: now_ns,
                expected_ms: expected_ms.max(1.0),
                counted: false,
            });
        }
        Some(Ticket { id, link })
    }

    /// A request has ended. `expected_ms` as when it was sent.
    pub fn ended(&mut self, ticket: Ticket, expected_ms: f32, ending: Ending) {
        let Some(backend) = self.find(ticket.link) else {
            return;
        };
        backend.in_flight = backend.in_flight.saturating_sub(1);
        let place = backend
            .flights
            .iter()
            .position(|flight| flight.id == ticket.id);
        let counted = place
            .and_then(|place| backend.flights.remove(place))
            .is_some_and(|flight| flight.counted);
        match ending {
            Ending::Answered { .. } | Ending::AnsweredLate if counted => backend.see(Sight::Alive),
            Ending::Answered {
                first_token_ms,
                total_ms,
            } => backend.see(Sight::Answer {
                ratio: bucket(total_ms / expected_ms.max(1.0), LEAST_RATIO),
                first: first_token_ms.map(|ms| bucket(ms, 1.0)),
            }),
            Ending::AnsweredLate => backend.see(Sight::Alive),
            Ending::Failed => backend.see(Sight::Failure),
            Ending::Unknown => {}
        }
    }

    /// An attempt at a backend ended so, without having been announced: one of a chain.
    pub fn attempted(&mut self, link: u32, failed: bool) {
        if let Some(backend) = self.find_or_add(link) {
            backend.see(if failed { Sight::Failure } else { Sight::Alive });
        }
    }

    /// Whether there is anything that other workers do not know yet.
    pub fn has_news(&self) -> bool {
        self.backends
            .iter()
            .any(|backend| !backend.pending.is_empty())
    }

    /// Merges what this worker saw into `record`, which all workers share, and takes over what stands there then. Whoever
    /// fails to write the result has lost nothing: see [`Live::merged`].
    pub fn merge(&mut self, record: &[u8]) -> Vec<u8> {
        let mut shared = decode(record);
        for backend in &mut self.backends {
            let place = match shared.binary_search_by_key(&backend.link, |(link, _)| *link) {
                Ok(place) => place,
                Err(place) if shared.len() < MOST_BACKENDS => {
                    shared.insert(place, (backend.link, Learned::new()));
                    place
                }
                Err(_) => continue,
            };
            if let Some((_, learned)) = shared.get_mut(place) {
                for sight in &backend.pending {
                    learned.see(*sight);
                }
                backend.learned = learned.clone();
            }
        }
        for (link, learned) in &shared {
            if let Err(place) = self.place(*link) {
                let mut backend = Backend::new(*link);
                backend.learned = learned.clone();
                self.backends.insert(place, backend);
            }
        }
        encode(&shared)
    }

    /// The result of [`Live::merge`] was written.
    pub fn merged(&mut self) {
        for backend in &mut self.backends {
            backend.pending.clear();
        }
    }

    /// Where a backend stands, or would stand.
    fn place(&self, link: u32) -> Result<usize, usize> {
        self.backends.binary_search_by_key(&link, |one| one.link)
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

impl Backend {
    fn new(link: u32) -> Backend {
        Backend {
            link,
            learned: Learned::new(),
            pending: Vec::new(),
            flights: VecDeque::new(),
            in_flight: 0,
            unused: 0,
        }
    }

    fn see(&mut self, sight: Sight) {
        self.learned.see(sight);
        if self.pending.len() < MOST_PENDING {
            self.pending.push(sight);
        }
    }

    /// Requests that take far longer than expected count before their answer is there: a backend that got ten times as slow
    /// would otherwise be known for it ten times too late.
    fn count_overdue(&mut self, now_ns: u64) {
        let mut seen = Vec::new();
        for flight in self.flights.iter_mut().filter(|flight| !flight.counted) {
            let ms = now_ns.saturating_sub(flight.started_ns) as f32 / 1e6;
            let ratio = ms / flight.expected_ms;
            if ratio > OVERDUE {
                flight.counted = true;
                seen.push(Sight::Answer {
                    ratio: bucket(ratio, LEAST_RATIO),
                    first: None,
                });
            }
        }
        for sight in seen {
            self.see(sight);
        }
    }

    /// What is known, or what is stated where it is due to be tried again.
    fn observed(&self) -> Observed {
        let state = self.state();
        let passed_over = state.down || state.slowdown > 1.0;
        if passed_over && self.unused >= PROBE_EVERY && self.in_flight == 0 {
            return Observed {
                in_flight: state.in_flight,
                ..Observed::NOTHING
            };
        }
        state
    }

    fn state(&self) -> Observed {
        let learned = &self.learned;
        let first = &learned.first;
        Observed {
            slowdown: learned.slowdown,
            slowdown_p99: learned.tail(),
            first_token_p99_ms: (first.weight() >= ENOUGH).then(|| first.quantile(0.99)),
            error_rate: learned.error_rate,
            down: learned.down,
            in_flight: self.in_flight,
            cold_start_ms: 0.0,
        }
    }
}

/// Bytes of one backend in the shared record.
pub const RECORD_BYTES: usize = 4 + 3 * 2 * BUCKETS + 4 + 4 + 3;

fn encode(shared: &[(u32, Learned)]) -> Vec<u8> {
    let mut record = Vec::with_capacity(shared.len() * RECORD_BYTES);
    for (link, learned) in shared {
        record.extend_from_slice(&link.to_le_bytes());
        for sketch in [&learned.recent, &learned.long, &learned.first] {
            for count in sketch.counts {
                record.extend_from_slice(&count.to_le_bytes());
            }
        }
        record.extend_from_slice(&learned.slowdown.to_le_bytes());
        record.extend_from_slice(&learned.error_rate.to_le_bytes());
        record.extend_from_slice(&[learned.failures, learned.answers, u8::from(learned.down)]);
    }
    record
}

/// Reads a record, sorted by link; what is damaged is left out.
fn decode(record: &[u8]) -> Vec<(u32, Learned)> {
    let entries = record.chunks_exact(RECORD_BYTES).take(MOST_BACKENDS);
    let mut shared: Vec<(u32, Learned)> = entries.filter_map(decode_one).collect();
    shared.sort_by_key(|(link, _)| *link);
    shared.dedup_by_key(|(link, _)| *link);
    shared
}

fn decode_one(bytes: &[u8]) -> Option<(u32, Learned)> {
    let (link, mut rest) = bytes.split_first_chunk::<4>()?;
    let mut learned = Learned::new();
    for sketch in [&mut learned.recent, &mut learned.long, &mut learned.first] {
        for count in &mut sketch.counts {
            let (two, after) = rest.split_first_chunk::<2>()?;
            *count = u16::from_le_bytes(*two);
            sketch.total += u32::from(*count);
            rest = after;
        }
    }
    let (slowdown, rest) = rest.split_first_chunk::<4>()?;
    let (error_rate, rest) = rest.split_first_chunk::<4>()?;
    let number = |bytes: &[u8; 4]| Some(f32::from_le_bytes(*bytes)).filter(|n| n.is_finite());
    learned.slowdown = number(slowdown)?.max(1.0);
    learned.error_rate = number(error_rate)?.clamp(0.0, 1.0);
    if let [failures, answers, down] = rest {
        learned.failures = *failures;
        learned.answers = *answers;
        learned.down = *down != 0;
    }
    Some((u32::from_le_bytes(*link), learned))
}
