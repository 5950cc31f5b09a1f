//! Parses the body of `POST /v1/feedback`: one item of feedback, or a list of them.
//!
//! The names of fields are Pointsman's own and, where they mean the same, those of vLLM semantic-router's
//! `POST /v1/router/outcomes` (`replay_id`, `verdict`, `score`, `target`) and of TensorZero's `POST /feedback` (`inference_id`, `value`,
//! `metric_name`, `dryrun`). Receipts are texts here: this room does not read them.

use std::fmt;

use serde_json::{Map, Value};

use crate::schema::suggest::{quote, unknown};

/// The longest body, in bytes.
pub const MAX_BODY_BYTES: usize = 65_536;

/// One item of feedback.
#[derive(Debug, Clone, PartialEq)]
pub struct Feedback {
    /// The opinion that it states.
    pub opinion: Opinion,
    /// Nothing is to be recorded.
    pub is_dry_run: bool,
}

/// The opinion of an item of feedback.
#[derive(Debug, Clone, PartialEq)]
pub enum Opinion {
    /// How good an answer was.
    Scored {
        /// The receipt of the answer.
        receipt: String,
        /// From 0 (wrong) to 1 (right); `None` if the verdict says nothing of the model's quality.
        score: Option<f32>,
    },
    /// Which of two answers to one prompt was better.
    Compared {
        /// The receipt of the better answer.
        better: String,
        /// The receipt of the other.
        worse: String,
    },
}

/// The body of a feedback request.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Its items; never empty.
    pub items: Vec<Feedback>,
    /// Whether it is a list.
    pub is_list: bool,
}

/// Why a body is not feedback. Never holds text of the body but the names of fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidFeedback {
    /// The place, such as `[2].score`; `body` for the whole.
    pub at: String,
    /// The problem at that place.
    pub problem: String,
}

impl fmt::Display for InvalidFeedback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.problem)
    }
}

impl std::error::Error for InvalidFeedback {}

/// Verdicts and the score that each stands for.
const VERDICTS: [(&str, Option<f32>); 6] = [
    ("good", Some(1.0)),
    ("bad", Some(0.0)),
    ("good_fit", Some(1.0)),
    ("underpowered", Some(0.0)),
    // A smaller model would have done as well: this one was right.
    ("overprovisioned", Some(1.0)),
    // Says that the model was not available.
    ("failed", None),
];

/// Names of the field with the receipt.
const RECEIPT: [&str; 3] = ["receipt", "replay_id", "inference_id"];
/// Names of the field with the score.
const SCORE: [&str; 2] = ["score", "value"];
/// Fields whose values are not looked at.
const IGNORED: [&str; 7] = [
    "source",
    "target_ref",
    "target_revision",
    "reason",
    "metadata",
    "metric_name",
    "tags",
];
/// The other fields.
const OTHERS: [&str; 6] = [
    "verdict",
    "better",
    "worse",
    "target",
    "dryrun",
    "episode_id",
];

/// Parses a body.
///
/// # Errors
/// [`InvalidFeedback`] with the first place that is wrong.
///
/// ```
/// use pointsman::api::feedback::{Opinion, parse};
///
/// let batch = parse(br#"[{"receipt": "AQ", "score": 0.5}, {"better": "AQ", "worse": "Ag"}]"#)?;
/// let scored = Opinion::Scored { receipt: "AQ".to_owned(), score: Some(0.5) };
/// assert_eq!(batch.items[0].opinion, scored);
/// # Ok::<(), pointsman::api::feedback::InvalidFeedback>(())
/// ```
pub fn parse(body: &[u8]) -> Result<Batch, InvalidFeedback> {
    let value: Value = serde_json::from_slice(body).map_err(|error| InvalidFeedback {
        at: "body".to_owned(),
        problem: format!("not JSON: line {} column {}", error.line(), error.column()),
    })?;
    match &value {
        Value::Array(items) if items.is_empty() => Err(invalid("body", "is an empty list")),
        Value::Array(items) => {
            let items = items.iter().enumerate();
            let items = items.map(|(index, item)| read(item, &format!("[{index}]")));
            Ok(Batch {
                items: items.collect::<Result<_, _>>()?,
                is_list: true,
            })
        }
        item => Ok(Batch {
            items: vec![read(item, "")?],
            is_list: false,
        }),
    }
}

fn invalid(at: &str, problem: impl Into<String>) -> InvalidFeedback {
    InvalidFeedback {
        at: at.to_owned(),
        problem: problem.into(),
    }
}

/// One item, and where it stands.
struct Item<'a> {
    fields: &'a Map<String, Value>,
    at: &'a str,
}

fn read(value: &Value, at: &str) -> Result<Feedback, InvalidFeedback> {
    let whole = if at.is_empty() { "body" } else { at };
    let Value::Object(fields) = value else {
        let found = kind(value);
        return Err(invalid(whole, format!("expected an object, found {found}")));
    };
    let item = Item { fields, at };
    item.check_names()?;
    item.check_target()?;
    let is_dry_run = match fields.get("dryrun") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(is)) => *is,
        Some(other) => return Err(item.wrong("dryrun", "a boolean", other)),
    };
    Ok(Feedback {
        opinion: item.opinion(whole)?,
        is_dry_run,
    })
}

impl Item<'_> {
    /// The place of a field.
    fn place(&self, name: &str) -> String {
        match self.at {
            "" => name.to_owned(),
            at => [at, ".", name].concat(),
        }
    }

    fn wrong(&self, name: &str, expected: &str, found: &Value) -> InvalidFeedback {
        let found = kind(found);
        let problem = format!("expected {expected}, found {found}");
        invalid(&self.place(name), problem)
    }

    fn check_names(&self) -> Result<(), InvalidFeedback> {
        let known = [&RECEIPT[..], &SCORE, &OTHERS, &IGNORED].concat();
        match self
            .fields
            .keys()
            .find(|name| !known.contains(&name.as_str()))
        {
            Some(name) => Err(invalid(&self.place(name), unknown("field", name, &known))),
            None => Ok(()),
        }
    }

    /// Refuses feedback on anything but one answer of a model.
    fn check_target(&self) -> Result<(), InvalidFeedback> {
        let text = |name: &str| self.fields.get(name).and_then(Value::as_str);
        if self
            .fields
            .get("episode_id")
            .is_some_and(|id| !id.is_null())
        {
            let problem = "there are no episodes: a receipt is of one answer";
            return Err(invalid(&self.place("episode_id"), problem));
        }
        if let Some(target) = text("target").filter(|target| *target != "model") {
            let problem = format!("{} is not taken: only answers of models are", quote(target));
            return Err(invalid(&self.place("target"), problem));
        }
        match text("metric_name") {
            Some("comment" | "demonstration") => {
                let problem = "comments and demonstrations are not taken: only scores are";
                Err(invalid(&self.place("metric_name"), problem))
            }
            _ => Ok(()),
        }
    }

    fn opinion(&self, whole: &str) -> Result<Opinion, InvalidFeedback> {
        let receipt = self.text_of(&RECEIPT)?;
        let (better, worse) = (self.text_of(&["better"])?, self.text_of(&["worse"])?);
        let score = self.score()?;
        match (receipt, better, worse, score) {
            (Some(receipt), None, None, Some(score)) => Ok(Opinion::Scored { receipt, score }),
            (None, Some(better), Some(worse), None) => Ok(Opinion::Compared { better, worse }),
            (Some(_), None, None, None) => {
                Err(invalid(whole, "missing field: `score` or `verdict`"))
            }
            (None, None, None, _) => Err(invalid(
                whole,
                "missing field: `receipt`, or `better` and `worse`",
            )),
            (None, Some(_), None, None) => Err(invalid(whole, "missing field `worse`")),
            (None, None, Some(_), None) => Err(invalid(whole, "missing field `better`")),
            _ => Err(invalid(
                whole,
                "expected `receipt` with a score or verdict, or `better` and `worse` without",
            )),
        }
    }

    /// The text under one of these names; `None` if it has none of them.
    fn text_of(&self, names: &[&str]) -> Result<Option<String>, InvalidFeedback> {
        let mut found = None;
        for name in names {
            match self.fields.get(*name) {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) if found.is_none() => found = Some(text.clone()),
                Some(Value::String(_)) => {
                    let problem = "says again what another field says";
                    return Err(invalid(&self.place(name), problem));
                }
                Some(other) => return Err(self.wrong(name, "a string", other)),
            }
        }
        Ok(found)
    }

    /// The score, by the verdict if there is one: beside a verdict a score means other things to other programs.
    fn score(&self) -> Result<Option<Option<f32>>, InvalidFeedback> {
        if let Some(verdict) = self.text_of(&["verdict"])? {
            let mut known = VERDICTS.iter();
            return match known.find(|(name, _)| *name == verdict) {
                Some((_, score)) => Ok(Some(*score)),
                None => {
                    let names = VERDICTS.map(|(name, _)| name);
                    let problem = unknown("verdict", &verdict, &names);
                    Err(invalid(&self.place("verdict"), problem))
                }
            };
        }
        let mut found = None;
        for name in SCORE {
            let score = match self.fields.get(name) {
                None | Some(Value::Null) => continue,
                Some(Value::Bool(is)) if name == "value" => f32::from(u8::from(*is)),
                Some(Value::Number(number)) => number.as_f64().unwrap_or(f64::NAN) as f32,
                Some(other) => return Err(self.wrong(name, "a number from 0 to 1", other)),
            };
            if !(0.0..=1.0).contains(&score) {
                let problem = "is out of range: expected 0 to 1";
                return Err(invalid(&self.place(name), problem));
            }
            if found.replace(Some(score)).is_some() {
                let problem = "says again what another field says";
                return Err(invalid(&self.place(name), problem));
            }
        }
        Ok(found)
    }
}

/// The kind of a value, for "expected x, found y".
const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn one(body: &str) -> Opinion {
        let batch = parse(body.as_bytes()).unwrap();
        assert!(!batch.is_list && batch.items.len() == 1);
        batch.items[0].opinion.clone()
    }

    fn scored(score: Option<f32>) -> Opinion {
        Opinion::Scored {
            receipt: "r".to_owned(),
            score,
        }
    }

    #[test]
    fn scores_and_verdicts_are_read_under_every_name() {
        for (body, score) in [
            (r#"{"receipt": "r", "score": 0}"#, Some(0.0)),
            (
                r#"{"receipt": "r", "score": 0.25, "reason": "x"}"#,
                Some(0.25),
            ),
            (r#"{"receipt": "r", "verdict": "good"}"#, Some(1.0)),
            (r#"{"receipt": "r", "verdict": "bad"}"#, Some(0.0)),
            (
                r#"{"replay_id": "r", "source": "user", "target": "model", "target_ref": "m",
                    "target_revision": 1, "verdict": "underpowered", "score": 0.9, "metadata": {"a": "b"}}"#,
                Some(0.0),
            ),
            (
                r#"{"replay_id": "r", "target": "model", "verdict": "good_fit"}"#,
                Some(1.0),
            ),
            (
                r#"{"replay_id": "r", "verdict": "overprovisioned"}"#,
                Some(1.0),
            ),
            (r#"{"replay_id": "r", "verdict": "failed"}"#, None),
            (
                r#"{"inference_id": "r", "metric_name": "draft_accepted", "value": true, "tags": {"user": "1"}}"#,
                Some(1.0),
            ),
            (
                r#"{"inference_id": "r", "metric_name": "rating", "value": 0.5}"#,
                Some(0.5),
            ),
            (
                r#"{"inference_id": "r", "episode_id": null, "value": false}"#,
                Some(0.0),
            ),
        ] {
            assert_eq!(one(body), scored(score), "{body}");
        }
    }

    #[test]
    fn pairs_and_lists_are_read() {
        let pair = Opinion::Compared {
            better: "a".to_owned(),
            worse: "b".to_owned(),
        };
        assert_eq!(one(r#"{"better": "a", "worse": "b"}"#), pair);
        let list =
            br#"[{"worse": "b", "better": "a"}, {"receipt": "r", "score": 1, "dryrun": true}]"#;
        let batch = parse(list).unwrap();
        assert!(batch.is_list);
        assert_eq!(batch.items[0].opinion, pair);
        assert_eq!(batch.items[1].opinion, scored(Some(1.0)));
        assert!(!batch.items[0].is_dry_run && batch.items[1].is_dry_run);
    }

    #[test]
    fn every_mistake_names_its_place() {
        for (body, error) in [
            ("", "body: not JSON: line 1 column 0"),
            ("{\n \"score\": }", "body: not JSON: line 2 column 11"),
            ("[]", "body: is an empty list"),
            ("3", "body: expected an object, found a number"),
            ("[[]]", "[0]: expected an object, found a list"),
            (
                "{}",
                "body: missing field: `receipt`, or `better` and `worse`",
            ),
            (
                r#"{"receipt": "r"}"#,
                "body: missing field: `score` or `verdict`",
            ),
            (
                r#"[{"receipt": "r", "score": 1}, {"better": "a"}]"#,
                "[1]: missing field `worse`",
            ),
            (r#"{"worse": "a"}"#, "body: missing field `better`"),
            (
                r#"{"better": "a", "worse": "b", "score": 1}"#,
                "body: expected `receipt` with a score or verdict, or `better` and `worse` without",
            ),
            (
                r#"{"receipt": 7, "score": 1}"#,
                "receipt: expected a string, found a number",
            ),
            (
                r#"{"receipt": "r", "score": 1.5}"#,
                "score: is out of range: expected 0 to 1",
            ),
            (
                r#"{"receipt": "r", "score": true}"#,
                "score: expected a number from 0 to 1, found a boolean",
            ),
            (
                r#"[{"receipt": "r", "value": "1"}]"#,
                "[0].value: expected a number from 0 to 1, found a string",
            ),
            (
                r#"{"receipt": "r", "verdict": "god"}"#,
                "verdict: unknown verdict `god`; did you mean `good`?",
            ),
            (
                r#"{"receipt": "r", "scor": 1}"#,
                "scor: unknown field `scor`; did you mean `score`?",
            ),
            (
                r#"{"receipt": "r", "replay_id": "s", "score": 1}"#,
                "replay_id: says again what another field says",
            ),
            (
                r#"{"receipt": "r", "score": 1, "value": 0}"#,
                "value: says again what another field says",
            ),
            (
                r#"{"episode_id": "e", "value": 1}"#,
                "episode_id: there are no episodes: a receipt is of one answer",
            ),
            (
                r#"{"replay_id": "r", "target": "route", "verdict": "good_fit"}"#,
                "target: `route` is not taken: only answers of models are",
            ),
            (
                r#"{"inference_id": "r", "metric_name": "comment", "value": "nice"}"#,
                "metric_name: comments and demonstrations are not taken: only scores are",
            ),
            (
                r#"{"receipt": "r", "score": 1, "dryrun": 1}"#,
                "dryrun: expected a boolean, found a number",
            ),
        ] {
            let found = parse(body.as_bytes()).unwrap_err().to_string();
            assert_eq!(found, error, "{body}");
        }
    }
}
