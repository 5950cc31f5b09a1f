//! Scores each row as the filter would: the classification of its prompt, how long that took and, if a policy is given, which
//! model every profile of it sends the prompt to. The classifier and the router are the core's own.

use std::collections::HashMap;
use std::time::Instant;

use pointsman::analysis::answer_length;
use pointsman::analysis::classifier::{self, Classification, Classifier};
use pointsman::analysis::prompt::Prompt;
use pointsman::api::Api;
use pointsman::api::request;
use pointsman::fleet::ModelId;
use pointsman::fleet::ability::published_scores::names::canonical;
use pointsman::policy::Policy;
use pointsman::routing::decision::Outcome as Decided;
use pointsman::routing::router::Router;
use serde_json::json;

use crate::outcomes::{Outcome, Row};

/// A row without its text.
#[derive(Debug, Clone)]
pub struct ScoredPrompt {
    /// The file's label of the kind of task; empty if it has none.
    pub task: String,
    /// The file's label of the subject; empty if it has none.
    pub domain: String,
    /// The file's language, such as `en`; empty where it states none.
    pub lang: String,
    /// Whether the outcomes are ratings.
    pub is_rated: bool,
    /// The classification of the prompt.
    pub classification: Classification,
    /// Tokens of the prompt, as the filter estimates them.
    pub input_tokens: u32,
    /// Microseconds that tokens, features and model took.
    pub micros: f64,
    /// Outcomes of models, by name.
    pub outcomes: Vec<(String, Outcome)>,
    /// Which of two models was preferred.
    pub preference: Option<crate::outcomes::row::Preference>,
    /// For each profile of the policy the model that it chooses among those with an outcome; empty without a policy.
    pub routed: Vec<Option<ModelId>>,
}

/// A name's model in a policy: by its name, by what a backend calls it, or by another spelling of either.
pub fn find_model(policy: &Policy, name: &str) -> Option<ModelId> {
    let registry = &policy.registry;
    let served = |same: &dyn Fn(&str) -> bool| {
        let backend = registry
            .backends
            .iter()
            .find(|backend| same(&backend.served_model));
        backend.map(|backend| backend.model)
    };
    let plain = canonical(name);
    let spelt = || {
        let at = registry
            .models
            .iter()
            .position(|model| canonical(&model.name) == plain);
        at.map(|at| ModelId(at as u32))
    };
    registry
        .find_model(name)
        .or_else(|| served(&|own| own == name))
        .or_else(spelt)
        .or_else(|| served(&|own| canonical(own) == plain))
}

/// Looks at rows, one after another. One a thread.
pub struct Examiner<'p> {
    classifier: Option<Classifier>,
    router: Router,
    policy: Option<&'p Policy>,
    models: HashMap<String, Option<ModelId>>,
    /// The policy with only the backends of some models, by which models those are.
    narrowed: HashMap<Vec<bool>, Policy>,
}

impl<'p> Examiner<'p> {
    /// An examiner that also routes, if a policy is given.
    pub fn new(policy: Option<&'p Policy>) -> Examiner<'p> {
        Examiner {
            classifier: Classifier::embedded().ok(),
            router: Router::new().0,
            policy,
            models: HashMap::new(),
            narrowed: HashMap::new(),
        }
    }

    /// Scores `row` as the filter would.
    pub fn examine(&mut self, row: Row) -> ScoredPrompt {
        let body = json!({"messages": row.messages()}).to_string();
        // The body is a request, so reading it cannot fail; if it does, nothing is known of its tokens.
        let input_tokens = request::parse(Api::OpenAiChat, body.as_bytes(), true)
            .map_or(0, |request| Prompt::new(&request).input_tokens);
        let turn = row.turn();
        let start = Instant::now();
        let mut classification = self
            .classifier
            .as_mut()
            .and_then(|classifier| classifier.classify(&turn).ok())
            .unwrap_or_else(|| classifier::from_features(&turn));
        answer_length::refine(&mut classification, &turn);
        let micros = start.elapsed().as_secs_f64() * 1e6;
        let routed = self.route(&row);
        ScoredPrompt {
            task: row.task,
            domain: row.domain,
            lang: row.lang,
            is_rated: row.is_rated,
            classification,
            input_tokens,
            micros,
            outcomes: row.outcomes,
            preference: row.preference,
            routed,
        }
    }

    /// The choice of each profile among the models that have an outcome for `row`.
    fn route(&mut self, row: &Row) -> Vec<Option<ModelId>> {
        let Some(policy) = self.policy else {
            return Vec::new();
        };
        let mut present = vec![false; policy.registry.models.len()];
        for (name, _) in &row.outcomes {
            let found = match self.models.get(name) {
                Some(found) => *found,
                None => {
                    let found = find_model(policy, name);
                    self.models.insert(name.clone(), found);
                    found
                }
            };
            if let Some(place) = found.and_then(|id| present.get_mut(id.0 as usize)) {
                *place = true;
            }
        }
        if !present.contains(&true) {
            return vec![None; policy.profiles.len()];
        }
        let narrowed = self
            .narrowed
            .entry(present)
            .or_insert_with_key(|present| narrow(policy, present));
        let mut chosen = Vec::with_capacity(policy.profiles.len());
        for profile in &policy.profiles {
            let body = json!({"model": profile.name, "messages": row.messages()});
            let body = body.to_string();
            let outcome = self
                .router
                .route(narrowed, Api::OpenAiChat, body.as_bytes(), true);
            chosen.push(match outcome {
                Decided::Routed(decision) => Some(decision.model),
                Decided::Bypassed(_) | Decided::Rejected(_) => None,
            });
        }
        chosen
    }
}

fn narrow(policy: &Policy, present: &[bool]) -> Policy {
    let mut narrowed = policy.clone();
    narrowed
        .registry
        .backends
        .retain(|backend| present.get(backend.model.0 as usize) == Some(&true));
    narrowed
}
