//! Bodies that are longer than what is read as a whole (4096 bytes here): their short fields count wherever they stand.

use super::*;

/// A body with these fields before and behind a message of `bytes` letters.
fn long(before: &str, bytes: usize, behind: &str) -> String {
    let text = "x".repeat(bytes);
    format!(r#"{{{before}"messages":[{{"role":"user","content":"{text}"}}]{behind}}}"#)
}

/// Sends `body` in chunks of `size` bytes, its length stated or not.
fn send(policy: &str, body: &str, size: usize, states_length: bool) -> Host {
    let mut host = Host::new(policy);
    host.begin("POST", "/v1/chat/completions");
    if states_length {
        host.set("content-length", &body.len().to_string());
    }
    host.send_headers(false);
    for chunk in body.as_bytes().chunks(size) {
        host.send_chunk(chunk, false);
        if host.reply().is_some() {
            return host;
        }
    }
    host.send_chunk(b"", true);
    host
}

const SIZES: [usize; 6] = [1, 700, 4096, 5000, 20_000, usize::MAX];

const RULES: &str =
    r#""rules": [{"name": "closed", "when": {"user": ["mallory"]}, "then": {"reject": "closed"}}]"#;

fn assert_sent(host: &Host, body: &str) {
    assert!(!host.held);
    assert_eq!(String::from_utf8_lossy(&host.body), body);
    if let Some(length) = host.header("content-length") {
        assert_eq!(length, body.len().to_string());
    }
}

#[test]
fn a_model_behind_the_first_part_is_asked_for_and_rewritten() {
    for size in SIZES {
        for states_length in [true, false] {
            let body = long(
                "",
                30_000,
                r#", "max_tokens":9, "model" : "tiny" ,"stream":true"#,
            );
            let policy = policy_with(r#""default_profile": "auto:best""#);
            // The window of `tiny` is too small for the part that is read; that of `huge` is not.
            let body = body.replace("tiny", "huge");
            let host = send(&policy, &body, size, states_length);
            assert_eq!(host.header("x-pointsman-cluster"), None);
            let to = host.header("x-to").unwrap();
            let served = if to == "cluster-gpu" {
                "org/huge"
            } else {
                "huge"
            };
            assert_sent(&host, &body.replace("\"huge\"", &format!("\"{served}\"")));
            assert_eq!(host.counts().len(), 1);
        }
    }
}

#[test]
fn a_profile_behind_the_first_part_does_not_leave() {
    for name in [
        r#""model":"auto:best""#,
        r#""MODEL":"auto""#,
        r#""model":null"#,
        r#""x":1"#,
    ] {
        for size in SIZES {
            let body = long("", 9_000, &format!(r#","n":1,{name}"#));
            let host = send(POLICY, &body, size, true);
            let sent: serde_json::Value = serde_json::from_slice(&host.body).unwrap();
            assert!(
                ["org/huge", "huge"].contains(&sent["model"].as_str().unwrap()),
                "{name}"
            );
            assert!(!String::from_utf8_lossy(&host.body).contains("auto"));
            let length = host.body.len().to_string();
            assert_eq!(host.header("content-length"), Some(length.as_str()));
        }
    }
}

#[test]
fn a_second_model_behind_the_first_part_is_replaced_where_rules_could_be_escaped() {
    let body = long(r#""model":"tiny","#, 9_000, r#","model":"huge""#);
    for size in SIZES {
        let host = send(&policy_with(RULES), &body, size, true);
        let sent = String::from_utf8_lossy(&host.body).into_owned();
        let served = if host.header("x-to") == Some("cluster-gpu") {
            "org/huge"
        } else {
            "huge"
        };
        let model = format!(r#""model":"{served}""#);
        assert_eq!(sent.matches(&model).count(), 2, "{size}");
        assert_sent(&host, &sent);
    }
}

#[test]
fn a_user_behind_the_first_part_is_refused() {
    let body = long(r#""model":"huge","#, 9_000, r#","user":"mallory""#);
    for size in SIZES {
        let host = send(&policy_with(RULES), &body, size, true);
        assert_eq!(host.reply().unwrap().status, 403, "{size}");
    }
}

#[test]
fn without_rules_a_body_whose_model_is_known_streams_through() {
    let body = long(r#""model":"huge","#, 9_000, "");
    let mut host = Host::new(POLICY);
    host.begin("POST", "/v1/chat/completions");
    host.send_headers(false);
    host.send_chunk(&body.as_bytes()[..5000], false);
    assert!(!host.held);
}

#[test]
fn what_envoy_cannot_hold_is_let_go_undecided() {
    let policy = policy_with(r#""on_undecided": "bypass", "max_scan_bytes": 8000"#);
    let body = long("", 30_000, r#","model":"huge""#);
    // A stated length is known from the first: the body is never held beyond the first part.
    let mut host = Host::new(&policy);
    host.begin("POST", "/v1/chat/completions");
    host.set("content-length", &body.len().to_string());
    host.send_headers(false);
    host.send_chunk(&body.as_bytes()[..5000], false);
    assert!(!host.held);
    assert_eq!(
        host.counts(),
        ["pointsman.request_bypasses.cause.model_missing"]
    );
    for size in [700, 4096, 5000] {
        let host = send(&policy, &body, size, false);
        assert_eq!(
            host.counts(),
            ["pointsman.request_bypasses.cause.model_missing"]
        );
        assert_sent(&host, &body);
    }
    // All of it came at once, so that nothing has to be held.
    let host = send(&policy, &body, usize::MAX, false);
    assert_eq!(host.counts().len(), 1);
}

#[test]
fn numbers_behind_the_first_part_count() {
    let policy = policy_with(RULES);
    for number in ["99999999", "\"99999999\"", "1e300", "2000.5"] {
        for size in SIZES {
            // The token limit for a profile is cut down to what the model can write.
            let fields = format!(r#","Max_Tokens": {number} ,"max_completion_tokens":7"#);
            let body = long(r#""model":"auto:best","max_tokens":5000,"#, 9_000, &fields);
            let host = send(&policy, &body, size, true);
            let sent: serde_json::Value = serde_json::from_slice(&host.body).unwrap();
            assert_eq!(sent["max_tokens"], 1000, "{number} {size}");
            assert_eq!(sent["Max_Tokens"], 1000, "{number} {size}");
            assert_eq!(sent["max_completion_tokens"], 7);
            let model = sent["model"].as_str().unwrap();
            let before: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(sent["messages"], before["messages"]);
            assert!(["org/huge", "huge"].contains(&model), "{model}");
            let length = host.body.len().to_string();
            assert_eq!(host.header("content-length"), Some(length.as_str()));
            // A model that the client named judges that itself.
            let body = long(r#""model":"huge","#, 9_000, &fields);
            let host = send(&policy, &body, size, true);
            let sent = String::from_utf8_lossy(&host.body).replace("org/huge", "huge");
            assert_eq!(sent, body, "{number} {size}");
        }
    }
}

/// A number that the end of the first part cuts in two is replaced as a whole.
#[test]
fn numbers_across_the_end_of_the_first_part_are_cut_down_once() {
    let policy = policy_with(RULES);
    for bytes in 3_960..4_100 {
        let body = long(
            r#""model":"auto:best","#,
            bytes,
            r#","max_tokens":123456789"#,
        );
        let host = send(&policy, &body, 4096, true);
        let sent: serde_json::Value = serde_json::from_slice(&host.body).unwrap();
        assert_eq!(sent["max_tokens"], 1000, "{bytes}");
    }
}

#[test]
fn a_piece_that_cannot_be_read_lets_the_body_go() {
    let mut host = Host::new(&policy_with(r#""on_undecided": "bypass""#));
    host.begin("POST", "/v1/chat/completions");
    host.send_headers(false);
    let body = long("", 9_000, r#","model":"tiny""#);
    host.send_chunk(&body.as_bytes()[..5000], false);
    assert!(host.held);
    host.unreadable = true;
    host.send_chunk(&body.as_bytes()[5000..], true);
    assert!(
        host.counts()
            .contains(&"pointsman.request_bypasses.cause.body_unreadable")
    );
    assert_sent(&host, &body);
}
