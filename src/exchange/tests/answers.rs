//! Answers: what they took and cost is counted once they are over, and what a client did not ask for is not shown.

use super::*;

/// `huge` on gpu-1 costs 1 and 2 USD per 1,000,000 tokens, on lpu-1 1.5 and 3.
const BASELINE: &str = r#""baseline": "huge", "stream_usage": "always""#;

const EVENTS: [&str; 3] = [
    "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}],\"usage\":null}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1000,\"completion_tokens\":500}}\n\n",
    "data: [DONE]\n\n",
];

impl Host {
    /// A response with these headers; what the client gets of its chunks.
    pub(super) fn answer_with(
        &mut self,
        headers: &[(&'static str, &str)],
        chunks: &[&str],
    ) -> String {
        let headers = headers.iter();
        self.response_headers = headers
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        self.effects.clear();
        self.tell(Event::ResponseHeaders);
        let mut received = String::new();
        for chunk in chunks {
            self.clock_ns += 20_000_000;
            received += &self.come(chunk, false);
        }
        self.clock_ns += 5_000_000;
        received + &self.come("", true)
    }

    fn come(&mut self, chunk: &str, end_of_stream: bool) -> String {
        self.chunk = chunk.as_bytes().to_vec();
        self.tell(Event::ResponseBody {
            size: chunk.len(),
            end_of_stream,
        });
        String::from_utf8(self.chunk.clone()).unwrap()
    }

    pub(super) fn done(&mut self) {
        self.tell(Event::Done(self.clock_ns));
    }

    pub(super) fn added(&self, start: &str) -> Option<u64> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::Add(metric, amount) | Effect::Observe(metric, amount) => {
                metric.name.starts_with(start).then_some(*amount)
            }
            Effect::Count(metric) => metric.name.starts_with(start).then_some(1),
            _ => None,
        })
    }
}

fn ask_tiny(stream: bool) -> String {
    format!(
        r#"{{"model":"tiny","stream":{stream},"messages":[{{"role":"user","content":"hi"}}],"max_tokens":9}}"#
    )
}

const JSON: &[(&str, &str)] = &[(":status", "200"), ("content-type", "application/json")];
const STREAM: &[(&str, &str)] = &[(":status", "200"), ("content-type", "text/event-stream")];

#[test]
fn a_plain_answer_is_priced() {
    let mut host = Host::chat(&policy_with(BASELINE), &ask_tiny(false));
    let body = r#"{"choices":[{}],"usage":{"prompt_tokens":1000,"completion_tokens":500,"prompt_tokens_details":{"cached_tokens":100}}}"#;
    let (start, end) = body.split_at(40);
    assert_eq!(host.state(state::OPERATION), Some("chat"));
    assert_eq!(host.state(state::PROVIDER), Some("openai"));
    assert_eq!(host.state(state::REQUEST_MODEL), Some("tiny"));
    assert_eq!(host.state(state::POLICY_VERSION), Some("7"));
    let received = host.answer_with(JSON, &[start, end]);
    assert_eq!(received, body);
    assert_eq!(host.added("pointsman.cost"), None, "not before it is over");
    // Envoy ends the span before it says that the exchange is over.
    assert_eq!(host.state(state::COST_USD), Some("0.00002"));
    assert_eq!(host.state(state::SAVED_USD), Some("0.00198"));
    assert_eq!(host.state(state::INPUT_TOKENS), Some("1000"));
    assert_eq!(host.state(state::OUTPUT_TOKENS), Some("500"));
    assert_eq!(host.state(state::RESPONSE_MODEL), Some("tiny-q4"));
    let set = |host: &Host| {
        let effects = host.effects.iter();
        let set = effects.filter(|effect| matches!(effect, Effect::SetState { .. }));
        set.count()
    };
    let before = set(&host);
    host.done();
    assert_eq!(set(&host), before, "nothing is set twice");
    let tags = ".model.tiny.backend.cpu-1.accelerator.cpu.profile.auto";
    let added = |name: &str| host.added(&format!("pointsman.{name}{tags}"));
    assert_eq!(added("input_tokens"), Some(1000));
    assert_eq!(added("cached_input_tokens"), Some(100));
    assert_eq!(added("output_tokens"), Some(500));
    // 1000 × 0.01 + 500 × 0.02 = 20 millionths of a USD; at the baseline 1000 × 1 + 500 × 2 = 2000.
    assert_eq!(added("cost_nano_usd"), Some(20_000));
    assert_eq!(added("baseline_cost_nano_usd"), Some(2_000_000));
    assert!(added("estimated_cost_nano_usd").is_some());
    assert_eq!(host.added("pointsman.request_duration_ms"), Some(45));
    assert_eq!(host.added("pointsman.time_to_first_token_ms"), None);
    assert_eq!(host.added("pointsman.usage_missing"), None);
}

#[test]
fn a_stream_is_priced_and_its_usage_hidden_from_who_did_not_ask() {
    let mut host = Host::chat(&policy_with(BASELINE), &ask_tiny(true));
    let sent = String::from_utf8(host.body.clone()).unwrap();
    assert!(
        sent.contains(r#""stream_options":{"include_usage":true}"#),
        "{sent}"
    );
    let headers = [STREAM, &[("content-length", "999")]].concat();
    let received = host.answer_with(&headers, &EVENTS);
    assert_eq!(received, [EVENTS[0], EVENTS[2]].concat());
    assert!(
        host.response_headers
            .iter()
            .all(|(name, _)| *name != "content-length")
    );
    host.done();
    assert_eq!(host.added("pointsman.output_tokens"), Some(500));
    assert_eq!(host.added("pointsman.time_to_first_token_ms"), Some(20));
    assert_eq!(host.state(state::TIME_TO_FIRST_TOKEN_MS), Some("20"));
}

#[test]
fn events_that_are_cut_are_hidden_all_the_same() {
    let body = EVENTS.concat();
    for at in 0..=body.len() {
        let mut host = Host::chat(&policy_with(BASELINE), &ask_tiny(true));
        let (start, end) = body.split_at(at);
        let received = host.answer_with(STREAM, &[start, end]);
        assert_eq!(received, [EVENTS[0], EVENTS[2]].concat(), "cut at {at}");
    }
}

#[test]
fn an_unfinished_event_is_passed_on_at_the_end() {
    let mut host = Host::chat(&policy_with(BASELINE), &ask_tiny(true));
    let received = host.answer_with(STREAM, &[EVENTS[0], "data: {\"id\":"]);
    assert_eq!(received, [EVENTS[0], "data: {\"id\":"].concat());
}

#[test]
fn who_asks_for_usage_sees_it() {
    let body = r#"{"model":"tiny","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hi"}],"max_tokens":9}"#;
    for policy in [policy_with(BASELINE), POLICY.to_owned()] {
        let mut host = Host::chat(&policy, body);
        assert_eq!(host.answer_with(STREAM, &EVENTS), EVENTS.concat());
        host.done();
        assert_eq!(host.added("pointsman.output_tokens"), Some(500));
    }
}

#[test]
fn a_stream_that_is_not_asked_says_nothing_and_is_counted_as_that() {
    let mut host = Host::chat(POLICY, &ask_tiny(true));
    let received = host.answer_with(STREAM, &[EVENTS[0], EVENTS[2]]);
    assert_eq!(received, [EVENTS[0], EVENTS[2]].concat());
    host.done();
    let name = "pointsman.usage_missing.backend.cpu-1.cause.not_reported";
    assert_eq!(host.added(name), Some(1));
    assert_eq!(host.added("pointsman.cost"), None);
}

#[test]
fn what_cannot_be_read_is_not_read() {
    for (headers, cause) in [
        (
            [JSON, &[("content-encoding", "gzip")]].concat(),
            "compressed",
        ),
        (
            vec![
                (":status", "200"),
                ("content-type", "application/vnd.amazon.eventstream"),
            ],
            "media_type",
        ),
    ] {
        let mut host = Host::chat(POLICY, &ask_tiny(false));
        host.answer_with(&headers, &["x"]);
        let read = |effect: &Effect| matches!(effect, Effect::Ask(Question::ResponseBody { .. }));
        assert!(!host.effects.iter().any(read));
        host.done();
        let name = format!("pointsman.usage_missing.backend.cpu-1.cause.{cause}");
        assert_eq!(host.added(&name), Some(1));
    }
}

#[test]
fn an_answer_that_breaks_off_is_cut_off() {
    let mut host = Host::chat(POLICY, &ask_tiny(false));
    host.response_headers = JSON
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect();
    host.tell(Event::ResponseHeaders);
    host.come("{\"usage\":{", false);
    host.done();
    assert_eq!(
        host.added("pointsman.usage_missing.backend.cpu-1.cause.truncated"),
        Some(1)
    );
    assert_eq!(host.added("pointsman.request_duration_ms"), None);
}

#[test]
fn errors_are_failures_and_cost_nothing() {
    let mut host = Host::chat(POLICY, &ask_tiny(false));
    host.answer_with(
        &[(":status", "503"), ("content-type", "application/json")],
        &["{}"],
    );
    host.done();
    assert_eq!(host.added("pointsman.request_failures.model.tiny"), Some(1));
    assert_eq!(host.added("pointsman.usage_missing"), None);
}

#[test]
fn another_backend_that_answered_is_the_one_that_is_paid() {
    let mut host = Host::new(POLICY);
    host.failover = Failover::PerAttempt;
    host.begin("POST", "/v1/chat/completions");
    host.send_headers(false);
    host.send_chunk(ask("huge", "hi").as_bytes(), true);
    // The host says that the second of the chain answered: lpu-1.
    host.answer_with(
        JSON,
        &[r#"{"usage":{"prompt_tokens":1000,"completion_tokens":500}}"#],
    );
    host.done();
    let name = "pointsman.cost_nano_usd.model.huge.backend.lpu-1.accelerator.lpu";
    assert_eq!(host.added(name), Some(3_000_000));
}

#[test]
fn what_was_not_decided_is_not_looked_at() {
    let mut host = Host::new(POLICY);
    host.begin("GET", "/v1/models/none/such");
    host.send_headers(true);
    host.answer_with(JSON, &["{}"]);
    host.done();
    let reads = |effect: &&Effect| {
        matches!(
            effect,
            Effect::Ask(Question::ResponseBody { .. } | Question::ResponseHeaders)
                | Effect::Add(..)
        )
    };
    assert_eq!(host.effects.iter().find(reads), None);
}

#[test]
fn tasks_rules_and_difficulty_are_counted_when_it_is_over() {
    let policy = policy_with(r#""rules": [{"name": "all", "then": {"tags": []}}]"#)
        .replace(r#"{"tags": []}"#, r#"{"min_quality": 0}"#);
    let mut host = Host::chat(&policy, &ask("auto", "Write a function that sorts a list."));
    host.answer_with(JSON, &["{}"]);
    host.done();
    assert_eq!(host.added("pointsman.rule_matches.rule.all"), Some(1));
    assert!(host.added("pointsman.requests_by_task.task.").is_some());
    assert!(
        host.added("pointsman.difficulty_percent")
            .is_some_and(|percent| percent <= 100)
    );
}

#[test]
fn a_stream_that_ends_before_its_answer_ends_with_an_error() {
    let event = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
    let last = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    let broken = "pointsman.responses_truncated.backend.cpu-1";
    for policy in [
        POLICY.to_owned(),
        policy_with("\"stream_usage\": \"always\""),
    ] {
        let mut host = Host::chat(&policy, &ask_tiny(true));
        let received = host.answer_with(STREAM, &[event, event]);
        let error = received.strip_prefix(&event.repeat(2)).unwrap();
        assert!(
            error.starts_with("data: {\"error\":{\"message\":\"the backend ended"),
            "{error}"
        );
        assert!(
            error.ends_with("\"code\":\"stream_truncated\"}}\n\n"),
            "{error}"
        );
        host.done();
        assert_eq!(host.added(broken), Some(1));
        let unknown = "pointsman.usage_missing.backend.cpu-1.cause.truncated";
        assert_eq!(host.added(unknown), Some(1));
        // The last word may come in the last chunk of all.
        let mut host = Host::chat(&policy, &ask_tiny(true));
        assert_eq!(
            host.answer_with(STREAM, &[event, last]),
            [event, last].concat()
        );
        host.done();
        assert_eq!(host.added(broken), None);
    }
    // Behind the end of a response that says how long it is nothing can stand; it is counted all the same.
    let mut host = Host::chat(POLICY, &ask_tiny(true));
    let sized = [STREAM, &[("content-length", "62")]].concat();
    assert_eq!(host.answer_with(&sized, &[event]), event);
    host.done();
    assert_eq!(host.added(broken), Some(1));
}
