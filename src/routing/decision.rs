//! What was decided for a request, and why. Data only; choosing is `select`'s, ordering the steps `router`'s.

use crate::analysis::classifier::Classification;
use crate::api::{Api, Capabilities};
use crate::fleet::{AnswerBound, BackendId, Estimate, ModelId};
use crate::state::budgets::Charge;

/// Why a candidate cannot take this request.
#[derive(Debug, Clone, PartialEq)]
pub enum Ineligible {
    /// The client pinned another model.
    ModelMismatch,
    /// A rule of the policy allows other models only.
    NotAllowed,
    /// Its model has had its share of the decisions.
    ShareExceeded,
    /// The backend does not speak the request's API.
    UnsupportedApi(Api),
    /// The model lacks what the request needs.
    LacksCapability(Capabilities),
    /// Input and answer do not fit.
    ContextWindow {
        /// Tokens that the request needs.
        needed: u32,
        /// Tokens that the model has.
        window: u32,
    },
    /// The backend lacks a tag that is required.
    LacksTag(String),
    /// The conversation carries state that it cannot read.
    ForeignState,
    /// Its last attempts failed, and others are up.
    Down,
    /// The conversation is not in the share that may go to it, and others may take it.
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
                f.write_str("a rule, or the client's own wish, allows other models only")
            }
            Ineligible::ShareExceeded => {
                f.write_str("its model has had its share of the decisions")
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
                f.write_str("the conversation carries state that another state scope made")
            }
            Ineligible::Down => f.write_str("its last attempts failed"),
            Ineligible::Ramp => f.write_str("the conversation is not in the share of its ramp"),
            Ineligible::BelowQuality { limit } => write!(f, "quality is under {limit:.3}"),
            Ineligible::OverCost { limit_usd } => write!(f, "cost is over {limit_usd:.6} USD"),
            Ineligible::OverLatency { which, limit_ms } => {
                write!(f, "{which} latency is over {limit_ms:.0} ms")
            }
        }
    }
}

/// A backend (and so a model) under consideration.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The backend.
    pub backend: BackendId,
    /// The model that it serves.
    pub model: ModelId,
    /// What it is expected to do.
    pub estimate: Estimate,
    /// The profile's objective for it: the smaller the better. Infinite where it cannot take the request at all.
    pub objective: f64,
    /// `None` where it is eligible.
    pub ineligible: Option<Ineligible>,
}

/// Why the chosen candidate was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The client asked for this model; only the backend was chosen.
    Pinned,
    /// It has the best objective among all that meet the profile's limits.
    Best,
    /// No candidate met every limit; it is best after some were relaxed.
    Relaxed,
    /// It is the only candidate that can take the request at all.
    OnlyCandidate,
    /// It answers the conversation already, and another is not so much better that leaving it pays.
    Kept,
    /// It is not the best, but keeps every limit, and its turn to be tried.
    Explored,
    /// Its model is behind its least share of the decisions.
    MinShare,
    /// It is not the best, but keeps every limit, and a rule prefers it.
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

/// A request's way to a backend.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The chosen backend.
    pub backend: BackendId,
    /// The model that it serves.
    pub model: ModelId,
    /// Name of the profile whose objective was used.
    pub profile: String,
    /// Names of the policy's rules that had a part in it, in the order of the policy.
    pub rules: Vec<String>,
    /// Why it was chosen.
    pub reason: Reason,
    /// The limits that had to be relaxed, in the order in which they were.
    pub relaxed: Vec<&'static str>,
    /// What is expected of it.
    pub estimate: Estimate,
    /// Where to go when it fails, at most [`crate::routing::select::MAX_FALLBACKS`]: those that keep the limits before those that
    /// do not, of each the same model on other hardware first, then the least objective. None breaks a limit that the
    /// profile does not let give way.
    pub fallbacks: Vec<BackendId>,
    /// What the classifier said; `None` where it was not asked because the model was pinned.
    pub classification: Option<Classification>,
    /// Estimated tokens of the input.
    pub input_tokens: u32,
    /// How long an answer the client allows, where it is cut down to what the model that answers can write; `None` where
    /// it says nothing, or named the model, which then is the judge.
    pub answer: Option<AnswerBound>,
    /// How the client's steering was taken, one word each: the name of what was followed, or that name and `=ignored`.
    pub steering: Vec<String>,
    /// Which of the state that the request carries is not the chosen backend's to read, and is taken out.
    pub foreign: Foreign,
    /// What was put on the accounts of budgets; empty where none limits the request.
    pub charge: Charge,
    /// How much of the expected time to the first token is the backend's cold start, in milliseconds.
    pub cold_start_ms: f32,
    /// Every candidate, in the order of the registry, with its estimate and why it was not eligible.
    pub candidates: Vec<Candidate>,
}

/// What becomes of the state that a request carries.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Foreign {
    /// For each item of [`crate::api::provider_state::ProviderState`] whether it is taken out; none is behind its end.
    pub dropped: Vec<bool>,
    /// Its maker is not known but guessed: where the guess is wrong, the chain goes on to other scopes.
    pub is_guessed: bool,
}

/// The code of a refusal where nobody has the model that is asked for.
pub const MODEL_NOT_FOUND: &str = "model_not_found";

/// Why a request is refused, in the words of the API that it speaks.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejection {
    /// HTTP status.
    pub status: u16,
    /// The API's error code, such as [`MODEL_NOT_FOUND`].
    pub code: &'static str,
    /// What is wrong, for the client's developer. Never text of the prompt.
    pub message: String,
    /// The field of the request that is wrong, such as `messages[2].content`, where it is one.
    pub param: Option<String>,
    /// Names of the policy's rules that had a part in it.
    pub rules: Vec<String>,
    /// Every candidate, in the order of the registry, with why it was not eligible; empty if none was looked at.
    pub candidates: Vec<Candidate>,
}

/// Why a request goes to the default cluster, untouched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bypass {
    /// The body could not be read; the text says why.
    InvalidRequest(String),
    /// Its model is not in the policy, which leaves such to the default cluster; the text names it.
    UnknownModel(String),
    /// Nothing in the policy could take it for a fault of ours; the text says what.
    RouterFault(String),
}

/// What happens to a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It goes where the decision says.
    Routed(Box<Decision>),
    /// It goes to the default cluster as it is.
    Bypassed(Bypass),
    /// It is answered with an error.
    Rejected(Rejection),
}

impl Outcome {
    /// Every candidate, in the order of the registry; empty if none was looked at.
    pub fn candidates(&self) -> &[Candidate] {
        match self {
            Outcome::Routed(decision) => &decision.candidates,
            Outcome::Rejected(rejection) => &rejection.candidates,
            Outcome::Bypassed(_) => &[],
        }
    }
}
