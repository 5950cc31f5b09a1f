//! The judge between two decisions: what is held, for how long, and what stands if no grade comes.

use std::sync::OnceLock;

use super::*;
use crate::api::judge::MAX_REPLY_BYTES;
use crate::state::receipt::{Keys, Receipt};

/// Two models far apart in quality and price, and a judge who is believed.
fn policy(judge: &str) -> String {
    policy_and("", judge)
}

/// The same with other members.
fn policy_and(members: &str, judge: &str) -> String {
    static WEIGHT: OnceLock<f64> = OnceLock::new();
    let weight = WEIGHT.get_or_init(|| {
        let mut weights = (1..200).map(|step| f64::from(step) * 0.01);
        let asks = |weight: &f64| {
            let host = Host::chat(&weighted(*weight, "", ""), &ask("judged", PROMPT));
            host.call().is_some()
        };
        weights
            .find(asks)
            .expect("a weight of cost at which a grade matters")
    });
    weighted(*weight, members, judge)
}

fn weighted(cost: f64, members: &str, judge: &str) -> String {
    let text = policy_with(&format!(
        r#""profiles": {{"judged": {{"weights": {{"quality": 1, "cost": {cost}}}}}}}, {members} "receipts": {{"mode": "on"}},
        "judge": {{"cluster": "judge", "model": "j", "max_share": 1, "price": {{"input": 0.01}},
                   "evidence": {{"slope": 1, "intercept": 1.8, "variance": 0.3}} {judge}}}"#
    ));
    // Nearer to each other than the models of the other tests, so that difficulty decides between them.
    [("0.3", "0.68"), ("0.9", "0.86")]
        .iter()
        .fold(text, |text, (far, near)| {
            text.replace(&format!(r#""mmlu": {far}"#), &format!(r#""mmlu": {near}"#))
        })
}

const PROMPT: &str = "Tell me about the causes of the French revolution.";

/// A request that the judge is asked about.
fn asking(judge: &str) -> Host {
    let host = Host::chat(&policy(judge), &ask("judged", PROMPT));
    assert!(host.call().is_some(), "{:?}", host.counts());
    host
}

fn graded(grade: u8) -> String {
    format!(
        r#"{{"choices": [{{"message": {{"content": "{grade}"}}}}], "usage": {{"prompt_tokens": 100, "completion_tokens": 1}}}}"#
    )
}

impl Host {
    /// The question that was sent last.
    fn call(&self) -> Option<JudgeCall> {
        self.effects.iter().rev().find_map(|effect| match effect {
            Effect::AskJudge(call) => Some(call.clone()),
            _ => None,
        })
    }

    /// Replies to the question; gives the effects of that alone.
    fn judge(&mut self, content: JudgeReplyContent<'_>) {
        let token = self.call().unwrap().token;
        self.clock_ns += 30_000_000;
        self.effects.clear();
        self.tell(Event::JudgeReply(JudgeReply {
            token,
            content,
            is_shared: false,
            now_ns: self.clock_ns,
        }));
    }

    fn judge_says(&mut self, status: u16, body: &str) {
        self.judge(JudgeReplyContent::Response {
            status,
            body: Some(body.as_bytes()),
        });
    }

    fn counted(&self, name: &str) -> bool {
        self.counts().contains(&name)
    }
}

/// The cluster without a judge's grade.
fn by_classifier() -> String {
    let host = Host::chat(&policy(r#", "mode": "off""#), &ask("judged", PROMPT));
    host.header("x-to").unwrap().to_owned()
}

#[test]
fn a_request_is_held_until_the_grade_has_come() {
    let mut host = asking("");
    assert!(host.held);
    assert_eq!(host.header("x-to"), None);
    let call = host.call().unwrap();
    assert_eq!((call.cluster.as_str(), call.timeout_ms), ("judge", 150));
    assert_eq!(call.path, "/v1/chat/completions");
    assert!(call.body.contains(PROMPT), "{}", call.body);
    // Nothing else lets it go.
    host.send_chunk(b"", true);
    assert!(host.held);
    host.judge_says(200, &graded(9));
    assert!(!host.held);
    assert_eq!(host.header("x-to"), Some("cluster-cpu"));
    assert!(host.counted("pointsman.judge_questions.result.graded"));
    assert_eq!(host.state(state::STAGE), Some("judge"));
    assert_eq!(host.state(state::JUDGE_GRADE), Some("1"));
    assert_eq!(host.state(state::JUDGE_MS), Some("30"));
    assert_eq!(host.state(state::JUDGE_COST_USD), Some("0.000001"));
    assert!(String::from_utf8_lossy(&host.body).contains("tiny-q4"));
    let response = host.response();
    assert!(response.contains(&(header::STAGE, "judge".to_owned())));
    assert!(response.contains(&(header::JUDGE, "1;ms=30".to_owned())));
}

#[test]
fn the_grade_moves_the_choice_both_ways() {
    let mut easy = asking("");
    easy.judge_says(200, &graded(9));
    let mut hard = asking("");
    hard.judge_says(200, &graded(0));
    assert_eq!(easy.header("x-to"), Some("cluster-cpu"));
    assert_eq!(hard.header("x-to"), Some("cluster-gpu"));
    let changes = |host: &Host| {
        let mut counts = host.counts().into_iter();
        counts.any(|name| name.starts_with("pointsman.judge_changes"))
    };
    assert_ne!(changes(&easy), changes(&hard), "one of them is no change");
}

#[test]
fn the_first_decision_stands_if_no_grade_comes() {
    let expected = by_classifier();
    let long = JudgeReplyContent::Response {
        status: 200,
        body: None,
    };
    let response = |status, body: &'static str| JudgeReplyContent::Response {
        status,
        body: Some(body.as_bytes()),
    };
    for (content, result) in [
        (response(504, "upstream request timeout"), "timeout"),
        (response(503, "no healthy upstream"), "error_status"),
        (response(500, "{}"), "error_status"),
        (response(429, "{}"), "error_status"),
        (response(0, ""), "reset"),
        (response(200, "<html>"), "not_json"),
        (response(200, "{}"), "wrong_shape"),
        (
            response(200, r#"{"choices": [{"message": {"content": "No."}}]}"#),
            "no_grade",
        ),
        (long, "too_long"),
        (JudgeReplyContent::NotSent, "not_sent"),
        (JudgeReplyContent::Abandoned, "abandoned"),
    ] {
        let mut host = asking("");
        host.judge(content);
        assert!(!host.held, "{result}");
        assert_eq!(host.header("x-to"), Some(expected.as_str()), "{result}");
        let metric = format!("pointsman.judge_questions.result.{result}");
        assert!(host.counted(&metric), "{metric} {:?}", host.counts());
        assert_eq!(host.state(state::STAGE), Some("classifier"));
        assert_eq!(host.state(state::JUDGE_RESULT), Some(result));
        let shown = (header::JUDGE, format!("{result};ms=30"));
        assert!(host.response().contains(&shown));
    }
    assert_eq!(MAX_REPLY_BYTES, 65_536);
}

#[test]
fn failures_open_the_breaker() {
    let mut host = asking("");
    for _ in 0..5 {
        host.judge(JudgeReplyContent::NotSent);
        host = again(host);
        if host.call().is_none() {
            break;
        }
    }
    assert!(host.call().is_none());
    assert!(host.counted("pointsman.judge_not_asked.reason.breaker_open"));
    assert!(!host.held);
}

/// Another request in the same worker.
fn again(host: Host) -> Host {
    let mut next = Host {
        router: host.router,
        policy: host.policy,
        grades: host.grades,
        clock_ns: host.clock_ns,
        ..Host::without_policy()
    };
    let body = ask("judged", PROMPT);
    next.begin("POST", "/v1/chat/completions");
    next.set("content-length", &body.len().to_string());
    next.send_headers(false);
    next.send_chunk(body.as_bytes(), true);
    next
}

#[test]
fn a_known_grade_is_not_asked_for_again() {
    let mut first = asking("");
    first.judge_says(200, &graded(9));
    let mut second = again(first);
    assert_eq!(second.call(), None);
    assert!(!second.held);
    assert_eq!(second.header("x-to"), Some("cluster-cpu"));
    assert!(second.counted("pointsman.judge_questions.result.cached"));
    assert_eq!(second.state(state::STAGE), Some("judge"));
    let shown = (header::JUDGE, "1;cached".to_owned());
    assert!(second.response().contains(&shown));
    // Without a cache it is.
    let mut first = asking(r#", "cache": {"entries": 0}"#);
    first.judge_says(200, &graded(9));
    assert!(again(first).call().is_some());
}

#[test]
fn shadow_mode_holds_nothing_and_says_what_would_change() {
    let expected = by_classifier();
    let mut host = asking(r#", "mode": "shadow""#);
    assert!(!host.held);
    assert_eq!(host.header("x-to"), Some(expected.as_str()));
    assert_eq!(host.state(state::STAGE), Some("classifier"));
    let other = if expected == "cluster-cpu" { 0 } else { 9 };
    let headers = host.headers.clone();
    host.judge_says(200, &graded(other));
    assert_eq!(host.headers, headers);
    assert!(!host.effects.contains(&Effect::Continue), "let go twice");
    let changes = |name: &&str| name.starts_with("pointsman.judge_changes");
    assert!(host.counts().iter().any(changes), "{:?}", host.counts());
    let grade = if other == 0 { "0" } else { "1" };
    assert_eq!(host.state(state::JUDGE_GRADE), Some(grade));
    let shown = (header::JUDGE, format!("{grade};ms=30"));
    assert!(host.response().contains(&shown));
}

#[test]
fn a_reply_to_another_question_is_nobodys() {
    let mut host = asking("");
    let body = graded(9);
    host.tell(Event::JudgeReply(JudgeReply {
        token: host.call().unwrap().token ^ 1,
        content: JudgeReplyContent::Response {
            status: 200,
            body: Some(body.as_bytes()),
        },
        is_shared: false,
        now_ns: 1,
    }));
    assert!(host.held);
    host.judge_says(200, &body);
    assert!(!host.held);
    host.effects.clear();
    let (token, held) = (7, host.held);
    host.tell(Event::JudgeReply(JudgeReply {
        token,
        content: JudgeReplyContent::NotSent,
        is_shared: false,
        now_ns: 2,
    }));
    assert!(host.effects.is_empty() && host.held == held);
}

#[test]
fn a_reply_that_another_request_paid_for_costs_nothing() {
    let mut host = asking("");
    let (token, body) = (host.call().unwrap().token, graded(9));
    host.effects.clear();
    host.tell(Event::JudgeReply(JudgeReply {
        token,
        content: JudgeReplyContent::Response {
            status: 200,
            body: Some(body.as_bytes()),
        },
        is_shared: true,
        now_ns: 9_000_000,
    }));
    assert_eq!(host.header("x-to"), Some("cluster-cpu"));
    assert!(host.counted("pointsman.judge_questions.result.joined"));
    assert_eq!(host.state(state::JUDGE_COST_USD), None);
    let costs = |effect: &Effect| matches!(effect, Effect::Add(metric, _) if *metric == Metric::judge_cost_nano_usd());
    assert!(!host.effects.iter().any(costs));
}

#[test]
fn a_client_that_leaves_is_counted_and_nothing_else() {
    let mut host = asking("");
    host.effects.clear();
    host.tell(Event::Done(9_000_000));
    assert!(host.counted("pointsman.judge_questions.result.abandoned"));
    assert!(host.held);
}

#[test]
fn an_answer_of_envoys_own_ends_the_wait() {
    let mut host = asking("");
    let (token, body) = (host.call().unwrap().token, graded(9));
    host.tell(Event::ResponseHeaders);
    host.effects.clear();
    host.tell(Event::JudgeReply(JudgeReply {
        token,
        content: JudgeReplyContent::Response {
            status: 200,
            body: Some(body.as_bytes()),
        },
        is_shared: false,
        now_ns: 9_000_000,
    }));
    assert!(!host.effects.contains(&Effect::Continue));
    assert_eq!(
        host.header("x-to"),
        None,
        "decided although it was answered"
    );
}

#[test]
fn what_is_not_asked_about_goes_on_as_without_a_judge() {
    let mut pinned = Host::chat(&policy(""), &ask("tiny", PROMPT));
    assert_eq!(pinned.call(), None);
    assert!(pinned.counted("pointsman.judge_not_asked.reason.pinned"));
    assert!(!pinned.held);
    let shown = (header::JUDGE, "not_asked;reason=pinned".to_owned());
    assert!(pinned.response().contains(&shown));
    // Token counts and dry runs neither ask nor count.
    let mut route = Host::new(&policy(""));
    route.begin("POST", "/v1/route");
    route.send_headers(false);
    route.send_chunk(ask("judged", PROMPT).as_bytes(), true);
    assert_eq!(route.call(), None);
    assert_eq!(route.reply().unwrap().status, 200);
    let about = |name: &&str| name.contains("judge");
    assert!(!route.counts().iter().any(about));
}

#[test]
fn budgets_are_charged_with_the_question() {
    let budgets = r#""budgets": [{"name": "all", "usd": 10, "per": "day"}],"#;
    let policy = policy_and(budgets, "");
    let mut host = Host::chat(&policy, &ask("judged", PROMPT));
    host.judge_says(200, &graded(9));
    host.effects.clear();
    host.response();
    host.tell(Event::Done(80_000_000));
    let spent = host.effects.iter().find_map(|effect| match effect {
        Effect::Add(metric, nano) if metric.name.contains("budget_spent") => Some(*nano),
        _ => None,
    });
    assert!(spent.is_some_and(|nano| nano >= 1_000), "{spent:?}");
}

#[test]
fn a_receipt_says_that_the_judge_decided() {
    let key = Keys::new([&b"a key for the receipts of judged requests"[..]]);
    let mut host = Host::new(&policy(""));
    host.keys = key;
    host.begin("POST", "/v1/chat/completions");
    host.send_headers(false);
    host.send_chunk(ask("judged", PROMPT).as_bytes(), true);
    host.judge_says(200, &graded(9));
    host.response_headers = vec![
        (":status", "200".to_owned()),
        ("content-type", "application/json".to_owned()),
    ];
    host.response();
    let text = host.state(state::RECEIPT).unwrap();
    let receipt = Receipt::decode_trusted(text).unwrap();
    assert_eq!(receipt.flags.grade, Some(15));
}

#[test]
fn a_judged_request_is_the_same_without_values_for_logs() {
    let effects = |filter_state| {
        let mut host = Host::new(&policy(""));
        host.filter_state = filter_state;
        host.begin("POST", "/v1/chat/completions");
        host.send_headers(false);
        host.send_chunk(ask("judged", PROMPT).as_bytes(), true);
        host.judge_says(200, &graded(9));
        host.effects
    };
    let all = effects(FilterState::All);
    let none = effects(FilterState::None);
    assert_eq!(super::filter_state::without_values(&all), none);
    assert!(all.len() > none.len() + 4);
}
