//! Credentials of backends and of clients: fields, compilation and warnings.
//!
//! A policy never holds a secret: it names the environment variable that does.

use std::net::IpAddr;

use crate::fleet::{Backend, ClientHeaders, Credentials, Endpoint};
use crate::schema::document::Node;
use crate::schema::problems::Problems;
use crate::schema::shape::{Field, Kind, Shape, optional, required};
use crate::schema::suggest::quote;

const HEADER: Field = optional(
    "header",
    Kind::Text,
    "`authorization`",
    "The request header for the secret, in lower case.",
);

const PREFIX: Field = optional(
    "prefix",
    Kind::Text,
    "`Bearer ` if the header is `authorization`, else nothing",
    "The text in the header before the secret.",
);

const ENV: Field = required(
    "env",
    Kind::Text,
    "The environment variable of Envoy that holds the secret.",
);

/// `credentials` of a backend.
pub const CREDENTIALS: Shape = Shape {
    name: "credentials",
    doc: "Credentials for a backend. They are added to each attempt at this backend and removed before another backend is tried. The secret itself is never in a policy.",
    fields: &[
        HEADER,
        PREFIX,
        ENV,
        optional(
            "other_paths",
            Kind::List {
                of: &Kind::Text,
                min: 0,
            },
            "none, so that other paths, such as those of files, are not open to every client",
            "Prefixes of further paths, such as `/v1/audio/`, whose requests get the credentials too if they go to this backend as the default cluster. Paths of routed APIs need not be listed.",
        ),
    ],
};

/// `credentials` of `judge`.
pub const JUDGE_CREDENTIALS: Shape = Shape {
    name: "judge credentials",
    doc: "Credentials for the judge. `pointsman render` writes them into the judge's cluster, where Envoy adds them to each question. The secret itself is never in a policy.",
    fields: &[HEADER, PREFIX, ENV],
};

const PASS_OR_STRIP: Kind = Kind::Choice(&["pass", "strip"]);

/// `client_credentials` of a backend.
pub const CLIENT_CREDENTIALS_FIELD: Field = optional(
    "client_credentials",
    PASS_OR_STRIP,
    "`strip` if it has `credentials`; else `pass`, unless backends without `credentials` belong to more than one party: each host with `https` is one, and all others together are one",
    "Whether the backend gets the client's own credentials: `authorization`, `x-api-key`, `cookie` and the like.",
);

/// `client_address` of a backend.
pub const CLIENT_ADDRESS_FIELD: Field = optional(
    "client_address",
    PASS_OR_STRIP,
    "`strip` if it has `credentials` or an `endpoint`, else `pass`",
    "Whether the backend gets headers about the client's identity and address: `x-forwarded-*`, `x-envoy-*` and the like.",
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

/// Compiles `credentials` of a backend or of the judge, which stands at `place` in the policy.
#[inline(never)]
pub(crate) fn compile_credentials(
    node: &Node,
    place: &str,
    problems: &mut Problems<'_>,
) -> Option<Credentials> {
    let node = node.get("credentials")?;
    let header = node.text_of("header").unwrap_or("authorization");
    let is_token = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let mut complain = |name: &str, written: &str, problem: &str| {
        let at = format!("{place}.credentials.{name}");
        problems.add(
            node.offset_of(name),
            at,
            format!("{} {problem}", quote(written)),
        );
    };
    if !header.bytes().all(is_token) {
        complain("header", header, "is not a lower-case header name");
    } else if RESERVED.contains(&header) || header.starts_with("x-pointsman-") {
        complain("header", header, "is reserved");
    }
    let env = node.text_of("env").unwrap_or_default();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if !env.bytes().all(is_name) {
        complain("env", env, "is not the name of an environment variable");
    }
    let usual = if header == "authorization" {
        "Bearer "
    } else {
        ""
    };
    let prefix = node.text_of("prefix").unwrap_or(usual);
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
pub(crate) fn compile_client_headers(node: &Node) -> ClientHeaders {
    let stated = |name| node.text_of(name).map(|word| word == "pass");
    let (credentials, address) = (stated("client_credentials"), stated("client_address"));
    ClientHeaders {
        credentials: credentials.unwrap_or_default(),
        address: address.unwrap_or_default(),
        credentials_stated: credentials.is_some(),
        address_stated: address.is_some(),
    }
}

/// The party that a backend belongs to, as far as its endpoint tells: each host with TLS is a party of its own, all other
/// backends count as the operator's.
pub(crate) fn party(backend: &Backend) -> Option<&str> {
    let endpoint = backend.endpoint.as_ref()?;
    endpoint.tls.then_some(endpoint.host.as_str())
}

/// Fills in what the backends themselves do not say of the client's headers. A client's key is one party's: if several
/// could get it, nobody does unless the policy says so.
pub(crate) fn fill_in_client_headers(backends: &mut [Backend]) {
    let open = backends
        .iter()
        .filter(|backend| backend.credentials.is_none());
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

pub(crate) fn lint_credentials(
    backend: &Backend,
    node: &Node,
    path: &str,
    warnings: &mut Problems<'_>,
) {
    if backend.credentials.is_none() {
        return;
    }
    let message = match &backend.endpoint {
        None => {
            "its cluster is defined elsewhere: `credentials` are added only if attempts have their filter, which `pointsman render` \
             writes with failover"
        }
        Some(endpoint) if !endpoint.tls && is_far(endpoint) => {
            "the secret is sent unencrypted: use `https://` in `endpoint`"
        }
        Some(_) => return,
    };
    let at = node.offset_of("credentials");
    warnings.add(at, format!("{path}.credentials"), message);
}

/// Whether an endpoint looks as if it were outside: no private address, and no name of a network of one's own.
fn is_far(endpoint: &Endpoint) -> bool {
    match endpoint.host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => !(address.is_loopback() || address.is_private()),
        Ok(IpAddr::V6(address)) => !(address.is_loopback() || address.is_unique_local()),
        Err(_) => {
            let own = [".local", ".internal", ".svc", ".lan", ".localhost"];
            endpoint.host.contains('.') && !own.iter().any(|end| endpoint.host.ends_with(end))
        }
    }
}

/// Warns if clients' own credentials could be meant for several parties, and so go to none.
pub(crate) fn lint_client_credentials(
    backends: &[Backend],
    root: &Node,
    warnings: &mut Problems<'_>,
) {
    let is_open = |backend: &Backend| backend.credentials.is_none();
    let nodes = root.get("backends").map_or(&[][..], Node::items);
    let is_withheld = |backend: &Backend| {
        is_open(backend) && !backend.client.credentials && !backend.client.credentials_stated
    };
    let mut parties: Vec<&str> = Vec::new();
    for backend in backends.iter().filter(|backend| is_open(backend)) {
        let party = party(backend).unwrap_or("the operator's own hosts");
        if !parties.contains(&party) {
            parties.push(party);
        }
    }
    let withheld = backends.iter().zip(nodes).enumerate();
    if let Some((index, (backend, node))) = withheld
        .into_iter()
        .find(|(_, (backend, _))| is_withheld(backend))
    {
        let message = format!(
            "{} has no `credentials`, and the client's own are not sent to it, since backends without `credentials` are at {}: \
             say `client_credentials: pass` where clients' keys belong, `strip` elsewhere",
            quote(&backend.name),
            parties.join(", "),
        );
        warnings.add(node.at, format!("backends[{index}]"), message);
    }
}
