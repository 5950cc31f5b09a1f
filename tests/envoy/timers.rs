//! How long who is waited for, and how often who is asked: as `pointsman render` writes it and the filter states it for each
//! request. All limits are stated in the policy, far below what one would state elsewhere.

use std::time::{Duration, Instant};

use pointsman_harness::config::Config;
use pointsman_harness::envoy::Envoy;
use pointsman_harness::http1::{Request, Response};
use serde_json::{Value, json};

use crate::Test;
use crate::failover::{Host, model, render_text, ways};
use crate::world::{CHAT, Case};

pub const TESTS: &[Test] = &[
    ("timers::a_pause_is_no_end", a_pause_is_no_end),
    ("timers::silence_moves_on", silence_moves_on),
    ("timers::who_is_alone_has_all_of_the_time", alone_has_all),
    ("timers::nobody_is_asked_twice", nobody_is_asked_twice),
    ("timers::the_clients_time_counts", the_clients_time_counts),
    ("timers::a_total_ends_an_answer", a_total_ends_an_answer),
];

/// The first backend of every chain here, and the second.
const FIRST: &str = "gpu-a";
const SECOND: &str = "gpu-b";

/// Two backends of one model with these limits; the first is the cheaper one.
fn hosts(limits: &Value) -> [Host; 2] {
    [(FIRST, 0.1), (SECOND, 0.2)].map(|(name, price)| {
        let backend = json!({
            "name": name, "model": "small", "price": {"input": price, "output": price},
            "latency": {"first_token_ms": {"p50": 10, "p99": 20}, "tokens_per_second": 10_000},
            "timeouts": limits, "simulate": {"slots": 1000},
        });
        Host::of(name, backend, 0.0)
    })
}

/// An Envoy in front of these backends.
fn start(case: &Case, hosts: &[Host], way: &str) -> Envoy {
    let policy = json!({
        "models": [model("small", 0.6)],
        // One test's faults must not move another's decisions.
        "latency_source": "declared",
        "backends": hosts.iter().map(|host| host.policy.clone()).collect::<Vec<_>>(),
    });
    case.start(&render(case, &policy, way, &[]))
}

/// The configuration that `pointsman render` writes, no limit stated on the command line.
pub fn render(case: &Case, policy: &Value, way: &str, options: &[&str]) -> Config {
    Config::parse(&render_text(case, policy, way, options)).unwrap()
}

fn ask(stream: bool) -> Vec<u8> {
    let body = json!({
        "model": "auto:cheap", "stream": stream, "max_tokens": 32,
        "messages": [{"role": "user", "content": "hi"}],
    });
    body.to_string().into_bytes()
}

struct Sent {
    response: Response,
    took: Duration,
    /// How often each backend was asked.
    asked: Vec<usize>,
}

/// Sends one request while these faults hold, one for each backend.
fn send(case: &Case, envoy: &Envoy, hosts: &[Host], faults: &[Value], stream: bool) -> Sent {
    send_with(case, envoy, hosts, faults, stream, &[])
}

fn send_with(
    case: &Case,
    envoy: &Envoy,
    hosts: &[Host],
    faults: &[Value],
    stream: bool,
    headers: &[(&'static str, &'static str)],
) -> Sent {
    let id = case.id();
    for (host, fault) in hosts.iter().zip(faults) {
        if let Some(fault) = fault.as_object() {
            let mut fault = fault.clone();
            fault.insert("test".to_owned(), json!(id));
            backend(host).fault(&Value::Object(fault)).unwrap();
        }
    }
    let body = ask(stream);
    let mut request = Request::post(CHAT, &body).header("x-test-id", id.as_bytes());
    for (name, value) in headers {
        request = request.header(name, value.as_bytes());
    }
    let began = Instant::now();
    let response = request.send(envoy.address()).unwrap();
    Sent {
        response,
        took: began.elapsed(),
        asked: hosts
            .iter()
            .map(|host| backend(host).received(&id).unwrap().len())
            .collect(),
    }
}

fn backend(host: &Host) -> &pointsman_harness::backends::Backend {
    &host.process.as_ref().unwrap().all()[0]
}

impl Sent {
    fn assert_whole(&self, what: &str) {
        assert_eq!(
            self.response.status,
            200,
            "{what}: {}",
            self.response.text()
        );
        assert!(self.response.complete, "{what}: it was cut off");
        let ends = self.response.text().contains("[DONE]");
        assert!(ends, "{what}: {}", self.response.text());
    }
}

/// A model that thinks is silent in the midst of its answer, far longer than one waits for the first token.
fn a_pause_is_no_end(case: &Case) {
    let pause = json!({"kind": "pause_mid_stream", "after_tokens": 2, "ms": 4000});
    for way in ways(case) {
        let hosts = hosts(&json!({"first_token_ms": 500}));
        let envoy = start(case, &hosts, way);
        send(case, &envoy, &hosts, std::slice::from_ref(&pause), true).assert_whole(way);
        // Alone.
        let envoy = start(case, &hosts[..1], way);
        send(
            case,
            &envoy,
            &hosts[..1],
            std::slice::from_ref(&pause),
            true,
        )
        .assert_whole(way);
    }
    // A stated limit holds.
    let way = ways(case).last().unwrap();
    let hosts = hosts(&json!({"first_token_ms": 500, "idle_ms": 1000}));
    let envoy = start(case, &hosts, way);
    let sent = send(case, &envoy, &hosts, &[pause], true);
    assert_eq!(sent.response.status, 200);
    assert!(
        !sent.response.complete,
        "a pause of 4 s where 1 s is allowed"
    );
    assert!(sent.took < Duration::from_millis(3500), "{:?}", sent.took);
}

fn silence_moves_on(case: &Case) {
    let hang = json!({"kind": "hang"});
    for way in ways(case) {
        let hosts = hosts(&json!({"first_token_ms": 700, "response_ms": 700}));
        let envoy = start(case, &hosts, way);
        for stream in [true, false] {
            let sent = send(case, &envoy, &hosts, std::slice::from_ref(&hang), stream);
            let what = format!("{way}, stream {stream}");
            assert_eq!(sent.response.status, 200, "{what}");
            assert_eq!(sent.response.header("x-pointsman-backend"), Some(SECOND));
            assert_eq!(sent.asked, [1, 1], "{what}");
            let range = Duration::from_millis(650)..Duration::from_millis(3000);
            assert!(range.contains(&sent.took), "{what}: {:?}", sent.took);
        }
        // A head is not an answer: many servers send it before they have a token.
        let head = json!({"kind": "hang_after_headers"});
        let sent = send(case, &envoy, &hosts, &[head], true);
        sent.assert_whole(way);
        assert_eq!(sent.response.header("x-pointsman-backend"), Some(SECOND));
        assert_eq!(sent.asked, [1, 1], "{way}, head alone");
    }
}

/// Nobody could answer in its stead, so it is not given up.
fn alone_has_all(case: &Case) {
    let late = json!({"kind": "delay", "ms": 3000});
    for way in ways(case) {
        let hosts = hosts(&json!({"first_token_ms": 300, "response_ms": 300}));
        let envoy = start(case, &hosts[..1], way);
        for stream in [true, false] {
            let sent = send(
                case,
                &envoy,
                &hosts[..1],
                std::slice::from_ref(&late),
                stream,
            );
            assert_eq!(sent.response.status, 200, "{way}, stream {stream}");
            assert_eq!(sent.asked, [1], "{way}, stream {stream}");
        }
    }
}

fn nobody_is_asked_twice(case: &Case) {
    let status = |status: u16| json!({"kind": "status", "status": status});
    let busy = |seconds: u32| json!({"kind": "status", "status": 429, "retry_after": seconds});
    for way in ways(case) {
        let hosts = hosts(&json!({}));
        let envoy = start(case, &hosts[..1], way);
        for (fault, times) in [
            (status(500), 1),
            (status(503), 1),
            (status(429), 1),
            (busy(30), 1),
            // The backend asks for a moment.
            (busy(1), 2),
        ] {
            let sent = send(
                case,
                &envoy,
                &hosts[..1],
                std::slice::from_ref(&fault),
                false,
            );
            assert_eq!(sent.asked, [times], "{way}: {fault}");
            assert_eq!(u64::from(sent.response.status), fault["status"], "{way}");
        }
        let envoy = start(case, &hosts, way);
        for fault in [status(500), status(429), busy(1), busy(30)] {
            let sent = send(case, &envoy, &hosts, std::slice::from_ref(&fault), false);
            assert_eq!(
                (sent.response.status, &*sent.asked),
                (200, &[1, 1][..]),
                "{way}: {fault}"
            );
            // Elsewhere at once: a request that waits does not move, and one that moves does not wait.
            assert!(
                sent.took < Duration::from_millis(800),
                "{way}: {:?}",
                sent.took
            );
        }
        let both = [status(500), status(500)];
        let sent = send(case, &envoy, &hosts, &both, false);
        assert_eq!(
            (sent.response.status, &*sent.asked),
            (500, &[1, 1][..]),
            "{way}"
        );
    }
}

fn the_clients_time_counts(case: &Case) {
    for way in ways(case) {
        // Half of the client's time for the first, whatever the policy would allow.
        let hosts = hosts(&json!({"first_token_ms": 60_000}));
        let envoy = start(case, &hosts, way);
        let hang = json!({"kind": "hang"});
        let hurry = [("x-stainless-read-timeout", "2")];
        let sent = send_with(case, &envoy, &hosts, &[hang], true, &hurry);
        assert_eq!(sent.response.status, 200, "{way}: {}", sent.response.text());
        assert!(
            sent.took < Duration::from_millis(1900),
            "{way}: {:?}",
            sent.took
        );
        // The second usually takes longer than the client waits.
        let mut slow = self::hosts(&json!({}));
        slow[1].policy["latency"] =
            json!({"first_token_ms": {"p50": 5000}, "tokens_per_second": 10_000});
        let envoy = start(case, &slow, way);
        let fails = json!({"kind": "status", "status": 500});
        let sent = send_with(
            case,
            &envoy,
            &slow,
            std::slice::from_ref(&fails),
            true,
            &hurry,
        );
        assert_eq!(
            (sent.response.status, &*sent.asked),
            (504, &[1, 0][..]),
            "{way}"
        );
        let error = sent.response.json();
        assert_eq!(
            error["error"]["code"],
            "no_time_left",
            "{}",
            sent.response.text()
        );
        // A client that waits gets its answer.
        let sent = send(case, &envoy, &slow, &[fails], true);
        assert_eq!(
            (sent.response.status, &*sent.asked),
            (200, &[1, 1][..]),
            "{way}"
        );
    }
}

fn a_total_ends_an_answer(case: &Case) {
    let pause = json!({"kind": "pause_mid_stream", "after_tokens": 2, "ms": 4000});
    for way in ways(case) {
        let hosts = hosts(&json!({"first_token_ms": 500, "total_ms": 1500}));
        let envoy = start(case, &hosts, way);
        let sent = send(case, &envoy, &hosts, std::slice::from_ref(&pause), true);
        assert!(!sent.response.complete, "{way}");
        assert!(
            sent.took < Duration::from_millis(3500),
            "{way}: {:?}",
            sent.took
        );
        assert_eq!(sent.asked, [1, 0], "{way}");
    }
}
