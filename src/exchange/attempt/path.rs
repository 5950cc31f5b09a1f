//! The path of a request at a backend: the path of the endpoint, and behind it the client's path.
//!
//! SDKs put the API's version into the base URL (`https://api.openai.com/v1`) or into the path (`/v1/messages`). If both the
//! endpoint and the client's path have it, it must not stand there twice.

use crate::fleet::Endpoint;

/// The version at the start of clients' paths.
const VERSION: &str = "/v1";
/// The start of clients' paths without a version.
const BARE: [&str; 5] = [
    "/chat/completions",
    "/completions",
    "/responses",
    "/embeddings",
    "/messages",
];

/// The start that an endpoint gives a client's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The text of the start.
    pub put: String,
    /// Whether the start replaces the version; otherwise it goes before the whole path.
    pub replaces_version: bool,
}

/// The start of the path of a request for `asked` at a backend.
pub fn start(endpoint: Option<&Endpoint>, asked: &str) -> Start {
    let path = endpoint.map_or("", |endpoint| endpoint.path.as_str());
    let plain = asked.split('?').next().unwrap_or(asked);
    let rest = plain.strip_prefix(VERSION);
    let has_version = rest.is_some_and(|rest| rest.starts_with('/'));
    let is_complete = match is_anthropic(plain) {
        // Anthropic's SDKs put the version into the path: a version in the base path means something else.
        true => path.ends_with(VERSION),
        false => has_base(path),
    };
    let is_bare = !has_version && BARE.iter().any(|start| begins(plain, start));
    let replaces_version = has_version && is_complete;
    let put = match is_bare && !is_complete {
        true => [path, VERSION].concat(),
        false => path.to_owned(),
    };
    Start {
        put,
        replaces_version,
    }
}

/// Recovers the client's path from a path with such a start.
pub fn asked(path: &str, put: usize, replaces_version: bool) -> Option<String> {
    let rest = path.get(put..)?;
    Some(match replaces_version {
        true => [VERSION, rest].concat(),
        false => rest.to_owned(),
    })
}

/// The client's path with its start.
pub fn join(asked: &str, start: &Start) -> String {
    let rest = match start.replaces_version {
        true => asked.strip_prefix(VERSION).unwrap_or(asked),
        false => asked,
    };
    [start.put.as_str(), rest].concat()
}

fn begins(path: &str, with: &str) -> bool {
    path.strip_prefix(with)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn is_anthropic(path: &str) -> bool {
    let path = path.strip_prefix(VERSION).unwrap_or(path);
    begins(path, "/messages")
}

/// Whether an endpoint's path is a full base URL for OpenAI's SDK: it names a version of the API (`/v1`, `/v1beta/openai`,
/// `/api/paas/v4`), or a deployment of Azure.
fn has_base(path: &str) -> bool {
    path.split('/').any(|segment| {
        let version = segment.strip_prefix('v');
        segment == "deployments"
            || version.is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str, wanted: &str) -> String {
        let endpoint = Endpoint {
            tls: true,
            host: "api.example.com".to_owned(),
            port: 443,
            path: path.to_owned(),
        };
        let start = start(Some(&endpoint), wanted);
        let joined = join(wanted, &start);
        // The client's path can be recovered.
        let again = asked(&joined, start.put.len(), start.replaces_version);
        assert_eq!(again.as_deref(), Some(wanted), "{path} {wanted}");
        joined
    }

    #[test]
    fn a_version_stands_in_a_path_once() {
        let chat = "/v1/chat/completions?x=1";
        for (path, expected) in [
            ("", "/v1/chat/completions?x=1"),
            ("/openai", "/openai/v1/chat/completions?x=1"),
            ("/v1", "/v1/chat/completions?x=1"),
            ("/openai/v1", "/openai/v1/chat/completions?x=1"),
            ("/v1beta/openai", "/v1beta/openai/chat/completions?x=1"),
            ("/api/paas/v4", "/api/paas/v4/chat/completions?x=1"),
            (
                "/openai/deployments/gpt",
                "/openai/deployments/gpt/chat/completions?x=1",
            ),
            ("/vllm", "/vllm/v1/chat/completions?x=1"),
        ] {
            assert_eq!(at(path, chat), expected);
        }
        assert_eq!(at("/v1", "/v1/responses"), "/v1/responses");
        assert_eq!(at("/v1", "/v1/messages"), "/v1/messages");
        assert_eq!(at("", "/v1/messages"), "/v1/messages");
        assert_eq!(at("/anthropic", "/v1/messages"), "/anthropic/v1/messages");
        // A version of something else before Anthropic's own.
        assert_eq!(
            at("/v1/account/anthropic", "/v1/messages/count_tokens"),
            "/v1/account/anthropic/v1/messages/count_tokens"
        );
    }

    #[test]
    fn a_client_that_names_no_version_gets_the_backends() {
        assert_eq!(at("", "/chat/completions"), "/v1/chat/completions");
        assert_eq!(at("/v1", "/responses?a"), "/v1/responses?a");
        assert_eq!(at("/openai", "/embeddings"), "/openai/v1/embeddings");
        assert_eq!(at("/v1", "/messages"), "/v1/messages");
        assert_eq!(at("", "/v1beta/x"), "/v1beta/x");
        assert_eq!(at("", "/v12/chat/completions"), "/v12/chat/completions");
        assert_eq!(start(None, "/responses").put, "/v1");
    }
}
