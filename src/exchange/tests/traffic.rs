//! Everything besides the body: tenants, headers, client preferences, shadow mode, budgets, endpoints.

use super::*;

/// A chat request with headers, in one chunk.
fn chat_with(host: &mut Host, headers: &[(&str, &str)], body: &str) {
    host.stream = Stream::new();
    host.headers.clear();
    host.body.clear();
    host.effects.clear();
    host.begin("POST", "/v1/chat/completions");
    for (name, value) in headers {
        host.set(name, value);
    }
    host.send_headers(false);
    host.send_chunk(body.as_bytes(), true);
}

fn only_huge(members: &str) -> String {
    policy_with(&format!(
        r#"{members}, "profiles": {{"cheap": {{"weights": {{"cost": 1}}}}, "good": {{"weights": {{"quality": 1}}}}}}"#
    ))
}

#[test]
fn rules_see_tenants_headers_and_paths() {
    let rules = r#""tenant": {"header": "x-tenant"}, "rules": [
        {"name": "acme", "when": {"tenant": ["acme"]}, "then": {"tags": ["local"]}},
        {"name": "beta", "when": {"header": {"x-team": ["red*", "blue"]}}, "then": {"tags": ["local"]}},
        {"name": "path", "when": {"path": ["/v1/*"], "header": {"x-path": ["*"]}}, "then": {"tags": ["local"]}}]"#;
    let policy = policy_with(rules);
    for (headers, rule) in [
        (&[("x-tenant", "acme")][..], Some("acme")),
        (&[("x-tenant", "acme2")], None),
        (&[("x-team", "reddish")], Some("beta")),
        (&[("x-team", "blue")], Some("beta")),
        (&[("x-team", "bluebell")], None),
        (&[("x-path", "")], Some("path")),
        (&[], None),
    ] {
        let mut host = Host::new(&policy);
        chat_with(&mut host, headers, &ask("auto", "hello"));
        let sent = host.response();
        let sent = sent.iter().find(|(name, _)| *name == header::RULE);
        assert_eq!(sent.map(|(_, value)| value.as_str()), rule, "{headers:?}");
    }
}

#[test]
fn client_preferences_are_honoured_and_their_headers_removed() {
    let steering = r#""steering": {"allow": ["allow_models", "max_cost_usd"]}"#;
    let mut host = Host::new(&only_huge(steering));
    let preferences = [
        ("x-pointsman-allow-models", "huge, nobody"),
        ("x-pointsman-max-cost-usd", "cheap"),
        ("x-pointsman-min-quality", "0.1"),
    ];
    chat_with(&mut host, &preferences, &ask("cheap", "hello"));
    assert_eq!(host.header("x-to"), Some("cluster-gpu"));
    assert!(
        preferences
            .iter()
            .all(|(name, _)| host.header(name).is_none())
    );
    let sent = (
        header::STEERING,
        "allow_models,max_cost_usd=ignored".to_owned(),
    );
    assert!(host.response().contains(&sent));

    // Without leave nothing is followed, and nothing is said.
    let mut host = Host::new(&only_huge(r#""version": "8""#).replacen(r#""version": "7","#, "", 1));
    chat_with(&mut host, &preferences, &ask("cheap", "hello"));
    assert_eq!(host.header("x-to"), Some("cluster-cpu"));
    assert!(
        host.response()
            .iter()
            .all(|(name, _)| *name != header::STEERING)
    );
}

#[test]
fn invalid_preferences_are_refused_if_the_policy_says_so() {
    let steering = r#""steering": {"allow": ["min_quality"], "on_invalid": "reject"}"#;
    let mut host = Host::new(&policy_with(steering));
    let preference = [("x-pointsman-min-quality", "high")];
    chat_with(&mut host, &preference, &ask("auto", "hello"));
    let reply = host.reply().unwrap();
    assert_eq!((reply.status, reply.details), (400, "invalid_value"));
    assert!(
        reply
            .headers
            .contains(&(header::REASON, "invalid_value".into()))
    );
    assert_eq!(
        host.reply_json()["error"]["param"],
        "x-pointsman-min-quality"
    );
}

#[test]
fn a_shadow_reports_and_does_not_act() {
    let policy = only_huge(r#""mode": "shadow", "default_profile": "good""#);
    for (model, wanted) in [("tiny", "good"), ("cheap", "cheap"), ("gpt-9", "good")] {
        let body = ask(model, "hello");
        let mut host = Host::new(&policy);
        chat_with(&mut host, &[], &body);
        assert!(!host.held);
        assert_eq!(host.header("x-to"), Some("fallback"));
        assert_eq!(String::from_utf8_lossy(&host.body), body);
        assert_eq!(host.state(state::MODE), Some("shadow"));
        assert_eq!(host.state(state::PROFILE), Some(wanted));
        let counts = host.counts().join(" ");
        assert!(
            counts.contains("pointsman.shadow_decisions.model."),
            "{counts}"
        );
        assert!(!counts.contains("pointsman.decisions"), "{counts}");
        assert!(
            host.response()
                .contains(&(header::MODE, "shadow".to_owned()))
        );
    }
    let rule = r#""mode": "shadow", "rules": [{"name": "no", "then": {"reject": "closed"}}]"#;
    let mut host = Host::new(&policy_with(rule));
    chat_with(&mut host, &[], &ask("auto", "hello"));
    assert!(host.reply().is_none());
    assert_eq!(host.header("x-to"), Some("fallback"));
    assert_eq!(
        host.counts(),
        ["pointsman.shadow_rejections.code.rejected_by_policy"]
    );
    let sent = host.response();
    assert!(sent.contains(&(header::REASON, "rejected_by_policy".into())));
    assert!(sent.contains(&(header::RULE, "no".to_owned())));
}

#[test]
fn a_spent_budget_refuses_or_downgrades_its_tenant_alone() {
    let budgets = r#""tenant": {"header": "x-tenant"}, "budgets": [
        {"name": "acme", "tenant": ["ac*"], "usd": 0.0001, "per": "hour", "max_request_share": 1},
        {"name": "all", "usd": 0.0001, "per": "hour", "profile": "cheap", "max_request_share": 1}]"#;
    let mut host = Host::new(&only_huge(budgets));
    let body = ask("good", "hello");
    let good = host_cluster(&mut host, "beta", &body);
    assert!(
        good.as_deref()
            .is_some_and(|cluster| cluster != "cluster-cpu"),
        "{good:?}"
    );
    // One request of `good` costs about 0.0001: the second finds the budget spent.
    let clusters: Vec<_> = (0..4)
        .map(|_| host_cluster(&mut host, "beta", &body))
        .collect();
    assert_eq!(
        clusters.last(),
        Some(&Some("cluster-cpu".into())),
        "{clusters:?}"
    );
    let rule = (header::RULE, "budget:all".to_owned());
    assert!(host.response().contains(&rule));

    let mut statuses = Vec::new();
    for _ in 0..5 {
        host_cluster(&mut host, "acme", &body);
        statuses.push(host.reply().map(|reply| reply.status));
    }
    assert_eq!(statuses.first(), Some(&None));
    assert_eq!(statuses.last(), Some(&Some(429)));
    assert_eq!(host.reply_json()["error"]["code"], "insufficient_quota");
    assert_eq!(host.reply_json()["error"]["type"], "insufficient_quota");

    // In the next window all of it is there again.
    host.clock_ns += 3_600_000_000_000;
    assert!(host_cluster(&mut host, "acme", &body).is_some());
}

fn host_cluster(host: &mut Host, tenant: &str, body: &str) -> Option<String> {
    chat_with(host, &[("x-tenant", tenant)], body);
    host.header("x-to").map(str::to_owned)
}

#[test]
fn endpoints_that_are_off_are_none_of_ours() {
    let policy = policy_with(r#""models_endpoint": "off""#);
    let policy = policy.replacen(r#""route_endpoint": "on","#, "", 1);
    for (method, path) in [
        ("GET", "/v1/models"),
        ("GET", "/v1/models/tiny"),
        ("POST", "/v1/route"),
    ] {
        let mut host = Host::new(&policy);
        host.begin(method, path);
        host.send_headers(false);
        assert_eq!(host.effects, [Effect::Continue], "{method} {path}");
    }
}

#[test]
fn a_model_behind_the_limit_is_decided_on_where_the_policy_says_so_and_left_as_it_is() {
    let text = "word ".repeat(2000);
    let body = ask("tiny", &text);
    let last = body.rfind("\"model\"").unwrap();
    assert!(last > 4096);
    for (mode, cluster) in [("bypass", "fallback"), ("decide", "cluster-lpu")] {
        let members = format!(
            r#""on_undecided": "bypass", "max_scan_bytes": 4096, "on_missing_model": "{mode}", "default_profile": "quick", "profiles": {{"quick": {{"weights": {{"latency": 1, "cost": 0.001}}, "tags": []}}}}"#
        );
        let policy = policy_with(&members).replacen(r#""price": {"input": 1.5"#, r#""latency": {"first_token_ms": {"p50": 1}, "tokens_per_second": 9999}, "price": {"input": 1.5"#, 1);
        let mut host = Host::new(&policy);
        host.begin("POST", "/v1/chat/completions");
        host.set("content-length", &body.len().to_string());
        host.send_headers(false);
        let (first, rest) = body.as_bytes().split_at(5000);
        host.send_chunk(first, false);
        assert_eq!(host.header("x-to"), Some(cluster));
        assert!(!host.held);
        host.send_chunk(rest, true);
        assert_eq!(String::from_utf8_lossy(&host.body), body);
        host.response();
    }
}

#[test]
fn a_refusal_names_its_rule() {
    let rules = policy_with(r#""rules": [{"name": "closed", "then": {"reject": "closed"}}]"#);
    let host = Host::chat(&rules, &ask("auto", "hello"));
    let reply = host.reply().unwrap();
    assert_eq!(reply.status, 403);
    assert!(reply.headers.contains(&(header::RULE, "closed".into())));
    assert!(
        reply
            .headers
            .contains(&(header::REASON, "rejected_by_policy".into()))
    );
}

#[test]
fn errors_cost_a_budget_nothing_and_its_refusals_are_counted() {
    let budgets = r#""tenant": {"header": "x-tenant"}, "budgets": [{"name": "day", "usd": 0.003, "per": "day"}]"#;
    let mut host = Host::new(&only_huge(budgets));
    let mut status = |status: &str, answer: &str| {
        chat_with(&mut host, &[("x-tenant", "acme")], &ask("huge", "hello"));
        if let Some(reply) = host.reply() {
            let refused = reply.status;
            let counts = host.counts();
            assert!(counts.contains(&"pointsman.rule_matches.rule.budget:day"));
            return refused;
        }
        let headers = [(":status", status), ("content-type", "application/json")];
        host.answer_with(&headers, &[answer]);
        host.done();
        0
    };
    // Each is expected to cost more than a hundredth of the budget: left on its account, they would have spent it.
    for _ in 0..100 {
        assert_eq!(status("503", "{}"), 0);
    }
    // 1000 × 1 + 500 × 2 = 2000 millionths of a USD.
    let usage = r#"{"usage": {"prompt_tokens": 1000, "completion_tokens": 500}}"#;
    assert_eq!(status("200", usage), 0);
    assert_eq!(status("200", usage), 0);
    assert_eq!(status("200", usage), 429);
}

#[test]
fn spending_of_finished_requests_is_exact_to_the_billionth() {
    let budgets = r#""tenant": {"header": "x-tenant"}, "budgets": [
        {"name": "acme", "tenant": ["beta", "acme"], "usd": 1, "per": "hour"},
        {"name": "all", "usd": 1, "per": "hour"}]"#;
    let mut host = Host::new(&only_huge(budgets));
    let added = |host: &Host| {
        [
            "pointsman.budget_spent_nano_usd.budget.acme.tenant.acme",
            "pointsman.budget_spent_nano_usd.budget.all.tenant.all",
        ]
        .map(|name| host.added(name))
    };
    // As answers state it: 1000 × 1 + 500 × 2 millionths of a USD.
    let json = [(":status", "200"), ("content-type", "application/json")];
    chat_with(&mut host, &[("x-tenant", "acme")], &ask("huge", "hello"));
    host.answer_with(
        &json,
        &[r#"{"usage": {"prompt_tokens": 1000, "completion_tokens": 500}}"#],
    );
    host.done();
    assert_eq!(added(&host), [Some(2_000_000), Some(2_000_000)]);
    // The expected cost, if they do not.
    chat_with(&mut host, &[("x-tenant", "acme")], &ask("huge", "hello"));
    host.answer_with(&json, &["{}"]);
    host.done();
    let [first, second] = added(&host);
    assert!(first > Some(1_000) && first == second, "{first:?}");
    // Nothing for an error, and for who is on no budget by name only what is on everybody's.
    chat_with(&mut host, &[("x-tenant", "acme")], &ask("huge", "hello"));
    host.answer_with(&[(":status", "503")], &["{}"]);
    host.done();
    assert_eq!(added(&host), [None, None]);
    chat_with(&mut host, &[("x-tenant", "gamma")], &ask("huge", "hello"));
    host.answer_with(&json, &["{}"]);
    host.done();
    let [first, second] = added(&host);
    assert!(first.is_none() && second.is_some());
}

/// However much a client asks for, its request holds a part of the budget at most, and gives that back when it leaves.
#[test]
fn no_request_locks_a_budget_for_others() {
    let budgets = r#""budgets": [{"name": "month", "usd": 0.01, "per": "month"}]"#;
    let mut host = Host::new(&only_huge(budgets));
    let giant = r#"{"model": "huge", "n": 4000000000, "max_tokens": 1000, "messages": [{"role": "user", "content": "hello"}]}"#;
    for round in 0..50 {
        chat_with(&mut host, &[], giant);
        assert!(host.reply().is_none(), "round {round}");
        // While it is under way, others are served.
        let mut other = std::mem::take(&mut host.stream);
        chat_with(&mut host, &[], &ask("huge", "hello"));
        assert!(host.reply().is_none(), "round {round}");
        host.done();
        // The client of the giant leaves after 0.3 s.
        std::mem::swap(&mut host.stream, &mut other);
        host.clock_ns += 300_000_000;
        host.done();
        assert_eq!(host.state(state::ERROR_TYPE), Some("no_response"));
    }
}

#[test]
fn a_budget_of_every_tenant_is_each_ones_own() {
    let budgets = r#""tenant": {"header": "x-tenant"},
        "budgets": [{"name": "each", "tenant": ["*"], "usd": 0.0001, "per": "hour", "max_request_share": 1}]"#;
    let mut host = Host::new(&only_huge(budgets));
    let body = ask("good", "hello");
    let mut refused = |tenant: &[(&str, &str)]| {
        chat_with(&mut host, tenant, &body);
        host.reply().is_some()
    };
    for tenant in ["acme", "beta"] {
        let tenant = [("x-tenant", tenant)];
        assert!(!refused(&tenant), "{tenant:?}");
        assert!((0..5).any(|_| refused(&tenant)), "{tenant:?}");
    }
    // A request without a tenant is not limited by it.
    assert!((0..20).all(|_| !refused(&[])));
}
