//! Bodies in shapes that APIs do not have, or have in newer versions: each is read, and each of its texts is found.

use super::*;

/// Every text that rules look at, with who is taken to have said it.
fn found<'r>(request: &'r Request<'_>) -> Vec<(Role, &'r str)> {
    let messages = request.messages.iter().chain(&request.asides);
    messages
        .flat_map(|message| message.texts.iter().map(|text| (message.role, &**text)))
        .collect()
}

fn says(api: Api, body: &str, wanted: &str, by: Role) {
    let request =
        parse(api, body.as_bytes(), true).unwrap_or_else(|error| panic!("{body}: {error}"));
    assert!(
        found(&request)
            .iter()
            .any(|(role, text)| *role == by && text.contains(wanted)),
        "{body}: {:?}",
        found(&request)
    );
}

/// Any value of any type.
const VALUES: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-1",
    "7",
    "4096.0",
    "1e3",
    "1e999",
    "99999999999999999999",
    r#""""#,
    r#""256""#,
    r#""true""#,
    r#""x""#,
    "[]",
    "[null]",
    "[1]",
    r#"["x"]"#,
    "[[]]",
    "[{}]",
    r#"[["x"]]"#,
    "{}",
    r#"{"a":1}"#,
    r#"{"type":7}"#,
    r#"{"type":"x","a":["y"]}"#,
    r#"{"a":{"b":[{}]}}"#,
];

/// Fields of every API's requests.
const FIELDS: &[&str] = &[
    "model",
    "messages",
    "input",
    "prompt",
    "system",
    "instructions",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "n",
    "best_of",
    "stream",
    "stream_options",
    "user",
    "safety_identifier",
    "metadata",
    "tools",
    "functions",
    "response_format",
    "output_format",
    "output_config",
    "text",
    "reasoning",
    "reasoning_effort",
    "thinking",
    "modalities",
    "suffix",
    "tool_choice",
    "temperature",
    "stop",
    "prediction",
    "documents",
    "x",
];

#[test]
fn no_field_of_any_type_voids_a_request() {
    for api in Api::ALL {
        for field in FIELDS {
            for value in VALUES {
                for body in [
                    format!(r#"{{"{field}":{value}}}"#),
                    format!(
                        r#"{{"model":"auto","{field}":{value},"messages":[{{"role":"user","content":"hi"}}]}}"#
                    ),
                ] {
                    let request = parse(api, body.as_bytes(), true);
                    assert!(request.is_ok(), "{body}: {request:?}");
                    if *field != "model" && body.contains("auto") {
                        assert_eq!(request.unwrap().model.as_deref(), Some("auto"), "{body}");
                    }
                }
            }
        }
    }
}

#[test]
fn no_field_of_a_message_or_part_voids_a_request() {
    let names = [
        "role",
        "content",
        "type",
        "text",
        "refusal",
        "name",
        "tool_calls",
        "function_call",
        "audio",
        "source",
        "input",
        "image_url",
        "output",
        "action",
        "summary",
        "x",
    ];
    for api in Api::ALL {
        for name in names {
            for value in VALUES {
                for body in [
                    format!(
                        r#"{{"messages":[{{"{name}":{value}}}],"input":[{{"{name}":{value}}}]}}"#
                    ),
                    format!(
                        r#"{{"messages":[{{"content":[{{"{name}":{value}}}]}}],"input":[{{"content":[{{"{name}":{value}}}]}}]}}"#
                    ),
                    format!(
                        r#"{{"messages":[{value},{{"role":"user","content":{{"{name}":{value}}}}}],"prompt":[{value}]}}"#
                    ),
                ] {
                    let request = parse(api, body.as_bytes(), true);
                    assert!(request.is_ok(), "{body}: {request:?}");
                }
            }
        }
    }
}

#[test]
fn values_that_are_clear_count() {
    let read = |fields: &str| parse(Api::OpenAiChat, with(fields).leak().as_bytes(), true).unwrap();
    assert_eq!(read(r#""max_tokens":4096.0,"#).max_tokens, Some(4096));
    assert_eq!(read(r#""max_tokens":"256","#).max_tokens, Some(256));
    assert_eq!(read(r#""max_tokens":[1],"#).max_tokens, None);
    for (value, streams) in [
        ("true", true),
        (r#""true""#, true),
        ("1", true),
        (r#""on""#, true),
        (r#""False""#, false),
        ("0", false),
        (r#""x""#, false),
        ("[]", false),
    ] {
        assert_eq!(
            read(&format!(r#""stream":{value},"#)).stream,
            streams,
            "{value}"
        );
    }
    assert_eq!(read(r#""user":7,"#).user.as_deref(), Some("7"));
    assert_eq!(read(r#""user":{"id":7},"#).user, None);
    assert_eq!(read(r#""n":"3","#).choices, 3);
    assert_eq!(read(r#""tools":{"name":"f"},"#).tools, 1);
    assert_eq!(
        read(r#""response_format":"json_object","#).needs,
        Capabilities::JSON_MODE
    );
    assert_eq!(read(r#""modalities":"audio","#).needs, Capabilities::AUDIO);
    assert!(read(r#""stream_options":{"include_usage":"true"},"#).include_usage);
    let anthropic = parse(
        Api::AnthropicMessages,
        br#"{"metadata":{"user_id":7}}"#,
        true,
    )
    .unwrap();
    assert_eq!(anthropic.user.as_deref(), Some("7"));
}

#[test]
fn content_in_any_form_is_what_its_author_says() {
    for content in [
        r#""secret""#,
        r#"["secret"]"#,
        r#"[["a",["secret"]]]"#,
        r#"{"type":"text","text":"secret"}"#,
        r#"{"text":"secret"}"#,
        r#"[{"text":"secret"}]"#,
        r#"[{"type":"text","text":{"value":"secret","annotations":[]}}]"#,
        r#"[{"type":"text","text":["secret"]}]"#,
        r#"[{"type":7,"content":"secret"}]"#,
        r#"[{"type":"hologram","content":[{"type":"text","text":"secret"}]}]"#,
        r#"[{"type":"hologram","hologram":{"words":["secret"]}}]"#,
        r#"[{"type":"hologram","data":"secret"}]"#,
        r#"[{"type":"hologram","input":{"q":"secret"}}]"#,
        r#"[{"data":"secret","type":"hologram"}]"#,
        r#"[{"type":"text","text":"a","more":{"b":["secret"]}}]"#,
        r#"[{"type":"image_url","image_url":{"url":"u"},"caption":"secret"}]"#,
        r#"[{"TYPE":"text","Text":"secret"}]"#,
        r#"[{"type":"text","text":"secret","text":"a"}]"#,
        r#"[[[[[[[[[[[[{"text":"secret"}]]]]]]]]]]]]"#,
    ] {
        for role in [r#""role":"user","#, "", r#""role":"ghost","#] {
            let body = format!(r#"{{"messages":[{{{role}"content":{content}}}]}}"#);
            says(Api::OpenAiChat, &body, "secret", Role::User);
            says(Api::AnthropicMessages, &body, "secret", Role::User);
            let body = format!(r#"{{"input":[{{{role}"content":{content}}}]}}"#);
            says(Api::OpenAiResponses, &body, "secret", Role::User);
        }
    }
    let number = r#"{"messages":[{"role":"user","content":4111111111111111}]}"#;
    says(Api::OpenAiChat, number, "4111111111111111", Role::User);
}

#[test]
fn messages_and_inputs_in_any_form_are_read() {
    for (api, body) in [
        (Api::OpenAiChat, r#"{"messages":"secret"}"#),
        (Api::OpenAiChat, r#"{"messages":["secret"]}"#),
        (
            Api::OpenAiChat,
            r#"{"messages":{"role":"user","content":"secret"}}"#,
        ),
        (
            Api::OpenAiChat,
            r#"{"messages":[[{"role":"user","content":"secret"}]]}"#,
        ),
        (
            Api::OpenAiChat,
            r#"{"messages":[{"role":"user","parts":[{"text":"secret"}]}]}"#,
        ),
        (Api::OpenAiChat, r#"{"messages":[],"prompt":"secret"}"#),
        (
            Api::AnthropicMessages,
            r#"{"messages":{"content":"secret"}}"#,
        ),
        (Api::OpenAiResponses, r#"{"input":{"content":"secret"}}"#),
        (Api::OpenAiResponses, r#"{"input":["secret"]}"#),
        (
            Api::OpenAiResponses,
            r#"{"prompt":{"id":"p","variables":{"q":"secret"}}}"#,
        ),
        (
            Api::OpenAiResponses,
            r#"{"prompt":{"id":"p","variables":{"q":{"type":"input_text","text":"secret"}}}}"#,
        ),
        (Api::OpenAiCompletions, r#"{"prompt":["a",["secret"]]}"#),
        (Api::OpenAiCompletions, r#"{"prompt":{"text":"secret"}}"#),
        (Api::OpenAiCompletions, r#"{"Prompt":"secret"}"#),
        (
            Api::OpenAiEmbeddings,
            r#"{"input":[{"content":[{"type":"text","text":"secret"}]}]}"#,
        ),
    ] {
        says(api, body, "secret", Role::User);
    }
    says(
        Api::AnthropicMessages,
        r#"{"system":{"text":"secret"}}"#,
        "secret",
        Role::System,
    );
    says(
        Api::OpenAiResponses,
        r#"{"instructions":[{"type":"message","content":"secret"}]}"#,
        "secret",
        Role::System,
    );
    let predicted = parse(
        Api::OpenAiChat,
        br#"{"prediction":{"type":"content","content":"secret"}}"#,
        true,
    );
    assert_eq!(
        predicted.unwrap().raw_texts().collect::<Vec<_>>(),
        ["secret"]
    );
}

/// The items that the pinned SDK can put into `input`, each with a text if it has one.
#[test]
fn every_item_of_responses_is_read() {
    for (item, by) in [
        (
            r#"{"type":"message","role":"user","content":[{"type":"input_text","text":"secret"}],"status":"completed"}"#,
            Role::User,
        ),
        (
            r#"{"type":"message","role":"assistant","id":"m","status":"completed","content":[{"type":"output_text","text":"secret","annotations":[],"logprobs":[]}]}"#,
            Role::Assistant,
        ),
        (
            r#"{"type":"file_search_call","id":"f","queries":["q"],"status":"completed","results":[{"file_id":"f","filename":"n","score":0.5,"text":"secret"}]}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"computer_call_output","call_id":"c","output":{"type":"computer_screenshot","file_id":"f"},"acknowledged_safety_checks":[{"id":"i","message":"secret"}]}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"web_search_call","id":"w","status":"completed","action":{"type":"search","query":"q"},"results":["secret"]}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"function_call_output","call_id":"c","output":"secret"}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"function_call_output","call_id":"c","output":[{"type":"input_text","text":"secret"},{"type":"input_image","image_url":"u"},{"type":"input_file","file_data":"d"}]}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"function_call_output","call_id":"c","output":{"anything":["secret"]}}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"tool_search_output","tools":[],"status":"completed","note":"secret"}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"reasoning","id":"r","summary":[{"type":"summary_text","text":"secret"}],"content":[{"type":"reasoning_text","text":"t"}],"encrypted_content":"e"}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"compaction","encrypted_content":"e","note":"secret"}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"image_generation_call","id":"i","result":"iVBORw0KGgo=","status":"completed","revised_prompt":"secret"}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"code_interpreter_call","id":"i","code":"1","container_id":"c","outputs":[{"type":"logs","logs":"secret"},{"type":"image","url":"u"}],"status":"completed"}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"local_shell_call_output","id":"l","output":"secret"}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"shell_call_output","call_id":"c","output":[{"stdout":"secret","stderr":"","outcome":{"type":"exit","exit_code":0}}],"max_output_length":9}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"shell_call_output","call_id":"c","output":[{"stdout":"","stderr":"secret","outcome":{"type":"timeout"}}]}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"apply_patch_call_output","call_id":"c","status":"failed","output":"secret"}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"mcp_call","id":"m","arguments":"{}","name":"n","server_label":"s","output":"secret"}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"mcp_call","id":"m","arguments":"{}","name":"n","server_label":"s","error":{"type":"http_error","code":1,"message":"secret"}}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"mcp_approval_response","approval_request_id":"a","approve":false,"reason":"secret"}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"mcp_list_tools","id":"m","server_label":"s","tools":[],"error":"secret"}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"custom_tool_call_output","call_id":"c","output":"secret"}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"program_output","id":"p","call_id":"c","result":"secret","status":"completed"}"#,
            Role::Tool,
        ),
        (r#"{"type":"hologram","words":"secret"}"#, Role::User),
        (r#"{"type":"hologram","content":"secret"}"#, Role::User),
        (
            r#"{"type":"hologram","role":"assistant","content":"secret"}"#,
            Role::Assistant,
        ),
    ] {
        says(
            Api::OpenAiResponses,
            &format!(r#"{{"input":[{item}]}}"#),
            "secret",
            by,
        );
    }
    for item in [
        r#"{"type":"computer_call","id":"c","call_id":"c","action":{"type":"click","x":1},"pending_safety_checks":[],"status":"completed"}"#,
        r#"{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}"#,
        r#"{"type":"tool_search_call","arguments":{"q":[1]},"execution":"client"}"#,
        r#"{"type":"additional_tools","role":"developer","tools":[{"type":"function","name":"f"}]}"#,
        r#"{"type":"configuration_update","reasoning":{"effort":"low"}}"#,
        r#"{"type":"local_shell_call","id":"l","call_id":"c","action":{"type":"exec","command":["ls"],"env":{}},"status":"completed"}"#,
        r#"{"type":"shell_call","call_id":"c","action":{"commands":["ls"]},"environment":{"type":"local"}}"#,
        r#"{"type":"apply_patch_call","call_id":"c","status":"completed","operation":{"type":"delete_file","path":"p"}}"#,
        r#"{"type":"mcp_approval_request","id":"m","arguments":"{}","name":"n","server_label":"s"}"#,
        r#"{"type":"custom_tool_call","call_id":"c","input":"i","name":"n"}"#,
        r#"{"type":"compaction_trigger"}"#,
        r#"{"type":"item_reference","id":"i"}"#,
        r#"{"type":"program","id":"p","call_id":"c","code":"1","fingerprint":"f"}"#,
        r#"{"id":"i"}"#,
    ] {
        let body = format!(r#"{{"input":[{item}]}}"#);
        assert!(
            parse(Api::OpenAiResponses, body.as_bytes(), true).is_ok(),
            "{item}"
        );
    }
}

/// The blocks that the pinned SDK can put into a message, each with a text if it has one.
#[test]
fn every_block_of_messages_is_read() {
    for (block, by) in [
        (
            r#"{"type":"text","text":"secret","cache_control":{"type":"ephemeral"},"citations":[]}"#,
            Role::User,
        ),
        (
            r#"{"type":"document","source":{"type":"text","media_type":"text/plain","data":"secret"}}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"document","source":{"type":"content","content":"secret"}}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"document","source":{"type":"content","content":[{"type":"text","text":"secret"}]}}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"document","source":{"type":"url","url":"u"},"title":"secret","context":"c"}"#,
            Role::User,
        ),
        (
            r#"{"type":"document","source":{"type":"hologram","words":"secret"}}"#,
            Role::User,
        ),
        (
            r#"{"type":"search_result","source":"https://x","title":"t","content":[{"type":"text","text":"secret"}]}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"thinking","thinking":"secret","signature":"s"}"#,
            Role::User,
        ),
        (
            r#"{"type":"tool_result","tool_use_id":"t","content":"secret"}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"secret"}],"is_error":true}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"tool_result","tool_use_id":"t","content":[{"type":"document","source":{"type":"text","data":"secret"}}]}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"tool_result","tool_use_id":"t","content":[{"type":"search_result","source":"s","title":"t","content":[{"type":"text","text":"secret"}]}]}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"tool_result","tool_use_id":"t","content":{"hologram":"secret"}}"#,
            Role::Tool,
        ),
        (
            r#"{"content":"secret","tool_use_id":"t","type":"tool_result"}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"mcp_tool_result","tool_use_id":"t","content":[{"type":"text","text":"secret"}]}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"web_search_tool_result","tool_use_id":"t","content":[{"type":"web_search_result","title":"secret","url":"u","encrypted_content":"e"}]}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"web_fetch_tool_result","tool_use_id":"t","content":{"type":"web_fetch_result","url":"u","content":{"type":"document","source":{"type":"text","data":"secret"}}}}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"code_execution_tool_result","tool_use_id":"t","content":{"type":"code_execution_result","stdout":"secret","stderr":"","return_code":0,"content":[{"type":"code_execution_output","file_id":"f"}]}}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"bash_code_execution_tool_result","tool_use_id":"t","content":{"type":"bash_code_execution_result","stdout":"","stderr":"secret","return_code":0,"content":[]}}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"text_editor_code_execution_tool_result","tool_use_id":"t","content":{"type":"text_editor_code_execution_view_result","content":"secret","file_type":"text"}}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"text_editor_code_execution_tool_result","tool_use_id":"t","content":{"type":"text_editor_code_execution_str_replace_result","lines":["secret"]}}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"advisor_tool_result","tool_use_id":"t","content":{"type":"advisor_result","text":"secret"}}"#,
            Role::Tool,
        ),
        (
            r#"{"type":"tool_search_tool_result","tool_use_id":"t","content":{"type":"tool_search_tool_search_result","tool_references":[{"type":"tool_reference","tool_name":"secret"}]}}"#,
            Role::Tool,
        ),
        (r#"{"type":"compaction","content":"secret"}"#, Role::Tool),
        (
            r#"{"type":"browser_state","tabs":[{"title":"secret"}]}"#,
            Role::User,
        ),
        (r#"{"type":"hologram","content":"secret"}"#, Role::User),
    ] {
        let body = format!(r#"{{"messages":[{{"role":"user","content":[{block}]}}]}}"#);
        says(Api::AnthropicMessages, &body, "secret", by);
    }
    for block in [
        r#"{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA=="}}"#,
        r#"{"type":"redacted_thinking","data":"d"}"#,
        r#"{"type":"tool_use","id":"t","name":"n","input":{"a":[1]}}"#,
        r#"{"type":"server_tool_use","id":"t","name":"n","input":{},"caller":{"type":"direct"}}"#,
        r#"{"type":"mcp_tool_use","id":"t","name":"n","server_name":"s","input":{}}"#,
        r#"{"type":"container_upload","file_id":"f"}"#,
        r#"{"type":"tool_addition","tool":{"type":"tool_reference","tool_name":"t"}}"#,
        r#"{"type":"tool_removal","tool":{"type":"tool_reference","tool_name":"t"}}"#,
        r#"{"type":"mcp_tool_listing","mcp_server_name":"s","tools":[{"name":"t"}]}"#,
        r#"{"type":"fallback","from":{"model":"a"},"to":{"model":"b"}}"#,
        r#"{"type":"tool_reference","tool_name":"t"}"#,
    ] {
        let body = format!(r#"{{"messages":[{{"role":"assistant","content":[{block}]}}]}}"#);
        assert!(
            parse(Api::AnthropicMessages, body.as_bytes(), true).is_ok(),
            "{block}"
        );
    }
}

/// A field that no API reads is most likely read by no server: it must not use up a model's window.
#[test]
fn a_field_that_no_api_has_is_no_input() {
    let padding = "pad ".repeat(100_000);
    for body in [
        format!(r#"{{"messages":[{{"role":"user","content":"hi"}}],"padding":"{padding}"}}"#),
        format!(r#"{{"messages":[{{"role":"user","content":"hi","padding":"{padding}"}}]}}"#),
    ] {
        let request = parse(Api::OpenAiChat, body.as_bytes(), true).unwrap();
        assert_eq!(request.schema_bytes, 0);
        assert_eq!(request.asides.len(), 1);
    }
}

/// Images and files are neither scanned nor counted as text, wherever they stand.
#[test]
fn encoded_data_is_no_text() {
    let data = "iVBORw0KGgoAAAANSUhEUg".repeat(100);
    let url = format!("data:image/png;base64,{data}");
    for part in [
        format!(r#"{{"type":"image_url","image_url":{{"url":"{url}"}}}}"#),
        format!(r#"{{"image_url":"{url}","type":"input_image"}}"#),
        format!(r#"{{"type":"image","source":{{"type":"base64","data":"{data}"}}}}"#),
        format!(r#"{{"type":"input_audio","input_audio":{{"data":"{data}"}}}}"#),
        format!(r#"{{"type":"file","file":{{"file_data":"{url}"}}}}"#),
        format!(r#"{{"type":"hologram","hologram":"{url}"}}"#),
        format!(r#"{{"type":"hologram","hologram":"{data}"}}"#),
        format!(r#"{{"type":"hologram","data":"{data}"}}"#),
    ] {
        let body = format!(r#"{{"messages":[{{"role":"user","content":[{part}]}}]}}"#);
        for api in [Api::OpenAiChat, Api::AnthropicMessages] {
            let request = parse(api, body.as_bytes(), true).unwrap();
            assert_eq!(found(&request), [], "{part}");
            assert!(request.schema_bytes < 50, "{part}");
        }
    }
}
