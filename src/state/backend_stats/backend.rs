//! One backend as one worker sees it: its requests in flight, and the samples that other workers do not have yet.

use super::expected::{Delivery, Expected};
use super::shared::{Multiple, Sample, SampleKind, SharedStats};
use super::sketch::{Sketch, bucket};
use super::{AttemptOutcome, InFlightId, Observed, PROBE_EVERY};

/// A request is late once its first token takes so many times the declared 99th percentile.
const OVERDUE: f32 = 3.0;
/// A single request takes the backend down after so many times its silence limit, while nothing else was heard.
const SPEAKS_ALONE: f32 = 3.0;
/// The most times that a slow backend extends the silence limit of its requests: a silent backend looks slow first.
const MAX_SLOWDOWN: f32 = 4.0;
/// The most requests in flight at one backend whose times are followed; of more, only the number.
pub(super) const MAX_FOLLOWED: usize = 64;
/// The most samples of one backend that wait for the next merge.
pub(super) const MAX_PENDING: usize = 64;
/// The least time of an answer in one piece that has a bucket of its own, in milliseconds.
const LEAST_WHOLE_MS: f32 = 100.0;
/// About so many answers in one piece tell how long these take.
const WHOLE_WINDOW: u32 = 128;
/// The fewest answers in one piece that tell it.
const WHOLE_ENOUGH: u32 = 8;
/// Silences of answers in one piece that take the backend down: how many are needed, each longer than so many times the longest
/// of the answers before, than so many milliseconds, and than so many times a usual answer. The more are silent, the sooner.
const WHOLE_SILENCE_LIMITS: [(usize, f32, f32, f32); 3] = [
    (1, 8.0, 45_000.0, 3.0),
    (3, 4.0, 15_000.0, 1.0),
    (30, 2.0, 5_000.0, 0.0),
];
/// The index in [`WHOLE_SILENCE_LIMITS`] for a client that leaves.
const LEAVES: usize = 1;
/// The least time of a usual answer while too few were seen, in milliseconds.
const UNKNOWN_USUAL_MS: f32 = 60_000.0;
/// So many late first tokens make the backend slow.
const MANY_LATE: usize = 3;

/// A request in flight.
#[derive(Debug, Clone, Copy)]
struct InFlight {
    id: u64,
    started_ns: u64,
    expected: Expected,
    /// A part of its answer came.
    has_first_byte: bool,
    /// The request counted as failed.
    has_failed: bool,
    /// Its silence counted against the backend.
    has_counted_silence: bool,
    /// A part of another answer came since the request was sent.
    others_answered: bool,
}

/// The requests in flight of one kind.
#[derive(Debug, Default)]
struct DeliveryCounts {
    in_flight: u32,
    /// Decisions since the backend was chosen last.
    unused: u32,
    /// The decision under way takes the backend for well, to probe it.
    probes: bool,
}

/// One backend.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) shared: SharedStats,
    pub(super) pending: Vec<Sample>,
    followed: Vec<InFlight>,
    by_delivery: [DeliveryCounts; 2],
    /// Times of answers in one piece.
    whole: Sketch,
    /// Decisions since the backend was chosen last, for any kind of request.
    unused: u32,
}

impl InFlight {
    fn age_ms(&self, now_ns: u64) -> f32 {
        now_ns.saturating_sub(self.started_ns) as f32 / 1e6
    }
}

/// The second in which a request began that has lasted so long.
fn sent_s(now_ns: u64, lasted_ms: f32) -> u32 {
    seconds(now_ns.saturating_sub((f64::from(lasted_ms) * 1e6) as u64)).max(1)
}

fn seconds(now_ns: u64) -> u32 {
    u32::try_from(now_ns / 1_000_000_000).unwrap_or(u32::MAX)
}

impl Backend {
    pub(super) fn new() -> Backend {
        Backend {
            shared: SharedStats::new(),
            pending: Vec::new(),
            followed: Vec::new(),
            by_delivery: [DeliveryCounts::default(), DeliveryCounts::default()],
            whole: Sketch::EMPTY,
            unused: 0,
        }
    }

    /// The number of requests that are followed.
    #[cfg(test)]
    pub(super) fn followed(&self) -> usize {
        self.followed.len()
    }

    fn counts_mut(&mut self, delivery: Delivery) -> &mut DeliveryCounts {
        let [whole, streamed] = &mut self.by_delivery;
        match delivery {
            Delivery::Whole => whole,
            Delivery::Streamed => streamed,
        }
    }

    fn add(&mut self, delivery: Delivery, now_ns: u64, kind: SampleKind) {
        let sample = Sample {
            delivery,
            at_s: seconds(now_ns),
            kind,
        };
        self.shared.add(&sample);
        if self.pending.len() < MAX_PENDING {
            self.pending.push(sample);
        }
    }

    /// Takes over the statistics that all workers share.
    pub(super) fn adopt(&mut self, shared: &SharedStats) {
        for delivery in Delivery::ALL {
            let before = self.shared.health(delivery);
            if shared.health(delivery).was_probed_since(before) {
                self.counts_mut(delivery).unused = 0;
            }
        }
        self.shared = shared.clone();
    }

    /// Observes the backend for a decision. If a probe is due and the request `may_probe`, the declared values count instead.
    pub(super) fn observe_for_decision(
        &mut self,
        delivery: Delivery,
        may_probe: bool,
        now_ns: u64,
    ) -> Observed {
        self.count_silent(now_ns);
        self.unused = self.unused.saturating_add(1);
        let observed = self.observe(delivery, now_ns);
        let now_s = seconds(now_ns);
        let health = self.shared.health(delivery).clone();
        let counts = self.counts_mut(delivery);
        counts.unused = counts.unused.saturating_add(1);
        let is_passed_over = observed.down || observed.latency_ratio() > 1.0;
        counts.probes = is_passed_over && may_probe && health.is_due(counts.unused, now_s);
        match counts.probes {
            true => Observed {
                in_flight: observed.in_flight,
                ..Observed::UNOBSERVED
            },
            false => observed,
        }
    }

    /// Observes the backend for a request of this kind, without any effect.
    pub(super) fn observe(&self, delivery: Delivery, now_ns: u64) -> Observed {
        let shared = &self.shared;
        let mut first_token = shared.first_token.ratio();
        first_token.median = first_token.median.max(self.late_ratio(delivery, now_ns));
        Observed {
            first_token,
            token_time: shared.token_time.ratio(),
            error_rate: shared.health(delivery).error_rate,
            down: shared.is_down(delivery, seconds(now_ns)),
            in_flight: self.by_delivery.iter().map(|counts| counts.in_flight).sum(),
            cold_start_ms: 0.0,
            length_ratios: Observed::UNOBSERVED.length_ratios,
        }
    }

    /// Whether the backend counts as warm: it has requests in flight, or a probe is due.
    pub(super) fn counts_as_warm(&self) -> bool {
        self.by_delivery.iter().any(|counts| counts.in_flight > 0) || self.unused >= PROBE_EVERY
    }

    /// Records that a request goes to the backend.
    pub(super) fn on_sent(&mut self, id: u64, now_ns: u64, expected: &Expected) {
        let silence_limit_ms = self.silence_limit_ms(expected);
        self.unused = 0;
        let counts = self.counts_mut(expected.delivery);
        counts.unused = 0;
        counts.in_flight = counts.in_flight.saturating_add(1);
        if std::mem::take(&mut counts.probes) {
            self.add(expected.delivery, now_ns, SampleKind::Probe);
        }
        // A request that counted as failed makes room: otherwise no other would be followed as long as a silence lasts.
        if self.followed.len() >= MAX_FOLLOWED
            && let Some(place) = self.followed.iter().position(|request| request.has_failed)
        {
            self.followed.swap_remove(place);
        }
        if self.followed.len() < MAX_FOLLOWED {
            self.followed.push(InFlight {
                id,
                started_ns: now_ns,
                expected: Expected {
                    silence_limit_ms,
                    ..*expected
                },
                has_first_byte: false,
                has_failed: false,
                has_counted_silence: false,
                others_answered: false,
            });
        }
    }

    /// The longest silence before a request has failed: by the declared values, longer if the backend is known to be slow.
    fn silence_limit_ms(&self, expected: &Expected) -> f32 {
        let slowdown = self.shared.first_token.ratio().median;
        expected.silence_limit_ms * slowdown.clamp(1.0, MAX_SLOWDOWN)
    }

    /// How many answers in one piece have to be silent, and for how long, by one of [`WHOLE_SILENCE_LIMITS`].
    fn whole_silence_limit(&self, usual_ms: f32, place: usize) -> Option<(usize, f32)> {
        let (count, times, least, usual) = WHOLE_SILENCE_LIMITS.get(place).copied()?;
        Some(match self.whole.weight() {
            ..WHOLE_ENOUGH => (count, usual_ms.max(UNKNOWN_USUAL_MS) * usual.max(1.0)),
            _ => {
                let longest = self.whole.quantile(0.99) * LEAST_WHOLE_MS;
                let limit_ms = (longest * times).max(least).max(usual_ms * usual);
                (count, limit_ms)
            }
        })
    }

    /// Whether answers in one piece are silent for longer than any takes, while nothing else is heard.
    fn are_silent(&self, now_ns: u64) -> bool {
        let answered_s = self.shared.health(Delivery::Whole).answered_s;
        let silent = || {
            self.followed.iter().filter(|request| {
                request.expected.delivery == Delivery::Whole
                    && !request.has_first_byte
                    && !request.others_answered
                    && answered_s < seconds(request.started_ns).max(1)
            })
        };
        let Some(usual_ms) = silent()
            .map(|request| request.expected.usual_ms)
            .reduce(f32::max)
        else {
            return false;
        };
        let mut places = 0..WHOLE_SILENCE_LIMITS.len();
        places.any(|place| {
            let wanted = self.whole_silence_limit(usual_ms, place);
            wanted.is_some_and(|(count, silence_limit_ms)| {
                let old = silent().filter(|request| request.age_ms(now_ns) > silence_limit_ms);
                old.count() >= count
            })
        })
    }

    /// Records the first byte of an answer.
    pub(super) fn on_first_byte(&mut self, id: u64, delivery: Delivery) {
        for request in &mut self.followed {
            match request.id == id {
                true => request.has_first_byte = true,
                false => request.others_answered |= request.expected.delivery == delivery,
            }
        }
    }

    /// How many times longer than declared those first tokens take that are late and have not come yet, if there are several.
    /// Otherwise a backend that got ten times as slow would be known for it ten times too late. Their own samples follow.
    fn late_ratio(&self, delivery: Delivery, now_ns: u64) -> f32 {
        if delivery == Delivery::Whole {
            return 1.0;
        }
        let late = self.followed.iter().filter(|request| {
            let expected = &request.expected;
            let late_ms = OVERDUE * expected.first_token_p99_ms + expected.reading_ms;
            expected.delivery == delivery
                && !request.has_first_byte
                && !request.has_failed
                && request.age_ms(now_ns) > late_ms
        });
        let ratios = late.map(|request| request.expected.first_token_ratio(request.age_ms(now_ns)));
        let (count, least) = ratios.fold((0, f32::INFINITY), |(count, least), ratio| {
            (count + 1, least.min(ratio))
        });
        match count {
            MANY_LATE.. => least.max(1.0),
            _ => 1.0,
        }
    }

    /// Counts silences as failures as soon as they last too long: otherwise nothing would be known of a backend that is silent
    /// for ever.
    fn count_silent(&mut self, now_ns: u64) {
        let mut samples = Vec::new();
        let silent = |request: &&mut InFlight| !request.has_first_byte;
        for request in self.followed.iter_mut().filter(silent) {
            let expected = request.expected;
            let delivery = expected.delivery;
            let ms = request.age_ms(now_ns);
            if !request.has_failed && ms > expected.silence_limit_ms {
                request.has_failed = true;
                samples.push((delivery, SampleKind::Failure));
            }
            let answered_s = self.shared.health(delivery).answered_s;
            if !request.has_counted_silence
                && !request.others_answered
                && ms > SPEAKS_ALONE * expected.silence_limit_ms
                && answered_s < seconds(request.started_ns).max(1)
            {
                request.has_counted_silence = true;
                samples.push((delivery, SampleKind::Silence));
            }
        }
        for (delivery, kind) in samples {
            self.add(delivery, now_ns, kind);
        }
        if !self.shared.health(Delivery::Whole).down && self.are_silent(now_ns) {
            self.add(Delivery::Whole, now_ns, SampleKind::Silence);
        }
    }

    /// Records the end of a request; returns whether the attempt failed.
    pub(super) fn on_end(
        &mut self,
        id: InFlightId,
        expected: &Expected,
        outcome: AttemptOutcome,
        now_ns: u64,
    ) -> bool {
        let delivery = expected.delivery;
        let counts = self.counts_mut(delivery);
        counts.in_flight = counts.in_flight.saturating_sub(1);
        let place = self.followed.iter().position(|request| request.id == id.id);
        let request = place.map(|place| self.followed.swap_remove(place));
        if matches!(
            outcome,
            AttemptOutcome::Answered(_) | AttemptOutcome::AnsweredLate
        ) {
            self.on_first_byte(id.id, delivery);
        }
        let slowdown = self.shared.token_time.ratio().median;
        let kind = match outcome {
            AttemptOutcome::Answered(times) => {
                let (first, token) = expected.compare(&times, slowdown);
                if times.first_token_ms.is_none() && delivery == Delivery::Whole {
                    let length = bucket(times.last_ms, LEAST_WHOLE_MS);
                    self.whole.add(length, WHOLE_WINDOW);
                }
                SampleKind::Answer {
                    first_token: first.map(Multiple::new),
                    token_time: token.map(Multiple::new),
                    length: expected.compare_length(&times),
                }
            }
            AttemptOutcome::AnsweredLate => SampleKind::Answer {
                first_token: None,
                token_time: None,
                length: None,
            },
            AttemptOutcome::Failed | AttemptOutcome::Left { .. }
                if request.is_some_and(|request| request.has_failed) =>
            {
                return true;
            }
            AttemptOutcome::Failed => SampleKind::Failure,
            // A request that was not followed counts only if no other was answered since it was sent.
            AttemptOutcome::Left { after_ms }
                if after_ms > self.leave_ms(expected)
                    && (request.is_some()
                        || self.shared.health(delivery).answered_s < sent_s(now_ns, after_ms)) =>
            {
                SampleKind::Failure
            }
            AttemptOutcome::Left { .. } | AttemptOutcome::Unknown => return false,
        };
        self.add(delivery, now_ns, kind);
        kind == SampleKind::Failure
    }

    /// A client that leaves after so long a silence did not get an answer in time.
    fn leave_ms(&self, expected: &Expected) -> f32 {
        let silence_limit_ms = self.silence_limit_ms(expected);
        let whole = match expected.delivery {
            Delivery::Whole => self.whole_silence_limit(expected.usual_ms, LEAVES),
            Delivery::Streamed => None,
        };
        whole.map_or(silence_limit_ms, |(_, ms)| ms.min(silence_limit_ms))
    }

    /// Records an attempt that was not announced: a later one of a chain.
    pub(super) fn on_attempt(&mut self, delivery: Delivery, failed: bool, now_ns: u64) {
        let kind = match failed {
            true => SampleKind::Failure,
            false => SampleKind::Answer {
                first_token: None,
                token_time: None,
                length: None,
            },
        };
        self.add(delivery, now_ns, kind);
    }
}
