//! Requests that cannot be decided on, and those that nearly are none: what the corpus cannot show of them.

use super::*;

const NO_RULE: &str = r#""on_undecided": "bypass""#;
const RULE: &str = r#""rules": [{"name": "local", "when": {"sensitive": ["email"]}, "then": {"tags": ["local"]}}]"#;

fn send(policy: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Host {
    let mut host = Host::new(policy);
    send_by(&mut host, method, path, headers, body);
    host
}

fn send_by(host: &mut Host, method: &str, path: &str, headers: &[(&str, &str)], body: &str) {
    host.begin(method, path);
    for (name, value) in headers {
        host.set(name, value);
    }
    host.send_headers(false);
    if host.reply().is_none() {
        host.send_chunk(body.as_bytes(), true);
    }
}

#[test]
fn a_fault_of_ours_lets_nothing_out_that_a_rule_holds_or_a_profile_names() {
    for (members, model, goes_on) in [
        (r#""version": "8""#, "tiny", true),
        (r#""version": "8""#, "auto", false),
        (r#""version": "8""#, "AUTO:Fast", false),
        (RULE, "tiny", false),
        (NO_RULE, "tiny", true),
        (NO_RULE, "auto", false),
    ] {
        let policy = policy_with(members).replacen(r#""version": "7","#, "", 1);
        let mut host = Host::new(&policy);
        host.router = None;
        send_by(
            &mut host,
            "POST",
            "/v1/chat/completions",
            &[],
            &ask(model, "hello"),
        );
        assert_eq!(!host.held, goes_on, "{members} {model}");
        if goes_on {
            assert_eq!(host.header("x-to"), Some("fallback"));
            continue;
        }
        // Clients' SDKs try again by themselves.
        let reply = host.reply().unwrap();
        assert_eq!((reply.status, reply.details), (503, "router_error"));
        assert!(reply.headers.contains(&("retry-after", "1".into())));
    }
}

#[test]
fn the_backend_gets_the_path_that_was_checked() {
    for (path, sent) in [
        ("/v1/chat/completions?x=1", "/v1/chat/completions?x=1"),
        ("//v1/chat%2Fcompletions/;x?x=1", "/v1/chat/completions?x=1"),
        ("/chat/completions", "/v1/chat/completions"),
        ("/team/v1/chat/completions/", "/team/v1/chat/completions"),
        (
            "/openai/deployments/huge/chat/completions?api-version=2024-10-21",
            "/v1/chat/completions",
        ),
    ] {
        let host = send(POLICY, "POST", path, &[], &ask("tiny", "hello"));
        assert_eq!(host.header(":path"), Some(sent), "{path}");
        assert_eq!(host.header("x-to"), Some("cluster-cpu"), "{path}");
    }
    // An undecided request goes as it came.
    let host = send(
        &policy_with(NO_RULE),
        "POST",
        "//v1/chat/completions",
        &[],
        "{",
    );
    assert_eq!(host.header(":path"), Some("//v1/chat/completions"));
    assert_eq!(host.header("x-to"), Some("fallback"));
}

#[test]
fn a_deployment_is_the_model_where_the_body_names_none() {
    let path = "/openai/deployments/org%2Fhuge/chat/completions";
    let body = r#"{"messages":[{"role":"user","content":"hello"}]}"#;
    let host = send(POLICY, "POST", path, &[], body);
    assert_eq!(host.header("x-to"), Some("cluster-gpu"));
    assert_eq!(host.state(state::REQUEST_MODEL), Some("huge"));
    assert_eq!(
        String::from_utf8_lossy(&host.body),
        body.replacen('{', r#"{"model":"org/huge","#, 1)
    );
}

#[test]
fn another_method_is_answered_with_the_one_that_is_allowed() {
    let policy = policy_with(RULE);
    for method in ["PUT", "PATCH", "DELETE", "GET", "post", "QUERY"] {
        let host = send(
            &policy,
            method,
            "/v1/responses",
            &[],
            r#"{"model":"tiny","input":"hello"}"#,
        );
        let reply = host.reply().unwrap();
        assert_eq!((reply.status, reply.details), (405, "method_not_allowed"));
        assert!(reply.headers.contains(&("allow", "POST".into())));
        assert!(
            host.counts()
                .contains(&"pointsman.unrecognized_requests.cause.method")
        );
    }
}

#[test]
fn an_overlong_body_does_not_bypass_a_near_miss() {
    let body = format!(r#"{{"x":"{}","model":"auto"}}"#, "x".repeat(5000));
    let path = "/v1/chat/completions/extra";
    for (policy, goes_on) in [
        (POLICY, false),
        (&policy_with(RULE), false),
        (&policy_with(NO_RULE), true),
    ] {
        let host = send(policy, "POST", path, &[], &body);
        assert_eq!(!host.held, goes_on);
        assert_eq!(host.reply().is_none(), goes_on);
    }
}

#[test]
fn a_websocket_is_refused_in_favour_of_post() {
    let asking = [("connection", "Upgrade"), ("upgrade", "WebSocket")];
    for path in [
        "/v1/responses",
        "/backend-api/codex/responses",
        "/responses/",
    ] {
        let host = send(POLICY, "GET", path, &asking, "");
        assert_eq!(host.reply().unwrap().status, 426, "{path}");
    }
    let host = send(&policy_with(NO_RULE), "GET", "/v1/responses", &asking, "");
    assert!(host.reply().is_none() && !host.held);
    let host = send(POLICY, "GET", "/chat-of-people", &asking, "");
    assert_eq!(host.counts(), [""; 0]);
}

#[test]
fn in_shadow_mode_nothing_is_held_back() {
    let policy = policy_with(&format!(r#"{RULE}, "mode": "shadow""#));
    for (method, path, body) in [
        ("PUT", "/v1/chat/completions", ask("auto", "hello")),
        ("POST", "/v1/chat/completion", ask("auto", "hello")),
        ("POST", "/v1/chat/completions", "{".to_owned()),
        ("POST", "/v1/chat/completions", ask("nobody", "hello")),
    ] {
        let host = send(&policy, method, path, &[], &body);
        assert!(!host.held && host.reply().is_none(), "{method} {path}");
        assert_eq!(host.body, body.as_bytes());
    }
}

#[test]
fn an_encoding_of_another_application_passes() {
    let gzip = [("content-encoding", "gzip")];
    let host = send(POLICY, "POST", "/forms/responses", &gzip, "\u{1f}");
    assert!(host.reply().is_none() && !host.held);
    assert_eq!(host.header("x-to"), None);
    let host = send(&policy_with(RULE), "POST", "/forms/responses", &gzip, "");
    assert_eq!(host.reply().unwrap().status, 415);
}
