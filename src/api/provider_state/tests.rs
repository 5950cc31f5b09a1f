//! Provider state in bodies, and bodies without it.

use super::*;
use crate::api::Api;
use crate::api::edit::PrefixEdit;
use crate::api::request::{InvalidRequest, Request, parse_with_state};

/// Parses a body with its state, which is found whatever the parser says of the body.
fn parse(api: Api, body: &[u8], complete: bool) -> Result<Request<'_>, InvalidRequest> {
    let request = parse_with_state(api, body, complete)?;
    let text = std::str::from_utf8(body).unwrap();
    assert_eq!(request.state, ProviderState::find(api, text), "{text}");
    Ok(request)
}

/// The state that a body carries, each with whether it has to stay.
fn found(api: Api, body: &str) -> Vec<(&'static str, bool)> {
    let request = parse(api, body.as_bytes(), true).unwrap();
    let items = request.state.items.iter();
    items.map(|item| (item.what, item.is_fixed())).collect()
}

/// A body without all that can be taken out of it.
fn without_state(api: Api, body: &str, needs_signature: bool) -> String {
    let request = parse(api, body.as_bytes(), true).unwrap();
    let cuts = request
        .state
        .cuts(body.as_bytes(), |_| true, needs_signature);
    let Some(edit) = PrefixEdit::from_splices(body.as_bytes(), &cuts) else {
        return body.to_owned();
    };
    let mut after = edit.with.clone();
    after.extend_from_slice(&body.as_bytes()[edit.replace..]);
    assert_eq!(after.len() as i64, body.len() as i64 + edit.growth());
    let text = String::from_utf8(after).unwrap();
    serde_json::from_str::<serde_json::Value>(&text).unwrap();
    // Nothing is left that could be taken out once more.
    let again = parse(api, text.as_bytes(), true).unwrap();
    if !needs_signature {
        assert!(again.state.items.iter().all(StateItem::is_fixed), "{text}");
    }
    text
}

const ANTHROPIC: Api = Api::AnthropicMessages;
const RESPONSES: Api = Api::OpenAiResponses;
const CHAT: Api = Api::OpenAiChat;

#[test]
fn thinking_is_found_signed_or_not_and_taken_out_with_its_commas() {
    let body = r#"{"model":"m","messages":[
  {"role":"user","content":"a"},
  {"role":"assistant","content":[ {"type":"thinking","thinking":"hm","signature":"EqQBCkYIAxgC"} , {"type":"redacted_thinking","data":"EmwK"}, {"type":"text","text":"b"}]},
  {"role":"user","content":"c"},
  {"role":"assistant","content":[{"type":"text","text":"d"},{"signature":"","thinking":"x","type":"thinking"}]},
  {"role":"user","content":"e"}]}"#;
    let thinking = ("`thinking` blocks", false);
    assert_eq!(found(ANTHROPIC, body), [thinking; 3]);
    let marks: Vec<Option<u64>> = parse(ANTHROPIC, body.as_bytes(), true)
        .unwrap()
        .state
        .items
        .iter()
        .map(|item| item.mark)
        .collect();
    assert_eq!(
        marks,
        [Some(mark_of("EqQBCkYIAxgC")), Some(mark_of("EmwK")), None]
    );
    assert_eq!(
        without_state(ANTHROPIC, body, false),
        r#"{"model":"m","messages":[
  {"role":"user","content":"a"},
  {"role":"assistant","content":[  {"type":"text","text":"b"}]},
  {"role":"user","content":"c"},
  {"role":"assistant","content":[{"type":"text","text":"d"}]},
  {"role":"user","content":"e"}]}"#
    );
}

#[test]
fn a_round_of_tools_keeps_its_thinking_where_it_must_begin_with_it() {
    let body = |thinking: &str| {
        format!(
            r#"{{"model":"m",{thinking}"messages":[{{"role":"user","content":"a"}},
{{"role":"assistant","content":[{{"type":"thinking","thinking":"1","signature":"s1"}},{{"type":"text","text":"b"}}]}},
{{"role":"user","content":"c"}},
{{"role":"assistant","content":[{{"type":"thinking","thinking":"2","signature":"s2"}},{{"type":"tool_use","id":"t","name":"f","input":{{}}}}]}},
{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"t","content":"4"}},{{"type":"text","text":"go on"}}]}}]}}"#
        )
    };
    let what = "`thinking` blocks";
    let enabled = r#""thinking":{"type":"enabled","budget_tokens":1024},"#;
    assert_eq!(
        found(ANTHROPIC, &body(enabled)),
        [(what, false), (what, true)]
    );
    for other in ["", r#""thinking":{"type":"adaptive"},"#] {
        assert_eq!(
            found(ANTHROPIC, &body(other)),
            [(what, false); 2],
            "{other}"
        );
    }
    let left = without_state(ANTHROPIC, &body(enabled), false);
    assert!(!left.contains("s1") && left.contains("s2"), "{left}");
}

#[test]
fn a_message_of_nothing_but_state_stays() {
    let body = r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking","thinking":"1","signature":"s"}]},{"role":"user","content":"b"}]}"#;
    assert_eq!(found(ANTHROPIC, body), [("`thinking` blocks", true)]);
    let input = r#"{"input":[{"type":"reasoning","id":"rs_1","encrypted_content":"gA"}]}"#;
    assert_eq!(found(RESPONSES, input), [("`reasoning` items", true)]);
}

#[test]
fn encrypted_results_containers_and_files_stay() {
    let body = r#"{"model":"m","container":"container_01","messages":[{"role":"user","content":[{"type":"document","source":{"type":"file","file_id":"file_9"}},{"type":"text","text":"a"}]},
{"role":"assistant","content":[{"type":"web_search_tool_result","tool_use_id":"w","content":[{"type":"web_search_result","url":"u","title":"t","encrypted_content":"Eqg"}]},
{"type":"text","text":"b","citations":[{"type":"web_search_result_location","url":"u","encrypted_index":"Eo8"}]}]},
{"role":"user","content":"c"}]}"#;
    assert_eq!(
        found(ANTHROPIC, body),
        [
            ("files by `file_id`", true),
            ("encrypted content", true),
            ("encrypted content", true),
            ("`container`", true)
        ]
    );
    assert_eq!(without_state(ANTHROPIC, body, false), body);
    let chat = r#"{"messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"file-1"}},{"type":"text","text":"a"}]}]}"#;
    assert_eq!(found(CHAT, chat), [("files by `file_id`", true)]);
    let plain = r#"{"messages":[{"role":"user","content":[{"type":"file","file":{"file_data":"data:application/pdf;base64,AA"}},{"type":"text","text":"the \"file_id\": \"x\" of it"}]}]}"#;
    assert_eq!(found(CHAT, plain), []);
}

#[test]
fn reasoning_items_go_with_the_ids_that_lead_to_them() {
    let body = r#"{"model":"m","input":[{"role":"user","content":"a"},
{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAAAABo_x-w=="},
{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"output_text","text":"b"}]},
{"type":"reasoning","id":"rs_2","summary":[],"encrypted_content":null},
{"type":"function_call","call_id":"c","name":"f","arguments":"{}","id":"fc_1"},
{"type":"function_call_output","call_id":"c","output":"4"}],"store":false}"#;
    assert_eq!(found(RESPONSES, body), [("`reasoning` items", false); 2]);
    assert_eq!(
        without_state(RESPONSES, body, false),
        r#"{"model":"m","input":[{"role":"user","content":"a"},

{"type":"message","role":"assistant","content":[{"type":"output_text","text":"b"}]},

{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},
{"type":"function_call_output","call_id":"c","output":"4"}],"store":false}"#
    );
    // Items that only have ids are read by anybody.
    let plain = r#"{"model":"m","input":[{"role":"user","content":"a"},{"id":"msg_1","type":"message","role":"assistant","content":"b"}]}"#;
    assert_eq!(found(RESPONSES, plain), []);
    assert_eq!(without_state(RESPONSES, plain, false), plain);
}

#[test]
fn what_stands_on_a_server_is_found_and_stays() {
    let body = r#"{"previous_response_id":"resp_1","prompt":{"id":"pmpt_1","version":"2"},"input":[{"type":"item_reference","id":"msg_1"},{"type":"compaction","id":"cmp_1","encrypted_content":"gAA"},{"role":"user","content":"a"}],"conversation":{"id":"conv_1"}}"#;
    assert_eq!(
        found(RESPONSES, body),
        [
            ("`item_reference`", true),
            ("encrypted items", true),
            ("`prompt`", true),
            ("`conversation`", true),
            ("`previous_response_id`", true)
        ]
    );
    for nothing in ["null", "\"\"", "7"] {
        let body = format!(r#"{{"previous_response_id":{nothing},"input":"a"}}"#);
        assert_eq!(found(RESPONSES, &body), [], "{nothing}");
    }
}

#[test]
fn thought_signatures_are_taken_out_or_stood_in_for() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"a"},{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"thought_signature\": \"no\"}"},"extra_content":{"google":{"thought_signature":"CiQB\/x+w="}}},{"id":"2","type":"function","function":{"name":"g","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"4"},{"role":"tool","tool_call_id":"2","content":"5"}]}"#;
    assert_eq!(found(CHAT, body), [("thought signatures", false)]);
    let plain = body.replace(
        r#","extra_content":{"google":{"thought_signature":"CiQB\/x+w="}}"#,
        "",
    );
    assert_eq!(without_state(CHAT, body, false), plain);
    let stand_in = body.replace(r#"CiQB\/x+w="#, "skip_thought_signature_validator");
    assert_eq!(without_state(CHAT, body, true), stand_in);
    assert_eq!(found(CHAT, &plain), []);
    let mark = parse(CHAT, body.as_bytes(), true).unwrap().state.items[0].mark;
    assert_eq!(mark, Some(mark_of("CiQB/x+w=")));
}

#[test]
fn reasoning_of_gateways_is_taken_out() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"a"},{"role":"assistant","reasoning_details":[{"type":"reasoning.text","text":"hm","signature":"abc"},{"type":"reasoning.encrypted","data":"def"}],"content":"b"},{"role":"assistant","content":"c","thinking_blocks":[{"type":"thinking","thinking":"x","signature":"ghi"}]},{"role":"user","content":"d"}]}"#;
    assert_eq!(
        found(CHAT, body),
        [("`reasoning_details`", false), ("`thinking_blocks`", false)]
    );
    assert_eq!(
        without_state(CHAT, body, false),
        r#"{"model":"m","messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"assistant","content":"c"},{"role":"user","content":"d"}]}"#
    );
    let open = r#"{"messages":[{"role":"assistant","reasoning_content":"hm","reasoning_details":[{"type":"reasoning.text","text":"hm","signature":null}],"content":"b"},{"role":"user","content":"d"}]}"#;
    assert_eq!(found(CHAT, open), []);
}

#[test]
fn a_mark_is_the_same_however_the_value_comes() {
    let value = "gAAAAABo".to_owned() + &"Zz09-_+/".repeat(40) + "end==";
    for size in [1, 7, 64, 1000] {
        let mut suffix = Suffix::default();
        assert_eq!(suffix.mark(), None);
        for piece in value.as_bytes().chunks(size) {
            suffix.feed(piece);
        }
        assert_eq!(suffix.mark(), Some(mark_of(&value)), "{size}");
    }
    let mut short = Suffix::default();
    short.feed(b"a\\/b");
    assert_eq!(short.mark(), Some(mark_of("a/b")));
    assert_ne!(mark_of("resp_1"), mark_of("resp_2"));
    assert_ne!(mark_of("ab"), mark_of("ba"));
}

#[test]
fn any_mixture_of_cuts_leaves_json() {
    let state = r#"{"type":"thinking","thinking":"t","signature":"s"}"#;
    let text = r#"{"type":"text","text":"x"}"#;
    for pattern in 1..(1_u32 << 6) {
        for separator in [",", " , ", ",\n  "] {
            let parts: Vec<&str> = (0..6)
                .map(|bit| if pattern >> bit & 1 == 1 { text } else { state })
                .collect();
            let body = format!(
                r#"{{"model":"m","messages":[{{"role":"user","content":"a"}},{{"content":[ {} ],"role":"assistant"}},{{"role":"user","content":"b"}}]}}"#,
                parts.join(separator)
            );
            let left = without_state(ANTHROPIC, &body, false);
            let value: serde_json::Value = serde_json::from_str(&left).unwrap();
            let kept = value["messages"][1]["content"].as_array().unwrap();
            assert_eq!(kept.len() as u32, pattern.count_ones(), "{body}");
            assert!(kept.iter().all(|part| part["type"] == "text"), "{left}");
        }
    }
}

#[test]
fn only_a_chat_of_texts_and_images_need_not_be_searched() {
    for (content, searched) in [
        (r#""a""#, false),
        (r#"["a"]"#, false),
        (
            r#"[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"u"}}]"#,
            false,
        ),
        (r#"[{"type":"text","text":"a","signature":"s"}]"#, true),
        (r#"[{"type":"thinking","text":"a"}]"#, true),
        (r#"[{"type":"text","type":"thinking"}]"#, true),
        (r#""a","audio":{"id":"i"}"#, true),
        (r#""a","extra_content":{}"#, true),
        (r#""a","Audio":{}"#, true),
    ] {
        for api in [CHAT, ANTHROPIC] {
            let body =
                format!(r#"{{"model":"m","messages":[{{"role":"user","content":{content}}}]}}"#);
            let request = parse(api, body.as_bytes(), true).unwrap();
            assert_eq!(request.may_carry_state, searched, "{body}");
        }
    }
    for (api, body) in [
        (ANTHROPIC, r#"{"messages":[],"container":"c"}"#),
        (RESPONSES, r#"{"input":"a"}"#),
    ] {
        let request = parse(api, body.as_bytes(), true).unwrap();
        assert!(request.may_carry_state, "{body}");
    }
}
