//! One line of an outcome file: a prompt, what models made of it, or which of two answers was preferred. A line that does not say
//! what it must is an error in words; what is missing and may be is `None`.

use pointsman::analysis::prompt::{Context, Turn};
use pointsman::api::judge::{Grade, SINGLE_GRADE_SPREAD};
use serde_json::{Map, Value, json};

/// The outcome of one model for a prompt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// How right it was, 0 to 1.
    pub score: f64,
    /// Its cost, in USD or any other unit that all models share.
    pub cost: Option<f64>,
    /// Tokens of the prompt, as the model counts them.
    pub input_tokens: Option<f64>,
    /// Tokens of the answer.
    pub output_tokens: Option<f64>,
    /// Prices per million tokens of input and output.
    pub price: Option<[f64; 2]>,
}

/// Which of two models answered better.
#[derive(Debug, Clone, PartialEq)]
pub struct Preference {
    /// The two models.
    pub between: [String; 2],
    /// How much the first one is preferred: 1, 0, or 0.5 for a tie.
    pub first: f64,
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The prompt.
    pub prompt: String,
    /// Instructions before it; empty if there are none.
    pub system: String,
    /// Texts of earlier messages, oldest first.
    pub turns: Vec<String>,
    /// The file's own label of the kind of task; empty if it has none.
    pub task: String,
    /// The file's own label of the subject; empty if it has none.
    pub domain: String,
    /// Outcomes by model, sorted by name. A model whose score is `null` is left out.
    pub outcomes: Vec<(String, Outcome)>,
    /// The language as the file states it, such as `en`; empty where it states none.
    pub lang: String,
    /// Whether the outcomes are ratings: forecasts by a rater that saw no answer.
    pub is_rated: bool,
    /// A preference, for `pointsman calibrate`.
    pub preference: Option<Preference>,
    /// The grade that a judge gave the prompt.
    pub grade: Option<Grade>,
}

impl Row {
    /// Reads a line.
    ///
    /// # Errors
    /// The problem, in words.
    pub fn parse(line: &[u8]) -> Result<Row, String> {
        let value: Value =
            serde_json::from_slice(line).map_err(|error| format!("not JSON: {error}"))?;
        let Value::Object(fields) = value else {
            return Err("is not a JSON object".into());
        };
        let prompt = match fields.get("prompt") {
            Some(Value::String(prompt)) => prompt.clone(),
            Some(_) => return Err("`prompt` is not a string".into()),
            None => return Err("has no `prompt`".into()),
        };
        let label = |names: &[&str]| {
            let texts = names.iter().filter_map(|name| fields.get(*name)?.as_str());
            texts.map(str::to_owned).next().unwrap_or_default()
        };
        let turns = fields.get("turns").and_then(Value::as_array);
        let turns = turns.into_iter().flatten().filter_map(Value::as_str);
        Ok(Row {
            prompt,
            system: label(&["system"]),
            turns: turns.map(str::to_owned).collect(),
            task: label(&["task", "task_type"]),
            domain: label(&["domain"]),
            lang: label(&["lang"]),
            is_rated: fields.get("models").is_none_or(Value::is_null)
                && fields.get("rated").is_some_and(Value::is_object),
            outcomes: outcomes(&fields)?,
            preference: preference(&fields)?,
            grade: grade(&fields)?,
        })
    }
}

impl Row {
    /// The prompt as the classifier reads it, with what came before.
    pub fn turn(&self) -> Turn<'_> {
        let present = |text: &&str| !text.trim_ascii().is_empty();
        let texts = self.turns.iter().rev().map(String::as_str);
        let system = std::iter::once(self.system.as_str());
        Turn {
            text: self.prompt.as_str().into(),
            context: Context {
                instructions: system.filter(present).collect(),
                conversation: texts.filter(present).take(2).collect(),
            },
        }
    }
}

impl Row {
    /// The conversation as messages of a chat; earlier turns alternate, the last of them is the assistant's.
    pub fn messages(&self) -> Vec<Value> {
        let message = |role: &str, text: &str| json!({"role": role, "content": text});
        let mut messages = Vec::with_capacity(self.turns.len() + 2);
        if !self.system.is_empty() {
            messages.push(message("system", &self.system));
        }
        for (index, text) in self.turns.iter().enumerate() {
            let asked = (self.turns.len() - index).is_multiple_of(2);
            messages.push(message(if asked { "user" } else { "assistant" }, text));
        }
        messages.push(message("user", &self.prompt));
        messages
    }
}

fn outcomes(fields: &Map<String, Value>) -> Result<Vec<(String, Outcome)>, String> {
    let models = match fields.get("models") {
        None | Some(Value::Null) => return ratings(fields),
        Some(Value::Object(models)) => models,
        Some(_) => return Err("`models` is not an object".into()),
    };
    let mut outcomes = Vec::with_capacity(models.len());
    for (name, value) in models {
        let at = |error: String| format!("`models.{name}`: {error}");
        if let Some(outcome) = outcome(value).map_err(at)? {
            outcomes.push((name.clone(), outcome));
        }
    }
    outcomes.sort_by(|left, right| left.0.cmp(&right.0));
    Ok(outcomes)
}

/// Classes of models that `rated` names, the smallest first, and the model that stands for each.
pub(crate) const CLASSES: [(&str, &str); 4] = [
    ("s", "llama-3.2-1b-instruct"),
    ("m", "llama-3.1-8b-instruct"),
    ("l", "llama-3.3-70b-instruct"),
    ("xl", "gpt-4.1"),
];

/// Outcomes of a prompt that was rated, not answered: `{"rated": {"s": P, "m": P, "l": P, "xl": P}, "rated_tokens": n}`.
fn ratings(fields: &Map<String, Value>) -> Result<Vec<(String, Outcome)>, String> {
    let Some(rated) = fields.get("rated").and_then(Value::as_object) else {
        return Ok(Vec::new());
    };
    let output_tokens = amount(fields.get("rated_tokens"), "rated_tokens")?;
    let mut outcomes = Vec::with_capacity(CLASSES.len());
    for (class, model) in CLASSES {
        let at = |error: String| format!("`rated.{class}`: {error}");
        let score = rated.get(class).unwrap_or(&Value::Null);
        if let Some(found) = outcome(score).map_err(at)? {
            let found = Outcome {
                output_tokens,
                ..found
            };
            outcomes.push((model.to_owned(), found));
        }
    }
    outcomes.sort_by(|left, right| left.0.cmp(&right.0));
    Ok(outcomes)
}

/// `None` if there is no score: the model was not asked, or not graded.
fn outcome(value: &Value) -> Result<Option<Outcome>, String> {
    let nothing = Map::new();
    let (score, fields) = match value {
        Value::Object(fields) => (fields.get("score").unwrap_or(&Value::Null), fields),
        other => (other, &nothing),
    };
    let score = match score {
        Value::Null => return Ok(None),
        Value::Bool(right) => f64::from(u8::from(*right)),
        other => other.as_f64().ok_or("`score` is not a number")?,
    };
    if !(0.0..=1.0).contains(&score) {
        return Err(format!("`score` is {score}, not 0 to 1"));
    }
    let price = match fields.get("price_per_m").and_then(Value::as_array) {
        Some(pair) => {
            let price_at = |at: usize| amount(pair.get(at), "price_per_m");
            Some([price_at(0)?.unwrap_or(0.0), price_at(1)?.unwrap_or(0.0)])
        }
        None => None,
    };
    Ok(Some(Outcome {
        score,
        cost: amount(fields.get("cost"), "cost")?,
        input_tokens: amount(fields.get("input_tokens"), "input_tokens")?,
        output_tokens: amount(fields.get("output_tokens"), "output_tokens")?,
        price,
    }))
}

/// A number that is not negative; `None` if there is none.
fn amount(value: Option<&Value>, name: &str) -> Result<Option<f64>, String> {
    let number = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value
            .as_f64()
            .ok_or_else(|| format!("`{name}` is not a number"))?,
    };
    if number < 0.0 {
        return Err(format!("`{name}` is {number}: less than 0"));
    }
    Ok(Some(number))
}

/// `{"preference": {"between": [A, B], "winner": A}}`; the winner `"tie"` or `null` is a tie.
fn preference(fields: &Map<String, Value>) -> Result<Option<Preference>, String> {
    let Some(value) = fields.get("preference").filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let names = value.get("between").and_then(Value::as_array);
    let name = |at: usize| names.and_then(|names| names.get(at)?.as_str());
    let (Some(left), Some(right)) = (name(0), name(1)) else {
        return Err("`preference.between` does not name two models".into());
    };
    let first = match value.get("winner").and_then(Value::as_str) {
        None | Some("tie") => 0.5,
        Some(winner) if winner == left => 1.0,
        Some(winner) if winner == right => 0.0,
        Some(winner) => {
            return Err(format!(
                "`preference.winner` is `{winner}`: neither `{left}` nor `{right}`, nor `tie`"
            ));
        }
    };
    Ok(Some(Preference {
        between: [left.to_owned(), right.to_owned()],
        first,
    }))
}

/// `{"judge": G}` or `{"judge": {"mean": G, "spread": S}}`, both from 0 (hardest) to 1 (easiest).
fn grade(fields: &Map<String, Value>) -> Result<Option<Grade>, String> {
    let (mean, spread) = match fields.get("judge") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(fields)) => (fields.get("mean"), fields.get("spread")),
        other => (other, None),
    };
    let part = |value: Option<&Value>, name: &str| {
        let number = value
            .and_then(Value::as_f64)
            .ok_or_else(|| format!("`{name}` is not a number"))?;
        match (0.0..=1.0).contains(&number) {
            true => Ok(number as f32),
            false => Err(format!("`{name}` is {number}, not 0 to 1")),
        }
    };
    Ok(Some(Grade {
        mean: part(mean, "judge")?,
        spread: match spread {
            None => SINGLE_GRADE_SPREAD,
            spread => part(spread, "judge.spread")?,
        },
    }))
}
