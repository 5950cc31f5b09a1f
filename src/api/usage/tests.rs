//! Usage of responses, however they are cut, and streams whose usage event is hidden.

mod content;
mod repeats;
mod shapes;
mod status;

use super::*;
use shapes::SHAPES;

fn measure(api: Api, media: Media, chunks: &[&[u8]]) -> Result<Usage, MissingUsage> {
    let mut meter = UsageParser::new(api, media);
    for chunk in chunks {
        meter.feed(chunk);
    }
    meter.finish(true)
}

fn tokens(parsed: Result<Usage, MissingUsage>) -> Option<[u64; 5]> {
    parsed.ok().map(|usage| {
        [
            usage.input_tokens,
            usage.cached_input_tokens,
            usage.cache_write_tokens,
            usage.output_tokens,
            usage.reasoning_tokens,
        ]
    })
}

/// Xorshift: the same cuts on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

fn cut<'b>(body: &'b [u8], random: &mut Random) -> Vec<&'b [u8]> {
    let mut chunks = Vec::new();
    let mut rest = body;
    let most = [2, 7, 60, 400][random.below(4)];
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(random.below(most).min(rest.len()));
        chunks.push(chunk);
        rest = after;
    }
    chunks
}

#[test]
fn every_shape_is_counted_exactly() {
    for (name, api, media, expected, body) in SHAPES {
        let parsed = measure(*api, *media, &[body.as_bytes()]);
        assert_eq!(tokens(parsed), *expected, "{name}");
    }
}

#[test]
fn any_chunking_gives_the_same_usage() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for (name, api, media, expected, body) in SHAPES {
        let single: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
        assert_eq!(tokens(measure(*api, *media, &single)), *expected, "{name}");
        for at in 0..=body.len() {
            let (left, right) = body.as_bytes().split_at(at);
            let parsed = measure(*api, *media, &[left, right]);
            assert_eq!(tokens(parsed), *expected, "{name} cut at {at}");
        }
        for _ in 0..200 {
            let chunks = cut(body.as_bytes(), &mut random);
            let parsed = measure(*api, *media, &chunks);
            assert_eq!(tokens(parsed), *expected, "{name} cut as {chunks:?}");
        }
    }
}

#[test]
fn any_bytes_are_read() {
    let mut random = Random(77);
    for round in 0..20_000 {
        let (_, api, media, _, body) = SHAPES[round % SHAPES.len()];
        let mut bytes = body.as_bytes().to_vec();
        for _ in 0..random.below(6) {
            let at = random.below(bytes.len() + 1);
            match random.below(3) {
                0 => bytes.truncate(at),
                1 if at < bytes.len() => bytes[at] = random.below(256) as u8,
                _ => bytes.insert(at, b"{}[]\",:\\\n\r0-e"[random.below(13)]),
            }
        }
        let chunks = cut(&bytes, &mut random);
        let cut = measure(api, media, &chunks);
        assert_eq!(cut, measure(api, media, &[&bytes]));
        let mut meter = UsageParser::new(api, media);
        let mut hide = UsageEventFilter::default();
        for chunk in &chunks {
            let _ = hide.feed(&mut meter, chunk);
        }
    }
}

#[test]
fn missing_usage_has_a_reason() {
    let body = br#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tok"#;
    assert_eq!(
        measure(Api::OpenAiChat, Media::Json, &[body]),
        Err(MissingUsage::Truncated)
    );
    assert_eq!(
        measure(Api::OpenAiChat, Media::Json, &[b"{\"choices\":[]}"]),
        Err(MissingUsage::NotReported)
    );
    let mut meter = UsageParser::new(Api::OpenAiChat, Media::EventStream);
    meter.feed(b"data: {\"choices\":[{}]}\n\n");
    assert_eq!(meter.finish(true), Err(MissingUsage::NotReported));
    assert_eq!(meter.finish(false), Err(MissingUsage::Truncated));
}

#[test]
fn deep_and_large_documents_are_passed_over() {
    let deep = [
        b"[".repeat(100_000),
        b"{\"usage\":{\"prompt_tokens\":1}}".to_vec(),
    ]
    .concat();
    assert!(measure(Api::OpenAiChat, Media::Json, &[&deep]).is_err());
    let mut large = br#"{"data":[{"embedding":""#.to_vec();
    large.extend(b"A".repeat(5_000_000));
    large.extend_from_slice(br#""}],"usage":{"prompt_tokens":7,"total_tokens":7}}"#);
    let parsed = measure(Api::OpenAiEmbeddings, Media::Json, &[&large]);
    assert_eq!(tokens(parsed), Some([7, 0, 0, 0, 0]));
}

#[test]
fn media_types_are_distinguished() {
    let of = |kind: &str, encoding: Option<&str>| {
        Media::from_headers(kind.as_bytes(), encoding.map(str::as_bytes))
    };
    assert_eq!(of("application/json; charset=utf-8", None), Ok(Media::Json));
    assert_eq!(
        of("Text/Event-Stream;charset=utf-8", Some("identity")),
        Ok(Media::EventStream)
    );
    assert_eq!(
        of("application/json", Some("gzip")),
        Err(MissingUsage::Compressed)
    );
    for kind in ["application/vnd.amazon.eventstream", "", "text/plain"] {
        assert_eq!(of(kind, None), Err(MissingUsage::MediaType), "{kind}");
    }
}

/// The bytes that the client gets of a body that comes in `chunks`.
fn hidden(chunks: &[&[u8]]) -> String {
    let mut meter = UsageParser::new(Api::OpenAiChat, Media::EventStream);
    let mut hide = UsageEventFilter::default();
    let mut out = Vec::new();
    for chunk in chunks {
        match hide.feed(&mut meter, chunk) {
            Some(instead) => out.extend(instead),
            None => out.extend_from_slice(chunk),
        }
    }
    out.extend(hide.finish());
    String::from_utf8(out).unwrap()
}

/// The events of a stream without those that hold nothing but usage, as serde_json sees them.
fn without_usage(body: &str) -> String {
    let is_usage = |event: &str| {
        let data = event.strip_prefix("data: ").unwrap_or_default();
        serde_json::from_str::<serde_json::Value>(data).is_ok_and(|value| {
            let says_more = value.get("citations").is_some();
            value["usage"].is_object() && value["choices"] == serde_json::json!([]) && !says_more
        })
    };
    let events = body.split_inclusive("\n\n");
    // A comment before an event is none of it.
    let events = events.flat_map(|event| match event.split_once('\n') {
        Some((comment, rest)) if comment.starts_with(':') && !rest.trim().is_empty() => {
            vec![event.get(..=comment.len()).unwrap_or_default(), rest]
        }
        _ => vec![event],
    });
    events.filter(|event| !is_usage(event.trim_end())).collect()
}

#[test]
fn only_the_event_that_is_all_usage_is_hidden_however_it_is_cut() {
    let mut random = Random(5);
    let mut removed = 0;
    for (name, api, media, _, body) in SHAPES {
        if *media != Media::EventStream || !api.has_stream_options() || body.contains('\r') {
            continue;
        }
        let expected = without_usage(body);
        removed += usize::from(expected.len() < body.len());
        assert_eq!(hidden(&[body.as_bytes()]), expected, "{name}");
        for at in 0..=body.len() {
            let (left, right) = body.as_bytes().split_at(at);
            assert_eq!(hidden(&[left, right]), expected, "{name} cut at {at}");
        }
        for _ in 0..200 {
            let chunks = cut(body.as_bytes(), &mut random);
            assert_eq!(hidden(&chunks), expected, "{name}");
        }
    }
    assert!(removed >= 4, "only {removed} streams had one");
}

/// Of a whole stream nothing is taken for cut short, and of one that ends between two events before its last word, everything.
#[test]
fn a_stream_that_ends_before_its_answer_is_found_out_however_it_is_cut() {
    let mut random = Random(3);
    let mut cut_short = 0;
    for (name, api, media, _, body) in SHAPES {
        if *media != Media::EventStream || name.contains("broke off") {
            continue;
        }
        let underway = |chunks: &[&[u8]]| {
            let mut meter = UsageParser::new(*api, *media);
            chunks.iter().for_each(|chunk| meter.feed(chunk));
            meter.is_underway()
        };
        assert!(!underway(&[body.as_bytes()]), "{name}");
        assert!(!underway(&cut(body.as_bytes(), &mut random)), "{name}");
        let mut end = 0;
        for event in body.split_inclusive("\n\n") {
            end += event.len();
            let before = body.get(..end).unwrap_or_default();
            let last = [
                "[DONE]",
                "finish_reason\":\"",
                "message_stop",
                "response.completed",
                "response.failed",
                "\"type\":\"error\"",
                "{\"error\":",
            ];
            let status = last.iter().any(|word| before.contains(word));
            let begun = ["\"index\"", "message_start", "response."];
            let expected = !status && begun.iter().any(|word| before.contains(word));
            if before.contains("incomplete") || before.contains('\r') {
                continue;
            }
            cut_short += usize::from(expected);
            let chunks = cut(before.as_bytes(), &mut random);
            assert_eq!(underway(&chunks), expected, "{name} up to {end}");
            // In the midst of an event nothing can be put behind.
            let midst = before.trim_end().as_bytes();
            assert!(!underway(&[midst]), "{name} in the event before {end}");
        }
    }
    assert!(cut_short > 20, "only {cut_short}");
}

#[test]
fn an_error_in_a_stream_is_its_last_word() {
    for (api, event) in [
        (
            Api::OpenAiChat,
            r#"{"error":{"message":"overloaded","type":"server_error"}}"#,
        ),
        (Api::OpenAiChat, r#"{"error":"overloaded"}"#),
        (
            Api::AnthropicMessages,
            r#"{"type":"error","error":{"type":"overloaded_error"}}"#,
        ),
        (Api::OpenAiResponses, r#"{"type":"response.failed"}"#),
    ] {
        let mut meter = UsageParser::new(api, Media::EventStream);
        meter.feed(b"data: {\"choices\":[{\"delta\":{\"content\":\"finish_reason\"}}]}\n\n");
        assert!(meter.is_underway());
        meter.feed(format!("data: {event}\n\n").as_bytes());
        assert!(!meter.is_underway(), "{event}");
    }
    // Of what nobody knows nothing is said.
    let mut meter = UsageParser::new(Api::OpenAiChat, Media::EventStream);
    meter.feed(b"data: {\"token\":{\"text\":\"a\"}}\n\n");
    assert!(!meter.is_underway());
}

#[test]
fn events_that_are_whole_pass_as_they_are() {
    let mut meter = UsageParser::new(Api::OpenAiChat, Media::EventStream);
    let mut hide = UsageEventFilter::default();
    let event = b"data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n";
    assert_eq!(hide.feed(&mut meter, event), None);
    // Once it has a choice, an event that is cut is not held back either.
    assert_eq!(hide.feed(&mut meter, &event[..30]), None);
    assert_eq!(hide.feed(&mut meter, &event[30..]), None);
}

/// Nothing can make a comment a part of what is hidden, so nobody waits for what follows it.
#[test]
fn a_comment_passes_as_it_comes() {
    let mut meter = UsageParser::new(Api::OpenAiChat, Media::EventStream);
    let mut hide = UsageEventFilter::default();
    for chunk in [": keep-alive\n", ": proc", "essing", "\n", ":", " x\n\n"] {
        let passed = hide.feed(&mut meter, chunk.as_bytes());
        assert_eq!(passed, None, "{chunk:?}");
        assert!(!meter.is_underway());
    }
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n";
    let chunk = [": ping\n", usage, ": pong\n"].concat();
    let passed = hide.feed(&mut meter, chunk.as_bytes());
    assert_eq!(passed.as_deref(), Some(b": ping\n: pong\n".as_slice()));
}

#[test]
fn what_was_delivered_is_estimated_where_nobody_counts_it() {
    let counted = |api, body: &str| {
        let mut meter = UsageParser::new(api, Media::EventStream);
        meter.feed(body.as_bytes());
        meter.streamed_tokens().unwrap_or(0)
    };
    let event = |text: &str| {
        let logprobs = r#""logprobs":{"content":[{"token":"a long token"}]}"#;
        format!(
            "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},{logprobs}}}]}}\n\n"
        )
    };
    let words = event("a").repeat(10);
    assert_eq!(counted(Api::OpenAiChat, &words), 10);
    let bundles = event(&"x".repeat(400)).repeat(3);
    assert_eq!(counted(Api::OpenAiChat, &bundles), 300);
    let nothing = "data: {\"choices\":[{\"index\":0,\"delta\":{}}]}\n\n".repeat(50);
    assert_eq!(counted(Api::OpenAiChat, &nothing), 0);
    let delta = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello wo\"}}\n\n";
    assert_eq!(counted(Api::AnthropicMessages, &delta.repeat(5)), 10);
    let delta = "data: {\"type\":\"response.output_text.delta\",\"item_id\":\"msg_1\",\"delta\":\"Hi\"}\n\n";
    assert_eq!(counted(Api::OpenAiResponses, &delta.repeat(6)), 6);
}

#[test]
fn finish_reasons_are_mapped_to_known_words() {
    for (api, body, expected) in [
        (
            Api::OpenAiChat,
            r#"{"choices":[{"finish_reason":"stop","message":{"content":"finish_reason"}},{"finish_reason":"length"}]}"#,
            Some("stop,length"),
        ),
        (
            Api::OpenAiChat,
            r#"{"choices":[{"finish_reason":""},{"finish_reason":null}]}"#,
            None,
        ),
        (
            Api::OpenAiChat,
            r#"{"choices":[{"finish_reason":"my own words"}]}"#,
            Some("other"),
        ),
        (
            Api::AnthropicMessages,
            r#"{"type":"message","stop_reason":"tool_use","stop_sequence":null}"#,
            Some("tool_use"),
        ),
        (
            Api::OpenAiResponses,
            r#"{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"}}"#,
            Some("max_output_tokens"),
        ),
        (
            Api::OpenAiResponses,
            r#"{"status":"completed","incomplete_details":null}"#,
            Some("stop"),
        ),
    ] {
        let mut meter = UsageParser::new(api, Media::Json);
        meter.feed(body.as_bytes());
        assert_eq!(
            meter.finish_reasons().to_text().as_deref(),
            expected,
            "{body}"
        );
    }
    let mut meter = UsageParser::new(Api::OpenAiChat, Media::EventStream);
    meter.feed(b"data: {\"choices\":[{\"finish_reason\":\"\",\"delta\":{}}]}\n\n");
    assert!(meter.is_underway(), "an empty reason is none");
}

#[test]
fn little_is_held_back() {
    let mut meter = UsageParser::new(Api::OpenAiChat, Media::EventStream);
    let mut hide = UsageEventFilter::default();
    let mut passed = 0;
    for chunk in std::iter::repeat_n([b'x'; 1000], 100) {
        passed += hide.feed(&mut meter, &chunk).map_or(1000, |out| out.len());
    }
    assert!(passed >= 100_000 - event_filter::MAX_HELD, "{passed}");
}
