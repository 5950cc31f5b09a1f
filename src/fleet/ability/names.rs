//! Canonical form of a model's name: `meta-llama/Llama-3.1-8B` and `llama-3.1-8b` are one. build.rs compiles this file too.

/// The canonical form of a model's name: the part after the last `/` in lower case, its words joined by `-`, without a date and
/// without words for the storage of the weights.
///
/// ```
/// use pointsman::fleet::ability::published_scores::names::canonical;
///
/// assert_eq!(canonical("meta-llama/Llama-3.1-8B"), "llama-3-1-8b");
/// assert_eq!(canonical("gpt-4o-2024-08-06"), "gpt-4o");
/// ```
pub fn canonical(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    let words: Vec<String> = last
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let mut kept = words.as_slice();
    while let [_, .., word] = kept {
        let end = if is_storage(word) {
            kept.len() - 1
        } else {
            without_date(kept)
        };
        if end == kept.len() {
            break;
        }
        kept = kept.get(..end).unwrap_or(&[]);
    }
    kept.join("-")
}

/// Words that name a file format or a release channel, not another model.
fn is_storage(word: &str) -> bool {
    const STORED: [&str; 10] = [
        "hf", "awq", "gptq", "fp8", "bf16", "fp16", "gguf", "int4", "int8", "latest",
    ];
    STORED.contains(&word)
}

/// Number of words that are left without a date such as `20241022` or `2024-10-22` at the end.
fn without_date(words: &[String]) -> usize {
    let number = |at: usize, len: usize| {
        words
            .get(at)
            .is_some_and(|word| word.len() == len && word.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let count = words.len();
    let year =
        |at: usize| number(at, 4) && words.get(at).is_some_and(|word| word.starts_with("20"));
    if count > 1 && number(count - 1, 8) {
        count - 1
    } else if count > 3 && year(count - 3) && number(count - 2, 2) && number(count - 1, 2) {
        count - 3
    } else {
        count
    }
}
