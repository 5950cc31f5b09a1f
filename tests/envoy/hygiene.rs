//! Clients must not name the cluster, forge our headers or break the filter with odd bytes. And requests that pass by the filter.

use pointsman_harness::envoy::Envoy;
use pointsman_harness::files;
use pointsman_harness::http1::Request;

use crate::Test;
use crate::world::{CHAT, Case, Exchange, ask};

pub const TESTS: &[Test] = &[
    (
        "hygiene::shipped_configuration_is_valid",
        shipped_configuration_is_valid,
    ),
    ("hygiene::get_passes", get_passes),
    ("hygiene::other_paths_pass", other_paths_pass),
    (
        "hygiene::web_sockets_are_refused_in_favour_of_post",
        web_sockets_are_refused_in_favour_of_post,
    ),
    (
        "hygiene::forged_headers_change_nothing",
        forged_headers_change_nothing,
    ),
    (
        "hygiene::forged_headers_without_the_filter",
        forged_headers_without_the_filter,
    ),
    ("hygiene::bytes_that_are_not_utf8", bytes_that_are_not_utf8),
    ("hygiene::models_are_listed", models_are_listed),
    (
        "hygiene::unknown_model_is_refused",
        unknown_model_is_refused,
    ),
];

fn shipped_configuration_is_valid(case: &Case) {
    case.module();
    let file = files::root().join("envoy/envoy.yaml");
    let (valid, log) = Envoy::validate(case.version, &file).unwrap();
    assert!(valid, "{log}");
    assert!(
        !log.contains("deprecated") && !log.contains("Deprecated"),
        "{log}"
    );
}

fn get_passes(case: &Case) {
    let done = case.send(Request::get("/v1/anything?x=1"));
    done.only();
    assert_eq!(done.received[0].0, "gpu");
    assert_eq!(done.received[0].1.record["path"], "/v1/anything?x=1");
    assert_eq!(done.status(), 404, "the backend's own answer");
    let done = case.send(Request::get(CHAT));
    assert_eq!(done.only().0, "gpu");
}

fn web_sockets_are_refused_in_favour_of_post(case: &Case) {
    let ask = |path| {
        let request = Request::get(path).header("connection", b"Upgrade");
        case.send(request.header("upgrade", b"websocket"))
    };
    for path in [
        "/v1/responses",
        "/responses/",
        "/backend-api/codex/Responses?x=1",
    ] {
        let done = ask(path);
        assert_eq!(done.status(), 426, "{path}");
        assert!(done.received.is_empty());
    }
    // Of other applications Envoy decides as it did.
    assert_eq!(ask("/ws").status(), 403);
}

fn other_paths_pass(case: &Case) {
    for path in ["/v1/moderations", "/", "/v1/chat/completions/extra"] {
        let body = ask("llama-3.1-8b", "x");
        let done = case.send(Request::post(path, &body));
        done.assert_untouched("gpu", &body);
        assert_eq!(done.reported("model"), None);
    }
}

fn forged<'a>(request: Request<'a>) -> Request<'a> {
    request
        .header("x-pointsman-cluster", b"serverless")
        .header("X-Pointsman-Cluster", b"cpu")
        .header("x-pointsman-model", b"gpt-4o")
        .header("x-pointsman-reason", b"because")
        .header("x-envoy-attempt-count", b"77")
        .header("X-POINTSMAN-new", b"\xff")
        .header("x-pointsman-max-cost-usd", b"0")
}

fn assert_nothing_of_ours_arrived(done: &Exchange) {
    for (name, value) in done.only().1.headers() {
        assert!(!name.starts_with("x-pointsman"), "{name}: {value}");
    }
}

fn forged_headers_change_nothing(case: &Case) {
    let body = ask("llama-3.1-8b", "hi");
    let done = case.send(forged(Request::post(CHAT, &body)));
    done.assert_rewritten("lpu", &body, "llama-3.1-8b", "llama-3.1-8b-instant");
    assert_nothing_of_ours_arrived(&done);
    assert_eq!(done.reported("model"), Some("llama-3.1-8b"));
    assert_eq!(done.reported("attempts"), Some("1"));

    let done = case.send(forged(Request::post(CHAT, b"{")));
    done.assert_untouched("gpu", b"{");
    assert_nothing_of_ours_arrived(&done);

    let done = case.send(forged(Request::get("/other")));
    assert_eq!(done.only().0, "gpu");
    assert_nothing_of_ours_arrived(&done);
}

/// The configuration without the filter, as if it were skipped: the default route, and no way around it.
fn forged_headers_without_the_filter(case: &Case) {
    let envoy = case.start(&case.config().without_module());
    let body = ask("meta-llama/Llama-3.1-70B-Instruct", "hi");
    let done = case.send_to(envoy.address(), forged(Request::post(CHAT, &body)));
    done.assert_untouched("gpu", &body);
    assert_eq!(done.status(), 200);
    assert_nothing_of_ours_arrived(&done);
}

fn bytes_that_are_not_utf8(case: &Case) {
    let body = ask("llama-3.1-8b", "hi");
    let odd: [&[u8]; 3] = [b"\xff\xfe\x80", b"caf\xc3\xa9", b"\xed\xa0\x80"];
    for value in odd {
        let done = case.send(Request::post(CHAT, &body).header("x-odd", value));
        done.assert_rewritten("lpu", &body, "llama-3.1-8b", "llama-3.1-8b-instant");
    }
    let done = case.send(
        Request::post(CHAT, &body)
            .header("content-type", b"\xff/\xfe")
            .header("authorization", b"Bearer \xff"),
    );
    assert_eq!(done.status(), 200);
}

fn models_are_listed(case: &Case) {
    let done = case.send(Request::get("/v1/models"));
    assert_eq!(done.status(), 200);
    assert!(done.received.is_empty(), "the filter answers by itself");
    let listed = done.response.json();
    let names: Vec<&str> = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect();
    for name in [
        "llama-3.2-1b",
        "llama-3.1-8b",
        "llama-3.1-70b",
        "gpt-4o",
        "auto",
        "auto:cheap",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
}

fn unknown_model_is_refused(case: &Case) {
    for model in [
        "gpt-5",
        "llama-3.1-8b-instantly",
        "",
        "au\u{74}o:",
        "\u{1f600}",
    ] {
        let done = case.chat(&ask(model, "hi"));
        assert_eq!(done.status(), 404, "{model}: {}", done.response.text());
        assert!(done.received.is_empty());
        let error = done.response.json();
        assert_eq!(error["error"]["code"], "model_not_found");
        assert_eq!(error["error"]["type"], "invalid_request_error");
        assert!(error["error"]["message"].is_string());
        assert_eq!(
            done.response.header("content-type"),
            Some("application/json")
        );
    }
    // A name that a backend serves is known.
    let done = case.chat(&ask("llama-3.1-8b-instant", "hi"));
    assert_eq!(done.reported("model"), Some("llama-3.1-8b"));
}
