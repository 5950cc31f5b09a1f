//! Streams whose events repeat: taken without reading them again, with the results of reading them.

use super::*;

/// Events of three APIs, alike and not: text, padding, tool calls, usage that grows, comments, two choices, errors, nonsense.
const EVENTS: [&str; 26] = [
    r#"data: {"id":"c-1","choices":[{"index":0,"delta":{"content":"TEXT"},"finish_reason":null}]}"#,
    r#"data: {"id":"c-1","choices":[{"index":0,"delta":{"content":"TEXT"},"finish_reason":null}]}"#,
    r#"data: {"id":"c-1","choices":[{"index":0,"delta":{"content":"TEXT"},"finish_reason":null}]}"#,
    r#"data:{"id":"c-1","choices":[{"index":0,"delta":{"content":"TEXT"},"logprobs":null}],"obfuscation":"TEXT"}"#,
    r#"data:{"id":"c-1","choices":[{"index":0,"delta":{"content":"TEXT"},"logprobs":null}],"obfuscation":"TEXT"}"#,
    r#"data: {"choices":[{"index":1,"delta":{"content":"TEXT"},"finish_reason":"stop"}]}"#,
    r#"data: {"choices":[{"index":0,"delta":{"content":"","reasoning_content":"TEXT"}}]}"#,
    r#"data: {"choices":[{"index":0,"delta":{"content":"TEXT","reasoning_content":"TEXT"}}]}"#,
    r#"data: {"choices":[{"index":0,"delta":{"content":"TEXT","tool_calls":[{"index":0,"function":{"arguments":"TEXT"}}]}}]}"#,
    r#"data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{\"a\":1}"}}]}}]}"#,
    r#"data: {"choices":[{"delta":{"content":"TEXT"}}],"usage":{"prompt_tokens":9,"completion_tokens":5,"iterations":[{"input_tokens":2}]}}"#,
    r#"data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16}}"#,
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"TEXT\"}}",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"TEXT\"}}",
    r#"data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"TEXT"}}"#,
    r#"data: {"type":"content_block_stop","index":1}"#,
    r#"data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}"#,
    r#"data: {"type":"response.output_text.delta","item_id":"msg_1","delta":"TEXT","signature":"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"}"#,
    r#"data: {"type":"response.output_text.delta","sequence_number":NUMBER,"item_id":"msg_1","delta":"TEXT","logprobs":[],"obfuscation":"TEXT"}"#,
    r#"data: {"type":"response.output_text.delta","sequence_number":NUMBER,"item_id":"msg_1","delta":"TEXT","logprobs":[]}"#,
    r#"data: {"sequence_number":NUMBER.5,"choices":[{"index":0,"delta":{"content":"TEXT"}}],"usage":{"prompt_tokens":NUMBER}}"#,
    r#"data: {"code":NUMBER,"choices":[{"index":0,"delta":{"content":"TEXT"}}]}"#,
    ": a comment",
    r#"data: {"error":{"message":"TEXT","code":500}}"#,
    "data: {\"choices\":[{\"delta\":{\"content\":\"TEXT\ndata: \"}}]}",
    "data: [DONE]",
];

const TEXTS: [&str; 9] = [
    " the",
    "",
    "x",
    "\\\"",
    "a \\\\",
    "\\u00e9{\\\"a\\\":",
    "é€😀",
    "1}",
    "a text that is longer than one block of sixteen bytes, with \\n in it",
];

/// A stream of runs of events, each run with the texts drawn anew for each event.
fn stream(random: &mut Random) -> String {
    let mut stream = String::new();
    let end = ["\n\n", "\r\n\r\n", "\r\r"][random.below(3)];
    for _ in 0..random.below(12) {
        let event = EVENTS[random.below(EVENTS.len())];
        for _ in 0..=random.below(6) {
            let mut parts = event.split("TEXT");
            stream += parts.next().unwrap_or_default();
            for part in parts {
                stream += TEXTS[random.below(TEXTS.len())];
                stream += part;
            }
            while let Some(at) = stream.find("NUMBER") {
                let number = [7, 99, 404, 12_345][random.below(4)];
                stream.replace_range(at..at + 6, &number.to_string());
            }
            stream += end;
        }
    }
    stream
}

/// All that is read of a stream that comes in `chunks`, and what the client gets of it.
fn read(api: Api, chunks: &[&[u8]]) -> String {
    let parser = || {
        UsageParser::new(api, Media::EventStream)
            .with_state()
            .with_checks(Expectation {
                is_json: true,
                required: vec![],
            })
    };
    let mut plain = UsageParser::new(api, Media::EventStream).with_choices(2);
    let mut checked = parser();
    let mut hiding = parser();
    let mut hide = UsageEventFilter::default();
    let mut out = Vec::new();
    for chunk in chunks {
        plain.feed(chunk);
        checked.feed(chunk);
        match hide.feed(&mut hiding, chunk) {
            Some(instead) => out.extend(instead),
            None => out.extend_from_slice(chunk),
        }
    }
    out.extend(hide.finish());
    let results = [plain, checked].map(|mut parser| {
        let marks = parser.take_marks();
        // How it keeps the end of a value depends on the pieces.
        parser.parsed.collector = Default::default();
        let finished = [true, false].map(|ended| (parser.finish(ended), parser.error(ended)));
        format!(
            "{marks:?} {finished:?} {} {:?}",
            parser.is_underway(),
            parser.parsed
        )
    });
    format!("{results:?} {}", String::from_utf8_lossy(&out))
}

#[test]
fn repeated_events_are_read_as_if_each_came_alone() {
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    for round in 0..600 {
        let api = [
            Api::OpenAiChat,
            Api::AnthropicMessages,
            Api::OpenAiResponses,
        ][round % 3];
        let stream = stream(&mut random);
        // Bytes that come one by one are never whole events.
        let single: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
        let expected = read(api, &single);
        assert_eq!(read(api, &[stream.as_bytes()]), expected, "{stream}");
        let chunks = cut(stream.as_bytes(), &mut random);
        assert_eq!(read(api, &chunks), expected, "{stream} cut as {chunks:?}");
    }
}

#[test]
fn an_event_is_known_once_it_was_repeated_by_one_that_changed_nothing_else() {
    let numbered = EVENTS[18].replace("NUMBER", "8");
    for event in [EVENTS[0], EVENTS[3], EVENTS[12], EVENTS[14], &numbered] {
        let whole = format!("{event}\n\n");
        let mut parser = UsageParser::new(Api::OpenAiChat, Media::EventStream);
        for (word, known) in [
            ("Yes", false),
            (", it", true),
            (" \\\"does", true),
            ("", false),
        ] {
            parser.feed(whole.replace("TEXT", word).as_bytes());
            assert_eq!(parser.events.repeats.is_known(), known, "{event} {word}");
        }
    }
    // Two texts that differ, arguments alone, and a sum of steps.
    for event in [EVENTS[7], EVENTS[9], EVENTS[10]] {
        let mut parser = UsageParser::new(Api::OpenAiChat, Media::EventStream);
        for word in ["Yes", ", it", " does", " depend"] {
            parser.feed(format!("{event}\n\n").replace("TEXT", word).as_bytes());
            assert!(!parser.events.repeats.is_known(), "{event}");
        }
    }
}
