//! The numbers of a body that bound its answer, so that one which is more than a model can write can be made less.
//!
//! Read anew from the body where that is needed, which is seldom: whatever form they are written in and however often.

use std::ops::Range;

use crate::api::json::{Cursor, Kind, ParseError};

/// The fields: of the APIs that are routed, each in any case, as lenient servers read them.
const FIELDS: [&str; 3] = ["max_tokens", "max_completion_tokens", "max_output_tokens"];

/// A number that bounds an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct WrittenBound {
    /// Where it stands in the body, quotes included.
    pub span: Range<usize>,
    /// The number.
    pub number: f64,
}

/// The bounds in a body whose object begins at `start`; as far as the body is there.
pub(in crate::api) fn find(body: &[u8], start: usize) -> Vec<WrittenBound> {
    let mut found = Vec::new();
    // What was read as a request is UTF-8; a body that is cut off within a character is read up to there.
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(error) => body
            .get(..error.valid_up_to())
            .and_then(|valid| std::str::from_utf8(valid).ok())
            .unwrap_or_default(),
    };
    // Cut off or not: what was found before counts.
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
