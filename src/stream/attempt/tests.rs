//! Attempts against a request that Envoy tries again and again: headers stay changed, the body does not.

use super::*;
use crate::chain::{Origin, Patience};
use crate::registry::BackendId;
use crate::stream::testing::POLICY;

/// A request under way: what a host keeps of it between attempts.
struct Request {
    policy: Policy,
    failover: Failover,
    headers: Vec<(String, String)>,
    /// As the decision left it.
    body: String,
    /// Whether variables are set.
    secrets: bool,
    now_ns: u64,
}

/// Stands for the filter state, which no backend sees.
const STATE: &str = "(chain)";

impl Request {
    /// For the backends of these indices in turn; the body is written for the first.
    fn new(members: &[(&str, &str)], chain: &[u32], failover: Failover) -> Request {
        let mut text = POLICY.to_owned();
        for (backend, fields) in members {
            let name = format!("\"name\": \"{backend}\",");
            text = text.replace(&name, &format!("{name} {fields},"));
        }
        let policy = Policy::compile(&text).unwrap();
        let first = &policy.registry.backends[chain[0] as usize];
        let body = format!(
            "{{\"a\":1,\"model\":\"{}\",\"messages\":[{{\"role\":\"user\",\"content\":\"hi\"}}]}}",
            first.served_model
        );
        let ids: Vec<BackendId> = chain.iter().copied().map(BackendId).collect();
        let chain = Chain::new(
            &policy.registry,
            Origin::default(),
            &ids,
            Some(body.len() as u64),
            Patience {
                until_ns: 60_000_000_000,
                tokens: 0,
            },
        );
        let headers = [
            (":path", "/v1/chat/completions?x=1".to_owned()),
            ("authorization", "Bearer client".to_owned()),
            ("content-length", body.len().to_string()),
            (STATE, chain.to_text()),
        ];
        Request {
            policy,
            failover,
            headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
            body,
            secrets: true,
            now_ns: 0,
        }
    }

    /// One attempt: what arrives at the backend.
    fn attempt(&mut self, host: Option<&str>) -> Arrived {
        let policy = self.policy.clone();
        let secrets = self.secrets;
        let secret = |backend: &Backend| secrets.then(|| format!("key-of-{}", backend.name));
        let site = Site {
            failover: self.failover,
            policy: &policy,
            secret: &secret,
        };
        let mut attempt = Attempt::new();
        let mut body = self.body.clone().into_bytes();
        let headers = self.headers.clone();
        let headers: Vec<Header<'_>> = headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
            .collect();
        let event = AttemptEvent::Headers {
            headers: &headers,
            end_of_stream: false,
            host,
            chain: find(&headers, STATE),
            now_ns: self.now_ns,
        };
        let (mut counts, mut replied) = (Vec::new(), None);
        let mut effects = attempt.on(event, &site);
        let mut paused = false;
        loop {
            let mut question = None;
            for effect in effects {
                match effect {
                    Effect::SetRequestHeader { name, value } => self.set(&name, Some(value)),
                    Effect::RemoveRequestHeader(name) => {
                        self.set(&String::from_utf8(name).unwrap(), None);
                    }
                    Effect::RewriteBody {
                        edit,
                        content_length,
                    } => {
                        body.splice(..edit.replace, edit.with);
                        self.set("content-length", content_length.map(decimal));
                    }
                    Effect::SetState { key, value } => {
                        assert_eq!(key, state::CHAIN);
                        self.set(STATE, Some(value));
                    }
                    Effect::SpliceBody {
                        splices,
                        held,
                        content_length,
                    } => {
                        assert_eq!(held, body.len());
                        for one in splices.into_iter().rev() {
                            body.splice(one.span, one.with);
                        }
                        self.set("content-length", content_length.map(decimal));
                    }
                    Effect::Reply(reply) => replied = Some(reply.status),
                    Effect::Pause => paused = replied.is_none(),
                    Effect::Continue => paused = false,
                    Effect::ReadBody { start, size } => question = Some(start..start + size),
                    Effect::Count(metric) => counts.push(metric.name.into_owned()),
                    other => assert_eq!(other, Effect::Continue),
                }
            }
            effects = match question {
                Some(range) => {
                    let read = body[range].to_vec();
                    attempt.on(AttemptEvent::Read(Some(&read)), &site)
                }
                None if paused => {
                    paused = false;
                    let held = body.len();
                    let event = AttemptEvent::Body {
                        held,
                        end_of_stream: true,
                    };
                    attempt.on(event, &site)
                }
                None => break,
            };
        }
        assert_eq!(
            self.header("content-length").unwrap(),
            body.len().to_string()
        );
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        Arrived {
            model: body["model"].as_str().unwrap().to_owned(),
            path: self.header(":path").unwrap().to_owned(),
            key: self.header("authorization").map(str::to_owned),
            counts,
            replied,
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other == name)?;
        Some(&found.1)
    }

    fn set(&mut self, name: &str, value: Option<String>) {
        self.headers.retain(|(other, _)| other != name);
        self.headers
            .extend(value.map(|value| (name.to_owned(), value)));
    }
}

struct Arrived {
    model: String,
    path: String,
    key: Option<String>,
    counts: Vec<String>,
    replied: Option<u16>,
}

#[test]
fn every_attempt_gets_the_model_of_its_backend_and_the_chain_goes_round() {
    let mut request = Request::new(&[], &[1, 0, 2], Failover::PerAttempt);
    let models: Vec<String> = (0..5).map(|_| request.attempt(None).model).collect();
    assert_eq!(
        models,
        ["org/huge", "tiny-q4", "huge", "org/huge", "tiny-q4"]
    );
    assert_eq!(request.header(":path"), Some("/v1/chat/completions?x=1"));
    assert_eq!(request.header("authorization"), Some("Bearer client"));
}

#[test]
fn the_model_of_a_long_body_is_found_wherever_it_stands() {
    let mut request = Request::new(&[], &[1, 0, 2], Failover::PerAttempt);
    let padding = "x".repeat(10_000);
    request.body = format!(
        "{{\"messages\":[{{\"role\":\"user\",\"content\":\"{padding}\"}}],\"n\":1,\"model\":\"org/huge\"}}"
    );
    let mut chain = Chain::parse(request.header(STATE).unwrap().as_bytes()).unwrap();
    chain.content_length = Some(request.body.len() as u64);
    request.set(STATE, Some(chain.to_text()));
    request.set("content-length", Some(request.body.len().to_string()));
    let models: Vec<String> = (0..4).map(|_| request.attempt(None).model).collect();
    assert_eq!(models, ["org/huge", "tiny-q4", "huge", "org/huge"]);
}

#[test]
fn an_aggregates_host_says_which_backend_is_tried() {
    let failover = Failover::Aggregate { links: 2 };
    let mut request = Request::new(&[], &[1, 0], failover);
    // The first cluster of the aggregate is known to be dead: the first attempt is at the second.
    assert_eq!(request.attempt(Some("cpu-1")).model, "tiny-q4");
    assert_eq!(request.attempt(Some("gpu-1")).model, "org/huge");
}

#[test]
fn paths_and_keys_are_those_of_the_backend_and_of_no_other() {
    let remote = r#""endpoint": "https://api.example.com/openai", "credentials": {"env": "KEY"}"#;
    let other = r#""credentials": {"header": "api-key", "env": "OTHER"}"#;
    let members = [("gpu-1", remote), ("cpu-1", other)];
    let mut request = Request::new(&members, &[1, 0, 2], Failover::PerAttempt);
    let first = request.attempt(None);
    assert_eq!(first.path, "/openai/v1/chat/completions?x=1");
    assert_eq!(first.key.as_deref(), Some("Bearer key-of-gpu-1"));
    let second = request.attempt(None);
    assert_eq!(second.path, "/v1/chat/completions?x=1");
    assert_eq!(second.key, None, "the key of another backend");
    assert_eq!(request.header("api-key"), Some("key-of-cpu-1"));
    let third = request.attempt(None);
    assert_eq!((third.key, request.header("api-key")), (None, None));
    assert_eq!(request.attempt(None).path, first.path);
}

#[test]
fn a_missing_secret_takes_the_clients_key_out_and_is_counted() {
    let members = [("gpu-1", r#""credentials": {"env": "KEY"}"#)];
    let mut request = Request::new(&members, &[1], Failover::PerAttempt);
    request.secrets = false;
    let arrived = request.attempt(None);
    assert_eq!(arrived.key, None);
    assert_eq!(arrived.counts, ["pointsman.secrets_missing"]);
}

#[test]
fn an_unknown_backend_gets_the_body_of_the_decision_and_is_counted() {
    let mut request = Request::new(&[], &[1, 0], Failover::PerAttempt);
    let mut chain = Chain::parse(request.header(STATE).unwrap().as_bytes()).unwrap();
    chain.links = vec![17];
    request.set(STATE, Some(chain.to_text()));
    request.set("content-length", Some("3".into()));
    let arrived = request.attempt(None);
    assert_eq!(arrived.model, "org/huge");
    assert_eq!(arrived.counts, ["pointsman.attempts_unknown"]);
}

#[test]
fn what_was_not_decided_on_is_left_alone() {
    let policy = Policy::compile(POLICY).unwrap();
    let site = Site {
        failover: Failover::PerAttempt,
        policy: &policy,
        secret: &|_| None,
    };
    let event = AttemptEvent::Headers {
        headers: &[(b":path", b"/v1/chat/completions")],
        end_of_stream: false,
        host: None,
        chain: None,
        now_ns: 0,
    };
    assert_eq!(Attempt::new().on(event, &site), [Effect::Continue]);
}

#[test]
fn a_count_of_tokens_names_the_model_of_whoever_counts() {
    let mut request = Request::new(&[], &[1, 2], Failover::PerAttempt);
    request.set(
        ":path",
        Some("/v1/messages/count_tokens?beta=true".to_owned()),
    );
    assert_eq!(request.attempt(None).model, "org/huge");
    let second = request.attempt(None);
    assert_eq!((second.model.as_str(), second.counts.len()), ("huge", 0));
}

#[test]
fn an_endpoints_version_is_not_doubled_whatever_comes_before() {
    let openai = r#""endpoint": "https://api.example.com/v1""#;
    let azure = r#""endpoint": "https://x.example.com/openai/deployments/d""#;
    let members = [("gpu-1", openai), ("cpu-1", azure)];
    let mut request = Request::new(&members, &[1, 0, 2], Failover::PerAttempt);
    let paths: Vec<String> = (0..4).map(|_| request.attempt(None).path).collect();
    assert_eq!(
        paths,
        [
            "/v1/chat/completions?x=1",
            "/openai/deployments/d/chat/completions?x=1",
            "/v1/chat/completions?x=1",
            "/v1/chat/completions?x=1",
        ]
    );
}

#[test]
fn backends_see_nothing_of_what_is_between_envoy_and_us() {
    let mut request = Request::new(&[], &[1, 0], Failover::PerAttempt);
    for name in [
        "x-pointsman-chain",
        "x-pointsman-cluster",
        "x-envoy-expected-rq-timeout-ms",
    ] {
        request.set(name, Some("1".to_owned()));
        request.attempt(None);
        assert_eq!(request.header(name), None);
    }
}

#[test]
fn another_backend_is_asked_only_while_the_client_waits() {
    let mut request = Request::new(&[], &[1, 0], Failover::PerAttempt);
    // The first attempt is made whatever the clock says.
    request.now_ns = 60_000_000_000;
    assert_eq!(request.attempt(None).replied, None);
    assert_eq!(request.attempt(None).replied, Some(504));
    // Half a second is enough for a backend that usually takes a tenth.
    request.now_ns = 59_400_000_000;
    let chain = request.header(STATE).unwrap().as_bytes();
    let chain = Chain::parse(chain).unwrap();
    let backend = find_link(
        &request.policy.registry.backends,
        chain.links.first().copied(),
    );
    let usual = backend.unwrap().latency.first_token_p50_ms;
    assert_eq!(
        request.attempt(None).replied,
        (usual > 600.0).then_some(504)
    );
    request.now_ns = 0;
    assert_eq!(request.attempt(None).replied, None);
}

#[test]
fn the_head_of_an_answer_waits_for_its_first_bytes_while_another_could_be_asked() {
    let policy = Policy::compile(POLICY).unwrap();
    let site = Site {
        failover: Failover::PerAttempt,
        policy: &policy,
        secret: &|_| None,
    };
    let begun = |tried: u32| {
        let ids = [1, 0].map(BackendId);
        let origin = Origin::default();
        let mut chain = Chain::new(&policy.registry, origin, &ids, None, Patience::default());
        chain.attempts = tried;
        let text = chain.to_text();
        let mut attempt = Attempt::new();
        attempt.on(
            AttemptEvent::Headers {
                headers: &[(b":path", b"/v1/chat/completions")],
                end_of_stream: true,
                host: None,
                chain: Some(text.as_bytes()),
                now_ns: 0,
            },
            &site,
        );
        attempt
    };
    let head = |end_of_stream| AttemptEvent::ResponseHeaders {
        end_of_stream,
        status: Some(b"200"),
    };
    let mut first = begun(0);
    assert_eq!(first.on(head(false), &site), [Effect::Pause]);
    assert_eq!(
        first.on(AttemptEvent::ResponseBody, &site),
        [Effect::Continue]
    );
    assert_eq!(begun(0).on(head(true), &site), [Effect::Continue]);
    let error = AttemptEvent::ResponseHeaders {
        end_of_stream: false,
        status: Some(b"500"),
    };
    assert_eq!(begun(0).on(error, &site), [Effect::Continue]);
    // After the last there is nobody.
    assert_eq!(begun(1).on(head(false), &site), [Effect::Continue]);
}
