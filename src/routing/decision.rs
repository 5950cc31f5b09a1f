//! The outcome of a request with its reasons. Data only: `select` chooses, and `router` orders the steps.

use crate::analysis::classifier::Classification;
use crate::api::{Api, Capabilities};
use crate::decimal::rounded;
use crate::fleet::{AnswerBound, BackendId, Estimate, ModelId};
use crate::routing::judge::Judging;
use crate::state::budgets::Charge;

/// Why a candidate is not eligible for a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Ineligible {
    /// The client named another model.
    ModelMismatch,
    /// A rule of the policy allows other models only.
    NotAllowed,
    /// The model has reached its share of the decisions.
    ShareExceeded,
    /// The backend does not speak the request's API.
    UnsupportedApi(Api),
    /// The model lacks what the request needs.
    LacksCapability(Capabilities),
    /// Input and answer do not fit into the context window.
    ContextWindow {
        /// Tokens that the request needs.
        needed: u32,
        /// Tokens of the window.
        window: u32,
    },
    /// The backend lacks a required tag.
    LacksTag(String),
    /// The conversation carries state that the backend cannot read.
    ForeignState,
    /// The backend's last attempts failed, and others are up.
    Down,
    /// The conversation is not in the share of the backend's ramp, and others may take it.
    Ramp,
    /// Expected quality is under the limit in force.
    BelowQuality {
        /// The limit, 0 to 1.
        limit: f32,
    },
    /// Expected cost is over the limit in force.
    OverCost {
        /// The limit in USD.
        limit_usd: f64,
    },
    /// Expected latency is over the limit in force.
    OverLatency {
        /// Which limit: `p50`, `p99`, `first_token_p50` or `first_token_p99`.
        which: &'static str,
        /// The limit in milliseconds.
        limit_ms: f32,
    },
}

impl Ineligible {
    /// The name that metrics and explanations use.
    pub const fn name(&self) -> &'static str {
        match self {
            Ineligible::ModelMismatch => "not_the_model",
            Ineligible::NotAllowed => "not_allowed",
            Ineligible::ShareExceeded => "over_share",
            Ineligible::UnsupportedApi(_) => "lacks_api",
            Ineligible::LacksCapability(_) => "lacks_capability",
            Ineligible::ContextWindow { .. } => "context_window",
            Ineligible::LacksTag(_) => "lacks_tag",
            Ineligible::ForeignState => "foreign_state",
            Ineligible::Down => "down",
            Ineligible::Ramp => "ramp",
            Ineligible::BelowQuality { .. } => "below_quality",
            Ineligible::OverCost { .. } => "over_cost",
            Ineligible::OverLatency { .. } => "over_latency",
        }
    }
}

impl std::fmt::Display for Ineligible {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ineligible::ModelMismatch => f.write_str("serves another model than the one asked for"),
            Ineligible::NotAllowed => {
                f.write_str("a rule, or the client's preference, allows other models only")
            }
            Ineligible::ShareExceeded => {
                f.write_str("its model has reached its share of the decisions")
            }
            Ineligible::UnsupportedApi(api) => {
                write!(f, "the backend does not speak `{}`", api.name())
            }
            Ineligible::LacksCapability(lacking) => {
                f.write_str("the model lacks")?;
                for (index, name) in lacking.names().enumerate() {
                    write!(f, "{} {name}", if index == 0 { "" } else { "," })?;
                }
                Ok(())
            }
            Ineligible::ContextWindow { needed, window } => {
                write!(f, "needs {needed} tokens, the context window has {window}")
            }
            Ineligible::LacksTag(tag) => write!(f, "the backend has no tag `{tag}`"),
            Ineligible::ForeignState => {
                f.write_str("the conversation carries state of another state scope")
            }
            Ineligible::Down => f.write_str("its last attempts failed"),
            Ineligible::Ramp => f.write_str("the conversation is not in the share of its ramp"),
            Ineligible::BelowQuality { limit } => {
                write!(f, "quality is under {}", rounded(f64::from(*limit), 3))
            }
            Ineligible::OverCost { limit_usd } => {
                write!(f, "cost is over {} USD", rounded(*limit_usd, 6))
            }
            Ineligible::OverLatency { which, limit_ms } => {
                let limit = rounded(f64::from(*limit_ms), 0);
                write!(f, "{which} latency is over {limit} ms")
            }
        }
    }
}

/// A backend, and so a model, under consideration.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The backend.
    pub backend: BackendId,
    /// The model that it serves.
    pub model: ModelId,
    /// The expected quality, cost and latency.
    pub estimate: Estimate,
    /// The profile's objective: the smaller the better. Infinite if the backend cannot take the request.
    pub objective: f64,
    /// Why it is not eligible; `None` if it is.
    pub ineligible: Option<Ineligible>,
}

/// Why the chosen candidate was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The client named the model; only the backend was chosen.
    Pinned,
    /// The best objective of all candidates that keep the profile's limits.
    Best,
    /// No candidate kept every limit; the best one after some were relaxed.
    Relaxed,
    /// The only candidate that can take the request.
    OnlyCandidate,
    /// The conversation stays at its backend: no other is so much better that leaving pays.
    Kept,
    /// Exploration: not the best candidate, but one that keeps every limit.
    Explored,
    /// The model is behind its least share of the decisions.
    MinShare,
    /// Not the best candidate, but one that keeps every limit and that a rule prefers.
    Preferred,
}

impl Reason {
    /// The name that headers and metrics use.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::Pinned => "pinned",
            Reason::Best => "best",
            Reason::Relaxed => "relaxed",
            Reason::OnlyCandidate => "only_candidate",
            Reason::Kept => "kept",
            Reason::Explored => "explored",
            Reason::MinShare => "min_share",
            Reason::Preferred => "preferred",
        }
    }
}

/// The backend for a request, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The chosen backend.
    pub backend: BackendId,
    /// The model that it serves.
    pub model: ModelId,
    /// Name of the profile in effect.
    pub profile: String,
    /// Names of the rules that contributed, in the order of the policy.
    pub rules: Vec<String>,
    /// Why it was chosen.
    pub reason: Reason,
    /// The probability, 0 to 1, with which exploration let it be chosen; 1 if nothing else could have been.
    pub propensity: f32,
    /// Whether the request begins its conversation.
    pub begins: bool,
    /// The backend that would be chosen if what was learned were applied; `None` if it is, or nothing was learned.
    pub learned_choice: Option<BackendId>,
    /// The relaxed limits, in the order of the profile.
    pub relaxed: Vec<&'static str>,
    /// The expected quality, cost and latency.
    pub estimate: Estimate,
    /// The backends to try after a failure, at most [`crate::routing::select::MAX_FALLBACKS`]: first those that keep the limits,
    /// then the others; of each the same model on other hardware first, then the least objective. None breaks a limit that the
    /// profile does not relax.
    pub fallbacks: Vec<BackendId>,
    /// The classification; `None` if the client named the model and no rule needed it.
    pub classification: Option<Classification>,
    /// Estimated tokens of the input.
    pub input_tokens: u32,
    /// Estimated input tokens that share the context window with the answer.
    pub window_tokens: u32,
    /// The client's bound on the answer, to be cut down to what the answering model can write; `None` if the client sets none, or
    /// named the model, which then judges itself.
    pub answer: Option<AnswerBound>,
    /// The client's preferences, one word each: the name if it was honoured, else the name and `=ignored`.
    pub steering: Vec<String>,
    /// What the judge has to do with it; `None` if the policy has no judge.
    pub judging: Option<Judging>,
    /// Whether rules and profile let the judge see the prompt, and so its answer; `false` if the policy has no judge.
    pub judge_may_see: bool,
    /// The state of the request that the chosen backend cannot read, and that is taken out.
    pub foreign: Foreign,
    /// The amounts held of budgets; empty if none limits the request.
    pub charge: Charge,
    /// How much of the expected time to the first token is the backend's cold start, in milliseconds.
    pub cold_start_ms: f32,
    /// Every candidate, in the order of the registry, with its estimate and the reason if it was not eligible.
    pub candidates: Vec<Candidate>,
}

/// The state of a request that is taken out before it goes to the chosen backend.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Foreign {
    /// For each item of [`crate::api::provider_state::ProviderState`] whether it is taken out; no item behind its end is.
    pub dropped: Vec<bool>,
    /// The maker was guessed: if the guess is wrong, the chain goes on to other scopes.
    pub is_guessed: bool,
}

/// The error code for an unknown model.
pub const MODEL_NOT_FOUND: &str = "model_not_found";

/// A refusal, in the words of the request's API.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejection {
    /// HTTP status.
    pub status: u16,
    /// The API's error code, such as [`MODEL_NOT_FOUND`].
    pub code: &'static str,
    /// The problem, for the client's developer. Never text of the prompt.
    pub message: String,
    /// The wrong field of the request, such as `messages[2].content`, if there is one.
    pub param: Option<String>,
    /// Names of the rules that contributed.
    pub rules: Vec<String>,
    /// Every candidate, in the order of the registry, with its reason; empty if the refusal needed none.
    pub candidates: Vec<Candidate>,
}

/// Why a request goes to the default cluster untouched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bypass {
    /// The body could not be read; the text tells why.
    InvalidRequest(String),
    /// The policy leaves unknown models to the default cluster; the text names the model.
    UnknownModel(String),
    /// An internal error in the router; the text describes it.
    RouterFault(String),
}

/// The outcome of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The request goes to the decision's backend.
    Routed(Box<Decision>),
    /// The request goes to the default cluster as it is.
    Bypassed(Bypass),
    /// The request is answered with an error.
    Rejected(Rejection),
}

impl Outcome {
    /// Every candidate, in the order of the registry; empty if none was considered.
    pub fn candidates(&self) -> &[Candidate] {
        match self {
            Outcome::Routed(decision) => &decision.candidates,
            Outcome::Rejected(rejection) => &rejection.candidates,
            Outcome::Bypassed(_) => &[],
        }
    }
}
