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
    doc: "What Envoy hands to the module.",
    fields: &[
        optional(
            "role",
            Kind::Choice(&["router", "attempt"]),
            "`router`",
            "What this instance does: `router` is the downstream filter that decides where each request goes, `attempt` the upstream filter that puts what belongs to the backend into each attempt.",
        ),
        optional(
            "cluster_header",
            Kind::Text,
            "`x-pointsman-cluster`",
            "The request header that names the upstream cluster, in lower case; the routes and the early header mutation name it too.",
        ),
        optional(
            "failover",
            Kind::Choice(&["off", "aggregate", "per_attempt"]),
            "`off`",
            "How a request gets to another backend when an attempt fails; it has to fit Envoy's clusters and routes.",
        ),
        optional(
            "max_chain_length",
            Kind::Integer { min: 1.0, max: 9.0 },
            "none",
            "With `aggregate`: the most backends of a chain.",
        )
        .formerly(&["links"]),
        optional(
            "policy",
            Kind::Document(&POLICY),
            "an error for a router; attempts have none, they go by what the router publishes",
            "The policy that holds from the start.",
        ),
        optional(
            "policy_source",
            Kind::Object(&SOURCE),
            "none: the policy above is the only one",
            "Where newer policies come from while requests are served. The `endpoint`, `credentials`, `client_credentials`, `client_address` and `state_scope` of a backend are those of `policy`: others are refused, and where they are left out, these hold. With `failover` they may name the backends of `policy` only, each in its cluster, without it also others in clusters of `policy`; all else may change.",
        ),
        ALLOWED_CLUSTERS,
    ],
};

/// `allowed_clusters` of the configuration.
pub const ALLOWED_CLUSTERS: Field = optional(
    "allowed_clusters",
    NAMES,
    "with a `policy_source` the clusters that `policy` names, without one any",
    "The Envoy clusters that requests can ever be sent to, whatever a policy says. A policy that names another is refused.",
);

/// `policy_source` of the configuration.
pub const SOURCE: Shape = Shape {
    name: "policy source",
    doc: "An HTTP server with a policy as JSON. One worker at a time asks it; what it has takes effect in all workers before their next request. Whatever is wrong with an answer, the policy in force stays.",
    fields: &[
        required("cluster", Kind::Text, "The Envoy cluster that is asked."),
        required(
            "path",
            Kind::Text,
            "Path and query of the document, such as `/policy.json`.",
        ),
        optional(
            "authority",
            Kind::Text,
            "the cluster's name",
            "The host that the request names.",
        ),
        optional(
            "interval_ms",
            Kind::Integer {
                min: 100.0,
                max: 86_400_000.0,
            },
            "`10000`",
            "Milliseconds from one answer to the next question. A source that fails is asked after twice that, then four times, up to five minutes.",
        ),
        optional(
            "timeout_ms",
            Kind::Integer {
                min: 10.0,
                max: 60_000.0,
            },
            "`5000`",
            "Milliseconds that an answer may take.",
        ),
        optional(
            "max_bytes",
            Kind::Integer {
                min: 1024.0,
                max: 16_777_216.0,
            },
            "`1048576`",
            "The longest document that is read.",
        ),
        optional(
            "public_keys",
            NAMES,
            "none: documents need no signature",
            "ed25519 keys in base64, as `pointsman keygen` prints them. A document must carry the signature of one of them in the response header `x-pointsman-signature`.",
        ),
    ],
};
