//! Accepted and refused documents with their texts, and turns of workers under any failure.

use super::poll::Poll;
use super::*;
use crate::base64;
use crate::control::signature::PublicKey;
use crate::exchange::testing::{POLICY, policy_with};

const MS: u64 = 1_000_000;
const CLUSTERS: [&str; 4] = ["cluster-cpu", "cluster-gpu", "cluster-lpu", "fallback"];

fn source() -> Source {
    Source {
        cluster: "policies".into(),
        path: "/policy.json".into(),
        authority: "policies".into(),
        interval_ms: 1_000,
        timeout_ms: 500,
        max_bytes: 4_096,
        public_keys: Vec::new(),
    }
}

fn keys() -> ed25519_compact::KeyPair {
    ed25519_compact::KeyPair::from_seed(ed25519_compact::Seed::new([7; 32]))
}

fn signed_source() -> Source {
    Source {
        public_keys: vec![PublicKey::from_bytes(*keys().pk)],
        ..source()
    }
}

fn allowed() -> Bounds {
    Bounds {
        clusters: Some(CLUSTERS.map(str::to_owned).to_vec()),
        ..Bounds::default()
    }
}

fn evaluated(source: &Source, revision: Option<u64>, answer: Answer<'_>) -> Verdict {
    let text = POLICY.as_bytes();
    evaluate(source, &allowed(), InForce { text, revision }, answer)
}

fn ok(body: &str) -> Answer<'_> {
    Answer {
        status: 200,
        signature: None,
        body: body.as_bytes(),
    }
}

fn refused(verdict: Verdict) -> (&'static str, String) {
    match verdict {
        Verdict::Refused(refusal) => (refusal.code(), refusal.to_string()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_policy_is_taken_and_the_same_one_is_not() {
    let text = policy_with("\"revision\": 5");
    let Verdict::Accepted(policy) = evaluated(&source(), Some(4), ok(&text)) else {
        panic!("not accepted");
    };
    assert_eq!(policy.revision, Some(5));
    let unchanged = |answer| matches!(evaluated(&source(), None, answer), Verdict::Unchanged);
    assert!(unchanged(ok(POLICY)));
    let not_modified = Answer {
        status: 304,
        ..Answer::default()
    };
    assert!(unchanged(not_modified));
}

#[test]
fn every_refusal_has_its_word_and_its_line() {
    let plain = |answer| refused(evaluated(&source(), Some(5), answer));
    let status = |status| Answer {
        status,
        ..Answer::default()
    };
    let cases = [
        (
            plain(status(404)),
            "status",
            "answered 404 instead of a policy",
        ),
        (
            plain(status(503)),
            "unreachable",
            "cannot be reached, or answered 503",
        ),
        (
            plain(status(504)),
            "timeout",
            "took too long, or answered 504",
        ),
        (
            plain(ok(&" ".repeat(5_000))),
            "too_large",
            "the policy has 5000 bytes where 4096 are allowed",
        ),
        (
            plain(Answer {
                body: b"\xff",
                ..status(200)
            }),
            "invalid",
            "the policy is not UTF-8",
        ),
        (
            plain(ok("{\n \"models\": []}")),
            "invalid",
            "the policy does not compile: 1:1: missing field `backends`; 2:12: models: is empty: at least one is needed",
        ),
        (
            plain(ok("<html>")),
            "invalid",
            "the policy does not compile: 1:1: not JSON: expected value",
        ),
        (
            plain(ok(
                &policy_with("\"revision\": 6").replace("cluster-lpu", "elsewhere")
            )),
            "cluster_not_allowed",
            "the policy names the cluster `elsewhere`, which is not allowed; allowed: `cluster-cpu`, `cluster-gpu`, `cluster-lpu`, `fallback`",
        ),
        (
            plain(ok(
                &policy_with("\"revision\": 6").replace("fallback", "elsewhere")
            )),
            "cluster_not_allowed",
            "the policy names the cluster `elsewhere`, which is not allowed; allowed: `cluster-cpu`, `cluster-gpu`, `cluster-lpu`, `fallback`",
        ),
        (
            plain(ok(&policy_with("\"revision\": 5"))),
            "outdated",
            "the policy has the revision `5`, but `5` is in force",
        ),
        (
            plain(ok(&policy_with("\"decision_headers\": \"off\""))),
            "outdated",
            "the policy has no revision, but `5` is in force",
        ),
    ];
    for ((code, line), expected_code, expected_line) in cases {
        assert_eq!((code, line.as_str()), (expected_code, expected_line));
    }
}

#[test]
fn with_failover_a_policy_keeps_to_the_backends_that_were_rendered() {
    let rendered = Policy::compile(POLICY).unwrap();
    let bounds = Bounds {
        clusters: allowed().clusters,
        ..Bounds::rendered(&rendered, true)
    };
    assert_eq!(bounds.bind(&mut rendered.clone()), Ok(()));
    let evaluated = |text: &str| {
        let in_force = InForce {
            text: b"",
            revision: None,
        };
        evaluate(&source(), &bounds, in_force, ok(text))
    };
    let renamed = POLICY.replace(
        r#""name": "lpu-1""#,
        r#""name": "lpu-2", "cluster": "cluster-lpu""#,
    );
    let renamed = renamed.replacen(
        r#""cluster": "cluster-lpu", "cluster": "cluster-lpu""#,
        r#""cluster": "cluster-lpu""#,
        1,
    );
    assert_eq!(
        refused(evaluated(&renamed)),
        (
            "backend_not_rendered",
            "the policy has the backend `lpu-2` in the cluster `cluster-lpu`, for which failover was not rendered: render again, or leave it out".into()
        )
    );
    // To Envoy, the same backend in another cluster is another one.
    let moved = POLICY.replace("cluster-lpu", "cluster-cpu");
    let moved = bounds.bind(&mut Policy::compile(&moved).unwrap());
    assert_eq!(moved.unwrap_err().code(), "backend_not_rendered");
}

/// `POLICY` with members added to the named backends.
fn paired(members: &[(&str, &str)]) -> Policy {
    let mut text = POLICY.to_owned();
    for (backend, fields) in members {
        let name = format!("\"name\": \"{backend}\",");
        text = text.replace(&name, &format!("{name} {fields},"));
    }
    Policy::compile(&text).unwrap()
}

#[test]
fn credentials_and_places_are_those_that_were_rendered() {
    let own = r#""credentials": {"env": "A"}, "endpoint": "https://a.example/x""#;
    let other =
        r#""credentials": {"env": "B", "header": "x-api-key"}, "endpoint": "https://b.example""#;
    let rendered = paired(&[("gpu-1", own), ("cpu-1", other)]);
    let refusal = |by_name: bool, members: &[(&str, &str)]| {
        let bounds = Bounds::rendered(&rendered, by_name);
        let refusal = bounds.bind(&mut paired(members)).unwrap_err();
        assert_eq!(refusal.code(), "pair_not_rendered");
        refusal.to_string()
    };
    for by_name in [true, false] {
        for (field, members) in [
            ("credentials.env", r#""credentials": {"env": "B"}"#),
            (
                "credentials.header",
                r#""credentials": {"env": "A", "header": "x-key"}"#,
            ),
            (
                "credentials.prefix",
                r#""credentials": {"env": "A", "prefix": "Key "}"#,
            ),
            (
                "credentials.other_paths",
                r#""credentials": {"env": "A", "other_paths": ["/v1/files"]}"#,
            ),
            ("endpoint", r#""endpoint": "https://b.example""#),
            ("endpoint", r#""endpoint": "https://a.example/y""#),
            ("client_credentials", r#""client_credentials": "pass""#),
            ("client_address", r#""client_address": "pass""#),
            ("state_scope", r#""state_scope": "another""#),
        ] {
            assert_eq!(
                refusal(by_name, &[("gpu-1", members)]),
                format!(
                    "the policy gives the backend `gpu-1` another `{field}` than was rendered for it: render again, or leave the field out"
                ),
            );
        }
        // Another host with the same path: without failover the host of the cluster stays.
        let other_host = [("gpu-1", r#""endpoint": "http://b.example/x""#)];
        match by_name {
            true => assert!(refusal(true, &other_host).contains("`endpoint`")),
            false => {
                let mut document = paired(&other_host);
                let bounds = Bounds::rendered(&rendered, false);
                assert_eq!(bounds.bind(&mut document), Ok(()));
                assert_eq!(document.registry, rendered.registry);
            }
        }
        // The credentials of another backend, and those of a backend without any.
        for (backend, members) in [("gpu-1", other), ("cpu-1", own), ("lpu-1", own)] {
            refusal(by_name, &[(backend, members)]);
        }
    }
}

#[test]
fn what_a_document_leaves_out_is_what_was_rendered() {
    let own = r#""credentials": {"env": "A"}, "endpoint": "https://a.example/x""#;
    let rendered = paired(&[
        ("gpu-1", own),
        (
            "cpu-1",
            r#""client_credentials": "strip", "state_scope": "house""#,
        ),
    ]);
    for by_name in [true, false] {
        let bounds = Bounds::rendered(&rendered, by_name);
        for mut document in [paired(&[]), paired(&[("gpu-1", own)]), rendered.clone()] {
            assert_eq!(bounds.bind(&mut document), Ok(()));
            assert_eq!(document.registry, rendered.registry);
        }
    }
    // Without failover a backend with another name gets what was rendered for its cluster, and nothing else.
    let bounds = Bounds::rendered(&rendered, false);
    let text = POLICY.replace("\"gpu-1\"", "\"gpu-9\"");
    let mut document = Policy::compile(&text).unwrap();
    assert_eq!(bounds.bind(&mut document), Ok(()));
    let new = document
        .registry
        .backends
        .iter()
        .find(|backend| backend.name == "gpu-9");
    assert_eq!(new.unwrap().credentials.as_ref().unwrap().env, "A");
    let text = text.replace(
        "\"name\": \"gpu-9\",",
        "\"name\": \"gpu-9\", \"credentials\": {\"env\": \"Z\"},",
    );
    let refused = bounds.bind(&mut Policy::compile(&text).unwrap());
    assert_eq!(refused.unwrap_err().code(), "pair_not_rendered");
    let stranger = text.replace("cluster-gpu", "cluster-nobodys");
    let refused = bounds.bind(&mut Policy::compile(&stranger).unwrap());
    assert_eq!(refused.unwrap_err().code(), "pair_not_rendered");
}

#[test]
fn a_document_with_many_mistakes_is_one_line() {
    let models = r#"{"nam": "x"}, "#.repeat(20);
    let text = format!("{{\"models\": [{models} {{}}], \"backends\": []}}");
    let (_, line) = refused(evaluated(&source(), None, ok(&text)));
    assert!(!line.contains('\n'));
    assert!(line.ends_with("and 34 more"), "{line}");
}

#[test]
fn with_a_key_only_what_is_signed_is_even_read() {
    let source = signed_source();
    let text = policy_with("\"revision\": 5");
    let sign = |text: &str| base64::encode(keys().sk.sign(text, None).as_ref());
    let with = |body: &str, signature: &str| {
        let answer = Answer {
            signature: Some(signature.as_bytes()),
            ..ok(body)
        };
        evaluated(&source, None, answer)
    };
    assert!(matches!(with(&text, &sign(&text)), Verdict::Accepted(_)));
    assert_eq!(
        refused(evaluated(&source, None, ok(&text))),
        ("unsigned", "the policy is not signed".into())
    );
    assert_eq!(
        refused(with(&text, "nonsense!")),
        (
            "bad_signature",
            "the policy has a signature that is not 64 bytes in base64".into()
        )
    );
    // One more space, a stranger's key, a document that is not a policy: the refusal does not even say that.
    for body in [text.clone() + " ", "<html>".into()] {
        assert_eq!(
            refused(with(&body, &sign(&text))),
            (
                "bad_signature",
                "the policy has a signature that no configured key made".into()
            )
        );
    }
}

#[test]
fn a_record_is_read_as_it_was_written() {
    let poll = Poll {
        turn: 3,
        lease_until_ns: 5,
        next_ns: 7,
        failures: 11,
        complaint: 13,
        etag: b"\"abc\"".to_vec(),
    };
    assert_eq!(Poll::decode(&poll.encode()), poll);
    for bytes in [&b""[..], b"short", &[0; 35]] {
        assert_eq!(Poll::decode(bytes), Poll::default());
    }
}

fn outage() -> Verdict {
    Verdict::Refused(Refusal::Status(503))
}

#[test]
fn one_asks_at_a_time_and_another_takes_over_from_the_dead() {
    let source = source();
    let start = 1_000_000 * MS;
    let taken = Poll::default().take(&source, start).unwrap();
    assert_eq!(taken.turn, 1);
    // No other worker asks during the lease of timeout and margin.
    for ms in [0, 1, 499, 5_499] {
        assert_eq!(taken.take(&source, start + ms * MS), None, "{ms}");
    }
    let heir = taken.take(&source, start + 5_501 * MS).unwrap();
    assert_eq!(heir.turn, 2);
    // The dead worker's response is dropped, and that of its heir counts.
    let late = start + 5_600 * MS;
    assert_eq!(
        heir.finish(1, &source, late, &Verdict::Unchanged, None),
        None
    );
    let done = heir
        .finish(2, &source, late, &Verdict::Unchanged, None)
        .unwrap();
    assert_eq!(
        done.finish(2, &source, late, &Verdict::Unchanged, None),
        None
    );
    assert_eq!(done.take(&source, late + 999 * MS), None);
    assert!(done.take(&source, late + 1_000 * MS).is_some());
}

#[test]
fn a_source_that_fails_is_asked_less_often_and_a_document_that_fails_is_not() {
    let source = source();
    let mut now = 1_000_000 * MS;
    let mut poll = Poll::default();
    let mut pauses = Vec::new();
    for _ in 0..12 {
        let taken = poll.take(&source, now).unwrap();
        poll = taken
            .finish(taken.turn, &source, now, &outage(), None)
            .unwrap();
        pauses.push((poll.next_ns - now) / MS);
        now = poll.next_ns;
    }
    for (index, pause) in pauses.iter().enumerate() {
        let most = (2_000 << index).min(300_000);
        assert!((most * 9 / 10..=most).contains(pause), "{index}: {pause}");
    }
    let taken = poll.take(&source, now).unwrap();
    let verdict = Verdict::Refused(Refusal::NotUtf8);
    let done = taken
        .finish(taken.turn, &source, now, &verdict, None)
        .unwrap();
    assert_eq!((done.next_ns - now, done.failures), (1_000 * MS, 0));
}

#[test]
fn a_clock_that_was_set_back_holds_nobody_up() {
    let source = source();
    let then = 10_000_000_000 * MS;
    let taken = Poll::default().take(&source, then).unwrap();
    let done = taken
        .finish(1, &source, then, &Verdict::Unchanged, None)
        .unwrap();
    let now = then - 3_600_000 * MS;
    assert!(done.take(&source, now).is_some());
    assert!(taken.take(&source, now).is_some());
}

#[test]
fn the_tag_in_force_is_kept_and_complaints_are_distinguished() {
    let source = source();
    let policy = || {
        let policy = Policy::compile(POLICY).unwrap();
        Verdict::Accepted(Box::new(policy))
    };
    let step = |poll: &Poll, verdict: &Verdict, etag: Option<&[u8]>| {
        let taken = poll.take(&source, poll.next_ns).unwrap();
        taken
            .finish(taken.turn, &source, poll.next_ns, verdict, etag)
            .unwrap()
    };
    let first = Poll {
        next_ns: 1_000_000 * MS,
        ..Poll::default()
    };
    let taken = step(&first, &policy(), Some(b"\"1\""));
    assert_eq!((taken.etag.as_slice(), taken.complaint), (&b"\"1\""[..], 0));
    let failed = step(&taken, &outage(), None);
    assert_eq!(failed.etag, b"\"1\"");
    assert_ne!(failed.complaint, 0);
    assert_eq!(step(&failed, &outage(), None).complaint, failed.complaint);
    let refused = step(&failed, &Verdict::Refused(Refusal::NotUtf8), Some(b"\"2\""));
    assert_eq!(refused.etag, b"\"1\"");
    assert_ne!(refused.complaint, failed.complaint);
    let unchanged = step(&refused, &Verdict::Unchanged, None);
    assert_eq!(
        (unchanged.etag.as_slice(), unchanged.complaint),
        (&b"\"1\""[..], 0)
    );
    let long = [b'x'; 300];
    assert_eq!(step(&unchanged, &policy(), Some(&long)).etag, b"");
}

/// Workers that look at the shared record at times of their own, may die at any moment, and write only if nobody wrote since
/// they read. Every step is random.
#[test]
fn workers_that_die_at_random_never_stop_the_others() {
    let source = source();
    let mut seed = 1_u64;
    let mut draw = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % below
    };
    let mut shared = Poll::default();
    let mut now = 1_000_000 * MS;
    // The turn under way, the time of its response, and whether its holder lives until then.
    let mut asked: Option<(u64, u64, bool)> = None;
    let (mut answers, mut deaths, mut last_answer) = (0, 0, now);
    for _ in 0..200_000 {
        now += draw(40) * MS;
        if let Some((turn, due, lives)) = asked
            && now >= due
        {
            asked = None;
            match lives {
                true => {
                    shared = shared
                        .finish(turn, &source, now, &Verdict::Unchanged, None)
                        .unwrap();
                    answers += 1;
                    last_answer = now;
                }
                false => deaths += 1,
            }
        }
        // Two workers look at once: both read the same record, and only the first write counts.
        let polls = [shared.take(&source, now), shared.take(&source, now)];
        if let [Some(first), Some(second)] = polls {
            assert_eq!(first, second);
            assert!(asked.is_none(), "two questions at a time");
            asked = Some((first.turn, now + draw(500) * MS, draw(4) > 0));
            shared = first;
        }
        assert!(
            now - last_answer < 120_000 * MS,
            "nobody asks any more: {shared:?}"
        );
    }
    assert!(answers > 500 && deaths > 100, "{answers} {deaths}");
}
