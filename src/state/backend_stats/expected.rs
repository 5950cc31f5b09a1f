//! The times that a backend declares for an answer, and how an answer compares to them: first token and speed separately.

use super::NOTICED;
use super::answer_lengths::{ExpectedLength, LengthSample};
use crate::fleet::Latency;

/// How an answer is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// In one piece.
    Whole,
    /// As a stream of events.
    Streamed,
}

impl Delivery {
    /// Both, in the order in which statistics are kept for them.
    pub const ALL: [Delivery; 2] = [Delivery::Whole, Delivery::Streamed];

    /// The delivery of a request that asks for a stream, or does not.
    pub const fn from_stream(streams: bool) -> Delivery {
        match streams {
            true => Delivery::Streamed,
            false => Delivery::Whole,
        }
    }
}

/// Differences up to so many milliseconds count as none: networks and timers make them.
const NEGLIGIBLE_MS: f32 = 25.0;
/// A prompt is read at least so many times faster than an answer is written: a long prompt may take its time.
const READS_FASTER: f32 = 20.0;
/// A silence is too long after so many times the declared 99th percentile of the first token.
const SILENCE: f32 = 4.0;
/// The shortest silence that is too long, in milliseconds.
const LEAST_SILENCE_MS: f32 = 5_000.0;
/// The longest usual answer in tokens.
const LONG_ANSWER: u32 = 1024;
/// Writing may take so many times longer than declared.
const WRITING_SPREAD: f32 = 1.5;

/// The declared times of one answer, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expected {
    /// How it is delivered.
    pub delivery: Delivery,
    /// Median time to the first token, a cold start included.
    pub first_token_ms: f32,
    /// 99th percentile of the time to the first token.
    pub first_token_p99_ms: f32,
    /// Time per token after the first.
    pub token_ms: f32,
    /// Additional time for reading the prompt.
    pub reading_ms: f32,
    /// The longest silence before the request has failed, even if its answer is long.
    pub silence_limit_ms: f32,
    /// The longest silence of a usual answer.
    pub usual_ms: f32,
    /// How long it is, if that was estimated.
    pub length: Option<ExpectedLength>,
}

/// The properties of a request that its times depend on.
#[derive(Debug, Clone, Copy)]
pub struct RequestSize {
    /// Tokens of the input.
    pub input_tokens: u32,
    /// The most tokens that the answer may have.
    pub max_output_tokens: u32,
    /// Whether the model may reason for long before it answers.
    pub reasons: bool,
    /// How long the answer is expected to be.
    pub length: Option<ExpectedLength>,
}

impl Expected {
    /// The times that `latency` declares for a request of this size; `cold_start_ms` delays the first token.
    pub fn new(
        delivery: Delivery,
        latency: &Latency,
        cold_start_ms: f32,
        size: RequestSize,
    ) -> Expected {
        let token_ms = 1000.0 / latency.tokens_per_second.max(1e-3);
        let reading_ms = size.input_tokens as f32 * token_ms / READS_FASTER;
        let first_token_p99_ms = latency.first_token_p99_ms + cold_start_ms;
        let expected = Expected {
            delivery,
            first_token_ms: (latency.first_token_p50_ms + cold_start_ms).max(1.0),
            first_token_p99_ms: first_token_p99_ms.max(1.0),
            token_ms,
            reading_ms,
            silence_limit_ms: 0.0,
            usual_ms: 0.0,
            length: size.length,
        };
        let usual = size.max_output_tokens.min(LONG_ANSWER);
        let most = match (delivery, size.reasons) {
            // An answer in one piece is silent until it is written.
            (Delivery::Whole, _) => size.max_output_tokens,
            // Reasoning may not be shown.
            (Delivery::Streamed, true) => usual,
            (Delivery::Streamed, false) => 0,
        };
        Expected {
            silence_limit_ms: expected.silence_ms(most),
            usual_ms: expected.silence_ms(usual),
            ..expected
        }
    }

    /// The longest silence before a request has failed, if so many tokens are written before the first byte.
    fn silence_ms(&self, tokens: u32) -> f32 {
        let writing_ms = tokens as f32 * self.token_ms * WRITING_SPREAD;
        let silence_ms = SILENCE * self.first_token_p99_ms + self.reading_ms + writing_ms;
        silence_ms.max(LEAST_SILENCE_MS)
    }

    /// The time to the first token as a multiple of the declared one.
    pub(super) fn first_token_ratio(&self, ms: f32) -> f32 {
        ratio(ms, self.first_token_ms, NEGLIGIBLE_MS)
    }

    /// The length of an answer, compared to the expected one.
    pub(super) fn compare_length(&self, times: &AnswerTimes) -> Option<LengthSample> {
        LengthSample::new(&self.length?, times.output_tokens?)
    }

    /// The first token and the time per token of an answer, as multiples of the declared ones. `slowdown` is the median of the
    /// second in effect: an answer so short that it would look the same at that speed gives no sample.
    pub(super) fn compare(&self, times: &AnswerTimes, slowdown: f32) -> (Option<f32>, Option<f32>) {
        let first = times.first_token_ms.map(|ms| self.first_token_ratio(ms));
        let Some(tokens) = times.output_tokens.filter(|tokens| *tokens > 0) else {
            return (first, None);
        };
        let declared = tokens as f32 * self.token_ms;
        // The time of the first token of an answer in one piece is unknown, and first tokens scatter.
        let (scatter, negligible) = match times.first_token_ms {
            Some(_) => (0.0, NEGLIGIBLE_MS),
            None => (
                self.first_token_p99_ms - self.first_token_ms,
                NEGLIGIBLE_MS.max(self.first_token_ms / 2.0),
            ),
        };
        let (first_ms, least) = match times.first_token_ms {
            Some(first_ms) => (first_ms, declared),
            // If they scatter more than writing takes, assume the slowest first token, and only much later answers are late.
            None if declared < scatter => (self.first_token_p99_ms + self.reading_ms, scatter),
            None => (self.first_token_ms + self.reading_ms, declared),
        };
        let token = ratio(times.last_ms - first_ms, least, negligible);
        let would_show = declared * (slowdown.max(NOTICED) - 1.0) >= scatter.max(negligible);
        (
            first,
            Some(token).filter(|ratio| would_show || *ratio > NOTICED),
        )
    }
}

/// A time as a multiple of the declared one; at most 1 if it took no more than `negligible_ms` longer.
fn ratio(taken_ms: f32, declared_ms: f32, negligible_ms: f32) -> f32 {
    let ratio = taken_ms.max(0.0) / declared_ms.max(1e-3);
    match taken_ms - declared_ms < negligible_ms {
        true => ratio.min(1.0),
        false => ratio,
    }
}

/// The times of an answer, from the moment its request was sent, and its length.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AnswerTimes {
    /// Milliseconds to its first token, if it was streamed.
    pub first_token_ms: Option<f32>,
    /// Milliseconds to its last token.
    pub last_ms: f32,
    /// Its tokens, if they are known.
    pub output_tokens: Option<u64>,
}
