//! `POST /v1/feedback`: which receipts it takes, and what it answers.

use serde_json::{Value, json};

use super::receipts::{keys, receipt_of};
use super::*;
use crate::api::feedback::MAX_BODY_BYTES;
use crate::state::receipt::{Keys, Receipt};

const ON: &str = r#""receipts": {"mode": "on", "max_age_s": 3600}"#;
/// An hour after the receipts of these tests.
const NOW_NS: u64 = 1_764_003_600_000_000_000;

/// A host that takes feedback.
fn host() -> Host {
    let mut host = Host::new(&policy_with(ON));
    host.keys = keys();
    host.clock_ns = NOW_NS;
    host
}

/// Sends a body in pieces of so many bytes.
fn send_in(host: &mut Host, body: &str, size: usize) -> (u16, Value) {
    host.stream = Stream::new();
    host.effects.clear();
    host.body.clear();
    host.headers.clear();
    host.begin("POST", "/v1/feedback");
    host.send_headers(false);
    for piece in body.as_bytes().chunks(size) {
        assert!(host.held && host.reply().is_none());
        host.send_chunk(piece, false);
    }
    host.send_chunk(b"", true);
    let reply = host.reply().unwrap();
    (reply.status, serde_json::from_slice(&reply.body).unwrap())
}

fn send(host: &mut Host, body: &Value) -> (u16, Value) {
    let text = body.to_string();
    send_in(host, &text, text.len())
}

fn code(answer: &Value) -> &str {
    answer["error"]["code"].as_str().unwrap()
}

#[test]
fn an_answer_is_scored_by_any_proxy() {
    let receipt = receipt_of("tiny", "hello");
    let mut host = host();
    let (status, answer) = send(&mut host, &json!({"receipt": receipt, "score": 0.75}));
    assert_eq!(
        (status, answer),
        (202, json!({"accepted": 1, "rejected": []}))
    );
    assert_eq!(
        host.counts(),
        ["pointsman.outcomes.model.tiny.verdict.good.source.feedback"]
    );
    let logged = format!("{receipt}=0.75");
    assert_eq!(host.state(state::FEEDBACK), Some(logged.as_str()));
    let (status, answer) = send(&mut host, &json!({"receipt": receipt, "verdict": "bad"}));
    assert_eq!((status, code(&answer)), (409, "receipt_used"));
    assert_eq!(
        host.counts(),
        ["pointsman.feedback_rejected.cause.receipt_used"]
    );
    assert_eq!(host.state(state::FEEDBACK), None);
}

#[test]
fn a_body_comes_in_any_pieces_and_with_trailers() {
    for size in [1, 7, 64, 10_000] {
        let body = json!({"receipt": receipt_of("tiny", "hello"), "score": 0}).to_string();
        assert_eq!(send_in(&mut host(), &body, size).0, 202, "{size}");
    }
    let body = json!({"receipt": receipt_of("tiny", "hello"), "score": 0}).to_string();
    let mut host = host();
    host.begin("POST", "/v1/feedback");
    host.send_headers(false);
    host.send_chunk(body.as_bytes(), false);
    host.tell(Event::RequestTrailers);
    assert_eq!(host.reply().unwrap().status, 202);
}

#[test]
fn two_answers_are_compared_once() {
    let (better, worse) = (receipt_of("tiny", "hello"), receipt_of("huge", "hello"));
    let mut host = host();
    let (status, _) = send(&mut host, &json!({"better": better, "worse": worse}));
    assert_eq!(status, 202);
    assert_eq!(
        host.counts(),
        [
            "pointsman.outcomes.model.tiny.verdict.better.source.feedback",
            "pointsman.outcomes.model.huge.verdict.worse.source.feedback",
        ]
    );
    let logged = format!("{better}>{worse}");
    assert_eq!(host.state(state::FEEDBACK), Some(logged.as_str()));
    let (status, _) = send(&mut host, &json!({"better": worse, "worse": better}));
    assert_eq!(status, 409);
    let (status, _) = send(&mut host, &json!({"receipt": better, "score": 1}));
    assert_eq!(status, 202, "a score is another thing");
    let (status, answer) = send(&mut host, &json!({"better": better, "worse": better}));
    assert_eq!((status, code(&answer)), (400, "invalid_feedback"));
}

#[test]
fn a_list_takes_what_is_right() {
    let good = receipt_of("tiny", "hello");
    let mut forged = receipt_of("huge", "hello").into_bytes();
    forged[100] = if forged[100] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    let mut host = host();
    let list = json!([
        {"receipt": forged, "score": 1},
        {"replay_id": good, "verdict": "underpowered", "target": "model"},
        {"inference_id": good, "value": true, "metric_name": "thumbs"},
    ]);
    let (status, answer) = send(&mut host, &list);
    assert_eq!(status, 202);
    assert_eq!(answer["accepted"], 1);
    let rejected = |at: usize, name: &str| answer["rejected"][at][name].clone();
    assert_eq!(
        (rejected(0, "index"), rejected(0, "status")),
        (0.into(), 403.into())
    );
    assert_eq!(
        (rejected(1, "index"), rejected(1, "status")),
        (2.into(), 409.into())
    );
    assert_eq!(
        host.counts(),
        [
            "pointsman.outcomes.model.tiny.verdict.bad.source.feedback",
            "pointsman.feedback_rejected.cause.receipt_not_ours",
            "pointsman.feedback_rejected.cause.receipt_used",
        ]
    );
    // With nothing to take, the answer is the first refusal's.
    let (status, answer) = send(
        &mut host,
        &json!([{"receipt": forged, "score": 1}, {"receipt": good, "score": 1}]),
    );
    assert_eq!((status, code(&answer)), (403, "receipt_not_ours"));
    assert_eq!(answer["error"]["param"], "[0].receipt");
    assert_eq!(host.counts().len(), 2);
}

#[test]
fn each_refusal_has_its_status() {
    let receipt = receipt_of("tiny", "hello");
    let scored = |receipt: &str| json!({"receipt": receipt, "score": 1});
    let cut = receipt.get(..100).unwrap();
    for (body, status, expected, param) in [
        (json!({"receipt": receipt}), 400, "invalid_feedback", "body"),
        (
            json!({"receipt": receipt, "score": 7}),
            400,
            "invalid_feedback",
            "score",
        ),
        (scored("not a receipt"), 400, "invalid_receipt", "receipt"),
        (scored(cut), 400, "invalid_receipt", "receipt"),
        (
            json!([{"better": receipt, "worse": cut}]),
            400,
            "invalid_receipt",
            "[0].worse",
        ),
    ] {
        let (found, answer) = send(&mut host(), &body);
        assert_eq!((found, code(&answer)), (status, expected), "{body}");
        assert_eq!(answer["error"]["param"], param, "{body}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.starts_with(param), "{message}");
    }
    let (status, answer) = send_in(&mut host(), "{\"receipt\": ", 5);
    assert_eq!((status, code(&answer)), (400, "invalid_feedback"));
}

/// A key that was taken out, a clock that jumps, a policy and a model that are gone.
#[test]
fn receipts_outlive_what_made_them_as_far_as_they_may() {
    let receipt = receipt_of("tiny", "hello");
    let scored = json!({"receipt": receipt, "score": 1});
    let mut rotated = host();
    rotated.keys = Keys::new([&b"another key, since today"[..]]);
    assert_eq!(send(&mut rotated, &scored).0, 403);
    rotated.keys = Keys::new([
        &b"another key, since today"[..],
        super::receipts::KEY.as_bytes(),
    ]);
    assert_eq!(send(&mut rotated, &scored).0, 202);

    let mut late = host();
    late.clock_ns += 1_000_000_000;
    let (status, answer) = send(&mut late, &scored);
    assert_eq!((status, code(&answer)), (410, "receipt_expired"));
    // The clock jumps back, behind the decision.
    late.clock_ns = NOW_NS - 86_400_000_000_000;
    assert_eq!(send(&mut late, &scored).0, 202);

    let other = policy_with(ON).replace("tiny", "small");
    let mut renamed = host();
    renamed.policy = Some(Rc::new(Policy::compile(&other).unwrap()));
    assert_eq!(send(&mut renamed, &scored).0, 202);
    assert_eq!(
        renamed.counts(),
        ["pointsman.outcomes.model.unknown.verdict.good.source.feedback"]
    );
}

#[test]
fn a_dry_run_and_a_failure_teach_nothing() {
    let receipt = receipt_of("tiny", "hello");
    let mut host = host();
    for _ in 0..2 {
        let (status, _) = send(
            &mut host,
            &json!({"receipt": receipt, "score": 1, "dryrun": true}),
        );
        assert_eq!(status, 202);
        assert_eq!(host.counts(), [""; 0]);
        assert_eq!(host.state(state::FEEDBACK), None);
    }
    let (status, _) = send(
        &mut host,
        &json!({"replay_id": receipt, "verdict": "failed"}),
    );
    assert_eq!(status, 202);
    assert_eq!(
        host.counts(),
        ["pointsman.outcomes.model.tiny.verdict.failed.source.feedback"]
    );
    assert_eq!(host.state(state::FEEDBACK), None);
}

#[test]
fn long_and_packed_bodies_are_refused_before_they_are_read() {
    let mut long = host();
    long.begin("POST", "/v1/feedback");
    long.set("content-length", &(MAX_BODY_BYTES + 1).to_string());
    long.send_headers(false);
    assert_eq!(long.reply().unwrap().status, 413);

    let mut chunked = host();
    chunked.begin("POST", "/v1/feedback");
    chunked.send_headers(false);
    chunked.send_chunk(&vec![b' '; MAX_BODY_BYTES], false);
    assert!(chunked.reply().is_none());
    chunked.send_chunk(b" ", false);
    assert_eq!(chunked.reply().unwrap().status, 413);
    assert!(chunked.held);

    let mut packed = host();
    packed.begin("POST", "/v1/feedback");
    packed.set("content-encoding", "gzip");
    packed.send_headers(false);
    assert_eq!(packed.reply().unwrap().status, 415);

    let mut bare = host();
    bare.begin("POST", "/v1/feedback");
    bare.send_headers(true);
    assert_eq!(bare.reply().unwrap().status, 400);
}

#[test]
fn there_is_no_feedback_without_receipts_or_a_key() {
    let mut off = Host::new(POLICY);
    off.begin("POST", "/v1/feedback");
    off.send_headers(false);
    assert_eq!(off.reply().unwrap().status, 404);
    assert_eq!(off.reply_json()["error"]["code"], "receipts_off");

    let mut keyless = host();
    keyless.keys = Keys::NONE;
    keyless.begin("POST", "/v1/feedback");
    keyless.send_headers(false);
    assert_eq!(keyless.reply().unwrap().status, 503);
    assert_eq!(keyless.reply_json()["error"]["code"], "receipt_key_missing");

    let mut unreadable = host();
    unreadable.unreadable = true;
    let (status, answer) = send(&mut unreadable, &json!({"receipt": "x", "score": 1}));
    assert_eq!((status, code(&answer)), (503, "body_unreadable"));
}

#[test]
fn other_methods_and_paths_go_by() {
    for (policy, method, path) in [
        (policy_with(ON), "GET", "/v1/feedback"),
        (policy_with(ON), "POST", "/v1/feedbacks"),
        (policy_with(ON), "POST", "/app/v1/feedback"),
        (
            policy_with(r#""receipts": {"mode": "on"}, "mode": "shadow""#),
            "POST",
            "/v1/feedback",
        ),
    ] {
        let mut host = Host::new(&policy);
        host.keys = keys();
        host.begin(method, path);
        host.send_headers(false);
        assert!(host.reply().is_none() && !host.held, "{method} {path}");
    }
}

/// A receipt is judged by its content: written again, it is the same receipt.
#[test]
fn a_receipt_that_is_spelt_otherwise_is_the_same() {
    let receipt = receipt_of("tiny", "hello");
    let mut host = host();
    assert_eq!(
        send(&mut host, &json!({"receipt": receipt, "score": 1})).0,
        202
    );
    let spelt = receipt.replace('-', "+").replace('_', "/");
    assert!(Receipt::decode(&spelt, &keys()).is_ok());
    assert_eq!(
        send(&mut host, &json!({"receipt": spelt, "score": 1})).0,
        409
    );
}

#[test]
fn feedback_is_taken_without_values_for_logs() {
    let receipt = receipt_of("tiny", "hello");
    let mut host = host();
    host.filter_state = FilterState::None;
    for status in [202, 409] {
        let (answered, _) = send(&mut host, &json!({"receipt": receipt, "score": 0.75}));
        assert_eq!(answered, status);
        assert_eq!(host.counts().len(), 1);
        let mut effects = host.effects.iter();
        assert!(effects.all(|effect| !matches!(effect, Effect::SetState { .. })));
    }
}
