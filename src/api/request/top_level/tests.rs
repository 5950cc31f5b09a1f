//! The scanner against the reader of whole bodies: it finds the same, however the body is cut into pieces.

use super::*;

fn tail(body: &[u8], size: usize) -> TopLevelFields {
    let mut scanner = TopLevelScanner::default();
    for piece in body.chunks(size) {
        scanner.feed(piece);
    }
    assert!(scanner.is_done() || scanner.fed() == body.len());
    scanner.finish()
}

const BODIES: &[&str] = &[
    r#"{"model":"a"}"#,
    "\u{feff} {\n\"messages\" : [ {\"content\":\"{\\\"model\\\":1}\"} ] ,\t\"mod\\u0065l\" : \"a\\\"b\" , \"MODEL\":null,\"model\":[\"x\", \"y\" ] }\n",
    r#"{"a":{"model":"x"},"b":["model",":","}"],"n":3,"stream":"true","max_tokens":1e3,"user":"u","user":"v"}"#,
    r#"{"stream_options": { "x" : 1 } ,"model":"é漢😀"}"#,
    r#"{"stream_options":null}"#,
    r#"{"stream_options":{"include_usage": false }}"#,
    "{}",
    "{ }",
    "",
    "[]",
    r#""model""#,
];

#[test]
fn what_is_found_is_what_a_reader_of_the_whole_finds() {
    for body in BODIES {
        for api in Api::ALL {
            let Ok(whole) = parse(api, body.as_bytes(), true) else {
                continue;
            };
            for size in [1, 2, 3, 7, 1000] {
                let tail = tail(body.as_bytes(), size);
                assert!(tail.is_complete);
                let found = tail.read(api).unwrap();
                assert_eq!(found.model, whole.model, "{body}");
                assert_eq!(found.other_models, whole.other_models);
                assert_eq!(found.model_spans, whole.model_spans, "{body}");
                assert_eq!(found.usage_slot, whole.usage_slot, "{body}");
                assert_eq!(found.max_tokens, whole.max_tokens);
                assert_eq!((found.stream, found.choices), (whole.stream, whole.choices));
                assert_eq!(
                    (found.user, found.other_users),
                    (whole.user.clone(), whole.other_users.clone())
                );
            }
        }
    }
}

#[test]
fn what_is_kept_is_bounded() {
    let long = "x".repeat(2000);
    let body = format!(r#"{{"a":"{long}","model":"{long}","user":"u","model":"m"}}"#);
    let found = tail(body.as_bytes(), 100);
    let request = found.read(Api::OpenAiChat).unwrap();
    assert_eq!(request.model.as_deref(), Some("m"));
    assert_eq!(&body[request.model_spans[0].clone()], format!("\"{long}\""));
    assert_eq!(request.user.as_deref(), Some("u"));
    assert!(found.text.len() < 100);
    let many = format!(
        r#"{{{}"model":"m"}}"#,
        r#""field":"value that is short","#.repeat(10_000)
    );
    let found = tail(many.as_bytes(), 1000);
    assert!(found.text.len() < MAX_KEPT + 100);
    assert_eq!(
        found.read(Api::OpenAiChat).unwrap().model.as_deref(),
        Some("m")
    );
    let models = format!(r#"{{{}"n":1}}"#, r#""model":"m","#.repeat(100_000));
    let found = tail(models.as_bytes(), 1000);
    assert!(found.text.len() < 2000);
    let error = found.read(Api::OpenAiChat).unwrap_err().to_string();
    assert!(
        error.starts_with("model: comes more than 64 times"),
        "{error}"
    );
}

#[test]
fn any_bytes_are_fed() {
    for body in [
        &b"{\"a\""[..],
        b"{\"a\":}",
        b"{,}",
        b"{\"\\",
        b"}{",
        b"{\"model\":\xff}",
        b"{\"model\":\"a\"]}",
        b"{\"a\":nul}",
    ] {
        for size in [1, 3, 100] {
            let found = tail(body, size);
            let _ = found.read(Api::OpenAiChat);
        }
    }
}
