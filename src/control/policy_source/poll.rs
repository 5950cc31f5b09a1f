//! Decides whose turn it is to ask the source, and when: a small record that all workers share and replace by
//! compare-and-swap.
//!
//! A turn is a lease: the worker that writes itself into the record may ask until the lease ends. The record holds everything
//! (the time of the next request, the last state of the source), so that a worker that dies loses nothing: after its lease the
//! next worker takes a new turn, and a response to an old turn is dropped. Turns differ by their number alone.

use super::{Refusal, Source, Verdict, fingerprint};

/// Milliseconds that a lease is longer than a response may take: time to read and compile it on a busy machine.
const MARGIN_MS: u64 = 5_000;
/// Failing sources are asked at least this often, in milliseconds, or at their interval if that is longer.
const LONGEST_PAUSE_MS: u64 = 300_000;
/// Longer entity tags are not kept.
const LONGEST_ETAG: usize = 256;
const NS_PER_MS: u64 = 1_000_000;

/// The record of a source that the workers share.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Poll {
    /// Counts the requests.
    pub turn: u64,
    /// When the turn ends, in nanoseconds since 1970; 0 if no worker asks.
    pub lease_until_ns: u64,
    /// When to ask next, in nanoseconds since 1970.
    pub next_ns: u64,
    /// How many times in a row the source has failed.
    pub failures: u32,
    /// Distinguishes a new refusal from the one logged last; 0 if the last response was good.
    pub complaint: u64,
    /// The entity tag of the document in force; empty if there is none.
    pub etag: Vec<u8>,
}

/// Bytes of a record without the entity tag.
const FIXED: usize = 36;

impl Poll {
    /// Parses a record; anything else gives a new one.
    pub fn decode(bytes: &[u8]) -> Poll {
        let mut rest = bytes;
        let mut number = || {
            let (number, after) = rest.split_first_chunk::<8>()?;
            rest = after;
            Some(u64::from_le_bytes(*number))
        };
        let numbers = [number(), number(), number(), number()];
        let [
            Some(turn),
            Some(lease_until_ns),
            Some(next_ns),
            Some(complaint),
        ] = numbers
        else {
            return Poll::default();
        };
        let Some((failures, etag)) = rest.split_first_chunk::<4>() else {
            return Poll::default();
        };
        Poll {
            turn,
            lease_until_ns,
            next_ns,
            failures: u32::from_le_bytes(*failures),
            complaint,
            etag: etag.to_vec(),
        }
    }

    /// Writes a record.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FIXED + self.etag.len());
        let numbers = [self.turn, self.lease_until_ns, self.next_ns, self.complaint];
        for number in numbers {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.failures.to_le_bytes());
        bytes.extend_from_slice(&self.etag);
        bytes
    }

    /// The record with a new turn, if one is due. Only the worker that writes it by compare-and-swap may ask.
    #[must_use]
    pub fn take(&self, source: &Source, now_ns: u64) -> Option<Poll> {
        let lease = lease_ns(source);
        // A clock that was set back must not stop all workers for as long as it was wrong.
        let is_held = (now_ns..=now_ns.saturating_add(lease)).contains(&self.lease_until_ns)
            && self.lease_until_ns != 0;
        let longest = longest_pause_ms(source) * NS_PER_MS;
        let is_early =
            (now_ns.saturating_add(1)..=now_ns.saturating_add(longest)).contains(&self.next_ns);
        if is_held || is_early {
            return None;
        }
        Some(Poll {
            turn: self.turn.wrapping_add(1),
            lease_until_ns: now_ns.saturating_add(lease),
            ..self.clone()
        })
    }

    /// The record after the response to `turn`; `None` if that turn is over and the response is too late to count.
    #[must_use]
    pub fn finish(
        &self,
        turn: u64,
        source: &Source,
        now_ns: u64,
        verdict: &Verdict,
        etag: Option<&[u8]>,
    ) -> Option<Poll> {
        if !self.is_turn(turn) {
            return None;
        }
        let etag = etag.filter(|etag| etag.len() <= LONGEST_ETAG);
        let (failures, complaint, etag) = match verdict {
            Verdict::Unchanged => {
                let kept = etag.map_or_else(|| self.etag.clone(), <[u8]>::to_vec);
                (0, 0, kept)
            }
            Verdict::Accepted(_) => (0, 0, etag.unwrap_or_default().to_vec()),
            // A signature can fix a refused document without changing it, so that it is asked for again, without its tag.
            Verdict::Refused(refusal) => {
                let failures = match refusal.is_outage() {
                    true => self.failures.saturating_add(1),
                    false => 0,
                };
                (failures, fingerprint_of(refusal), self.etag.clone())
            }
        };
        Some(Poll {
            turn: self.turn,
            lease_until_ns: 0,
            next_ns: now_ns.saturating_add(pause_ms(source, failures, now_ns) * NS_PER_MS),
            failures,
            complaint,
            etag,
        })
    }

    /// Whether `turn` is under way.
    pub fn is_turn(&self, turn: u64) -> bool {
        self.turn == turn && self.lease_until_ns != 0
    }
}

/// A number for the log line of a refusal; never 0.
fn fingerprint_of(refusal: &Refusal) -> u64 {
    fingerprint(refusal.to_string().as_bytes()) | 1
}

fn lease_ns(source: &Source) -> u64 {
    (u64::from(source.timeout_ms) + MARGIN_MS) * NS_PER_MS
}

fn longest_pause_ms(source: &Source) -> u64 {
    LONGEST_PAUSE_MS.max(u64::from(source.interval_ms))
}

/// Milliseconds to wait after a response: the interval, doubled with each failure in a row, less a random part of up to a
/// tenth, so that the proxies of a fleet do not all return to a recovered source at once.
fn pause_ms(source: &Source, failures: u32, seed: u64) -> u64 {
    let interval = u64::from(source.interval_ms);
    if failures == 0 {
        return interval;
    }
    let doubled = interval.saturating_mul(1 << failures.min(20));
    let pause = doubled.min(longest_pause_ms(source));
    let spread = fingerprint(&seed.to_le_bytes()) % 1000;
    pause - pause / 10 * spread / 1000
}

/// Milliseconds between two checks whether a turn is due: often enough to be on time, seldom enough to cost nothing.
pub fn tick_ms(source: &Source) -> u32 {
    (source.interval_ms / 4).clamp(25, 1_000)
}
