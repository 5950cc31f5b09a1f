//! Properties of many requests: shares, exploration, rollouts, conversations that keep their backend.

use super::*;
use crate::fleet::BackendId;
use crate::policy::request_attributes::{ClientPreferences, TenantSource};

/// Two models of the same ability, one a tenth dearer than the other.
fn twins(members: &str) -> Policy {
    let text = format!(
        r#"{{{members}
        "default_profile": "cheap", "profiles": {{"cheap": {{"weights": {{"cost": 1}}}}}},
        "models": [{{"name": "a"}}, {{"name": "b"}}],
        "backends": [{{"name": "a", "model": "a", "price": {{"input": 1.0, "output": 1.0}}}},
                     {{"name": "b", "model": "b", "price": {{"input": 1.1, "output": 1.1}}}}]}}"#
    );
    Policy::compile(&text).unwrap()
}

fn run(router: &mut Router, policy: &Policy, body: &str) -> Decision {
    run_with(
        router,
        policy,
        body,
        &RequestInfo::new(&RequestAttributes::default(), 0),
    )
}

fn run_with(router: &mut Router, policy: &Policy, body: &str, info: &RequestInfo<'_>) -> Decision {
    let request = request::parse(Api::OpenAiChat, body.as_bytes(), true).unwrap();
    match router.decide(policy, &request, info, Commit::Record) {
        Outcome::Routed(decision) => *decision,
        other => panic!("{other:?}"),
    }
}

fn question(number: usize) -> String {
    format!(r#"{{"messages":[{{"role":"user","content":"question {number}"}}]}}"#)
}

fn count(policy: &Policy, backend: u32) -> usize {
    let mut router = Router::with_features_only();
    (0..1000)
        .filter(|number| run(&mut router, policy, &question(*number)).backend == BackendId(backend))
        .count()
}

#[test]
fn no_model_gets_more_than_its_share_and_some_get_their_least() {
    let policy = |models: &str| {
        let text = format!(
            r#"{{"default_profile": "cheap", "profiles": {{"cheap": {{"weights": {{"cost": 1}}}}}},
            "models": {models},
            "backends": [{{"name": "a", "model": "a", "price": {{"input": 1, "output": 1}}}},
                         {{"name": "b", "model": "b", "price": {{"input": 2, "output": 2}}}}]}}"#
        );
        Policy::compile(&text).unwrap()
    };
    let free = policy(r#"[{"name": "a"}, {"name": "b"}]"#);
    assert_eq!(count(&free, 0), 1000);
    let most = policy(r#"[{"name": "a", "max_share": 0.3}, {"name": "b"}]"#);
    assert!(
        (295..=302).contains(&count(&most, 0)),
        "{}",
        count(&most, 0)
    );
    let least = policy(r#"[{"name": "a"}, {"name": "b", "min_share": 0.2}]"#);
    assert!(
        (199..=203).contains(&count(&least, 1)),
        "{}",
        count(&least, 1)
    );

    // A client that names a model gets it, and a request that only this model can take goes there.
    let never = policy(r#"[{"name": "a", "max_share": 0}, {"name": "b", "capabilities": []}]"#);
    let mut router = Router::with_features_only();
    let pinned = run(
        &mut router,
        &never,
        r#"{"model":"a","messages":[{"role":"user","content":"x"}]}"#,
    );
    assert_eq!(pinned.backend, BackendId(0));
    assert_eq!(run(&mut router, &never, &question(1)).backend, BackendId(1));
    let tools = r#"{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f"}}]}"#;
    assert_eq!(run(&mut router, &never, tools).backend, BackendId(0));
}

#[test]
fn a_share_of_conversations_explores_and_stays_where_it_is() {
    let policy = twins(r#""exploration_rate": 0.1,"#);
    let mut router = Router::with_features_only();
    let mut explored = 0;
    for number in 0..1000 {
        let decision = run(&mut router, &policy, &question(number));
        if decision.reason != Reason::Explored {
            assert_eq!(decision.backend, BackendId(0));
            continue;
        }
        explored += 1;
        assert_eq!(decision.backend, BackendId(1));
        let longer = format!(
            r#"{{"messages":[{{"role":"user","content":"question {number}"}},{{"role":"assistant","content":"yes"}},{{"role":"user","content":"why?"}}]}}"#
        );
        assert_eq!(run(&mut router, &policy, &longer).backend, BackendId(1));
    }
    assert!((70..130).contains(&explored), "{explored}");
}

#[test]
fn a_rollout_takes_a_stable_part_of_the_users() {
    let policy = |share: f64| {
        twins(&format!(
            r#""rules": [{{"name": "canary", "when": {{"share": {share}}}, "then": {{"models": ["b"]}}}}],"#
        ))
    };
    let chosen = |share: f64| -> Vec<usize> {
        let policy = policy(share);
        let mut router = Router::with_features_only();
        let users = 0..400_usize;
        users
            .filter(|user| {
                let body = format!(
                    r#"{{"user":"u{user}","messages":[{{"role":"user","content":"hello"}}]}}"#
                );
                run(&mut router, &policy, &body).backend == BackendId(1)
            })
            .collect()
    };
    let (tenth, half) = (chosen(0.1), chosen(0.5));
    assert!((25..60).contains(&tenth.len()), "{}", tenth.len());
    assert!((160..240).contains(&half.len()), "{}", half.len());
    assert!(tenth.iter().all(|user| half.contains(user)));
    assert_eq!(chosen(0.0).len(), 0);
    assert_eq!(chosen(1.0).len(), 400);
}

/// A conversation of so many turns; the text of each costs more to read again than an answer costs to write.
fn conversation_of(turns: usize, last: &str) -> String {
    let mut messages = Vec::new();
    for turn in 0..turns {
        let long = "some words to read ".repeat(800);
        let text = if turn + 1 == turns {
            last.to_owned()
        } else {
            format!("turn {turn}: {long}")
        };
        messages.push(serde_json::json!({"role": "user", "content": text}));
        messages.push(serde_json::json!({"role": "assistant", "content": "I see."}));
    }
    messages.pop();
    serde_json::json!({"messages": messages}).to_string()
}

/// Two equal models: `a` is dearer to begin with but faster, and reads what it has read before at `cached`.
fn caching(stickiness: f64, cached: f64) -> Policy {
    let text = format!(
        r#"{{"stickiness": {stickiness}, "default_profile": "p",
        "profiles": {{"p": {{"weights": {{"cost": 1}}}}}},
        "models": [{{"name": "a", "context_window": 100000}}, {{"name": "b", "context_window": 100000}}],
        "backends": [
          {{"name": "a", "model": "a", "price": {{"input": 2.0, "cached_input": {cached}, "output": 1.0}}}},
          {{"name": "b", "model": "b", "price": {{"input": 1.5, "cached_input": 1.5, "output": 5.0}}}}]}}"#
    );
    Policy::compile(&text).unwrap()
}

#[test]
fn a_conversation_is_left_only_where_that_beats_the_lost_prompt_cache() {
    let mut router = Router::with_features_only();
    let mut last = |policy: &Policy, turns: usize| {
        run(
            &mut router,
            policy,
            &conversation_of(turns, "And what is that in short?"),
        )
    };
    // The answer is most of a short request's price, so that `a` begins; the text is most of a long one's.
    let forgetful = caching(0.0, 2.0);
    assert_eq!(last(&forgetful, 1).backend, BackendId(0));
    let moved = last(&forgetful, 4);
    assert_eq!((moved.backend, moved.reason), (BackendId(1), Reason::Best));
    // One that begins at `a` and grows: each turn it reads again what it knows, for less than `b` reads it once.
    let mut grow = |policy: &Policy| -> Vec<u32> {
        let mut messages = vec![serde_json::json!({"role": "user", "content": "Hello."})];
        let mut chosen = Vec::new();
        for turn in 0..4 {
            let body = serde_json::json!({"messages": messages}).to_string();
            chosen.push(run(&mut router, policy, &body).backend.0);
            let long = format!("turn {turn}: {}", "some words to read ".repeat(400));
            messages.push(serde_json::json!({"role": "assistant", "content": "I see."}));
            messages.push(serde_json::json!({"role": "user", "content": long}));
        }
        chosen
    };
    assert_eq!(grow(&forgetful), [0, 1, 1, 1]);
    // The first long turn is new to both; what comes after it is not.
    assert_eq!(grow(&caching(0.0, 0.1)), [0, 1, 1, 1]);
    // However little is cached, a number in the policy keeps it.
    assert_eq!(grow(&caching(0.5, 2.0)), [0, 0, 0, 0]);
}

/// The backend of the conversation is cheaper by what it has cached; no other is.
#[test]
fn what_is_cached_is_counted_at_its_price() {
    let mut router = Router::with_features_only();
    let body = conversation_of(4, "And what is that in short?");
    let cost = |policy: &Policy, router: &mut Router, index: usize| {
        let decision = run(router, policy, &body);
        decision.candidates[index].estimate.cost_usd
    };
    let sticky = |cached: f64| {
        let mut policy = caching(9.0, cached);
        policy.registry.backends[1].price.input = 9.0;
        policy
    };
    let (cached, plain) = (sticky(0.1), sticky(2.0));
    assert!(cost(&cached, &mut router, 0) < cost(&plain, &mut router, 0) / 2.0);
    assert_eq!(cost(&cached, &mut router, 1), cost(&plain, &mut router, 1));
}

#[test]
fn preferences_and_tenant_show_in_the_decision() {
    let mut policy = twins("");
    policy.traffic.matchers.tenant = Some(TenantSource {
        header: "x-tenant".into(),
        claim: None,
    });
    let body = question(1);
    let request = request::parse(Api::OpenAiChat, body.as_bytes(), true).unwrap();
    let attributes = RequestAttributes {
        preferences: ClientPreferences {
            models: vec![ModelId(1)],
            honoured: vec![crate::policy::request_attributes::ClientPreference::AllowModels],
            ..ClientPreferences::default()
        },
        ..RequestAttributes::default()
    };
    let outcome = look_at(&policy, &request, &RequestInfo::new(&attributes, 0));
    let Outcome::Routed(decision) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(decision.backend, BackendId(1));
    assert_eq!(decision.steering, ["allow_models"]);
}

/// A conversation whose model calls tools: so many calls and their results behind the user's turn.
fn agent(calls: usize) -> String {
    let mut messages = vec![serde_json::json!({"role": "user", "content": "Look it up."})];
    for call in 0..calls {
        messages.push(serde_json::json!({"role": "assistant", "content": null, "tool_calls": [
            {"id": format!("c{call}"), "type": "function", "function": {"name": "f", "arguments": "{}"}}]}));
        let result = format!("result {call}: {}", "some words to read ".repeat(400));
        messages.push(serde_json::json!({"role": "tool", "tool_call_id": format!("c{call}"), "content": result}));
    }
    serde_json::json!({"messages": messages}).to_string()
}

/// Between two turns of the user the conversation is its backend's too, and its prompt cache with it.
#[test]
fn a_conversation_is_kept_while_its_model_calls_tools() {
    let mut router = Router::with_features_only();
    let mut chosen = |policy: &Policy| -> Vec<u32> {
        (0..4)
            .map(|calls| run(&mut router, policy, &agent(calls)).backend.0)
            .collect()
    };
    assert_eq!(chosen(&caching(0.0, 2.0)), [0, 1, 1, 1]);
    assert_eq!(chosen(&caching(0.5, 2.0)), [0, 0, 0, 0]);
    // Of a long input most was read before: that is counted at its price.
    let mut policy = caching(9.0, 0.1);
    let cost = |policy: &Policy, router: &mut Router| {
        run(router, policy, &agent(4)).candidates[0]
            .estimate
            .cost_usd
    };
    let cached = cost(&policy, &mut router);
    policy.registry.backends[0].price.cached_input = 2.0;
    assert!(cached < cost(&policy, &mut router) / 2.0);
}

/// A model that is behind its least share gets conversations that begin; none that is under way leaves for it.
#[test]
fn a_least_share_moves_no_conversation() {
    let mut sharing = twins("");
    sharing.traffic.shares = vec![crate::policy::traffic::ModelShare {
        model: ModelId(1),
        most: 1.0,
        least: 0.9,
    }];
    let mut router = Router::with_features_only();
    for number in 0..20 {
        for body in [agent(2), conversation_of(3, "why?")] {
            assert_eq!(run(&mut router, &sharing, &body).backend, BackendId(0));
        }
        assert_eq!(
            run(&mut router, &sharing, &question(number)).reason,
            Reason::MinShare
        );
    }
}

/// A model that has had its share takes the request all the same if nobody else answers.
#[test]
fn a_share_gives_way_where_all_others_are_down() {
    let mut policy = twins("");
    policy.traffic.shares = vec![crate::policy::traffic::ModelShare {
        model: ModelId(0),
        most: 0.0,
        least: 0.0,
    }];
    let mut router = Router::with_features_only();
    let first = run(&mut router, &policy, &question(1));
    assert_eq!(first.backend, BackendId(1));
    assert_eq!(first.fallbacks, [BackendId(0)]);
    let down = Observed {
        down: true,
        ..Observed::UNOBSERVED
    };
    let attributes = RequestAttributes::default();
    let info = RequestInfo {
        observed: &[Observed::UNOBSERVED, down],
        ..RequestInfo::new(&attributes, 0)
    };
    let second = run_with(&mut router, &policy, &question(2), &info);
    assert_eq!(second.backend, BackendId(0));
}

#[test]
fn preferences_without_effect_are_not_reported_as_honoured() {
    use crate::policy::request_attributes::ClientPreference;
    let ruled = twins(r#""rules": [{"when": {"user": ["x"]}, "then": {"models": ["a"]}}],"#);
    let steering = |body: &str| {
        let request = request::parse(Api::OpenAiChat, body.as_bytes(), true).unwrap();
        let attributes = RequestAttributes {
            preferences: ClientPreferences {
                models: vec![ModelId(1)],
                honoured: vec![
                    ClientPreference::MinQuality,
                    ClientPreference::MaxCostUsd,
                    ClientPreference::AllowModels,
                ],
                ..ClientPreferences::default()
            },
            ..RequestAttributes::default()
        };
        match look_at(&ruled, &request, &RequestInfo::new(&attributes, 0)) {
            Outcome::Routed(decision) => decision.steering.join(" "),
            other => panic!("{other:?}"),
        }
    };
    let messages = r#""messages":[{"role":"user","content":"hello"}]"#;
    assert_eq!(
        steering(&format!("{{{messages}}}")),
        "min_quality max_cost_usd allow_models"
    );
    assert_eq!(
        steering(&format!(r#"{{"user":"x",{messages}}}"#)),
        "min_quality max_cost_usd allow_models=ignored"
    );
    assert_eq!(
        steering(&format!(r#"{{"model":"a",{messages}}}"#)),
        "min_quality=ignored max_cost_usd allow_models=ignored"
    );
}
