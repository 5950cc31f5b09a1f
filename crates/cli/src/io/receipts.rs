//! Receipts in files: feedback as clients post it, and access logs. A line may hold outcomes or a decision; one that has neither is
//! skipped.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use pointsman::policy::Policy;
use pointsman::state::outcome::{Check, Logged, Outcome, Source, read_grade_line, read_log};
use pointsman::state::receipt::{Receipt, TEXT_CHARS};
use serde_json::{Map, Value};

use super::input;
use crate::failure::Failure;

/// The longest line that is read in one piece.
const MAX_LINE: u64 = 1 << 20;

/// Gives each line of a file to `each`, or of standard input if the path is `-`. The file is read as a stream.
pub fn each_line(path: &Path, mut each: impl FnMut(&[u8])) -> Result<(), Failure> {
    let mut lines: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(BufReader::new(std::io::stdin()))
    } else {
        input::open(path)?
    };
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut lines)
            .take(MAX_LINE)
            .read_until(b'\n', &mut line)
            .map_err(|error| Failure::Input(format!("`{}`: {error}", path.display())))?;
        if read == 0 {
            return Ok(());
        }
        each(&line);
    }
}

/// The decision that a line of an access log tells of.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time is handed on, and nearly all are receipts"
)]
pub enum LoggedDecision {
    /// Its receipt.
    Receipt(Receipt),
    /// The line tells of none: its request was not decided on, or it is one of feedback.
    None,
    /// A receipt or a line that cannot be read.
    Unreadable,
}

/// The decision of a line: of a JSON object with a member whose name ends in `receipt`, or of any other text with a receipt in it.
/// Receipts in lists of feedback are those of other requests and do not count. Codes are not checked, as in [`read_line`].
pub fn read_decision(line: &[u8]) -> LoggedDecision {
    if line.trim_ascii().is_empty() {
        return LoggedDecision::None;
    }
    let parsed = serde_json::from_slice::<Value>(line);
    if let Ok(Value::Object(members)) = &parsed {
        if score(members).is_some() {
            return LoggedDecision::None;
        }
        if let Some(text) = text_of(members, "receipt").filter(|text| !text.is_empty()) {
            return match Receipt::decode_trusted(text) {
                Ok(receipt) => LoggedDecision::Receipt(receipt),
                Err(_) if text == "-" => LoggedDecision::None,
                Err(_) => LoggedDecision::Unreadable,
            };
        }
    }
    match find_receipt(line) {
        Some(receipt) => LoggedDecision::Receipt(receipt),
        // A line that begins as JSON and is none was cut off.
        None if parsed.is_err() && line.trim_ascii_start().starts_with(b"{") => {
            LoggedDecision::Unreadable
        }
        None => LoggedDecision::None,
    }
}

/// The first receipt in a text, but for those of feedback: `RECEIPT=SCORE` and `RECEIPT>RECEIPT`.
fn find_receipt(line: &[u8]) -> Option<Receipt> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let mut before = None;
    let mut rest = line;
    while !rest.is_empty() {
        let length = rest.iter().position(|byte| !is_part(byte));
        let (word, behind) = rest.split_at_checked(length.unwrap_or(rest.len()))?;
        let after = behind.first();
        let is_feedback = before == Some(b'>') || matches!(after, Some(b'>' | b'='));
        if word.len() == TEXT_CHARS && !is_feedback {
            let text = std::str::from_utf8(word).ok();
            let receipt = text.and_then(|text| Receipt::decode_trusted(text).ok());
            if receipt.is_some() {
                return receipt;
            }
        }
        before = after.copied();
        rest = behind.get(1..).unwrap_or_default();
    }
    None
}

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
/// a list of such objects, a line of an access log, whose fields end in `feedback`, or in `receipt` and `outcome`, or a line of Envoy's
/// own log with a grade of the judge. Codes of receipts are not checked: whoever can write the log needs no key.
pub fn read_line(line: &[u8], policy: &Policy, mut each: impl FnMut(Item)) {
    if line.trim_ascii().is_empty() {
        return;
    }
    if let Some((receipt, score)) = read_grade_line(line) {
        return each(graded(receipt, score, policy));
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
            let text = |wanted: &str| text_of(members, wanted);
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

/// The text of the member whose name is `wanted`, or ends in it behind a mark such as `.`.
fn text_of<'v>(members: &'v Map<String, Value>, wanted: &str) -> Option<&'v str> {
    let mut found = members.iter().filter(|(name, _)| {
        name.as_str() == wanted || name.strip_suffix(wanted).is_some_and(ends_word)
    });
    found.find_map(|(_, value)| value.as_str())
}

fn ends_word(rest: &str) -> bool {
    rest.ends_with(['_', '-', '.', ':'])
}

/// The score of an item of feedback.
fn score(members: &Map<String, Value>) -> Option<f32> {
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

/// The outcome of an answer that the judge graded.
fn graded(receipt: &str, score: f32, policy: &Policy) -> Item {
    match read_logged(Logged::Scored { receipt, score }) {
        Item::Outcome(outcome) => Item::Outcome(Outcome {
            weight: policy.learning.weights.judge,
            source: Source::Judge,
            ..outcome
        }),
        Item::Unreadable => Item::Unreadable,
    }
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
        Source::Feedback | Source::Judge => (receipt.p, 0.0),
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
    use pointsman::state::outcome::grade_line;
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
        let (first, second) = (receipt(1), receipt(2));
        let scored = format!(r#"{{"receipt": "{first}", "score": 0.25}}"#);
        assert_eq!(read(&scored), (vec![(1, None, 0.25, 1.0)], 0));
        let list = format!(
            r#"[{{"receipt": "{first}", "verdict": "good"}}, {{"better": "{second}", "worse": "{first}"}}]"#
        );
        let wanted = vec![(1, None, 1.0, 1.0), (2, Some(1), 1.0, 1.0)];
        assert_eq!(read(&list), (wanted, 0));
    }

    #[test]
    fn access_logs_hold_feedback_and_checks() {
        let (first, second) = (receipt(1), receipt(2));
        let line = format!(
            r#"{{"pointsman.feedback": "{first}=0.5 {second}>{first}", "path": "/v1/feedback"}}"#
        );
        let wanted = vec![(1, None, 0.5, 1.0), (2, Some(1), 1.0, 1.0)];
        assert_eq!(read(&line), (wanted, 0));
        let checked = |outcome: &str| {
            let line =
                format!(r#"{{"pointsman.receipt": "{first}", "pointsman.outcome": "{outcome}"}}"#);
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
    fn logs_of_envoy_hold_grades_of_the_judge() {
        let first = receipt(1);
        let line = format!(
            "[2026-11-30][info][wasm] wasm log: {}",
            grade_line(&first, 0.75)
        );
        assert_eq!(read(&line), (vec![(1, None, 0.75, 0.25)], 0));
        assert_eq!(decision(&line), Err("none"));
        assert_eq!(read("grade of the judge: AQ=0.5"), (vec![], 1));
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

    /// The number of the receipt of a line's decision, or why there is none.
    fn decision(line: &str) -> Result<u64, &'static str> {
        match read_decision(line.as_bytes()) {
            LoggedDecision::Receipt(receipt) => Ok(receipt.nonce),
            LoggedDecision::None => Err("none"),
            LoggedDecision::Unreadable => Err("unreadable"),
        }
    }

    #[test]
    fn decisions_are_found_in_any_form_of_log() {
        let first = receipt(1);
        for line in [
            format!(r#"{{"pointsman.receipt": "{first}", "status": 200}}"#),
            format!(r#"{{"receipt": "{first}", "feedback": "-"}}"#),
            format!(
                r#"{{"attributes": [{{"key": "pointsman.receipt", "value": {{"stringValue": "{first}"}}}}]}}"#
            ),
            format!("[2026-11-30T20:45:00Z] \"POST /v1/chat/completions\" 200 {first}"),
            format!("status=200 receipt={first} path=/v1/chat/completions"),
            // Cut off behind the receipt.
            format!(r#"{{"receipt": "{first}", "sta"#),
        ] {
            assert_eq!(decision(&line), Ok(1), "{line}");
        }
    }

    #[test]
    fn receipts_of_feedback_are_no_decisions() {
        let (first, second) = (receipt(1), receipt(2));
        for line in [
            format!(r#"{{"receipt": "-", "feedback": "{first}=0.5 {second}>{first}"}}"#),
            format!(r#"{{"receipt": "{first}", "verdict": "good"}}"#),
            format!("POST /v1/feedback 202 {first}=1 {first}>{second}"),
        ] {
            assert_eq!(decision(&line), Err("none"), "{line}");
        }
    }

    #[test]
    fn lines_without_a_decision_are_told_from_garbage() {
        let first = receipt(1);
        let cut = first.get(..100).unwrap();
        for line in [
            "",
            "GET /v1/models 200 -",
            r#"{"path": "/"}"#,
            "[1, 2]",
            "7",
        ] {
            assert_eq!(decision(line), Err("none"), "{line}");
        }
        let short = format!(r#"{{"receipt": "{cut}"}}"#);
        for line in ["{", short.as_str()] {
            assert_eq!(decision(line), Err("unreadable"), "{line}");
        }
        assert!(matches!(read_decision(b"\xff\xfe{"), LoggedDecision::None));
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
