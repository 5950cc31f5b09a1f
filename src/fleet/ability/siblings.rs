//! Which model is the smaller sibling of another: of one family, and in no published score better.
//!
//! Fitted abilities say how models did on exams; on a single prompt they may put a small model above its bigger sibling. Nobody
//! would believe that, so a bigger sibling counts as nearly as able at least: see [`crate::fleet::Registry::p_correct`].

/// Words before a family's name that say who makes, sells or hosts a model.
const MAKERS: [&str; 19] = [
    "ai",
    "amazon",
    "anthropic",
    "azure",
    "bedrock",
    "eu",
    "google",
    "groq",
    "meta",
    "microsoft",
    "mistralai",
    "models",
    "nvidia",
    "ollama",
    "openai",
    "together",
    "us",
    "vertex",
    "xai",
];

/// The family in a model's name: its first word that names no maker, such as `llama` or `gpt`; empty if there is none.
///
/// ```
/// use pointsman::fleet::ability::siblings::family;
///
/// assert_eq!(family("meta-llama/Llama-3.1-8B-Instruct"), "Llama");
/// assert_eq!(family("openai.gpt-4o-mini"), "gpt");
/// ```
pub fn family(name: &str) -> &str {
    let last = name.rsplit('/').next().unwrap_or(name);
    let words = last.split(|letter: char| !letter.is_ascii_alphanumeric());
    let letters = |word: &'_ str| word.bytes().take_while(u8::is_ascii_alphabetic).count();
    let mut names = words.filter_map(|word| word.get(..letters(word)));
    names
        .find(|name| {
            !name.is_empty() && !MAKERS.iter().any(|maker| maker.eq_ignore_ascii_case(name))
        })
        .unwrap_or("")
}

/// The difference that two measurements of one score may have.
const NOISE: f32 = 0.02;

/// Whether the first of two models is the smaller sibling of the second: they are of one family, have a benchmark in common,
/// and the first is worse in the mean of these and, noise apart, in none of them better. Scores by name, each 0 to 1.
pub fn is_smaller_sibling(
    (small, small_scores): (&str, &[(String, f32)]),
    (big, big_scores): (&str, &[(String, f32)]),
) -> bool {
    let own = family(small);
    if own.is_empty() || !own.eq_ignore_ascii_case(family(big)) {
        return false;
    }
    let of_big = |name: &str| big_scores.iter().find(|(known, _)| known == name);
    let ahead = || {
        small_scores
            .iter()
            .filter_map(|(name, score)| Some(of_big(name)?.1 - score))
    };
    ahead().all(|ahead| ahead >= -NOISE) && ahead().sum::<f32>() > 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(values: &[(&str, f32)]) -> Vec<(String, f32)> {
        let named = values.iter();
        named
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect()
    }

    #[test]
    fn siblings_are_of_one_family_and_ordered_by_their_scores() {
        let small = scores(&[("mmlu", 0.69), ("math", 0.52)]);
        let big = scores(&[("mmlu", 0.86), ("math", 0.51), ("gpqa", 0.5)]);
        let is = |one: &str, other: &str| is_smaller_sibling((one, &small), (other, &big));
        assert!(is("llama-3.1-8b", "meta-llama/Llama-3.3-70B-Instruct"));
        assert!(!is("llama-3.1-8b", "qwen2.5-72b"));
        assert!(!is("8b", "70b"), "no family");
        assert!(!is_smaller_sibling(("llama", &big), ("llama", &small)));
        assert!(
            !is_smaller_sibling(("llama", &small), ("llama", &small)),
            "equals"
        );
        let none = scores(&[("ifeval", 0.9)]);
        assert!(
            !is_smaller_sibling(("llama", &small), ("llama", &none)),
            "nothing in common"
        );
        let worse = scores(&[("mmlu", 0.9), ("math", 0.4)]);
        assert!(!is_smaller_sibling(("llama", &small), ("llama", &worse)));
    }
}
