//! Provider state in a request: signed thinking, encrypted reasoning and ids of stored objects, which only one provider can read.
//!
//! | API | state | may be removed |
//! |---|---|---|
//! | Anthropic messages | `thinking` and `redacted_thinking` blocks | yes, except in a round of tool calls with `thinking.type: enabled`, and if the message holds nothing else |
//! | | other blocks with encrypted content (web search, code execution, compaction), `container` | no |
//! | OpenAI responses | `reasoning` items with an id or `encrypted_content` | yes, and with them the ids of other items |
//! | | `previous_response_id`, `conversation`, `prompt`, `item_reference`, compaction and any other item with `encrypted_content` | no |
//! | OpenAI chat | `thought_signature` (Gemini), `reasoning_details` (OpenRouter), `thinking_blocks` (LiteLLM) | yes |
//! | | `audio` of an earlier answer | no |
//! | all | files by `file_id` | no |
//!
//! Nothing is decoded or verified here, and the origin is not known here. Each piece of state has a mark, a hash that is the same
//! in a request and in the answer that brought the state.

mod find;

use crate::sort;
use std::ops::Range;

use super::edit::Splice;
use super::json::{Cursor, Kind, ParseError};
use crate::api::Api;
use crate::fnv;

/// Number of bytes at the end of a value that make its mark. Signatures and ciphertexts differ at their ends, while their starts
/// (format, key, model) are alike.
const SUFFIX_LEN: usize = 64;

/// Google's documented placeholder for the signature of another model.
const SIGNATURE_PLACEHOLDER: &str = "\"skip_thought_signature_validator\"";

/// The provider state in a request, in the order of the body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProviderState {
    /// All pieces of state.
    pub items: Vec<StateItem>,
    /// Cuts that go with the first removed piece: ids that refer to it.
    companions: Vec<Cut>,
}

/// A piece of provider state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateItem {
    /// Its name in error texts.
    pub what: &'static str,
    /// Hash that identifies it; `None` if it has no value to hash.
    pub mark: Option<u64>,
    /// How it is removed; `None` if the conversation would break without it.
    cut: Option<Cut>,
}

/// A part that is removed from a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cut {
    /// An item of a list, by its bytes.
    Item(Range<usize>),
    /// A member of an object, by the bytes of its value.
    Member(Range<usize>),
    /// A member with a signature. A provider that requires signatures gets a placeholder in the place of `signature`.
    Signed {
        member: Range<usize>,
        signature: Range<usize>,
    },
}

impl StateItem {
    pub(super) fn new(what: &'static str, mark: Option<u64>, cut: Option<Cut>) -> StateItem {
        StateItem { what, mark, cut }
    }

    /// Whether it has to stay: the conversation cannot go on without it.
    pub fn is_fixed(&self) -> bool {
        self.cut.is_none()
    }
}

impl ProviderState {
    /// The provider state in a body of `api`.
    pub fn find(api: Api, text: &str) -> ProviderState {
        let start = if text.starts_with('\u{feff}') { 3 } else { 0 };
        find::find(api, text, start)
    }

    /// Whether there is no state.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn add(&mut self, what: &'static str, mark: Option<u64>, cut: Option<Cut>) {
        self.items.push(StateItem::new(what, mark, cut));
    }

    /// Adds the state of a message. If `alone`, the message holds nothing else, so the state has to stay.
    pub(super) fn take(&mut self, items: Vec<StateItem>, alone: bool) {
        let first = self.items.len();
        self.items.extend(items);
        if alone {
            self.fix_from(first);
        }
    }

    pub(super) fn accompany(&mut self, cut: Cut) {
        self.companions.push(cut);
    }

    /// Makes all items from `first` on stay.
    pub(super) fn fix_from(&mut self, first: usize) {
        for item in self.items.iter_mut().skip(first) {
            item.cut = None;
        }
    }

    /// Whether removing all state would empty a list of `count` items.
    pub(super) fn is_all_of(&self, count: usize) -> bool {
        let cuts = self.items.iter().filter(|item| !item.is_fixed()).count();
        count > 0 && cuts >= count
    }

    /// The edits that remove from `body` the items for whose index `foreign` is true, in order and disjoint. With
    /// `needs_signature` the body goes to a provider that requires signatures.
    pub fn cuts(
        &self,
        body: &[u8],
        foreign: impl Fn(usize) -> bool,
        needs_signature: bool,
    ) -> Vec<Splice> {
        let mut edits: Vec<Splice> = Vec::new();
        let mut gone: Vec<Range<usize>> = Vec::new();
        let named = self.items.iter().enumerate();
        let cuts = named.filter(|(index, _)| foreign(*index));
        let mut cuts: Vec<&Cut> = cuts.filter_map(|(_, item)| item.cut.as_ref()).collect();
        if !cuts.is_empty() {
            cuts.extend(&self.companions);
        }
        for cut in cuts {
            match cut {
                Cut::Item(span) => gone.push(span.clone()),
                Cut::Signed { signature, .. } if needs_signature => {
                    edits.push(Splice {
                        span: signature.clone(),
                        with: SIGNATURE_PLACEHOLDER.into(),
                    });
                }
                Cut::Member(value) | Cut::Signed { member: value, .. } => {
                    gone.extend(member(body, value));
                }
            }
        }
        sort::sort_by_key(&mut gone, |span| span.start);
        let with = Vec::new;
        let gone = without(body, &gone).into_iter();
        edits.extend(gone.map(|span| Splice { span, with: with() }));
        sort::sort_by_key(&mut edits, |edit| edit.span.start);
        edits
    }
}

/// Whether a byte is JSON's white space.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\t' | b'\r')
}

/// The span of the member whose value is at `value`, from its key on.
fn member(body: &[u8], value: &Range<usize>) -> Option<Range<usize>> {
    let before = body.get(..value.start)?.trim_ascii_end();
    let key = before.strip_suffix(b":")?.trim_ascii_end();
    let inside = key.strip_suffix(b"\"")?;
    // No key that is cut contains a quote, so the quote before it opens it.
    let start = inside.iter().rposition(|byte| *byte == b'"')?;
    Some(start..value.end)
}

/// The spans, in order, extended by the commas that go with them, so that the rest is JSON. Neighbours are merged.
fn without(body: &[u8], spans: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for span in spans {
        let joins = runs.last().is_some_and(|last| {
            let between = body.get(last.end..span.start).unwrap_or_default();
            between.trim_ascii() == b","
        });
        match runs.last_mut() {
            Some(last) if joins || span.start < last.end => last.end = last.end.max(span.end),
            _ => runs.push(span.clone()),
        }
    }
    for run in &mut runs {
        let spaces = |bytes: &[u8]| bytes.iter().take_while(|byte| is_space(**byte)).count();
        let after = body.get(run.end..).unwrap_or_default();
        let behind = run.end + spaces(after);
        if body.get(behind) == Some(&b',') {
            run.end = behind + 1;
            continue;
        }
        let before = body.get(..run.start).unwrap_or_default().trim_ascii_end();
        if before.last() == Some(&b',') {
            run.start = before.len() - 1;
        }
    }
    runs
}

/// The mark of a value that ends with `text`: a hash of its last letters and digits, which no escape changes.
pub fn mark_of(text: &str) -> u64 {
    let bytes = text.bytes().rev();
    let letters = bytes.filter(u8::is_ascii_alphanumeric).take(SUFFIX_LEN);
    mark(letters)
}

/// The mark of letters and digits, given from the last to the first.
fn mark(letters: impl Iterator<Item = u8>) -> u64 {
    fnv::hash64(letters)
}

/// The end of a value that arrives in pieces, as its mark needs it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Suffix {
    letters: [u8; SUFFIX_LEN],
    /// Number of letters so far; modulo [`SUFFIX_LEN`] the place of the next.
    count: usize,
}

impl Default for Suffix {
    fn default() -> Suffix {
        Suffix {
            letters: [0; SUFFIX_LEN],
            count: 0,
        }
    }
}

impl Suffix {
    /// Reads more of the value.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        // Only the end of a long piece counts.
        let letters = bytes.iter().enumerate().rev();
        let letters = letters.filter(|(_, byte)| byte.is_ascii_alphanumeric());
        let first = letters
            .take(SUFFIX_LEN)
            .last()
            .map_or(0, |(index, _)| index);
        let end = bytes.get(first..).unwrap_or_default();
        for byte in end.iter().filter(|byte| byte.is_ascii_alphanumeric()) {
            if let Some(slot) = self.letters.get_mut(self.count % SUFFIX_LEN) {
                *slot = *byte;
            }
            self.count += 1;
        }
    }

    /// The mark of the value so far; `None` if it is empty.
    pub(crate) fn mark(&self) -> Option<u64> {
        let known = self.count.min(SUFFIX_LEN);
        let last = (1..=known).filter_map(|back| {
            let place = (self.count - back) % SUFFIX_LEN;
            self.letters.get(place).copied()
        });
        (self.count > 0).then(|| mark(last))
    }
}

/// A value that may be provider state: read for its mark.
#[derive(Debug, Default)]
pub(super) struct SealedValue {
    pub(super) mark: Option<u64>,
}

impl SealedValue {
    /// Reads the next value; only a string that is not empty is state.
    pub(super) fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<(), ParseError> {
        if cursor.kind()? != Kind::String {
            return cursor.skip_value();
        }
        let text = cursor.string()?;
        if !text.is_empty() {
            self.mark = Some(mark_of(&text));
        }
        Ok(())
    }

    /// Reads the next value, an id or an object with one.
    pub(super) fn read_id(&mut self, cursor: &mut Cursor<'_>) -> Result<(), ParseError> {
        match cursor.kind()? {
            Kind::Object => self.search(cursor, &["id"]),
            _ => self.read(cursor),
        }
    }

    /// Skips the next value and takes the last string under one of `keys` in it, at any depth.
    pub(super) fn search(
        &mut self,
        cursor: &mut Cursor<'_>,
        keys: &[&str],
    ) -> Result<(), ParseError> {
        if let Some((mark, _)) = search(cursor, keys)?.pop() {
            self.mark = Some(mark);
        }
        Ok(())
    }
}

/// Skips the next value; returns mark and span of each string in it under one of `keys`, at any depth, that is not empty.
pub(super) fn search(
    cursor: &mut Cursor<'_>,
    keys: &[&str],
) -> Result<Vec<(u64, Range<usize>)>, ParseError> {
    cursor.peek()?;
    let start = cursor.offset();
    cursor.skip_value()?;
    let span = cursor.since(start);
    let mut found = Vec::new();
    for key in keys {
        // A quote inside a JSON string is escaped, so this is a key, or a string without a colon after it.
        let quoted = ["\"", key, "\""].concat();
        for (at, _) in span.match_indices(&quoted) {
            let mut value = cursor.again_at(start + at + quoted.len());
            if value.colon().is_err() || value.kind()? != Kind::String {
                continue;
            }
            let begin = value.offset();
            let text = value.string()?;
            if !text.is_empty() {
                found.push((mark_of(&text), begin..value.offset()));
            }
        }
    }
    sort::sort_by_key(&mut found, |(_, place)| place.start);
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice)]
mod tests;
