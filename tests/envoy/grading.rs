//! A judge that grades answers after they were delivered: grades are learned from, and neither the judge nor its absence is felt by a
//! client.

use std::collections::BTreeSet;
use std::time::Duration;

use pointsman_harness::config::Config;
use pointsman_harness::envoy::Envoy;
use pointsman_harness::http1::Request;
use pointsman_harness::judge::{Behaviour, Judge};
use pointsman_harness::metrics;
use serde_json::{Value, json};

use crate::Test;
use crate::receipts::{NEW, with_receipts};
use crate::world::{CHAT, Case, Exchange};

pub const TESTS: &[Test] = &[
    ("grading::grades_are_learned_from", grades_are_learned_from),
    (
        "grading::nobody_waits_for_a_grade",
        nobody_waits_for_a_grade,
    ),
    (
        "grading::what_rules_keep_is_not_sent",
        what_rules_keep_is_not_sent,
    ),
    (
        "grading::a_judge_that_leads_back_grades_once",
        a_judge_that_leads_back_grades_once,
    ),
];

const MODEL: &str = "llama-3.1-8b";

/// Two models, one of them on the premises too, and a judge that grades all answers and is asked nothing else.
fn config(case: &Case, address: std::net::SocketAddr, more: &Value) -> Config {
    let mut judge = json!({
        "cluster": "judge", "model": "grader", "max_share": 0, "grade_share": 1, "price": {"input": 0.01},
    });
    if let (Some(all), Some(more)) = (judge.as_object_mut(), more.as_object()) {
        all.extend(more.clone());
    }
    let policy = json!({
        "version": "graded", "default_cluster": "gpu", "latency_source": "declared", "route_endpoint": "on",
        "models": [
            {"name": MODEL, "context_window": 131_072, "benchmarks": {"mmlu": 0.68}},
            {"name": "gpt-4o", "context_window": 131_072, "benchmarks": {"mmlu": 0.86}},
        ],
        "backends": [
            {"name": "small", "model": MODEL, "served_model": "llama-3.1-8b-instant", "cluster": "lpu",
             "price": {"input": 1, "output": 1}, "apis": ["openai_chat"]},
            {"name": "large", "model": "gpt-4o", "cluster": "serverless", "price": {"input": 10, "output": 10}, "apis": ["openai_chat"]},
            {"name": "house", "model": MODEL, "served_model": "llama-3.2-1b", "cluster": "cpu",
             "price": {"input": 1.5, "output": 1.5}, "apis": ["openai_chat"], "tags": ["house"]},
        ],
        "rules": [{"name": "cards", "when": {"sensitive": ["card"]}, "then": {"tags": ["house"]}}],
        "learning": {"mode": "observe", "max_per_tenant_hour": 0, "outcomes": {"judge": 1}},
        "judge": judge,
    });
    let clusters = case.backends().clusters().chain([("judge", address)]);
    let config = case.config().with_policy(policy).with_clusters(clusters);
    with_receipts(config, &[NEW])
}

fn graded(envoy: &Envoy, result: &str) -> f64 {
    let labels = [("result", result)];
    metrics::sum(&envoy.metrics(), "pointsman_judge_gradings", &labels)
}

fn send(case: &Case, envoy: &Envoy, prompt: &str, stream: bool) -> Exchange {
    // Without a bound: an answer that its limit cuts off is not graded.
    let messages = json!([{"role": "user", "content": prompt}]);
    let body = json!({"model": MODEL, "stream": stream, "messages": messages});
    let body = body.to_string().into_bytes();
    let done = case.send_to(envoy.address(), Request::post(CHAT, &body));
    assert_eq!(done.status(), 200, "{}", done.response.text());
    done
}

/// The text of an answer as its client puts it together.
fn text(done: &Exchange) -> String {
    let all = done.response.text();
    let documents: Vec<&str> = match all.starts_with('{') {
        true => vec![&all],
        false => all
            .lines()
            .filter_map(|line| line.strip_prefix("data: {"))
            .collect(),
    };
    let part = |document: &&str| {
        let whole = match document.starts_with('{') {
            true => (*document).to_owned(),
            false => format!("{{{document}"),
        };
        let document: Value = serde_json::from_str(&whole).unwrap();
        let choice = &document["choices"][0];
        let content = choice["message"]["content"].as_str();
        let piece = choice["delta"]["content"].as_str();
        content.or(piece).unwrap_or_default().to_owned()
    };
    documents.iter().map(part).collect()
}

/// As much of an ASCII text as the judge gets.
fn start(text: &str) -> String {
    match text.get(..8192) {
        Some(start) if text.len() > 8192 => format!("{} [cut]", start.trim()),
        _ => text.to_owned(),
    }
}

fn grades_are_learned_from(case: &Case) {
    const COUNT: usize = 30;
    let judge = Judge::start(Behaviour::Grade(0)).unwrap();
    let config = config(case, judge.address(), &json!({}));
    let envoy = case.start(&config);
    let mut answers = BTreeSet::new();
    for number in 0..COUNT {
        let prompt = format!("Question {number}: what is the capital of France?");
        let done = send(case, &envoy, &prompt, number % 2 == 0);
        answers.insert(format!(
            "<request>\n{prompt}\n</request>\n<answer>\n{}\n</answer>",
            start(text(&done).trim())
        ));
    }
    assert!(
        envoy.wait_for(|envoy| graded(envoy, "graded") == COUNT as f64),
        "{}",
        envoy.log()
    );
    // Each answer once, with its own prompt, as its client got it.
    let asked = judge.asked();
    let sent: BTreeSet<String> = asked.iter().map(|one| one.material().to_owned()).collect();
    assert_eq!((asked.len(), sent), (COUNT, answers));
    for absent in ["authorization", "cookie", "x-test-id", "x-pointsman"] {
        assert!(
            !asked[0].head.to_lowercase().contains(absent),
            "{}",
            asked[0].head
        );
    }

    // As thirty people would have said that the answers are useless.
    let of_model = [("model", MODEL)];
    let gauge = |envoy: &Envoy, name: &str| metrics::sum(&envoy.metrics(), name, &of_model);
    let is_learned = |envoy: &Envoy| gauge(envoy, "pointsman_learned_outcomes") >= COUNT as f64;
    assert!(envoy.wait_for(is_learned), "nothing was learned");
    let stated = gauge(&envoy, "pointsman_stated_quality_percent");
    let learned = gauge(&envoy, "pointsman_learned_quality_percent");
    assert!(learned + 20.0 < stated, "{learned} of {stated}");
    let samples = envoy.metrics();
    let bad = [("model", MODEL), ("verdict", "bad"), ("source", "judge")];
    assert_eq!(
        metrics::sum(&samples, "pointsman_outcomes", &bad),
        COUNT as f64
    );
    // 200 tokens at 0.01 USD a million, each.
    let cost = metrics::sum(&samples, "pointsman_judge_cost_nano_usd", &[]);
    assert_eq!(cost, 2000.0 * COUNT as f64);

    // The log teaches as much offline.
    let folder = tempfile::tempdir().unwrap();
    let (log, policy) = (
        folder.path().join("envoy.log"),
        folder.path().join("policy.json"),
    );
    let lines = envoy.log();
    let lines: Vec<&str> = lines
        .lines()
        .filter(|line| line.contains("grade of the judge"))
        .collect();
    assert_eq!(lines.len(), COUNT, "{lines:?}");
    std::fs::write(&log, lines.join("\n")).unwrap();
    std::fs::write(&policy, config.plugin_configuration()["policy"].to_string()).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .arg("learn")
        .args([std::path::Path::new("--policy"), &policy])
        .args([std::path::Path::new("--log"), &log])
        .args([
            std::path::Path::new("--out"),
            &folder.path().join("learned.json"),
        ])
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}");
    assert!(printed.contains("30"), "{printed}");
}

/// While the judge is silent every answer comes as it is without one, and what waits is bounded.
fn nobody_waits_for_a_grade(case: &Case) {
    const COUNT: usize = 160;
    let judge = Judge::start(Behaviour::Late(9, Duration::from_secs(5))).unwrap();
    let envoy = case.start(&config(case, judge.address(), &json!({})));
    let plain = case.start(&config(case, judge.address(), &json!({"mode": "off"})));
    for stream in [false, true] {
        let prompt = "What is the capital of France?";
        let (with, without) = (
            send(case, &envoy, prompt, stream),
            send(case, &plain, prompt, stream),
        );
        assert_eq!(text(&with), text(&without));
        let kinds = |done: &Exchange| done.response.header("content-type").map(str::to_owned);
        assert_eq!(kinds(&with), kinds(&without));
    }
    std::thread::scope(|scope| {
        for lane in 0..8 {
            let envoy = &envoy;
            scope.spawn(move || {
                for number in 0..COUNT / 8 {
                    let prompt =
                        format!("Question {lane}.{number}: what is the capital of France?");
                    send(case, envoy, &prompt, number % 2 == 0);
                }
            });
        }
    });
    // Eight calls and thirty-two answers of each worker at a time; the others are dropped.
    assert!(envoy.wait_for(|envoy| graded(envoy, "dropped") >= (COUNT - 80 - 16) as f64));
    assert!(judge.asked().len() <= 32, "{}", judge.asked().len());
    let log = envoy.log();
    assert!(
        !log.contains("panicked") && !log.contains("wasm_fail"),
        "{log}"
    );
}

fn what_rules_keep_is_not_sent(case: &Case) {
    let judge = Judge::start(Behaviour::Grade(9)).unwrap();
    let envoy = case.start(&config(case, judge.address(), &json!({})));
    let secret =
        |number| format!("Question {number}: my card is 4111 1111 1111 1111, is it valid?");
    for number in 0..6 {
        assert_eq!(
            send(case, &envoy, &secret(number), false).reported("backend"),
            Some("house")
        );
        send(
            case,
            &envoy,
            &format!("Question {number}: where is Paris?"),
            false,
        );
    }
    assert!(envoy.wait_for(|envoy| graded(envoy, "graded") == 6.0));
    let asked = judge.asked();
    assert_eq!(asked.len(), 6);
    assert!(asked.iter().all(|one| !one.material().contains("4111")));
    // A judge on the premises may see it.
    let envoy = case.start(&config(case, judge.address(), &json!({"tags": ["house"]})));
    send(case, &envoy, &secret(7), false);
    assert!(envoy.wait_for(|envoy| graded(envoy, "graded") == 1.0));
    assert!(judge.asked().last().unwrap().material().contains("4111"));
}

/// The judge's cluster is the proxy itself, and its model one of the policy's.
fn a_judge_that_leads_back_grades_once(case: &Case) {
    let judge = Judge::start(Behaviour::Grade(9)).unwrap();
    let front = case.start(&config(case, judge.address(), &json!({})));
    let back = config(case, front.address(), &json!({"model": MODEL}));
    let envoy = case.start(&back);
    for number in 0..5 {
        send(
            case,
            &envoy,
            &format!("Question {number}: where is Paris?"),
            false,
        );
    }
    // The model's answers to the questions are no grades, and nobody grades them.
    let ends = |envoy: &Envoy| metrics::sum(&envoy.metrics(), "pointsman_judge_gradings", &[]);
    assert!(
        envoy.wait_for(|envoy| ends(envoy) == 5.0),
        "{}",
        ends(&envoy)
    );
    assert!(judge.asked().is_empty());
    assert_eq!(ends(&front), 0.0);
}
