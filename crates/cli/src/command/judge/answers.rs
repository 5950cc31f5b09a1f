//! Rows with answers: the question how good one is, and how far the judge's grades agree with what people say.

use pointsman::api::held_text::HeldText;
use pointsman::api::judge::Asking;
use pointsman::api::judge::grading::{Answered, MAX_ANSWER_BYTES, MAX_PROMPT_BYTES, write_grading};
use pointsman::policy::judge::Judge;
use pointsman_eval::concordance::concordance;
use pointsman_eval::outcomes::Row;
use serde_json::Value;

use super::question_text;

/// A prompt with an answer.
#[derive(Debug)]
pub struct AnswerRow {
    row: Row,
    answer: String,
    /// How good people say that it is, 0 to 1.
    pub score: Option<f64>,
}

impl AnswerRow {
    /// Reads a line: an outcome row with `answer`, and maybe `score`.
    ///
    /// # Errors
    /// The problem, in words.
    pub fn parse(line: &[u8]) -> Result<AnswerRow, String> {
        let row = Row::parse(line)?;
        let fields: Value = serde_json::from_slice(line).unwrap_or_default();
        let answer = match fields.get("answer") {
            Some(Value::String(answer)) if !answer.trim().is_empty() => answer.clone(),
            Some(_) => return Err("`answer` is not a text".into()),
            None => return Err("has no `answer`".into()),
        };
        let score = match fields.get("score") {
            None | Some(Value::Null) => None,
            Some(score) => {
                let score = score.as_f64().filter(|score| (0.0..=1.0).contains(score));
                Some(score.ok_or("`score` is not a number from 0 to 1")?)
            }
        };
        Ok(AnswerRow { row, answer, score })
    }

    /// The body of the question, as the filter writes it.
    pub fn question(&self, judge: &Judge) -> Option<String> {
        let text = question_text(&self.row)?;
        let prompt = HeldText::start_of(self.row.prompt.trim(), MAX_PROMPT_BYTES);
        let answer = HeldText::start_of(&self.answer, MAX_ANSWER_BYTES);
        let asking = Asking {
            api: judge.api,
            model: judge.grading_model(),
            instructions: judge.grade_ask.as_deref(),
        };
        let answered = Answered {
            before: &text.before,
            prompt: (&prompt.text(), prompt.is_cut()),
            answer: (&answer.text(), answer.is_cut()),
        };
        Some(write_grading(&asking, &answered))
    }
}

/// How far grades agree with scores, in words; `None` without scores. Each pair is a grade and a score.
pub fn agreement(pairs: &[(f64, f64)]) -> Option<String> {
    if pairs.is_empty() {
        return None;
    }
    let count = pairs.len() as f64;
    let higher = pairs
        .iter()
        .map(|(grade, score)| grade - score)
        .sum::<f64>()
        / count;
    let first = format!(
        "{} scored answers: grades are {higher:+.2} above the scores on average",
        pairs.len()
    );
    Some(match concordance(pairs) {
        None => first,
        Some(share) => format!(
            "{first}; of two answers with different scores, the better one has the better grade in {:.0} % (a coin: 50 %)",
            100.0 * share
        ),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_that_of_the_filter() {
        let row = r#"{"prompt": "And 3 + 3?", "system": "You add.", "answer": "6", "score": 1}"#;
        let row = AnswerRow::parse(row.as_bytes()).unwrap();
        let judge = Judge {
            model: "j".to_owned(),
            ..Judge::default()
        };
        let body: Value = serde_json::from_str(&row.question(&judge).unwrap()).unwrap();
        let asked = body.pointer("/messages/1/content").unwrap();
        assert_eq!(
            asked,
            "<before>\nYou add.\n</before>\n<request>\nAnd 3 + 3?\n</request>\n<answer>\n6\n</answer>"
        );
        assert_eq!(row.score, Some(1.0));
    }

    #[test]
    fn bad_rows_say_what_is_wrong() {
        for (row, problem) in [
            (r#"{"answer": "6"}"#, "has no `prompt`"),
            (r#"{"prompt": "3 + 3?"}"#, "has no `answer`"),
            (
                r#"{"prompt": "3 + 3?", "answer": 6}"#,
                "`answer` is not a text",
            ),
            (
                r#"{"prompt": "3 + 3?", "answer": "6", "score": 7}"#,
                "`score` is not a number from 0 to 1",
            ),
        ] {
            assert_eq!(AnswerRow::parse(row.as_bytes()).unwrap_err(), problem);
        }
    }

    #[test]
    fn agreement_is_that_of_pairs() {
        assert_eq!(agreement(&[]), None);
        let report = agreement(&[(0.9, 1.0), (0.2, 0.0), (0.9, 0.0)]).unwrap();
        assert!(
            report.starts_with("3 scored answers: grades are +0.33 above"),
            "{report}"
        );
        assert!(report.contains("in 75 %"), "{report}");
        assert!(!agreement(&[(0.9, 1.0)]).unwrap().contains("of two"));
    }
}
