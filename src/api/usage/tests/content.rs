//! The content of answers in the APIs' own forms: text that has to be JSON, and arguments of tool calls.

use super::super::*;
use crate::fnv::hash32;

/// Whether the text is what was expected, and whether the arguments are JSON, however the answer is cut.
fn checked(api: Api, media: Media, body: &str) -> (Option<bool>, Option<bool>) {
    let read = |size: usize| {
        let expected = Expectation {
            is_json: true,
            required: vec![hash32(b"city")],
        };
        let mut parser = UsageParser::new(api, media).with_checks(expected);
        body.as_bytes()
            .chunks(size)
            .for_each(|piece| parser.feed(piece));
        (parser.is_expected_json(), parser.are_arguments_json())
    };
    let whole = read(body.len());
    for size in [1, 2, 5] {
        assert_eq!(read(size), whole, "in pieces of {size}: {body}");
    }
    whole
}

fn event(body: &str) -> String {
    format!("data: {body}\n\n")
}

#[test]
fn responses_are_checked() {
    let whole = |text: &str| {
        format!(
            r#"{{"object": "response", "output": [
                {{"type": "reasoning", "summary": [{{"type": "summary_text", "text": "Hm."}}], "content": [{{"type": "reasoning_text", "text": "Hm."}}]}},
                {{"type": "message", "role": "assistant", "content": [{{"type": "output_text", "text": {text}}}]}},
                {{"type": "function_call", "name": "f", "arguments": "{{\"a\": 1}}"}}], "status": "completed"}}"#
        )
    };
    let json = r#""{\"city\": \"K\u00f6ln\"}""#;
    let check = |body: &str| checked(Api::OpenAiResponses, Media::Json, body);
    assert_eq!(check(&whole(json)), (Some(true), Some(true)));
    assert_eq!(
        check(&whole(r#""{\"town\": 1}""#)),
        (Some(false), Some(true))
    );
    assert_eq!(check(&whole(r#""Cologne""#)), (Some(false), Some(true)));
    let broken = whole(json).replace(r#"{\"a\": 1}"#, r#"{\"a\": "#);
    assert_eq!(check(&broken), (Some(true), Some(false)));

    let stream = |arguments: &str| {
        [
            r#"{"type":"response.output_item.added","item":{"type":"reasoning"}}"#,
            r#"{"type":"response.reasoning_summary_text.delta","delta":"Hm."}"#,
            r#"{"type":"response.output_text.delta","delta":"{\"ci"}"#,
            r#"{"type":"response.output_text.delta","delta":"ty\": 1}"}"#,
            r#"{"type":"response.output_text.done","text":"{\"city\": 1}"}"#,
            r#"{"type":"response.function_call_arguments.delta","delta":"{\"a\""}"#,
            &format!(r#"{{"type":"response.function_call_arguments.done","arguments":"{arguments}"}}"#),
            &format!(
                r#"{{"type":"response.completed","response":{{"status":"completed","output":[
                    {{"type":"message","content":[{{"type":"output_text","text":"{{\"city\": 1}}"}}]}},
                    {{"type":"function_call","arguments":"{arguments}"}}]}}}}"#
            )
            .replace('\n', ""),
        ]
        .map(event)
        .concat()
    };
    let check = |body: &str| checked(Api::OpenAiResponses, Media::EventStream, body);
    assert_eq!(check(&stream(r#"{\"a\": 1}"#)), (Some(true), Some(true)));
    assert_eq!(check(&stream(r#"{\"a\": "#)), (Some(true), Some(false)));
}

#[test]
fn messages_are_checked() {
    let whole = |text: &str| {
        format!(
            r#"{{"type": "message", "content": [{{"type": "thinking", "thinking": "Hm.", "signature": "x"}},
                {{"type": "text", "text": {text}}}, {{"type": "tool_use", "name": "f", "input": {{"a": 1}}}}], "stop_reason": "end_turn"}}"#
        )
    };
    let check = |body: &str| checked(Api::AnthropicMessages, Media::Json, body);
    // The input of a tool is JSON by its form.
    assert_eq!(check(&whole(r#""{\"city\": 1}""#)), (Some(true), None));
    assert_eq!(
        check(&whole(r#""Here: {\"city\": 1}""#)),
        (Some(false), None)
    );

    let stream = |last: &str| {
        [
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm."}}"#,
            r#"{"type":"content_block_stop","index":0}"#,
            r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"{\"city\""}}"#,
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":": 1}"}}"#,
            r#"{"type":"content_block_stop","index":1}"#,
            r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}"#,
            r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"a\": "}}"#,
            &format!(
                r#"{{"type":"content_block_delta","index":2,"delta":{{"type":"input_json_delta","partial_json":"{last}"}}}}"#
            ),
            r#"{"type":"content_block_stop","index":2}"#,
            r#"{"type":"message_stop"}"#,
        ]
        .map(event)
        .concat()
    };
    let check = |body: &str| checked(Api::AnthropicMessages, Media::EventStream, body);
    assert_eq!(check(&stream("1}")), (Some(true), Some(true)));
    assert_eq!(check(&stream("1")), (Some(true), Some(false)));
}

#[test]
fn chat_and_completions_are_checked() {
    let chat = |message: &str| {
        format!(r#"{{"choices": [{{"index": 0, "message": {message}, "finish_reason": "stop"}}]}}"#)
    };
    let check = |body: &str| checked(Api::OpenAiChat, Media::Json, body);
    let reasoned = r#"{"reasoning_content": "Hm.", "content": "{\"city\": \"\\u00e9\"}"}"#;
    assert_eq!(check(&chat(reasoned)), (Some(true), None));
    assert_eq!(
        check(&chat(r#"{"content": "", "refusal": "No."}"#)),
        (None, None)
    );
    let legacy = r#"{"content": null, "function_call": {"name": "f", "arguments": "{}"}}"#;
    assert_eq!(check(&chat(legacy)), (None, Some(true)));
    let two =
        r#"{"tool_calls": [{"function": {"arguments": "{"}}, {"function": {"arguments": "{}"}}]}"#;
    assert_eq!(check(&chat(two)), (None, Some(false)));
    let completion = r#"{"choices": [{"text": "{\"city\": 1}", "finish_reason": "stop"}]}"#;
    assert_eq!(
        checked(Api::OpenAiCompletions, Media::Json, completion),
        (Some(true), None)
    );
}

/// The start of the text, however the answer is cut.
fn text_of(api: Api, media: Media, body: &str, most: usize) -> (String, bool) {
    let read = |size: usize| {
        let mut parser = UsageParser::new(api, media).with_text(most);
        body.as_bytes()
            .chunks(size)
            .for_each(|piece| parser.feed(piece));
        let text = parser.take_text().unwrap();
        assert!(parser.take_text().is_none());
        (text.text().into_owned(), text.is_cut())
    };
    let whole = read(body.len());
    for size in [1, 2, 3, 7, 64] {
        assert_eq!(read(size), whole, "in pieces of {size}: {body}");
    }
    whole
}

#[test]
fn the_text_of_every_api_is_kept_as_it_passes() {
    let chat = r#"{"choices":[{"index":0,"message":{"role":"assistant","reasoning_content":"Hm.","content":"Sí, \"4\".\n\ud83d\ude00"},"finish_reason":"stop"}]}"#;
    let text = "Sí, \"4\".\n😀";
    let chunks = [
        r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"reasoning_content":"Hm."}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"Sí, \"4"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"\".\n\ud83d\ude00"}}]}"#,
        "[DONE]",
    ];
    let completion = r#"{"choices":[{"index":0,"text":"Sí, \"4\".\n😀","logprobs":null}]}"#;
    let message = r#"{"type":"message","content":[{"type":"thinking","thinking":"Hm."},{"type":"text","text":"Sí, "},{"type":"text","text":"\"4\".\n😀"}]}"#;
    let deltas = [
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm."}}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Sí, \"4"}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"\".\n😀"}}"#,
        r#"{"type":"message_stop"}"#,
    ];
    let response = r#"{"object":"response","output":[{"type":"reasoning","content":[{"type":"reasoning_text","text":"Hm."}]},{"type":"message","content":[{"type":"output_text","text":"Sí, \"4\".\n😀"}]}]}"#;
    let events = [
        r#"{"type":"response.reasoning_summary_text.delta","delta":"Hm."}"#,
        r#"{"type":"response.output_text.delta","delta":"Sí, \"4"}"#,
        r#"{"type":"response.output_text.delta","delta":"\".\n😀"}"#,
        r#"{"type":"response.output_text.done","text":"Sí, \"4\".\n😀"}"#,
        r#"{"type":"response.completed","response":{"output":[{"type":"message","content":[{"type":"output_text","text":"Sí, \"4\".\n😀"}]}]}}"#,
    ];
    let (json, stream) = (Media::Json, Media::EventStream);
    for (api, media, body) in [
        (Api::OpenAiChat, json, chat.to_owned()),
        (Api::OpenAiChat, stream, chunks.map(event).concat()),
        (Api::OpenAiCompletions, json, completion.to_owned()),
        (Api::OpenAiCompletions, stream, event(completion)),
        (Api::AnthropicMessages, json, message.to_owned()),
        (Api::AnthropicMessages, stream, deltas.map(event).concat()),
        (Api::OpenAiResponses, json, response.to_owned()),
        (Api::OpenAiResponses, stream, events.map(event).concat()),
    ] {
        let kept = text_of(api, media, &body, 100);
        assert_eq!(kept, (text.to_owned(), false), "{api:?} {media:?}");
        // `í` begins at the second byte.
        let kept = text_of(api, media, &body, 2);
        assert_eq!(kept, ("S".to_owned(), true), "{api:?} {media:?}");
    }
}

/// Events that repeat are not read again, but for their text.
#[test]
fn the_text_of_events_that_repeat_is_kept_whole() {
    let delta = |number: usize| {
        event(&format!(
            r#"{{"id":"c","choices":[{{"index":0,"delta":{{"content":"{number}é\n"}},"finish_reason":null}}],"obfuscation":"{}"}}"#,
            "x".repeat(number % 5)
        ))
    };
    let body: String = (0..60).map(delta).collect();
    let text: String = (0..60).map(|number| format!("{number}é\n")).collect();
    for most in [100, 1000] {
        let (kept, is_cut) = text_of(Api::OpenAiChat, Media::EventStream, &body, most);
        assert!(text.starts_with(&kept) && kept.len() + 2 > most.min(text.len()));
        assert_eq!(is_cut, most < text.len());
    }
}

#[test]
fn only_the_start_of_a_long_text_is_kept() {
    let long = "é".repeat(20_000);
    let body = format!(r#"{{"choices":[{{"message":{{"content":"a{long}"}}}}]}}"#);
    let (text, is_cut) = text_of(Api::OpenAiChat, Media::Json, &body, 8192);
    assert_eq!((text.len(), is_cut), (8191, true));
    let call = r#"{"choices":[{"message":{"content":null,"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}}]}"#;
    let (text, _) = text_of(Api::OpenAiChat, Media::Json, call, 8192);
    assert_eq!(text, "");
}
