//! How much a client's numbers can ask for: what the APIs allow, whatever a request says.
//!
//! A request that asks for more is the backend's to refuse; what is estimated, charged and compared with limits is bounded
//! here. What one answer takes at most is bounded by the model that writes it: `select` holds an estimate to the model's
//! `max_output_tokens` and to what its context window has left.

/// The most answers to one input (`n`), as OpenAI has it.
const MOST_CHOICES: u32 = 128;

/// The most drafts of which the best are answered (`best_of`), as OpenAI has it.
const MOST_BEST_OF: u32 = 20;

/// The most answers to one request, over all its inputs: OpenAI takes that many inputs.
const MOST_ANSWERS: u32 = 2048;

/// How many answers are written: `n` of them, or `best_of` drafts, to each of `inputs`; never 0.
pub(super) fn answers(n: Option<u32>, best_of: Option<u32>, inputs: u32) -> u32 {
    let wanted = n.unwrap_or(1).clamp(1, MOST_CHOICES);
    let drafts = best_of.unwrap_or(1).clamp(1, MOST_BEST_OF);
    total(wanted.max(drafts), inputs)
}

/// The same where the answers to one input are known.
pub(super) fn total(each: u32, inputs: u32) -> u32 {
    each.saturating_mul(inputs.max(1)).min(MOST_ANSWERS)
}

#[cfg(test)]
mod tests {
    use super::answers;

    #[test]
    fn no_number_asks_for_more_than_the_api_allows() {
        assert_eq!(answers(None, None, 0), 1);
        assert_eq!(answers(Some(0), Some(0), 1), 1);
        assert_eq!(answers(Some(3), None, 1), 3);
        assert_eq!(answers(Some(2), Some(5), 3), 15);
        assert_eq!(answers(Some(u32::MAX), None, 1), 128);
        assert_eq!(answers(None, Some(u32::MAX), 1), 20);
        assert_eq!(answers(Some(u32::MAX), Some(u32::MAX), u32::MAX), 2048);
    }
}
