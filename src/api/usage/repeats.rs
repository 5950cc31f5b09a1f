//! Events that repeat: nearly all events of a stream differ from the one before only in a piece of text. Such an event is not
//! read again: the bytes around its text are compared, and the text alone is read.
//!
//! An event is known if it was read as a whole with the bytes of the event before it, and reading its text alone would have led to
//! the same values: then the bytes around the text change nothing, and go on changing nothing while events with them follow.
//! Whatever else comes ends that. So nothing here knows what keys mean, and results are those of the reader.

use std::ops::Range;

use super::parsed::{EventFlags, ParsedAnswer};
use super::scan::{Scan, Texts};
use crate::api::json::plain_end;

/// A longer event is read whenever it comes.
const MAX_BYTES: usize = 2048;
/// After so many events in a row that are unlike the one before, no more of them are kept: each costs a copy.
const MAX_MISSES: u8 = 24;

/// The last event of a stream, as far as the next may repeat it.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    /// Its bytes up to its end; empty if it is none that can be repeated.
    event: Vec<u8>,
    /// Its values that may be others in the next, by offsets in `event`.
    texts: Texts,
    flags: EventFlags,
    /// The reader in front of the text; `None` if it is not known what the event changes.
    reader: Option<Scan>,
    misses: u8,
}

/// How an event compares with the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It is another, or not all of it is there.
    No,
    /// It repeats the one before, and has to be read once more.
    Unknown,
    /// It was taken. Holds its end, and whether it is one of usage.
    Taken(usize, bool),
}

impl Repeats {
    /// Compares the event that begins `bytes` with the one before, and takes it if that is known.
    pub(super) fn take(&mut self, bytes: &[u8], parsed: &mut ParsedAnswer) -> Repeat {
        if self.event.is_empty() {
            return Repeat::No;
        }
        let Some((text, end)) = self.find(bytes) else {
            return Repeat::No;
        };
        let Some(reader) = &self.reader else {
            return Repeat::Unknown;
        };
        // Whether an event has content shows by its text, so that without any it has to be read.
        let quoted = bytes.get(text.start.saturating_sub(1)..text.end + 1);
        let Some(quoted) = quoted.filter(|_| !text.is_empty()) else {
            return Repeat::No;
        };
        read_text(reader, quoted, self.flags, parsed);
        Repeat::Taken(end, parsed.end_event())
    }

    /// The text and the end of the event that begins `bytes`, if all of it is there and the rest is as in the one before.
    fn find(&self, bytes: &[u8]) -> Option<(Range<usize>, usize)> {
        let Texts {
            number,
            text,
            padding,
        } = &self.texts;
        let at = self.skip(bytes, 0, 0..number.start)?;
        let at = match number.is_empty() {
            true => at,
            false => end_of_number(bytes, at)?,
        };
        let start = self.skip(bytes, at, number.end..text.start)?;
        let end = end_of_string(bytes, start)?;
        let (at, rest) = match padding.is_empty() {
            true => (end, text.end),
            false => {
                let at = self.skip(bytes, end, text.end..padding.start)?;
                (end_of_string(bytes, at)?, padding.end)
            }
        };
        let at = self.skip(bytes, at, rest..self.event.len())?;
        Some((start..end, at))
    }

    /// The offset in `bytes` behind the bytes that begin at `at`, if they are `part` of the last event.
    fn skip(&self, bytes: &[u8], at: usize, part: Range<usize>) -> Option<usize> {
        let part = self.event.get(part)?;
        let rest = bytes.get(at..)?;
        begins_with(rest, part).then_some(at + part.len())
    }

    /// Keeps an event that was read: `texts` are values by their offsets in its data, and `before` the values before it, if it
    /// repeats the last one.
    pub(super) fn keep(
        &mut self,
        event: &[u8],
        texts: &Texts,
        before: Option<ParsedAnswer>,
        parsed: &ParsedAnswer,
    ) {
        let verified = before.and_then(|before| self.verify(event, before, parsed));
        if verified.is_some() {
            self.misses = 0;
            self.reader = verified;
            return;
        }
        self.forget();
        if self.misses >= MAX_MISSES || event.len() > MAX_BYTES || texts.text.is_empty() {
            return;
        }
        self.misses += 1;
        let Some(start) = data_start(event) else {
            return;
        };
        let shift = |range: &Range<usize>| match range.is_empty() {
            true => 0..0,
            false => range.start + start..range.end + start,
        };
        self.texts = Texts {
            number: shift(&texts.number),
            text: shift(&texts.text),
            padding: shift(&texts.padding),
        };
        self.flags = parsed.flags();
        self.event.extend_from_slice(event);
    }

    /// Whether an event like the last one would be taken.
    #[cfg(test)]
    pub(super) fn is_known(&self) -> bool {
        self.reader.is_some()
    }

    /// Drops the last event, after one that was not kept.
    pub(super) fn forget(&mut self) {
        self.event.clear();
        self.reader = None;
    }

    /// The reader in front of the text, if reading the text of `event` alone turns the values before it into those behind it.
    fn verify(
        &self,
        event: &[u8],
        mut before: ParsedAnswer,
        parsed: &ParsedAnswer,
    ) -> Option<Scan> {
        let (text, _) = self.find(event)?;
        let quote = text.start.checked_sub(1)?;
        let data = data_start(event)?;
        let mut reader = Scan::default();
        reader.feed(event.get(data..quote)?, &mut before.clone());
        let quoted = event.get(quote..text.end + 1)?;
        if text.is_empty() {
            return None;
        }
        read_text(&reader, quoted, self.flags, &mut before);
        (before == *parsed).then_some(reader)
    }
}

/// Whether `bytes` begin with `part`. By sixteen bytes: WebAssembly's `memcmp`, which `starts_with` calls, takes one at a time.
fn begins_with(bytes: &[u8], part: &[u8]) -> bool {
    let Some(own) = bytes.get(..part.len()) else {
        return false;
    };
    let ((own, own_rest), (part, rest)) = (own.as_chunks::<16>(), part.as_chunks::<16>());
    own.iter().zip(part).all(|(own, other)| own == other) && own_rest == rest
}

/// Reads a text with its quotes, in an event with these flags.
fn read_text(reader: &Scan, quoted: &[u8], flags: EventFlags, parsed: &mut ParsedAnswer) {
    let mut reader = reader.clone();
    reader.feed(quoted, parsed);
    parsed.set_flags(flags);
}

/// Offset of the quote that ends the string whose text begins at `at`; `None` if it is not there, or if the string is no JSON.
fn end_of_string(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at = plain_end(bytes, at);
        match bytes.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => return None,
        }
    }
}

/// Offset behind the digits that begin at `at`; `None` if there are none.
fn end_of_number(bytes: &[u8], at: usize) -> Option<usize> {
    let digits = bytes.get(at..)?.iter();
    let count = digits.take_while(|byte| byte.is_ascii_digit()).count();
    (count > 0).then_some(at + count)
}

/// Offset of the data of an event that has them in one line.
fn data_start(event: &[u8]) -> Option<usize> {
    let mut found = None;
    let mut at = 0;
    for line in event.split(|byte| matches!(byte, b'\n' | b'\r')) {
        if let Some(data) = line.strip_prefix(b"data:") {
            if found.is_some() {
                return None;
            }
            found = Some(at + 5 + usize::from(data.first() == Some(&b' ')));
        }
        at += line.len() + 1;
    }
    found
}
