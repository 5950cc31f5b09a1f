//! Budgets over two workers: what one of them has spent, the other one knows a moment later.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pointsman_harness::http1::{Request, Response};
use pointsman_harness::metrics;
use serde_json::{Value, json};

use crate::Test;
use crate::world::{CHAT, Case, ask};

pub const TESTS: &[Test] = &[
    ("budgets::known_to_every_worker", known_to_every_worker),
    ("budgets::bound_holds_under_load", bound_holds_under_load),
    (
        "budgets::who_leaves_gives_back_what_was_held",
        who_leaves_gives_back_what_was_held,
    ),
    (
        "budgets::a_call_of_an_sdk_has_a_cost",
        a_call_of_an_sdk_has_a_cost,
    ),
];

/// Clients of the load, and how long each waits between two requests.
const CLIENTS: usize = 6;
const PAUSE: Duration = Duration::from_millis(20);
/// How many requests the budget is worth: several times what goes through in the two ticks in which workers do not know of
/// each other, so that two budgets instead of one would be far beyond the bound.
const WORTH: usize = 1500;

/// One request spends a tenant's budget, on whichever worker; then every connection must find it spent. How long that takes
/// is the machine's affair, so another tenant tries again where it was too slow.
fn known_to_every_worker(case: &Case) {
    let config = case
        .config()
        .set_policy("tenant", json!({"header": "x-tenant"}))
        .set_policy(
            "budgets",
            json!([{"name": "tiny", "usd": 0.000_000_000_1, "per": "month"}]),
        );
    let replaced = case.replaceable(&config);
    let body = ask("llama-3.1-8b", "hi");
    let status = |tenant: &str| {
        let request = Request::post(CHAT, &body).header("x-tenant", tenant.as_bytes());
        let done = case.send_to(replaced.envoy.address(), request);
        if done.status() == 429 {
            let error = &done.response.json()["error"];
            assert_eq!(error["code"], "insufficient_quota");
            assert_eq!(done.reported("rule"), Some("budget:tiny"));
            assert!(done.received.is_empty());
        }
        done.status()
    };
    let mut statuses = Vec::new();
    for attempt in 1..=8 {
        let tenant = format!("tenant-{attempt}");
        assert_eq!(status(&tenant), 200, "nothing is spent yet");
        std::thread::sleep(Duration::from_millis(2500 * attempt));
        // Connections are spread over both workers: one that did not know would let its first request through.
        statuses = (0..16).map(|_| status(&tenant)).collect();
        if statuses.iter().all(|status| *status == 429) {
            return;
        }
    }
    panic!("some worker never heard what was spent: {statuses:?}");
}

/// A load over both workers spends a budget. What goes over it stays within what is promised: what one worker spends in two
/// ticks, and the requests that were under way. And the metric has every cent of it.
fn bound_holds_under_load(case: &Case) {
    let body = ask("llama-3.1-8b", "hi");
    let config = case.config();
    let price = price_of(&config.plugin_configuration()["policy"], "llama-3.1-8b");
    let cost = cost_of(&send(case.address(), &body), price);
    let limited = config
        .set_policy("tenant", json!({"header": "x-tenant"}))
        .set_policy(
            "budgets",
            json!([{"name": "load", "usd": cost * WORTH as f64, "per": "month", "tenant": ["acme"]}]),
        );
    let envoy = case.start(&limited.with_clusters(case.backends().clusters()));
    let address = envoy.address();

    let answered: Mutex<Vec<(Instant, f64)>> = Mutex::new(Vec::new());
    let spent = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while !spent.load(Ordering::SeqCst) {
                    let response = send(address, &body);
                    match response.status {
                        200 => answered
                            .lock()
                            .unwrap()
                            .push((Instant::now(), cost_of(&response, price))),
                        // The other worker may not know yet: it has to say so too.
                        429 => std::thread::sleep(PAUSE * 5),
                        status => panic!("{status}: {}", response.text()),
                    }
                    std::thread::sleep(PAUSE);
                }
            });
        }
        // Over when nobody was answered for longer than workers take to tell each other.
        let mut before = 0;
        loop {
            std::thread::sleep(Duration::from_secs(4));
            let now = answered.lock().unwrap().len();
            if now == before && now > 0 {
                break spent.store(true, Ordering::SeqCst);
            }
            before = now;
        }
    });

    let answered = answered.into_inner().unwrap();
    let most = most_within(&answered, Duration::from_millis(2500));
    let over = answered.len().saturating_sub(WORTH);
    eprintln!(
        "Envoy {}: {} answered of a budget for {WORTH}; bound {} over it",
        case.version,
        answered.len(),
        most + CLIENTS
    );
    assert!(answered.len() + CLIENTS >= WORTH, "{}", answered.len());
    assert!(over <= most + CLIENTS, "{over} over, {most} in two ticks");
    let labels = [("budget", "load"), ("tenant", "acme")];
    let name = "pointsman_budget_spent_nano_usd";
    let reported = metrics::sum(&envoy.metrics(), name, &labels);
    let sum: f64 = answered.iter().map(|(_, cost)| cost * 1e9).sum();
    // Each request is rounded to a billionth of a USD.
    assert!(
        (reported - sum).abs() <= answered.len() as f64,
        "{reported} reported, {sum} spent"
    );
}

/// A request that asks for all that can be asked for holds a part of the budget while it is under way, and nothing once its
/// client has left: others are served, then and afterwards, by both workers.
fn who_leaves_gives_back_what_was_held(case: &Case) {
    let config = case.config().set_policy(
        "budgets",
        json!([{"name": "month", "usd": 0.05, "per": "month"}]),
    );
    let envoy = case.start(&config.with_clusters(case.backends().clusters()));
    let id = case.id();
    let lpu = case.backends().get("lpu").unwrap();
    lpu.fault(&json!({"kind": "hang", "test": id})).unwrap();
    let mut giant: Value = serde_json::from_slice(&ask("llama-3.1-8b", "hi")).unwrap();
    giant["n"] = json!(4_000_000_000_u32);
    giant["max_tokens"] = json!(16_000);
    let body = giant.to_string();
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: a\r\nx-test-id: {id}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let clients: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut client = TcpStream::connect(envoy.address()).unwrap();
            client.write_all(head.as_bytes()).unwrap();
            client.write_all(body.as_bytes()).unwrap();
            client
        })
        .collect();
    std::thread::sleep(Duration::from_millis(300));
    let served =
        || (0..16).all(|_| send(envoy.address(), &ask("llama-3.1-8b", "hi")).status == 200);
    assert!(served(), "locked while others are under way");
    drop(clients);
    // Longer than workers take to tell each other, and than they believe one that is gone.
    std::thread::sleep(Duration::from_millis(2500));
    let late = send(envoy.address(), &ask("llama-3.1-8b", "hi"));
    assert_eq!(late.status, 200, "{}", late.text());
    assert!(served(), "locked after they have left");
    let spent = metrics::sum(&envoy.metrics(), "pointsman_budget_spent_nano_usd", &[]);
    // At most the tokens that the stated speed could have written until the clients left.
    assert!(spent < 0.05 * 1e9 / 2.0, "{spent} of a budget of 50000000");
}

/// SDKs ask for compressed answers; what those took could not be read.
fn a_call_of_an_sdk_has_a_cost(case: &Case) {
    let before = |name: &str| {
        let name = format!("pointsman_{name}");
        metrics::sum(&case.envoy().metrics(), &name, &[("backend", "lpu")])
    };
    let cost = before("cost_nano_usd");
    let body = ask("llama-3.1-8b", "hi");
    let request =
        || Request::post(CHAT, &body).header("accept-encoding", b"gzip, deflate, br, zstd");
    let done = case.send(request());
    assert_eq!(done.status(), 200);
    assert_eq!(done.only().1.header("accept-encoding"), None);
    let counted = case.envoy().wait_for(|_| before("cost_nano_usd") > cost);
    assert!(counted, "{}", case.envoy().log());
    // An undecided request passes unchanged.
    let done =
        case.send(Request::post("/v1/audio/speech", &body).header("accept-encoding", b"gzip"));
    assert_eq!(done.only().1.header("accept-encoding"), Some("gzip"));
}

fn send(address: std::net::SocketAddr, body: &[u8]) -> Response {
    let request = Request::post(CHAT, body).header("x-tenant", b"acme");
    request.send(address).unwrap()
}

/// USD per token, of the prompt and of the answer, at the first backend of a model.
fn price_of(policy: &Value, model: &str) -> (f64, f64) {
    let backends = policy["backends"].as_array().unwrap();
    let backend = backends
        .iter()
        .find(|backend| backend["model"] == model)
        .unwrap();
    let price = |name: &str| backend["price"][name].as_f64().unwrap() / 1e6;
    (price("input"), price("output"))
}

/// The cost of an answer, by the usage that it states.
fn cost_of(response: &Response, price: (f64, f64)) -> f64 {
    let answer = response.json();
    let tokens = |name: &str| answer["usage"][name].as_f64().unwrap();
    tokens("prompt_tokens") * price.0 + tokens("completion_tokens") * price.1
}

/// The most answers that came within so long.
fn most_within(answered: &[(Instant, f64)], window: Duration) -> usize {
    let mut times: Vec<Instant> = answered.iter().map(|(time, _)| *time).collect();
    times.sort_unstable();
    let ends = times.iter().enumerate();
    ends.map(|(index, start)| {
        let later = times.iter().skip(index);
        later.take_while(|time| **time - *start <= window).count()
    })
    .max()
    .unwrap_or_default()
}
