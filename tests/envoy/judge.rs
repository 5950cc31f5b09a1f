//! A judge that is asked in the midst of a request: its grade moves the choice, and whatever it does instead of grading, no client
//! notices.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::OnceLock;
use std::time::Duration;

use pointsman::api::Api;
use pointsman::policy::Policy;
use pointsman::routing::decision::Outcome;
use pointsman::routing::judge::Judging;
use pointsman::routing::router::Router;
use pointsman_harness::config::Config;
use pointsman_harness::envoy::Envoy;
use pointsman_harness::http1::{Pieces, Request};
use pointsman_harness::http2;
use pointsman_harness::judge::{Behaviour, Judge, SUBJECTS};
use pointsman_harness::metrics;
use serde_json::{Value, json};

use crate::Test;
use crate::world::{CHAT, Case, Exchange};

pub const TESTS: &[Test] = &[
    ("judge::grades_move_the_choice", grades_move_the_choice),
    ("judge::bodies_of_every_kind", bodies_of_every_kind),
    ("judge::failures_are_nobodys", failures_are_nobodys),
    (
        "judge::clusters_that_are_not_there",
        clusters_that_are_not_there,
    ),
    (
        "judge::equal_questions_are_asked_once",
        equal_questions_are_asked_once,
    ),
    ("judge::clients_leave_while_held", clients_leave_while_held),
    ("judge::what_is_not_asked", what_is_not_asked),
    ("judge::shadow_holds_nothing", shadow_holds_nothing),
];

/// The cheap and the dear backend, and their clusters.
const EASY: &str = "small";
const HARD: &str = "large";

/// Prompts among which those are sought that the judge is asked about.
const PROMPTS: usize = 80;

/// How many of them the tests need.
const NEEDED: usize = 24;

/// The least quality at which a grade can change the choice for most prompts, and prompts that the judge is asked about. Found by the
/// core itself, so that another classifier does not turn the tests into others. The profile looks at cost alone: what quality is
/// worth would depend on the requests before, which workers share out by chance.
fn plan() -> &'static (f64, Vec<String>) {
    static PLAN: OnceLock<(f64, Vec<String>)> = OnceLock::new();
    PLAN.get_or_init(|| {
        let (mut router, _) = Router::new();
        let mut askable = |least: f64| {
            let policy = Policy::compile(&policy(least, &json!({})).to_string()).unwrap();
            let mut is_asked = |prompt: &String| {
                let outcome = router.route(&policy, Api::OpenAiChat, &ask(prompt), true);
                matches!(outcome, Outcome::Routed(decision) if matches!(decision.judging, Some(Judging::Ask(_))))
            };
            let all = (0..PROMPTS).map(prompt);
            all.filter(|prompt| is_asked(prompt)).collect::<Vec<String>>()
        };
        let floors = (1..50).map(|step| f64::from(step) * 0.02);
        let plans = floors.map(|least| (least, askable(least)));
        let plan = plans.max_by_key(|(_, prompts)| prompts.len()).unwrap();
        assert!(
            plan.1.len() >= NEEDED,
            "of {PROMPTS} prompts {} can be asked about",
            plan.1.len()
        );
        plan
    })
}

/// A prompt that the judge is asked about, another one for each number.
fn worthy(number: usize) -> &'static str {
    let prompts = &plan().1;
    &prompts[number % prompts.len()]
}

/// The shipped configuration with two models and a judge.
fn config(case: &Case, judge: &Judge, more: &Value) -> Config {
    let clusters = case.backends().clusters();
    with_judge(case, more).with_clusters(clusters.chain([("judge", judge.address())]))
}

fn with_judge(case: &Case, more: &Value) -> Config {
    case.config().with_policy(policy(plan().0, more))
}

fn policy(least_quality: f64, more: &Value) -> Value {
    let mut judge = json!({
        "cluster": "judge", "model": "judge-1", "max_share": 1, "deadline_ms": 2000,
        "price": {"input": 0.01}, "evidence": {"slope": 1, "intercept": 1.8, "variance": 0.3},
    });
    if let (Some(all), Some(more)) = (judge.as_object_mut(), more.as_object()) {
        all.extend(more.clone());
    }
    let backend = |name: &str, model: &str, cluster: &str, price: f64| {
        json!({
            "name": name, "model": model, "cluster": cluster, "price": {"input": price, "output": price},
            "apis": ["openai_chat"],
        })
    };
    // As the simulated backends know them.
    let served = |mut backend: Value, name: &str| {
        backend["served_model"] = json!(name);
        backend
    };
    let mut house = backend("house", "llama-3.1-8b", "cpu", 1.5);
    house["served_model"] = json!("llama-3.2-1b");
    house["tags"] = json!(["house"]);
    json!({
        "version": "judged",
        "default_cluster": "gpu",
        "latency_source": "declared",
        "models": [
            {"name": "llama-3.1-8b", "context_window": 131_072, "benchmarks": {"mmlu": 0.68}},
            {"name": "gpt-4o", "context_window": 131_072, "benchmarks": {"mmlu": 0.86}},
        ],
        "backends": [
            served(backend(EASY, "llama-3.1-8b", "lpu", 1.0), "llama-3.1-8b-instant"),
            backend(HARD, "gpt-4o", "serverless", 10.0),
            house,
        ],
        "profiles": {"judged": {"weights": {"cost": 1}, "limits": {"min_quality": least_quality}}},
        "rules": [{"name": "cards", "when": {"sensitive": ["card"]}, "then": {"tags": ["house"]}}],
        "judge": judge,
    })
}

/// A request for an answer to this prompt.
fn ask(prompt: &str) -> Vec<u8> {
    let messages = json!([{"role": "user", "content": prompt}]);
    json!({"model": "judged", "messages": messages})
        .to_string()
        .into_bytes()
}

/// A prompt, another one for each number.
fn prompt(number: usize) -> String {
    let (thing, ask) = (
        SUBJECTS[number % 8],
        [
            "Tell me about",
            "Write about",
            "What do you know about",
            "Report on",
            "Talk about",
            "Explain",
            "Describe",
            "Sum up",
            "Say something about",
            "Give an overview of",
        ][number / 8 % 10],
    );
    format!("{ask} the causes of {thing}.")
}

fn send(case: &Case, envoy: &Envoy, prompt: &str) -> Exchange {
    case.send_to(envoy.address(), Request::post(CHAT, &ask(prompt)))
}

fn questions(envoy: &Envoy, result: &str) -> f64 {
    let labels = [("result", result)];
    metrics::sum(&envoy.metrics(), "pointsman_judge_questions", &labels)
}

fn assert_judged(done: &Exchange, backend: &str, judge: &str) {
    assert_eq!(done.status(), 200, "{}", done.response.text());
    let verdict = done.reported("judge").unwrap_or_default();
    assert_eq!(done.reported("backend"), Some(backend), "{verdict}");
    assert!(verdict.starts_with(judge), "{verdict} instead of {judge}");
    let stage = if judge.starts_with(|c: char| c.is_ascii_digit()) {
        "judge"
    } else {
        "classifier"
    };
    assert_eq!(done.reported("stage"), Some(stage));
}

fn grades_move_the_choice(case: &Case) {
    let judge = Judge::start(Behaviour::Grade(9)).unwrap();
    let envoy = case.start(&config(case, &judge, &json!({})));
    let easy = send(case, &envoy, worthy(1));
    assert_judged(&easy, EASY, "0.989;ms=");
    assert_eq!(easy.only().0, "lpu");
    judge.behave(Behaviour::Grade(0));
    let hard = send(case, &envoy, worthy(2));
    assert_judged(&hard, HARD, "0.011;ms=");
    assert_eq!(hard.only().0, "serverless");
    assert_eq!(questions(&envoy, "graded"), 2.0);
    let samples = envoy.metrics();
    let changes = metrics::sum(&samples, "pointsman_judge_changes", &[]);
    assert!((1.0..=2.0).contains(&changes), "{changes}");
    // 200 tokens at 0.01 USD a million, twice.
    let cost = metrics::sum(&samples, "pointsman_judge_cost_nano_usd", &[]);
    assert_eq!(cost, 4000.0);
    let is_logged = |envoy: &Envoy| {
        let lines = envoy.access_log();
        lines
            .iter()
            .any(|line| line["judge_grade"] == "0.989" && line["stage"] == "judge")
    };
    assert!(envoy.wait_for(is_logged), "{:?}", envoy.access_log());
}

/// A held body and a callout keep the stream paused, whatever comes with it.
fn bodies_of_every_kind(case: &Case) {
    let judge = Judge::start(Behaviour::Late(9, Duration::from_millis(60))).unwrap();
    let envoy = case.start(&config(case, &judge, &json!({})));
    let mut number = 100;
    let mut body_of = |padding: usize| {
        number += 1;
        let messages = json!([{"role": "user", "content": worthy(number)}]);
        let padding = "pad ".repeat(padding / 4);
        let body = json!({"model": "judged", "messages": messages, "zz_padding": padding});
        body.to_string().into_bytes()
    };
    for (padding, pieces) in [
        (0, Pieces::One),
        (0, Pieces::Of(7)),
        (0, Pieces::Chunked(50)),
        (100_000, Pieces::One),
        (200_000, Pieces::Chunked(60_000)),
    ] {
        let body = body_of(padding);
        let request = Request::post(CHAT, &body).pieces(pieces);
        let done = case.send_to(envoy.address(), request);
        assert_judged(&done, EASY, "0.989;ms=");
        done.assert_rewritten("lpu", &body, "judged", "llama-3.1-8b-instant");
    }
    // Behind a body with trailers the end of the stream comes with these.
    let (body, id) = (body_of(0), case.id());
    let headers: [(&str, &[u8]); 2] = [
        ("content-type", b"application/json"),
        ("x-test-id", id.as_bytes()),
    ];
    let (start, end) = body.split_at(20);
    let response = http2::exchange(
        envoy.address(),
        ("POST", CHAT),
        &headers,
        &[start, end],
        &[("x-end", "yes")],
    );
    let done = case.exchange(&id, response.unwrap());
    assert_judged(&done, EASY, "0.989;ms=");
    assert_eq!(done.only().0, "lpu");
    // A client that waits for leave to send its body.
    let body = body_of(0);
    let request = Request::post(CHAT, &body).header("expect", b"100-continue");
    assert_judged(&case.send_to(envoy.address(), request), EASY, "0.989;ms=");
    assert_eq!(judge.asked().len(), 7);
}

fn failures_are_nobodys(case: &Case) {
    let long = vec![b' '; 5 << 20];
    for (behaviour, results) in [
        (Behaviour::Silence, &["timeout"][..]),
        (Behaviour::HangUp, &["error_status", "reset"]),
        (
            Behaviour::Raw(200, b"<html>nonsense".to_vec()),
            &["not_json"],
        ),
        (Behaviour::Text("I cannot say.".to_owned()), &["no_grade"]),
        (Behaviour::Raw(500, b"{}".to_vec()), &["error_status"]),
        (Behaviour::Raw(429, b"{}".to_vec()), &["error_status"]),
        (Behaviour::Raw(200, long), &["too_long", "timeout", "reset"]),
        (
            Behaviour::Slowly(9, Duration::from_millis(20)),
            &["timeout"],
        ),
    ] {
        let judge = Judge::start(behaviour.clone()).unwrap();
        let envoy = case.start(&config(case, &judge, &json!({"deadline_ms": 150})));
        let mut asked = 0;
        for number in 0..24 {
            let done = send(case, &envoy, worthy(number));
            assert_eq!(done.status(), 200, "{}", done.response.text());
            done.only();
            assert_eq!(done.reported("stage"), Some("classifier"));
            let verdict = done.reported("judge").unwrap_or_default().to_owned();
            match verdict.split_once(";ms=") {
                Some((result, _)) => {
                    asked += 1;
                    assert!(
                        results.contains(&result),
                        "{verdict} instead of {results:?}"
                    );
                }
                None => assert_eq!(verdict, "not_asked;reason=breaker_open"),
            }
        }
        // Five of each worker.
        assert!(
            (5..=10).contains(&asked),
            "{asked} of {:.60}",
            format!("{behaviour:?}")
        );
        assert!(judge.asked().len() <= 10);
    }
    // A judge that lies each time says what it says: a choice, and no error.
    let judge = Judge::start(Behaviour::Text("9".to_owned())).unwrap();
    let envoy = case.start(&config(case, &judge, &json!({})));
    for number in 0..12 {
        assert_judged(&send(case, &envoy, worthy(number)), EASY, "1;");
    }
}

fn clusters_that_are_not_there(case: &Case) {
    let clusters = || case.backends().clusters();
    let missing = with_judge(case, &json!({})).with_clusters(clusters());
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let empty = with_judge(case, &json!({})).with_clusters(clusters().chain([("judge", nowhere)]));
    let refused = empty.clone();
    let last = clusters().count();
    let endpoints = format!("/static_resources/clusters/{last}/load_assignment/endpoints");
    let empty = empty.set(&endpoints, json!([]));
    for (config, results) in [
        (missing, &["not_sent"][..]),
        (empty, &["not_sent", "error_status"]),
        (refused, &["error_status"]),
    ] {
        let envoy = case.start(&config);
        for number in 0..16 {
            let done = send(case, &envoy, worthy(number));
            assert_eq!(done.status(), 200, "{}", done.response.text());
            done.only();
            let verdict = done.reported("judge").unwrap_or_default();
            let result = verdict.split(';').next().unwrap_or_default();
            assert!(
                results.contains(&result) || result == "not_asked",
                "{verdict}"
            );
        }
    }
}

fn equal_questions_are_asked_once(case: &Case) {
    let judge = Judge::start(Behaviour::Late(9, Duration::from_millis(700))).unwrap();
    let envoy = case.start(&config(case, &judge, &json!({})));
    let all = |number: usize, count: usize| -> Vec<Exchange> {
        std::thread::scope(|scope| {
            let send = || scope.spawn(|| send(case, &envoy, worthy(number)));
            let started: Vec<_> = (0..count).map(|_| send()).collect();
            started.into_iter().map(|one| one.join().unwrap()).collect()
        })
    };
    let first = all(1, 8);
    // One of each worker; the others wait for it.
    let asked = judge.asked().len();
    assert!((1..=2).contains(&asked), "{asked}");
    for done in &first {
        assert_judged(done, EASY, "0.989;ms=");
    }
    assert_eq!(questions(&envoy, "joined"), (8 - asked) as f64);
    for done in all(1, 8) {
        assert_judged(&done, EASY, "0.989;cached");
    }
    // White space and case make no other question.
    let other = worthy(1).to_uppercase().replace(' ', "  ");
    assert_judged(&send(case, &envoy, &other), EASY, "0.989;cached");
    assert_eq!(judge.asked().len(), asked);
}

fn clients_leave_while_held(case: &Case) {
    let judge = Judge::start(Behaviour::Late(9, Duration::from_millis(500))).unwrap();
    let envoy = case.start(&config(case, &judge, &json!({})));
    for round in 0..6 {
        let body = ask(worthy(round));
        let before = judge.asked().len();
        let mut leaving: Vec<TcpStream> = Vec::new();
        for _ in 0..4 {
            let mut stream = TcpStream::connect(envoy.address()).unwrap();
            let length = body.len();
            let head =
                format!("POST {CHAT} HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&body).unwrap();
            leaving.push(stream);
        }
        let is_asked = |_: &Envoy| judge.asked().len() > before;
        assert!(envoy.wait_for(is_asked));
        // Those who wait for the reply to another client's question get an answer, whoever leaves.
        std::thread::scope(|scope| {
            let staying: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| send(case, &envoy, worthy(round))))
                .collect();
            std::thread::sleep(Duration::from_millis(100));
            drop(leaving);
            for stays in staying {
                let done = stays.join().unwrap();
                assert_eq!(done.status(), 200, "{}", done.response.text());
                done.only();
            }
        });
    }
    assert!(envoy.wait_for(|envoy| questions(envoy, "abandoned") >= 6.0));
    let done = send(case, &envoy, worthy(NEEDED - 1));
    assert_judged(&done, EASY, "0.989;ms=");
    let log = envoy.log();
    assert!(
        !log.contains("panicked") && !log.contains("wasm_fail"),
        "{log}"
    );
}

fn what_is_not_asked(case: &Case) {
    let judge = Judge::start(Behaviour::Grade(9)).unwrap();
    let envoy = case.start(&config(case, &judge, &json!({})));
    let reason = |done: &Exchange| done.reported("judge").unwrap_or_default().to_owned();
    // A model that the client names.
    let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": worthy(1)}]});
    let body = body.to_string().into_bytes();
    let pinned = case.send_to(envoy.address(), Request::post(CHAT, &body));
    assert_eq!(reason(&pinned), "not_asked;reason=pinned");
    // A text that rules restrict to a tag that the judge does not have.
    let secret = |number| format!("{} My card is 4111 1111 1111 1111.", worthy(number));
    for number in 0..8 {
        let done = send(case, &envoy, &secret(number));
        assert_eq!(done.reported("backend"), Some("house"));
        assert!(reason(&done).starts_with("not_asked;"), "{}", reason(&done));
    }
    // An agent's tool results.
    let body = json!({"model": "judged", "messages": [
        {"role": "user", "content": worthy(2)},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "done"},
    ]});
    let body = body.to_string().into_bytes();
    let tools = case.send_to(envoy.address(), Request::post(CHAT, &body));
    assert!(
        reason(&tools).starts_with("not_asked;"),
        "{}",
        reason(&tools)
    );
    assert!(judge.asked().is_empty());

    // What is sent has nothing of the client but the prompt.
    let body = ask(worthy(3));
    let request = Request::post(CHAT, &body)
        .header("authorization", b"Bearer client-secret")
        .header("cookie", b"client=secret")
        .header("x-api-key", b"client-secret")
        .header("x-forwarded-for", b"192.0.2.7");
    assert_judged(&case.send_to(envoy.address(), request), EASY, "0.989;ms=");
    let asked = judge.asked();
    let head = asked[0].head.to_lowercase();
    for absent in [
        "secret",
        "authorization",
        "cookie",
        "192.0.2.7",
        "x-api-key",
        "x-pointsman",
    ] {
        assert!(!head.contains(absent), "{head}");
    }
    assert!(head.starts_with("post /v1/chat/completions "), "{head}");
    assert!(asked[0].material().contains(worthy(3)));
    assert_eq!(asked[0].body["max_tokens"], 1);

    // A judge that has the tag may see the text.
    let more = json!({"tags": ["house"]});
    let config = config(case, &judge, &more)
        .set_policy("backends/0/tags", json!(["house"]))
        .set_policy("backends/1/tags", json!(["house"]));
    let envoy = case.start(&config);
    for number in 0..8 {
        assert_eq!(send(case, &envoy, &secret(number)).status(), 200);
    }
    assert!(judge.asked().len() > 1);
}

fn shadow_holds_nothing(case: &Case) {
    let judge = Judge::start(Behaviour::Late(0, Duration::from_millis(50))).unwrap();
    let config = config(case, &judge, &json!({"mode": "shadow"}));
    let envoy = case.start(&config);
    for number in 0..8 {
        let done = send(case, &envoy, worthy(number));
        assert_eq!(done.status(), 200, "{}", done.response.text());
        assert_eq!(done.reported("stage"), Some("classifier"));
        done.only();
    }
    assert!(judge.asked().len() >= 8);
    // A client that has its answer is gone before the reply: that is counted too.
    let ends = |envoy: &Envoy| questions(envoy, "graded") + questions(envoy, "abandoned");
    assert!(envoy.wait_for(|envoy| ends(envoy) >= 8.0));
}
