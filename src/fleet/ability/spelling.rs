//! Splits a model's name from what hosts add to it: vendor, region, date, release and storage.

use super::published_scores::names::canonical;

/// Vendors and regions that Bedrock writes before a name, each followed by a dot.
const HOSTS: &[&str] = &[
    "ai21",
    "amazon",
    "anthropic",
    "apac",
    "au",
    "ca",
    "cohere",
    "deepseek",
    "eu",
    "global",
    "google",
    "jp",
    "meta",
    "mistral",
    "openai",
    "qwen",
    "us",
];

/// The canonical form of a name, and the date or release number after it, empty if there is none.
///
/// ```
/// use pointsman::fleet::ability::spelling::plain_name;
///
/// let (name, date) = plain_name("openai/gpt-4o-2024-08-06");
/// assert_eq!((name.as_str(), date.as_str()), ("gpt-4o", "20240806"));
/// ```
pub fn plain_name(name: &str) -> (String, String) {
    let last = name.trim().rsplit('/').next().unwrap_or(name);
    let own = without_host(without_revision(last));
    let stem = canonical(own);
    let words = own.split(|letter: char| !letter.is_ascii_alphanumeric());
    let words = words.filter(|word| !word.is_empty());
    let kept = stem.split('-').count();
    let date: String = words.skip(kept).filter(|word| is_digits(word)).collect();
    match stem.rsplit_once('-') {
        Some((before, release))
            if date.is_empty() && matches!(release.len(), 3 | 4) && is_digits(release) =>
        {
            (before.to_owned(), release.to_owned())
        }
        _ => (stem, date),
    }
}

fn is_digits(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

/// Without Bedrock's revision at the end, such as `-v2:0`.
fn without_revision(name: &str) -> &str {
    let short = || {
        let (before, minor) = name.rsplit_once(':')?;
        let (own, major) = before.rsplit_once("-v")?;
        (is_digits(minor) && !major.is_empty() && is_digits(major)).then_some(own)
    };
    short().unwrap_or(name)
}

fn without_host(name: &str) -> &str {
    let mut own = name;
    while let Some((first, rest)) = own.split_once('.') {
        let first = first.to_ascii_lowercase();
        if rest.is_empty() || !HOSTS.contains(&first.as_str()) {
            break;
        }
        own = rest;
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_hosts_and_revisions_stand_apart() {
        for (name, stem, date) in [
            ("gpt-4o", "gpt-4o", ""),
            ("openai/gpt-4o-2024-08-06", "gpt-4o", "20240806"),
            ("GPT-3.5-Turbo-0125", "gpt-3-5-turbo", "0125"),
            (
                "claude-3-5-sonnet@20241022",
                "claude-3-5-sonnet",
                "20241022",
            ),
            (
                "us.anthropic.claude-3-5-sonnet-20241022-v2:0",
                "claude-3-5-sonnet",
                "20241022",
            ),
            ("models/gemini-1.5-pro-002", "gemini-1-5-pro", "002"),
            ("meta-llama/Llama-3.1-8B-AWQ", "llama-3-1-8b", ""),
            ("claude-sonnet-4-latest", "claude-sonnet-4", ""),
            ("mistral-large", "mistral-large", ""),
            ("2024-10-22", "2024-10-22", ""),
            ("", "", ""),
            ("/", "", ""),
            ("v1:0", "v1-0", ""),
            ("us.", "us", ""),
        ] {
            assert_eq!(
                plain_name(name),
                (stem.to_owned(), date.to_owned()),
                "{name}"
            );
        }
    }
}
