//! One backend as one worker sees it: what is under way there, and what that worker saw and others do not know yet.

use super::expected::{Delivery, Expected};
use super::learned::{Multiple, Observation, SharedStats, What};
use super::sketch::{Sketch, bucket};
use super::{AttemptOutcome, InFlightId, Observed, PROBE_EVERY};

/// A request counts as late once its first token takes so many times the slowest that is stated.
const OVERDUE: f32 = 3.0;
/// One request that is silent for so many times its patience, while nothing else was heard, speaks for its backend.
const SPEAKS_ALONE: f32 = 3.0;
/// A backend that is slow is waited for longer, but no more than so many times: what is silent looks slow first.
const MOST_SLOW: f32 = 4.0;
/// The most requests under way at one backend whose times are followed; of more, only the number.
pub(super) const MOST_FLIGHTS: usize = 64;
/// The most observations of one backend that wait for the next merge.
pub(super) const MOST_PENDING: usize = 64;
/// The least time of an answer in one piece that is told apart, in milliseconds.
const LEAST_WHOLE_MS: f32 = 100.0;
/// About how many answers in one piece tell how long these take, and the fewest.
const WHOLE_WINDOW: u32 = 128;
const WHOLE_ENOUGH: u32 = 8;
/// After which silence of so many answers in one piece there is nobody who writes them: so many times the longest of those before,
/// so many milliseconds, and so many times what a usual one takes. Of many that are silent less is enough.
const WHOLE_PATIENCE: [(usize, f32, f32, f32); 3] = [
    (1, 8.0, 45_000.0, 3.0),
    (3, 4.0, 15_000.0, 1.0),
    (30, 2.0, 5_000.0, 0.0),
];
/// The place of the one that holds for a client that leaves.
const LEAVES: usize = 1;
/// What a usual one takes at least, in milliseconds, where not enough was answered yet.
const UNKNOWN_USUAL_MS: f32 = 60_000.0;
/// So many requests whose first token is late tell that the backend is slow.
const MANY_LATE: usize = 3;

/// A request under way.
#[derive(Debug, Clone, Copy)]
struct InFlight {
    id: u64,
    started_ns: u64,
    expected: Expected,
    /// Something of its answer came.
    heard: bool,
    /// It counted as failed.
    has_failed: bool,
    speaks: bool,
    /// Something of another answer came since it was sent.
    others_heard: bool,
}

/// What is under way of one kind.
#[derive(Debug, Default)]
struct Lane {
    in_flight: u32,
    /// Decisions since it was chosen last.
    unused: u32,
    /// The decision that is being made takes it for well, to see whether it is.
    probes: bool,
}

/// One backend.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) learned: SharedStats,
    pub(super) pending: Vec<Observation>,
    flights: Vec<InFlight>,
    lanes: [Lane; 2],
    /// How long answers in one piece take.
    whole: Sketch,
    /// Decisions since it was chosen last, whatever for.
    unused: u32,
}

impl InFlight {
    fn age_ms(&self, now_ns: u64) -> f32 {
        now_ns.saturating_sub(self.started_ns) as f32 / 1e6
    }
}

/// The second in which what has lasted so long began.
fn sent_s(now_ns: u64, lasted_ms: f32) -> u32 {
    seconds(now_ns.saturating_sub((f64::from(lasted_ms) * 1e6) as u64)).max(1)
}

fn seconds(now_ns: u64) -> u32 {
    u32::try_from(now_ns / 1_000_000_000).unwrap_or(u32::MAX)
}

impl Backend {
    pub(super) fn new() -> Backend {
        Backend {
            learned: SharedStats::new(),
            pending: Vec::new(),
            flights: Vec::new(),
            lanes: [Lane::default(), Lane::default()],
            whole: Sketch::EMPTY,
            unused: 0,
        }
    }

    /// How many requests are followed.
    #[cfg(test)]
    pub(super) fn followed(&self) -> usize {
        self.flights.len()
    }

    fn lane_mut(&mut self, delivery: Delivery) -> &mut Lane {
        let [whole, streamed] = &mut self.lanes;
        match delivery {
            Delivery::Whole => whole,
            Delivery::Streamed => streamed,
        }
    }

    fn see(&mut self, delivery: Delivery, now_ns: u64, what: What) {
        let seen = Observation {
            delivery,
            at_s: seconds(now_ns),
            what,
        };
        self.learned.see(&seen);
        if self.pending.len() < MOST_PENDING {
            self.pending.push(seen);
        }
    }

    /// Takes over what all workers know.
    pub(super) fn take(&mut self, learned: &SharedStats) {
        for delivery in Delivery::ALL {
            let before = self.learned.health(delivery);
            if learned.health(delivery).was_probed_since(before) {
                self.lane_mut(delivery).unused = 0;
            }
        }
        self.learned = learned.clone();
    }

    /// A decision is about to be made, for a request that is to be answered so. What it is to know: what is known, or what is
    /// stated where it is due to be tried again and the request `may_probe`.
    pub(super) fn view(&mut self, delivery: Delivery, may_probe: bool, now_ns: u64) -> Observed {
        self.count_silent(now_ns);
        self.unused = self.unused.saturating_add(1);
        let state = self.state(delivery, now_ns);
        let now_s = seconds(now_ns);
        let health = self.learned.health(delivery).clone();
        let lane = self.lane_mut(delivery);
        lane.unused = lane.unused.saturating_add(1);
        let is_passed_over = state.down || state.latency_ratio() > 1.0;
        lane.probes = is_passed_over && may_probe && health.is_due(lane.unused, now_s);
        match lane.probes {
            true => Observed {
                in_flight: state.in_flight,
                ..Observed::UNOBSERVED
            },
            false => state,
        }
    }

    /// What is known, for a request that is to be answered so.
    pub(super) fn state(&self, delivery: Delivery, now_ns: u64) -> Observed {
        let learned = &self.learned;
        let mut first_token = learned.first_token.state();
        first_token.median = first_token.median.max(self.late(delivery, now_ns));
        Observed {
            first_token,
            token_time: learned.token_time.state(),
            error_rate: learned.health(delivery).error_rate,
            down: learned.is_down(delivery, seconds(now_ns)),
            in_flight: self.lanes.iter().map(|lane| lane.in_flight).sum(),
            cold_start_ms: 0.0,
        }
    }

    /// Whether it is warm, or due to be tried whether it is.
    pub(super) fn is_taken_for_warm(&self) -> bool {
        self.lanes.iter().any(|lane| lane.in_flight > 0) || self.unused >= PROBE_EVERY
    }

    /// A request goes there.
    pub(super) fn sent(&mut self, id: u64, now_ns: u64, expected: &Expected) {
        let patience_ms = self.patience_ms(expected);
        self.unused = 0;
        let lane = self.lane_mut(expected.delivery);
        lane.unused = 0;
        lane.in_flight = lane.in_flight.saturating_add(1);
        if std::mem::take(&mut lane.probes) {
            self.see(expected.delivery, now_ns, What::Probe);
        }
        // What has failed already makes room: others would not be followed as long as a silence lasts.
        if self.flights.len() >= MOST_FLIGHTS
            && let Some(place) = self.flights.iter().position(|flight| flight.has_failed)
        {
            self.flights.swap_remove(place);
        }
        if self.flights.len() < MOST_FLIGHTS {
            self.flights.push(InFlight {
                id,
                started_ns: now_ns,
                expected: Expected {
                    patience_ms,
                    ..*expected
                },
                heard: false,
                has_failed: false,
                speaks: false,
                others_heard: false,
            });
        }
    }

    /// How long a silence is too long, by what is stated; longer where it was seen to be slow.
    fn patience_ms(&self, expected: &Expected) -> f32 {
        let slow = self.learned.first_token.state().median;
        expected.patience_ms * slow.clamp(1.0, MOST_SLOW)
    }

    /// How many answers in one piece have to be silent for how long, by one of [`WHOLE_PATIENCE`].
    fn whole_patience(&self, usual_ms: f32, place: usize) -> Option<(usize, f32)> {
        let (count, times, least, usual) = WHOLE_PATIENCE.get(place).copied()?;
        Some(match self.whole.weight() {
            ..WHOLE_ENOUGH => (count, usual_ms.max(UNKNOWN_USUAL_MS) * usual.max(1.0)),
            _ => {
                let longest = self.whole.quantile(0.99) * LEAST_WHOLE_MS;
                let patience = (longest * times).max(least).max(usual_ms * usual);
                (count, patience)
            }
        })
    }

    /// Whether answers in one piece are silent for longer than any takes, while nothing else is heard.
    fn are_silent(&self, now_ns: u64) -> bool {
        let answered_s = self.learned.health(Delivery::Whole).answered_s;
        let silent = || {
            self.flights.iter().filter(|flight| {
                flight.expected.delivery == Delivery::Whole
                    && !flight.heard
                    && !flight.others_heard
                    && answered_s < seconds(flight.started_ns).max(1)
            })
        };
        let Some(usual_ms) = silent().map(|one| one.expected.usual_ms).reduce(f32::max) else {
            return false;
        };
        let mut places = 0..WHOLE_PATIENCE.len();
        places.any(|place| {
            let wanted = self.whole_patience(usual_ms, place);
            wanted.is_some_and(|(count, patience_ms)| {
                let old = silent().filter(|one| one.age_ms(now_ns) > patience_ms);
                old.count() >= count
            })
        })
    }

    /// The first of its answer came.
    pub(super) fn heard(&mut self, id: u64, delivery: Delivery) {
        for flight in &mut self.flights {
            match flight.id == id {
                true => flight.heard = true,
                false => flight.others_heard |= flight.expected.delivery == delivery,
            }
        }
    }

    /// How many times longer than stated first tokens take that are late and not there yet, where several are: a backend that got
    /// ten times as slow would otherwise be known for it ten times too late. What becomes of them counts when it is known.
    fn late(&self, delivery: Delivery, now_ns: u64) -> f32 {
        if delivery == Delivery::Whole {
            return 1.0;
        }
        let late = self.flights.iter().filter(|flight| {
            let expected = &flight.expected;
            let late_ms = OVERDUE * expected.first_token_p99_ms + expected.reading_ms;
            expected.delivery == delivery
                && !flight.heard
                && !flight.has_failed
                && flight.age_ms(now_ns) > late_ms
        });
        let ratios = late.map(|one| one.expected.first_token_ratio(one.age_ms(now_ns)));
        let (count, least) = ratios.fold((0, f32::INFINITY), |(count, least), ratio| {
            (count + 1, least.min(ratio))
        });
        match count {
            MANY_LATE.. => least.max(1.0),
            _ => 1.0,
        }
    }

    /// Silence counts as a failure when it is noticed: of a backend that is silent for ever nothing would be known otherwise.
    fn count_silent(&mut self, now_ns: u64) {
        let mut seen = Vec::new();
        for flight in self.flights.iter_mut().filter(|flight| !flight.heard) {
            let expected = flight.expected;
            let delivery = expected.delivery;
            let ms = flight.age_ms(now_ns);
            if !flight.has_failed && ms > expected.patience_ms {
                flight.has_failed = true;
                seen.push((delivery, What::Failure));
            }
            let answered_s = self.learned.health(delivery).answered_s;
            if !flight.speaks
                && !flight.others_heard
                && ms > SPEAKS_ALONE * expected.patience_ms
                && answered_s < seconds(flight.started_ns).max(1)
            {
                flight.speaks = true;
                seen.push((delivery, What::Silence));
            }
        }
        for (delivery, what) in seen {
            self.see(delivery, now_ns, what);
        }
        if !self.learned.health(Delivery::Whole).down && self.are_silent(now_ns) {
            self.see(Delivery::Whole, now_ns, What::Silence);
        }
    }

    /// A request has ended; says whether that was a failure.
    pub(super) fn ended(
        &mut self,
        ticket: InFlightId,
        expected: &Expected,
        ending: AttemptOutcome,
        now_ns: u64,
    ) -> bool {
        let delivery = expected.delivery;
        let lane = self.lane_mut(delivery);
        lane.in_flight = lane.in_flight.saturating_sub(1);
        let place = self.flights.iter().position(|one| one.id == ticket.id);
        let flight = place.map(|place| self.flights.swap_remove(place));
        if matches!(
            ending,
            AttemptOutcome::Answered(_) | AttemptOutcome::AnsweredLate
        ) {
            self.heard(ticket.id, delivery);
        }
        let slow = self.learned.token_time.state().median;
        let what = match ending {
            AttemptOutcome::Answered(times) => {
                let (first, token) = expected.judge(&times, slow);
                if times.first_token_ms.is_none() && delivery == Delivery::Whole {
                    let length = bucket(times.last_ms, LEAST_WHOLE_MS);
                    self.whole.add(length, WHOLE_WINDOW);
                }
                What::Answer {
                    first_token: first.map(Multiple::of),
                    token_time: token.map(Multiple::of),
                }
            }
            AttemptOutcome::AnsweredLate => What::Answer {
                first_token: None,
                token_time: None,
            },
            AttemptOutcome::Failed | AttemptOutcome::Left { .. }
                if flight.is_some_and(|one| one.has_failed) =>
            {
                return true;
            }
            AttemptOutcome::Failed => What::Failure,
            // Of one that was not followed: where others were answered since it was sent, they know better.
            AttemptOutcome::Left { after_ms }
                if after_ms > self.leave_ms(expected)
                    && (flight.is_some()
                        || self.learned.health(delivery).answered_s < sent_s(now_ns, after_ms)) =>
            {
                What::Failure
            }
            AttemptOutcome::Left { .. } | AttemptOutcome::Unknown => return false,
        };
        self.see(delivery, now_ns, what);
        what == What::Failure
    }

    /// Who leaves after so long a silence did not get what it waited for.
    fn leave_ms(&self, expected: &Expected) -> f32 {
        let patience_ms = self.patience_ms(expected);
        let whole = match expected.delivery {
            Delivery::Whole => self.whole_patience(expected.usual_ms, LEAVES),
            Delivery::Streamed => None,
        };
        whole.map_or(patience_ms, |(_, ms)| ms.min(patience_ms))
    }

    /// An attempt ended without having been announced: one of a chain.
    pub(super) fn attempted(&mut self, delivery: Delivery, failed: bool, now_ns: u64) {
        let what = match failed {
            true => What::Failure,
            false => What::Answer {
                first_token: None,
                token_time: None,
            },
        };
        self.see(delivery, now_ns, what);
    }
}
