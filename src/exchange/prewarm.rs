//! The minimal request that keeps a backend warm: the name of its model, the shortest prompt, the shortest answer. Nothing in
//! it comes from a user.
//!
//! An attempt filter (see [`crate::exchange::attempt`]) puts in path and credentials, as for any request, so that no secret
//! passes here. `state::scale_to_zero` decides when to send one.

use serde_json::json;

use crate::api::{Api, Apis};
use crate::fleet::Backend;
use crate::fleet::clusters;
use crate::fleet::clusters::Failover;
use crate::routing::fallback_chain::{FallbackChain, FirstByteDeadline, PolicyRef};
use crate::telemetry::header;

/// A request to a cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The cluster.
    pub cluster: String,
    /// The headers, pseudo-headers first.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How long to wait for the response, in milliseconds.
    pub timeout_ms: u32,
}

/// Whether a prewarm can carry the credentials of `backend`: only an attempt filter has them.
pub fn may_call(backend: &Backend, failover: Failover) -> bool {
    failover != Failover::Off || backend.credentials.is_none()
}

/// The prewarm of `backend`; `origin` names its policy.
pub fn call(backend: &Backend, failover: Failover, origin: PolicyRef) -> Call {
    let api = first_api(backend.apis);
    let body = body(api, &backend.served_model).into_bytes();
    let authority = match &backend.endpoint {
        Some(endpoint) => endpoint.host.clone(),
        None => backend.cluster.clone(),
    };
    let mut headers = vec![
        (":method", "POST".to_owned()),
        (":path", path(api).to_owned()),
        (":authority", authority),
        ("content-type", "application/json".to_owned()),
        ("content-length", body.len().to_string()),
        ("user-agent", "pointsman-prewarm".to_owned()),
    ];
    if api == Api::AnthropicMessages {
        headers.push(("anthropic-version", "2023-06-01".to_owned()));
    }
    if failover != Failover::Off {
        let key = clusters::backend_key(&backend.name);
        let chain = FallbackChain {
            backends: vec![key],
            written_for: key,
            attempts: 0,
            path_prefix: 0,
            replaces_version: false,
            content_length: Some(body.len() as u64),
            origin,
            deadline: FirstByteDeadline::default(),
            own_credentials: true,
            withholds: false,
            answer: None,
        };
        headers.push((header::CHAIN, chain.to_text()));
    }
    // The response comes after a cold start.
    let start_ms = backend.cold.as_ref().map_or(0.0, |cold| cold.start_ms);
    Call {
        cluster: backend.cluster.clone(),
        headers,
        body,
        timeout_ms: (start_ms as u32).saturating_mul(2).clamp(60_000, 600_000),
    }
}

/// The API of a prewarm: the first that the backend speaks.
fn first_api(apis: Apis) -> Api {
    Api::ALL
        .into_iter()
        .find(|api| apis.contains(*api))
        .unwrap_or(Api::OpenAiChat)
}

const fn path(api: Api) -> &'static str {
    match api {
        Api::OpenAiChat => "/v1/chat/completions",
        Api::OpenAiResponses => "/v1/responses",
        Api::OpenAiCompletions => "/v1/completions",
        Api::OpenAiEmbeddings => "/v1/embeddings",
        Api::AnthropicMessages => "/v1/messages",
    }
}

fn body(api: Api, model: &str) -> String {
    let messages = json!([{"role": "user", "content": "hi"}]);
    let body = match api {
        Api::OpenAiChat | Api::AnthropicMessages => {
            json!({"model": model, "messages": messages, "max_tokens": 1})
        }
        // The minimum of this API.
        Api::OpenAiResponses => json!({"model": model, "input": "hi", "max_output_tokens": 16}),
        Api::OpenAiCompletions => json!({"model": model, "prompt": "hi", "max_tokens": 1}),
        Api::OpenAiEmbeddings => json!({"model": model, "input": "hi"}),
    };
    serde_json::to_string(&body).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::api::request;
    use crate::policy::Policy;

    fn backend(members: &str) -> Backend {
        let text = format!(
            r#"{{"models": [{{"name": "m"}}], "backends": [{{"name": "b", "cluster": "c", "model": "m", "served_model": "org/m",
            "price": {{"input": 1, "output": 1}}, {members}}}]}}"#
        );
        Policy::compile(&text).unwrap().registry.backends.remove(0)
    }

    #[test]
    fn it_is_a_request_of_the_backends_first_api_for_its_own_model() {
        for api in Api::ALL {
            let name = api.name();
            let call = call(
                &backend(&format!(r#""apis": ["{name}"]"#)),
                Failover::Off,
                PolicyRef::default(),
            );
            assert_eq!(call.cluster, "c");
            let path = &call.headers[1].1;
            assert_eq!(Api::of_path(path), Some(api), "{name}");
            let request = request::parse(api, &call.body, true).unwrap();
            assert_eq!(request.model.as_deref(), Some("org/m"), "{name}");
            assert!(request.max_tokens.is_none_or(|most| most <= 16), "{name}");
            let length = call
                .headers
                .iter()
                .find(|(name, _)| *name == "content-length");
            assert_eq!(length.unwrap().1, call.body.len().to_string());
        }
    }

    #[test]
    fn the_attempts_filter_finds_its_backend() {
        let backend = backend(r#""endpoint": "https://x.example/prefix""#);
        let call = call(&backend, Failover::PerAttempt, PolicyRef::default());
        let chain = call.headers.iter().find(|(name, _)| *name == header::CHAIN);
        let chain = FallbackChain::parse(chain.unwrap().1.as_bytes()).unwrap();
        assert_eq!(chain.backends, [clusters::backend_key("b")]);
        assert_eq!(chain.content_length, Some(call.body.len() as u64));
        assert_eq!(call.headers[2].1, "x.example");
    }

    #[test]
    fn a_backend_whose_credentials_nobody_puts_in_is_not_called() {
        let closed = backend(r#""credentials": {"env": "KEY"}"#);
        assert!(!may_call(&closed, Failover::Off));
        assert!(may_call(&closed, Failover::PerAttempt));
        assert!(may_call(&backend(r#""tags": []"#), Failover::Off));
    }
}
