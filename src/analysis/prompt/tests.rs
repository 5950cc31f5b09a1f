//! Which turns count, and the estimate of input tokens.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::api::Api;
use crate::api::request::parse;

fn input_tokens_of(body: &str) -> u32 {
    Prompt::new(&parse(Api::OpenAiChat, body.as_bytes(), true).unwrap()).input_tokens
}

fn user(content: &str) -> String {
    format!(r#"{{"messages":[{{"role":"user","content":{content}}}]}}"#)
}

#[test]
fn only_what_the_user_says_is_classified() {
    let body = r#"{"messages":[
        {"role":"system","content":"You are a poet"},
        {"role":"user","content":"Hello"},
        {"role":"assistant","content":"Hi"},
        {"role":"user","content":" \n"},
        {"role":"user","content":[{"type":"text","text":"Look at"},{"type":"text","text":"this"}]},
        {"role":"tool","tool_call_id":"1","content":"{}"}
    ]}"#;
    let request = parse(Api::OpenAiChat, body.as_bytes(), true).unwrap();
    let prompt = Prompt::new(&request);
    let texts: Vec<&str> = prompt.turns.iter().map(|turn| turn.text.as_ref()).collect();
    assert_eq!(texts, ["Hello", "Look at\nthis"]);
    assert!(matches!(
        prompt.turns.first().map(|turn| &turn.text),
        Some(Cow::Borrowed(_))
    ));
}

#[test]
fn input_tokens_come_near_what_byte_pair_tokenizers_count() {
    let near = |text: &str, low: u32, high: u32| {
        let counted = input_tokens_of(&user(&format!("\"{text}\""))) - TOKENS_PER_MESSAGE;
        assert!((low..=high).contains(&counted), "`{text}`: {counted}");
    };
    near("The quick brown fox jumps over the lazy dog.", 8, 12);
    near("今天天气很好，我们去公园吧", 8, 13);
    near("Съешь же ещё этих мягких французских булок", 12, 22);
}

#[test]
fn everything_that_is_sent_counts() {
    let alone = input_tokens_of(&user(r#""Be brief""#));
    let parts = r#"[{"type":"text","text":"Be brief"},{"type":"image_url","image_url":{"url":"http://a/b.png"}}]"#;
    assert_eq!(input_tokens_of(&user(parts)), alone + TOKENS_PER_IMAGE);
    let schema = format!(
        r#""Be brief"}}],"tools":[{{"type":"function","function":{{"name":"f","description":"{}"}}}}],"n":1,"metadata":{{"a":"b""#,
        "x".repeat(3_300)
    );
    let with_tools = format!(r#"{{"messages":[{{"role":"user","content":{schema}}}}}"#);
    assert!(input_tokens_of(&with_tools) >= alone + 999);
}
