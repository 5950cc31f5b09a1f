//! The state machine against a host that does what it is told: effects are asserted on, and what they leave of a request.

use std::rc::Rc;

mod answers;
mod backends;
mod counting;
mod feedback;
mod filter_state;
mod foreign_state;
mod grading;
mod host;
mod judging;
mod learning;
mod long;
mod receipts;
mod traffic;
mod undecided;

use super::testing::{POLICY, policy_with};
use super::*;
use crate::fleet::clusters::{Failover, backend_key};
use crate::routing::fallback_chain::FallbackChain;
use crate::telemetry::{Metric, header, state};
use host::Host;

fn ask(model: &str, text: &str) -> String {
    serde_json::json!({
        "messages": [{"role": "user", "content": text}],
        "model": model,
        "max_tokens": 50,
    })
    .to_string()
}

#[test]
fn a_pinned_model_is_routed_and_named_as_its_backend_knows_it() {
    let body = ask("tiny", "hello");
    let mut host = Host::chat(POLICY, &body);
    assert!(!host.held);
    assert_eq!(host.header("x-to"), Some("cluster-cpu"));
    let expected = body.replace("\"tiny\"", "\"tiny-q4\"");
    assert_eq!(String::from_utf8_lossy(&host.body), expected);
    assert_eq!(
        host.header("content-length"),
        Some(expected.len().to_string().as_str())
    );
    assert_eq!(
        host.counts(),
        ["pointsman.decisions.model.tiny.backend.cpu-1.accelerator.cpu.profile.auto.reason.pinned"]
    );
    assert!(
        host.effects
            .contains(&Effect::Observe(Metric::decision_us(), 42))
    );
    assert_eq!(host.state(state::MODEL), Some("tiny"));
    assert_eq!(host.state(state::BACKEND), Some("cpu-1"));
    assert_eq!(host.state(state::REASON), Some("pinned"));
    let names: Vec<&str> = host.response().iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        [
            header::MODEL,
            header::BACKEND,
            header::SCHEMA_VERSION,
            header::POLICY_VERSION,
            header::PROFILE,
            header::REASON,
            header::ESTIMATED_COST_USD,
            header::DECISION_US,
            header::ATTEMPTS,
        ]
    );
}

#[test]
fn a_profile_is_classified_and_says_so() {
    let mut host = Host::chat(POLICY, &ask("auto", "hello"));
    assert!(host.header("x-to").unwrap().starts_with("cluster-"));
    // The router of these tests has no classifier: features alone decide, and that is counted.
    assert!(host.counts().contains(&"pointsman.classifier_errors"));
    let response = host.response();
    let written: Vec<&str> = response.iter().map(|(name, _)| *name).collect();
    let known = header::RESPONSE.iter().map(|(name, _)| *name);
    let sometimes = [
        header::RULE,
        header::STEERING,
        header::RECEIPT,
        header::MODE,
        header::STAGE,
        header::JUDGE,
    ];
    let known: Vec<&str> = known.filter(|name| !sometimes.contains(name)).collect();
    assert_eq!(written, known);
    let value = |name| {
        response
            .iter()
            .find(|(other, _)| *other == name)
            .unwrap()
            .1
            .clone()
    };
    assert_eq!(value(header::SCHEMA_VERSION), "1");
    assert_eq!(value(header::DECISION_US), "42");
    assert_eq!(value(header::ATTEMPTS), "2");
    let quality: f64 = value(header::QUALITY).parse().unwrap();
    assert!((0.0..=1.0).contains(&quality));
    value(header::DIFFICULTY).parse::<f64>().unwrap();
}

#[test]
fn the_rules_that_applied_are_named() {
    let rules = r#""rules": [
        {"name": "first", "when": {"requested_model": ["tiny"]}, "then": {"tags": ["local"]}},
        {"name": "never", "when": {"requested_model": ["huge"]}, "then": {"tags": ["local"]}}]"#;
    let mut host = Host::chat(&policy_with(rules), &ask("tiny", "hello"));
    let rule = (header::RULE, "first".to_owned());
    assert!(host.response().contains(&rule));
}

#[test]
fn any_chunking_gives_the_same_request() {
    let body = ask("huge", "some words to cut into pieces");
    let whole = Host::chat(POLICY, &body);
    for size in 1..body.len() {
        let mut host = Host::new(POLICY);
        host.begin("POST", "/v1/chat/completions");
        host.set("content-length", &body.len().to_string());
        host.send_headers(false);
        for chunk in body.as_bytes().chunks(size) {
            assert!(host.held);
            host.send_chunk(chunk, false);
        }
        host.send_chunk(b"", true);
        assert!(!host.held);
        assert_eq!(host.body, whole.body);
        assert_eq!(host.headers, whole.headers);
        assert_eq!(host.counts(), whole.counts());
    }
}

#[test]
fn trailers_end_a_body() {
    let body = ask("tiny", "hello");
    let mut host = Host::new(POLICY);
    host.begin("POST", "/v1/chat/completions?x=1");
    host.send_headers(false);
    host.send_chunk(body.as_bytes(), false);
    assert!(host.held);
    host.tell(Event::RequestTrailers);
    assert!(!host.held);
    assert_eq!(host.header("x-to"), Some("cluster-cpu"));
    assert_eq!(host.header("content-length"), None);
    assert!(String::from_utf8_lossy(&host.body).contains("tiny-q4"));
}

#[test]
fn trailers_without_a_body_are_a_body_that_cannot_be_read() {
    let mut host = Host::new(POLICY);
    host.begin("POST", "/v1/chat/completions");
    host.send_headers(false);
    host.tell(Event::RequestTrailers);
    assert!(!host.held);
    assert_eq!(
        host.counts(),
        ["pointsman.request_bypasses.cause.invalid_request"]
    );
}

#[test]
fn what_is_no_llm_request_passes_at_once() {
    let mut host = Host::new(POLICY);
    host.begin("GET", "/v1/chat/completions");
    host.send_headers(true);
    assert_eq!(host.effects, [Effect::Continue]);
    for (method, path) in [
        ("GET", "/"),
        ("POST", "/v1/moderations"),
        ("POST", "/v1/chat/completions/chatcmpl-1"),
        ("OPTIONS", "*"),
        ("DELETE", "/v1/models/tiny"),
        ("POST", "/v1/models"),
    ] {
        let mut host = Host::new(POLICY);
        host.begin(method, path);
        host.send_headers(false);
        assert_eq!(host.effects, [Effect::Continue], "{method} {path}");
        host.send_chunk(b"anything", true);
        assert!(!host.held);
        assert_eq!(host.response(), []);
    }
}

#[test]
fn headers_of_ours_are_removed_whatever_the_request_is() {
    let forged = |host: &mut Host| {
        host.set("x-to", "cluster-gpu");
        host.set("x-pointsman-model", "huge");
        host.headers
            .push(("x-pointsman-odd".into(), b"\xff\xfe".to_vec()));
        host.headers
            .push(("x-pointsman-odd".into(), b"twice".to_vec()));
        host.set("x-other", "stays");
    };
    let mut host = Host::new(POLICY);
    host.begin("GET", "/");
    forged(&mut host);
    host.send_headers(true);
    let left: Vec<&str> = host.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(left, [":method", ":path", "x-other"]);
    assert!(host.effects.contains(&Effect::ClearRouteCache));

    let mut host = Host::without_policy();
    host.begin("POST", "/v1/chat/completions");
    forged(&mut host);
    host.send_headers(false);
    assert!(!host.held);
    let left: Vec<&str> = host.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(left, [":method", ":path", "x-other"]);
    assert_eq!(
        host.counts(),
        ["pointsman.request_bypasses.cause.no_policy"]
    );

    let mut host = Host::new(POLICY);
    host.begin("POST", "/v1/chat/completions");
    forged(&mut host);
    host.send_headers(false);
    host.send_chunk(ask("tiny", "hello").as_bytes(), true);
    assert_eq!(host.header("x-to"), Some("cluster-cpu"));
    assert_eq!(host.header("x-pointsman-model"), None);
}

#[test]
fn a_body_that_cannot_be_read_goes_to_the_default_cluster_untouched() {
    for body in ["", "{", "[]", "null", "{\"messages\": 3]"] {
        let mut host = Host::chat(POLICY, body);
        assert!(!host.held, "{body}");
        assert_eq!(host.header("x-to"), Some("fallback"));
        assert_eq!(host.body, body.as_bytes());
        assert_eq!(
            host.header("content-length"),
            Some(body.len().to_string().as_str())
        );
        assert_eq!(
            host.counts(),
            ["pointsman.request_bypasses.cause.invalid_request"]
        );
        assert_eq!(host.state(state::REASON), Some("bypass_invalid_request"));
        let reason = (header::REASON, "bypass_invalid_request".to_owned());
        assert!(host.response().contains(&reason));
    }
}

#[test]
fn a_body_that_cannot_be_read_is_refused_where_the_policy_says_so() {
    let host = Host::chat(
        &policy_with(r#""on_undecided": "reject""#),
        "[\"messages\"]",
    );
    let reply = host.reply().unwrap();
    assert_eq!((reply.status, reply.details), (400, "invalid_request"));
    assert_eq!(host.reply_json()["error"]["type"], "invalid_request_error");
    assert_eq!(host.counts(), ["pointsman.rejections.code.invalid_request"]);
    assert!(host.held);
}

#[test]
fn a_post_of_headers_alone_is_a_body_that_cannot_be_read() {
    let mut host = Host::new(POLICY);
    host.begin("POST", "/v1/chat/completions");
    host.send_headers(true);
    assert!(!host.held);
    assert_eq!(host.header("x-to"), Some("fallback"));
    assert_eq!(
        host.counts(),
        ["pointsman.request_bypasses.cause.invalid_request"]
    );
}

#[test]
fn an_unknown_model_is_404_in_the_apis_words() {
    let mut host = Host::chat(POLICY, &ask("no\"such\nmodel", "hello"));
    assert_eq!(host.reply().unwrap().status, 404);
    let error = &host.reply_json()["error"];
    assert_eq!(error["code"], "model_not_found");
    assert_eq!(error["param"], "model");
    assert!(host.held);
    assert_eq!(host.counts(), ["pointsman.rejections.code.model_not_found"]);
    // The client has its answer: nothing goes on, and the answer's own headers are left alone.
    host.send_chunk(b"more", true);
    assert!(host.held);
    assert_eq!(host.response(), []);
}

#[test]
fn too_long_a_prompt_is_400_in_the_apis_words() {
    let body = ask("tiny", &"hello ".repeat(500));
    let host = Host::chat(POLICY, &body);
    assert_eq!(host.reply().unwrap().status, 400);
    assert_eq!(
        host.reply_json()["error"]["code"],
        "context_length_exceeded"
    );
}

#[test]
fn a_body_over_the_limit_is_decided_on_by_its_first_part() {
    let body = format!(
        r#"{{"model": "huge", "messages": [{{"role": "user", "content": "{}"}}]}}"#,
        "x".repeat(9000)
    );
    let mut host = Host::new(POLICY);
    host.begin("POST", "/v1/chat/completions");
    host.set("content-length", &body.len().to_string());
    host.send_headers(false);
    let (first, rest) = body.as_bytes().split_at(5000);
    host.send_chunk(first, false);
    assert!(!host.held);
    assert!(host.effects.contains(&Effect::Ask(Question::RequestBody {
        start: 0,
        size: 4096
    })));
    let cluster = host.header("x-to").unwrap().to_owned();
    assert!(["cluster-gpu", "cluster-lpu"].contains(&cluster.as_str()));
    host.send_chunk(rest, true);
    assert!(!host.held);
    let length: usize = host.header("content-length").unwrap().parse().unwrap();
    assert_eq!(length, host.body.len());
    assert_eq!(host.counts().len(), 1);
}

#[test]
fn a_compressed_body_is_refused_unless_the_policy_passes_it_on() {
    for (encoding, is_read) in [
        ("gzip", false),
        ("br, identity", false),
        ("identity", true),
        ("", true),
    ] {
        for (stated, passes) in [("bypass", true), ("reject", false)] {
            let mut host = Host::new(&policy_with(&format!(r#""on_undecided": "{stated}""#)));
            host.begin("POST", "/v1/chat/completions");
            host.set("content-encoding", encoding);
            host.send_headers(false);
            if !is_read && !passes {
                // Nothing of the body is waited for.
                assert_eq!(host.reply().unwrap().status, 415);
                continue;
            }
            assert!(host.held);
            let body = ask("tiny", "hello");
            host.send_chunk(
                if is_read {
                    body.as_bytes()
                } else {
                    b"\x1f\x8b\x08"
                },
                true,
            );
            assert!(!host.held);
            let cluster = if is_read { "cluster-cpu" } else { "fallback" };
            assert_eq!(host.header("x-to"), Some(cluster), "{encoding}");
        }
    }
}

#[test]
fn a_length_that_cannot_be_read_is_removed_with_the_edit() {
    let mut host = Host::new(POLICY);
    host.begin("POST", "/v1/chat/completions");
    host.set("content-length", "many");
    host.send_headers(false);
    host.send_chunk(ask("tiny", "hello").as_bytes(), true);
    assert_eq!(host.header("content-length"), None);
}

#[test]
fn faults_of_ours_are_bypasses() {
    let mut host = Host::new(POLICY);
    host.router = None;
    host.begin("POST", "/v1/chat/completions");
    host.send_headers(false);
    host.send_chunk(ask("tiny", "hello").as_bytes(), true);
    assert!(!host.held);
    assert_eq!(host.header("x-to"), Some("fallback"));
    assert_eq!(
        host.counts(),
        ["pointsman.request_bypasses.cause.router_error"]
    );

    let mut host = Host::new(POLICY);
    host.unreadable = true;
    host.begin("POST", "/v1/chat/completions");
    host.send_headers(false);
    host.send_chunk(ask("tiny", "hello").as_bytes(), true);
    // The body may name a profile, which no backend knows: the client tries again.
    assert_eq!(host.reply().unwrap().status, 503);
    assert_eq!(
        host.counts(),
        [
            "pointsman.host_call_errors",
            "pointsman.rejections.code.body_unreadable"
        ]
    );

    let mut host = Host::new(&policy_with(r#""on_undecided": "bypass""#));
    host.unreadable = true;
    host.begin("POST", "/v1/chat/completions");
    host.send_headers(false);
    host.send_chunk(ask("tiny", "hello").as_bytes(), true);
    assert!(!host.held);
    assert_eq!(host.header("x-to"), Some("fallback"));
    assert_eq!(
        host.counts(),
        [
            "pointsman.host_call_errors",
            "pointsman.request_bypasses.cause.body_unreadable"
        ]
    );
}

#[test]
fn without_a_default_cluster_the_default_route_leads_on() {
    let mut policy = Policy::compile(POLICY).unwrap();
    policy.default_cluster = String::new();
    let mut host = Host::without_policy();
    host.policy = Some(Rc::new(policy));
    host.begin("POST", "/v1/chat/completions");
    host.send_headers(false);
    host.send_chunk(b"{", true);
    assert!(!host.held);
    assert_eq!(host.header("x-to"), None);
}

#[test]
fn clients_see_as_much_as_the_policy_says() {
    let shown = |level: &str| {
        let policy = policy_with(&format!(r#""decision_headers": "{level}""#));
        let mut host = Host::chat(&policy, &ask("tiny", "hello"));
        host.response()
            .iter()
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
    };
    assert_eq!(shown("off"), [""; 0]);
    assert_eq!(shown("minimal"), [header::MODEL, header::BACKEND]);
    assert_eq!(shown("full").len(), 9);
}

#[test]
fn models_and_profiles_are_listed_as_openai_lists_models() {
    let mut host = Host::new(POLICY);
    host.begin("GET", "/v1/models?limit=3");
    host.send_headers(true);
    let list = host.reply_json();
    assert_eq!(list["object"], "list");
    let ids: Vec<&str> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["id"].as_str().unwrap())
        .collect();
    assert!(ids.contains(&"tiny") && ids.contains(&"huge") && ids.contains(&"auto"));
    // Fields that Anthropic's clients read in the same answer.
    let ends = [list["first_id"].as_str(), list["last_id"].as_str()];
    assert_eq!(ends, [ids.first().copied(), ids.last().copied()]);
    assert_eq!(list["has_more"], false);
    assert_eq!(list["data"][0]["type"], "model");
    assert_eq!(list["data"][0]["display_name"], ids[0]);

    for (name, status) in [("huge", 200), ("auto:fast", 200), ("other", 404)] {
        let mut host = Host::new(POLICY);
        host.begin("GET", &format!("/v1/models/{name}"));
        host.send_headers(true);
        assert_eq!(host.reply().unwrap().status, status);
    }
    let mut host = Host::without_policy();
    host.begin("GET", "/v1/models");
    host.send_headers(true);
    assert_eq!(host.effects, [Effect::Continue]);
}

#[test]
fn a_dry_run_shows_the_decision_and_every_candidate() {
    let run = |body: &str| {
        let mut host = Host::new(POLICY);
        host.begin("POST", "/v1/route");
        host.send_headers(false);
        host.send_chunk(body.as_bytes(), true);
        assert!(host.held);
        assert_eq!(host.reply().unwrap().status, 200);
        assert_eq!(host.header("x-to"), None);
        assert_eq!(host.counts(), [""; 0]);
        host.reply_json()
    };
    let routed = run(&ask("tiny", "hello"));
    assert_eq!(routed["outcome"], "routed");
    assert_eq!(routed["backend"], "cpu-1");
    let candidates = routed["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 3);
    assert_eq!(candidates[1]["why_not"]["code"], "not_the_model");
    assert_eq!(run(&ask("nobody", "hello"))["outcome"], "rejected");
    assert_eq!(run("{")["outcome"], "bypassed");
}

#[test]
fn a_policy_that_changes_under_way_does_not_change_the_request() {
    let mut host = Host::new(POLICY);
    host.begin("POST", "/v1/chat/completions");
    host.send_headers(false);
    let other = POLICY.replace("cluster-cpu", "elsewhere");
    host.policy = Some(Rc::new(Policy::compile(&other).unwrap()));
    host.send_chunk(ask("tiny", "hello").as_bytes(), true);
    assert_eq!(host.header("x-to"), Some("cluster-cpu"));
}

#[test]
fn no_order_of_events_panics() {
    let headers: &[Header<'_>] = &[(b":method", b"POST"), (b":path", b"/v1/chat/completions")];
    let event = |number: usize| match number {
        0 => Event::RequestHeaders {
            headers,
            end_of_stream: false,
        },
        1 => Event::RequestBody {
            held: 3,
            end_of_stream: true,
        },
        2 => Event::RequestTrailers,
        3 => Event::Answer(Answer::RequestBody {
            bytes: Some(b"{}"),
            now_ns: u64::MAX,
        }),
        4 => Event::Answer(Answer::Clock(0)),
        5 => Event::ResponseHeaders,
        6 => Event::Answer(Answer::UpstreamHost(Some("lpu-1"))),
        _ => Event::Answer(Answer::AttemptCount(None)),
    };
    let policy = Rc::new(Policy::compile(POLICY).unwrap());
    let mut router = Router::with_features_only();
    for order in 0..8_usize.pow(5) {
        let mut stream = Stream::new();
        let mut rest = order;
        for _ in 0..5 {
            let mut worker = Worker {
                cluster_header: "x-to",
                failover: Failover::PerAttempt,
                plugin: 7,
                filter_state: state::FilterState::All,
                policy: Some(&policy),
                router: Some(&mut router),
                stats: None,
                find_maker: &|_| None,
                receipts: ReceiptAuthority::NONE,
                grades: KnownGrades::NONE,
            };
            stream.on(event(rest % 8), &mut worker);
            rest /= 8;
        }
    }
}

#[test]
fn a_chain_is_named_and_the_answer_says_which_backend_gave_it() {
    let mut host = Host::new(POLICY);
    host.failover = Failover::PerAttempt;
    let body = ask("huge", "hello");
    host.begin("POST", "/v1/chat/completions");
    host.set("content-length", &body.len().to_string());
    host.send_headers(false);
    host.send_chunk(body.as_bytes(), true);
    assert_eq!(host.header("x-to"), Some("cluster-gpu"));
    let chain = FallbackChain::parse(host.state(state::CHAIN).unwrap().as_bytes()).unwrap();
    assert_eq!(host.header(header::CHAIN), Some("2"));
    assert_eq!(host.header("x-envoy-max-retries"), Some("1"));
    // Pinned: the other backend of the same model, and no other model.
    assert_eq!(chain.backends, [backend_key("gpu-1"), backend_key("lpu-1")]);
    let length = host.header("content-length").unwrap();
    assert_eq!(chain.content_length, length.parse().ok());
    let response = host.response();
    assert!(response.contains(&(header::BACKEND, "lpu-1".to_owned())));
    assert!(response.contains(&(header::ATTEMPTS, "2".to_owned())));
    assert!(response.contains(&(header::REASON, "fallback".to_owned())));
    assert_eq!(host.state(state::BACKEND), Some("lpu-1"));
    assert_eq!(host.state(state::REASON), Some("fallback"));
    assert_eq!(
        host.counts(),
        ["pointsman.fallbacks.model.huge.backend.lpu-1"]
    );
}

#[test]
fn an_aggregate_is_named_by_its_clusters_and_its_host_identifies_the_backend() {
    let mut host = Host::new(POLICY);
    host.failover = Failover::Aggregate {
        max_chain_length: 2,
    };
    host.begin("POST", "/v1/chat/completions");
    host.send_headers(false);
    host.send_chunk(ask("huge", "hello").as_bytes(), true);
    assert_eq!(host.header("x-to"), Some("cluster-gpu+cluster-lpu"));
    let response = host.response();
    assert!(response.contains(&(header::BACKEND, "lpu-1".to_owned())));
}
