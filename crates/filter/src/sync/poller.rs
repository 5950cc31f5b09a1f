//! Asks the policy source when it is this VM's turn, and publishes what is good.
//!
//! Every VM of a configuration ticks, the main thread's too, and looks at one shared record; whose turn it is, is decided by
//! compare-and-swap on it (`pointsman::control::policy_source::poll`). What is to be made of an answer, `pointsman::control::policy_source` says.

use std::cell::Cell;
use std::time::Duration;

use log::Level;
use pointsman::control::plugin::Plugin;
use pointsman::control::policy_source::poll::{Poll, tick_ms};
use pointsman::control::policy_source::{
    Answer, Bounds, InForce, Refusal, SIGNATURE_HEADER, Source, Verdict, check_size, judge,
};
use pointsman::exchange;
use pointsman::policy::Policy;
use pointsman::telemetry::Metric;

use crate::hostcalls::{self, Buffer, HostError, Map};
use crate::sync::policy_store::{ABSENT, Latest, Published};
use crate::sync::shared_data::key;
use crate::{header_map, logger, metrics};

/// Until the first tick, in milliseconds: soon after the start, but not before Envoy knows its clusters.
const FIRST_TICK_MS: u32 = 20;
const NS_PER_SECOND: u64 = 1_000_000_000;

/// One VM's part in asking one source.
pub struct Poller {
    source: Source,
    bounds: Bounds,
    record_key: String,
    /// The turn that this VM asked in last.
    turn: Cell<u64>,
    /// Milliseconds from one tick to the next.
    period_ms: u32,
}

/// What an answer to our question says of the document, beside the document.
#[derive(Default)]
struct Said {
    status: u16,
    signature: Option<Vec<u8>>,
    etag: Option<Vec<u8>>,
}

impl Poller {
    /// Begins to tick, where the configuration has a source.
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

    /// Asks, if a turn is due and nobody is faster. Returns how many milliseconds ago the tick before was.
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
        let Ok((poll, cas)) = self.record() else {
            return;
        };
        let Some(taken) = poll.take(&self.source, now_ns) else {
            return;
        };
        if hostcalls::set_shared(&self.record_key, &taken.encode(), cas).is_err() {
            return;
        }
        self.turn.set(taken.turn);
        if self.ask(&taken).is_err() {
            self.finish(now_ns, &Verdict::Refused(Refusal::NotCalled), None);
        }
    }

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

    /// The source has answered, or Envoy in its place.
    pub fn answered(&self, published: &Published, body_size: usize) {
        let (Ok(now_ns), Ok((poll, _))) = (hostcalls::now_ns(), self.record()) else {
            return;
        };
        // Too late: the turn is another's, who may have published something newer.
        if !poll.is_turn(self.turn.get()) {
            return metrics::add(&Metric::policy_polls("late"), 1);
        }
        let said = Said::read();
        let verdict = self.take(published, &said, body_size, now_ns);
        self.finish(now_ns, &verdict, said.etag.as_deref());
    }

    /// Judges the answer and publishes what is accepted.
    fn take(&self, published: &Published, said: &Said, body_size: usize, now_ns: u64) -> Verdict {
        let refused = Verdict::Refused;
        if let Err(refusal) = check_size(&self.source, body_size) {
            return refused(refusal);
        }
        let (Ok(latest), Ok(body)) = (
            published.latest(),
            hostcalls::buffer(Buffer::CallResponseBody, body_size),
        ) else {
            return refused(Refusal::NotKept);
        };
        let in_force = InForce {
            text: latest.text(),
            revision: latest.revision,
        };
        let answer = Answer {
            status: said.status,
            signature: said.signature.as_deref(),
            body: &body,
        };
        match judge(&self.source, &self.bounds, in_force, answer) {
            Verdict::Accepted(policy) => {
                match self.publish(published, &latest, &body, &policy, now_ns) {
                    Ok(()) => Verdict::Accepted(policy),
                    Err(_) => refused(Refusal::NotKept),
                }
            }
            verdict => verdict,
        }
    }

    fn publish(
        &self,
        published: &Published,
        latest: &Latest,
        text: &[u8],
        policy: &Policy,
        now_ns: u64,
    ) -> Result<(), HostError> {
        published.replace(latest, text, policy.clone())?;
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
        Ok(())
    }

    /// Ends the turn, counts it, and says what is new.
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
        let Ok((poll, cas)) = self.record() else {
            return;
        };
        let Some(done) = poll.finish(self.turn.get(), &self.source, now_ns, verdict, etag) else {
            return;
        };
        // Where this fails, the lease ends by itself.
        let _ = hostcalls::set_shared(&self.record_key, &done.encode(), cas);
        match verdict {
            // Said once, not with every question, however long it lasts.
            Verdict::Refused(refusal) if done.complaint != poll.complaint => {
                let text = [&refusal.to_string(), "; the policy in force stays"].concat();
                self.log(Level::Warn, &text);
            }
            Verdict::Unchanged if poll.complaint != 0 => {
                self.log(Level::Info, "has the policy in force again");
            }
            _ => {}
        }
    }

    /// What the VMs know in common, and the number to replace it by.
    fn record(&self) -> Result<(Poll, u32), HostError> {
        Ok(match hostcalls::shared(&self.record_key)? {
            Some((record, cas)) => (Poll::decode(&record), cas),
            None => (Poll::default(), ABSENT),
        })
    }

    fn log(&self, level: Level, text: &str) {
        let line = ["policy source `", &self.source.cluster, "`: ", text].concat();
        logger::line(level, &exchange::printable(&line));
    }
}

impl Said {
    fn read() -> Said {
        let Ok(bytes) = hostcalls::headers(Map::CallResponse) else {
            return Said::default();
        };
        let mut said = Said::default();
        for (name, value) in header_map::decode(&bytes) {
            if name == b":status" {
                let text = std::str::from_utf8(value).unwrap_or_default();
                said.status = text.parse().unwrap_or_default();
            } else if name == SIGNATURE_HEADER.as_bytes() {
                said.signature = Some(value.to_vec());
            } else if name == b"etag" {
                said.etag = Some(value.to_vec());
            }
        }
        said
    }
}
