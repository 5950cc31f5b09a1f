//! The backends of the demo: the policy in Envoy's configuration, compiled.

use std::path::Path;

use pointsman::fleet::{Backend, Model};
use pointsman::policy::Policy;
use serde_json::Value;

use super::exchange::Usage;
use crate::envoy::{self, Config};
use pointsman_cli::failure::Failure;

/// The policy, and the model that everything would go to without a router.
pub struct Fleet {
    /// The compiled policy.
    pub policy: Policy,
    /// The policy as it is written.
    pub source: Value,
    /// Names of all models, the weakest first.
    pub models: Vec<String>,
    /// Name of the biggest model.
    pub big_model: String,
}

impl Fleet {
    /// Reads a policy of its own, or else the inline one of an Envoy configuration.
    ///
    /// # Errors
    /// [`Failure::Input`] if there is none or it does not compile.
    pub fn read(config: Option<&Path>, policy: Option<&Path>) -> Result<Fleet, Failure> {
        let (name, source) = match (policy, config) {
            (Some(path), _) => (path, own(path)?),
            (None, Some(config)) => (config, inline(&envoy::read(config)?)),
            (None, None) => return Err(Failure::Input("no policy is named".into())),
        };
        source
            .and_then(Fleet::from_policy)
            .map_err(|error| Failure::Input(format!("`{}`: {error}", name.display())))
    }

    fn from_policy(source: Value) -> Result<Fleet, String> {
        let policy = Policy::compile(&source.to_string()).map_err(|error| error.to_string())?;
        let models: Vec<String> = ranked(&policy)
            .into_iter()
            .map(|model| model.name.clone())
            .collect();
        let big_model = models.last().ok_or("the policy has no model")?.clone();
        Ok(Fleet {
            policy,
            source,
            models,
            big_model,
        })
    }

    /// The names of all clusters, in the order of the policy's backends.
    pub fn clusters(&self) -> Vec<String> {
        let backends = self.policy.registry.backends.iter();
        backends.map(|backend| backend.cluster.clone()).collect()
    }

    /// The backend with this name.
    pub fn backend(&self, name: &str) -> Option<&Backend> {
        self.policy
            .registry
            .backends
            .iter()
            .find(|backend| backend.name == name)
    }

    /// The charge of a backend for this usage, in USD.
    pub fn cost(&self, backend: &str, usage: Usage) -> Option<f64> {
        let price = self.backend(backend)?.price;
        Some(
            (usage.prompt_tokens as f64 * price.input
                + usage.completion_tokens as f64 * price.output)
                / 1e6,
        )
    }
}

fn own(path: &Path) -> Result<Result<Value, String>, Failure> {
    let (_, document) = pointsman_cli::io::input::read_policy_document(path)?;
    Ok(serde_json::from_str(&document.json).map_err(|error| error.to_string()))
}

fn inline(config: &Config) -> Result<Value, String> {
    let mut plugin = config
        .find_plugin_configuration()
        .ok_or("it configures no filter")?;
    let policy = plugin
        .get_mut("policy")
        .ok_or("the plugin configuration has no inline `policy`")?;
    Ok(policy.take())
}

/// All models, the one with the least skill first; of equals, the one that costs the least.
fn ranked(policy: &Policy) -> Vec<&Model> {
    let price = |model: &Model| {
        let served = policy.registry.backends.iter().filter(|backend| {
            policy
                .registry
                .model(backend.model)
                .is_some_and(|of| of.name == model.name)
        });
        served
            .map(|backend| backend.price.output)
            .fold(0.0, f64::max)
    };
    let skill = |model: &Model| f64::from(model.ability.skills.iter().sum::<f32>());
    let mut models: Vec<&Model> = policy.registry.models.iter().collect();
    models.sort_by(|a, b| {
        skill(a)
            .total_cmp(&skill(b))
            .then(price(a).total_cmp(&price(b)))
    });
    models
}
