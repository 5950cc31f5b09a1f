//! The meaning of bodies: each expectation follows the API's reference or the module's table, written out by hand.

mod apis;
mod shapes;

use super::*;

use crate::api::provider_state::ProviderState;

fn read(body: &str) -> Request<'_> {
    parse(Api::OpenAiChat, body.as_bytes(), true).unwrap()
}

fn refused(body: &[u8]) -> String {
    parse(Api::OpenAiChat, body, true).unwrap_err().to_string()
}

fn cut(body: &str) -> Request<'_> {
    parse(Api::OpenAiChat, body.as_bytes(), false).unwrap()
}

/// A body with one plain user message and `fields`, each followed by a comma.
fn with(fields: &str) -> String {
    format!(r#"{{{fields}"messages":[{{"role":"user","content":"hi"}}]}}"#)
}

/// A body with these messages.
fn messages(list: &str) -> String {
    format!(r#"{{"messages":{list}}}"#)
}

fn texts<'r>(request: &'r Request<'_>) -> Vec<Vec<&'r str>> {
    request
        .messages
        .iter()
        .map(|message| message.texts.iter().map(|text| &**text).collect())
        .collect()
}

#[test]
fn paths_are_recognised_by_their_end() {
    for path in [
        "/v1/chat/completions",
        "/v1/chat/completions?api-version=1",
        "/openai/deployments/x/chat/completions",
    ] {
        assert_eq!(Api::of_path(path), Some(Api::OpenAiChat), "{path}");
    }
    for path in [
        "",
        "/",
        "/v1/models",
        "/v1/chat/completions/chatcmpl-1",
        "/v1/messages/count_tokens",
        "/v1/responses/resp_1",
        "/x?/v1/chat/completions",
    ] {
        assert_eq!(Api::of_path(path), None, "{path}");
    }
}

#[test]
fn tokens_are_counted_at_a_path_of_their_own() {
    let counted = Some(Api::AnthropicMessages);
    for path in [
        "/v1/messages/count_tokens",
        "/anthropic/v1/messages/count_tokens?beta=true",
    ] {
        assert_eq!(Api::counted_at(path), counted, "{path}");
        assert_eq!(Api::of_body_at(path), counted, "{path}");
    }
    for path in [
        "/v1/messages",
        "/v1/messages/count_tokens/1",
        "/count_tokens",
    ] {
        assert_eq!(Api::counted_at(path), None, "{path}");
        assert_eq!(Api::of_body_at(path), Api::of_path(path), "{path}");
    }
}

#[test]
fn a_small_request_reads_with_its_defaults() {
    let body = with(r#""model":"auto","#);
    let request = read(&body);
    assert_eq!(
        request,
        Request {
            raw_values: Vec::new(),
            api: Api::OpenAiChat,
            model: Some("auto".into()),
            other_models: vec![],
            has_model: true,
            model_spans: std::iter::once(9..15).collect(),
            model_values: vec!["\"auto\""],
            messages: vec![Message {
                role: Role::User,
                texts: vec!["hi".into()]
            }],
            asides: vec![],
            needs: Capabilities::NONE,
            tools: 0,
            images: 0,
            required_members: Vec::new(),
            schema_bytes: 0,
            stream: false,
            include_usage: false,
            usage_slot: None,
            max_tokens: None,
            written_bounds: vec![],
            choices: 1,
            inputs: 1,
            token_ids: 0,
            longest_token_ids: 0,
            user: None,
            other_users: vec![],
            metadata: vec![],
            state: ProviderState::default(),
            may_carry_state: false,
            complete: true,
        }
    );
    assert!(matches!(request.messages[0].texts[0], Cow::Borrowed("hi")));
}

#[test]
fn the_fields_of_a_full_request_are_read() {
    let body = with(
        r#""model":"auto:cheap","stream":true,"stream_options":{"include_usage":true,"x":[1]},
        "max_completion_tokens":64,"max_tokens":128,"n":3,"user":"alice","safety_identifier":"s",
        "metadata":{"tenant":"acme","n":1,"team":"a\"b"},"temperature":0.7,"logit_bias":{"50256":-100},
        "stop":["\n"],"seed":42,"top_p":1e-1,"prediction":{"type":"content","content":"x"},"#,
    );
    let request = read(&body);
    assert_eq!(request.model.as_deref(), Some("auto:cheap"));
    assert!(request.stream && request.include_usage);
    assert_eq!(
        request.max_tokens,
        Some(128),
        "a server may know only one of them"
    );
    assert_eq!(request.choices, 3);
    assert_eq!(request.user.as_deref(), Some("alice"));
    assert_eq!(request.other_users, ["s"]);
    let metadata: Vec<_> = request.metadata.iter().map(|(k, v)| (&**k, &**v)).collect();
    assert_eq!(metadata, [("tenant", "acme"), ("n", "1"), ("team", "a\"b")]);
    assert!(request.needs.is_empty());
}

#[test]
fn roles_are_those_of_the_api_and_unknown_ones_are_the_users() {
    let list: Vec<String> = [
        "system",
        "developer",
        "user",
        "assistant",
        "tool",
        "function",
        "ipython",
    ]
    .iter()
    .map(|role| format!(r#"{{"role":"{role}","content":"x","name":"n","tool_call_id":"c"}}"#))
    .collect();
    let body = messages(&format!("[{}]", list.join(",")));
    let request = read(&body);
    let roles: Vec<Role> = request
        .messages
        .iter()
        .map(|message| message.role)
        .collect();
    use Role::*;
    assert_eq!(roles, [System, System, User, Assistant, Tool, Tool, Tool]);
    assert_eq!(request.needs, Capabilities::TOOLS);
    let unknown = messages(r#"[{"role":"document","content":"x"}]"#);
    assert_eq!(read(&unknown).needs, Capabilities::NONE);
    for role in [
        r#""ghost""#,
        r#""USER""#,
        r#""""#,
        "7",
        "null",
        "[]",
        r#"{"a":1}"#,
    ] {
        let body = messages(&format!(r#"[{{"role":{role},"content":"x"}}]"#));
        assert_eq!(read(&body).messages[0].role, User, "{role}");
    }
    let both = messages(r#"[{"role":"user","content":"x","role":"assistant"}]"#);
    assert_eq!(read(&both).messages[0].role, User);
}

#[test]
fn content_is_a_string_or_parts_or_nothing() {
    let body = messages(
        r#"[{"role":"user","content":""},{"role":"user","content":null},{"role":"user"},{"role":"user","content":[]},
        {"content":[{"text":"a","type":"text"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA==","detail":"low"}},
        {"type":"text","text":"b\n","cache_control":{"type":"ephemeral"}},{"type":"video_url","video_url":{}}],"role":"user"},
        {"role":"assistant","content":[{"type":"refusal","refusal":"no"}]},
        {"role":"assistant","content":null,"refusal":"never"}]"#,
    );
    let request = read(&body);
    let wanted: [&[&str]; 7] = [&[""], &[], &[], &[], &["a", "b\n"], &["no"], &["never"]];
    assert_eq!(texts(&request), wanted);
    assert_eq!(request.images, 1);
    assert_eq!(request.needs, Capabilities::VISION);
}

#[test]
fn parts_that_are_no_text_need_what_reads_them() {
    for (part, need) in [
        (
            r#"{"type":"image_url","image_url":{"url":"https://x/y.png"}}"#,
            Capabilities::VISION,
        ),
        (
            r#"{"input_audio":{"data":"AA==","format":"wav"},"type":"input_audio"}"#,
            Capabilities::AUDIO,
        ),
        (
            r#"{"type":"file","file":{"file_id":"f"}}"#,
            Capabilities::FILES,
        ),
    ] {
        let body = messages(&format!(r#"[{{"role":"user","content":[{part}]}}]"#));
        assert_eq!(read(&body).needs, need, "{part}");
    }
}

#[test]
fn fields_need_what_fulfils_them() {
    for (field, need) in [
        (
            r#""tools":[{"type":"function","function":{"name":"f"}}],"#,
            Capabilities::TOOLS,
        ),
        (r#""functions":[{"name":"f"}],"#, Capabilities::TOOLS),
        (r#""tools":[],"functions":null,"#, Capabilities::NONE),
        (r#""response_format":{"type":"text"},"#, Capabilities::NONE),
        (r#""response_format":null,"#, Capabilities::NONE),
        (
            r#""response_format":{"type":"json_object"},"#,
            Capabilities::JSON_MODE,
        ),
        (
            r#""response_format":{"json_schema":{"name":"s","schema":{}},"type":"json_schema"},"#,
            Capabilities::JSON_SCHEMA,
        ),
        (r#""reasoning_effort":"low","#, Capabilities::REASONING),
        (r#""reasoning_effort":"none","#, Capabilities::NONE),
        (r#""reasoning_effort":null,"#, Capabilities::NONE),
        (
            r#""modalities":["text","audio"],"audio":{"voice":"x"},"#,
            Capabilities::AUDIO,
        ),
        (r#""modalities":["text"],"#, Capabilities::NONE),
        (r#""modalities":null,"#, Capabilities::NONE),
    ] {
        assert_eq!(read(&with(field)).needs, need, "{field}");
    }
}

#[test]
fn tools_calls_and_schemas_are_counted_in_bytes() {
    let tools = r#"[{"type":"function","function":{"name":"f"}}, {"x":1}]"#;
    let functions = r#"[{"name":"g"}]"#;
    let schema = r#"{"name":"s","schema":{"type":"object"}}"#;
    let calls = r#"[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]"#;
    let call = r#"{"name":"f","arguments":"{}"}"#;
    let body = format!(
        r#"{{"tools": {tools},"functions":{functions},"response_format":{{"type":"json_schema","json_schema":{schema}}},
        "messages":[{{"role":"assistant","content":null,"tool_calls":{calls}}},{{"role":"assistant","function_call":{call}}}]}}"#
    );
    let request = read(&body);
    assert_eq!(request.tools, 3);
    let bytes = tools.len() + functions.len() + schema.len() + calls.len() + call.len();
    assert_eq!(request.schema_bytes as usize, bytes);
    assert_eq!(
        request.needs,
        Capabilities::TOOLS.union(Capabilities::JSON_SCHEMA)
    );
}

#[test]
fn null_is_absent_wherever_a_field_may_be_absent() {
    let body = format!(
        r#"{{{}"messages":[{{"role":"assistant","content":null,"refusal":null,"tool_calls":null,"function_call":null,"audio":null,"name":null}},
        {{"role":"user","content":[{{"type":"text","text":"x","refusal":null}}]}}]}}"#,
        r#""tools":null,"functions":null,"response_format":null,"stream":null,"stream_options":null,"max_tokens":null,
        "max_completion_tokens":null,"n":null,"user":null,"safety_identifier":null,"metadata":null,"reasoning_effort":null,"modalities":null,"#
    );
    let request = read(&body);
    assert_eq!(texts(&request), [&[][..], &["x"]]);
    assert!(request.needs.is_empty() && !request.stream);
    assert_eq!((request.max_tokens, request.choices), (None, 1));
}

#[test]
fn numbers_out_of_range_are_held_to_it() {
    for (field, wanted) in [
        (r#""max_tokens":0,"#, Some(0)),
        (r#""max_tokens":4294967295,"#, Some(u32::MAX)),
        (r#""max_tokens":4294967296,"#, Some(u32::MAX)),
        (
            r#""max_tokens":99999999999999999999999999,"#,
            Some(u32::MAX),
        ),
        (r#""max_tokens":-1,"#, None),
        (r#""max_tokens":7,"max_completion_tokens":null,"#, Some(7)),
        (r#""max_completion_tokens":9,"max_tokens":7,"#, Some(9)),
        (r#""max_completion_tokens":7,"max_tokens":9,"#, Some(9)),
        (
            r#""max_tokens":5,"max_tokens":5000,"MaxTokens":6,"#,
            Some(5000),
        ),
        (r#""maxTokens":6,"max_tokens":5,"#, Some(6)),
    ] {
        assert_eq!(read(&with(field)).max_tokens, wanted, "{field}");
    }
    assert_eq!(read(&with(r#""n":0,"#)).choices, 1);
    assert_eq!(read(&with(r#""n":5000000000,"#)).choices, 128);
}

/// Whatever a server takes, the first, the last or both, it has been judged.
#[test]
fn of_a_key_that_comes_twice_everything_counts() {
    let body = r#"{"model":"a","messages":[{"role":"user","content":[{"type":"image_url"}]}],"stream":true,"tools":[{}],
        "metadata":{"a":"1"},"response_format":{"type":"json_object"},"mod\u0065l":"b",
        "messages":[{"role":"user","content":"x","content":"y","role":"system"}],"stream":false,"tools":[],"metadata":{"b":"2"},
        "response_format":{"type":"text"},"user":"u","user":null,"user":"v","n":2,"n":null}"#;
    let request = read(body);
    assert_eq!(request.model.as_deref(), Some("b"));
    assert_eq!(request.other_models, ["a"]);
    let spans: Vec<&str> = request
        .model_spans
        .iter()
        .map(|span| &body[span.clone()])
        .collect();
    assert_eq!(spans, [r#""a""#, r#""b""#]);
    assert_eq!(texts(&request), [&[][..], &["x", "y"]]);
    assert_eq!(request.messages[1].role, Role::User);
    assert_eq!((request.images, request.tools), (1, 1));
    assert_eq!((request.stream, request.choices), (false, 2));
    let needs: Vec<_> = request.needs.names().collect();
    assert_eq!(needs, ["tools", "vision", "json_mode"]);
    assert_eq!(request.user.as_deref(), Some("v"));
    assert_eq!(request.other_users, ["u"]);
}

#[test]
fn keys_count_in_another_case() {
    let body = r#"{"MODEL":"a","Messages":[{"Role":"user","CONTENT":"x"}],"TOOLS":[{}],"me\u017fsages":[{"role":"user","content":"y"}],
        "Max_Tokens":"9","User":"u"}"#;
    let request = read(body);
    assert_eq!(request.model.as_deref(), Some("a"));
    assert!(!request.has_model);
    assert_eq!(texts(&request), [["x"], ["y"]]);
    assert_eq!((request.tools, request.max_tokens), (1, Some(9)));
    assert_eq!(request.user.as_deref(), Some("u"));
}

#[test]
fn model_in_another_case_counts_behind_the_exact_one_and_is_rewritten() {
    let body = with(r#""Model":"x","MODEL":1,"mODEL":"z","#);
    let request = read(&body);
    assert_eq!(request.model.as_deref(), Some("z"));
    assert_eq!(request.other_models, ["x"]);
    let spans = request.model_spans.iter().map(|span| &body[span.clone()]);
    assert_eq!(spans.collect::<Vec<_>>(), [r#""x""#, "1", r#""z""#]);
    let body = with(r#""model":"y","Model":"x","#);
    let request = read(&body);
    assert_eq!(request.model.as_deref(), Some("y"));
    assert_eq!(request.other_models, ["x"]);
}

/// A value that is no name asks for nothing, and is replaced by what was decided.
#[test]
fn a_model_that_is_no_name_is_none() {
    for value in ["null", "7", "true", r#"["auto"]"#, r#"{"name":"auto"}"#] {
        let body = with(&format!(r#""model":{value},"#));
        let request = read(&body);
        assert_eq!(request.model, None, "{value}");
        assert_eq!(&body[request.model_spans[0].clone()], value);
        let edit = crate::api::rewrite::set_model(body.as_bytes(), &request, "m").unwrap();
        let after = [&edit.with, &body.as_bytes()[edit.replace..]].concat();
        assert_eq!(String::from_utf8(after).unwrap(), with(r#""model":"m","#));
    }
    let body = with(r#""model":["auto"],"model":"a","model":null,"#);
    assert_eq!(read(&body).model.as_deref(), Some("a"));
}

#[test]
fn unknown_fields_are_asides_whatever_is_in_them() {
    let body = with(
        r#""model ":[1],"x":{"model":"y","messages":[]},"":null,"😀":[[[{"a":["z"]}]]],"seed":"s","#,
    );
    assert_eq!(read(&body).model, None);
    assert_eq!(read(&body).asides[0].texts, ["y", "z"]);
    assert_eq!(texts(&read(&body)), [["hi"]]);
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let body = with(r#""model":"a","#);
    let marked = format!("\u{feff}{body}");
    let request = read(&marked);
    assert_eq!(&marked[request.model_spans[0].clone()], r#""a""#);
    assert_eq!(request.messages, read(&body).messages);
}

/// Every error text that a body can cause, as clients and logs see it.
#[test]
fn errors_name_what_is_wrong_and_where() {
    for (body, wanted) in [
        (
            &b""[..],
            "body is not JSON: the body ends too early at byte 0",
        ),
        (
            b" \n",
            "body is not JSON: the body ends too early at byte 2",
        ),
        (b"hello", "body is not JSON: expected a value at byte 0"),
        (
            b"model=auto&x=1",
            "body is not JSON: expected a value at byte 0",
        ),
        (b"{", "body is not JSON: the body ends too early at byte 1"),
        (
            b"{'model':1}",
            "body is not JSON: expected a key in double quotes at byte 1",
        ),
        (b"{\"a\" 1}", "body is not JSON: expected `:` at byte 5"),
        (
            b"{\"a\":1 \"b\"}",
            "body is not JSON: expected `,` or `}` at byte 7",
        ),
        (
            b"{\"a\":[1 2]}",
            "body is not JSON: expected `,` or `]` at byte 8",
        ),
        (
            b"{\"a\":NaN}",
            "body is not JSON: expected a value at byte 5",
        ),
        (
            b"{\"n\":01}",
            "body is not JSON: number with a leading zero at byte 6",
        ),
        (
            b"{\"n\":1.}",
            "body is not JSON: expected a digit at byte 7",
        ),
        (
            b"{\"a\":\"\\q\"}",
            "body is not JSON: unknown escape in a string at byte 7",
        ),
        (
            b"{\"a\":\"\\u00zz\"}",
            "body is not JSON: expected four hexadecimal digits after `\\u` at byte 10",
        ),
        (
            b"{\"a\":\"x\ny\"}",
            "body is not JSON: control character in a string at byte 7",
        ),
        (
            b"{\"a\":\"\xff\"}",
            "body is not JSON: expected UTF-8, found other bytes at byte 6",
        ),
        (
            b"{\"a\":\"\xc3",
            "body is not JSON: expected UTF-8, found other bytes at byte 6",
        ),
        (
            b"\xff\xfe{\0}\0",
            "body is not JSON: expected UTF-8, found UTF-16 or binary data at byte 0",
        ),
        (
            b"{\0}\0",
            "body is not JSON: expected UTF-8, found UTF-16 or binary data at byte 0",
        ),
        (
            b"\0{\0}",
            "body is not JSON: expected UTF-8, found UTF-16 or binary data at byte 0",
        ),
        (
            b"\x1f\x8b\x08\x00",
            "body is not JSON: expected UTF-8, found other bytes at byte 1",
        ),
        (b"[]", "body: expected an object, found an array at byte 0"),
        (
            b" \"x\"",
            "body: expected an object, found a string at byte 1",
        ),
        (b"null", "body: expected an object, found null at byte 0"),
    ] {
        assert_eq!(refused(body), wanted, "{}", String::from_utf8_lossy(body));
    }
    let whole = with("");
    assert_eq!(
        refused(format!("{whole}}}").as_bytes()),
        "body is not JSON: expected the end of the body at byte 45"
    );
    assert_eq!(
        refused(format!("{whole}\0").as_bytes()),
        "body is not JSON: expected the end of the body at byte 45"
    );
    let deep = with(&format!(r#""x":{}1{},"#, "[".repeat(128), "]".repeat(128)));
    assert_eq!(
        refused(deep.as_bytes()),
        "body: nested more than 128 levels deep at byte 132"
    );
    let deepest = with(&format!(r#""x":{}1{},"#, "[".repeat(127), "]".repeat(127)));
    read(&deepest);
}

#[test]
fn deep_bodies_are_refused_without_deep_recursion() {
    for body in [
        "[".repeat(5_000_000),
        "{\"a\":".repeat(2_000_000),
        format!("{{\"tools\":{}", "[".repeat(5_000_000)),
    ] {
        assert!(parse(Api::OpenAiChat, body.as_bytes(), true).is_err());
    }
}

#[test]
fn ten_megabytes_in_one_string_are_read_and_borrowed() {
    let prompt = "word ".repeat(2_000_000);
    let body = messages(&format!(r#"[{{"role":"user","content":"{prompt}"}}]"#));
    let request = read(&body);
    assert!(
        matches!(&request.messages[0].texts[0], Cow::Borrowed(text) if text.len() == prompt.len())
    );
}

#[test]
fn a_cut_body_gives_what_was_there() {
    let request = cut(
        r#"{"model":"auto","messages":[{"role":"system","content":"be brief"},{"role":"user","content":"What is th"#,
    );
    assert_eq!(request.model.as_deref(), Some("auto"));
    assert_eq!(texts(&request), [["be brief"], ["What is th"]]);
    assert_eq!(request.messages[1].role, Role::User);
    assert!(!request.complete);
}

#[test]
fn of_what_is_cut_only_texts_count() {
    for body in [
        r#"{"model":"gpt-4"#,
        r#"{"max_tokens":12"#,
        r#"{"stream":tru"#,
        r#"{"user":"al"#,
        r#"{"metadata":{"tenant":"ac"#,
        r#"{"messages":[{"role":"assist"#,
        r#"{"reasoning_effort":"hi"#,
        r#"{"mod"#,
        "{",
        "",
        "  ",
        "\u{feff}",
    ] {
        assert_eq!(
            cut(body),
            Request {
                complete: false,
                model: None,
                model_spans: vec![],
                model_values: vec![],
                messages: vec![],
                ..read(&with(""))
            },
            "{body}"
        );
    }
    let part = cut(
        r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:AAAA"#,
    );
    assert_eq!((part.images, part.needs), (1, Capabilities::VISION));
    let unknown = cut(r#"{"messages":[{"content":[{"text":"what is"#);
    assert_eq!(
        (unknown.messages[0].role, texts(&unknown)),
        (Role::User, vec![vec!["what is"]])
    );
    let tools = r#"[{"a":1},{"b":"#;
    let offered = cut(tools_body(tools).as_str()).schema_bytes as usize;
    assert_eq!(offered, tools.len());
}

fn tools_body(tools: &str) -> String {
    format!(r#"{{"tools":{tools}"#)
}

#[test]
fn a_cut_through_a_character_leaves_it_out() {
    let body = r#"{"messages":[{"role":"user","content":"é漢😀"#.as_bytes();
    for (drop, wanted) in [
        (0, "é漢😀"),
        (1, "é漢"),
        (3, "é漢"),
        (4, "é漢"),
        (5, "é"),
        (8, ""),
    ] {
        let request = parse(Api::OpenAiChat, &body[..body.len() - drop], false).unwrap();
        assert_eq!(texts(&request), [[wanted]], "{drop} bytes less");
    }
}

#[test]
fn a_cut_body_is_still_held_to_the_grammar_and_shape() {
    for body in ["[", "{\"a\":01", "{\"a\":\"\u{1}", "{}}"] {
        assert!(
            parse(Api::OpenAiChat, body.as_bytes(), false).is_err(),
            "{body}"
        );
    }
    assert!(parse(Api::OpenAiChat, b"{\"a\":\"\xff", false).is_err());
    // Said to be cut, yet whole.
    let body = with("");
    assert!(
        parse(Api::OpenAiChat, body.as_bytes(), false)
            .unwrap()
            .complete
    );
}
