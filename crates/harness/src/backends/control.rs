//! `/control/…`: how tests and demos command faults and read what arrived. No part of the simulated API.
//!
//! - `POST /control/faults` a fault (see `faults.rs`); `DELETE /control/faults?test=ID` ends those of a test, without `test` all
//! - `GET /control/requests?test=ID` what arrived, oldest first; `GET /control/requests/N/body` the bytes of one body;
//!   `DELETE /control/requests` forgets

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::{Method, Response, Uri};
use serde_json::{Value, json};

use super::faults::Faults;
use super::record::Record;
use super::response::{HttpResponse, json_response, to_bytes};

/// Answers a request whose path begins with `/control/`.
pub fn answer(
    faults: &mut Faults,
    record: &mut Record,
    method: &Method,
    uri: &Uri,
    body: &[u8],
) -> HttpResponse {
    let path = uri.path().trim_start_matches("/control");
    let test = uri
        .query()
        .and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("test=")));
    match (method, path) {
        (&Method::POST, "/faults") => match serde_json::from_slice(body) {
            Ok(command) => {
                faults.add(command);
                done()
            }
            Err(error) => json_response(400, to_bytes(&json!({"error": error.to_string()}))),
        },
        (&Method::DELETE, "/faults") => {
            faults.clear(test);
            done()
        }
        (&Method::GET, "/requests") => {
            let found: Vec<Value> = record.find(test).map(|r| r.to_json()).collect();
            json_response(200, to_bytes(&Value::Array(found)))
        }
        (&Method::DELETE, "/requests") => {
            record.clear();
            done()
        }
        (&Method::GET, path) => body_of(path)
            .and_then(|id| record.get(id))
            .map_or_else(unknown, |request| raw(request.body.clone())),
        _ => unknown(),
    }
}

fn body_of(path: &str) -> Option<u64> {
    path.strip_prefix("/requests/")?
        .strip_suffix("/body")?
        .parse()
        .ok()
}

fn raw(body: Bytes) -> HttpResponse {
    Response::new(Either::Left(Full::new(body)))
}

fn done() -> HttpResponse {
    json_response(200, to_bytes(&json!({"done": true})))
}

fn unknown() -> HttpResponse {
    json_response(404, to_bytes(&json!({"error": "no such control"})))
}
