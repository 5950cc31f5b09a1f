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
