//! Errors that are told with a status of 200, answers with nothing in them, and ends that are none.

use super::*;
use crate::api::Api::*;
use Media::{EventStream, Json};

/// The answer as it is judged, and the same however it is cut.
fn fault(api: Api, media: Media, body: &str) -> Option<AnswerError> {
    let read = |chunks: &[&[u8]]| {
        let mut meter = UsageParser::new(api, media);
        for chunk in chunks {
            meter.feed(chunk);
        }
        meter.error(true)
    };
    let whole = read(&[body.as_bytes()]);
    let mut random = Random(body.len() as u64);
    for _ in 0..20 {
        assert_eq!(read(&cut(body.as_bytes(), &mut random)), whole, "{body}");
    }
    let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
    assert_eq!(read(&bytes), whole, "{body}");
    whole
}

#[test]
fn no_shape_of_an_answer_is_a_fault() {
    for (name, api, media, usage, body) in SHAPES {
        let parsed = fault(*api, *media, body);
        // Shapes are shortened: those without any choice and any usage have nothing in them.
        let written = usage.is_none_or(|[_, _, _, output, _]| output > 0);
        if written && (body.contains("content") || usage.is_some()) {
            assert_eq!(parsed, None, "{name}");
        }
    }
}

#[test]
fn errors_with_a_good_status_are_errors() {
    for (api, media, body) in [
        (
            OpenAiChat,
            Json,
            r#"{"error":{"message":"CUDA out of memory","type":"server_error","code":null}}"#,
        ),
        (OpenAiChat, Json, r#"{"error":"overloaded"}"#),
        (OpenAiChat, Json, r#"{"error":"a \"quoted\" text"}"#),
        (
            OpenAiChat,
            Json,
            r#"{"object":"error","message":"boom","type":"InternalServerError","code":500}"#,
        ),
        (
            OpenAiChat,
            Json,
            r#"[{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}]"#,
        ),
        (
            OpenAiChat,
            Json,
            r#"{"error":{"code":429,"message":"slow down"}}"#,
        ),
        (
            OpenAiChat,
            Json,
            r#"{"choices":[{"error":{"message":"upstream","code":502},"finish_reason":"error","message":{"content":"par"}}]}"#,
        ),
        (
            AnthropicMessages,
            Json,
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
        ),
        (
            OpenAiResponses,
            Json,
            r#"{"object":"response","status":"failed","error":{"code":"server_error","message":"x"},"output":[]}"#,
        ),
        (
            OpenAiChat,
            EventStream,
            "data: {\"error\":{\"message\":\"x\",\"type\":\"server_error\"}}\n\ndata: [DONE]\n\n",
        ),
        (
            OpenAiChat,
            EventStream,
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"error\":{\"code\":502,\"message\":\"gone\"},\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":\"error\"}]}\n\ndata: [DONE]\n\n",
        ),
        (
            OpenAiChat,
            EventStream,
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"error\"}]}\n\n",
        ),
        (
            AnthropicMessages,
            EventStream,
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"content\":[],\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\nevent: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n",
        ),
        (
            OpenAiResponses,
            EventStream,
            "data: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":{\"code\":\"server_error\"}}}\n\n",
        ),
        (
            OpenAiResponses,
            EventStream,
            "data: {\"type\":\"error\",\"code\":\"server_error\",\"message\":\"x\"}\n\n",
        ),
        (OpenAiCompletions, Json, r#"{"error":{"message":"x"}}"#),
        (OpenAiEmbeddings, Json, r#"{"error":{"message":"x"}}"#),
    ] {
        assert_eq!(
            fault(api, media, body),
            Some(AnswerError::Reported),
            "{body}"
        );
    }
}

#[test]
fn an_error_that_blames_the_request_is_none_of_the_backend() {
    for (api, media, body) in [
        (
            OpenAiChat,
            Json,
            r#"{"error":{"message":"too long","type":"invalid_request_error","code":"context_length_exceeded"}}"#,
        ),
        (
            OpenAiChat,
            Json,
            r#"{"object":"error","message":"bad","type":"BadRequestError","code":400}"#,
        ),
        (
            OpenAiChat,
            Json,
            r#"[{"error":{"code":400,"message":"x","status":"INVALID_ARGUMENT"}}]"#,
        ),
        (
            OpenAiChat,
            EventStream,
            "data: {\"error\":{\"message\":\"x\",\"type\":\"BadRequestError\",\"code\":400}}\n\n",
        ),
        (
            AnthropicMessages,
            EventStream,
            "data: {\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"x\"}}\n\n",
        ),
        (
            OpenAiChat,
            Json,
            r#"{"error":{"message":"x","code":"404"}}"#,
        ),
    ] {
        assert_eq!(
            fault(api, media, body),
            Some(AnswerError::ClientError),
            "{body}"
        );
    }
}

#[test]
fn empty_answers_are_distinguished_from_those_that_may_be_empty() {
    let empty = [
        (OpenAiChat, Json, ""),
        (OpenAiChat, Json, "{}"),
        (OpenAiChat, Json, r#"{"choices":[]}"#),
        (
            OpenAiChat,
            Json,
            r#"{"choices":[{"index":0,"message":{"role":"assistant","content":""},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":0,"total_tokens":5}}"#,
        ),
        (
            OpenAiChat,
            Json,
            r#"{"error":null,"choices":[{"message":{"role":"assistant","content":null,"tool_calls":[]},"finish_reason":"tool_calls"}]}"#,
        ),
        (OpenAiChat, EventStream, ""),
        (OpenAiChat, EventStream, "data: [DONE]\n\n"),
        (
            OpenAiChat,
            EventStream,
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
        ),
        (
            AnthropicMessages,
            Json,
            r#"{"type":"message","content":[],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":0}}"#,
        ),
        (
            OpenAiResponses,
            Json,
            r#"{"object":"response","status":"completed","error":null,"output":[],"usage":{"input_tokens":3,"output_tokens":0}}"#,
        ),
        (
            OpenAiCompletions,
            Json,
            r#"{"choices":[{"text":"","finish_reason":"stop"}]}"#,
        ),
    ];
    for (api, media, body) in empty {
        assert_eq!(fault(api, media, body), Some(AnswerError::Empty), "{body}");
    }
    let fine = [
        (
            OpenAiChat,
            Json,
            r#"{"choices":[{"message":{"content":"\n"}}]}"#,
        ),
        (
            OpenAiChat,
            Json,
            r#"{"choices":[{"message":{"content":[{"type":"text","text":"a"}]}}]}"#,
        ),
        (
            OpenAiChat,
            Json,
            r#"{"choices":[{"message":{"content":null,"tool_calls":[{"id":"1","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}"#,
        ),
        (
            OpenAiChat,
            Json,
            r#"{"choices":[{"message":{"content":null,"function_call":{"name":"f","arguments":""}}}]}"#,
        ),
        (
            OpenAiChat,
            Json,
            r#"{"choices":[{"message":{"content":null,"refusal":"no"},"finish_reason":"stop"}]}"#,
        ),
        (
            OpenAiChat,
            Json,
            r#"{"choices":[{"message":{"content":""},"finish_reason":"content_filter"}]}"#,
        ),
        (
            OpenAiChat,
            Json,
            r#"{"choices":[{"message":{"content":""},"finish_reason":"length"}],"usage":{"completion_tokens":0}}"#,
        ),
        (
            OpenAiChat,
            Json,
            r####"{"choices":[{"message":{"content":""},"finish_reason":"stop","stop_reason":"###"}]}"####,
        ),
        // Reasoning that is not shown was written all the same.
        (
            OpenAiChat,
            Json,
            r#"{"choices":[{"message":{"content":""},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":70}}"#,
        ),
        (
            OpenAiChat,
            EventStream,
            "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\ndata: [DONE]\n\n",
        ),
        (
            OpenAiChat,
            EventStream,
            "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"f\"}}]}}]}\n\ndata: [DONE]\n\n",
        ),
        (
            AnthropicMessages,
            Json,
            r#"{"type":"message","content":[{"type":"tool_use","id":"t","name":"f","input":{}}],"stop_reason":"tool_use"}"#,
        ),
        (
            AnthropicMessages,
            EventStream,
            "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}}}\n\ndata: {\"type\":\"message_stop\"}\n\n",
        ),
        (
            OpenAiResponses,
            Json,
            r#"{"output":[{"type":"function_call","name":"f","arguments":"{}"}]}"#,
        ),
        (
            OpenAiResponses,
            Json,
            r#"{"output":[{"type":"message","content":[{"type":"output_text","text":"a"}]}]}"#,
        ),
        (
            OpenAiResponses,
            EventStream,
            "data: {\"type\":\"response.output_text.delta\",\"delta\":\"a\"}\n\ndata: {\"type\":\"response.completed\",\"response\":{\"error\":null}}\n\n",
        ),
        (OpenAiCompletions, Json, r#"{"choices":[{"text":" a"}]}"#),
        (
            OpenAiEmbeddings,
            Json,
            r#"{"data":[{"embedding":[0.1]}],"usage":{"prompt_tokens":2}}"#,
        ),
    ];
    for (api, media, body) in fine {
        assert_eq!(fault(api, media, body), None, "{body}");
    }
}

fn underway(choices: u32, events: &[&str]) -> bool {
    let mut meter = UsageParser::new(OpenAiChat, EventStream).with_choices(choices);
    for event in events {
        meter.feed(format!("data: {event}\n\n").as_bytes());
    }
    meter.is_underway()
}

#[test]
fn an_empty_reason_ends_nothing_and_the_first_of_several_choices_does_not_end_the_others() {
    let part = r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":""}]}"#;
    let null = r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}"#;
    let first = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    let second = r#"{"choices":[{"finish_reason":"length","delta":{},"index":1}]}"#;
    assert!(underway(1, &[part]) && underway(1, &[part, null]));
    assert!(!underway(1, &[part, first]));
    assert!(underway(2, &[part, first]));
    assert!(underway(2, &[part, first, first]));
    assert!(!underway(2, &[part, first, second]));
    assert!(!underway(2, &[part, second, part, first]));
    assert!(!underway(2, &[part, "[DONE]"]));
    let both = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"},{"index":1,"delta":{},"finish_reason":"stop"}]}"#;
    assert!(!underway(2, &[part, both]));
    // Some servers send the only choice without an index.
    let bare = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
    assert!(!underway(1, &[part, bare]));
}

#[test]
fn tokens_of_a_stream_are_its_events_or_its_text_whichever_is_more() {
    let tokens = |events: &[String]| {
        let mut meter = UsageParser::new(OpenAiChat, EventStream);
        for event in events {
            meter.feed(format!("data: {event}\n\n").as_bytes());
        }
        meter.streamed_tokens()
    };
    let part =
        |text: &str| format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}"#);
    assert_eq!(tokens(&[part(""), part("")]), None);
    assert_eq!(tokens(&vec![part("a"); 50]), Some(50));
    // Eight tokens to the event.
    assert_eq!(tokens(&vec![part(&"word".repeat(8)); 10]), Some(80));
    let mut meter = UsageParser::new(OpenAiChat, Json);
    meter.feed(part("a").as_bytes());
    assert_eq!(meter.streamed_tokens(), None);
}
