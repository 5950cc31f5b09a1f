//! With `"filter_state": "none"` no request sets values for access logs, and everything else is as it is with them.

use super::*;

/// Policy members that add annotations other than those of the decision.
const MEMBERS: &str = r#""tenant": {"header": "x-tenant"}, "baseline": "huge",
    "rules": [{"name": "local", "when": {"tenant": ["acme"]}, "then": {"tags": ["local"]}}]"#;
const JSON: &[(&str, &str)] = &[(":status", "200"), ("content-type", "application/json")];
const STREAM: &[(&str, &str)] = &[(":status", "200"), ("content-type", "text/event-stream")];
const BODY: &str = r#"{"choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":3}}"#;
const EVENT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n";

/// The effects of an exchange: of its request with this body under [`POLICY`] with these members, and of its answer.
struct Scene<'a> {
    members: &'a str,
    failover: Failover,
    body: &'a str,
    answer: fn(&mut Host),
}

impl Scene<'_> {
    fn play(&self, filter_state: FilterState) -> Vec<Effect> {
        let mut host = Host::new(&policy_with(self.members));
        host.filter_state = filter_state;
        host.failover = self.failover;
        host.begin("POST", "/v1/chat/completions");
        host.set("x-tenant", "acme");
        host.send_headers(false);
        host.send_chunk(self.body.as_bytes(), true);
        let mut all = host.effects.clone();
        host.effects.clear();
        (self.answer)(&mut host);
        host.done();
        all.append(&mut host.effects);
        all
    }

    /// Plays the scene with values and without, and gives the number of the values.
    fn compare(&self) -> usize {
        let (all, none) = (self.play(FilterState::All), self.play(FilterState::None));
        assert_eq!(without_values(&all), none, "{} {}", self.members, self.body);
        all.len() - none.len()
    }
}

/// The effects without values for access logs. What attempts need stays.
pub(super) fn without_values(effects: &[Effect]) -> Vec<Effect> {
    let is_value = |effect: &&Effect| matches!(effect, Effect::SetState { key, .. } if state::ALL.iter().any(|(known, _)| known == key));
    effects
        .iter()
        .filter(|effect| !is_value(effect))
        .cloned()
        .collect()
}

fn answers(host: &mut Host) {
    host.answer_with(JSON, &[BODY]);
}

fn streams(host: &mut Host) {
    host.answer_with(STREAM, &[EVENT, "data: [DONE]\n\n"]);
}

/// Answers that do not end well.
const FAILURES: [fn(&mut Host); 5] = [
    |_| {},
    |host| drop(host.answer_with(&[(":status", "503")], &["busy"])),
    |host| drop(host.answer_with(STREAM, &[EVENT])),
    |host| drop(host.answer_with(JSON, &[r#"{"error":{"message":"no"}}"#])),
    |host| {
        host.response_headers = vec![
            (":status", "200".to_owned()),
            ("content-type", "text/event-stream".to_owned()),
        ];
        host.tell(Event::ResponseHeaders);
    },
];

#[test]
fn a_decided_request_is_the_same_without_values() {
    for headers in ["off", "minimal", "full"] {
        let members = format!(r#""decision_headers": "{headers}", {MEMBERS}"#);
        for (body, answer) in [
            (ask("auto", "hello"), answers as fn(&mut Host)),
            (ask("tiny", "hello"), answers),
            (ask("auto", "hello"), streams),
        ] {
            let scene = Scene {
                members: &members,
                failover: Failover::Off,
                body: &body,
                answer,
            };
            assert!(scene.compare() > 10);
        }
    }
}

#[test]
fn attempts_keep_their_chain_without_values() {
    let body = ask("huge", "hello");
    for failover in [
        Failover::PerAttempt,
        Failover::Aggregate {
            max_chain_length: 2,
        },
    ] {
        let scene = Scene {
            members: r#""decision_headers": "full""#,
            failover,
            body: &body,
            answer: answers,
        };
        assert!(scene.compare() > 10);
        let effects = scene.play(FilterState::None);
        let set: Vec<&str> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::SetState { key, .. } => Some(*key),
                _ => None,
            })
            .collect();
        assert_eq!(set, [state::CHAIN]);
    }
}

#[test]
fn a_request_that_passes_or_is_refused_is_the_same_without_values() {
    let bypass = r#""on_undecided": "bypass", "default_profile": "auto""#;
    let closed = r#""rules": [{"name": "no", "then": {"reject": "closed"}}]"#;
    let unknown = ask("gpt-9", "hello");
    let known = ask("auto", "hello");
    for (members, body) in [
        (bypass, "{"),
        (MEMBERS, "{"),
        (MEMBERS, &unknown),
        (closed, &known),
    ] {
        let scene = Scene {
            members,
            failover: Failover::Off,
            body,
            answer: |host| host.tell(Event::ResponseHeaders),
        };
        assert!(scene.compare() > 1, "{members} {body}");
    }
}

#[test]
fn a_failed_request_is_the_same_without_values() {
    for stream in [false, true] {
        let body = ask("tiny", "hello");
        let body = match stream {
            true => body.replacen('{', r#"{"stream":true,"#, 1),
            false => body,
        };
        for answer in FAILURES {
            let scene = Scene {
                members: MEMBERS,
                failover: Failover::Off,
                body: &body,
                answer,
            };
            assert!(scene.compare() > 10);
        }
    }
}

#[test]
fn a_shadow_is_the_same_without_values() {
    let shadow = r#""mode": "shadow""#;
    let closed = r#""mode": "shadow", "rules": [{"name": "no", "then": {"reject": "closed"}}]"#;
    for headers in ["off", "full"] {
        for (members, body) in [
            (shadow, ask("auto", "hello")),
            (shadow, "{".to_owned()),
            (closed, ask("auto", "hello")),
        ] {
            let members = format!(r#""decision_headers": "{headers}", {members}"#);
            let scene = Scene {
                members: &members,
                failover: Failover::Off,
                body: &body,
                answer: answers,
            };
            assert!(scene.compare() > 1, "{members} {body}");
        }
    }
}
