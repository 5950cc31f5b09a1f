//! The quality of each model as outcomes teach it: sums in every worker, merged through a shared record, and the beliefs that follow.
//!
//! Benchmark scores are the prior; [`posterior`] says how outcomes move it, [`sums`] what is kept of them: a bounded number of
//! integers for each model, so that order, workers and shards do not matter. No prompt and no outcome is kept. The filter,
//! `pointsman learn`, `pointsman calibrate` and `pointsman eval --after` all use this room.

mod caps;
mod level;
mod matrix;
pub mod posterior;
mod record;
pub mod sums;
mod tables;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;

use crate::analysis::classifier::{self, Classification, FINGERPRINT};
use crate::fleet::{Model, ModelId, Registry};
use crate::fnv::hash32;
use crate::policy::Policy;
use crate::policy::learning::LearningMode;
use crate::state::outcome::Outcome;
use crate::state::receipt::{Receipt, find_model};
use caps::Caps;
pub use posterior::{Learned, MeanQuality};
pub use record::{MAX_MODELS, Sums};
use sums::{FULL_WEIGHT, Features};

/// How good an answer was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation<'a> {
    /// The model that answered.
    pub model: ModelId,
    /// The classification of the prompt, as the receipt has it.
    pub classification: &'a Classification,
    /// How good the answer was: 0 (useless) to 1 (right).
    pub score: f32,
    /// How much it counts: 0 to 1. Feedback of people counts in full; a check may count less.
    pub weight: f32,
    /// A number that stands for the tenant; 0 if there is none.
    pub tenant: u64,
    /// Whether there are outcomes of other models for this prompt, as labelled prompts have them.
    pub together: bool,
}

/// Which of two answers was better.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison<'a> {
    /// The model of the first answer, and the classification of its prompt.
    pub first: (ModelId, &'a Classification),
    /// Those of the second.
    pub second: (ModelId, &'a Classification),
    /// 1 if the first was better, 0 if the second was, 0.5 if they were alike.
    pub share: f32,
    /// How much it counts: 0 to 1.
    pub weight: f32,
    /// A number that stands for the tenant; 0 if there is none.
    pub tenant: u64,
}

/// An outcome as evidence about the models of a policy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Evidence<'a> {
    /// How good an answer was.
    Scored(Observation<'a>),
    /// Which of two answers was better.
    Compared(Comparison<'a>),
}

impl<'a> Evidence<'a> {
    /// Reads an outcome.
    ///
    /// # Errors
    /// The reason why it says nothing of the policy's models.
    pub fn read(policy: &Policy, outcome: &'a Outcome) -> Result<Evidence<'a>, Recorded> {
        let receipt = &outcome.receipt;
        let first = (find(policy, receipt)?, receipt.classification());
        let tenant = receipt.tenant.map_or(0, u64::from);
        let Some(worse) = outcome.worse.as_deref() else {
            return Ok(Evidence::Scored(Observation {
                model: first.0,
                classification: first.1,
                score: outcome.score,
                weight: outcome.weight,
                tenant,
                together: false,
            }));
        };
        Ok(Evidence::Compared(Comparison {
            first,
            second: (find(policy, worse)?, worse.classification()),
            share: outcome.score,
            weight: outcome.weight,
            tenant,
        }))
    }
}

/// The policy's model that a receipt names.
fn find(policy: &Policy, receipt: &Receipt) -> Result<ModelId, Recorded> {
    if receipt.classifier != FINGERPRINT {
        return Err(Recorded::OtherClassifier);
    }
    find_model(&policy.registry, receipt.model).ok_or(Recorded::UnknownModel)
}

/// Whether an outcome counts, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It counts.
    Counted,
    /// Learning is off.
    Off,
    /// The policy has no such model.
    UnknownModel,
    /// The receipt is of another version of the classifier.
    OtherClassifier,
    /// The tenant, or the hour, has had its share.
    Capped,
    /// It says nothing: a score or weight that is not a number, a model compared with itself.
    Void,
}

impl Recorded {
    /// The name of the reason why an outcome teaches nothing; `None` if it counts, or nothing is to be learned.
    pub const fn cause(self) -> Option<&'static str> {
        match self {
            Recorded::Counted | Recorded::Off => None,
            Recorded::UnknownModel => Some("unknown_model"),
            Recorded::OtherClassifier => Some("other_classifier"),
            Recorded::Capped => Some("capped"),
            Recorded::Void => Some("void"),
        }
    }
}

/// The learned quality of all models; one per worker.
#[derive(Debug, Default)]
pub struct LearnedQuality {
    /// Sums that this worker has not yet added to the shared record.
    news: Sums,
    caps: Caps,
    /// The beliefs that follow from the shared record, by policy, the latest first: one for each model of the policy.
    learned: Vec<(u64, Vec<Learned>)>,
}

impl LearnedQuality {
    /// Adds an outcome. `now_s` is the time in seconds since 1970.
    pub fn record(&mut self, policy: &Policy, outcome: &Outcome, now_s: u64) -> Recorded {
        if !policy.learning.is_on() {
            return Recorded::Off;
        }
        match Evidence::read(policy, outcome) {
            Ok(Evidence::Scored(seen)) => self.observe(policy, &seen, now_s),
            Ok(Evidence::Compared(compared)) => self.compare(policy, &compared, now_s),
            Err(recorded) => recorded,
        }
    }

    /// Adds how good the answer of a model was. `now_s` is the time in seconds since 1970.
    pub fn observe(&mut self, policy: &Policy, seen: &Observation<'_>, now_s: u64) -> Recorded {
        let learning = &policy.learning;
        if learning.mode == LearningMode::Off {
            return Recorded::Off;
        }
        if policy.registry.model(seen.model).is_none() {
            return Recorded::UnknownModel;
        }
        let weight = weight_steps(seen.weight);
        if !seen.score.is_finite() || weight == 0 {
            return Recorded::Void;
        }
        if !self.caps.admit(learning, seen.tenant, now_s) {
            return Recorded::Capped;
        }
        let added = self.news.add(&policy.registry, seen, weight);
        added.map_or(Recorded::UnknownModel, |()| Recorded::Counted)
    }

    /// Adds a comparison of two answers. `now_s` is the time in seconds since 1970.
    pub fn compare(&mut self, policy: &Policy, compared: &Comparison<'_>, now_s: u64) -> Recorded {
        let learning = &policy.learning;
        if learning.mode == LearningMode::Off {
            return Recorded::Off;
        }
        let registry = &policy.registry;
        let ids = [compared.first.0, compared.second.0];
        if ids.iter().any(|id| registry.model(*id).is_none()) {
            return Recorded::UnknownModel;
        }
        let weight = weight_steps(compared.weight);
        if !compared.share.is_finite() || weight == 0 || compared.first.0 == compared.second.0 {
            return Recorded::Void;
        }
        if !self.caps.admit(learning, compared.tenant, now_s) {
            return Recorded::Capped;
        }
        self.news
            .compare(registry, compared, weight)
            .map_or(Recorded::UnknownModel, |()| Recorded::Counted)
    }

    /// Whether there is something of the policy's models that the shared record does not have.
    pub fn has_news(&self, policy: &Policy) -> bool {
        !self.news.is_empty() && self.news.has_any(&keys(policy))
    }

    /// The shared record with this worker's news. Models that the policy does not have, or has otherwise, are left out of it.
    pub fn merge(&self, record: &[u8], policy: &Policy) -> Vec<u8> {
        let mut sums = Sums::decode(record).unwrap_or_default();
        sums.merge(&self.news);
        sums.retain(&keys(policy));
        sums.forget(policy.learning.half_life);
        sums.encode()
    }

    /// Forgets the news of the policy's models: the shared record has them.
    pub fn on_merged(&mut self, policy: &Policy) {
        self.news.remove(&keys(policy));
    }

    /// Takes over what the shared record says of the policy's models.
    pub fn adopt(&mut self, record: &[u8], policy: &Policy) {
        let sums = Sums::decode(record).unwrap_or_default();
        let learned = match sums.is_empty() {
            true => Vec::new(),
            false => sums.learned(&policy.registry.models, policy.learning.prior_mass),
        };
        let fingerprint = policy.traffic.fingerprint;
        self.learned.retain(|(policy, _)| *policy != fingerprint);
        self.learned.insert(0, (fingerprint, learned));
        self.learned.truncate(MAX_POLICIES);
    }

    /// The belief about each model of the policy, in its order; empty before the first outcome.
    pub fn learned(&self, policy: &Policy) -> &[Learned] {
        if policy.learning.mode == LearningMode::Off {
            return &[];
        }
        let fingerprint = policy.traffic.fingerprint;
        let mut all = self.learned.iter();
        all.find(|(policy, _)| *policy == fingerprint)
            .map_or(&[], |(_, learned)| learned)
    }
}

/// The most policies whose models are known at a time: one for each plugin configuration, and those before them.
const MAX_POLICIES: usize = 8;

/// The keys of the policy's models.
fn keys(policy: &Policy) -> Vec<u32> {
    policy.registry.models.iter().map(key).collect()
}

/// A weight from 0 to 1 in steps; any weight above 0 is at least one.
pub fn weight_steps(weight: f32) -> i64 {
    if weight.is_nan() || weight <= 0.0 {
        return 0;
    }
    ((weight.min(1.0) * FULL_WEIGHT as f32).round() as i64).max(1)
}

/// Tells models apart, and the same model at another place among the others: what was learned against one prior does not count
/// against another.
pub fn key(model: &Model) -> u32 {
    let ability = &model.ability;
    let calibration = &ability.calibration;
    let numbers = ability.skills.iter().chain(&ability.latent_factors);
    let numbers = numbers.chain([&calibration.scale, &calibration.offset]);
    let numbers = numbers
        .chain(&calibration.tasks)
        .chain(&calibration.factors);
    let mut bytes = model.name.clone().into_bytes();
    bytes.push(0xff);
    bytes.extend(numbers.flat_map(|number| number.to_le_bytes()));
    bytes.extend(classifier::identity().into_bytes());
    hash32(&bytes)
}

/// The features of a prompt for a model.
fn features(registry: &Registry, id: ModelId, classification: &Classification) -> Features {
    Features::new(registry.expected_logit(id, classification), classification)
}
