//! Published benchmark scores by model name, for models that the policy states by name alone.
//!
//! build.rs packs `models/benchmarks.json` into a table. Names are compared in their canonical form ([`names::canonical`]).
//! If nothing matches that, a vendor in front and `-instruct` at the end are ignored.

#[path = "names.rs"]
pub mod names;

use super::{Ability, BENCHMARKS};
use names::canonical;

/// The table that build.rs makes: `MODELS` and, sorted by canonical name, `NAMES`.
mod packed {
    include!(concat!(env!("OUT_DIR"), "/known_models.rs"));
}

/// A model of `models/benchmarks.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedModel {
    /// Its name there.
    pub name: &'static str,
    /// Scores in ten-thousandths, in the order of [`BENCHMARKS`]; `u16::MAX` if there is none.
    scores: [u16; BENCHMARKS.len()],
}

impl PublishedModel {
    /// The model that `name` most probably means, if it has scores.
    ///
    /// Tried in this order: the canonical name; without a vendor in front; with or without a suffix of instruction tuning;
    /// without a release number at the end.
    ///
    /// ```
    /// use pointsman::fleet::ability::published_scores::PublishedModel;
    ///
    /// let model = PublishedModel::find("openai/gpt-4o-2024-08-06");
    /// assert_eq!(model.map(|model| model.name), Some("gpt-4o"));
    /// ```
    pub fn find(name: &str) -> Option<PublishedModel> {
        let plain = canonical(name);
        let own = without_vendors(&plain);
        own.clone()
            .find_map(exact)
            .or_else(|| own.clone().find_map(approximate))
    }

    /// Benchmark names and scores, 0 to 1; benchmarks without a score are left out.
    pub fn scores(&self) -> impl Iterator<Item = (&'static str, f32)> + '_ {
        let pairs = BENCHMARKS.iter().zip(&self.scores);
        pairs
            .filter(|(_, score)| **score != u16::MAX)
            .map(|(name, score)| (*name, f32::from(*score) / 10_000.0))
    }

    /// Its ability: fitted to its measured outcomes if training saw any, else placed by its scores.
    pub fn ability(&self) -> Ability {
        Ability::fitted(self.name).unwrap_or_else(|| Ability::from_benchmarks(self.scores()))
    }
}

/// First words of names that say who sells or hosts a model.
const VENDORS: [&str; 24] = [
    "ai",
    "amazon",
    "anthropic",
    "azure",
    "bedrock",
    "cohere",
    "deepseek",
    "eu",
    "fireworks",
    "google",
    "groq",
    "llama",
    "meta",
    "microsoft",
    "mistral",
    "mistralai",
    "nvidia",
    "ollama",
    "openai",
    "qwen",
    "together",
    "us",
    "vertex",
    "xai",
];

/// A canonical name, then the name without one vendor after another in front.
fn without_vendors(plain: &str) -> impl Iterator<Item = &str> + Clone {
    std::iter::successors(Some(plain), |rest| {
        let (first, behind) = rest.split_once('-')?;
        VENDORS.contains(&first).then_some(behind)
    })
}

/// The model whose name differs only in tuning suffix or release.
fn approximate(plain: &str) -> Option<PublishedModel> {
    let tuned = ["-instruct", "-it", "-chat"];
    let bare = tuned.iter().find_map(|ending| plain.strip_suffix(ending));
    let bare = bare.unwrap_or(plain);
    exact(bare)
        .or_else(|| {
            tuned
                .iter()
                .find_map(|ending| exact(&format!("{bare}{ending}")))
        })
        .or_else(|| {
            let (before, last) = plain.rsplit_once('-')?;
            let release = last == "preview"
                || ((3..=4).contains(&last.len())
                    && last.bytes().all(|byte| byte.is_ascii_digit()));
            release.then(|| exact(before)).flatten()
        })
}

fn exact(plain: &str) -> Option<PublishedModel> {
    let at = packed::NAMES
        .binary_search_by(|(name, _)| (*name).cmp(plain))
        .ok()?;
    let (_, model) = packed::NAMES.get(at)?;
    let (name, scores) = packed::MODELS.get(usize::from(*model))?;
    Some(PublishedModel {
        name,
        scores: *scores,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn name(written: &str) -> Option<&'static str> {
        PublishedModel::find(written).map(|known| known.name)
    }

    #[test]
    fn a_model_is_known_by_its_usual_spellings() {
        for (written, meant) in [
            ("gpt-4o", "gpt-4o"),
            ("openai/gpt-4o-2024-08-06", "gpt-4o"),
            ("GPT-4o-mini-2024-07-18", "gpt-4o-mini"),
            ("gpt-3.5-turbo-0125", "gpt-3.5-turbo"),
            ("claude-3-5-sonnet-20241022", "claude-3.5-sonnet"),
            ("claude-3-5-sonnet-latest", "claude-3.5-sonnet"),
            ("anthropic_claude-sonnet-4", "claude-sonnet-4"),
            ("meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b-instruct"),
            (
                "meta-llama/Meta-Llama-3-70B-Instruct",
                "llama-3-70b-instruct",
            ),
            ("meta/llama-2-70b-chat", "Llama-2-70b-hf"),
            ("mistralai/mixtral-8x7b-chat", "Mixtral-8x7B-Instruct-v0.1"),
            ("Qwen/Qwen2.5-7B-Instruct-AWQ", "qwen2.5-7b-instruct"),
        ] {
            assert_eq!(name(written), Some(meant), "{written}");
        }
    }

    #[test]
    fn an_unknown_model_stays_unknown() {
        for written in [
            "",
            "-",
            "/",
            "house-model",
            "gpt",
            "my-gpt-4o",
            "llama",
            "2024-10-22",
        ] {
            assert_eq!(name(written), None, "{written}");
        }
        // PublishedModel, but without any score.
        assert_eq!(name("llama3-chatqa-1.5-8b"), None);
    }

    #[test]
    fn scores_are_those_of_the_file() {
        let known = PublishedModel::find("gpt-4o").unwrap();
        let mmlu = known.scores().find(|(name, _)| *name == "mmlu").unwrap();
        assert_eq!(mmlu.1, 0.891);
        assert_eq!(
            PublishedModel::find("phi-3-mini").unwrap().scores().count(),
            4
        );
    }

    #[test]
    fn names_are_sorted_and_plain() {
        assert!(packed::NAMES.is_sorted_by(|left, right| left.0 < right.0));
        for (plain, _) in packed::NAMES {
            assert_eq!(canonical(plain), plain);
        }
    }
}
