//! The ability of a model of which only the name is known: its published scores, from the embedded
//! `models/benchmarks.json` and from files of the same form that the operator adds.

use std::collections::BTreeMap;
use std::path::Path;

use pointsman::fleet::ability::published_scores::{PublishedModel, names::canonical};
use pointsman::fleet::ability::{Ability, BENCHMARKS};
use serde::Deserialize;

use crate::error::Error;

#[derive(Deserialize)]
struct File {
    models: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    name: String,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    scores: BTreeMap<String, f32>,
}

/// Published scores by model.
#[derive(Debug, Default)]
pub struct Benchmarks {
    /// Added scores, by plain name: they take precedence over the embedded ones.
    added: BTreeMap<String, (String, Ability)>,
}

impl Benchmarks {
    /// The embedded ones and, before them, those of the file at `path`.
    ///
    /// # Errors
    /// [`Error::Input`] if the file is not of the form of `models/benchmarks.json`.
    pub fn with(path: Option<&Path>) -> Result<Benchmarks, Error> {
        let mut all = Benchmarks::default();
        let Some(path) = path else { return Ok(all) };
        let bad = |problem: String| Error::Input(format!("`{}`: {problem}", path.display()));
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::Input(format!("cannot read `{}`: {error}", path.display())))?;
        let file: File = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
        for model in file.models {
            for (name, score) in &model.scores {
                if !BENCHMARKS.contains(&name.as_str()) {
                    let known = BENCHMARKS.join(", ");
                    return Err(bad(format!(
                        "`{}`: unknown benchmark `{name}` (known: {known})",
                        model.name
                    )));
                }
                if !(0.0..=1.0).contains(score) {
                    return Err(bad(format!(
                        "`{}`: `{name}` is {score}, not 0 to 1",
                        model.name
                    )));
                }
            }
            if model.scores.is_empty() {
                continue;
            }
            let scores = model
                .scores
                .iter()
                .map(|(name, score)| (name.as_str(), *score));
            let ability = Ability::from_benchmarks(scores);
            for name in [&model.name].into_iter().chain(&model.aliases) {
                all.added
                    .insert(canonical(name), (model.name.clone(), ability));
            }
        }
        Ok(all)
    }

    /// The model that `name` means, by its name where the scores come from, and its ability.
    pub fn find(&self, name: &str) -> Option<(String, Ability)> {
        let added = self.added.get(&canonical(name)).cloned();
        let known = || {
            Some((
                PublishedModel::find(name)?.name.to_owned(),
                PublishedModel::find(name)?.ability(),
            ))
        };
        // Some models without published scores were seen in training.
        let fitted = || Some((name.to_owned(), Ability::fitted(name)?));
        added.or_else(known).or_else(fitted)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;

    use super::*;

    fn with(text: &str) -> Result<Benchmarks, Error> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Benchmarks::with(Some(file.path()))
    }

    #[test]
    fn what_is_added_counts_before_what_is_embedded() {
        let text = r#"{"models": [{"name": "House-1", "aliases": ["gpt-4o"], "scores": {"mmlu": 0.1}}, {"name": "none"}]}"#;
        let added = with(text).unwrap();
        assert_eq!(added.find("acme/house-1").unwrap().0, "House-1");
        assert_eq!(added.find("gpt-4o").unwrap().0, "House-1");
        assert_eq!(added.find("gpt-4o-mini").unwrap().0, "gpt-4o-mini");
        assert!(added.find("none").is_none());
    }

    #[test]
    fn bad_scores_are_named() {
        let message = |text| with(text).unwrap_err().to_string();
        let text = r#"{"models": [{"name": "a", "scores": {"mmmu": 0.5}}]}"#;
        assert!(message(text).contains("`a`: unknown benchmark `mmmu` (known: gpqa,"));
        let text = r#"{"models": [{"name": "a", "scores": {"mmlu": 50}}]}"#;
        assert!(message(text).contains("`a`: `mmlu` is 50, not 0 to 1"));
        assert!(message("{}").contains("missing field `models`"));
    }
}
