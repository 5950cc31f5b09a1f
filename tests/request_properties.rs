//! Properties of reading and rewriting over generated bodies: requests of every shape, and bytes of none.

#![cfg(not(target_family = "wasm"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "../fuzz/properties.rs"]
mod properties;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9f64).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((any::<String>(), inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn content() -> impl Strategy<Value = Value> {
    let part = prop_oneof![
        any::<String>().prop_map(|text| json!({"type": "text", "text": text})),
        any::<String>().prop_map(|url| json!({"type": "image_url", "image_url": {"url": url}})),
        any_json().prop_map(|data| json!({"input_audio": data, "type": "input_audio"})),
    ];
    prop_oneof![
        any::<String>().prop_map(Value::from),
        Just(Value::Null),
        vec(part, 0..4).prop_map(Value::from),
        any_json(),
    ]
}

fn message() -> impl Strategy<Value = Value> {
    let role = prop_oneof![
        Just("system"),
        Just("user"),
        Just("assistant"),
        Just("tool"),
        Just("ghost")
    ];
    let plain = (role, content(), any_json()).prop_map(
        |(role, content, extra)| json!({"role": role, "content": content, "extra": extra}),
    );
    prop_oneof![9 => plain, 1 => any_json()]
}

/// Fields in any order, each once or not at all, as text with any white space.
fn request() -> impl Strategy<Value = String> {
    let field = prop_oneof![
        any::<String>().prop_map(|name| ("model".to_owned(), json!(name))),
        vec(any_json(), 0..3).prop_map(|tools| ("tools".to_owned(), json!(tools))),
        any::<bool>().prop_map(|stream| ("stream".to_owned(), json!(stream))),
        any::<u32>().prop_map(|most| ("max_tokens".to_owned(), json!(most))),
        (
            prop_oneof![
                Just("model"),
                Just("stream"),
                Just("n"),
                Just("user"),
                Just("metadata"),
                Just("tools"),
                Just("response_format"),
                Just("stream_options"),
                Just("Messages"),
                Just("modalities")
            ]
            .prop_map(str::to_owned),
            any_json()
        ),
        ("[a-z_]{1,12}x", any_json()),
        any_json().prop_map(|input| ("input".to_owned(), input)),
        any_json().prop_map(|prompt| ("prompt".to_owned(), prompt)),
        content().prop_map(|system| ("system".to_owned(), system)),
        vec(
            (
                prop_oneof![Just("include_usage"), Just("x")],
                prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from)]
            ),
            0..3
        )
        .prop_map(|options| (
            "stream_options".to_owned(),
            options
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect::<serde_json::Map<_, _>>()
                .into()
        )),
        (
            prop_oneof![Just("Model"), Just("MODEL")].prop_map(str::to_owned),
            any_json()
        ),
    ];
    (
        vec(field, 0..8),
        vec(message(), 1..5),
        any::<prop::sample::Index>(),
        "[ \n\t]{0,3}",
    )
        .prop_map(|(mut fields, messages, at, space)| {
            let mut taken = std::collections::HashSet::new();
            fields.retain(|(key, _)| taken.insert(key.clone()));
            fields.insert(
                at.index(fields.len() + 1),
                ("messages".into(), json!(messages)),
            );
            let fields: Vec<String> = fields
                .iter()
                .map(|(key, value)| format!("{space}{}{space}:{space}{value}{space}", json!(key)))
                .collect();
            format!("{space}{{{}}}{space}", fields.join(","))
        })
}

/// `body` with every character of its strings escaped, keys included.
fn escaped(body: &str) -> String {
    let mut out = String::new();
    let (mut inside, mut after_backslash) = (false, false);
    for character in body.chars() {
        match (inside, after_backslash, character) {
            (true, false, '"') | (false, _, '"') => {
                inside = !inside;
                out.push('"');
            }
            (true, false, '\\') => {
                after_backslash = true;
                out.push('\\');
            }
            (true, false, _) => {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            (true, true, _) => {
                after_backslash = false;
                out.push(character);
            }
            _ => out.push(character),
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests_read_as_serde_json_reads_them(body in request()) {
        prop_assert!(pointsman::api::request::parse(pointsman::api::Api::OpenAiChat, body.as_bytes(), true).is_ok(), "{}", body);
        properties::check_reading(body.as_bytes());
    }

    #[test]
    fn rewriting_changes_only_the_model(body in request(), name in any::<String>()) {
        properties::check_rewriting(body.as_bytes(), &name);
        let escaped = escaped(&body);
        properties::check_reading(escaped.as_bytes());
        properties::check_rewriting(escaped.as_bytes(), &name);
    }

    #[test]
    fn any_json_is_answered(body in any_json()) {
        properties::check_reading(body.to_string().as_bytes());
        properties::check_reading(json!({"model": body, "messages": body}).to_string().as_bytes());
        properties::check_reading(json!({"input": body, "prompt": body, "system": body}).to_string().as_bytes());
        properties::check_rewriting(json!({"stream_options": body}).to_string().as_bytes(), "m");
    }

    #[test]
    fn any_bytes_are_answered(body in vec(any::<u8>(), 0..200), name in any::<String>()) {
        properties::check_reading(&body);
        properties::check_rewriting(&body, &name);
    }
}
