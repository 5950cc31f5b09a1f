//! Server-sent events: splits bytes, cut anywhere, into lines and passes their data on as it arrives.
//!
//! By the HTML standard: lines end with LF, CR or CRLF, `data:` may be followed by one space, an event's data lines belong
//! together, an empty line ends the event, and other fields are skipped. A comment line outside an event counts as an event of its
//! own, because nothing that follows can change it.

use super::EventEnd;
use super::parsed::ParsedAnswer;
use super::repeats::{Repeat, Repeats};
use super::scan::Scan;

const DATA: &[u8] = b"data:";
const MARK: &[u8] = "\u{feff}".as_bytes();

/// Position in a stream of events.
#[derive(Debug, Default)]
pub(super) struct Events {
    pub(super) repeats: Repeats,
    place: Place,
    after_cr: bool,
    /// Whether an event has begun and not ended.
    is_open: bool,
    /// Number of bytes of a byte order mark read so far; 3 after it.
    mark: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the field's name; so many bytes of it match `data:`.
    Field(usize),
    /// Before an optional space.
    BeforeData,
    /// In the data of the line.
    Data,
    /// In a line of another field.
    Other,
    /// In a comment.
    Comment,
}

impl Default for Place {
    fn default() -> Place {
        Place::Field(0)
    }
}

impl Events {
    /// Reads the next bytes: data go to `scan`, and `ended` is called for each event that ends.
    pub(super) fn feed(
        &mut self,
        chunk: &[u8],
        scan: &mut Scan,
        parsed: &mut ParsedAnswer,
        ended: &mut dyn FnMut(EventEnd),
    ) {
        let mut at = 0;
        // Where the present event begins, if it does in these bytes; and the values before it, if it repeats the last one.
        let mut begin = None;
        let mut before = None;
        while let Some(byte) = chunk.get(at).copied() {
            let was_cr = std::mem::take(&mut self.after_cr);
            if byte == b'\n' && was_cr {
                at += 1;
                continue;
            }
            if self.is_at_start(byte) {
                let rest = chunk.get(at..).unwrap_or_default();
                let repeat = self.repeats.take(rest, parsed);
                if let Repeat::Taken(length, is_usage) = repeat {
                    at += length;
                    self.after_cr = chunk.get(at - 1) == Some(&b'\r');
                    ended(EventEnd { at, is_usage });
                    continue;
                }
                before = (repeat == Repeat::Unknown).then(|| parsed.clone());
                begin = Some(at);
            }
            if matches!(byte, b'\n' | b'\r') {
                at += 1;
                self.after_cr = byte == b'\r';
                if self.end_line(scan, parsed) {
                    let event = begin.take().and_then(|begin: usize| chunk.get(begin..at));
                    match event {
                        Some(event) => {
                            self.repeats
                                .keep(event, scan.texts(), before.take(), parsed);
                        }
                        None => self.repeats.forget(),
                    }
                    let is_usage = parsed.end_event();
                    ended(EventEnd { at, is_usage });
                    *scan = Scan::default();
                }
                continue;
            }
            at += self.in_line(byte, chunk.get(at..).unwrap_or_default(), scan, parsed);
        }
    }

    /// Ends a line; returns whether that ends an event.
    fn end_line(&mut self, scan: &mut Scan, parsed: &mut ParsedAnswer) -> bool {
        let is_empty = self.place == Place::Field(0);
        let is_comment = self.is_comment();
        if matches!(self.place, Place::Data | Place::BeforeData) {
            scan.feed(b"\n", parsed);
        }
        self.place = Place::Field(0);
        self.is_open &= !is_empty;
        is_empty || is_comment
    }

    /// Whether `byte`, the next one, begins an event or is an empty line between events, and no part of a byte order mark.
    fn is_at_start(&self, byte: u8) -> bool {
        let is_mark = match self.mark {
            0 => MARK.first() == Some(&byte),
            read => read < MARK.len(),
        };
        self.place == Place::Field(0) && !self.is_open && !is_mark
    }

    /// Whether the next byte begins an event.
    pub(super) fn is_between(&self) -> bool {
        !self.is_open && !self.is_comment()
    }

    /// Whether the next byte is in a comment outside an event.
    pub(super) fn is_comment(&self) -> bool {
        self.place == Place::Comment && !self.is_open
    }

    /// Reads bytes of a line, of which `byte` is the first; returns their number.
    fn in_line(
        &mut self,
        byte: u8,
        rest: &[u8],
        scan: &mut Scan,
        parsed: &mut ParsedAnswer,
    ) -> usize {
        if self.mark < MARK.len() {
            if self.place == Place::Field(0) && MARK.get(self.mark) == Some(&byte) {
                self.mark += 1;
                return 1;
            }
            self.mark = MARK.len();
        }
        if self.place == Place::Field(0) && byte == b':' {
            self.place = Place::Comment;
        }
        self.is_open |= self.place != Place::Comment;
        match self.place {
            Place::Field(0) if rest.starts_with(DATA) => {
                self.place = Place::BeforeData;
                DATA.len()
            }
            Place::Field(known) if DATA.get(known) == Some(&byte) => {
                self.place = match known + 1 {
                    all if all == DATA.len() => Place::BeforeData,
                    some => Place::Field(some),
                };
                1
            }
            Place::BeforeData if byte == b' ' => {
                self.place = Place::Data;
                1
            }
            Place::BeforeData | Place::Data => {
                self.place = Place::Data;
                let line = line_length(rest);
                scan.feed(rest.get(..line).unwrap_or_default(), parsed);
                line
            }
            Place::Comment => line_length(rest),
            Place::Field(_) | Place::Other => {
                self.place = Place::Other;
                line_length(rest)
            }
        }
    }
}

/// Number of bytes before the end of the line. Blocks of sixteen become SIMD.
fn line_length(bytes: &[u8]) -> usize {
    let ends = |byte: &u8| matches!(byte, b'\n' | b'\r');
    let (blocks, _) = bytes.as_chunks::<16>();
    let plain = blocks
        .iter()
        .take_while(|block| !block.iter().fold(false, |found, byte| found | ends(byte)))
        .count()
        * 16;
    let rest = bytes.get(plain..).unwrap_or_default();
    plain + rest.iter().position(ends).unwrap_or(rest.len())
}
