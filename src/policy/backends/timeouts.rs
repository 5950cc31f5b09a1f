//! Timeouts of backends: fields, compilation and warnings.
//!
//! Nothing is timed here. The filter derives Envoy's timers for each request from these values, and `pointsman render` writes
//! those that Envoy takes from its configuration alone.

use crate::decimal::shortest;
use crate::fleet::{Backend, Latency, Timeouts};
use crate::schema::document::Node;
use crate::schema::problems::Problems;
use crate::schema::shape::{Kind, Shape, optional};

/// From a millisecond to a day: beyond it a limit is surely in the wrong unit.
const LIMIT_MS: Kind = Kind::Number {
    min: 1.0,
    max: 86_400_000.0,
};

/// `timeouts` of a backend.
pub const TIMEOUTS: Shape = Shape {
    name: "timeouts",
    doc: "How long a backend may stay silent before the attempt ends, in milliseconds. If no other backend could follow, the attempt gets all the time that the client has.",
    fields: &[
        optional(
            "first_token_ms",
            LIMIT_MS,
            "four times the stated 99th percentile of the first token, at least `10000`",
            "The maximum time to the first byte of a streamed answer. After it Envoy tries the next backend.",
        ),
        optional(
            "response_ms",
            LIMIT_MS,
            "`first_token_ms` plus one and a half times the generation time of the tokens that the request allows (4096 unless it states a limit), at least `60000`",
            "The maximum time to an answer that comes in one piece. After it Envoy tries the next backend.",
        ).formerly(&["answer_ms"]),
        optional(
            "idle_ms",
            LIMIT_MS,
            "`300000`",
            "The maximum pause within an answer; a longer one ends the stream. Reasoning models may send nothing for minutes.",
        ).formerly(&["pause_ms"]),
        optional(
            "total_ms",
            LIMIT_MS,
            "no limit",
            "The maximum time to the end of the answer. After it the attempt ends, even in the middle of an answer.",
        ),
    ],
};

/// Compiles `timeouts` of the backend at `index`.
pub(crate) fn compile_timeouts(
    node: &Node,
    latency: &Latency,
    index: usize,
    problems: &mut Problems<'_>,
) -> Timeouts {
    let timeouts = node.get("timeouts");
    let number = |name| timeouts.and_then(|node| node.number_of(name));
    let limits = Timeouts {
        first_token_ms: number("first_token_ms")
            .map_or_else(|| Timeouts::usual_first_token_ms(latency), |ms| ms as f32),
        response_ms: number("response_ms").map(|ms| ms as f32),
        idle_ms: number("idle_ms").map_or(Timeouts::IDLE_MS, |ms| ms as f32),
        total_ms: number("total_ms").map(|ms| ms as f32),
    };
    for name in ["first_token_ms", "response_ms"] {
        if let Some(stated) = number(name)
            && let Some(total) = number("total_ms")
            && let Some(node) = timeouts
            && stated as f32 > total as f32
        {
            let (stated, total) = (shortest(stated), shortest(total));
            let at = format!("backends[{index}].timeouts.{name}");
            let message = format!("`{stated}` is more than `total_ms`, which is `{total}`");
            problems.add(node.offset_of(name), at, message);
        }
    }
    limits
}

pub(crate) fn lint_timeouts(
    backend: &Backend,
    node: &Node,
    path: &str,
    warnings: &mut Problems<'_>,
) {
    let limits = node.get("timeouts");
    let stated = limits.and_then(|limits| limits.get("first_token_ms"));
    let usual = backend.latency.first_token_p99_ms;
    if let Some(stated) = stated
        && backend.timeouts.first_token_ms < usual
    {
        let message = format!(
            "one request in a hundred takes longer by its declared `latency` ({usual} ms): it is given up then"
        );
        let at = format!("{path}.timeouts.first_token_ms");
        warnings.add(stated.at, at, message);
    }
}
