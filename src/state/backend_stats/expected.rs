//! What a backend states of an answer, and what an answer says of that: the first token and the speed apart, never one on the
//! other.

use super::NOTICED;
use crate::fleet::Latency;

/// How an answer is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// In one piece.
    Whole,
    /// As a stream of events.
    Streamed,
}

impl Delivery {
    /// Both, in the order of what is kept for each.
    pub const ALL: [Delivery; 2] = [Delivery::Whole, Delivery::Streamed];

    /// That of a request that is to be streamed, or not.
    pub const fn of(streams: bool) -> Delivery {
        match streams {
            true => Delivery::Streamed,
            false => Delivery::Whole,
        }
    }
}

/// A difference of so many milliseconds is none: networks and timers make it.
const NEGLIGIBLE_MS: f32 = 25.0;
/// How many times faster a prompt is read than an answer is written, at least: a long prompt may take its time.
const READS_FASTER: f32 = 20.0;
/// A request is silent too long after so many times what is stated for the slowest first token,
const SILENCE: f32 = 4.0;
/// but not before so many milliseconds.
const LEAST_SILENCE_MS: f32 = 5_000.0;
/// The longest usual answer in tokens.
const LONG_ANSWER: u32 = 1024;
/// By how much writing it may take longer than stated.
const WRITING_SPREAD: f32 = 1.5;

/// What is stated of one answer, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expected {
    /// How it is to come.
    pub delivery: Delivery,
    /// Median time to the first token, a cold start included.
    pub first_token_ms: f32,
    /// The 99th percentile of the same.
    pub first_token_p99_ms: f32,
    /// Time per token after the first.
    pub token_ms: f32,
    /// What reading the prompt may take beside that.
    pub reading_ms: f32,
    /// After so long a silence the request has failed, however long its answer is.
    pub patience_ms: f32,
    /// After so long a silence it is unusual that nothing was heard.
    pub usual_ms: f32,
}

/// A request, as far as its times depend on it.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Tokens of the input.
    pub input_tokens: u32,
    /// The most tokens that the answer may have.
    pub most_output_tokens: u32,
    /// Whether the model may think for long before it answers.
    pub reasons: bool,
}

impl Expected {
    /// What is stated by `latency` for a request of this size; `cold_start_ms` is how much later its first token comes.
    pub fn new(delivery: Delivery, latency: &Latency, cold_start_ms: f32, size: Size) -> Expected {
        let token_ms = 1000.0 / latency.tokens_per_second.max(1e-3);
        let reading_ms = size.input_tokens as f32 * token_ms / READS_FASTER;
        let first_token_p99_ms = latency.first_token_p99_ms + cold_start_ms;
        let expected = Expected {
            delivery,
            first_token_ms: (latency.first_token_p50_ms + cold_start_ms).max(1.0),
            first_token_p99_ms: first_token_p99_ms.max(1.0),
            token_ms,
            reading_ms,
            patience_ms: 0.0,
            usual_ms: 0.0,
        };
        let usual = size.most_output_tokens.min(LONG_ANSWER);
        let most = match (delivery, size.reasons) {
            // Nothing is heard of an answer in one piece before it is written,
            (Delivery::Whole, _) => size.most_output_tokens,
            // and nothing may be shown of what is thought.
            (Delivery::Streamed, true) => usual,
            (Delivery::Streamed, false) => 0,
        };
        Expected {
            patience_ms: expected.silence_ms(most),
            usual_ms: expected.silence_ms(usual),
            ..expected
        }
    }

    /// After so long a silence the request has failed, where so many tokens are written before anything is heard.
    fn silence_ms(&self, tokens: u32) -> f32 {
        let writing_ms = tokens as f32 * self.token_ms * WRITING_SPREAD;
        let silence_ms = SILENCE * self.first_token_p99_ms + self.reading_ms + writing_ms;
        silence_ms.max(LEAST_SILENCE_MS)
    }

    /// How many times longer the first token took than is stated.
    pub(super) fn first_token_ratio(&self, ms: f32) -> f32 {
        ratio(ms, self.first_token_ms, NEGLIGIBLE_MS)
    }

    /// What an answer says of the first token and of the time per token, as multiples of what is stated. `slow` is the median
    /// of the latter that counts: an answer so short that it would look the same if the backend were as slow as that says
    /// nothing of it.
    pub(super) fn judge(&self, times: &Times, slow: f32) -> (Option<f32>, Option<f32>) {
        let first = times.first_token_ms.map(|ms| self.first_token_ratio(ms));
        let Some(tokens) = times.output_tokens.filter(|tokens| *tokens > 0) else {
            return (first, None);
        };
        let stated = tokens as f32 * self.token_ms;
        // When the first token of an answer in one piece was there is not known, and first tokens differ.
        let (differ, negligible) = match times.first_token_ms {
            Some(_) => (0.0, NEGLIGIBLE_MS),
            None => (
                self.first_token_p99_ms - self.first_token_ms,
                NEGLIGIBLE_MS.max(self.first_token_ms / 2.0),
            ),
        };
        let (first_ms, least) = match times.first_token_ms {
            Some(first_ms) => (first_ms, stated),
            // Where that is more than writing takes, the slowest is taken for it, and only what is much later is late.
            None if stated < differ => (self.first_token_p99_ms + self.reading_ms, differ),
            None => (self.first_token_ms + self.reading_ms, stated),
        };
        let token = ratio(times.last_ms - first_ms, least, negligible);
        let would_show = stated * (slow.max(NOTICED) - 1.0) >= differ.max(negligible);
        (
            first,
            Some(token).filter(|ratio| would_show || *ratio > NOTICED),
        )
    }
}

/// How many times longer something took than is stated, where it took longer by more than `negligible_ms`.
fn ratio(taken_ms: f32, stated_ms: f32, negligible_ms: f32) -> f32 {
    let ratio = taken_ms.max(0.0) / stated_ms.max(1e-3);
    match taken_ms - stated_ms < negligible_ms {
        true => ratio.min(1.0),
        false => ratio,
    }
}

/// When an answer came, counted from when its request was sent, and how long it was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Times {
    /// Milliseconds to its first token, where it was streamed.
    pub first_token_ms: Option<f32>,
    /// Milliseconds to its last token.
    pub last_ms: f32,
    /// Its tokens, where they are known.
    pub output_tokens: Option<u64>,
}
