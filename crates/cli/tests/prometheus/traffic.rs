//! An Envoy with the configuration of `pointsman render`, backends that can fail, a policy source; and traffic of every kind that
//! metrics distinguish.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::spawn;

use pointsman_harness::backends::Backends;
use pointsman_harness::config::Config;
use pointsman_harness::envoy::Envoy;
use pointsman_harness::files;
use pointsman_harness::http1::{Request, Response};
use pointsman_harness::judge::{Behaviour, Judge, Question};
use pointsman_harness::metrics;
use pointsman_harness::policy_source::{Document, PolicySource};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
const SOURCE: &str = "policies";
/// Profiles in which cost weighs more and more.
const PROFILES: [&str; 4] = ["judged-1", "judged-2", "judged-3", "judged-4"];

pub struct World {
    envoy: Envoy,
    backends: Backends,
    /// Grades prompts, and a part of the answers, as they happen to be long.
    _judge: Judge,
    /// Whether the judge fails at some of them.
    judge_fails: Arc<AtomicBool>,
    source: PolicySource,
    policy: Value,
}

impl World {
    pub fn start() -> World {
        let mut policy = policy();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("policy.json");
        std::fs::write(&file, policy.to_string()).unwrap();
        let backends = Backends::start(&file).unwrap();
        for backend in policy["backends"].as_array_mut().unwrap() {
            let address = backends
                .get(backend["name"].as_str().unwrap())
                .unwrap()
                .address;
            backend["endpoint"] = json!(format!("http://{address}"));
        }
        policy["backends"].as_array_mut().unwrap().push(caching());
        let judge_fails = Arc::<AtomicBool>::default();
        let fails = Arc::clone(&judge_fails);
        let asked = AtomicUsize::new(0);
        let grade = move |question: &Question| {
            let material = question.material();
            match material.len() % 2 {
                // Any question may be one that fails, but five in a row are rare: the judge would be asked no more.
                _ if fails.load(Ordering::SeqCst)
                    && !asked.fetch_add(1, Ordering::SeqCst).is_multiple_of(3) =>
                {
                    Behaviour::Raw(500, b"{}".to_vec())
                }
                0 => Behaviour::Grade(0),
                _ => Behaviour::Grade(9),
            }
        };
        let judge = Judge::start_with(grade).unwrap();
        policy["judge"] = json!({
            "cluster": "judge", "endpoint": format!("http://{}", judge.address()), "model": "j", "max_share": 1,
            "price": {"input": 0.001}, "cache": {"entries": 0}, "grade_share": 0.3, "evidence": {"slope": 1, "intercept": 1.8, "variance": 0.3},
        });
        std::fs::write(&file, policy.to_string()).unwrap();
        let source = PolicySource::start().unwrap();
        let envoy = Envoy::start(files::ENVOY_VERSIONS[1], &config(&file, &source, &policy));
        let world = World {
            envoy: envoy.unwrap_or_else(|error| panic!("{error}")),
            backends,
            _judge: judge,
            judge_fails,
            source,
            policy,
        };
        world.publish(1, "enforce");
        world
    }

    pub fn admin(&self) -> SocketAddr {
        self.envoy.admin_address()
    }

    /// Pointsman's metrics, for the report of a failed test.
    pub fn ours(&self) -> String {
        let metrics = self.envoy.metrics().into_iter();
        metrics
            .filter(|sample| sample.name.contains("pointsman") && !sample.name.ends_with("_bucket"))
            .map(|sample| format!("{} {:?} {}\n", sample.name, sample.labels, sample.value))
            .collect()
    }

    /// Publishes the policy under another revision, and waits until it is in force. Its version stays: the filter of the
    /// attempts keeps the one that was rendered.
    fn publish(&self, revision: u32, mode: &str) {
        let mut policy = self.policy.clone();
        policy["revision"] = json!(revision);
        policy["mode"] = json!(mode);
        self.source.serve(Document {
            body: policy.to_string().into_bytes(),
            ..Document::default()
        });
        let taken = |envoy: &Envoy| {
            let now = metrics::sum(&envoy.metrics(), "pointsman_policy_revision", &[]);
            now == f64::from(revision)
        };
        assert!(self.envoy.wait_for(taken), "{}", self.envoy.log());
    }

    /// Successful requests.
    pub fn calm(&self) {
        self.judged();
        let reported = json!({"stream": true, "stream_options": {"include_usage": true}});
        for model in ["auto", "auto:cheap", "small", "large", "cached"] {
            for fields in [json!({}), reported.clone()] {
                let response = self.send(model, "Prove that 7 is prime.", fields, None);
                assert_eq!(response.status, 200, "{model}: {}", response.text());
            }
        }
        let body = ask("large", "hi", json!({}));
        let counted = Request::post("/v1/messages/count_tokens", &body).send(self.envoy.address());
        assert_eq!(counted.unwrap().status, 200);
    }

    /// Prompts between an easy and a hard one, under weights of which some let a grade change the choice.
    fn judged(&self) {
        for thing in [
            "the tides",
            "inflation",
            "the plague",
            "earthquakes",
            "migration",
        ] {
            for profile in PROFILES {
                let prompt = format!("Tell me about the causes of {thing}.");
                let response = self.send(profile, &prompt, json!({}), None);
                assert_eq!(response.status, 200, "{}", response.text());
            }
        }
    }

    /// From now on one backend fails always, another on request.
    pub fn trouble(&mut self) {
        self.judge_fails.store(true, Ordering::SeqCst);
        let fault = |backend: &str, command: Value| {
            self.backends.get(backend).unwrap().fault(&command).unwrap();
        };
        fault("lpu", json!({"kind": "status", "status": 503}));
        fault(
            "gpu",
            json!({"kind": "status", "status": 503, "test": "fails"}),
        );
        fault(
            "gpu",
            json!({"kind": "reset_mid_stream", "after_tokens": 2, "test": "breaks"}),
        );
        // A while in shadow mode, and back.
        self.publish(2, "shadow");
        for prompt in ["hi", "This is forbidden."] {
            let shown = self.send("auto", prompt, json!({}), None);
            assert_eq!(shown.header("x-pointsman-mode"), Some("shadow"));
        }
        self.publish(3, "enforce");
        self.source.serve(Document {
            body: b"{\"models\": []}".to_vec(),
            ..Document::default()
        });
    }

    /// Traffic of every kind, successful and not.
    pub fn round(&self) {
        self.calm();
        for _ in 0..6 {
            assert_eq!(
                self.send("large", "hi", json!({}), Some("fails")).status,
                503
            );
            assert_eq!(self.send("nobody", "hi", json!({}), None).status, 404);
            self.send("large", "hi", json!({"stream": true}), None);
            self.send("large", "hi", json!({"stream": true}), Some("breaks"));
            let broken = Request::post(CHAT, b"{")
                .send(self.envoy.address())
                .unwrap();
            assert_ne!(broken.status, 503);
        }
        // State of unknown origin: probably the default backend's, so that no other gets it.
        for model in ["large", "cached"] {
            let state = json!([{"type": "reasoning.encrypted", "data": "c2VhbGVk"}]);
            let messages = json!([
                {"role": "assistant", "content": "yes?", "reasoning_details": state},
                {"role": "user", "content": "hi"},
            ]);
            let carries = self.send(model, "", json!({"messages": messages}), None);
            assert_eq!(carries.status, 200, "{model}: {}", carries.text());
        }
        let body = ask("small", "hi", json!({}));
        let misspelt = Request::post("/v1/chat/completion", &body).send(self.envoy.address());
        assert_eq!(misspelt.unwrap().status, 404);
        let body = ask("small", "hi", json!({}));
        for _ in 0..3 {
            let poor = Request::post(CHAT, &body).header("x-tenant", b"poor");
            poor.send(self.envoy.address()).unwrap();
        }
        self.teach();
    }

    /// Answers, half of them by exploration, that all get bad feedback, until it is too much; and feedback that is refused.
    fn teach(&self) {
        let answers = (0..16).map(|number| {
            let prompt = format!("Say the number {number}.");
            self.send("auto", &prompt, json!({}), None)
        });
        let receipts = answers.filter_map(|answer| {
            let receipt = answer.header("x-pointsman-receipt")?;
            Some(receipt.to_owned())
        });
        let receipts: Vec<String> = receipts.collect();
        assert!(receipts.len() > 8, "{receipts:?}");
        let send = |feedback: Value| {
            let body = feedback.to_string().into_bytes();
            let request = Request::post("/v1/feedback", &body);
            request.send(self.envoy.address()).unwrap().status
        };
        let bad = receipts
            .iter()
            .map(|receipt| json!({"receipt": receipt, "score": 0}));
        assert_eq!(send(bad.collect()), 202);
        assert_eq!(send(json!({"receipt": "AQ", "score": 1})), 400);
    }

    fn send(&self, model: &str, prompt: &str, fields: Value, test: Option<&str>) -> Response {
        let body = ask(model, prompt, fields);
        let mut request = Request::post(CHAT, &body);
        if let Some(test) = test {
            request = request.header("x-test-id", test.as_bytes());
        }
        request.send(self.envoy.address()).unwrap()
    }
}

fn ask(model: &str, prompt: &str, fields: Value) -> Vec<u8> {
    let mut body = json!({
        "model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": 16,
    });
    body.as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    body.to_string().into_bytes()
}

fn policy() -> Value {
    let model = |name: &str, mmlu: f64| json!({"name": name, "benchmarks": {"mmlu": mmlu}});
    let backend = |name: &str, model: &str, price: f64| {
        json!({
            "name": name, "model": model, "accelerator": name,
            "price": {"input": price, "output": price}, "latency": {"first_token_ms": {"p50": 60, "p99": 90}},
        })
    };
    let shared = |mut backend: Value| {
        backend["state_scope"] = json!("small");
        backend
    };
    let mut gpu = backend("gpu", "large", 0.6);
    gpu["apis"] = json!(["openai_chat", "anthropic_messages"]);
    let weights =
        [0.1, 0.2, 0.35, 0.6].map(|cost| json!({"weights": {"quality": 1, "cost": cost}}));
    let profiles: serde_json::Map<_, _> = PROFILES
        .map(str::to_owned)
        .into_iter()
        .zip(weights)
        .collect();
    json!({
        "version": "v0", "revision": 0, "profiles": profiles, "default_cluster": "gpu", "baseline": "cached", "on_undecided": "bypass",
        "foreign_state": "drop", "receipts": {"mode": "on"}, "exploration_rate": 0.5,
        // Of feedback alone, and of little of it: what is learned differs from what is stated, but not on enough outcomes for an alert.
        "learning": {"mode": "observe", "max_per_tenant_hour": 20, "prior_mass": 4, "outcomes": {
            "empty": 0, "truncated": 0, "invalid_json": 0, "invalid_tool_arguments": 0,
        }},
        "tenant": {"header": "x-tenant"},
        "budgets": [
            {"name": "tiny", "usd": 0.000_000_000_1, "per": "month", "tenant": ["poor"]},
            {"name": "everybody", "usd": 1000, "per": "month"},
        ],
        "rules": [
            {"name": "proofs", "when": {"words": ["prove"]}, "then": {"min_quality": 0.1}},
            {"name": "never", "when": {"words": ["forbidden"]}, "then": {"reject": "not here"}},
        ],
        "models": [model("small", 0.6), model("large", 0.8), model("cached", 0.85)],
        "backends": [shared(backend("lpu", "small", 0.02)), shared(backend("cpu", "small", 0.05)), gpu],
    })
}

/// The configuration that `pointsman render` writes for an Envoy.
pub fn render(policy: &Path, version: &str) -> Config {
    let output = Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .args(["render", "envoy"])
        .arg(policy)
        .args(["--envoy-version", version])
        .args(["--listen", "127.0.0.1:0", "--admin-port", "0", "--module"])
        .arg(files::module().unwrap_or_else(|error| panic!("{error}")))
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    Config::parse(&String::from_utf8(output.stdout).unwrap()).unwrap()
}

/// The configuration with a policy source that is polled four times a second.
fn config(policy: &Path, source: &PolicySource, document: &Value) -> Config {
    let config = render(policy, files::ENVOY_VERSIONS[1]);
    let mut plugin = config.plugin_configuration();
    plugin["policy_source"] = json!({
        "cluster": SOURCE, "path": "/policy.json", "interval_ms": 250, "timeout_ms": 200,
    });
    plugin["receipt_keys"] = json!(["RECEIPT_KEY"]);
    let names = document["backends"].as_array().unwrap().iter();
    let mut names: Vec<&Value> = names.map(|backend| &backend["name"]).collect();
    names.push(&document["judge"]["cluster"]);
    plugin["allowed_clusters"] = json!(names);
    let mut clusters = config.get("/static_resources/clusters").unwrap().clone();
    let address = source.address();
    let socket = json!({"address": address.ip().to_string(), "port_value": address.port()});
    clusters.as_array_mut().unwrap().push(json!({
        "name": SOURCE, "type": "STATIC", "connect_timeout": "1s",
        "load_assignment": {"cluster_name": SOURCE, "endpoints": [
            {"lb_endpoints": [{"endpoint": {"address": {"socket_address": socket}}}]},
        ]},
    }));
    config
        .set("/static_resources/clusters", clusters)
        .with_plugin_configuration(&plugin)
        .set_plugin(
            "vm_config/environment_variables",
            json!({"key_values": {"RECEIPT_KEY": "a key for these tests alone"}}),
        )
}

/// A backend that reports cached tokens for each prompt, until this process ends.
fn caching() -> Value {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    spawn(move || {
        for stream in listener.incoming().flatten() {
            spawn(move || while answer(&stream).is_some() {});
        }
    });
    json!({
        "name": "serverless", "model": "cached", "accelerator": "serverless", "endpoint": format!("http://{address}"),
        "price": {"input": 2.5, "cached_input": 1.25, "output": 10},
        // The backend is kept warm once it was used, at most once a second.
        "scale_to_zero_after_s": 1, "prewarm": {"max_usd_per_hour": 3.6, "request_usd": 0.001, "probability": 0},
    })
}

/// Answers one request; `None` if there is none.
fn answer(mut stream: &TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    reader.read_exact(&mut vec![0; length]).ok()?;
    let body = json!({
        "object": "chat.completion", "model": "cached",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yes"}}],
        "usage": {
            "prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110,
            "prompt_tokens_details": {"cached_tokens": 80, "cache_write_tokens": 10},
        },
    })
    .to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).ok()
}
