//! The models of `models/benchmarks.json`, by name: what places a model of which the policy says nothing but what it is called.
//!
//! build.rs packs the file into a table. Names are compared in their plain form ([`names::canonical`]); who sells a model and
//! whether `-instruct` is written out make no difference where there is no closer match.

#[path = "names.rs"]
pub mod names;

use super::{Ability, BENCHMARKS};
use names::canonical;

/// What build.rs made of `models/benchmarks.json`: `MODELS` and, sorted by plain name, `NAMES`.
mod packed {
    include!(concat!(env!("OUT_DIR"), "/known_models.rs"));
}

/// A model of `models/benchmarks.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its name there.
    pub name: &'static str,
    /// Scores in ten-thousandths, in the order of [`BENCHMARKS`]; `u16::MAX` where there is none.
    scores: [u16; BENCHMARKS.len()],
}

impl Known {
    /// The model that `name` most probably means, if it has scores.
    ///
    /// In this order: the plain name; the same without a seller's name before it; the same with or without what says that it
    /// follows instructions, and without a release number at the end.
    pub fn find(name: &str) -> Option<Known> {
        let plain = canonical(name);
        let own = without_sellers(&plain);
        own.clone()
            .find_map(exact)
            .or_else(|| own.clone().find_map(loosely))
    }

    /// Names and values, 0 to 1, of the scores that there are.
    pub fn scores(&self) -> impl Iterator<Item = (&'static str, f32)> + '_ {
        let pairs = BENCHMARKS.iter().zip(&self.scores);
        pairs
            .filter(|(_, score)| **score != u16::MAX)
            .map(|(name, score)| (*name, f32::from(*score) / 10_000.0))
    }
}

impl Known {
    /// Its ability: as fitted to its measured outcomes if training saw any, else as its scores place it.
    pub fn ability(&self) -> Ability {
        Ability::of_known(self.name).unwrap_or_else(|| Ability::from_benchmarks(self.scores()))
    }
}

/// First words of names that say who sells or hosts a model.
const SELLERS: [&str; 24] = [
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

/// A plain name, then the same without one seller's name after another at its start.
fn without_sellers(plain: &str) -> impl Iterator<Item = &str> + Clone {
    std::iter::successors(Some(plain), |rest| {
        let (first, behind) = rest.split_once('-')?;
        SELLERS.contains(&first).then_some(behind)
    })
}

/// The model with nearly this plain name.
fn loosely(plain: &str) -> Option<Known> {
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

fn exact(plain: &str) -> Option<Known> {
    let at = packed::NAMES
        .binary_search_by(|(name, _)| (*name).cmp(plain))
        .ok()?;
    let (_, model) = packed::NAMES.get(at)?;
    let (name, scores) = packed::MODELS.get(usize::from(*model))?;
    Some(Known {
        name,
        scores: *scores,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn name(written: &str) -> Option<&'static str> {
        Known::find(written).map(|known| known.name)
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
        // Known, but without any score.
        assert_eq!(name("llama3-chatqa-1.5-8b"), None);
    }

    #[test]
    fn scores_are_those_of_the_file() {
        let known = Known::find("gpt-4o").unwrap();
        let mmlu = known.scores().find(|(name, _)| *name == "mmlu").unwrap();
        assert_eq!(mmlu.1, 0.891);
        assert_eq!(Known::find("phi-3-mini").unwrap().scores().count(), 4);
    }

    #[test]
    fn names_are_sorted_and_plain() {
        assert!(packed::NAMES.is_sorted_by(|left, right| left.0 < right.0));
        for (plain, _) in packed::NAMES {
            assert_eq!(canonical(plain), plain);
        }
    }
}
