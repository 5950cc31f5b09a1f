//! The edit applied by hand: what is expected of the new body is written out, not computed.

use super::*;
use crate::api::Api;
use crate::api::request::parse;

const REST: &str =
    r#""messages":[{"role":"user","content":"the \"model\" is: {\"model\":\"x\"}"}]"#;

fn edit(body: &str, model: &str) -> Option<PrefixEdit> {
    let request = parse(Api::OpenAiChat, body.as_bytes(), true).unwrap();
    set_model(body.as_bytes(), &request, model)
}

fn applied(body: &str, edit: &PrefixEdit) -> String {
    let mut after = edit.with.clone();
    after.extend_from_slice(&body.as_bytes()[edit.replace..]);
    assert_eq!(after.len() as i64, body.len() as i64 + edit.growth());
    String::from_utf8(after).unwrap()
}

/// Replaces the placeholder `REST` and checks that the edit of `before` gives `after`.
fn check(before: &str, model: &str, after: &str) {
    let before = before.replace("REST", REST);
    let edit = edit(&before, model).unwrap();
    assert_eq!(applied(&before, &edit), after.replace("REST", REST));
}

#[test]
fn the_value_is_replaced_wherever_it_stands() {
    check(r#"{"model":"auto",REST}"#, "big", r#"{"model":"big",REST}"#);
    check(
        r#"{REST, "model" : "auto" }"#,
        "big",
        r#"{REST, "model" : "big" }"#,
    );
    check(
        "{\n\t\"model\"\r\n:\n\"auto\"\n,REST}\n",
        "b",
        "{\n\t\"model\"\r\n:\n\"b\"\n,REST}\n",
    );
    check(
        r#"{"mod\u0065l":"auto",REST}"#,
        "big",
        r#"{"mod\u0065l":"big",REST}"#,
    );
    check(
        r#"{"model":"a\"\u0075to\\",REST}"#,
        "big",
        r#"{"model":"big",REST}"#,
    );
    check(r#"{"model":"",REST}"#, "big", r#"{"model":"big",REST}"#);
}

#[test]
fn only_what_is_needed_is_replaced() {
    let body = format!(r#"{{"model":"auto",{REST}}}"#);
    let edit = edit(&body, "big").unwrap();
    assert_eq!((edit.replace, &*edit.with), (15, &br#"{"model":"big""#[..]));
    assert_eq!(edit.growth(), -1);
}

#[test]
fn a_missing_model_becomes_the_first_field() {
    check(r#"{REST}"#, "big", r#"{"model":"big",REST}"#);
    check(
        "\r\n { \n REST}",
        "big",
        "\r\n {\"model\":\"big\", \n REST}",
    );
    check("\u{feff}{REST}", "big", "\u{feff}{\"model\":\"big\",REST}");
    // A `model` further in is none of ours.
    check(
        r#"{"metadata":{"model":"x"},REST}"#,
        "big",
        r#"{"model":"big","metadata":{"model":"x"},REST}"#,
    );
}

#[test]
fn an_empty_object_gets_no_comma() {
    // No request: parsing refuses it. The edit holds all the same.
    let whole = format!(r#"{{{REST}}}"#);
    let request = parse(Api::OpenAiChat, whole.as_bytes(), true).unwrap();
    for (body, after) in [
        ("{}", r#"{"model":"big"}"#),
        ("{ \n}", "{\"model\":\"big\" \n}"),
    ] {
        let edit = set_model(body.as_bytes(), &request, "big").unwrap();
        assert_eq!(applied(body, &edit), after);
    }
}

#[test]
fn names_are_escaped() {
    check(
        r#"{"model":"auto",REST}"#,
        "a\"b\\c\n\u{1}é😀",
        r#"{"model":"a\"b\\c\n\u0001é😀",REST}"#,
    );
}

#[test]
fn every_model_is_replaced_so_that_no_server_sees_another() {
    check(
        r#"{"model":"auto",REST,"model":"gpt"}"#,
        "big",
        r#"{"model":"big",REST,"model":"big"}"#,
    );
    check(
        r#"{"model":"big",REST,"m\u006fdel":"gpt"}"#,
        "big",
        r#"{"model":"big",REST,"m\u006fdel":"big"}"#,
    );
    check(
        r#"{"Model":"gpt","model":"auto",REST,"MODEL":"gpt","m\u004fdel":7}"#,
        "big",
        r#"{"Model":"big","model":"big",REST,"MODEL":"big","m\u004fdel":"big"}"#,
    );
    check(
        r#"{"MODEL":"gpt",REST}"#,
        "big",
        r#"{"model":"big","MODEL":"big",REST}"#,
    );
}

#[test]
fn a_model_that_is_right_already_needs_no_edit() {
    for body in [
        r#"{"model":"big",REST}"#,
        r#"{REST,"model": "big" ,"model":"big"}"#,
    ] {
        assert_eq!(edit(&body.replace("REST", REST), "big"), None);
    }
}

#[test]
fn the_first_part_of_a_body_is_edited_only_after_its_model() {
    let body = format!(r#"{{"model":"auto",{REST},"tools":[{{"#);
    let request = parse(Api::OpenAiChat, body.as_bytes(), false).unwrap();
    let edit = set_model(body.as_bytes(), &request, "big").unwrap();
    assert!(applied(&body, &edit).starts_with(r#"{"model":"big","messages""#));

    for body in [format!("{{{REST},"), format!(r#"{{{REST},"model":"au"#)] {
        let request = parse(Api::OpenAiChat, body.as_bytes(), false).unwrap();
        assert_eq!(request.model, None);
        assert_eq!(set_model(body.as_bytes(), &request, "big"), None);
    }
}

#[test]
fn usage_is_asked_for_wherever_the_option_stands() {
    let check = |before: &str, after: &str| {
        let before = before.replace("REST", REST);
        let request = parse(Api::OpenAiChat, before.as_bytes(), true).unwrap();
        let edit = rewrite(before.as_bytes(), &request, "b", true).unwrap();
        assert_eq!(applied(&before, &edit), after.replace("REST", REST));
    };
    check(
        r#"{"model":"a",REST}"#,
        r#"{"stream_options":{"include_usage":true},"model":"b",REST}"#,
    );
    check(
        r#"{REST}"#,
        r#"{"model":"b","stream_options":{"include_usage":true},REST}"#,
    );
    check(
        r#"{"model":"a",REST,"stream_options":null}"#,
        r#"{"model":"b",REST,"stream_options":{"include_usage":true}}"#,
    );
    check(
        r#"{"stream_options":{},"model":"a",REST}"#,
        r#"{"stream_options":{"include_usage":true},"model":"b",REST}"#,
    );
    check(
        r#"{"model":"b","stream_options": { "x":1},REST}"#,
        r#"{"model":"b","stream_options": {"include_usage":true, "x":1},REST}"#,
    );
    check(
        r#"{"model":"a","stream_options":{"include_usage": false,"x":1},REST}"#,
        r#"{"model":"b","stream_options":{"include_usage": true,"x":1},REST}"#,
    );
}

#[test]
fn usage_that_is_asked_for_is_not_asked_for_twice() {
    let body = format!(r#"{{"model":"b","stream_options":{{"include_usage":true}},{REST}}}"#);
    let request = parse(Api::OpenAiChat, body.as_bytes(), true).unwrap();
    assert_eq!(rewrite(body.as_bytes(), &request, "b", true), None);
}

#[test]
fn usage_of_a_cut_body_is_not_asked_for() {
    let body = br#"{"model":"a","messages":[{"role":"user","content":"x"#;
    let request = parse(Api::OpenAiChat, body, false).unwrap();
    let edit = rewrite(body, &request, "b", true).unwrap();
    assert_eq!(edit.with, br#"{"model":"b""#);
}

#[test]
fn bounds_of_the_answer_are_cut_down_in_every_form() {
    for (before, after) in [
        (
            r#"{"model":"a","max_tokens":4096}"#,
            r#"{"model":"b","max_tokens":100}"#,
        ),
        (
            r#"{"max_tokens" : 4096.0 ,"model":"a"}"#,
            r#"{"max_tokens" : 100 ,"model":"b"}"#,
        ),
        (
            r#"{"model":"a","max_tokens":"4096"}"#,
            r#"{"model":"b","max_tokens":100}"#,
        ),
        (
            r#"{"model":"a","max_tokens":1e9,"Max_Tokens":5e1}"#,
            r#"{"model":"b","max_tokens":100,"Max_Tokens":5e1}"#,
        ),
        (
            r#"{"model":"a","max_tokens":9,"max_completion_tokens":101}"#,
            r#"{"model":"b","max_tokens":9,"max_completion_tokens":100}"#,
        ),
        (
            r#"{"model":"a","max_tokens":null,"max_output_tokens":101}"#,
            r#"{"model":"b","max_tokens":null,"max_output_tokens":100}"#,
        ),
        (
            r#"{"model":"a","x":{"max_tokens":500},"max_tokens":-1}"#,
            r#"{"model":"b","x":{"max_tokens":500},"max_tokens":-1}"#,
        ),
    ] {
        // Another test covers numbers in other forms.
        let plain = format!("{{\"model\":\"a\",{REST}}}");
        let mut request = parse(Api::OpenAiChat, plain.as_bytes(), true).unwrap();
        let at = before.find("\"a\"").unwrap();
        request.model_spans.clear();
        request.model_spans.push(at..at + 3);
        let mut all = splices(before.as_bytes(), &request, "b", false);
        cut_down(before.as_bytes(), &request, 100, &mut all);
        let edit = PrefixEdit::from_splices(before.as_bytes(), &all).unwrap();
        assert_eq!(applied(before, &edit), after);
    }
}
