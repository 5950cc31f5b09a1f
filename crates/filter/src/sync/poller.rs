//! Asks the policy source when it is this VM's turn, and publishes an accepted policy.
//!
//! Every VM of a configuration ticks, the main thread's too, and looks at one shared record; compare-and-swap on it decides
//! whose turn it is (`pointsman::control::policy_source::poll`). `pointsman::control::policy_source` evaluates the response.

use std::cell::Cell;
use std::time::Duration;

use log::Level;
use pointsman::control::plugin::{Plugin, receipts_problem};
use pointsman::control::policy_source::poll::{Poll, tick_ms};
use pointsman::control::policy_source::{
    Answer, Bounds, InForce, Refusal, SIGNATURE_HEADER, Source, Verdict, check_size, evaluate,
};
use pointsman::exchange;
use pointsman::policy::Policy;
use pointsman::telemetry::Metric;

use super::policy_store::{Latest, PolicyStore};
use super::shared_data::{key, update};
use crate::hostcalls::{self, Buffer, HostError, Map};
use crate::{header_map, logger, metrics};

/// Milliseconds to the first tick: soon after the start, but not before Envoy knows its clusters.
const FIRST_TICK_MS: u32 = 20;
const NS_PER_SECOND: u64 = 1_000_000_000;

/// Polls one source, on behalf of one VM.
pub struct Poller {
    source: Source,
    bounds: Bounds,
    record_key: String,
    /// The turn in which this VM asked last.
    turn: Cell<u64>,
    /// Milliseconds from one tick to the next.
    period_ms: u32,
}

/// The head of a response of the source.
#[derive(Default)]
struct Head {
    status: u16,
    signature: Option<Vec<u8>>,
    etag: Option<Vec<u8>>,
}

impl Poller {
    /// Begins to tick; `None` if the configuration has no source.
    #[inline(never)]
    pub fn start(plugin: &Plugin) -> Option<Poller> {
        let source = plugin.source.clone()?;
        if hostcalls::set_tick_period(FIRST_TICK_MS).is_err() {
            let text = "the policy source is never asked: the host has no timer";
            logger::line(Level::Error, text);
        }
        Some(Poller {
            source,
            bounds: plugin.bounds.clone(),
            record_key: key("pointsman.poll.", plugin.fingerprint),
            turn: Cell::new(0),
            period_ms: FIRST_TICK_MS,
        })
    }

    /// Asks, if a turn is due and no other VM is faster. Returns the milliseconds since the last tick.
    #[inline(never)]
    pub fn tick(&mut self) -> u32 {
        let passed_ms = self.period_ms;
        let regular_ms = tick_ms(&self.source);
        if passed_ms != regular_ms && hostcalls::set_tick_period(regular_ms).is_ok() {
            self.period_ms = regular_ms;
        }
        self.ask_if_due();
        passed_ms
    }

    fn ask_if_due(&self) {
        let Ok(now_ns) = hostcalls::now_ns() else {
            return;
        };
        let mut taken = None;
        let change = &mut |record: &[u8]| {
            taken = Poll::decode(record).take(&self.source, now_ns);
            taken.as_ref().map(Poll::encode)
        };
        let result = update(&self.record_key, 1, change);
        let (Ok(true), Some(taken)) = (result, taken) else {
            return;
        };
        self.turn.set(taken.turn);
        if self.ask(&taken).is_err() {
            self.finish(now_ns, &Verdict::Refused(Refusal::NotCalled), None);
        }
    }

    #[inline(never)]
    fn ask(&self, poll: &Poll) -> Result<(), HostError> {
        let mut headers = vec![
            (":method", "GET"),
            (":path", self.source.path.as_str()),
            (":authority", self.source.authority.as_str()),
            ("accept", "application/json"),
            ("user-agent", "pointsman"),
        ];
        let etag = std::str::from_utf8(&poll.etag).unwrap_or_default();
        if !etag.is_empty() {
            headers.push(("if-none-match", etag));
        }
        let timeout = Duration::from_millis(u64::from(self.source.timeout_ms));
        hostcalls::call(&self.source.cluster, headers, None, timeout).map(drop)
    }

    /// Takes the response of the source, or of Envoy in its place.
    #[inline(never)]
    pub fn on_response(&self, store: &PolicyStore, body_size: usize) {
        let (Ok(now_ns), Ok(poll)) = (hostcalls::now_ns(), self.poll()) else {
            return;
        };
        // Too late: the turn is another VM's, which may have published something newer.
        if !poll.is_turn(self.turn.get()) {
            return metrics::add(&Metric::policy_polls("late"), 1);
        }
        let head = Head::read();
        let verdict = self.take(store, &head, body_size, now_ns);
        self.finish(now_ns, &verdict, head.etag.as_deref());
    }

    /// Judges the response and publishes an accepted policy.
    #[inline(never)]
    fn take(&self, store: &PolicyStore, head: &Head, body_size: usize, now_ns: u64) -> Verdict {
        let refused = Verdict::Refused;
        if let Err(refusal) = check_size(&self.source, body_size) {
            return refused(refusal);
        }
        let (Ok(latest), Ok(body)) = (
            store.latest(),
            hostcalls::buffer(Buffer::CallResponseBody, body_size),
        ) else {
            return refused(Refusal::NotKept);
        };
        let in_force = InForce {
            text: latest.text(),
            revision: latest.revision,
        };
        let answer = Answer {
            status: head.status,
            signature: head.signature.as_deref(),
            body: &body,
        };
        match evaluate(&self.source, &self.bounds, in_force, answer) {
            Verdict::Accepted(policy) => {
                match self.publish(store, &latest, &body, &policy, now_ns) {
                    Ok(()) => Verdict::Accepted(policy),
                    Err(_) => refused(Refusal::NotKept),
                }
            }
            verdict => verdict,
        }
    }

    #[inline(never)]
    fn publish(
        &self,
        store: &PolicyStore,
        latest: &Latest,
        text: &[u8],
        policy: &Policy,
        now_ns: u64,
    ) -> Result<(), HostError> {
        store.replace(latest, text, policy.clone())?;
        metrics::record(
            &Metric::policy_revision(),
            policy.revision.unwrap_or_default(),
        );
        metrics::record(
            &Metric::policy_published_timestamp_seconds(),
            now_ns / NS_PER_SECOND,
        );
        self.log(
            Level::Info,
            &["published version ", &policy.version].concat(),
        );
        if let Some(problem) = receipts_problem(policy, store.filter_state()) {
            self.log(Level::Warn, &["filter_state: ", problem].concat());
        }
        Ok(())
    }

    /// Ends the turn, counts it, and logs what is new.
    fn finish(&self, now_ns: u64, verdict: &Verdict, etag: Option<&[u8]>) {
        let result = match verdict {
            Verdict::Unchanged => "unchanged",
            Verdict::Accepted(_) => "accepted",
            Verdict::Refused(refusal) => refusal.code(),
        };
        metrics::add(&Metric::policy_polls(result), 1);
        if matches!(verdict, Verdict::Refused(Refusal::Invalid(_))) {
            metrics::add(&Metric::policy_errors(), 1);
        }
        if !matches!(verdict, Verdict::Refused(_)) {
            metrics::record(
                &Metric::policy_confirmed_timestamp_seconds(),
                now_ns / NS_PER_SECOND,
            );
        }
        let (mut before, mut after) = (Poll::default(), None);
        let change = &mut |record: &[u8]| {
            before = Poll::decode(record);
            after = before.finish(self.turn.get(), &self.source, now_ns, verdict, etag);
            after.as_ref().map(Poll::encode)
        };
        // If this fails, the lease ends by itself.
        let _ = update(&self.record_key, 1, change);
        let Some(after) = after else {
            return;
        };
        match verdict {
            // Logged once, not at each poll, however long it lasts.
            Verdict::Refused(refusal) if after.complaint != before.complaint => {
                let text = [&refusal.to_string(), "; the policy in force stays"].concat();
                self.log(Level::Warn, &text);
            }
            Verdict::Unchanged if before.complaint != 0 => {
                self.log(Level::Info, "has the policy in force again");
            }
            _ => {}
        }
    }

    /// The record that the VMs share.
    fn poll(&self) -> Result<Poll, HostError> {
        let record = hostcalls::shared(&self.record_key)?;
        Ok(record.map_or_else(Poll::default, |(record, _)| Poll::decode(&record)))
    }

    fn log(&self, level: Level, text: &str) {
        let line = ["policy source `", &self.source.cluster, "`: ", text].concat();
        logger::line(level, &exchange::printable(&line));
    }
}

impl Head {
    fn read() -> Head {
        let Ok(bytes) = hostcalls::headers(Map::CallResponse) else {
            return Head::default();
        };
        let mut head = Head::default();
        for (name, value) in header_map::decode(&bytes) {
            if name == b":status" {
                let text = std::str::from_utf8(value).unwrap_or_default();
                head.status = text.parse().unwrap_or_default();
            } else if name == SIGNATURE_HEADER.as_bytes() {
                head.signature = Some(value.to_vec());
            } else if name == b"etag" {
                head.etag = Some(value.to_vec());
            }
        }
        head
    }
}
