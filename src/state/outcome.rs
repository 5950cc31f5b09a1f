//! Outcomes: what is known of how good an answer was, and how they stand in access logs.
//!
//! An outcome is a receipt with a score. Feedback brings one, and so do a judge that grades an answer and the checks that need no
//! opinion. What outcomes make of a model is learned elsewhere.

use super::receipt::Receipt;

/// Where an outcome comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// `POST /v1/feedback`.
    Feedback,
    /// The answer was looked at as it passed.
    Check(Check),
    /// The checks of an answer found nothing wrong.
    Passed,
    /// The policy's judge graded the answer.
    Judge,
}

/// A fault of an answer that is found without an opinion. In the order in which one outweighs the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Check {
    /// It has no text and no tool call.
    Empty,
    /// The model cut it off below what the client allowed.
    Truncated,
    /// Its text is not the JSON that the client asked for.
    InvalidJson,
    /// The arguments of a tool call are not JSON.
    InvalidToolArguments,
}

impl Check {
    /// All checks, in the order of [`Check`].
    pub const ALL: [Check; 4] = [
        Check::Empty,
        Check::Truncated,
        Check::InvalidJson,
        Check::InvalidToolArguments,
    ];

    /// The name in policies, metrics and access logs.
    pub const fn name(self) -> &'static str {
        match self {
            Check::Empty => "empty",
            Check::Truncated => "truncated",
            Check::InvalidJson => "invalid_json",
            Check::InvalidToolArguments => "invalid_tool_arguments",
        }
    }
}

impl Source {
    /// The name in metrics and access logs.
    pub const fn name(self) -> &'static str {
        match self {
            Source::Feedback => "feedback",
            Source::Check(check) => check.name(),
            Source::Passed => "passed",
            Source::Judge => "judge",
        }
    }

    /// The source with this name.
    pub fn find(name: &str) -> Option<Source> {
        let checks = Check::ALL.into_iter().map(Source::Check);
        let mut all = checks.chain([Source::Feedback, Source::Passed, Source::Judge]);
        all.find(|source| source.name() == name)
    }
}

/// How good an answer was, as far as that is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The decision and its answer.
    pub receipt: Receipt,
    /// The answer of another model to the same prompt, if the two were compared; `score` is then 1, because `receipt` is the
    /// better one.
    pub worse: Option<Box<Receipt>>,
    /// How good the answer was, from 0 (wrong) to 1 (right).
    ///
    /// Of [`Source::Passed`] it is the probability that the receipt states: such an answer says nothing new of the model, but
    /// without it the checks would only ever count failures, and every model would sink.
    pub score: f32,
    /// How much it counts beside one piece of feedback, which counts 1. 0 counts for nothing.
    pub weight: f32,
    /// Where it comes from.
    pub source: Source,
}

impl Outcome {
    /// The verdict that metrics show: `good` from a score of one half, else `bad`; `passed` if nothing was found wrong.
    pub fn verdict(&self) -> &'static str {
        match self.source {
            Source::Passed => "passed",
            _ if self.score >= 0.5 => "good",
            _ => "bad",
        }
    }
}

/// One item of feedback as access logs hold it: `RECEIPT=SCORE`, or `RECEIPT>RECEIPT` with the better one first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Logged<'t> {
    /// An answer and its score.
    Scored {
        /// The receipt of the answer.
        receipt: &'t str,
        /// The score, 0 to 1.
        score: f32,
    },
    /// Two answers to one prompt.
    Compared {
        /// The receipt of the better answer.
        better: &'t str,
        /// The receipt of the other.
        worse: &'t str,
    },
}

/// The items of the text that a feedback request leaves in the access log, separated by spaces; what is no item is skipped.
pub fn read_log(text: &str) -> impl Iterator<Item = Logged<'_>> {
    text.split_ascii_whitespace().filter_map(|item| {
        if let Some((better, worse)) = item.split_once('>') {
            return Some(Logged::Compared { better, worse });
        }
        let (receipt, score) = item.split_once('=')?;
        let score: f32 = score.parse().ok()?;
        let is_score = (0.0..=1.0).contains(&score);
        is_score.then_some(Logged::Scored { receipt, score })
    })
}

/// Adds an item to the text of [`read_log`].
pub fn push_log(text: &mut String, item: Logged<'_>) {
    if !text.is_empty() {
        text.push(' ');
    }
    match item {
        Logged::Scored { receipt, score } => {
            text.push_str(receipt);
            text.push('=');
            text.push_str(&crate::decimal::fixed(f64::from(score), 3));
        }
        Logged::Compared { better, worse } => {
            text.push_str(better);
            text.push('>');
            text.push_str(worse);
        }
    }
}

/// Begins a log line with the grade of an answer, which comes after the answer's own line: an item of [`read_log`] follows.
pub const GRADE_LINE: &str = "grade of the judge: ";

/// The log line of a judge's grade.
pub fn grade_line(receipt: &str, score: f32) -> String {
    let mut item = String::new();
    push_log(&mut item, Logged::Scored { receipt, score });
    [GRADE_LINE, &item].concat()
}

/// The receipt and the grade in a line of a log that holds a [`grade_line`], whatever stands around it.
pub fn read_grade_line(line: &[u8]) -> Option<(&str, f32)> {
    let mark = GRADE_LINE.as_bytes();
    let at = line.windows(mark.len()).position(|part| part == mark)?;
    let rest = line.get(at + mark.len()..)?;
    let is_item =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'=' | b'.');
    let length = rest.iter().position(|byte| !is_item(byte));
    let item = std::str::from_utf8(rest.get(..length.unwrap_or(rest.len()))?).ok()?;
    match read_log(item).next()? {
        Logged::Scored { receipt, score } => Some((receipt, score)),
        Logged::Compared { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_is_found_by_its_name() {
        let checks = Check::ALL.into_iter().map(Source::Check);
        for source in checks.chain([Source::Feedback, Source::Passed, Source::Judge]) {
            assert_eq!(Source::find(source.name()), Some(source));
        }
        assert_eq!(Source::find("rumour"), None);
    }

    #[test]
    fn logged_feedback_reads_as_it_was_written() {
        let items = [
            Logged::Scored {
                receipt: "AQ-_",
                score: 0.75,
            },
            Logged::Compared {
                better: "AQAA",
                worse: "AQAB",
            },
            Logged::Scored {
                receipt: "AQAC",
                score: 0.0,
            },
        ];
        let mut text = String::new();
        items.iter().for_each(|item| push_log(&mut text, *item));
        assert_eq!(text, "AQ-_=0.75 AQAA>AQAB AQAC=0");
        assert_eq!(read_log(&text).collect::<Vec<_>>(), items);
    }

    #[test]
    fn a_grade_is_found_in_any_line() {
        let line = grade_line("AQ-_", 0.75);
        assert_eq!(line, "grade of the judge: AQ-_=0.75");
        for (before, after) in [
            ("", ""),
            ("[info][wasm] log x: ", "\n"),
            (r#"{"m":""#, r#""}"#),
        ] {
            let text = [before, &line, after].concat();
            assert_eq!(read_grade_line(text.as_bytes()), Some(("AQ-_", 0.75)));
        }
        for text in ["AQ=0.5", "grade of the judge: ", "grade of the judge: AQ=2"] {
            assert_eq!(read_grade_line(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_item_is_skipped() {
        let read = |text| read_log(text).count();
        assert_eq!(read("-"), 0);
        assert_eq!(read("a=2 b=x c d=NaN =0.5"), 1);
    }
}
