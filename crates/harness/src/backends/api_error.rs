//! Errors in the form of the API that was called.

use bytes::Bytes;
use pointsman::api::Api;
use pointsman::api::error_body::error_body;

/// An error as servers answer it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// OpenAI's `code`.
    pub code: &'static str,
    /// For the developer.
    pub message: String,
}

impl ApiError {
    /// The response body, in the words of the API that was called.
    pub fn to_json(&self, api: Api) -> Bytes {
        error_body(api, self.status, self.code, None, &self.message).into()
    }
}
