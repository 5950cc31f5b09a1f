//! Decides every prompt natively by the same core: for the task in the table, and as a check of the module.
//!
//! The filter tells its choice in headers, but not every class that the classifier named; and a module that decided
//! otherwise than the core does natively would be a fault worth seeing.

use pointsman::analysis::classifier::Task;
use pointsman::api::Api;
use pointsman::fleet::ModelId;
use pointsman::routing::decision::Outcome;
use pointsman::routing::router::Router;

use super::fleet::Fleet;
use super::prompts::Prompt;

/// The core's decision on one prompt.
#[derive(Debug, Clone)]
pub struct Native {
    /// Name of the chosen backend.
    pub backend: String,
    /// The task that the classifier sees.
    pub task: Option<Task>,
    /// Probability, 0 to 1, that each model's answer would be correct, in the order of the policy's models.
    pub qualities: Vec<Option<f64>>,
    /// Whether the model classified it, and not only the features.
    pub from_model: bool,
}

/// Decides on every prompt with `model: auto`; `None` if it is not routed.
pub fn decide(fleet: &Fleet, prompts: &[Prompt], limit: Option<u32>) -> Vec<Option<Native>> {
    let (mut router, _) = Router::new();
    prompts
        .iter()
        .map(|prompt| {
            let body = prompt.body("auto", limit);
            match router.route(&fleet.policy, Api::OpenAiChat, &body, true) {
                Outcome::Routed(decision) => Some(native(fleet, &decision)),
                Outcome::Bypassed(_) | Outcome::Rejected(_) => None,
            }
        })
        .collect()
}

fn native(fleet: &Fleet, decision: &pointsman::routing::decision::Decision) -> Native {
    let registry = &fleet.policy.registry;
    let quality_of = |model: usize| {
        let candidates = decision.candidates.iter();
        candidates
            .filter(|candidate| candidate.model == ModelId(model as u32))
            .filter_map(|candidate| candidate.estimate.quality.map(f64::from))
            .reduce(f64::max)
    };
    let classification = decision.classification.as_ref();
    Native {
        backend: registry
            .backend(decision.backend)
            .map(|backend| backend.name.clone())
            .unwrap_or_default(),
        task: classification.map(|classification| classification.task),
        qualities: (0..registry.models.len()).map(quality_of).collect(),
        from_model: classification.is_some_and(|classification| classification.from_model),
    }
}
