//! Receipts of answers, and what is found out about answers without anybody's opinion.

use super::*;
use crate::state::receipt::{Keys, Receipt, TEXT_CHARS, name_key};

pub(super) const KEY: &str = "the key of these tests";

const ON: &str = r#""receipts": {"mode": "on"}"#;
/// A profile that no model is too weak for.
const OPEN: &str = r#""profiles": {"open": {"weights": {"cost": 1}}}"#;
const LEARNS: &str = r#""receipts": {"mode": "log"}, "learning": {"mode": "observe"}"#;

const JSON: &[(&str, &str)] = &[
    (":status", "200"),
    ("content-type", "application/json"),
    (header::ENVOY_ATTEMPTS, "1"),
];
const STREAM: &[(&str, &str)] = &[
    (":status", "200"),
    ("content-type", "text/event-stream"),
    (header::ENVOY_ATTEMPTS, "1"),
];
const BODY: &str = r#"{"choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":3}}"#;

pub(super) fn keys() -> Keys {
    Keys::new([KEY.as_bytes()])
}

/// A host that has been asked `body` under [`POLICY`] with these members.
fn asked(members: &str, body: &str) -> Host {
    let mut host = Host::new(&policy_with(members));
    host.keys = keys();
    host.clock_ns = 1_764_000_000_000_000_000;
    host.begin("POST", "/v1/chat/completions");
    host.send_headers(false);
    host.send_chunk(body.as_bytes(), true);
    host
}

fn header_of(host: &Host, wanted: &str) -> Option<String> {
    host.effects.iter().find_map(|effect| match effect {
        Effect::SetResponseHeader { name, value } if *name == wanted => Some(value.to_string()),
        _ => None,
    })
}

/// The receipt that a client gets with an answer.
pub(super) fn receipt_of(model: &str, prompt: &str) -> String {
    let mut host = asked(ON, &ask(model, prompt));
    host.answer_with(JSON, &[BODY]);
    header_of(&host, header::RECEIPT).unwrap()
}

fn read(text: &str) -> Receipt {
    Receipt::decode(text, &keys()).unwrap()
}

#[test]
fn an_answer_carries_its_receipt() {
    let mut host = asked(&[ON, OPEN].join(", "), &ask("open", "hello"));
    let model = host.state(state::MODEL).unwrap().to_owned();
    let backend = host.state(state::BACKEND).unwrap().to_owned();
    host.answer_with(JSON, &[BODY]);
    let text = header_of(&host, header::RECEIPT).unwrap();
    assert_eq!(text.len(), TEXT_CHARS);
    assert_eq!(host.state(state::RECEIPT), Some(text.as_str()));
    let receipt = read(&text);
    let policy = host.policy.as_ref().unwrap();
    assert_eq!(receipt.policy, policy.fingerprint32());
    assert_eq!(receipt.time_s, 1_764_000_000);
    assert_eq!(
        (receipt.model, receipt.backend),
        (name_key(&model), name_key(&backend))
    );
    let other = if model == "tiny" { "huge" } else { "tiny" };
    assert_eq!(receipt.runner_up, Some(name_key(other)));
    assert_eq!(receipt.profile, name_key("open"));
    assert_eq!(receipt.propensity, 1.0);
    assert!(receipt.flags.begins && !receipt.flags.is_pinned && !receipt.flags.streams);
    assert_eq!(receipt.request.max_tokens, Some(50));
    let ability = |name: &str| {
        let id = policy.registry.find_model(name).unwrap();
        policy.registry.model(id).unwrap().ability
    };
    for (name, stated) in [(model.as_str(), receipt.p), (other, receipt.runner_up_p)] {
        let p = ability(name).p_correct(receipt.classification());
        assert!((p - stated).abs() < 0.01, "{name}: {p} {stated}");
    }
    assert!(
        !host
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::Log(..)))
    );
}

/// Feedback on a model that the client names is as good as any: nothing was chosen, and the prompt is classified for it.
#[test]
fn a_pinned_answer_has_one_too() {
    let receipt = read(&receipt_of("tiny", "hello"));
    assert!(receipt.flags.is_pinned);
    assert_eq!((receipt.model, receipt.runner_up), (name_key("tiny"), None));
    assert!(receipt.classification().output_tokens > 0.0);
}

#[test]
fn no_two_receipts_have_one_number() {
    let mut nonces: Vec<u64> = (0..20)
        .map(|_| read(&receipt_of("tiny", "hi")).nonce)
        .collect();
    nonces.sort_unstable();
    nonces.dedup();
    assert_eq!(nonces.len(), 20);
}

#[test]
fn a_receipt_names_the_backend_that_answered() {
    let mut host = Host::new(&policy_with(ON));
    host.keys = keys();
    host.failover = Failover::PerAttempt;
    host.begin("POST", "/v1/chat/completions");
    host.send_headers(false);
    host.send_chunk(ask("huge", "hello").as_bytes(), true);
    // Two attempts, as the host says: the second backend of the chain.
    host.answer_with(&JSON[..2], &[BODY]);
    assert_eq!(host.state(state::BACKEND), Some("lpu-1"));
    let receipt = read(&header_of(&host, header::RECEIPT).unwrap());
    assert_eq!(receipt.backend, name_key("lpu-1"));
    assert!(receipt.flags.is_fallback);
}

#[test]
fn exploration_says_how_probable_its_choice_was() {
    let all = r#""receipts": {"mode": "on"}, "exploration_rate": 1"#;
    let some = r#""receipts": {"mode": "on"}, "exploration_rate": 0.25"#;
    let receipt = |members: &str, prompt: &str| {
        let mut host = asked(&[members, OPEN].join(", "), &ask("open", prompt));
        host.answer_with(JSON, &[BODY]);
        read(&header_of(&host, header::RECEIPT).unwrap())
    };
    let explored = receipt(all, "hello");
    assert!(explored.flags.is_explored);
    assert!(
        (explored.propensity - 0.5).abs() < 1e-4,
        "one of two others"
    );
    let seen: Vec<Receipt> = (0..40)
        .map(|n| receipt(some, &format!("hello {n}")))
        .collect();
    for receipt in &seen {
        let expected = if receipt.flags.is_explored {
            0.125
        } else {
            0.75
        };
        assert!((receipt.propensity - expected).abs() < 1e-4, "{receipt:?}");
    }
    assert!(seen.iter().any(|receipt| receipt.flags.is_explored));
    assert!(seen.iter().any(|receipt| !receipt.flags.is_explored));
}

#[test]
fn where_there_is_no_receipt() {
    let headers = |status: &'static str| {
        [
            (":status", status),
            ("content-type", "application/json"),
            (header::ENVOY_ATTEMPTS, "1"),
        ]
    };
    // Off, in the log alone, without a key, and with an error.
    for (members, has_key, status, logged, unsigned) in [
        ("\"stickiness\": 0", true, "200", false, false),
        (r#""receipts": {"mode": "log"}"#, true, "200", true, false),
        (
            r#""learning": {"mode": "observe"}"#,
            true,
            "200",
            false,
            false,
        ),
        (ON, false, "200", false, true),
        (ON, true, "500", false, false),
        (ON, true, "429", false, false),
        (
            r#""receipts": {"mode": "on"}, "mode": "shadow""#,
            true,
            "200",
            false,
            false,
        ),
    ] {
        let mut host = asked(members, &ask("auto", "hello"));
        if !has_key {
            host.keys = Keys::NONE;
        }
        host.answer_with(&headers(status), &[BODY]);
        assert_eq!(header_of(&host, header::RECEIPT), None, "{members}");
        assert_eq!(host.state(state::RECEIPT).is_some(), logged, "{members}");
        let counted = host.counts().contains(&"pointsman.receipts_unsigned");
        assert_eq!(counted, unsigned, "{members}");
        host.done();
    }
}

#[test]
fn embeddings_and_counted_tokens_have_no_receipt() {
    for (path, body) in [
        ("/v1/embeddings", r#"{"model": "tiny", "input": "hi"}"#),
        (
            "/v1/chat/completions/input_tokens",
            r#"{"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}"#,
        ),
    ] {
        let mut host = Host::new(&policy_with(ON));
        host.keys = keys();
        host.begin("POST", path);
        host.send_headers(false);
        host.send_chunk(body.as_bytes(), true);
        host.answer_with(JSON, &["{}"]);
        assert_eq!(header_of(&host, header::RECEIPT), None, "{path}");
    }
}

#[test]
fn a_backend_cannot_give_a_receipt() {
    let mut host = asked("\"stickiness\": 0", &ask("tiny", "hello"));
    let forged = [JSON, &[("x-pointsman-receipt", "forged")]].concat();
    host.answer_with(&forged, &[BODY]);
    let is_left = |(name, _): &(&str, String)| *name == header::RECEIPT;
    assert!(!host.response_headers.iter().any(is_left));
}

/// A chat client's request, with these members besides.
fn asks(members: &str) -> String {
    format!(r#"{{"model": "tiny", {members} "messages": [{{"role": "user", "content": "hi"}}]}}"#)
}

fn answer(content: &str, finish: &str, tokens: u32) -> String {
    let message = serde_json::json!({"content": content});
    format!(
        r#"{{"choices":[{{"index":0,"message":{message},"finish_reason":"{finish}"}}],"usage":{{"prompt_tokens":9,"completion_tokens":{tokens}}}}}"#
    )
}

fn calls(arguments: &str) -> String {
    let call = serde_json::json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}});
    format!(
        r#"{{"choices":[{{"index":0,"message":{{"content":null,"tool_calls":[{call}]}},"finish_reason":"tool_calls"}}],"usage":{{"prompt_tokens":9,"completion_tokens":9}}}}"#
    )
}

const SCHEMA: &str = r#""response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema":
    {"type": "object", "required": ["name", "age"], "properties": {"required": {"type": "string"}}}}},"#;
const JSON_MODE: &str = r#""response_format": {"type": "json_object"},"#;

/// The result of the checks of an answer, which also has to be counted.
fn checked(members: &str, headers: &[(&'static str, &str)], body: &str) -> Option<String> {
    let learns = LEARNS.replace("}}", "}, \"outcomes\": {}}");
    let mut host = asked(&learns, &asks(members));
    host.answer_with(headers, &[body]);
    let outcome = host.state(state::OUTCOME).map(str::to_owned);
    host.effects.clear();
    host.done();
    let counted: Vec<&str> = host
        .counts()
        .into_iter()
        .filter(|name| name.contains("outcomes"))
        .collect();
    let expected = outcome.as_ref().map(|outcome| {
        let verdict = if outcome == "passed" { "passed" } else { "bad" };
        format!("pointsman.outcomes.model.tiny.verdict.{verdict}.source.{outcome}")
    });
    assert_eq!(
        counted,
        expected.iter().map(String::as_str).collect::<Vec<_>>()
    );
    outcome
}

#[test]
fn answers_are_checked_without_an_opinion() {
    for (members, body, expected) in [
        ("", answer("Hi", "stop", 3), Some("passed")),
        ("", answer("", "stop", 0), Some("empty")),
        ("", answer("Once upon", "length", 400), Some("truncated")),
        (
            r#""max_tokens": 900,"#,
            answer("Once upon", "length", 400),
            Some("truncated"),
        ),
        // As long as the client wanted, withheld, or an error: nobody can tell.
        (
            r#""max_tokens": 40,"#,
            answer("Once upon", "length", 40),
            None,
        ),
        ("", answer("", "content_filter", 0), None),
        (
            "",
            r#"{"error": {"message": "overloaded", "type": "server_error"}}"#.to_owned(),
            None,
        ),
        ("", answer("{\"name\": 1", "stop", 3), Some("passed")),
        (
            JSON_MODE,
            answer("{\"name\": \"é\\n\"}", "stop", 3),
            Some("passed"),
        ),
        (
            JSON_MODE,
            answer("```json\n{}\n```", "stop", 3),
            Some("invalid_json"),
        ),
        (
            JSON_MODE,
            answer("{\"name\": 1", "stop", 3),
            Some("invalid_json"),
        ),
        (
            JSON_MODE,
            answer("{\"name\": 1", "length", 3),
            Some("truncated"),
        ),
        (
            SCHEMA,
            answer(r#"{"name": "x", "age": 3}"#, "stop", 3),
            Some("passed"),
        ),
        (
            SCHEMA,
            answer(r#"{"name": "x"}"#, "stop", 3),
            Some("invalid_json"),
        ),
        ("", calls("{\"city\": \"Köln\"}"), Some("passed")),
        ("", calls(""), Some("passed")),
        ("", calls("{\"city\": "), Some("invalid_tool_arguments")),
        (JSON_MODE, calls("{\"city\": 1}"), Some("passed")),
        (r#""n": 2,"#, answer("", "stop", 0), None),
    ] {
        assert_eq!(
            checked(members, JSON, &body).as_deref(),
            expected,
            "{members} {body}"
        );
    }
}

#[test]
fn streams_are_checked_as_they_pass() {
    let chunk = |delta: &str, finish: &str| {
        format!(
            "data: {{\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
        )
    };
    let text = |pieces: &[&str]| {
        let pieces = pieces
            .iter()
            .map(|piece| chunk(&serde_json::json!({"content": piece}).to_string(), "null"));
        pieces.collect::<String>() + &chunk("{}", "\"stop\"") + "data: [DONE]\n\n"
    };
    let call = |calls: &[(u32, &str)]| {
        let calls = calls.iter().map(|(index, piece)| {
            let call = serde_json::json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]});
            // serde_json sorts members; servers write the index first.
            chunk(&call.to_string(), "null")
        });
        calls.collect::<String>() + &chunk("{}", "\"tool_calls\"") + "data: [DONE]\n\n"
    };
    for (members, body, expected) in [
        (
            JSON_MODE,
            text(&["", "{\"a", "\\\"\": \"", "x\"", "}"]),
            Some("passed"),
        ),
        (
            JSON_MODE,
            text(&["{\"a", "\": \"", "x\"", "} Done."]),
            Some("invalid_json"),
        ),
        (
            SCHEMA,
            text(&["{\"na", "me\": 1, \"age\": {}}"]),
            Some("passed"),
        ),
        (
            SCHEMA,
            text(&["{\"na", "me\": 1, \"ag\": {}}"]),
            Some("invalid_json"),
        ),
        ("", text(&["Hi"]), Some("passed")),
        ("", text(&[]), Some("empty")),
        (
            "",
            call(&[(0, "{\"a\""), (0, ": 1}"), (1, ""), (1, "{}")]),
            Some("passed"),
        ),
        (
            "",
            call(&[(0, "{\"a\""), (1, "{}")]),
            Some("invalid_tool_arguments"),
        ),
        (
            "",
            call(&[(0, "{\"a\""), (0, ": 1")]),
            Some("invalid_tool_arguments"),
        ),
    ] {
        let members = format!("\"stream\": true, {members}");
        assert_eq!(
            checked(&members, STREAM, &body).as_deref(),
            expected,
            "{members} {body}"
        );
    }
}

#[test]
fn nothing_is_checked_where_nothing_is_learned() {
    let mut host = asked(ON, &asks(JSON_MODE));
    host.answer_with(JSON, &[&answer("no", "stop", 3)]);
    host.done();
    assert_eq!(host.state(state::OUTCOME), None);
    // A weight of 0 counts for nothing, though the log says what was found.
    let weightless = r#""learning": {"mode": "observe", "outcomes": {"invalid_json": 0}}"#;
    let mut host = asked(weightless, &asks(JSON_MODE));
    host.answer_with(JSON, &[&answer("no", "stop", 3)]);
    host.done();
    assert_eq!(host.state(state::OUTCOME), Some("invalid_json"));
    assert!(!host.counts().iter().any(|name| name.contains("outcomes")));
}

/// Without values for access logs a receipt goes to the client, or is not made.
#[test]
fn a_receipt_without_logs_is_the_clients() {
    for (mode, is_sent) in [("on", true), ("log", false)] {
        for (keys, unsigned) in [(keys(), false), (Keys::NONE, true)] {
            let policy = policy_with(&format!(r#""receipts": {{"mode": "{mode}"}}"#));
            let mut host = Host::new(&policy);
            host.filter_state = FilterState::None;
            host.keys = keys;
            host.begin("POST", "/v1/chat/completions");
            host.send_headers(false);
            host.send_chunk(ask("auto", "hello").as_bytes(), true);
            host.answer_with(JSON, &[BODY]);
            let sent = header_of(&host, header::RECEIPT).is_some();
            assert_eq!(sent, is_sent && !unsigned, "{mode}");
            assert_eq!(host.state(state::RECEIPT), None);
            let counted = host.counts().contains(&"pointsman.receipts_unsigned");
            assert_eq!(counted, unsigned, "{mode}");
        }
    }
}
