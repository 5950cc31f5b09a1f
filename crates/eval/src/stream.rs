//! The rows of a file as a stream for other learners: what the filter knows of each prompt and expects of each model, what came
//! of it, and the draws of the learning curve. So they learn from the very outcomes that ours learns from. No text of a prompt.
//!
//! One JSON object a line. First the file: `{"file", "models": [{"name", "taken"}]}`, then its rows in order: `{"row", "complete",
//! "context": […], "outcomes": [null | {"p", "logit", "score", "cost", "expected_cost"}, …]}`, outcomes in the order of the models, then
//! the draws: `{"prompts", "one_per_prompt", "draw", "known": [[row, model], …]}`.

use std::io::{self, Write};

use pointsman::analysis::classifier::{Classification, TASK_COUNT};
use pointsman::policy::Policy;
use serde_json::{Value, json};

use crate::fleet::{Fleet, expected_logit};
use crate::learning_curve::{AfterPrompts, draws};
use crate::scored::ScoredPrompt;

/// Writes the rows of the file `name`, and the draws that the points of a learning curve take.
///
/// # Errors
/// Those of `out`.
pub fn write(
    out: &mut impl Write,
    name: &str,
    fleet: &Fleet,
    rows: &[ScoredPrompt],
    policy: Option<&Policy>,
    asked: &AfterPrompts,
) -> io::Result<()> {
    let models: Vec<Value> = fleet
        .members
        .iter()
        .map(|member| json!({"name": member.name, "taken": member.taken}))
        .collect();
    writeln!(out, "{}", json!({"file": name, "models": models}))?;
    for (at, (row, outcomes)) in rows.iter().zip(&fleet.outcomes).enumerate() {
        let pairs = outcomes.iter().zip(&fleet.members);
        let outcomes: Vec<Value> = pairs
            .map(|(outcome, member)| {
                let Some(outcome) = outcome else {
                    return Value::Null;
                };
                let logit = expected_logit(member, policy, &row.classification);
                json!({
                    "p": outcome.p,
                    "logit": logit,
                    "score": outcome.score,
                    "cost": outcome.cost,
                    "expected_cost": outcome.expected,
                })
            })
            .collect();
        let line = json!({
            "row": at,
            "complete": fleet.complete.binary_search(&at).is_ok(),
            "context": context(&row.classification),
            "outcomes": outcomes,
        });
        writeln!(out, "{line}")?;
    }
    for count in &asked.counts {
        let drawn = draws(fleet, *count, asked.one_per_prompt);
        for (at, draw) in drawn.iter().enumerate() {
            let line = json!({
                "prompts": count,
                "one_per_prompt": asked.one_per_prompt,
                "draw": at,
                "known": draw.known,
            });
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}

/// A prompt as numbers of about one: difficulty, the share of each skill, the latent factors in units of a quarter, and for each
/// task whether it is the prompt's.
fn context(classification: &Classification) -> Vec<f32> {
    let mut all = vec![classification.difficulty];
    all.extend(classification.skill_weights);
    let factors = classification.raw_factors.iter();
    all.extend(factors.map(|factor| f32::from(*factor) / 16.0));
    let task = classification.task as usize;
    all.extend((0..TASK_COUNT).map(|at| f32::from(u8::from(at == task))));
    all
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::benchmarks::Benchmarks;
    use crate::outcomes::Outcome;

    fn row(at: u32) -> ScoredPrompt {
        let outcome = |score: u32, cost: f64| Outcome {
            score: f64::from(score % 2),
            cost: Some(cost),
            input_tokens: None,
            output_tokens: None,
            price: None,
        };
        ScoredPrompt {
            task: String::new(),
            domain: String::new(),
            lang: String::new(),
            is_rated: false,
            classification: Classification::default(),
            input_tokens: 10,
            micros: 0.0,
            outcomes: vec![
                ("large".to_owned(), outcome(1, 9.0)),
                ("small".to_owned(), outcome(at, 1.0)),
            ],
            preference: None,
            routed: Vec::new(),
            judged: Vec::new(),
            recorded_grade: None,
            rated_ease: None,
            prompt_hash: 0,
        }
    }

    fn lines(one_per_prompt: bool) -> Vec<Value> {
        let rows: Vec<ScoredPrompt> = (0..70).map(row).collect();
        let fleet = Fleet::new(&rows, None, &Benchmarks::default());
        let asked = AfterPrompts {
            counts: vec![0, 10, 500],
            one_per_prompt,
        };
        let mut out = Vec::new();
        write(&mut out, "file", &fleet, &rows, None, &asked).unwrap();
        let text = String::from_utf8(out).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn a_stream_has_the_models_the_rows_and_the_draws_of_the_curve() {
        let all = lines(true);
        // One draw of nothing, nine of ten prompts; of 500 there are too few rows.
        assert_eq!(all.len(), 1 + 70 + 1 + 9);
        assert_eq!(all[0]["models"][1], json!({"name": "small", "taken": true}));
        assert_eq!(all[1]["outcomes"][0]["score"], json!(1.0));
        assert_eq!(all[1]["outcomes"][1]["cost"], json!(1.0));
        assert_eq!(all[1]["complete"], json!(true));
        assert_eq!(all[80]["known"].as_array().unwrap().len(), 10);
        assert_eq!(lines(false)[80]["known"].as_array().unwrap().len(), 20);
    }
}
