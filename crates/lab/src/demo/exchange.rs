//! Sends requests over a few connections and keeps what came back of each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::body::Bytes;
use pointsman::telemetry::header;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use pointsman_cli::io::http::{Answer, Connection, Error};
use pointsman_eval::progress::Progress;
use pointsman_harness::backends::ANSWER_TOKENS;

/// The path of every request.
pub const PATH: &str = "/v1/chat/completions";

/// Tokens that a backend counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Usage {
    /// Tokens of the request.
    #[serde(default)]
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    #[serde(default)]
    pub completion_tokens: u64,
}

/// The result of one request.
#[derive(Debug, Clone, Default)]
pub struct Exchange {
    /// The answer's HTTP status; 0 where the connection broke.
    pub status: u16,
    /// The error, if there was one.
    pub error: Option<String>,
    /// From the first byte sent to the last byte of the answer.
    pub took: Duration,
    /// The model and the backend that the filter chose, from its headers.
    pub model: Option<String>,
    /// See `model`.
    pub backend: Option<String>,
    /// The filter's estimates and the time it took, from its headers.
    pub difficulty: Option<f64>,
    /// See `difficulty`.
    pub quality: Option<f64>,
    /// See `difficulty`; USD.
    pub estimated_cost: Option<f64>,
    /// See `difficulty`; microseconds.
    pub decision_us: Option<f64>,
    /// The stage that decided, and what the judge said, from the filter's headers.
    pub stage: Option<String>,
    /// See `stage`.
    pub judge: Option<String>,
    /// The backend's own count.
    pub usage: Option<Usage>,
    /// The answer's text, as far as it is text.
    pub text: String,
}

impl Exchange {
    /// Whether it was answered in full.
    pub fn is_answered(&self) -> bool {
        self.status == 200 && self.error.is_none()
    }

    fn from_answer(answer: &Answer) -> Exchange {
        let text = |name: &str| answer.header(name).map(str::to_owned);
        let number = |name: &str| answer.header(name)?.parse().ok();
        let (usage, answer_text) = read_body(&answer.body);
        let error = match (answer.status, &usage) {
            (200, Some(_)) => None,
            // llama.cpp's server streams no `usage`: such an answer is whole if its end is there.
            (200, None) if answer.body.trim_ascii_end().ends_with(b"data: [DONE]") => None,
            (200, None) => Some("the answer has no `usage`".to_owned()),
            _ => Some(error_message(&answer.body)),
        };
        Exchange {
            status: answer.status,
            error,
            took: answer.took,
            model: text(header::MODEL),
            backend: text(header::BACKEND),
            difficulty: number(header::DIFFICULTY),
            quality: number(header::QUALITY),
            estimated_cost: number(header::ESTIMATED_COST_USD),
            decision_us: number(header::DECISION_US),
            stage: text(header::STAGE),
            judge: text(header::JUDGE),
            usage,
            text: answer_text,
        }
    }
}

/// Usage and text of a whole answer, JSON or server-sent events.
fn read_body(body: &[u8]) -> (Option<Usage>, String) {
    let text = String::from_utf8_lossy(body);
    let whole = serde_json::from_str::<Value>(&text).ok();
    let events = text
        .lines()
        .filter_map(|line| serde_json::from_str(line.strip_prefix("data:")?).ok());
    let (mut usage, mut message) = (None, String::new());
    for document in whole.into_iter().chain(events) {
        if let Some(counted) = document.get("usage").filter(|usage| usage.is_object()) {
            usage = Usage::deserialize(counted).ok();
        }
        for place in ["/choices/0/message/content", "/choices/0/delta/content"] {
            message.push_str(
                document
                    .pointer(place)
                    .and_then(Value::as_str)
                    .unwrap_or_default(),
            );
        }
    }
    (usage, message)
}

fn error_message(body: &[u8]) -> String {
    let document = serde_json::from_slice::<Value>(body).unwrap_or_default();
    match document.pointer("/error/message").and_then(Value::as_str) {
        Some(message) => message.to_owned(),
        None => String::from_utf8_lossy(body).chars().take(200).collect(),
    }
}

/// A request, and how many tokens its answer has.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The body.
    pub body: Bytes,
    /// Length of the answer, for the simulated backends; others ignore it.
    pub answer_tokens: u32,
}

/// Sends each request and returns what became of it, in the same order.
pub async fn send_all(
    address: SocketAddr,
    requests: Vec<Outgoing>,
    connections: usize,
    progress: &mut Progress,
) -> Vec<Exchange> {
    let mut exchanges = vec![Exchange::default(); requests.len()];
    let requests = Arc::new(requests);
    let next = Arc::new(AtomicUsize::new(0));
    let (done, mut results) = mpsc::channel(16);
    // Dropped with this function, on Ctrl-C too: then its tasks end.
    let mut tasks = JoinSet::new();
    for _ in 0..connections.max(1) {
        let (requests, next, done) = (Arc::clone(&requests), Arc::clone(&next), done.clone());
        tasks.spawn(async move {
            let mut connection = None;
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(request) = requests.get(index) else {
                    return;
                };
                let exchange = match send(&mut connection, address, request).await {
                    Ok(answer) => Exchange::from_answer(&answer),
                    Err(error) => Exchange {
                        error: Some(error.to_string()),
                        ..Exchange::default()
                    },
                };
                if done.send((index, exchange)).await.is_err() {
                    return;
                }
            }
        });
    }
    drop(done);
    while let Some((index, exchange)) = results.recv().await {
        if let Some(place) = exchanges.get_mut(index) {
            *place = exchange;
        }
        progress.step();
    }
    exchanges
}

async fn send(
    connection: &mut Option<Connection>,
    address: SocketAddr,
    request: &Outgoing,
) -> Result<Answer, Error> {
    let mut open = match connection.take() {
        Some(open) if !open.is_closed() => open,
        _ => Connection::open(address).await?,
    };
    let tokens = request.answer_tokens.to_string();
    let headers = [(ANSWER_TOKENS, tokens.as_str())];
    let answer = open.post_with(PATH, &headers, request.body.clone()).await?;
    *connection = Some(open);
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_and_text_of_json_and_of_events() {
        let usage = Some(Usage {
            prompt_tokens: 3,
            completion_tokens: 2,
        });
        let json = br#"{"choices":[{"message":{"content":"Hi."}}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
        assert_eq!(read_body(json), (usage, "Hi.".to_owned()));
        let events = b"data: {\"choices\":[{\"delta\":{\"content\":\"H\"}}],\"usage\":null}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"i.\"}}]}\n\n\
            data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";
        assert_eq!(read_body(events), (usage, "Hi.".to_owned()));
        assert_eq!(
            read_body(b"upstream request timeout"),
            (None, String::new())
        );
    }

    #[test]
    fn errors_are_the_apis_or_the_text() {
        assert_eq!(
            error_message(br#"{"error":{"message":"no such model"}}"#),
            "no such model"
        );
        assert_eq!(error_message(b"no healthy upstream"), "no healthy upstream");
    }
}
