//! All models and backends of a policy, by index and by name.

use super::backend::{Backend, BackendId};
use super::model::{Model, ModelId};
use crate::analysis::classifier::Classification;
use crate::api::Api;

/// By how much a model's probability of a correct answer may lie below that of a smaller sibling.
pub const MOST_FALL: f32 = 0.01;

/// All models and backends of a policy.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Registry {
    /// The models, in the order of the policy.
    pub models: Vec<Model>,
    /// The backends, in the order of the policy.
    pub backends: Vec<Backend>,
}

impl Registry {
    /// The model with this index.
    pub fn model(&self, id: ModelId) -> Option<&Model> {
        self.models.get(id.0 as usize)
    }

    /// The probability, 0 to 1, that a model answers the classified prompt correctly: by its ability, but no less than that of any
    /// smaller sibling, less [`MOST_FALL`]. 0 if there is no such model.
    pub fn p_correct(&self, id: ModelId, classification: &Classification) -> f32 {
        let own = |id: ModelId| Some(self.model(id)?.ability.p_correct(classification));
        let Some(model) = self.model(id) else {
            return 0.0;
        };
        let smaller = model.smaller_siblings.iter().copied().filter_map(own);
        let least = smaller.map(|p| p - MOST_FALL);
        least.fold(model.ability.p_correct(classification), f32::max)
    }

    /// The probability of [`Registry::p_correct`] for every model, in their order. Each ability is looked at once, however many
    /// siblings there are.
    pub fn p_correct_by_model(&self, classification: &Classification) -> Vec<f32> {
        let abilities = self.models.iter().map(|model| &model.ability);
        let own: Vec<f32> = abilities
            .map(|ability| ability.p_correct(classification))
            .collect();
        let of = |id: &ModelId| own.get(id.0 as usize).copied();
        let with_siblings = |(model, p): (&Model, &f32)| {
            let smaller = model.smaller_siblings.iter().filter_map(of);
            smaller.map(|p| p - MOST_FALL).fold(*p, f32::max)
        };
        self.models.iter().zip(&own).map(with_siblings).collect()
    }

    /// The logit of the probability of [`Registry::p_correct`].
    pub fn expected_logit(&self, id: ModelId, classification: &Classification) -> f32 {
        let p = || self.p_correct(id, classification);
        self.logit_with(id, classification, p)
    }

    /// The logit of a model's probability `p`, which is only asked for if the model has smaller siblings.
    pub fn logit_with(
        &self,
        id: ModelId,
        classification: &Classification,
        p: impl FnOnce() -> f32,
    ) -> f32 {
        let Some(model) = self.model(id) else {
            return 0.0;
        };
        let own = model.ability.calibrated_logit(classification);
        if model.smaller_siblings.is_empty() {
            return own;
        }
        let p = p().clamp(1e-6, 1.0 - 1e-6);
        own.max((p / (1.0 - p)).ln())
    }

    /// The backend with this index.
    pub fn backend(&self, id: BackendId) -> Option<&Backend> {
        self.backends.get(id.0 as usize)
    }

    /// The key of a backend's state scope.
    pub fn scope_of(&self, id: BackendId) -> Option<u32> {
        self.backend(id).map(|backend| backend.state_scope.key)
    }

    /// Whether the backends that speak `api` have several state scopes: only then the origin of a request's provider state
    /// matters.
    pub fn has_scopes(&self, api: Api) -> bool {
        let speaks = |backend: &&Backend| backend.apis.contains(api);
        let mut backends = self.backends.iter().filter(speaks);
        let first = backends.next().map(|backend| backend.state_scope.key);
        backends.any(|backend| Some(backend.state_scope.key) != first)
    }

    /// The index of the model with this name.
    pub fn find_model(&self, name: &str) -> Option<ModelId> {
        self.models
            .iter()
            .position(|model| model.name == name)
            .map(|index| ModelId(index as u32))
    }
}
