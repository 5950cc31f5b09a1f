//! Why a policy from a source does not take effect. Each reason has a code for metrics and a line for the log.

use std::fmt;

use crate::control::signature::Unverified;
use crate::policy::revision::Outdated;
use crate::schema::InvalidDocument;
use crate::schema::suggest::quote;

/// How many problems of a document one line names.
const MOST_PROBLEMS: usize = 8;

/// Why a response changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Envoy has no cluster of this name, or it refuses the call.
    NotCalled,
    /// Not a document: the status of the source, or Envoy's 503 or 504 if it cannot be reached or takes too long.
    Status(u16),
    /// Longer than allowed, in bytes.
    TooLarge {
        /// Its length, in bytes.
        size: usize,
        /// The allowed length, in bytes.
        most: usize,
    },
    /// Not signed by an allowed key.
    Unverified(Unverified),
    /// The bytes are not UTF-8.
    NotUtf8,
    /// The document does not compile.
    Invalid(InvalidDocument),
    /// The policy would send requests to a cluster that is not allowed.
    Cluster {
        /// The cluster.
        name: String,
        /// The allowed clusters.
        allowed: Vec<String>,
    },
    /// A backend that failover does not know, or knows in another cluster.
    Backend {
        /// The backend.
        name: String,
        /// Its cluster.
        cluster: String,
    },
    /// A backend whose credentials or endpoint differ from those in Envoy's configuration.
    Pair {
        /// The backend.
        backend: String,
        /// The field that differs.
        field: &'static str,
    },
    /// Older than the policy in force.
    Outdated(Outdated),
    /// The host could not store the policy.
    NotKept,
}

impl Refusal {
    /// The code in metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::NotCalled => "not_called",
            Refusal::Status(503) => "unreachable",
            Refusal::Status(504) => "timeout",
            Refusal::Status(_) => "status",
            Refusal::TooLarge { .. } => "too_large",
            Refusal::Unverified(Unverified::Unsigned) => "unsigned",
            Refusal::Unverified(_) => "bad_signature",
            Refusal::NotUtf8 | Refusal::Invalid(_) => "invalid",
            Refusal::Cluster { .. } => "cluster_not_allowed",
            Refusal::Backend { .. } => "backend_not_rendered",
            Refusal::Pair { .. } => "pair_not_rendered",
            Refusal::Outdated(_) => "outdated",
            Refusal::NotKept => "not_kept",
        }
    }

    /// Whether the source is at fault and not its document: then it is asked less and less often.
    pub fn is_outage(&self) -> bool {
        matches!(
            self,
            Refusal::NotCalled | Refusal::Status(_) | Refusal::NotKept
        )
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NotCalled => f.write_str("the proxy has no such cluster"),
            Refusal::Status(status @ 503) => {
                write!(f, "cannot be reached, or answered {status}")
            }
            Refusal::Status(status @ 504) => {
                write!(f, "took too long, or answered {status}")
            }
            Refusal::Status(status) => write!(f, "answered {status} instead of a policy"),
            Refusal::TooLarge { size, most } => {
                write!(f, "the policy has {size} bytes where {most} are allowed")
            }
            Refusal::Unverified(unverified) => write!(f, "the policy {unverified}"),
            Refusal::NotUtf8 => f.write_str("the policy is not UTF-8"),
            Refusal::Invalid(invalid) => write_problems(invalid, f),
            Refusal::Cluster { name, allowed } => {
                let name = quote(name);
                let allowed: Vec<String> = allowed.iter().map(|name| quote(name)).collect();
                let allowed = allowed.join(", ");
                write!(
                    f,
                    "the policy names the cluster {name}, which is not allowed; allowed: {allowed}"
                )
            }
            Refusal::Backend { name, cluster } => write!(
                f,
                "the policy has the backend {} in the cluster {}, for which failover was not rendered: render again, or leave it out",
                quote(name),
                quote(cluster)
            ),
            Refusal::Pair { backend, field } => write!(
                f,
                "the policy gives the backend {} another {} than was rendered for it: render again, or leave the field out",
                quote(backend),
                quote(field)
            ),
            Refusal::Outdated(outdated) => write!(f, "the policy {outdated}"),
            Refusal::NotKept => f.write_str("the policy cannot be written to shared data"),
        }
    }
}

impl std::error::Error for Refusal {}

fn write_problems(invalid: &InvalidDocument, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("the policy does not compile")?;
    let problems = &invalid.problems;
    for (index, problem) in problems.iter().take(MOST_PROBLEMS).enumerate() {
        let lead = if index == 0 { ": " } else { "; " };
        write!(f, "{lead}{}:{}: {problem}", problem.line, problem.column)?;
    }
    match problems.len().saturating_sub(MOST_PROBLEMS) {
        0 => Ok(()),
        more => write!(f, "; and {more} more"),
    }
}

impl From<Unverified> for Refusal {
    fn from(unverified: Unverified) -> Refusal {
        Refusal::Unverified(unverified)
    }
}

impl From<InvalidDocument> for Refusal {
    fn from(invalid: InvalidDocument) -> Refusal {
        Refusal::Invalid(invalid)
    }
}

impl From<Outdated> for Refusal {
    fn from(outdated: Outdated) -> Refusal {
        Refusal::Outdated(outdated)
    }
}
