//! The other APIs: each expectation is what the API's reference says, written out by hand.

use super::*;

fn read_as(api: Api, body: &str) -> Request<'_> {
    parse(api, body.as_bytes(), true).unwrap()
}

fn spoken<'r>(request: &'r Request<'_>) -> Vec<(Role, Vec<&'r str>)> {
    request
        .messages
        .iter()
        .map(|message| {
            let texts = message.texts.iter().map(|text| &**text).collect();
            (message.role, texts)
        })
        .collect()
}

#[test]
fn responses_take_a_text_or_items() {
    let request = read_as(
        Api::OpenAiResponses,
        r#"{"model":"auto","input":"hi","instructions":"be brief","max_output_tokens":7,"stream":true,"safety_identifier":"u"}"#,
    );
    assert_eq!(
        spoken(&request),
        [(Role::System, vec!["be brief"]), (Role::User, vec!["hi"])]
    );
    assert_eq!((request.max_tokens, request.stream), (Some(7), true));
    assert_eq!(request.user.as_deref(), Some("u"));

    let request = read_as(
        Api::OpenAiResponses,
        r#"{"input":[
            {"role":"developer","content":"rules"},
            {"type":"message","role":"user","content":[{"type":"input_text","text":"see"},{"type":"input_image","file_id":"f"},{"type":"input_file","file_url":"u"}]},
            {"type":"reasoning","id":"r","summary":[{"type":"summary_text","text":"s"}],"encrypted_content":"e"},
            {"type":"function_call","call_id":"c","name":"f","arguments":"{\"a\":1}"},
            {"type":"function_call_output","call_id":"c","output":[{"type":"input_text","text":"42"}]},
            {"type":"message","role":"assistant","content":[{"type":"output_text","text":"done","annotations":[]},{"type":"refusal","refusal":"no"}]},
            {"type":"item_reference","id":"m"},
            {"type":"computer_call_output","call_id":"d","output":{"type":"computer_screenshot","image_url":"data:"}}
        ],"text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"}},"verbosity":"low"},
        "reasoning":{"effort":"high","summary":"auto"},"tools":[{"type":"web_search"},{"type":"function","name":"f"}],"previous_response_id":"resp_1"}"#,
    );
    assert_eq!(
        spoken(&request),
        [
            (Role::System, vec!["rules"]),
            (Role::User, vec!["see"]),
            (Role::Tool, vec!["42"]),
            (Role::Assistant, vec!["done", "no"]),
        ]
    );
    assert_eq!((request.images, request.tools), (2, 2));
    let needs: Vec<_> = request.needs.names().collect();
    assert_eq!(
        needs,
        ["tools", "vision", "json_schema", "reasoning", "files"]
    );
    let call = r#""{\"a\":1}""#.len();
    let tools = r#"[{"type":"web_search"},{"type":"function","name":"f"}]"#.len();
    assert_eq!(
        request.schema_bytes as usize,
        call + tools + r#"{"type":"object"}"#.len()
    );
}

#[test]
fn responses_need_no_input_and_no_effort_is_no_reasoning() {
    let request = read_as(
        Api::OpenAiResponses,
        r#"{"prompt":{"id":"pmpt_1"},"reasoning":{"effort":"none"},"text":null,"tools":null,"instructions":[{"x":1}]}"#,
    );
    assert!(request.messages.is_empty() && request.needs.is_empty());
}

#[test]
fn completions_take_texts_and_token_ids() {
    let request = read_as(
        Api::OpenAiCompletions,
        r#"{"model":"m","prompt":["a",[1,2,3],[4]],"suffix":"z","n":2,"best_of":5,"max_tokens":16,"stream":true,"stream_options":{"include_usage":true}}"#,
    );
    assert_eq!(
        spoken(&request),
        [(Role::User, vec!["a"]), (Role::Tool, vec!["z"])]
    );
    assert_eq!((request.inputs, request.choices), (3, 15));
    assert_eq!((request.token_ids, request.longest_token_ids), (4, 3));
    assert!(request.stream && request.include_usage);

    let request = read_as(Api::OpenAiCompletions, r#"{"prompt":[5,6,7]}"#);
    assert_eq!((request.inputs, request.token_ids), (1, 3));
    let request = read_as(Api::OpenAiCompletions, r#"{"prompt":null,"n":null}"#);
    assert_eq!((request.inputs, request.choices), (1, 1));
}

#[test]
fn embeddings_write_nothing() {
    let request = read_as(
        Api::OpenAiEmbeddings,
        r#"{"input":["a","b"],"model":"e","dimensions":64,"user":"u"}"#,
    );
    assert_eq!((request.inputs, request.max_tokens), (2, Some(0)));
    assert_eq!(request.user.as_deref(), Some("u"));
}

#[test]
fn messages_hold_blocks() {
    let request = read_as(
        Api::AnthropicMessages,
        r#"{"model":"auto","max_tokens":9,"system":[{"type":"text","text":"rules","cache_control":{"type":"ephemeral"}}],
        "messages":[
            {"role":"user","content":"hi"},
            {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"tool_use","id":"t","name":"f","input":{"q":1}}]},
            {"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"r"},{"type":"image","source":{"type":"url","url":"u"}}]}]},
            {"role":"user","content":[
                {"type":"tool_result","tool_use_id":"t","content":"s"},
                {"type":"document","source":{"type":"text","media_type":"text/plain","data":"d"}},
                {"type":"text","text":"so?"}]}
        ],"metadata":{"user_id":"u"},"thinking":{"type":"enabled","budget_tokens":1024},"stream":true}"#,
    );
    assert_eq!(
        spoken(&request),
        [
            (Role::System, vec!["rules"]),
            (Role::User, vec!["hi"]),
            (Role::Assistant, vec![]),
            (Role::Tool, vec!["r"]),
            (Role::Tool, vec!["s", "d"]),
            (Role::User, vec!["so?"]),
        ]
    );
    let needs: Vec<_> = request.needs.names().collect();
    assert_eq!(needs, ["tools", "vision", "reasoning"]);
    assert_eq!((request.images, request.max_tokens), (1, Some(9)));
    assert_eq!(request.user.as_deref(), Some("u"));
    assert_eq!(request.schema_bytes as usize, r#"{"q":1}"#.len());
    assert_eq!(request.asides.len(), 1);
    assert_eq!(request.asides[0].role, Role::Assistant);
}

#[test]
fn documents_that_are_files_need_who_reads_files() {
    let body = |source: &str| {
        format!(
            r#"{{"messages":[{{"role":"user","content":[{{"type":"document","source":{source}}}]}}]}}"#
        )
    };
    for (source, needs) in [
        (
            r#"{"type":"base64","media_type":"application/pdf","data":"AA=="}"#,
            Capabilities::FILES,
        ),
        (r#"{"type":"url","url":"u"}"#, Capabilities::FILES),
        (r#"{"type":"file","file_id":"f"}"#, Capabilities::FILES),
        (
            r#"{"type":"content","content":[{"type":"text","text":"x"}]}"#,
            Capabilities::NONE,
        ),
        (r#"{"type":"text","data":"x"}"#, Capabilities::NONE),
    ] {
        let body = body(source);
        let request = read_as(Api::AnthropicMessages, &body);
        assert_eq!(request.needs, needs, "{source}");
        let says = needs == Capabilities::NONE;
        assert_eq!(
            request.messages[0].texts.len(),
            usize::from(says),
            "{source}"
        );
    }
}

#[test]
fn a_cut_body_is_read_up_to_the_cut() {
    let body =
        r#"{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"first wor"#;
    let request = parse(Api::OpenAiResponses, body.as_bytes(), false).unwrap();
    assert_eq!(spoken(&request), [(Role::User, vec!["first wor"])]);
    let body = r#"{"model":"m","messages":[{"content":[{"type":"tool_result","content":"res"#;
    let request = parse(Api::AnthropicMessages, body.as_bytes(), false).unwrap();
    assert_eq!(spoken(&request), [(Role::Tool, vec!["res"])]);
}

#[test]
fn paths_name_the_apis() {
    for (path, api) in [
        ("/v1/responses", Api::OpenAiResponses),
        (
            "/openai/v1/responses?api-version=preview",
            Api::OpenAiResponses,
        ),
        ("/v1/completions", Api::OpenAiCompletions),
        ("/v1/embeddings", Api::OpenAiEmbeddings),
        ("/v1/messages", Api::AnthropicMessages),
        ("/v1/messages?beta=true", Api::AnthropicMessages),
    ] {
        assert_eq!(Api::of_path(path), Some(api), "{path}");
    }
}
