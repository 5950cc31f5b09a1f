//! What a policy says of all its traffic, compiled. Data; who counts and who chooses is elsewhere.

use std::borrow::Cow;

use super::conditions::{Pattern, hash};
use super::envelope::RequestMatchers;
use crate::fleet::ModelId;

/// What becomes of a wish of a client that makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnInvalidSteering {
    /// It is left out, and the response says so.
    #[default]
    Ignore,
    /// The request is refused with 400.
    Reject,
}

/// How much of the decisions may or shall choose a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModelShare {
    /// The model.
    pub model: ModelId,
    /// The most, 0 to 1.
    pub most: f64,
    /// The least, 0 to 1.
    pub least: f64,
}

/// What may be spent in a window of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Budget {
    /// Its name.
    pub name: String,
    /// What may be spent in one window, in USD.
    pub usd: f64,
    /// The length of a window, in seconds.
    pub seconds: u64,
    /// Whom it limits, each tenant by itself; everybody if empty.
    pub tenants: Vec<Pattern>,
    /// How much of it one request may hold while it is under way, in USD.
    pub most_held_usd: f64,
    /// The profile that is used once it is spent; `None` where requests are then refused.
    pub profile: Option<String>,
}

impl Budget {
    /// Whether it limits this tenant.
    pub fn limits(&self, tenant: Option<&str>) -> bool {
        self.tenants.is_empty() || self.place_of(tenant).is_some()
    }

    /// Where this tenant stands in its list.
    pub fn place_of(&self, tenant: Option<&str>) -> Option<usize> {
        let tenant = tenant?;
        self.tenants.iter().position(|one| one.matches(tenant))
    }
}

/// What a policy says of all its traffic.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Traffic {
    /// What is looked at beside bodies.
    pub looks: RequestMatchers,
    /// Names of tenants that rules and budgets have, each once.
    pub named_tenants: Vec<String>,
    /// Access logs and spans show tenants as they are.
    pub shows_tenants: bool,
    /// What becomes of a wish that makes no sense.
    pub on_invalid_steering: OnInvalidSteering,
    /// Decides and reports, but does not act.
    pub shadow: bool,
    /// The share of conversations that go to another candidate, 0 to 1.
    pub exploration_rate: f64,
    /// By how much another backend's objective must be less for a conversation to move.
    pub stickiness: f64,
    /// Whether state that only its maker can read is taken out of bodies for others.
    pub drops_foreign_state: bool,
    /// Models whose share is bounded.
    pub shares: Vec<ModelShare>,
    /// What may be spent.
    pub budgets: Vec<Budget>,
    /// Whether `POST /v1/route` is answered.
    pub route_endpoint: bool,
    /// Whether `GET /v1/models` is answered.
    pub models_endpoint: bool,
    /// Whether a request whose `model` was not seen is decided on.
    pub decide_missing_model: bool,
    /// Tells policies apart, so that what was counted under one does not count under another.
    pub fingerprint: u64,
}

impl Traffic {
    /// How access logs and spans show a tenant: by name where the policy names it or wants all of them shown, else as a hash,
    /// because it is a header's value.
    pub fn show_tenant<'a>(&self, tenant: &'a str) -> Cow<'a, str> {
        if self.shows_tenants || self.named_tenants.iter().any(|one| one == tenant) {
            return Cow::Borrowed(tenant);
        }
        let number = hash([tenant]);
        let digits = (0..16)
            .rev()
            .map(|place| (number >> (place * 4)) as u32 & 15);
        let digits = digits.filter_map(|digit| char::from_digit(digit, 16));
        Cow::Owned("hash:".chars().chain(digits).collect())
    }
}
