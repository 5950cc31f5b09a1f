//! The fields of the plugin configuration: their types, their defaults, their documentation.
//!
//! One table checks configurations and makes the documentation, as for policies.

use crate::policy::POLICY;
use crate::schema::shape::{Field, Kind, Shape, optional, required};

/// The default of `interval_ms`.
pub const DEFAULT_INTERVAL_MS: u32 = 10_000;
/// The default of `timeout_ms`.
pub const DEFAULT_TIMEOUT_MS: u32 = 5_000;
/// The default of `max_bytes`.
pub const DEFAULT_MAX_BYTES: usize = 1_048_576;

const NAMES: Kind = Kind::List {
    of: &Kind::Text,
    min: 1,
};

/// The whole configuration.
pub const PLUGIN: Shape = Shape {
    name: "plugin configuration",
    doc: "The configuration that Envoy hands to the module.",
    fields: &[
        optional(
            "role",
            Kind::Choice(&["router", "attempt"]),
            "`router`",
            "The role of this instance: `router` is the downstream filter that decides where each request goes, `attempt` the upstream filter that fits each attempt to its backend.",
        ),
        optional(
            "cluster_header",
            Kind::Text,
            "`x-pointsman-cluster`",
            "The request header that names the upstream cluster, in lower case. The routes and the early header mutation have to name it as well.",
        ),
        optional(
            "failover",
            Kind::Choice(&["off", "aggregate", "per_attempt"]),
            "`off`",
            "How a request gets to another backend when an attempt fails. Has to match Envoy's clusters and routes.",
        ),
        optional(
            "max_chain_length",
            Kind::Integer { min: 1.0, max: 9.0 },
            "none",
            "With `aggregate`: the largest number of backends in a chain.",
        )
        .formerly(&["links"]),
        optional(
            "policy",
            Kind::Document(&POLICY),
            "an error for a router; an attempt filter has none and uses what the router publishes",
            "The policy in force from the start.",
        ),
        optional(
            "policy_source",
            Kind::Object(&SOURCE),
            "none: `policy` is the only one",
            "The source of newer policies while requests are served. The `endpoint`, `credentials`, `client_credentials`, `client_address` and `state_scope` of a backend are fixed by `policy`: a newer policy may leave them out or repeat them, and is refused if it changes them. With `failover` it may name only the backends of `policy`, each in its cluster; without `failover` also others in clusters of `policy`. Everything else may change.",
        ),
        ALLOWED_CLUSTERS,
        optional(
            "receipt_keys",
            NAMES,
            "none: there are no receipts, whatever the policy says",
            "The environment variables of Envoy that hold the keys of receipts, one or two, each of at least 16 bytes. The first signs, both verify: to exchange a key, put the new one first, and remove the old one after `max_age_s` of the policy's `receipts`. The proxies of a fleet that take each other's receipts have the same keys.",
        ),
        optional(
            "filter_state",
            Kind::Choice(&["all", "none"]),
            "`all`",
            "The values that each request sets for access logs, spans and other filters: [all](operations.md#what-each-answer-says) or, if nothing reads them, none, which saves their time. Response headers, metrics and failover do not depend on them. Without them receipts and feedback stand in no access log, so `none` is refused if the `receipts` of `policy` are for logs alone; of a newer policy such receipts are not made, which the log says once.",
        ),
    ],
};

/// `allowed_clusters` of the configuration.
pub const ALLOWED_CLUSTERS: Field = optional(
    "allowed_clusters",
    NAMES,
    "with a `policy_source` the clusters that `policy` names, otherwise any",
    "The only Envoy clusters that requests can be sent to. A policy that names another is refused.",
);

/// `policy_source` of the configuration.
pub const SOURCE: Shape = Shape {
    name: "policy source",
    doc: "An HTTP server that serves a policy as JSON. One worker at a time asks it; a new policy takes effect in all workers before their next request. If a response is wrong in any way, the policy in force stays.",
    fields: &[
        required("cluster", Kind::Text, "The Envoy cluster of the source."),
        required(
            "path",
            Kind::Text,
            "Path and query of the document, such as `/policy.json`.",
        ),
        optional(
            "authority",
            Kind::Text,
            "the cluster's name",
            "The host in the request.",
        ),
        optional(
            "interval_ms",
            Kind::Integer {
                min: 100.0,
                max: 86_400_000.0,
            },
            "`10000`",
            "Milliseconds from one response to the next request. A source that fails is asked again after twice that time, then four times, up to five minutes.",
        ),
        optional(
            "timeout_ms",
            Kind::Integer {
                min: 10.0,
                max: 60_000.0,
            },
            "`5000`",
            "Milliseconds that a response may take.",
        ),
        optional(
            "max_bytes",
            Kind::Integer {
                min: 1024.0,
                max: 16_777_216.0,
            },
            "`1048576`",
            "The longest document that is read, in bytes.",
        ),
        optional(
            "public_keys",
            NAMES,
            "none: documents need no signature",
            "ed25519 keys in base64, as `pointsman keygen` prints them. The response header `x-pointsman-signature` must hold the signature of one of them.",
        ),
    ],
};
