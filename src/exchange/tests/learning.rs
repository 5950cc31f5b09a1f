//! Statistics learned from answers, end to end through the state machine, on simulated time.

use super::*;
use crate::fleet::clusters::backend_key;
use crate::state::backend_stats::{Delivery, Observed};

const MS: u64 = 1_000_000;

/// Two backends that state 50 ms and 1,000 tokens a second, and a limit that never gives way.
const FAST: &str = r#"{"version": "7",
  "models": [{"name": "m", "context_window": 32768}],
  "backends": [
    {"name": "a", "model": "m", "price": {"input": 1, "output": 1}, "apis": ["openai_chat", "anthropic_messages"],
     "latency": {"first_token_ms": {"p50": 50}, "tokens_per_second": 1000}},
    {"name": "b", "model": "m", "price": {"input": 1, "output": 2}, "apis": ["openai_chat", "anthropic_messages"],
     "latency": {"first_token_ms": {"p50": 50}, "tokens_per_second": 1000}}],
  "profiles": {"live": {"weights": {"cost": 1}, "limits": {"max_first_token_p99_ms": 1000}, "relax": []}}}"#;

fn host() -> Host {
    let mut host = Host::new(FAST);
    host.stats = Some(BackendStats::new());
    host.clock_ns = 1_700_000_000_000 * MS;
    host
}

/// The cluster of a request for `live`; `None` if it is refused.
fn asks(host: &mut Host, stream: bool) -> Option<String> {
    host.stream = Stream::new();
    host.effects.clear();
    host.body.clear();
    host.headers.clear();
    host.begin("POST", "/v1/chat/completions");
    host.send_headers(false);
    let body = format!(
        r#"{{"model":"live","stream":{stream},"messages":[{{"role":"user","content":"Tell me a story."}}]}}"#
    );
    host.send_chunk(body.as_bytes(), true);
    host.reply()
        .is_none()
        .then(|| host.header("x-to").unwrap().to_owned())
}

fn headers(host: &mut Host, kind: &str) {
    host.response_headers = vec![
        (":status", "200".to_owned()),
        ("content-type", kind.to_owned()),
        (header::ENVOY_ATTEMPTS, "1".to_owned()),
    ];
    host.tell(Event::ResponseHeaders);
}

fn comes(host: &mut Host, after_ms: u64, chunk: &str, end_of_stream: bool) {
    host.clock_ns += after_ms * MS;
    host.chunk = chunk.as_bytes().to_vec();
    host.tell(Event::ResponseBody {
        size: chunk.len(),
        end_of_stream,
    });
}

/// An answer of so many tokens, exactly as fast as is stated or so many times slower.
fn answer(host: &mut Host, stream: bool, tokens: u64, usage: bool, slower: u64) {
    let part = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\" a\"}}]}\n\n";
    let counted = format!("{{\"prompt_tokens\":9,\"completion_tokens\":{tokens}}}");
    if stream {
        headers(host, "text/event-stream");
        let role = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
        comes(host, 1, role, false);
        comes(host, 49 * slower, part, false);
        for _ in 1..tokens / 10 {
            comes(host, 10 * slower, &part.repeat(10), false);
        }
        if usage {
            let last = format!("data: {{\"choices\":[],\"usage\":{counted}}}\n\n");
            comes(host, 0, &last, false);
        }
        comes(host, 0, "data: [DONE]\n\n", true);
    } else {
        headers(host, "application/json");
        let body = format!(
            r#"{{"choices":[{{"index":0,"message":{{"content":"a"}},"finish_reason":"stop"}}],"usage":{counted}}}"#
        );
        comes(host, (50 + tokens) * slower, &body, true);
    }
    host.done();
}

fn observe(host: &Host, backend: &str, stream: bool) -> Observed {
    let stats = host.stats.as_ref().unwrap();
    stats.observe(
        backend_key(backend),
        Delivery::from_stream(stream),
        host.clock_ns,
    )
}

#[test]
fn backends_that_do_as_they_state_are_never_refused_however_long_their_answers() {
    for stream in [true, false] {
        for usage in [true, false] {
            for tokens in [20, 800, 6_000] {
                let mut host = host();
                for _ in 0..40 {
                    assert_eq!(asks(&mut host, stream).as_deref(), Some("a"), "{tokens}");
                    answer(&mut host, stream, tokens, usage, 1);
                    assert_eq!(observe(&host, "a", stream).latency_ratio(), 1.0, "{tokens}");
                }
            }
        }
    }
}

#[test]
fn the_length_of_answers_is_learned_from_their_usage_alone() {
    for (usage, learns) in [(true, true), (false, false)] {
        let mut host = host();
        for _ in 0..50 {
            assert_eq!(asks(&mut host, false).as_deref(), Some("a"));
            if usage {
                answer(&mut host, false, 4_000, true, 1);
            } else {
                headers(&mut host, "application/json");
                let body =
                    r#"{"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"}]}"#;
                comes(&mut host, 50, body, true);
                host.done();
            }
        }
        let ratios = observe(&host, "a", false).length_ratios;
        assert_eq!(
            ratios.iter().any(|ratio| *ratio > 2.0),
            learns,
            "{ratios:?}"
        );
    }
}

#[test]
fn a_slow_backend_loses_its_traffic() {
    for stream in [true, false] {
        let mut host = host();
        for _ in 0..20 {
            if asks(&mut host, stream).as_deref() == Some("a") {
                answer(&mut host, stream, 400, true, 5);
            } else {
                answer(&mut host, stream, 400, true, 1);
            }
        }
        let slow = observe(&host, "a", stream);
        assert!(
            (4.0..7.0).contains(&slow.token_time.median),
            "{stream} {slow:?} {:?}",
            host.counts()
        );
        let first = slow.first_token.median;
        assert!(if stream { first > 3.0 } else { first == 1.0 }, "{slow:?}");
    }
}

#[test]
fn errors_and_nothing_with_a_good_status_are_failures_of_that_kind_of_request() {
    let plain = |body: &'static str| (false, "application/json", body);
    let stream = |body: &'static str| (true, "text/event-stream", body);
    for (streams, kind, body) in [
        plain(r#"{"error":{"message":"CUDA out of memory","type":"server_error"}}"#),
        plain(
            r#"{"choices":[{"message":{"content":""},"finish_reason":"stop"}],"usage":{"prompt_tokens":4,"completion_tokens":0}}"#,
        ),
        plain("{}"),
        (
            false,
            "text/html; charset=utf-8",
            "<html>Bad gateway</html>",
        ),
        stream("data: {\"error\":{\"message\":\"overloaded\"}}\n\n"),
        stream("data: [DONE]\n\n"),
        stream(""),
    ] {
        let mut host = host();
        for _ in 0..3 {
            assert_eq!(asks(&mut host, streams).as_deref(), Some("a"), "{body}");
            headers(&mut host, kind);
            comes(&mut host, 60, body, true);
            host.done();
            let failed = host
                .counts()
                .contains(&"pointsman.attempt_failures.backend.a");
            assert!(failed, "{body}: {:?}", host.counts());
        }
        assert_eq!(asks(&mut host, streams).as_deref(), Some("b"), "{body}");
        // The other kind is asked nothing else yet, and stays with its backend as long as that works.
        let stats = host.stats.as_mut().unwrap();
        stats.on_attempt(
            backend_key("a"),
            Delivery::from_stream(!streams),
            false,
            host.clock_ns,
        );
        assert_eq!(asks(&mut host, !streams).as_deref(), Some("a"), "{body}");
    }
}

/// An error of a client takes no backend away from others.
#[test]
fn an_error_that_blames_the_request_takes_no_backend_down() {
    let mut host = host();
    for _ in 0..20 {
        assert_eq!(asks(&mut host, true).as_deref(), Some("a"));
        headers(&mut host, "text/event-stream");
        let refused = "data: {\"error\":{\"message\":\"x\",\"type\":\"invalid_request_error\",\"code\":400}}\n\n";
        comes(&mut host, 60, refused, true);
        host.done();
    }
    assert!(!observe(&host, "a", true).down);
}

#[test]
fn a_backend_that_never_answers_is_down_before_its_requests_end() {
    for stream in [true, false] {
        let mut host = host();
        // The backend has answered before, so that its time is known.
        for _ in 0..20 {
            asks(&mut host, stream);
            answer(&mut host, stream, 100, true, 1);
        }
        let mut hung = Vec::new();
        for second in 0..60 {
            host.clock_ns += 1_000 * MS;
            if asks(&mut host, stream).as_deref() == Some("b") {
                assert!(second < 20, "{stream} {second}");
                hung.clear();
                break;
            }
            hung.push(std::mem::take(&mut host.stream));
        }
        assert!(hung.is_empty(), "never down");
    }
}

#[test]
fn a_request_without_text_is_no_fault_of_the_classifier() {
    let count = |content: &str| {
        let body = format!(
            r#"{{"model":"auto","messages":[{{"role":"user","content":{content}}}],"max_tokens":9}}"#
        );
        let host = Host::chat(FAST, &body);
        host.counts().contains(&"pointsman.classifier_errors")
    };
    // The router of these tests has no classifier.
    assert!(count("\"hello\""));
    assert!(!count("\"\"") && !count("\"  \"") && !count("[]"));
}
