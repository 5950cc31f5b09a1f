//! Attempts against a request that Envoy tries again and again: headers stay changed, the body does not.

use super::*;
use crate::exchange::testing::POLICY;
use crate::fleet::BackendId;
use crate::routing::fallback_chain::{FirstByteDeadline, PolicyRef};

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
    /// Filter state.
    states: Vec<(&'static str, String)>,
}

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
        let chain = FallbackChain::new(
            &policy.registry,
            PolicyRef::default(),
            &ids,
            Some(body.len() as u64),
            FirstByteDeadline {
                until_ns: 60_000_000_000,
                tokens: 0,
            },
        );
        let headers = [
            (":path", "/v1/chat/completions?x=1".to_owned()),
            ("authorization", "Bearer client".to_owned()),
            ("content-length", body.len().to_string()),
        ];
        Request {
            policy,
            failover,
            headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
            body,
            secrets: true,
            now_ns: 0,
            states: vec![(state::CHAIN, chain.to_text())],
        }
    }

    /// One attempt: what arrives at the backend.
    fn attempt(&mut self, host: Option<&str>) -> Arrived {
        let policy = self.policy.clone();
        let context = AttemptContext {
            failover: self.failover,
            policy: &policy,
        };
        let chain = self.chain();
        let withheld = self.state(state::WITHHELD).map(str::to_owned);
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
            chain: &chain,
            withheld: withheld.as_deref().map(str::as_bytes),
            host,
            now_ns: self.now_ns,
        };
        let (mut counts, mut replied) = (Vec::new(), None);
        let mut effects = attempt.on(event, &context);
        let mut paused = false;
        loop {
            let mut question = None;
            for effect in effects {
                match effect {
                    Effect::SetRequestHeader { name, value } => self.set(&name, Some(value.into())),
                    Effect::RemoveRequestHeader(name) => {
                        self.set(&String::from_utf8(name).unwrap(), None);
                    }
                    Effect::SetCredentials {
                        header,
                        prefix,
                        env,
                    } => {
                        let value = self.secrets.then(|| format!("{prefix}value-of-{env}"));
                        self.set(&header, value);
                    }
                    Effect::SetState { key, value } => {
                        self.states.retain(|(other, _)| *other != key);
                        self.states.push((key, value.into()));
                    }
                    Effect::RewriteBody {
                        edit,
                        content_length,
                    } => {
                        body.splice(..edit.replace, edit.with);
                        self.set(
                            "content-length",
                            content_length.map(|length| length.to_string()),
                        );
                    }
                    Effect::SpliceBody {
                        splices,
                        held,
                        content_length,
                    } => {
                        assert_eq!(held, body.len());
                        for splice in splices.into_iter().rev() {
                            body.splice(splice.span, splice.with);
                        }
                        self.set(
                            "content-length",
                            content_length.map(|length| length.to_string()),
                        );
                    }
                    Effect::Reply(reply) => replied = Some(reply.status),
                    Effect::Pause => paused = replied.is_none(),
                    Effect::Continue => paused = false,
                    Effect::Ask(Question::RequestBody { start, size }) => {
                        question = Some(start..start + size);
                    }
                    Effect::Count(metric) => counts.push(metric.name.into_owned()),
                    other => assert_eq!(other, Effect::Continue),
                }
            }
            effects = match question {
                Some(range) => {
                    let read = body[range].to_vec();
                    let answer = Answer::RequestBody {
                        bytes: Some(&read),
                        now_ns: self.now_ns,
                    };
                    attempt.on(AttemptEvent::Answer(answer), &context)
                }
                None if paused => {
                    paused = false;
                    let held = body.len();
                    let event = AttemptEvent::Body {
                        held,
                        end_of_stream: true,
                    };
                    attempt.on(event, &context)
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
            max_tokens: body["max_tokens"].as_u64(),
            counts,
            replied,
        }
    }

    fn chain(&self) -> FallbackChain {
        FallbackChain::parse(self.state(state::CHAIN).unwrap().as_bytes()).unwrap()
    }

    fn state(&self, key: &str) -> Option<&str> {
        let found = self.states.iter().find(|(other, _)| *other == key)?;
        Some(&found.1)
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
    max_tokens: Option<u64>,
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
    let mut chain = request.chain();
    chain.content_length = Some(request.body.len() as u64);
    request.states = vec![(state::CHAIN, chain.to_text())];
    request.set("content-length", Some(request.body.len().to_string()));
    let models: Vec<String> = (0..4).map(|_| request.attempt(None).model).collect();
    assert_eq!(models, ["org/huge", "tiny-q4", "huge", "org/huge"]);
}

#[test]
fn an_aggregates_host_identifies_the_backend() {
    let failover = Failover::Aggregate {
        max_chain_length: 2,
    };
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
    assert_eq!(first.key.as_deref(), Some("Bearer value-of-KEY"));
    let second = request.attempt(None);
    assert_eq!(second.path, "/v1/chat/completions?x=1");
    assert_eq!(second.key, None, "the key of another backend");
    assert_eq!(request.header("api-key"), Some("value-of-OTHER"));
    // The last one has none of its own, so it gets the client's.
    let third = request.attempt(None);
    assert_eq!(third.key.as_deref(), Some("Bearer client"));
    assert_eq!(request.header("api-key"), None);
    assert_eq!(request.attempt(None).path, first.path);
}

/// Headers of a client, and those that the attempt filter has to leave.
fn guarded(request: &Request) -> Vec<(&str, &str)> {
    let names = [
        "authorization",
        "x-api-key",
        "api-key",
        "cookie",
        "x-forwarded-for",
    ];
    let sent = names.into_iter();
    sent.filter_map(|name| Some((name, request.header(name)?)))
        .collect()
}

#[test]
fn each_attempt_has_exactly_its_own_credentials_in_any_order() {
    let members = [
        ("cpu-1", r#""endpoint": "http://10.0.0.1""#),
        (
            "gpu-1",
            r#""credentials": {"header": "x-api-key", "env": "A"}, "endpoint": "https://a.example""#,
        ),
        (
            "lpu-1",
            r#""credentials": {"env": "B"}, "client_address": "pass""#,
        ),
    ];
    let client = [
        ("x-api-key", "client-2"),
        ("api-key", "client-3"),
        ("cookie", "client-4"),
        ("x-forwarded-for", "192.0.2.7"),
    ];
    let expected = |backend: u32| match backend {
        0 => vec![
            ("authorization", "Bearer client"),
            ("x-api-key", "client-2"),
            ("api-key", "client-3"),
            ("cookie", "client-4"),
        ],
        1 => vec![("x-api-key", "value-of-A")],
        _ => vec![
            ("authorization", "Bearer value-of-B"),
            ("x-forwarded-for", "192.0.2.7"),
        ],
    };
    for chain in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let mut request = Request::new(&members, &chain, Failover::PerAttempt);
        for (name, value) in client {
            request.set(name, Some(value.to_owned()));
        }
        for turn in 0..7 {
            request.attempt(None);
            let backend = chain[turn % 3];
            assert_eq!(
                guarded(&request),
                expected(backend),
                "{chain:?}, turn {turn}"
            );
        }
    }
}

#[test]
fn what_was_kept_and_is_lost_is_nobodys() {
    let members = [("gpu-1", r#""credentials": {"env": "A"}"#)];
    let mut request = Request::new(&members, &[1, 0], Failover::PerAttempt);
    request.attempt(None);
    assert_eq!(request.header("authorization"), Some("Bearer value-of-A"));
    request.states.retain(|(key, _)| *key != state::WITHHELD);
    request.attempt(None);
    assert_eq!(request.header("authorization"), None);
}

#[test]
fn nothing_is_kept_where_no_backend_may_see_it() {
    let own = r#""credentials": {"env": "A"}"#;
    let members = [("gpu-1", own), ("cpu-1", own), ("lpu-1", own)];
    let mut request = Request::new(&members, &[1, 0], Failover::PerAttempt);
    request.attempt(None);
    assert_eq!(request.state(state::WITHHELD), None);
}

#[test]
fn a_client_key_is_passed_to_one_party_only() {
    let passes = |fields: [&str; 3]| {
        let members: Vec<(&str, &str)> = ["cpu-1", "gpu-1", "lpu-1"]
            .into_iter()
            .zip(fields)
            .collect();
        let request = Request::new(&members, &[0], Failover::Off);
        let backends = request.policy.registry.backends.iter();
        backends
            .map(|backend| backend.client.credentials)
            .collect::<Vec<_>>()
    };
    let (house, other) = (
        r#""endpoint": "http://10.0.0.1""#,
        r#""endpoint": "http://10.0.0.2""#,
    );
    let (a, b) = (
        r#""endpoint": "https://a.example""#,
        r#""endpoint": "https://b.example/x""#,
    );
    assert_eq!(passes([r#""health": "/h""#, house, other]), [true; 3]);
    assert_eq!(passes([a, a, a]), [true; 3]);
    assert_eq!(passes([house, other, a]), [false; 3]);
    assert_eq!(passes([a, a, b]), [false; 3]);
    let with_own = r#""endpoint": "https://b.example", "credentials": {"env": "B"}"#;
    assert_eq!(passes([a, a, with_own]), [true, true, false]);
    let stated = r#""endpoint": "https://b.example", "client_credentials": "pass""#;
    assert_eq!(passes([a, house, stated]), [false, false, true]);
}

#[test]
fn a_missing_secret_takes_the_clients_key_out() {
    let members = [("gpu-1", r#""credentials": {"env": "KEY"}"#)];
    let mut request = Request::new(&members, &[1], Failover::PerAttempt);
    request.secrets = false;
    assert_eq!(request.attempt(None).key, None);
}

#[test]
fn an_unknown_backend_gets_the_body_of_the_decision_and_no_credentials() {
    let mut request = Request::new(&[], &[1, 0], Failover::PerAttempt);
    let mut chain = request.chain();
    chain.backends = vec![17];
    request.states = vec![(state::CHAIN, chain.to_text())];
    request.set("content-length", Some("3".into()));
    let arrived = request.attempt(None);
    assert_eq!(arrived.model, "org/huge");
    assert_eq!(arrived.key, None);
    assert_eq!(arrived.counts, ["pointsman.attempts_unresolved"]);
    let effects = unknown(&[(b"authorization", b"Bearer x"), (b"accept", b"*/*")]);
    assert_eq!(
        effects[1..],
        [
            Effect::RemoveRequestHeader(b"authorization".to_vec()),
            Effect::Continue
        ]
    );
}

#[test]
fn what_the_router_says_in_headers_goes_no_further() {
    let mut request = Request::new(&[], &[1, 0], Failover::PerAttempt);
    let chain = request.chain();
    let ours = [
        "x-pointsman-chain",
        "x-pointsman-stream",
        "x-pointsman-cluster",
    ];
    for name in ours {
        request.set(name, Some(chain.to_text()));
    }
    request.attempt(None);
    for name in ours {
        assert_eq!(request.header(name), None);
    }
}

#[test]
fn a_model_that_writes_less_is_asked_for_less() {
    let mut request = Request::new(&[], &[1, 0, 2], Failover::PerAttempt);
    request.body = request.body.replace("\"a\":1", "\"max_tokens\":900");
    let length = request.body.len();
    request.set("content-length", Some(length.to_string()));
    let mut chain = request.chain();
    chain.content_length = Some(length as u64);
    chain.answer = Some(crate::fleet::AnswerBound {
        most_tokens: 900,
        window_tokens: 100,
    });
    request.states = vec![(state::CHAIN, chain.to_text())];
    // `huge` writes 1000, `tiny` has a window of 400.
    let asked: Vec<u64> = (0..3)
        .map(|_| request.attempt(None).max_tokens.unwrap())
        .collect();
    assert_eq!(asked, [900, 300, 900]);
}

#[test]
fn what_the_router_did_not_see_is_left_alone() {
    let headers: [Header<'_>; 2] = [(b"authorization", b"x"), (b"x-pointsman-stream", b"1")];
    assert_eq!(
        undecided(&headers),
        [
            Effect::RemoveRequestHeader(b"x-pointsman-stream".to_vec()),
            Effect::Continue
        ]
    );
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
    let chain = request.chain();
    let backend = find_backend(
        &request.policy.registry.backends,
        chain.backends.first().copied(),
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
    let context = AttemptContext {
        failover: Failover::PerAttempt,
        policy: &policy,
    };
    let begun = |tried: u32| {
        let ids = [1, 0].map(BackendId);
        let origin = PolicyRef::default();
        let mut chain = FallbackChain::new(
            &policy.registry,
            origin,
            &ids,
            None,
            FirstByteDeadline::default(),
        );
        chain.attempts = tried;
        let mut attempt = Attempt::new();
        attempt.on(
            AttemptEvent::Headers {
                headers: &[(b":path", b"/v1/chat/completions")],
                end_of_stream: true,
                host: None,
                chain: &chain,
                withheld: None,
                now_ns: 0,
            },
            &context,
        );
        attempt
    };
    let head = |end_of_stream| AttemptEvent::ResponseHeaders {
        end_of_stream,
        status: Some(b"200"),
    };
    let mut first = begun(0);
    assert_eq!(first.on(head(false), &context), [Effect::Pause]);
    assert_eq!(
        first.on(AttemptEvent::ResponseBody, &context),
        [Effect::Continue]
    );
    assert_eq!(begun(0).on(head(true), &context), [Effect::Continue]);
    let error = AttemptEvent::ResponseHeaders {
        end_of_stream: false,
        status: Some(b"500"),
    };
    assert_eq!(begun(0).on(error, &context), [Effect::Continue]);
    // No backend comes after the last.
    assert_eq!(begun(1).on(head(false), &context), [Effect::Continue]);
}
