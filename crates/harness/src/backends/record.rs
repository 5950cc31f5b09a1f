//! Requests that a backend received, kept for assertions: the newest ones, bounded in number and bytes.

use std::collections::VecDeque;

use bytes::Bytes;
use hyper::{HeaderMap, Method};
use serde_json::{Value, json};

/// The most requests that are kept.
const MAX_REQUESTS: usize = 2_000;
/// The most bytes of bodies that are kept.
const MAX_BYTES: usize = 128 << 20;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Counts the requests of this backend, from 0.
    pub id: u64,
    /// Its method.
    pub method: Method,
    /// Its path with the query.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its trailers, if any.
    pub trailers: Option<HeaderMap>,
    /// Its body as far as it came.
    pub body: Bytes,
    /// Whether the body came to its end.
    pub complete: bool,
}

impl Recorded {
    /// As JSON; header values that are not UTF-8 and the body are shown lossily (the bytes: `/control/requests/ID/body`).
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "method": self.method.as_str(),
            "path": self.path,
            "headers": pairs(&self.headers),
            "trailers": self.trailers.as_ref().map(pairs),
            "content_length": self.headers.get("content-length").and_then(|v| v.to_str().ok()),
            "body_bytes": self.body.len(),
            "body": String::from_utf8_lossy(&self.body),
            "complete": self.complete,
        })
    }

    fn is_of(&self, test: &str) -> bool {
        self.headers
            .get("x-test-id")
            .is_some_and(|id| id.as_bytes() == test.as_bytes())
    }
}

fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        })
        .collect()
}

/// The newest requests, oldest first.
#[derive(Debug, Default)]
pub struct Record {
    requests: VecDeque<Recorded>,
    bytes: usize,
    next_id: u64,
}

impl Record {
    /// Keeps a request; its `id` is set here. The oldest are dropped when there are too many.
    pub fn push(&mut self, mut request: Recorded) {
        request.id = self.next_id;
        self.next_id += 1;
        self.bytes += request.body.len();
        self.requests.push_back(request);
        while self.requests.len() > MAX_REQUESTS || self.bytes > MAX_BYTES {
            match self.requests.pop_front() {
                Some(dropped) => self.bytes -= dropped.body.len(),
                None => break,
            }
        }
    }

    /// The requests of one test, or all.
    pub fn find<'a>(&'a self, test: Option<&'a str>) -> impl Iterator<Item = &'a Recorded> {
        self.requests
            .iter()
            .filter(move |request| test.is_none_or(|test| request.is_of(test)))
    }

    /// One request.
    pub fn get(&self, id: u64) -> Option<&Recorded> {
        self.requests.iter().find(|request| request.id == id)
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.requests.clear();
        self.bytes = 0;
    }
}
