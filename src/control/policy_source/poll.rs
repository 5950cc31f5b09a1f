//! Whose turn it is to ask the source, and when: a small record that all workers share, replaced by compare-and-swap.
//!
//! A turn is a lease: whoever writes the record with itself in it may ask, until the lease ends. The record holds everything
//! (when to ask next, what the source last had), so a holder that dies loses nothing: when its lease has ended, the next
//! worker to look takes a new turn, and an answer to an old turn is dropped. Workers differ by their turn's number alone.

use super::{Refusal, Source, Verdict, fingerprint};

/// How much longer a lease is than an answer may take, in milliseconds: for whoever reads and compiles it on a busy machine.
const MARGIN_MS: u64 = 5_000;
/// Sources that fail are asked at least this often, or at their interval if that is longer, in milliseconds.
const LONGEST_PAUSE_MS: u64 = 300_000;
/// Longer entity tags are not kept.
const LONGEST_ETAG: usize = 256;
const NS_PER_MS: u64 = 1_000_000;

/// What the workers know in common of the source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Poll {
    /// Counts the questions.
    pub turn: u64,
    /// When the turn ends, in nanoseconds since 1970; 0 where nobody asks.
    pub lease_until_ns: u64,
    /// When to ask next, in nanoseconds since 1970.
    pub next_ns: u64,
    /// How often in a row the source failed.
    pub failures: u32,
    /// Tells what was logged last from what is new; 0 where the last answer was good.
    pub complaint: u64,
    /// The entity tag of the document in force; empty where it has none.
    pub etag: Vec<u8>,
}

/// Bytes of a record without the entity tag.
const FIXED: usize = 36;

impl Poll {
    /// Reads a record; what is none is as good as a new one.
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

    /// The record with a new turn, where one is due: to be written by compare-and-swap, and only who succeeds may ask.
    #[must_use]
    pub fn take(&self, source: &Source, now_ns: u64) -> Option<Poll> {
        let lease = lease_ns(source);
        // A clock that was set back must not hold everybody up for as long as it was wrong.
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

    /// The record after the answer to `turn`; `None` where that turn is over and the answer too late to count.
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
            // What was refused may be mended beside the document, by a signature: it is asked for anew, not by its tag.
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

    /// Whether `turn` is the one that is under way.
    pub fn is_turn(&self, turn: u64) -> bool {
        self.turn == turn && self.lease_until_ns != 0
    }
}

/// A number for what the log would say; never 0.
fn fingerprint_of(refusal: &Refusal) -> u64 {
    fingerprint(refusal.to_string().as_bytes()) | 1
}

fn lease_ns(source: &Source) -> u64 {
    (u64::from(source.timeout_ms) + MARGIN_MS) * NS_PER_MS
}

fn longest_pause_ms(source: &Source) -> u64 {
    LONGEST_PAUSE_MS.max(u64::from(source.interval_ms))
}

/// How long to wait after an answer, in milliseconds: the interval, doubled with each failure in a row; then up to a tenth
/// less, so that the proxies of a fleet do not come back to a mended source all at once.
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

/// How often to look whether a turn is due, in milliseconds: often enough not to be late, seldom enough to cost nothing.
pub fn tick_ms(source: &Source) -> u32 {
    (source.interval_ms / 4).clamp(25, 1_000)
}
