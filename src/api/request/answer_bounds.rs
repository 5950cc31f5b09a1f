//! Bounds of the answer: how many answers a request can ask for, and the numbers in a body that limit an answer's length.
//!
//! A request that asks for more than the API allows is the backend's to refuse; estimates, charges and limits use the bounded
//! number. The length of one answer is bounded by its model: `routing` holds an estimate to the model's `max_output_tokens`
//! and to the room in its context window.
//!
//! The numbers in the body are read again only if one has to be lowered to what the model can write, which is rare.

use std::ops::Range;

use crate::api::json::{Cursor, Kind, ParseError};

/// OpenAI's maximum of answers to one input (`n`).
const MAX_CHOICES: u32 = 128;

/// OpenAI's maximum of drafts (`best_of`).
const MAX_BEST_OF: u32 = 20;

/// Maximum number of answers to one request over all its inputs, of which OpenAI takes that many.
const MAX_ANSWERS: u32 = 2048;

/// Number of answers written: `n`, or `best_of` drafts, to each of `inputs`; never 0.
pub(super) fn answers(n: Option<u32>, best_of: Option<u32>, inputs: u32) -> u32 {
    let wanted = n.unwrap_or(1).clamp(1, MAX_CHOICES);
    let drafts = best_of.unwrap_or(1).clamp(1, MAX_BEST_OF);
    total(wanted.max(drafts), inputs)
}

/// Number of answers to all inputs, `each` to one.
pub(super) fn total(each: u32, inputs: u32) -> u32 {
    each.saturating_mul(inputs.max(1)).min(MAX_ANSWERS)
}

/// Fields that limit an answer's length in the routed APIs; each in any case, as lenient servers read them.
const FIELDS: [&str; 3] = ["max_tokens", "max_completion_tokens", "max_output_tokens"];

/// A number that bounds an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct WrittenBound {
    /// Its span in the body, quotes included.
    pub span: Range<usize>,
    /// Its value.
    pub number: f64,
}

/// The bounds in a body whose object begins at `start`, as far as the body is held.
pub(in crate::api) fn find(body: &[u8], start: usize) -> Vec<WrittenBound> {
    let mut found = Vec::new();
    // A parsed body is UTF-8; one that is cut within a character is read up to there.
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(error) => body
            .get(..error.valid_up_to())
            .and_then(|valid| std::str::from_utf8(valid).ok())
            .unwrap_or_default(),
    };
    // Bounds that were found before a cut count.
    let _ = read(&mut Cursor::new(text, start), &mut found);
    found
}

fn read(cursor: &mut Cursor<'_>, found: &mut Vec<WrittenBound>) -> Result<(), ParseError> {
    if cursor.kind()? != Kind::Object {
        return Ok(());
    }
    cursor.enter()?;
    let mut first = true;
    while let Some(key) = cursor.next_key(&mut first)? {
        if !FIELDS.iter().any(|field| key.eq_ignore_ascii_case(field)) {
            cursor.skip_value()?;
            continue;
        }
        let kind = cursor.kind()?;
        let begin = cursor.offset();
        let number: Option<f64> = match kind {
            Kind::Number => cursor.number()?.parse().ok(),
            Kind::String => cursor.string()?.trim().parse().ok(),
            _ => {
                cursor.skip_value()?;
                None
            }
        };
        if let Some(number) = number {
            let span = begin..cursor.offset();
            found.push(WrittenBound { span, number });
        }
    }
    Ok(())
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
