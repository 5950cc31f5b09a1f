//! When two spellings name one model: `meta-llama/Llama-3.1-8B` and `llama-3.1-8b`. Also compiled into build.rs.

/// The plain form of a model's name: what stands behind the last `/`, in lower case, its words joined by `-`, without a date or
/// what only says how the weights are stored.
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

/// How many words are left without a date such as `20241022` or `2024-10-22` at the end.
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
