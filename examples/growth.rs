//! Decides on requests of one size a number of times, for counting instructions: `growth CASE SIZE COUNT`. Without arguments it
//! prints the cases with their sizes.
//!
//! `tools/growth.py` runs it under valgrind and tells whether a decision grows faster than what it depends on.

#![allow(clippy::indexing_slicing)] // a program for developers

use std::error::Error;
use std::hint::black_box;

use pointsman::api::Api;
use pointsman::api::request::parse_with_state;
use pointsman::policy::Policy;
use pointsman::policy::request_attributes::RequestAttributes;
use pointsman::routing::router::{Commit, RequestInfo, Router};
use serde_json::{Value, json};

/// A request of some size, and the policy that it is decided by.
type Case = fn(usize) -> (Value, Value);

/// The cases: name, sizes, and what a size makes.
const CASES: [(&str, &[usize], Case); 6] = [
    ("candidates", &[1, 10, 100, 1_000], |size| {
        (fleet(size, size, json!({})), chat(&conversation(1)))
    }),
    ("candidates, one model", &[1, 10, 100, 1_000], |size| {
        (fleet(1, size, json!({})), chat(&conversation(1)))
    }),
    // None of the rules applies, so that each is evaluated to its last condition.
    ("rules", &[0, 1, 10, 50, 200], |size| {
        let rules: Vec<Value> = (0..size).map(rule).collect();
        (fleet(5, 5, json!({"rules": rules})), chat(&conversation(1)))
    }),
    ("turns", &[1, 10, 100, 1_000, 3_000], |size| {
        (fleet(5, 5, json!({})), chat(&conversation(size)))
    }),
    // With what reads every turn, and decides earlier ones again.
    ("turns, with rules", &[1, 10, 100, 1_000, 3_000], |size| {
        let rules: Vec<Value> = (0..12).map(rule).collect();
        let more = json!({"rules": rules, "stickiness": 0.1});
        (fleet(5, 5, more), chat(&conversation(size)))
    }),
    ("tool results", &[1, 10, 100, 1_000], |size| {
        let mut messages = conversation(1);
        for number in 0..size {
            let id = format!("call-{number}");
            let function =
                json!({"name": "look_up", "arguments": format!("{{\"part\":{number}}}")});
            messages.push(json!({
                "role": "assistant", "content": null,
                "tool_calls": [{"id": id, "type": "function", "function": function}],
            }));
            messages.push(json!({
                "role": "tool", "tool_call_id": id, "content": format!("{{\"price\":{number}.5,\"stock\":true}}"),
            }));
        }
        (fleet(5, 5, json!({})), chat(&messages))
    }),
];

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [case, size, count] = args.as_slice() else {
        for (name, sizes, _) in CASES {
            let sizes: Vec<String> = sizes.iter().map(ToString::to_string).collect();
            println!("{name}\t{}", sizes.join(" "));
        }
        return Ok(());
    };
    let (_, _, make) = CASES
        .iter()
        .find(|(name, ..)| name == case)
        .ok_or_else(|| format!("there is no case `{case}`"))?;
    let (policy, body) = make(size.parse()?);
    let policy =
        Policy::compile(&policy.to_string()).map_err(|problems| format!("{problems:?}"))?;
    let body = body.to_string();
    let (mut router, _) = Router::new();
    let attributes = RequestAttributes::default();
    for _ in 0..count.parse::<usize>()? {
        let request = parse_with_state(Api::OpenAiChat, black_box(body.as_bytes()), true);
        let request = request.map_err(|error| format!("{error:?}"))?;
        let info = RequestInfo::new(&attributes, 0);
        black_box(router.decide(&policy, &request, &info, Commit::Record));
    }
    Ok(())
}

/// A policy with so many models and backends, and `more` fields.
fn fleet(models: usize, backends: usize, more: Value) -> Value {
    // Families of ten: siblings are compared with one another.
    let name = |number: usize| format!("{}-{}b", letters(number / 10), number % 10);
    let model = |number: usize| {
        let score = 0.5 + 0.4 * number as f64 / models as f64;
        json!({"name": name(number), "context_window": 1_000_000, "benchmarks": {"mmlu": score}})
    };
    let backend = |number: usize| {
        json!({
            "name": format!("backend-{number}"), "model": name(number % models),
            "endpoint": "http://127.0.0.1:8001", "price": {"input": 0.1 + number as f64 / 1e3, "output": 0.3},
            "latency": {"first_token_ms": {"p50": 200}, "tokens_per_second": 60 + number % 11},
        })
    };
    let mut policy = json!({
        "version": "growth",
        "profiles": {"auto": {"weights": {"cost": 0.4, "latency": 0.2, "quality": 0.4}, "limits": {"max_p99_ms": 60_000}}},
        "models": (0..models).map(model).collect::<Vec<_>>(),
        "backends": (0..backends).map(backend).collect::<Vec<_>>(),
    });
    if let (Some(fields), Value::Object(more)) = (policy.as_object_mut(), more) {
        fields.extend(more);
    }
    policy
}

/// A number in letters.
fn letters(number: usize) -> String {
    let letter = |digit: usize| char::from(b'a' + (number / digit % 26) as u8);
    [676, 26, 1].map(letter).iter().collect()
}

/// A rule of one of six kinds, which holds for no request of [`chat`].
fn rule(number: usize) -> Value {
    let when = match number % 6 {
        0 => json!({"words": [format!("secret{number}"), format!("codename{number}*")]}),
        1 => json!({"path": [format!("/team-{number}/*")]}),
        2 => json!({"task": ["translation"], "min_confidence": 0.999}),
        3 => json!({"language": ["ja"]}),
        4 => json!({"sensitive": ["iban"]}),
        _ => {
            json!({"header": {"x-team": [format!("team-{number}")]}, "user": [format!("user-{number}")]})
        }
    };
    json!({"name": format!("rule-{number}"), "when": when, "then": {"min_quality": 0.9}})
}

/// So many questions, with the answers to all but the last.
fn conversation(turns: usize) -> Vec<Value> {
    let mut messages = vec![json!({"role": "system", "content": "You are a helpful assistant."})];
    for turn in 0..turns {
        let question = format!(
            "Question {turn}: which branch of the library keeps the old maps, and until when is it open?"
        );
        messages.push(json!({"role": "user", "content": question}));
        if turn + 1 < turns {
            let answer =
                "The main branch keeps them on its third floor. It is open until six on weekdays.";
            messages.push(json!({"role": "assistant", "content": answer}));
        }
    }
    messages
}

fn chat(messages: &[Value]) -> Value {
    json!({"model": "auto", "messages": messages, "max_tokens": 512})
}
