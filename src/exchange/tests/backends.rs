//! Statistics of backends after an exchange, and decisions with ramps and with backends that scale to zero.

use super::*;
use crate::fleet::clusters::backend_key;
use crate::state::backend_stats::Delivery;

const S: u64 = 1_000_000_000;

/// `gpu-1`, the better of the two that serve `huge`, scales to zero.
fn policy() -> String {
    POLICY.replacen(
        r#""served_model": "org/huge","#,
        r#""served_model": "org/huge", "scale_to_zero_after_s": 60, "cold_start_ms": 600000, "prewarm": {"max_usd_per_hour": 1},"#,
        1,
    )
}

fn host(policy: &str) -> Host {
    let mut host = Host::new(policy);
    host.stats = Some(BackendStats::new());
    host
}

/// The backend of a request for `huge` at this second.
fn goes_to(host: &mut Host, at_s: u64) -> String {
    host.stream = Stream::new();
    host.clock_ns = at_s * S;
    host.body.clear();
    host.headers.clear();
    host.begin("POST", "/v1/chat/completions");
    host.send_headers(false);
    host.send_chunk(ask("huge", "hello").as_bytes(), true);
    host.header("x-to").unwrap().to_owned()
}

/// Answers the request of `goes_to`; all of it, or not to the end.
fn answer(host: &mut Host, whole: bool) {
    host.response_headers = vec![
        (":status", "200".to_owned()),
        ("content-type", "text/event-stream".to_owned()),
    ];
    host.effects.clear();
    host.tell(Event::ResponseHeaders);
    let event =
        "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\n";
    host.chunk = event.as_bytes().to_vec();
    host.tell(Event::ResponseBody {
        size: event.len(),
        end_of_stream: false,
    });
    if whole {
        host.chunk.clear();
        host.tell(Event::ResponseBody {
            size: 0,
            end_of_stream: true,
        });
    }
    host.tell(Event::Done(host.clock_ns));
}

/// The worker's tick: what it tells the others, and whether anybody is due.
fn tick(host: &mut Host, at_s: u64) -> usize {
    let policy = host.policy.clone().unwrap();
    let warmth = &mut host.stats.as_mut().unwrap().scale_to_zero;
    let plan = warmth.plan(&[], &policy.registry, |_| true, at_s * S);
    warmth.adopt(&plan.record);
    plan.due.len()
}

#[test]
fn a_cold_backend_is_passed_over_until_it_is_tried_again() {
    let mut host = host(&policy());
    assert_eq!(goes_to(&mut host, 1000), "cluster-gpu");
    answer(&mut host, true);
    assert_eq!(goes_to(&mut host, 1050), "cluster-gpu");
    answer(&mut host, true);
    let mut turns = Vec::new();
    for step in 0..40 {
        let cluster = goes_to(&mut host, 1111 + step);
        answer(&mut host, true);
        turns.push(cluster == "cluster-gpu");
    }
    // One of 32 decisions looks after it; then it is warm.
    let first = turns.iter().position(|gpu| *gpu).unwrap();
    assert!((30..=33).contains(&first), "{turns:?}");
    assert!(turns[first..].iter().all(|gpu| *gpu), "{turns:?}");
}

#[test]
fn what_is_stated_alone_counts_where_the_policy_says_so() {
    let stated = policy().replacen('{', r#"{"latency_source": "declared","#, 1);
    let mut host = host(&stated);
    assert_eq!(goes_to(&mut host, 1000), "cluster-gpu");
    answer(&mut host, true);
    assert_eq!(goes_to(&mut host, 9000), "cluster-gpu");
}

#[test]
fn the_end_of_an_answer_keeps_its_backend_warm_too() {
    let mut host = host(&policy());
    goes_to(&mut host, 1000);
    // The answer streams for longer than the backend would stay warm.
    host.clock_ns = 1090 * S;
    answer(&mut host, true);
    assert_eq!(tick(&mut host, 1091), 0);
    assert_eq!(goes_to(&mut host, 1149), "cluster-gpu");
}

#[test]
fn an_answer_that_breaks_off_is_charged_to_its_backend_and_one_that_nobody_wants_is_not() {
    for (details, failed) in [
        (
            Some("upstream_reset_after_response_started{connection_termination}"),
            true,
        ),
        (Some("downstream_remote_disconnect"), false),
        (None, false),
    ] {
        let mut host = host(&policy());
        host.details = details;
        goes_to(&mut host, 1000);
        answer(&mut host, false);
        let counts = host.counts();
        let broken = counts.contains(&"pointsman.responses_truncated.backend.gpu-1");
        assert_eq!(broken, failed, "{details:?}: {counts:?}");
        let observed = host.stats.as_ref().unwrap().observe(
            backend_key("gpu-1"),
            Delivery::Whole,
            host.clock_ns,
        );
        assert_eq!(observed.error_rate > 0.0, failed, "{details:?}");
        assert_eq!(observed.in_flight, 0);
    }
    // Whole answers are asked nothing more.
    let mut host = host(&policy());
    goes_to(&mut host, 1000);
    answer(&mut host, true);
    assert!(
        !host
            .effects
            .contains(&Effect::Ask(Question::ResponseDetails))
    );
}

#[test]
fn a_profile_takes_over_from_another_conversation_by_conversation() {
    let members = r#""profiles": {
        "old": {"tags": ["local"]},
        "auto": {"weights": {"quality": 1}, "ramp": {"from": "old", "start": "1970-01-01T01:00:00Z", "duration_s": 3600}}}"#;
    let mut host = host(&policy_with(members));
    let mut profile = |conversation: usize, at_s: u64| {
        host.stream = Stream::new();
        host.clock_ns = at_s * S;
        host.body.clear();
        host.headers.clear();
        host.begin("POST", "/v1/chat/completions");
        host.send_headers(false);
        host.send_chunk(
            ask("auto", &format!("hello {conversation}")).as_bytes(),
            true,
        );
        let response = host.response();
        host.tell(Event::Done(host.clock_ns));
        let header_of = |name| {
            response
                .iter()
                .find(|(number, _)| *number == name)
                .unwrap()
                .1
                .clone()
        };
        (header_of(header::PROFILE), header_of(header::BACKEND))
    };
    let mut before = vec![false; 60];
    for at_s in [0, 3600, 4500, 5400, 6300, 7200, 9000] {
        let moved: Vec<bool> = (0..60)
            .map(|number| match profile(number, at_s) {
                (name, backend) if name == "old" => {
                    assert_eq!(backend, "cpu-1");
                    false
                }
                (name, backend) => {
                    assert_eq!((name.as_str(), backend.as_str()), ("auto", "gpu-1"));
                    true
                }
            })
            .collect();
        let share = moved.iter().filter(|moved| **moved).count() as f64 / 60.0;
        let expected = ((at_s as f64 - 3600.0) / 3600.0).clamp(0.0, 1.0);
        assert!((share - expected).abs() < 0.2, "{share} at {at_s}");
        // Nobody goes back.
        assert!(before.iter().zip(&moved).all(|(then, now)| *now || !then));
        before = moved;
    }
}
