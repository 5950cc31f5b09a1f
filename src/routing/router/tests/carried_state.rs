//! Backends for requests with state that only its maker can read.

use super::*;
use crate::fleet::BackendId;

/// Three backends of two models at two providers, the other provider's the cheapest.
fn policy(members: &str) -> Policy {
    let text = format!(
        r#"{{{members}
        "default_profile": "cheap", "profiles": {{"cheap": {{"weights": {{"cost": 1}}}}}},
        "models": [{{"name": "a", "context_window": 20000}}, {{"name": "b"}}],
        "backends": [
          {{"name": "a1", "model": "a", "apis": ["anthropic_messages"], "state_scope": "one", "price": {{"input": 3, "output": 3}}, "tags": ["eu"]}},
          {{"name": "b1", "model": "b", "apis": ["anthropic_messages"], "state_scope": "one", "price": {{"input": 2, "output": 2}}}},
          {{"name": "b2", "model": "b", "apis": ["anthropic_messages"], "state_scope": "two", "price": {{"input": 1, "output": 1}}, "tags": ["house"]}}]}}"#
    );
    Policy::compile(&text).unwrap()
}

const BODY: &str = r#"{"model":"auto","max_tokens":10,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking","thinking":"x","signature":"s1"},{"type":"text","text":"b"}]},{"role":"user","content":"c"}]}"#;

fn key(name: &str) -> u32 {
    crate::fleet::clusters::backend_key(name)
}

fn outcome(policy: &Policy, body: &str, known: &[Option<u32>], can_retry: bool) -> Outcome {
    let body = body.replace(r#""auto""#, r#""cheap""#);
    let request = request::parse_with_state(Api::AnthropicMessages, body.as_bytes(), true).unwrap();
    let attributes = RequestAttributes::default();
    let mut info = RequestInfo::new(&attributes, 0);
    info.state_origin = StateOrigin {
        makers: known,
        can_retry,
    };
    look_at(policy, &request, &info)
}

fn decided(policy: &Policy, body: &str, known: &[Option<u32>], can_retry: bool) -> Decision {
    match outcome(policy, body, known, can_retry) {
        Outcome::Routed(decision) => *decision,
        other => panic!("{other:?}"),
    }
}

fn refused(policy: &Policy, body: &str, known: &[Option<u32>]) -> Rejection {
    match outcome(policy, body, known, true) {
        Outcome::Rejected(rejection) => rejection,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_known_maker_has_it_and_its_chain() {
    let policy = policy("");
    let known = [Some(key("one"))];
    let decision = decided(&policy, BODY, &known, true);
    // The cheapest of its scope, and none of the other one behind it.
    assert_eq!(decision.backend, BackendId(1));
    assert_eq!(decision.fallbacks, [BackendId(0)]);
    assert_eq!(
        decision.foreign,
        Foreign {
            dropped: vec![false],
            is_guessed: false
        }
    );
    let other = &decision.candidates[2];
    assert_eq!(other.ineligible.as_ref().unwrap().name(), "foreign_state");
    // A model that is named is one of that scope too.
    let named = BODY.replace("auto", "b");
    assert_eq!(decided(&policy, &named, &known, true).backend, BackendId(1));
    assert_eq!(decided(&policy, &named, &known, true).fallbacks, []);
    let two = [Some(key("two"))];
    assert_eq!(decided(&policy, &named, &two, true).backend, BackendId(2));
    // Without state it is as ever.
    let plain = BODY.replace(
        r#"{"type":"thinking","thinking":"x","signature":"s1"},"#,
        "",
    );
    let decision = decided(&policy, &plain, &[], true);
    assert_eq!(
        (decision.backend, decision.fallbacks.len()),
        (BackendId(2), 2)
    );
}

#[test]
fn a_maker_that_nobody_knows_is_guessed_and_the_chain_goes_on_to_others() {
    let policy = policy("");
    let decision = decided(&policy, BODY, &[None], true);
    assert_eq!(decision.backend, BackendId(2));
    assert!(decision.foreign.is_guessed);
    assert_eq!(decision.fallbacks, [BackendId(1), BackendId(0)]);
    // If nobody else could be tried, nobody else is in the chain.
    let decision = decided(&policy, BODY, &[None], false);
    assert_eq!(
        (decision.backend, decision.fallbacks.len()),
        (BackendId(2), 0)
    );
}

#[test]
fn the_newest_piece_that_is_known_decides() {
    let body = BODY.replace(
        r#"{"role":"user","content":"c"}"#,
        r#"{"role":"user","content":"c"},{"role":"assistant","content":[{"type":"thinking","thinking":"y","signature":"s2"},{"type":"text","text":"d"}]},{"role":"user","content":"e"}"#,
    );
    let policy = policy("");
    let (one, two) = (Some(key("one")), Some(key("two")));
    assert_eq!(
        decided(&policy, &body, &[two, one], true).backend,
        BackendId(1)
    );
    assert_eq!(
        decided(&policy, &body, &[one, two], true).backend,
        BackendId(2)
    );
    let decision = decided(&policy, &body, &[one, None], true);
    assert_eq!(decision.backend, BackendId(1));
    assert!(!decision.foreign.is_guessed);
}

#[test]
fn what_is_dropped_is_what_the_chosen_one_cannot_read() {
    let policy = policy(r#""foreign_state": "drop","#);
    let (one, two) = (Some(key("one")), Some(key("two")));
    for (known, dropped) in [(one, true), (two, false), (Some(7), true)] {
        let decision = decided(&policy, BODY, &[known], true);
        assert_eq!(
            decision.backend,
            BackendId(2),
            "the cheapest whoever made it"
        );
        assert_eq!(decision.foreign.dropped, [dropped], "{known:?}");
        assert_eq!(decision.fallbacks.len(), 2);
    }
    // Guessed to be its own: kept where a wrong guess can be tried elsewhere.
    assert_eq!(
        decided(&policy, BODY, &[None], true).foreign.dropped,
        [false]
    );
    assert_eq!(
        decided(&policy, BODY, &[None], false).foreign.dropped,
        [true]
    );
    // State that cannot be dropped binds the request.
    let stuck = BODY.replace(
        r#""max_tokens":10,"#,
        r#""max_tokens":10,"container":"container_1","#,
    );
    let decision = decided(&policy, &stuck, &[two, one], true);
    assert_eq!(decision.backend, BackendId(1));
    assert_eq!(decision.foreign.dropped, [true, false]);
}

#[test]
fn who_can_read_it_but_may_not_have_it_is_named() {
    let ruled = policy(
        r#""rules": [{"name": "home", "when": {"path": ["*"]}, "then": {"tags": ["house"]}}],"#,
    );
    let rejection = refused(&ruled, BODY, &[Some(key("one"))]);
    assert_eq!((rejection.status, rejection.code), (400, "foreign_state"));
    assert_eq!(
        rejection.message,
        "the conversation carries `thinking` blocks that only the state scope `one` can read, and no backend of it can take the request: the backend has no tag `house`"
    );
    assert_eq!(rejection.rules, ["home"]);
    let gone = refused(&policy(""), BODY, &[Some(7)]);
    assert_eq!(
        gone.message,
        "the conversation carries `thinking` blocks that no backend of the policy can read; send it without that, or start a new conversation"
    );
    // With leave to drop it goes where the rule wants it.
    let drops = policy(
        r#""foreign_state": "drop", "rules": [{"name": "home", "when": {"path": ["*"]}, "then": {"tags": ["house"]}}],"#,
    );
    let decision = decided(&drops, BODY, &[Some(key("one"))], true);
    assert_eq!(
        (decision.backend, decision.fallbacks),
        (BackendId(2), vec![])
    );
}

#[test]
fn scopes_are_accounts_at_hosts() {
    let text = r#"{"models": [{"name": "m"}], "backends": [
      {"name": "1", "model": "m", "endpoint": "https://api.example.com/v1/x", "price": {"input": 1, "output": 1}},
      {"name": "2", "model": "m", "endpoint": "https://api.example.com", "price": {"input": 1, "output": 1}},
      {"name": "3", "model": "m", "endpoint": "https://api.example.com", "credentials": {"env": "OTHER_KEY"}, "price": {"input": 1, "output": 1}},
      {"name": "4", "model": "m", "endpoint": "http://10.0.0.1:8001", "price": {"input": 1, "output": 1}},
      {"name": "5", "model": "m", "cluster": "mesh", "price": {"input": 1, "output": 1}},
      {"name": "6", "model": "m", "cluster": "mesh", "state_scope": "mine", "price": {"input": 1, "output": 1}}]}"#;
    let policy = Policy::compile(text).unwrap();
    let backends = policy.registry.backends.iter();
    let names: Vec<&str> = backends
        .map(|backend| backend.state_scope.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "api.example.com:443",
            "api.example.com:443",
            "api.example.com:443/OTHER_KEY",
            "10.0.0.1:8001",
            "mesh",
            "mine"
        ]
    );
}
