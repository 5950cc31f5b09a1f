//! The demo's prompts: `tests/data/prompts.jsonl`, one JSON object a line.
//!
//! The labels in the file are what its authors expect; they are shown next to the classifier's and never sent.

use std::path::Path;

use hyper::body::Bytes;
use pointsman::analysis::classifier::{Domain, Task};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use pointsman_cli::failure::Failure;

/// How hard the authors think a prompt is for an LLM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expected {
    /// Any model answers it.
    Easy,
    /// Most models do.
    Medium,
    /// Only strong ones do.
    Hard,
}

impl Expected {
    /// All of them, easiest first.
    pub const ALL: [Expected; 3] = [Expected::Easy, Expected::Medium, Expected::Hard];

    /// Its name in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Expected::Easy => "easy",
            Expected::Medium => "medium",
            Expected::Hard => "hard",
        }
    }
}

/// One prompt.
#[derive(Debug, Clone)]
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "the labels that only the file's test reads are kept with the others"
    )
)]
pub struct Prompt {
    /// Its name, unique in the file.
    pub id: String,
    /// The kind of work that it asks for, as its authors see it.
    pub task: Task,
    /// Its subject.
    pub domain: Domain,
    /// How hard it is.
    pub expected: Expected,
    /// How many tokens a chat assistant's answer to it usually has.
    pub answer_tokens: u32,
    /// A chat completion request without `model`.
    request: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PromptSource {
    id: String,
    task: String,
    domain: String,
    expected_difficulty: Expected,
    answer_tokens: u32,
    prompt: Option<String>,
    request: Option<Map<String, Value>>,
}

impl Prompt {
    fn parse(line: &str) -> Result<Prompt, String> {
        let source: PromptSource = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let request = match (source.prompt, source.request) {
            (Some(text), None) => Map::from_iter([(
                "messages".into(),
                json!([{"role": "user", "content": text}]),
            )]),
            (None, Some(request)) => request,
            _ => return Err("it needs either `prompt` or `request`".into()),
        };
        if request.contains_key("model") {
            return Err("`request.model` is set by the demo".into());
        }
        if !request.get("messages").is_some_and(Value::is_array) {
            return Err("`request.messages` is not a list".into());
        }
        Ok(Prompt {
            task: Task::find(&source.task)
                .ok_or_else(|| format!("no task is called `{}`", source.task))?,
            domain: Domain::find(&source.domain)
                .ok_or_else(|| format!("no domain is called `{}`", source.domain))?,
            id: source.id,
            expected: source.expected_difficulty,
            answer_tokens: source.answer_tokens,
            request,
        })
    }

    /// The body that asks `model` for an answer, of at most `max_tokens` tokens unless the prompt sets a limit itself.
    pub fn body(&self, model: &str, max_tokens: Option<u32>) -> Bytes {
        let mut request = self.request.clone();
        request.insert("model".into(), model.into());
        if let Some(limit) = max_tokens
            && !request.contains_key("max_completion_tokens")
        {
            request.entry("max_tokens").or_insert(limit.into());
        }
        Bytes::from(Value::Object(request).to_string())
    }

    /// The last thing that the user says, for people to recognise it by.
    pub fn text(&self) -> String {
        let messages = self.request.get("messages").and_then(Value::as_array);
        let mut from_last = messages.into_iter().flatten().rev();
        let user = from_last.find(|message| message.get("role").is_some_and(|role| role == "user"));
        match user.and_then(|message| message.get("content")) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(parts)) => {
                let texts = parts.iter().filter_map(|part| part.get("text")?.as_str());
                texts.collect::<Vec<_>>().join(" ")
            }
            _ => String::new(),
        }
    }
}

/// Reads a file of prompts.
///
/// # Errors
/// [`Failure::Input`] that names the line.
pub fn read(path: &Path) -> Result<Vec<Prompt>, Failure> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::Input(format!("cannot read `{name}`: {error}")))?;
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    let prompts: Result<Vec<Prompt>, Failure> = lines
        .map(|(index, line)| {
            Prompt::parse(line)
                .map_err(|error| Failure::Input(format!("`{name}` line {}: {error}", index + 1)))
        })
        .collect();
    match prompts {
        Ok(prompts) if prompts.is_empty() => Err(Failure::Input(format!("`{name}` has no prompt"))),
        prompts => prompts,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use pointsman::api::Api;
    use pointsman::api::Capabilities;
    use pointsman::api::request;

    use super::*;

    fn shipped() -> Vec<Prompt> {
        read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/prompts.jsonl")).unwrap()
    }

    #[test]
    fn there_are_enough_of_every_kind() {
        let prompts = shipped();
        assert!(prompts.len() >= 200, "{}", prompts.len());
        let ids: HashSet<&str> = prompts.iter().map(|prompt| prompt.id.as_str()).collect();
        assert_eq!(ids.len(), prompts.len(), "every id is unique");
        let bodies: HashSet<Bytes> = prompts
            .iter()
            .map(|prompt| prompt.body("auto", None))
            .collect();
        assert_eq!(bodies.len(), prompts.len(), "every prompt is unique");
        let mut tasks: HashMap<Task, usize> = HashMap::new();
        let mut domains: HashMap<Domain, usize> = HashMap::new();
        for prompt in &prompts {
            *tasks.entry(prompt.task).or_default() += 1;
            *domains.entry(prompt.domain).or_default() += 1;
        }
        for task in Task::ALL {
            assert!(
                tasks.get(task).is_some_and(|count| *count >= 10),
                "{task:?}: {tasks:?}"
            );
        }
        for domain in Domain::ALL {
            assert!(
                domains.get(domain).is_some_and(|count| *count >= 10),
                "{domain:?}: {domains:?}"
            );
        }
        for expected in Expected::ALL {
            let count = prompts
                .iter()
                .filter(|prompt| prompt.expected == expected)
                .count();
            assert!(count >= 40, "{expected:?}: {count}");
        }
    }

    #[test]
    fn the_core_reads_each_of_them() {
        let mut needs = Capabilities::NONE;
        for prompt in shipped() {
            assert!(!prompt.text().trim().is_empty(), "{}", prompt.id);
            let body = prompt.body("auto", None);
            let request = request::parse(Api::OpenAiChat, &body, true);
            let request = request.unwrap_or_else(|error| panic!("{}: {error}", prompt.id));
            assert_eq!(request.model.as_deref(), Some("auto"));
            needs = needs.union(request.needs);
        }
        let names: Vec<&str> = needs.names().collect();
        assert_eq!(names, ["tools", "vision", "json_mode", "json_schema"]);
    }

    #[test]
    fn a_bad_line_is_named() {
        let parse = |line: &str| Prompt::parse(line).unwrap_err();
        let line = |rest: &str| {
            format!(
                r#"{{"id":"a","task":"chat","domain":"general","expected_difficulty":"easy","answer_tokens":20,{rest}}}"#
            )
        };
        assert_eq!(
            parse(&line(r#""prompt":"a","request":{}"#)),
            "it needs either `prompt` or `request`"
        );
        assert_eq!(
            parse(&line(r#""request":{"messages":1}"#)),
            "`request.messages` is not a list"
        );
        assert_eq!(
            parse(&line(r#""request":{"model":"x"}"#)),
            "`request.model` is set by the demo"
        );
        let other = line(r#""prompt":"a""#).replace("chat", "chatter");
        assert_eq!(parse(&other), "no task is called `chatter`");
    }

    #[test]
    fn a_limit_is_added_where_there_is_none() {
        let line = r#"{"id":"a","task":"chat","domain":"general","expected_difficulty":"easy","answer_tokens":20,"prompt":"hi"}"#;
        let prompt = Prompt::parse(line).unwrap();
        let body = |limit| String::from_utf8(prompt.body("m", limit).to_vec()).unwrap();
        assert_eq!(
            body(None),
            r#"{"messages":[{"content":"hi","role":"user"}],"model":"m"}"#
        );
        assert!(body(Some(9)).contains(r#""max_tokens":9"#));
    }
}
