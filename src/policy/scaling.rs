//! Scale to zero, prewarming, and gradual moves of traffic: fields and compilation.

use crate::fleet::ramp::Ramp;
use crate::fleet::{Prewarm, ScaleToZero};
use crate::schema::document::Node;
use crate::schema::problems::{Problems, join};
use crate::schema::shape::{
    AT_LEAST_ZERO, FRACTION, Field, Kind, MILLISECONDS, Shape, optional, required,
};
use crate::schema::suggest::quote;

/// Up to a week: beyond it nothing scales to zero.
const SECONDS: Kind = Kind::Number {
    min: 1.0,
    max: 604_800.0,
};

/// Up to a year.
const RAMP_SECONDS: Kind = Kind::Number {
    min: 1.0,
    max: 31_536_000.0,
};

pub(crate) const SCALE_TO_ZERO_FIELD: Field = optional(
    "scale_to_zero_after_s",
    SECONDS,
    "it never scales to zero",
    "Seconds without a request after which the backend has scaled to zero. The next request waits for a cold start.",
).formerly(&["cold_after"]);

pub(crate) const COLD_START_FIELD: Field = optional(
    "cold_start_ms",
    MILLISECONDS,
    "`0`",
    "The extra time to the first token of a cold backend, in milliseconds. Decisions add it to its latencies while it is cold.",
);

pub(crate) const PREWARM_FIELD: Field = optional(
    "prewarm",
    Kind::Object(&PREWARM),
    "it is not kept warm",
    "Keeps the backend warm within a cost limit. Needs `scale_to_zero_after_s`.",
);

pub(crate) const RAMP_FIELD: Field = optional(
    "ramp",
    Kind::Object(&RAMP),
    "all conversations may go to it",
    "Moves traffic to the backend, or away from it, gradually.",
);

pub(crate) const PROFILE_RAMP_FIELD: Field = optional(
    "ramp",
    Kind::Object(&PROFILE_RAMP),
    "it applies to all conversations",
    "Replaces another profile by this one gradually.",
);

const START: Field = required(
    "start",
    Kind::Text,
    "The start, a time in UTC such as `2026-03-01T09:00:00Z`.",
);

const DURATION: Field = required(
    "duration_s",
    RAMP_SECONDS,
    "The seconds over which the share moves, evenly.",
)
.formerly(&["over_s"]);

/// `prewarm` of a backend.
pub const PREWARM: Shape = Shape {
    name: "prewarm",
    doc: "Pointsman sends a minimal request (one word, one token of answer, no user data) once the backend has been idle for longer than `scale_to_zero_after_s`, if the forecast expects a request before the backend would be cold again and the cost limit allows it. The forecast is the rate at which recent decisions chose the backend, or that of the same time of day over the last days. One worker of the proxy sends it.",
    fields: &[
        required(
            "max_usd_per_hour",
            AT_LEAST_ZERO,
            "The cost limit per hour, in USD. Prewarm requests are spaced to keep it.",
        ),
        optional(
            "request_usd",
            AT_LEAST_ZERO,
            "the price of 16 tokens in and 16 out",
            "The cost of one prewarm request, in USD. If you pay for hardware by the second: the cost of the cold start and the idle time after it.",
        ),
        optional(
            "probability",
            FRACTION,
            "`0.5`",
            "The probability, from which on a prewarm request is sent, that a request comes before the backend would be cold again.",
        ),
    ],
};

/// `ramp` of a backend.
pub const RAMP: Shape = Shape {
    name: "ramp",
    doc: "The share of the conversations that may go to the backend, over time. A stable hash of its beginning places each conversation, so that it moves once and stays. Of two backends with the same times and opposite directions, exactly one is open to it. If no other backend can take a request, the ramp is ignored. After its end, remove the ramp or the backend; to go back, swap `from` and `to` and set a new `start`.",
    fields: &[
        optional("from", FRACTION, "`0`", "The share before."),
        optional("to", FRACTION, "`1`", "The share afterwards."),
        START,
        DURATION,
    ],
};

/// `ramp` of a profile.
pub const PROFILE_RAMP: Shape = Shape {
    name: "profile ramp",
    doc: "Until its turn comes, a conversation is decided by another profile, usually the previous version of this one under another name. A stable hash places conversations as for the ramp of a backend. To go back, let the old profile ramp up again.",
    fields: &[
        required(
            "from",
            Kind::Text,
            "The profile for conversations whose turn has not come yet.",
        ),
        START,
        DURATION,
    ],
};

/// Compiles `scale_to_zero_after_s`, `cold_start_ms` and `prewarm` of the backend at `index`.
#[inline(never)]
pub(crate) fn compile_scale_to_zero(
    node: &Node,
    index: usize,
    problems: &mut Problems<'_>,
) -> Option<ScaleToZero> {
    let Some(after_s) = node.number_of("scale_to_zero_after_s") else {
        for name in ["prewarm", "cold_start_ms"] {
            if node.get(name).is_some() && node.get("scale_to_zero_after_s").is_none() {
                let at = format!("backends[{index}].{name}");
                let message = "needs `scale_to_zero_after_s`, the seconds without a request after which the backend is cold";
                problems.add(node.offset_of(name), at, message);
            }
        }
        return None;
    };
    let price = |name| node.get("price").and_then(|price| price.number_of(name));
    let tokens_usd = (price("input").unwrap_or_default() * Prewarm::TOKENS.0
        + price("output").unwrap_or_default() * Prewarm::TOKENS.1)
        / 1e6;
    Some(ScaleToZero {
        after_s: after_s as f32,
        start_ms: node.number_of("cold_start_ms").unwrap_or_default() as f32,
        prewarm: node.get("prewarm").map(|prewarm| Prewarm {
            max_usd_per_hour: prewarm.number_of("max_usd_per_hour").unwrap_or_default(),
            request_usd: prewarm.number_of("request_usd").unwrap_or(tokens_usd),
            probability: prewarm.number_of("probability").unwrap_or(0.5),
        }),
    })
}

/// Compiles `ramp` of the backend at `index`.
#[inline(never)]
pub(crate) fn compile_ramp(node: &Node, index: usize, problems: &mut Problems<'_>) -> Option<Ramp> {
    let node = node.get("ramp")?;
    let times = compile_times(node, &format!("backends[{index}].ramp"), problems)?;
    Some(Ramp {
        from: node.number_of("from").unwrap_or(0.0),
        to: node.number_of("to").unwrap_or(1.0),
        ..times
    })
}

/// Compiles `ramp` of a profile; whether the other profile exists is looked at when all of them are known.
pub(crate) fn compile_profile_ramp(
    node: &Node,
    path: &str,
    problems: &mut Problems<'_>,
) -> Option<(Ramp, String)> {
    let node = node.get("ramp")?;
    let times = compile_times(node, &join(path, "ramp"), problems)?;
    Some((times, node.text_of("from")?.to_owned()))
}

/// `start` and `duration_s`, from 0 to 1.
fn compile_times(node: &Node, path: &str, problems: &mut Problems<'_>) -> Option<Ramp> {
    let written = node.text_of("start").filter(|text| !text.is_empty())?;
    let Some(start_s) = parse_time(written) else {
        let message = format!(
            "{} is not a time in UTC such as `2026-03-01T09:00:00Z`",
            quote(written)
        );
        problems.add(node.offset_of("start"), join(path, "start"), message);
        return None;
    };
    Some(Ramp {
        start_s,
        duration_s: node.number_of("duration_s")?,
        from: 0.0,
        to: 1.0,
    })
}

/// `YYYY-MM-DDThh:mm:ssZ` as seconds since 1970; `None` if it is not such a time, or one before 1970.
fn parse_time(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let punctuated = [
        (4, b'-'),
        (7, b'-'),
        (10, b'T'),
        (13, b':'),
        (16, b':'),
        (19, b'Z'),
    ];
    let fits = |(at, mark): &(usize, u8)| bytes.get(*at) == Some(mark);
    if bytes.len() != 20 || !punctuated.iter().all(fits) {
        return None;
    }
    let number = |from: usize, until: usize| {
        let digits = text.get(from..until)?;
        let all = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<u64>().ok().filter(|_| all)
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + u64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if year < 1970 || !(1..=last).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Days since 1970: years that begin in March have the leap day at their end.
    let (year, month) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some((days - 719_468) * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    fn problems(backend: &str, profiles: &str) -> Vec<String> {
        let text = format!(
            r#"{{"models": [{{"name": "m"}}], "profiles": {{{profiles}}}, "backends": [
              {{"name": "b", "model": "m", "price": {{"input": 2, "output": 3}}, {backend}}}]}}"#
        );
        match Policy::compile(&text) {
            Ok(_) => Vec::new(),
            Err(invalid) => invalid.problems.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1972-02-29T23:59:59Z", 68_255_999),
            ("2000-03-01T00:00:00Z", 951_868_800),
            ("2026-11-25T22:30:05Z", 1_795_645_805),
        ] {
            assert_eq!(parse_time(text), Some(seconds), "{text}");
        }
        for text in [
            "",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01 00:00:00Z",
            "2026-01-01T00:00:00+01:00",
            "2026-01-0éT00:00:00Z",
            "+026-01-01T00:00:00Z",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_not_stated_has_its_default() {
        let text = r#"{"models": [{"name": "m"}], "backends": [{"name": "b", "model": "m",
            "price": {"input": 2, "output": 3}, "scale_to_zero_after_s": 300, "prewarm": {"max_usd_per_hour": 0.1},
            "ramp": {"start": "2026-03-01T09:00:00Z", "duration_s": 60}}]}"#;
        let backend = Policy::compile(text).unwrap().registry.backends.remove(0);
        let cold = backend.cold.unwrap();
        assert_eq!((cold.after_s, cold.start_ms), (300.0, 0.0));
        let prewarm = cold.prewarm.unwrap();
        assert_eq!(prewarm.request_usd, 16.0 * 5.0 / 1e6);
        assert_eq!(prewarm.probability, 0.5);
        let ramp = backend.ramp.unwrap();
        assert_eq!((ramp.from, ramp.to, ramp.duration_s), (0.0, 1.0, 60.0));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_place() {
        assert_eq!(
            problems(r#""prewarm": {"max_usd_per_hour": 1}"#, ""),
            [
                "backends[0].prewarm: needs `scale_to_zero_after_s`, the seconds without a request after which the backend is cold"
            ]
        );
        assert_eq!(
            problems(r#""ramp": {"start": "tomorrow", "duration_s": 60}"#, ""),
            [
                "backends[0].ramp.start: `tomorrow` is not a time in UTC such as `2026-03-01T09:00:00Z`"
            ]
        );
        let ramp = |from: &str| {
            format!(
                r#"{{"ramp": {{"from": "{from}", "start": "2026-03-01T09:00:00Z", "duration_s": 60}}}}"#
            )
        };
        let x = |from: &str| format!(r#""x": {}"#, ramp(from));
        let none = r#""tags": []"#;
        assert_eq!(
            problems(none, &x("auto:chaep")),
            ["profiles.x.ramp.from: unknown profile `auto:chaep`; did you mean `auto:cheap`?"]
        );
        assert_eq!(
            problems(none, &x("x")),
            ["profiles.x.ramp.from: is this profile itself"]
        );
        let both = format!("{}, \"y\": {}", x("y"), ramp("auto"));
        assert_eq!(
            problems(none, &both),
            ["profiles.x.ramp.from: `y` has a ramp itself"]
        );
        assert_eq!(problems(none, &x("auto:cheap")), [""; 0]);
    }
}
