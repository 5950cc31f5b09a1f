//! How a backend is reached where Pointsman writes the clusters, and what proves who we are there: the fields, what they
//! mean, and their compilation.
//!
//! Nothing is opened here. The values of secrets are never in a policy: it names the variable that holds one.

use super::compile::{at_of, text_of};
use crate::fleet::{Backend, ClientHeaders, Credentials, Endpoint, StateScope};
use crate::schema::document::Node;
use crate::schema::shape::{Field, Kind, Problems, Shape, optional, required};
use crate::schema::suggest::quote;

/// `credentials` of a backend.
pub const CREDENTIALS: Shape = Shape {
    name: "credentials",
    doc: "What proves to a backend who is asking. It is put into each attempt at this backend and taken out again before another backend is tried. The secret itself is never in a policy.",
    fields: &[
        optional(
            "header",
            Kind::Text,
            "`authorization`",
            "The request header that carries it, lower case.",
        ),
        optional(
            "prefix",
            Kind::Text,
            "`Bearer ` where the header is `authorization`, else nothing",
            "What stands in the header before the secret.",
        ),
        required(
            "env",
            Kind::Text,
            "The environment variable of Envoy that holds the secret.",
        ),
        optional(
            "other_paths",
            Kind::List {
                of: &Kind::Text,
                min: 0,
            },
            "none: other paths, such as those of files, are not opened to every client",
            "How paths begin, such as `/v1/audio/`, for whose requests it is put in as well where they go to this backend as the default cluster. Those of the APIs that are routed need not be named.",
        ),
    ],
};

const PASS_OR_STRIP: Kind = Kind::Choice(&["pass", "strip"]);

/// `client_credentials` of a backend.
pub const CLIENT_CREDENTIALS_FIELD: Field = optional(
    "client_credentials",
    PASS_OR_STRIP,
    "`strip` where it has `credentials`; else `pass`, unless backends without `credentials` belong to more than one party: each host with `https` is one, and all others together are one",
    "Whether it sees the credentials that the client sent: `authorization`, `x-api-key`, `cookie` and the like.",
);

/// `client_address` of a backend.
pub const CLIENT_ADDRESS_FIELD: Field = optional(
    "client_address",
    PASS_OR_STRIP,
    "`strip` where it has `credentials` or an `endpoint`, else `pass`",
    "Whether it sees who and where the client is: `x-forwarded-*`, `x-envoy-*` and the like.",
);

/// `state_scope` of a backend.
pub(super) const STATE_SCOPE_FIELD: Field = optional(
    "state_scope",
    Kind::Text,
    "host, port and `credentials.env` of the backend's endpoint, or its cluster if it states no endpoint",
    "The backends of one scope can read what each other's models wrote for themselves: signed thinking, encrypted reasoning, stored responses. A conversation that carries such state goes only to backends of the scope that made it.",
);

/// Headers that carry what a request is; a secret in one of them would break it.
const RESERVED: [&str; 7] = [
    "connection",
    "content-length",
    "content-type",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Compiles `endpoint` of the backend at `index`.
pub(super) fn compile_endpoint(
    node: &Node,
    index: usize,
    problems: &mut Problems<'_>,
) -> Option<Endpoint> {
    let written = text_of(node, "endpoint")?;
    match parse_endpoint(written) {
        Ok(endpoint) => Some(endpoint),
        Err(problem) => {
            let message = format!("{} {problem}", quote(written));
            let at = format!("backends[{index}].endpoint");
            problems.add(at_of(node, "endpoint"), at, message);
            None
        }
    }
}

fn parse_endpoint(written: &str) -> Result<Endpoint, &'static str> {
    let (tls, rest) = if let Some(rest) = written.strip_prefix("https://") {
        (true, rest)
    } else if let Some(rest) = written.strip_prefix("http://") {
        (false, rest)
    } else {
        return Err("does not begin with `http://` or `https://`");
    };
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, path.trim_end_matches('/')),
        None => (rest, ""),
    };
    if path.contains(['?', '#']) || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("has more behind its path than a path");
    }
    let usual = if tls { 443 } else { 80 };
    // An IPv6 address stands in brackets.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let port = port.parse().ok().filter(|port: &u16| *port > 0);
            (host, port.ok_or("has no port from 1 to 65535")?)
        }
        _ => (authority, usual),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    if host.is_empty() || !host.bytes().all(is_host) {
        return Err("names no host");
    }
    // What clients ask for comes behind it.
    let apis = [
        "/chat/completions",
        "/completions",
        "/responses",
        "/embeddings",
        "/messages",
    ];
    if apis.iter().any(|api| ["/", path].concat().ends_with(api)) {
        return Err("ends in the path of an API, which comes from the request: end it before that");
    }
    let path = if path.is_empty() {
        String::new()
    } else {
        ["/", path].concat()
    };
    Ok(Endpoint {
        tls,
        host: host.to_owned(),
        port,
        path,
    })
}

/// Refuses a cluster whose name a header cannot carry as it is: the cluster that was meant would never be found.
pub(super) fn check_cluster(node: &Node, name: &str, path: &str, problems: &mut Problems<'_>) {
    let fits = name
        .bytes()
        .all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if !fits || name != name.trim() {
        let message = format!("{} cannot stand in a header as it is", quote(name));
        problems.add(node.at, path, message);
    }
}

/// Compiles `state_scope` of a backend: as it is stated, else the account that it is reached with.
pub(super) fn compile_state_scope(
    node: &Node,
    cluster: &str,
    endpoint: Option<&Endpoint>,
    credentials: Option<&Credentials>,
) -> StateScope {
    if let Some(written) = text_of(node, "state_scope") {
        return StateScope {
            is_stated: true,
            ..StateScope::new(written.to_owned())
        };
    }
    let mut name = endpoint.map_or(cluster.to_owned(), |one| {
        format!("{}:{}", one.host, one.port)
    });
    if let Some(account) = credentials {
        name.push('/');
        name.push_str(&account.env);
    }
    StateScope::new(name)
}

/// Compiles `health` of the backend at `index`.
pub(super) fn compile_health(
    node: &Node,
    index: usize,
    problems: &mut Problems<'_>,
) -> Option<String> {
    let path = text_of(node, "health")?;
    if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message = format!("{} is not a path", quote(path));
        problems.add(
            at_of(node, "health"),
            format!("backends[{index}].health"),
            message,
        );
    }
    Some(path.to_owned())
}

/// Compiles `credentials` of the backend at `index`.
pub(super) fn compile_credentials(
    node: &Node,
    index: usize,
    problems: &mut Problems<'_>,
) -> Option<Credentials> {
    let node = node.get("credentials")?;
    let header = text_of(node, "header").unwrap_or("authorization");
    let is_token = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let mut complain = |name: &str, written: &str, problem: &str| {
        let at = format!("backends[{index}].credentials.{name}");
        problems.add(
            at_of(node, name),
            at,
            format!("{} {problem}", quote(written)),
        );
    };
    if !header.bytes().all(is_token) {
        complain("header", header, "is not a lower-case header name");
    } else if RESERVED.contains(&header) || header.starts_with("x-pointsman-") {
        complain("header", header, "has a meaning of its own");
    }
    let env = text_of(node, "env").unwrap_or_default();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if !env.bytes().all(is_name) {
        complain("env", env, "is not the name of an environment variable");
    }
    let usual = if header == "authorization" {
        "Bearer "
    } else {
        ""
    };
    let prefix = text_of(node, "prefix").unwrap_or(usual);
    if !prefix
        .bytes()
        .all(|byte| byte == b' ' || byte.is_ascii_graphic())
    {
        complain("prefix", prefix, "cannot stand in a header");
    }
    let paths = node.get("other_paths").map_or(&[][..], Node::items);
    let paths: Vec<&str> = paths.iter().filter_map(Node::text).collect();
    for path in &paths {
        if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            complain("other_paths", path, "is not a path");
        }
    }
    Some(Credentials {
        header: header.to_owned(),
        prefix: prefix.to_owned(),
        env: env.to_owned(),
        other_paths: paths.into_iter().map(str::to_owned).collect(),
    })
}

/// Compiles `client_credentials` and `client_address` of a backend, as far as it says so itself.
pub(super) fn compile_client(node: &Node) -> ClientHeaders {
    let stated = |name| text_of(node, name).map(|word| word == "pass");
    let (credentials, address) = (stated("client_credentials"), stated("client_address"));
    ClientHeaders {
        credentials: credentials.unwrap_or_default(),
        address: address.unwrap_or_default(),
        credentials_stated: credentials.is_some(),
        address_stated: address.is_some(),
    }
}

/// Whose a backend is, as far as its endpoint says: a host that is reached by TLS is somebody's own, all else is taken for
/// the operator's house.
pub(super) fn party(backend: &Backend) -> Option<&str> {
    let endpoint = backend.endpoint.as_ref()?;
    endpoint.tls.then_some(endpoint.host.as_str())
}

/// Fills in what the backends themselves do not say of the client's headers. A client's key is one party's: where several
/// could get it, nobody does unless the policy says so.
pub(super) fn fill_in_client_headers(backends: &mut [Backend]) {
    let open = backends.iter().filter(|one| one.credentials.is_none());
    let mut parties = open.map(party);
    let first = parties.next();
    let is_one = first.is_none_or(|first| parties.all(|other| other == first));
    for backend in backends {
        let has_own = backend.credentials.is_some();
        let client = &mut backend.client;
        if !client.credentials_stated {
            client.credentials = !has_own && is_one;
        }
        if !client.address_stated {
            client.address = !has_own && backend.endpoint.is_none();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read() {
        let endpoint = |text| parse_endpoint(text).unwrap();
        let read = endpoint("https://api.example.com/openai/");
        assert!(read.tls);
        assert_eq!((read.host.as_str(), read.port), ("api.example.com", 443));
        assert_eq!(read.path, "/openai");
        let read = endpoint("http://10.0.0.7:8000");
        assert_eq!(
            (read.tls, read.host.as_str(), read.port, read.path.as_str()),
            (false, "10.0.0.7", 8000, "")
        );
        assert_eq!(endpoint("http://[::1]:80").host, "::1");
        assert_eq!(endpoint("http://[::1]").port, 80);
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for text in [
            "gpu:8000",
            "ftp://gpu",
            "http://",
            "http://gpu:0",
            "http://gpu:x",
            "http://g pu",
            "http://gpu/a?b",
            "https://api.example.com/v1/chat/completions",
            "https://api.example.com/v1/messages/",
        ] {
            assert!(parse_endpoint(text).is_err(), "{text}");
        }
    }
}
