//! Responses of a simulated backend: whole, or part by part.

use std::io;

use bytes::Bytes;
use http_body_util::{Channel, Either, Full};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::Value;

/// Error that breaks off the body of a response on purpose.
pub type BodyError = io::Error;
/// A response with a whole body, or with one that comes part by part.
pub type HttpResponse = Response<Either<Full<Bytes>, Channel<Bytes, BodyError>>>;

/// The body with this JSON.
pub fn to_bytes(value: &Value) -> Bytes {
    value.to_string().into()
}

/// A response with a whole JSON body.
pub fn json_response(status: u16, body: Bytes) -> HttpResponse {
    let mut response = Response::new(Either::Left(Full::new(body)));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
