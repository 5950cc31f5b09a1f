//! Providers that refuse thinking which another one has signed: a conversation stays with its provider through two workers,
//! failures and failover, and finds it again where the proxy has to guess.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::spawn;

use pointsman_harness::http1::Request;
use serde_json::{Value, json};

use crate::Test;
use crate::failover::{model, render, ways};
use crate::world::Case;

pub const TESTS: &[Test] = &[("foreign_state::stays_with_its_maker", stays_with_its_maker)];

/// The public part of the conversation.
#[derive(Default)]
struct ProviderLog {
    count: AtomicU32,
    /// Requests with thinking that was signed elsewhere.
    refused: AtomicU32,
    failed: AtomicU32,
    heads: Mutex<String>,
}

/// A backend of the provider `scope`, at a port of its own.
fn provider(scope: &'static str, log: &Arc<ProviderLog>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let log = Arc::clone(log);
    spawn(move || {
        for stream in listener.incoming().flatten() {
            let log = Arc::clone(&log);
            spawn(move || {
                let _ = serve(scope, &stream, &log);
            });
        }
    });
    address
}

fn serve(scope: &str, stream: &TcpStream, log: &ProviderLog) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.trim().parse::<usize>().ok())?
        });
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body)?;
        *log.heads.lock().unwrap() += &head;
        let (status, kind, answer) = answer(scope, &body, log);
        let length = answer.len();
        write!(
            &mut &*stream,
            "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{answer}"
        )?;
    }
}

fn answer(scope: &str, body: &[u8], log: &ProviderLog) -> (u16, &'static str, String) {
    let count = log.count.fetch_add(1, Ordering::Relaxed);
    let json = "application/json";
    if count % 7 == 3 {
        log.failed.fetch_add(1, Ordering::Relaxed);
        return (503, json, "{}".into());
    }
    let body: Value = serde_json::from_slice(body).unwrap();
    let text = body.to_string();
    let signed = text.matches("\"signature\":\"").count();
    let own = text.matches(&format!("\"signature\":\"{scope}/")).count();
    if signed != own {
        log.refused.fetch_add(1, Ordering::Relaxed);
        let error = json!({"type": "error", "error": {"type": "invalid_request_error", "message": "Invalid `signature` in `thinking` block"}});
        return (400, json, error.to_string());
    }
    // As those of providers do, it begins like others and differs at its end.
    let unique = u64::from(count + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let signature = format!("{scope}/{}{unique:016x}", "Ab9".repeat(40));
    let thinking = json!({"type": "thinking", "thinking": "hm", "signature": signature});
    let usage = json!({"input_tokens": 5, "output_tokens": 5});
    if body["stream"] != true {
        let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "usage": usage,
                             "stop_reason": "end_turn", "content": [thinking, {"type": "text", "text": "Yes."}]});
        return (200, json, message.to_string());
    }
    let events = [
        json!({"type": "message_start", "message": {"id": "msg_1", "content": [], "usage": usage}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": signature}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}),
        json!({"type": "message_stop"}),
    ];
    let lines = events.map(|event| {
        format!(
            "event: {}\ndata: {event}\n\n",
            event["type"].as_str().unwrap()
        )
    });
    (200, "text/event-stream", lines.concat())
}

/// So many turns of each conversation, which all begin with another question.
fn talk(address: SocketAddr, conversations: &mut [Vec<Value>], turns: usize) {
    for turn in 0..turns {
        for (number, messages) in conversations.iter_mut().enumerate() {
            messages
                .push(json!({"role": "user", "content": format!("Question {turn} of {number}?")}));
            let streams = (turn + number) % 2 == 0;
            let body =
                json!({"model": "auto", "max_tokens": 50, "stream": streams, "messages": messages});
            let body = body.to_string().into_bytes();
            let response = Request::post("/v1/messages", &body).send(address).unwrap();
            let text = response.text();
            assert_eq!(response.status, 200, "turn {turn} of {number}: {text}");
            let (_, last) = text.rsplit_once("\"signature\":\"").unwrap();
            let (signature, _) = last.split_once('"').unwrap();
            messages.push(json!({"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": signature}, {"type": "text", "text": "Yes."}]}));
        }
    }
}

fn stays_with_its_maker(case: &Case) {
    for way in ways(case) {
        let log = Arc::<ProviderLog>::default();
        let backend = |name: &str, scope: &'static str, price: f64| {
            json!({"name": name, "model": "opus", "apis": ["anthropic_messages"], "state_scope": scope,
                   "endpoint": format!("http://{}", provider(scope, &log)), "price": {"input": price, "output": price}})
        };
        let policy = json!({
            "exploration_rate": 0.4, "latency_source": "declared",
            "models": [model("opus", 0.9)],
            "backends": [backend("a1", "alpha", 1.0), backend("b1", "beta", 1.1), backend("a2", "alpha", 1.2), backend("b2", "beta", 1.3)],
        });
        let config = render(case, &policy, way);
        let mut conversations = vec![Vec::new(); 30];
        let envoy = case.start(&config);
        talk(envoy.address(), &mut conversations, 5);
        let of = |scope: &str| {
            let signed = format!("\"signature\":\"{scope}/");
            conversations
                .iter()
                .filter(|item| item[1].to_string().contains(&signed))
                .count()
        };
        assert!(
            of("alpha") > 2 && of("beta") > 2,
            "{way}: both begin conversations"
        );
        let load = |count: &AtomicU32| count.load(Ordering::Relaxed);
        assert!(load(&log.failed) > 10, "{way}");
        assert_eq!(
            load(&log.refused),
            0,
            "{way}: workers tell each other who made what"
        );
        // Another proxy knows nothing of them: it guesses, and asks the others where it was wrong.
        drop(envoy);
        let other = case.start(&config);
        talk(other.address(), &mut conversations, 2);
        assert!(load(&log.refused) > 0, "{way}: no guess was wrong");
        let heads = log.heads.lock().unwrap();
        assert!(!heads.contains("x-envoy-retriable"), "{way}: {heads:.2000}");
    }
}
