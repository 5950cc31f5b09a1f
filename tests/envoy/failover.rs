//! Backends that fail cost nobody an error, as `pointsman render` writes the configuration: by aggregate clusters on every
//! Envoy, and by a cluster picked for each attempt where Envoy can.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pointsman_harness::backends::Backends;
use pointsman_harness::config::Config;
use pointsman_harness::envoy::Envoy;
use pointsman_harness::http1::{Request, Response};
use pointsman_harness::metrics;
use serde_json::{Value, json};

use crate::Test;
use crate::world::{CHAT, Case, ask};

pub const TESTS: &[Test] = &[
    ("failover::killed_one_by_one", killed_one_by_one),
    ("failover::slow_backend", slow_backend_loses_its_traffic),
    (
        "failover::every_fault_ends_on_a_healthy_backend",
        every_fault,
    ),
    ("failover::long_bodies", long_bodies),
    ("failover::without_values_for_logs", without_values_for_logs),
    ("failover::sensitive_prompts_stay", sensitive_prompts_stay),
];

/// How long an attempt may be silent here, in seconds.
const SILENCE: &str = "2";
/// That limit as options of `pointsman render`.
pub const SHORT_TIMEOUTS: [&str; 4] = [
    "--first-token-timeout",
    SILENCE,
    "--answer-timeout",
    SILENCE,
];

/// Ways of failing over that this Envoy has.
pub fn ways(case: &Case) -> &'static [&'static str] {
    match case.version {
        "1.36.2" => &["aggregate"],
        _ => &["aggregate", "per-attempt"],
    }
}

/// The configuration that `pointsman render` writes for a policy.
pub fn render(case: &Case, policy: &Value, way: &str) -> Config {
    Config::parse(&render_text(case, policy, way, &SHORT_TIMEOUTS)).unwrap()
}

/// The configuration that `pointsman render` writes for a policy with these options, as text.
pub fn render_text(case: &Case, policy: &Value, way: &str, options: &[&str]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policy.json");
    std::fs::write(&file, policy.to_string()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .args(["render", "envoy"])
        .arg(&file)
        .args(["--envoy-version", case.version, "--failover", way])
        .args(["--listen", "127.0.0.1:0", "--admin-port", "0"])
        .arg("--module")
        .arg(case.module())
        .args(options)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

pub fn model(name: &str, mmlu: f64) -> Value {
    json!({"name": name, "context_window": 32768, "benchmarks": {"mmlu": mmlu}})
}

/// A backend of which each is a process of its own, so that it can be killed.
pub struct Host {
    name: &'static str,
    pub process: Option<Backends>,
    pub address: SocketAddr,
    pub policy: Value,
}

impl Host {
    pub fn start(name: &'static str, model_name: &str, price: f64) -> Host {
        let backend = json!({
            "name": name, "model": model_name, "served_model": format!("{model_name}@{name}"),
            "price": {"input": price, "output": price},
            "apis": ["openai_chat", "anthropic_messages"],
            "simulate": {"slots": 1000},
        });
        Host::of(name, backend, 0.0)
    }

    pub fn of(name: &'static str, mut backend: Value, time_scale: f64) -> Host {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("fleet.json");
        std::fs::write(&file, json!({"backends": [backend]}).to_string()).unwrap();
        let process = Backends::start_at(&file, time_scale).unwrap();
        let address = process.all()[0].address;
        backend["endpoint"] = json!(format!("http://{address}"));
        backend.as_object_mut().unwrap().remove("simulate");
        Host {
            name,
            process: Some(process),
            address,
            policy: backend,
        }
    }

    fn kill(&mut self) {
        self.process = None;
    }
}

pub fn send(address: SocketAddr, test: &str, body: &[u8]) -> Response {
    Request::post(CHAT, body)
        .header("x-test-id", test.as_bytes())
        .send(address)
        .unwrap()
}

/// Sends so many requests at the same time; `meanwhile` runs while they are under way.
fn send_all(
    address: SocketAddr,
    count: usize,
    test: &str,
    meanwhile: impl FnOnce(),
) -> Vec<Response> {
    std::thread::scope(|scope| {
        let sent: Vec<_> = (0..count)
            .map(|_| scope.spawn(|| send(address, test, &ask("auto:cheap", "hi"))))
            .collect();
        meanwhile();
        sent.into_iter().map(|item| item.join().unwrap()).collect()
    })
}

fn tally(responses: &[Response]) -> Vec<(String, usize)> {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for response in responses {
        let header = |name| response.header(name).unwrap_or("-").to_owned();
        let key = [
            response.status.to_string(),
            header("x-pointsman-model"),
            header("x-pointsman-backend"),
        ]
        .join(" ");
        match counts.iter_mut().find(|(known, _)| *known == key) {
            Some((_, count)) => *count += 1,
            None => counts.push((key, 1)),
        }
    }
    counts
}

fn killed_one_by_one(case: &Case) {
    for way in ways(case) {
        let mut hosts = [
            Host::start("gpu-a", "small", 0.1),
            Host::start("gpu-b", "small", 0.2),
            Host::start("gpu-c", "large", 5.0),
        ];
        let policy = json!({
            "models": [model("small", 0.6), model("large", 0.9)],
            "backends": hosts.iter().map(|host| host.policy.clone()).collect::<Vec<_>>(),
        });
        let envoy = case.start(&render(case, &policy, way));
        kill_under_load(case, &envoy, &mut hosts, way);
    }
}

fn kill_under_load(case: &Case, envoy: &Envoy, hosts: &mut [Host; 3], way: &str) {
    let address = envoy.address();
    let id = case.id();
    // The first backend holds what it is sent until it dies.
    let [first, second, third] = hosts;
    let hang = json!({"kind": "hang", "test": id});
    first.process.as_ref().unwrap().all()[0]
        .fault(&hang)
        .unwrap();
    let responses = send_all(address, 200, &id, || {
        let end = Instant::now() + Duration::from_secs(60);
        let backend = first.process.as_ref().unwrap().all()[0].clone();
        while backend.received(&id).unwrap().len() < 200 && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        first.kill();
    });
    let expected = vec![("200 small gpu-b".to_owned(), 200)];
    assert_eq!(tally(&responses), expected, "{way}: {}", hint(&responses));
    let id = case.id();
    assert_ne!(first.address, second.address);
    second.kill();
    let responses = send_all(address, 200, &id, || ());
    let expected = vec![(format!("200 large {}", third.name), 200)];
    assert_eq!(tally(&responses), expected, "{way}: {}", hint(&responses));
    // By now nobody is sent to the dead any more, but for the few that look whether they are back.
    let direct = (0..60)
        .map(|_| send(address, &case.id(), &ask("auto:cheap", "hi")))
        .filter(|response| response.header("x-pointsman-attempts") == Some("1"))
        .count();
    // A busy machine lets a worker hear of it late.
    assert!(direct >= 45, "{way}: {direct} of 60 needed one attempt");
    third.kill();
    let responses = send_all(address, 20, &case.id(), || ());
    for response in &responses {
        assert_eq!(response.status, 503, "{way}");
        let error = response.json();
        assert_eq!(
            error["error"]["type"],
            "server_error",
            "{}",
            response.text()
        );
    }
    // The request in the other API.
    let response = Request::post("/v1/messages", &ask("auto:cheap", "hi"))
        .send(address)
        .unwrap();
    assert_eq!(response.status, 503, "{way}");
    let error = response.json();
    assert_eq!(error["type"], "error", "{}", response.text());
    assert_eq!(error["error"]["type"], "api_error", "{}", response.text());
}

/// The first answer that is an error.
fn hint(responses: &[Response]) -> String {
    responses
        .iter()
        .find(|response| response.status != 200)
        .map(Response::text)
        .unwrap_or_default()
}

/// The shipped fleet, its endpoints where the shared backends listen.
fn shared_policy(case: &Case) -> Value {
    let mut policy = case.config().plugin_configuration()["policy"].clone();
    for backend in policy["backends"].as_array_mut().unwrap() {
        let name = backend["name"].as_str().unwrap();
        let address = case.backends().get(name).unwrap().address;
        backend["endpoint"] = json!(format!("http://{address}"));
        backend.as_object_mut().unwrap().remove("health");
    }
    policy
}

fn every_fault(case: &Case) {
    let faults = [
        json!({"kind": "status", "status": 429, "retry_after": 30}),
        json!({"kind": "status", "status": 500}),
        json!({"kind": "reset_before_headers"}),
        json!({"kind": "hang"}),
    ];
    for way in ways(case) {
        let envoy = case.start(&render(case, &shared_policy(case), way));
        for stream in [false, true] {
            for fault in &faults {
                // One backend fails, then two of the chain.
                for failing in [1, 2] {
                    one_fault(case, &envoy, fault, stream, failing, way);
                }
            }
        }
        let unknown: u64 = envoy
            .metrics()
            .iter()
            .filter(|sample| sample.name.contains("pointsman_attempts_unresolved"))
            .map(|sample| sample.value as u64)
            .sum();
        assert_eq!(unknown, 0, "{way}: attempts that the filter did not know");
        reset_mid_stream(case, &envoy, way);
    }
}

fn one_fault(case: &Case, envoy: &Envoy, fault: &Value, stream: bool, failing: usize, way: &str) {
    let what = format!("{way}, {fault}, stream {stream}, {failing} failing");
    let body = json!({
        "messages": [{"role": "user", "content": "hi"}], "max_tokens": 8,
        "stream": stream, "model": "auto:cheap",
    })
    .to_string();
    let chain = chain(envoy, body.as_bytes());
    let id = case.id();
    for name in chain.iter().take(failing) {
        let mut fault = fault.clone();
        fault["test"] = json!(id);
        case.backends().get(name).unwrap().fault(&fault).unwrap();
    }
    let response = send(envoy.address(), &id, body.as_bytes());
    assert_eq!(response.status, 200, "{what}: {}", response.text());
    assert!(response.complete, "{what}");
    let answered = response.header("x-pointsman-backend").unwrap();
    let place = chain.iter().position(|name| name == answered).unwrap();
    let received = case.backends().received(&id).unwrap();
    let attempts = received.len().to_string();
    assert_eq!(
        response.header("x-pointsman-attempts"),
        Some(attempts.as_str()),
        "{what}"
    );
    assert!(place >= failing, "{what}: {answered} of {chain:?}");
    // An aggregate passes over clusters whose hosts are ejected for the faults before.
    if way == "per-attempt" {
        assert_eq!((place, received.len()), (failing, failing + 1), "{what}");
    }
    for (name, received) in received {
        let served = &case.backends().get(&name).unwrap().model;
        assert_eq!(received.json()["model"], served.as_str(), "{what}");
        assert_eq!(received.json()["max_tokens"], 8, "{what}");
        let seen: Vec<&str> = received.headers().map(|(name, _)| name).collect();
        let hidden = seen
            .iter()
            .find(|item| item.starts_with("x-pointsman-") || item.starts_with("x-envoy-"));
        assert_eq!(hidden, None, "{what}: {name} sees it");
    }
}

/// A body whose `model` stands behind more than is read as a whole: every attempt names the model of its own backend there.
fn long_bodies(case: &Case) {
    for way in ways(case) {
        let envoy = case.start(&render(case, &shared_policy(case), way));
        let ask = ask("auto:cheap", "hi");
        let chain = chain(&envoy, &ask);
        let id = case.id();
        let fault = json!({"kind": "status", "status": 500, "test": id});
        let first = case.backends().get(&chain[0]).unwrap();
        first.fault(&fault).unwrap();
        let digits: String = (0..400_000).map(|at| format!("{at:08}")).collect();
        let body = format!(
            r#"{{"max_tokens":8,"messages":[{{"role":"user","content":"hi"}}],"padding":"{digits}","model":"auto:cheap"}}"#
        );
        let response = send(envoy.address(), &id, body.as_bytes());
        assert_eq!(response.status, 200, "{way}: {}", response.text());
        let received = case.backends().received(&id).unwrap();
        assert!(received.len() > 1, "{way}");
        for (name, received) in received {
            let served = &case.backends().get(&name).unwrap().model;
            let wanted = body.replace("auto:cheap", served);
            assert!(
                received.body == wanted.as_bytes(),
                "{way}: {name} got another body"
            );
        }
    }
}

/// The backends at which a request would be tried, in order.
fn chain(envoy: &Envoy, body: &[u8]) -> Vec<String> {
    let dry = Request::post("/v1/route", body)
        .send(envoy.address())
        .unwrap();
    let dry = dry.json();
    let mut chain = vec![dry["backend"].as_str().unwrap_or_default().to_owned()];
    for name in dry["fallbacks"].as_array().into_iter().flatten() {
        chain.push(name.as_str().unwrap_or_default().to_owned());
    }
    assert!(chain.len() > 2, "{dry}");
    chain
}

/// Once an answer has begun nothing is tried again: the client sees that it is cut off.
fn reset_mid_stream(case: &Case, envoy: &Envoy, way: &str) {
    let body = br#"{"model":"auto:cheap","stream":true,"messages":[{"role":"user","content":"hi"}],"max_tokens":60}"#;
    let chain = chain(envoy, body);
    let id = case.id();
    let fault = json!({"kind": "reset_mid_stream", "after_tokens": 5, "test": id});
    for name in &chain {
        case.backends().get(name).unwrap().fault(&fault).unwrap();
    }
    let response = send(envoy.address(), &id, body);
    assert_eq!(response.status, 200, "{way}");
    assert!(
        !response.complete,
        "{way}: a broken stream looks like a whole one"
    );
    assert_eq!(case.backends().received(&id).unwrap().len(), 1, "{way}");
    // Envoy tells no filter before it is over, so nothing stands behind what the backend sent.
    let text = response.text();
    assert!(
        text.ends_with("}\n\n") && !text.contains("error"),
        "{way}: {text}"
    );
    // If the backend ends the stream in order but too early, an error says so.
    let id = case.id();
    let fault = json!({"kind": "end_mid_stream", "after_tokens": 5, "test": id});
    for name in &chain {
        case.backends().get(name).unwrap().fault(&fault).unwrap();
    }
    let response = send(envoy.address(), &id, body);
    let text = response.text();
    assert!(response.complete, "{way}");
    assert!(
        text.contains("\"code\":\"stream_truncated\""),
        "{way}: {text}"
    );
    let active = |envoy: &Envoy| envoy.stat("http.llm.downstream_rq_active") == 0;
    assert!(envoy.wait_for(active), "{way}: a request is left over");
    let counted = |envoy: &Envoy| {
        let broken_off = "pointsman_responses_truncated";
        metrics::sum(&envoy.metrics(), broken_off, &[]) == 2.0
    };
    assert!(
        envoy.wait_for(counted),
        "{way}: nobody counted it: {:?}",
        envoy.access_log().last()
    );
}

/// Failover needs no access log: the chain is set whatever else is not.
fn without_values_for_logs(case: &Case) {
    for way in ways(case) {
        let options = [&SHORT_TIMEOUTS[..], &["--access-log", "none"]].concat();
        let text = render_text(case, &shared_policy(case), way, &options);
        assert!(text.contains("\"filter_state\": \"none\""), "{way}");
        let envoy = case.start(&Config::parse(&text).unwrap());
        let body = ask("auto:cheap", "hi");
        let id = case.id();
        let first = send(envoy.address(), &id, &body);
        assert_eq!(first.status, 200, "{way}: {}", first.text());
        let name = first.header("x-pointsman-backend").unwrap();
        let fault = json!({"kind": "status", "status": 500, "test": id});
        case.backends().get(name).unwrap().fault(&fault).unwrap();
        let second = send(envoy.address(), &id, &body);
        assert_eq!(second.status, 200, "{way}: {}", second.text());
        assert_eq!(second.header("x-pointsman-reason"), Some("fallback"));
        assert_eq!(second.header("x-pointsman-attempts"), Some("2"));
        assert_ne!(second.header("x-pointsman-backend"), Some(name));
        let arrived = case.backends().received(&id).unwrap();
        let (backend, received) = arrived.last().unwrap();
        let served = case.backends().get(backend).unwrap().model.clone();
        let sent: Value = serde_json::from_slice(&received.body).unwrap();
        assert_eq!(sent["model"], json!(served), "{way}");
        assert!(envoy.access_log().is_empty());
    }
}

/// Prompts that may not leave the house do not leave it to fail over either, even if nothing is left of the house.
fn sensitive_prompts_stay(case: &Case) {
    let mut policy = shared_policy(case);
    let inside = ["gpu", "cpu"];
    for backend in policy["backends"].as_array_mut().unwrap() {
        let tags = match inside.contains(&backend["name"].as_str().unwrap()) {
            true => json!(["on-prem"]),
            false => json!([]),
        };
        backend["tags"] = tags;
    }
    policy["rules"] =
        json!([{"name": "pii", "when": {"sensitive": ["email"]}, "then": {"tags": ["on-prem"]}}]);
    for way in ways(case) {
        let envoy = case.start(&render(case, &policy, way));
        let body = ask(
            "auto:cheap",
            "Write to jane.doe@example.com that I am late.",
        );
        for failing in [1, 2] {
            let id = case.id();
            let fault = json!({"kind": "status", "status": 500, "test": id});
            let dry = Request::post("/v1/route", &body)
                .send(envoy.address())
                .unwrap();
            let first = dry.json()["backend"].as_str().unwrap().to_owned();
            for name in inside.iter().filter(|name| failing == 2 || **name == first) {
                case.backends().get(name).unwrap().fault(&fault).unwrap();
            }
            let response = send(envoy.address(), &id, &body);
            let expected = if failing == 1 { 200 } else { 500 };
            assert_eq!(response.status, expected, "{way}: {}", response.text());
            let received = case.backends().received(&id).unwrap();
            let mut tried: Vec<&str> = received.iter().map(|(name, _)| name.as_str()).collect();
            tried.sort_unstable();
            tried.dedup();
            assert_eq!(tried, ["cpu", "gpu"], "{way}, {failing} failing");
        }
    }
}

/// Two backends of one model; the one that is better by what is stated gets three times as slow, and well again.
///
/// The filter compares times of Envoy's clock with what is stated, so a machine that is busy makes every backend look slower. What
/// is stated is therefore long: a delay counts from half of it on. For the same reason each change may take many requests; that
/// traffic does not swing meanwhile is tested on simulated time, with the statistics of backends.
fn slow_backend_loses_its_traffic(case: &Case) {
    let backend = |name: &'static str, first_token: u32| {
        let latency = json!({"first_token_ms": {"p50": first_token, "p99": first_token + 10}, "tokens_per_second": 1000});
        let backend = json!({
            "name": name, "model": "small", "served_model": name, "latency": latency,
            "price": {"input": 0.1, "output": 0.1}, "simulate": {"slots": 1000},
        });
        Host::of(name, backend, 1.0)
    };
    let hosts = [backend("quick", 1000), backend("other", 1400)];
    let policy = json!({
        "models": [model("small", 0.6)],
        "backends": hosts.iter().map(|host| host.policy.clone()).collect::<Vec<_>>(),
    });
    let way = ways(case).last().unwrap();
    // Slow is not silent: no attempt is given up.
    let patient = ["--first-token-timeout", "60", "--answer-timeout", "60"];
    let text = render_text(case, &policy, way, &patient);
    let envoy = case.start(&Config::parse(&text).unwrap());
    let quick = hosts[0].process.as_ref().unwrap().all()[0].clone();
    let address = envoy.address();
    settle(address, "as stated", |share| share > 0.9);
    quick
        .fault(&json!({"kind": "slow", "factor": 3.0}))
        .unwrap();
    settle(address, "slow", |share| share < 0.05);
    quick.recover().unwrap();
    settle(address, "well again", |share| share > 0.9);
}

/// Sends blocks of requests until one goes to `quick` in such a share.
fn settle(address: SocketAddr, what: &str, wanted: impl Fn(f64) -> bool) {
    const BLOCK: usize = 120;
    const MOST_BLOCKS: usize = 20;
    let mut shares = Vec::new();
    while !shares.last().copied().is_some_and(&wanted) {
        assert!(shares.len() < MOST_BLOCKS, "{what}: {shares:?}");
        shares.push(share(address, BLOCK));
    }
}

/// The share of so many requests that goes to `quick`. Many are under way at a time, as each takes long.
fn share(address: SocketAddr, count: usize) -> f64 {
    const LANES: usize = 40;
    let quick = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                for _ in 0..count / LANES {
                    let response = send(address, "-", &ask("auto", "hi"));
                    assert_eq!(response.status, 200, "{}", response.text());
                    if response.header("x-pointsman-backend") == Some("quick") {
                        quick.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    quick.into_inner() as f64 / count as f64
}
