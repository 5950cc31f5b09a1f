//! Error bodies in the format of the API that was called, so that clients' SDKs raise the exception that they know.
//!
//! serde_json writes them from values; no text is pasted. The caller gives code and message.

use crate::api::Api;
use crate::api::request::InvalidRequest;

#[derive(serde::Serialize)]
struct OpenAiError<'a> {
    error: OpenAiDetail<'a>,
}

#[derive(serde::Serialize)]
struct OpenAiDetail<'a> {
    message: &'a str,
    r#type: &'a str,
    param: Option<&'a str>,
    code: &'a str,
}

#[derive(serde::Serialize)]
struct AnthropicError<'a> {
    r#type: &'a str,
    error: AnthropicDetail<'a>,
}

#[derive(serde::Serialize)]
struct AnthropicDetail<'a> {
    r#type: &'a str,
    message: &'a str,
}

/// The JSON body of an error answer with HTTP status `status`.
///
/// `code` is the API's machine-readable code (`model_not_found`), `param` the invalid field (`messages[2].content`) if there is
/// one; Anthropic's errors have neither. `message` is for the client's developer and must not quote the prompt.
///
/// ```
/// use pointsman::api::{Api, error_body::error_body};
///
/// let body = error_body(Api::AnthropicMessages, 404, "model_not_found", None, "there is no model `gpt-9`");
/// let expected = r#"{"type":"error","error":{"type":"not_found_error","message":"there is no model `gpt-9`"}}"#;
/// assert_eq!(String::from_utf8(body).unwrap(), expected);
/// ```
pub fn error_body(
    api: Api,
    status: u16,
    code: &str,
    param: Option<&str>,
    message: &str,
) -> Vec<u8> {
    // Strings and options of strings always serialise. If that ever changes, the body is empty.
    if api == Api::AnthropicMessages {
        let body = AnthropicError {
            r#type: "error",
            error: AnthropicDetail {
                r#type: anthropic_type(status),
                message,
            },
        };
        return serde_json::to_vec(&body).unwrap_or_default();
    }
    let body = OpenAiError {
        error: OpenAiDetail {
            message,
            r#type: openai_type(status, code),
            param,
            code,
        },
    };
    serde_json::to_vec(&body).unwrap_or_default()
}

/// The error as an event that ends a stream; clients' SDKs raise it in the middle of an answer.
pub fn error_event(api: Api, code: &str, message: &str) -> Vec<u8> {
    #[derive(serde::Serialize)]
    struct ResponsesError<'a> {
        r#type: &'a str,
        code: &'a str,
        message: &'a str,
        param: Option<&'a str>,
    }
    let (name, body) = match api {
        Api::OpenAiResponses => {
            let body = ResponsesError {
                r#type: "error",
                code,
                message,
                param: None,
            };
            let body = serde_json::to_vec(&body).unwrap_or_default();
            ("event: error\n", body)
        }
        Api::AnthropicMessages => {
            let body = error_body(api, 500, code, None, message);
            ("event: error\n", body)
        }
        _ => ("", error_body(api, 500, code, None, message)),
    };
    [name.as_bytes(), b"data: ", &body, b"\n\n"].concat()
}

/// The media type of every error body.
pub const CONTENT_TYPE: &str = "application/json";

/// OpenAI's `type` for a status: <https://platform.openai.com/docs/guides/error-codes>.
fn openai_type(status: u16, code: &str) -> &str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        429 if code == "insufficient_quota" => code,
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

/// Anthropic's `type` for a status: <https://docs.anthropic.com/en/api/errors>.
fn anthropic_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

impl InvalidRequest {
    /// The invalid field, as the `param` of an error; `None` for the body as a whole.
    pub fn param(&self) -> Option<&str> {
        match self {
            InvalidRequest::WrongShape { at, .. } if at != "body" => Some(at),
            _ => None,
        }
    }

    /// The API's error code: `invalid_json` or `invalid_request`.
    pub const fn code(&self) -> &'static str {
        match self {
            InvalidRequest::NotJson { .. } => "invalid_json",
            InvalidRequest::WrongShape { .. } => "invalid_request",
        }
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice
)]
mod tests;
