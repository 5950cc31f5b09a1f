//! Short top-level fields of a body that is too long to be held: its `model` may come after megabytes of messages.
//!
//! [`TopLevelScanner`] gets the body piece by piece and keeps only the short fields of its top level and their places, in bounded
//! space. [`TopLevelFields`] is a small document of these fields. [`parse`] reads it like any other body, so each field has one
//! reader. The grammar is checked only as far as finding fields needs it.

use std::ops::Range;

use super::answer_bounds::{self, WrittenBound};
use super::names::is_folded;
use super::{Api, InvalidRequest, Request, UsageSlot, parse};
use crate::api::json::{Cursor, plain_end};

/// Maximum length of a kept value.
const MAX_VALUE: usize = 1024;

/// Maximum length of a kept key: the longest key of interest with every letter escaped.
const MAX_KEY: usize = 256;

/// Maximum number of kept bytes, without those of `model`.
const MAX_KEPT: usize = 16 * 1024;

/// Maximum number of kept values of `model`; a body with more is rejected.
const MAX_MODELS: usize = 64;

/// Scans a body for the short fields of its top level.
#[derive(Debug, Default)]
pub struct TopLevelScanner {
    /// Number of bytes fed so far.
    fed: usize,
    /// Number of open objects and arrays.
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    place: Place,
    key: Captured,
    value: Captured,
    found: TopLevelFields,
}

/// Position of the scanner in the top level.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the document.
    #[default]
    Start,
    /// At a key, or before one.
    Key,
    /// Between a key and its value.
    Colon,
    /// At a value, or before it.
    Value,
    /// After the document, or in something that is not one.
    End,
}

/// A key or a value while it is scanned.
#[derive(Debug, Default)]
struct Captured {
    /// Its first bytes, up to the limit.
    bytes: Vec<u8>,
    /// Offset of its start; `None` before it begins.
    start: Option<usize>,
    /// Offset after its last byte.
    end: usize,
}

/// The short fields of a body's top level.
#[derive(Debug)]
pub struct TopLevelFields {
    /// The fields as a document, without its end until the scanner is finished.
    text: Vec<u8>,
    places: Vec<FieldPosition>,
    /// Number of them that are `model`.
    models: usize,
    /// Whether the document's end was seen.
    pub is_complete: bool,
}

/// Position of a field's value.
#[derive(Debug)]
struct FieldPosition {
    /// In the text of [`TopLevelFields`].
    at: usize,
    /// In the body; a long value has a placeholder in the text.
    span: Range<usize>,
}

impl Default for TopLevelFields {
    fn default() -> TopLevelFields {
        TopLevelFields {
            text: b"{".to_vec(),
            places: Vec::new(),
            models: 0,
            is_complete: false,
        }
    }
}

impl TopLevelFields {
    /// Parses the fields as a request of `api` with its places in the body.
    ///
    /// # Errors
    /// If a field is not JSON, or `model` comes too often.
    pub(super) fn read(&self, api: Api) -> Result<Request<'_>, InvalidRequest> {
        if self.models > MAX_MODELS {
            return Err(InvalidRequest::WrongShape {
                at: "model".into(),
                offset: self.places.last().map_or(0, |position| position.span.start),
                problem: format!("comes more than {MAX_MODELS} times"),
            });
        }
        let mut request = parse(api, &self.text, true).map_err(|error| self.in_body(error))?;
        for span in &mut request.model_spans {
            let position = self.position(span.start);
            *span = position.map_or(0..0, |position| position.span.clone());
        }
        let moved = |at: usize| {
            let position = self.position(at)?;
            Some(position.span.start + (at - position.at))
        };
        let moved_range = |range: &Range<usize>| Some(moved(range.start)?..moved(range.end)?);
        request.usage_slot = match request.usage_slot.take() {
            Some(UsageSlot::NoOptions(range)) => moved_range(&range).map(UsageSlot::NoOptions),
            Some(UsageSlot::Value(range)) => moved_range(&range).map(UsageSlot::Value),
            Some(UsageSlot::Inside { at, is_empty }) => {
                moved(at).map(|at| UsageSlot::Inside { at, is_empty })
            }
            other => other,
        };
        Ok(request)
    }

    /// The numbers among them that bound an answer, with their places in the body.
    pub(super) fn answer_bounds(&self) -> Vec<WrittenBound> {
        let mut bounds = answer_bounds::find(&self.text, 0);
        bounds.retain_mut(|bound| match self.position(bound.span.start) {
            Some(position) => {
                bound.span = position.span.clone();
                true
            }
            None => false,
        });
        bounds
    }

    /// The field whose value contains the byte `at` of the text.
    fn position(&self, at: usize) -> Option<&FieldPosition> {
        let behind = self.places.partition_point(|position| position.at <= at);
        self.places.get(behind.checked_sub(1)?)
    }

    /// The error with its place in the body.
    fn in_body(&self, error: InvalidRequest) -> InvalidRequest {
        match error {
            InvalidRequest::NotJson { offset, problem } => InvalidRequest::NotJson {
                offset: self
                    .position(offset)
                    .map_or(0, |position| position.span.start),
                problem,
            },
            other => other,
        }
    }
}

impl Captured {
    fn clear(&mut self) {
        self.bytes.clear();
        self.start = None;
    }

    /// Adds the bytes at `at`; white space counts inside a value, not after it.
    fn add(&mut self, bytes: &[u8], at: usize, most: usize) {
        let is_space = matches!(bytes, [b' ' | b'\n' | b'\t' | b'\r']);
        if is_space && self.start.is_none() {
            return;
        }
        self.start.get_or_insert(at);
        if !is_space {
            self.end = at + bytes.len();
        }
        let room = (most + 1).saturating_sub(self.bytes.len());
        self.bytes
            .extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }
}

impl TopLevelScanner {
    /// Number of bytes fed so far, which is the offset of the next piece.
    pub fn fed(&self) -> usize {
        self.fed
    }

    /// Whether a `model` was seen, in any case.
    pub fn names_model(&self) -> bool {
        self.found.models > 0
    }

    /// Whether the document has ended.
    pub fn is_done(&self) -> bool {
        self.place == Place::End
    }

    /// Scans the next piece of the body.
    pub fn feed(&mut self, piece: &[u8]) {
        let mut at = 0;
        while at < piece.len() && !self.is_done() {
            at = if self.in_string {
                self.string(piece, at)
            } else {
                self.outside(piece, at)
            };
        }
        self.fed += piece.len();
    }

    /// The fields found, once the body has ended or no more of it is to be scanned.
    pub fn finish(mut self) -> TopLevelFields {
        self.found.text.push(b'}');
        self.found
    }

    /// Scans on in a string; returns the offset after the part scanned.
    fn string(&mut self, piece: &[u8], from: usize) -> usize {
        let mut at = from;
        if self.is_escaped {
            self.is_escaped = false;
            at += 1;
        } else {
            at = plain_end(piece, at);
            match piece.get(at) {
                Some(b'"') => {
                    at += 1;
                    self.in_string = false;
                }
                Some(b'\\') => {
                    at += 1;
                    self.is_escaped = true;
                }
                // A control character: the backend judges it.
                Some(_) => at += 1,
                None => {}
            }
        }
        self.keep(piece.get(from..at).unwrap_or_default(), from);
        if !self.in_string && self.depth == 1 && self.place == Place::Key {
            self.place = Place::Colon;
        }
        at
    }

    /// Keeps bytes of a top-level key or value, which start at `from` of the piece.
    fn keep(&mut self, bytes: &[u8], from: usize) {
        let at = self.fed + from;
        match self.place {
            Place::Key => self.key.add(bytes, at, MAX_KEY),
            Place::Value => self.value.add(bytes, at, MAX_VALUE),
            _ => {}
        }
    }

    /// Scans one byte outside strings; returns the offset of the next.
    fn outside(&mut self, piece: &[u8], at: usize) -> usize {
        let byte = piece.get(at).copied().unwrap_or_default();
        match (byte, self.place) {
            (b'{', Place::Start) => {
                self.depth = 1;
                self.place = Place::Key;
                return at + 1;
            }
            // White space and a byte order mark.
            (b' ' | b'\n' | b'\t' | b'\r' | 0xEF | 0xBB | 0xBF, Place::Start) => return at + 1,
            (_, Place::Start) => {
                self.place = Place::End;
                return at + 1;
            }
            (b'"', Place::Key) => self.key.clear(),
            (b':', Place::Colon) => {
                self.place = Place::Value;
                self.value.clear();
                return at + 1;
            }
            (b',' | b'}', _) if self.depth == 1 => {
                self.field();
                let is_over = byte == b'}' || self.found.models > MAX_MODELS;
                self.place = if is_over { Place::End } else { Place::Key };
                self.found.is_complete |= byte == b'}';
                return at + 1;
            }
            _ => {}
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.keep(piece.get(at..=at).unwrap_or_default(), at);
        at + 1
    }

    /// Takes the scanned field, if it has a value.
    fn field(&mut self) {
        let Some(start) = self.value.start.take() else {
            return;
        };
        let (key, value) = (&self.key.bytes, &self.value.bytes);
        if key.len() > MAX_KEY {
            return;
        }
        let is_model = is_model(key);
        let is_short = value.len() <= MAX_VALUE;
        let found = &mut self.found;
        let is_full = found.text.len() + key.len() + value.len() > MAX_KEPT;
        if is_model {
            found.models += 1;
        } else if !is_short || is_full {
            return;
        }
        if found.models > MAX_MODELS {
            return;
        }
        if found.text.len() > 1 {
            found.text.push(b',');
        }
        found.text.extend_from_slice(key);
        found.text.push(b':');
        found.places.push(FieldPosition {
            at: found.text.len(),
            span: start..self.value.end,
        });
        let kept: &[u8] = if is_short { value } else { b"null" };
        found.text.extend_from_slice(kept);
    }
}

/// Whether a server could take a key, as written, for `model`.
fn is_model(key: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(key) else {
        return false;
    };
    text.starts_with('"')
        && Cursor::new(text, 0)
            .string()
            .is_ok_and(|key| is_folded(&key, "model"))
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice
)]
mod tests;
