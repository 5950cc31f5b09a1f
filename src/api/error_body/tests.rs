//! Error bodies read back, whatever the texts in them.

use super::*;
use crate::api::request::parse;

fn read(status: u16, code: &str, param: Option<&str>, message: &str) -> serde_json::Value {
    let body = error_body(Api::OpenAiChat, status, code, param, message);
    serde_json::from_slice(&body).unwrap()
}

#[test]
fn each_status_has_the_type_that_the_api_gives_it() {
    for (status, code, wanted) in [
        (400, "context_length_exceeded", "invalid_request_error"),
        (401, "invalid_api_key", "authentication_error"),
        (403, "model_not_allowed", "permission_error"),
        (404, "model_not_found", "invalid_request_error"),
        (413, "request_too_large", "invalid_request_error"),
        (429, "rate_limit_exceeded", "rate_limit_error"),
        (429, "insufficient_quota", "insufficient_quota"),
        (503, "no_backend", "server_error"),
    ] {
        let body = read(status, code, None, "no");
        assert_eq!(
            body,
            serde_json::json!({"error": {"message": "no", "type": wanted, "param": null, "code": code}})
        );
    }
}

#[test]
fn an_error_ends_a_stream_in_the_words_of_its_api() {
    let event = |api| String::from_utf8(error_event(api, "c", "no\nmore")).unwrap();
    assert_eq!(
        event(Api::OpenAiChat),
        "data: {\"error\":{\"message\":\"no\\nmore\",\"type\":\"server_error\",\"param\":null,\"code\":\"c\"}}\n\n"
    );
    assert_eq!(
        event(Api::OpenAiResponses),
        "event: error\ndata: {\"type\":\"error\",\"code\":\"c\",\"message\":\"no\\nmore\",\"param\":null}\n\n"
    );
    assert_eq!(
        event(Api::AnthropicMessages),
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"no\\nmore\"}}\n\n"
    );
}

#[test]
fn texts_are_escaped() {
    let message = "a \"quoted\" \\ name\u{0}\n</script>\u{2028}😀";
    let body = read(404, "model_not_found", Some("mo\"del"), message);
    assert_eq!(body["error"]["message"], message);
    assert_eq!(body["error"]["param"], "mo\"del");
}

#[test]
fn invalid_requests_name_the_field_that_is_wrong() {
    for (body, wanted) in [
        (&b"[]"[..], (None, "invalid_request")),
        (b"{", (None, "invalid_json")),
    ] {
        let error = parse(Api::OpenAiChat, body, true).unwrap_err();
        assert_eq!((error.param(), error.code()), wanted);
    }
}
