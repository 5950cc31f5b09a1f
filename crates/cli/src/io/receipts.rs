//! Outcomes in files: feedback as clients post it, and access logs. A line that has none is skipped.

use pointsman::policy::Policy;
use pointsman::state::outcome::{Check, Logged, Outcome, Source, read_log};
use pointsman::state::receipt::Receipt;
use serde_json::Value;

/// The content of a line.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time is handed on, and nearly all are outcomes"
)]
pub enum Item {
    /// An outcome.
    Outcome(Outcome),
    /// A receipt or a line that cannot be read.
    Unreadable,
}

/// Gives each outcome of a line to `each`: a JSON object of feedback (`receipt` and `score` or `verdict`, or `better` and `worse`),
/// a list of such objects, or a line of an access log, whose fields end in `feedback`, or in `receipt` and `outcome`. Codes of
/// receipts are not checked: whoever can write the log needs no key.
pub fn read_line(line: &[u8], policy: &Policy, mut each: impl FnMut(Item)) {
    if line.trim_ascii().is_empty() {
        return;
    }
    match serde_json::from_slice::<Value>(line) {
        Ok(value) => read_value(&value, policy, &mut each),
        Err(_) => each(Item::Unreadable),
    }
}

fn read_value(value: &Value, policy: &Policy, each: &mut dyn FnMut(Item)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| read_value(item, policy, each)),
        Value::Object(members) => {
            let text = |wanted: &str| {
                let mut found = members.iter().filter(|(name, _)| {
                    name.as_str() == wanted || name.strip_suffix(wanted).is_some_and(ends_word)
                });
                found.find_map(|(_, value)| value.as_str())
            };
            if let Some(logged) = text("feedback") {
                read_log(logged).for_each(|item| each(read_logged(item)));
            }
            if let (Some(better), Some(worse)) = (text("better"), text("worse")) {
                each(read_logged(Logged::Compared { better, worse }));
            }
            let Some(receipt) = text("receipt").filter(|receipt| *receipt != "-") else {
                return;
            };
            if let Some(score) = score(members) {
                each(read_logged(Logged::Scored { receipt, score }));
            } else if let Some(source) = text("outcome").and_then(Source::find) {
                each(checked(receipt, source, policy));
            }
        }
        _ => each(Item::Unreadable),
    }
}

fn ends_word(rest: &str) -> bool {
    rest.ends_with(['_', '-', '.', ':'])
}

/// The score of an item of feedback.
fn score(members: &serde_json::Map<String, Value>) -> Option<f32> {
    let stated = members.get("score").and_then(Value::as_f64);
    let verdict = || match members.get("verdict")?.as_str()? {
        "good" | "right" | "up" => Some(1.0),
        "bad" | "wrong" | "down" => Some(0.0),
        _ => None,
    };
    let score = stated.or_else(verdict)?;
    (0.0..=1.0).contains(&score).then_some(score as f32)
}

fn read_logged(item: Logged<'_>) -> Item {
    let (first, worse, score) = match item {
        Logged::Scored { receipt, score } => (receipt, None, score),
        Logged::Compared { better, worse } => (better, Some(worse), 1.0),
    };
    let worse = worse.map(Receipt::decode_trusted).transpose();
    let (Ok(receipt), Ok(worse)) = (Receipt::decode_trusted(first), worse) else {
        return Item::Unreadable;
    };
    Item::Outcome(Outcome {
        receipt,
        worse: worse.map(Box::new),
        score,
        weight: 1.0,
        source: Source::Feedback,
    })
}

/// The outcome of a check of an answer.
fn checked(receipt: &str, source: Source, policy: &Policy) -> Item {
    let Ok(receipt) = Receipt::decode_trusted(receipt) else {
        return Item::Unreadable;
    };
    let weights = &policy.learning.weights;
    let (score, weight) = match source {
        Source::Check(check) => (0.0, weight_of(check, policy)),
        Source::Passed => {
            let all = [
                weights.empty,
                weights.truncated,
                weights.invalid_json,
                weights.invalid_tool_arguments,
            ];
            (receipt.p, all.into_iter().fold(0.0, f32::max))
        }
        Source::Feedback => (receipt.p, 0.0),
    };
    Item::Outcome(Outcome {
        receipt,
        worse: None,
        score,
        weight,
        source,
    })
}

fn weight_of(check: Check, policy: &Policy) -> f32 {
    let weights = &policy.learning.weights;
    match check {
        Check::Empty => weights.empty,
        Check::Truncated => weights.truncated,
        Check::InvalidJson => weights.invalid_json,
        Check::InvalidToolArguments => weights.invalid_tool_arguments,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use pointsman::analysis::classifier::{Classification, FINGERPRINT};
    use pointsman::api::{Api, Capabilities};
    use pointsman::state::receipt::{Flags, Key, RequestTraits, name_key};

    const POLICY: &str = r#"{"models": [{"name": "m"}], "learning": {"outcomes": {"empty": 0.5, "truncated": 0.125}},
      "backends": [{"name": "b", "model": "m", "price": {"input": 1, "output": 1}}]}"#;

    fn receipt(nonce: u64) -> String {
        let receipt = Receipt {
            policy: 1,
            time_s: 1,
            nonce,
            model: name_key("m"),
            backend: name_key("b"),
            runner_up: None,
            profile: name_key("auto"),
            p: 0.75,
            runner_up_p: 0.0,
            propensity: 1.0,
            flags: Flags::default(),
            request: RequestTraits {
                api: Api::OpenAiChat,
                needs: Capabilities::NONE,
                input_tokens: 10,
                window_tokens: 10,
                max_tokens: None,
                choices: 1,
            },
            tenant: None,
            classifier: FINGERPRINT,
            classification: Classification::default(),
        };
        receipt.encode(&Key::new(b"a key of some length").unwrap())
    }

    /// Number of the receipt, number of the worse one, score and weight.
    type Read = (u64, Option<u64>, f32, f32);

    /// The outcomes of a line, and the count of unreadable ones.
    fn read(line: &str) -> (Vec<Read>, usize) {
        let policy = Policy::compile(POLICY).unwrap();
        let (mut outcomes, mut unreadable) = (Vec::new(), 0);
        read_line(line.as_bytes(), &policy, |item| match item {
            Item::Outcome(outcome) => {
                let worse = outcome.worse.as_ref().map(|worse| worse.nonce);
                let nonce = outcome.receipt.nonce;
                outcomes.push((nonce, worse, outcome.score, outcome.weight));
            }
            Item::Unreadable => unreadable += 1,
        });
        (outcomes, unreadable)
    }

    #[test]
    fn feedback_is_read_as_clients_post_it() {
        let (one, two) = (receipt(1), receipt(2));
        let scored = format!(r#"{{"receipt": "{one}", "score": 0.25}}"#);
        assert_eq!(read(&scored), (vec![(1, None, 0.25, 1.0)], 0));
        let list = format!(
            r#"[{{"receipt": "{one}", "verdict": "good"}}, {{"better": "{two}", "worse": "{one}"}}]"#
        );
        let wanted = vec![(1, None, 1.0, 1.0), (2, Some(1), 1.0, 1.0)];
        assert_eq!(read(&list), (wanted, 0));
    }

    #[test]
    fn access_logs_hold_feedback_and_checks() {
        let (one, two) = (receipt(1), receipt(2));
        let line =
            format!(r#"{{"pointsman.feedback": "{one}=0.5 {two}>{one}", "path": "/v1/feedback"}}"#);
        let wanted = vec![(1, None, 0.5, 1.0), (2, Some(1), 1.0, 1.0)];
        assert_eq!(read(&line), (wanted, 0));
        let checked = |outcome: &str| {
            let line =
                format!(r#"{{"pointsman.receipt": "{one}", "pointsman.outcome": "{outcome}"}}"#);
            read(&line).0
        };
        assert_eq!(checked("truncated"), [(1, None, 0.0, 0.125)]);
        let passed = checked("passed");
        let [(1, None, p, 0.5)] = passed.as_slice() else {
            panic!("{passed:?}");
        };
        assert!((p - 0.75).abs() < 0.02);
    }

    #[test]
    fn lines_without_outcomes_are_skipped_and_bad_ones_are_counted() {
        let text = receipt(1);
        for line in [
            "",
            "  \n",
            r#"{"path": "/v1/models", "pointsman.receipt": "-"}"#,
        ] {
            assert_eq!(read(line), (vec![], 0), "{line}");
        }
        let unjudged = format!(r#"{{"pointsman.receipt": "{text}"}}"#);
        assert_eq!(read(&unjudged), (vec![], 0));
        for line in ["{", "7", r#"{"receipt": "AQ", "score": 1}"#] {
            assert_eq!(read(line), (vec![], 1), "{line}");
        }
    }

    #[test]
    #[ignore = "prints receipts, to measure how fast they are read"]
    fn print_receipts() {
        for number in 0..200_000 {
            println!(
                r#"{{"receipt": "{}", "score": {}}}"#,
                receipt(number),
                number % 2
            );
        }
    }
}
