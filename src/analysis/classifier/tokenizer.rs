//! WordPiece, uncased: text → token ids of `models/vocabulary.txt`.
//!
//! This code serves both the filter and the training (`pointsman-lab features`), so both see the same ids. Work is bounded for any
//! input: of a long text only the start and the end are read, and no more than [`TOKENS`] ids leave. It follows BERT's rules on
//! ASCII and Latin text; where BERT keeps a symbol inside a word, or a character that the vocabulary lacks, it may differ.

use super::short_word::{self, ShortWord, table};
use crate::analysis::ascii::{self, Eight};

/// The vocabulary as build.rs lays it out.
mod vocabulary {
    include!(concat!(env!("OUT_DIR"), "/vocabulary.rs"));
}

/// How many token ids the model takes.
pub const TOKENS: usize = 256;

/// How many of them come from the start of a text that does not fit; the rest come from its end, where the request often is.
const HEAD_TOKENS: usize = 160;

/// Bytes of the start of a text that are looked at. 160 tokens are about 700 bytes of English and 2,000 of spaced-out tables.
pub(super) const HEAD_BYTES: usize = 2_048;

/// Bytes of the end of a text that are looked at.
pub(super) const TAIL_BYTES: usize = 1_024;

/// Longest word, in bytes, that is cut into pieces; a longer one (base64, a hash, no spaces at all) is one unknown token.
const WORD_BYTES: usize = 48;

/// Padding: its row of the model's table is zero.
const PAD: u16 = 0;

/// The id of a word that the vocabulary lacks.
const UNKNOWN: u16 = 1;

/// The token ids of one text.
#[derive(Debug, Clone, PartialEq)]
pub struct Tokens {
    /// The ids; those from [`Tokens::len`] on are padding.
    pub ids: [u16; TOKENS],
    /// How many ids are real.
    pub len: usize,
    /// Share of the real ids, 0 to 1, that stand for something that the vocabulary does not have.
    pub unknown: f32,
    /// Pieces per word of what was read; 0 if nothing was. Typos, rare words and other languages raise it.
    pub pieces_per_word: f32,
}

impl Default for Tokens {
    /// The tokens of no text.
    fn default() -> Tokens {
        Tokens {
            ids: [PAD; TOKENS],
            len: 0,
            unknown: 0.0,
            pieces_per_word: 0.0,
        }
    }
}

/// How many of the last ids are kept: a power of two, no less than those that the end of a text gives.
const LAST: usize = 128;

/// The ids that were read, as far as the model may take them: the first and the last ones.
struct Pieces {
    first: [u16; TOKENS],
    /// The id number n is at n modulo [`LAST`].
    last: [u16; LAST],
    len: usize,
    words: usize,
}

impl Pieces {
    /// Appends the pieces of one word.
    fn push(&mut self, pieces: &[u16]) {
        for id in pieces {
            if let Some(place) = self.first.get_mut(self.len) {
                *place = *id;
            }
            if let Some(place) = self.last.get_mut(self.len % LAST) {
                *place = *id;
            }
            self.len += 1;
        }
        self.words += 1;
    }

    /// The ids that the model takes: all, or if they are too many those of the start and the end.
    fn tokens(self) -> Tokens {
        let mut ids = self.first;
        let len = self.len.min(TOKENS);
        if self.len > TOKENS {
            let numbers = self.len - (TOKENS - HEAD_TOKENS)..self.len;
            for (place, number) in ids.iter_mut().skip(HEAD_TOKENS).zip(numbers) {
                *place = self.last.get(number % LAST).copied().unwrap_or(UNKNOWN);
            }
        }
        let unknown = ids.iter().filter(|id| **id == UNKNOWN).count();
        Tokens {
            ids,
            len,
            unknown: unknown as f32 / len.max(1) as f32,
            pieces_per_word: self.len as f32 / self.words.max(1) as f32,
        }
    }
}

/// The vocabulary, ready for look-ups: it is part of the module, so nothing has to be made of it.
#[derive(Default)]
pub struct Tokenizer;

impl Tokenizer {
    /// The tokenizer of the embedded vocabulary.
    pub fn new() -> Tokenizer {
        Tokenizer
    }

    /// The id of the entry `word`, which starts a word or continues one. That 32 bits of the hash are alike for another text, which is then
    /// taken for the entry, happens once in four billion look-ups.
    fn find(&self, word: ShortWord, continues: bool) -> Option<u16> {
        let hash = word.hash(table::seed(continues));
        let bucket = table::bucket(hash) * 2;
        let factor = vocabulary::FACTORS.get(bucket..)?.first_chunk()?;
        let slot = table::slot(hash, u16::from_le_bytes(*factor), vocabulary::SLOTS);
        let slot = vocabulary::SLOT_TABLE
            .get(slot * table::SLOT_BYTES..)?
            .first_chunk()?;
        let slot = u64::from_le_bytes(*slot);
        (slot as u32 == table::fingerprint(hash)).then_some((slot >> 32) as u16)
    }

    /// The token ids of `text`. Linear in the bytes looked at, which are at most 3 kB however long the text is.
    pub fn tokenize(&self, text: &str) -> Tokens {
        let mut pieces = Pieces {
            first: [PAD; TOKENS],
            last: [PAD; LAST],
            len: 0,
            words: 0,
        };
        let (head, tail) = excerpt(text, HEAD_BYTES, TAIL_BYTES);
        self.read(head, &mut pieces);
        self.read(tail, &mut pieces);
        pieces.tokens()
    }

    fn read(&self, text: &str, pieces: &mut Pieces) {
        let bytes = text.as_bytes();
        let mut word = Word::default();
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if *byte == b' ' {
                self.end(&mut word, pieces);
                at += 1;
            } else if byte.is_ascii_alphanumeric() {
                at += self.run(bytes, at, &mut word, pieces);
            } else if byte.is_ascii_graphic() {
                self.end(&mut word, pieces);
                let mark = ShortWord([u64::from(*byte), 0, 0]);
                pieces.push(&[self.find(mark, false).unwrap_or(UNKNOWN)]);
                at += 1;
            } else {
                let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) else {
                    break;
                };
                at += c.len_utf8();
                match class(c) {
                    Class::Letter => word.push(c),
                    Class::Mark => {}
                    Class::Space => self.end(&mut word, pieces),
                    Class::Alone => {
                        self.end(&mut word, pieces);
                        word.push(c);
                        self.end(&mut word, pieces);
                    }
                }
            }
        }
        self.end(&mut word, pieces);
    }

    /// Takes the ASCII letters and digits from `at` on, at most 16, and gives their number. Most words are such a run alone and
    /// an entry: they are looked up as they are, without a copy.
    fn run(&self, bytes: &[u8], at: usize, word: &mut Word, pieces: &mut Pieces) -> usize {
        let (first, first_len) = lower_run(Eight::new(bytes, at));
        let (second, second_len) = match first_len {
            8 => lower_run(Eight::new(bytes, at + 8)),
            _ => (0, 0),
        };
        let len = first_len + second_len;
        let short = ShortWord([first, second, 0]);
        let behind = bytes.get(at + len).copied().unwrap_or(b' ');
        let ends = matches!(behind, b' '..=b'~' | b'\n') && !behind.is_ascii_alphanumeric();
        if ends && word.is_empty() {
            match self.find(short, false) {
                Some(id) => pieces.push(&[id]),
                None => {
                    word.push_run(short, len);
                    self.cut(word, pieces);
                    word.clear();
                }
            }
        } else {
            word.push_run(short, len);
        }
        len
    }

    /// Ends the word at hand.
    fn end(&self, word: &mut Word, pieces: &mut Pieces) {
        if !word.is_empty() {
            self.end_word(word, pieces);
        }
    }

    fn end_word(&self, word: &mut Word, pieces: &mut Pieces) {
        if word.overlong {
            pieces.push(&[UNKNOWN]);
        } else {
            // The entry that is the whole word, which most words have.
            let is_short = word.len <= vocabulary::WORD_ENTRY_BYTES;
            match self.find(word.short_from(0), false).filter(|_| is_short) {
                Some(id) => pieces.push(&[id]),
                None => self.cut(word, pieces),
            }
        }
        word.clear();
    }

    /// Cuts a word into the longest pieces from left to right; one unknown token if some part has no piece.
    fn cut(&self, word: &Word, pieces: &mut Pieces) {
        let mut ids = [UNKNOWN; WORD_BYTES];
        let (mut at, mut count) = (0, 0);
        while at < word.len {
            let Some((id, taken)) = self.longest(word, at) else {
                return pieces.push(&[UNKNOWN]);
            };
            if let Some(place) = ids.get_mut(count) {
                *place = id;
            }
            count += 1;
            at += taken;
        }
        pieces.push(ids.get(..count).unwrap_or(&[]));
    }

    /// The longest entry that the rest of `word` from `at` on starts with, and its length in bytes.
    fn longest(&self, word: &Word, at: usize) -> Option<(u16, usize)> {
        let continues = at > 0;
        let most = match continues {
            true => vocabulary::PIECE_ENTRY_BYTES,
            false => vocabulary::WORD_ENTRY_BYTES,
        };
        let rest = word.short_from(at);
        // The whole word was looked up before.
        let left = if continues {
            word.len - at
        } else {
            word.len - 1
        };
        (1..=most.min(left)).rev().find_map(|taken| {
            let id = self.find(rest.prefix(taken), continues)?;
            Some((id, taken))
        })
    }
}

/// The ASCII letters and digits that eight bytes start with, in lower case, with zeros behind them, and their number.
fn lower_run(eight: Eight) -> (u64, usize) {
    let letters = eight.letters();
    let (len, own) = ascii::run(letters | eight.digits());
    (eight.lower(letters) & own, len)
}

/// Room behind a word, so that its last bytes are read as those of a longer one are.
const ROOM: usize = WORD_BYTES + short_word::MOST_BYTES;

/// The word being read, lower-cased and without accents.
struct Word {
    /// Zeros behind the word.
    buffer: [u8; ROOM],
    len: usize,
    overlong: bool,
}

impl Default for Word {
    fn default() -> Word {
        Word {
            buffer: [0; ROOM],
            len: 0,
            overlong: false,
        }
    }
}

impl Word {
    fn is_empty(&self) -> bool {
        self.len == 0 && !self.overlong
    }

    fn clear(&mut self) {
        if let Some(used) = self.buffer.get_mut(..self.len) {
            used.fill(0);
        }
        self.len = 0;
        self.overlong = false;
    }

    /// The bytes from `at` on, as far as an entry may reach.
    fn short_from(&self, at: usize) -> ShortWord {
        let eight = |at: usize| {
            let bytes = self.buffer.get(at..).and_then(|rest| rest.first_chunk());
            bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
        };
        ShortWord([eight(at), eight(at + 8), eight(at + 16)])
    }

    fn push(&mut self, c: char) {
        let mut utf8 = [0; 4];
        for c in fold(c).to_lowercase() {
            let bytes = fold(c).encode_utf8(&mut utf8).as_bytes();
            self.push_run(ShortWord::new(bytes), bytes.len());
        }
    }

    /// Appends the first `len` bytes of a run; an ASCII letter in it is in lower case.
    fn push_run(&mut self, run: ShortWord, len: usize) {
        if self.len + len > WORD_BYTES || self.overlong {
            self.overlong = true;
            return;
        }
        let rooms = self.buffer.iter_mut().skip(self.len).take(len);
        let [first, second, third] = run.0.map(u64::to_le_bytes);
        for (place, byte) in rooms.zip(first.into_iter().chain(second).chain(third)) {
            *place = byte;
        }
        self.len += len;
    }
}

/// The effect of a character on the word at hand.
enum Class {
    /// Belongs to it.
    Letter,
    /// Ends it and is nothing itself.
    Space,
    /// Ends it and is a token of its own.
    Alone,
    /// Is dropped: accents that stand on their own, controls.
    Mark,
}

fn class(c: char) -> Class {
    if c.is_ascii() {
        return if c.is_ascii_alphanumeric() {
            Class::Letter
        } else if c.is_ascii_whitespace() {
            Class::Space
        } else if c.is_ascii_control() {
            Class::Mark
        } else {
            Class::Alone
        };
    }
    match c {
        '\u{300}'..='\u{36f}' | '\u{fe00}'..='\u{fe0f}' | '\u{200b}'..='\u{200f}' | '\u{fffd}' => {
            Class::Mark
        }
        // CJK is written without spaces: every character is a word.
        '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' => Class::Alone,
        _ if c.is_alphanumeric() => Class::Letter,
        _ if c.is_whitespace() => Class::Space,
        // Vowel signs of Indic and other scripts are no letters to `is_alphanumeric` but belong to words.
        '\u{900}'..='\u{1cff}' => Class::Letter,
        _ => Class::Alone,
    }
}

/// The letters of U+00C0 to U+017F without their accents; letters that are no accented ones stand for themselves.
const FOLDED: &str = "aaaaaaæceeeeiiiiðnooooo×øuuuuyþßaaaaaaæceeeeiiiiðnooooo÷øuuuuyþy\
aaaaaaccccccccddđđeeeeeeeeeegggggggghhħħiiiiiiiiiıĳĳjjkkĸllllllŀŀłłnnnnnnŉŋŋooooooœœrrrrrrssssssssttttŧŧuuuuuuuuuuuuwwyyyzzzzzzſ";

/// A Latin letter without its accent, lower-cased as a side effect; any other character as it is.
fn fold(c: char) -> char {
    match c {
        '\u{c0}'..='\u{17f}' => FOLDED.chars().nth(c as usize - 0xc0).unwrap_or(c),
        _ => c,
    }
}

/// The first and the last bytes of `text`, cut at character boundaries; all of a text that is no longer than both.
pub(super) fn excerpt(text: &str, head_bytes: usize, tail_bytes: usize) -> (&str, &str) {
    if text.len() <= head_bytes + tail_bytes {
        return (text, "");
    }
    let first = text.floor_char_boundary(head_bytes);
    let last = text.ceil_char_boundary(text.len() - tail_bytes);
    (
        text.get(..first).unwrap_or(""),
        text.get(last..).unwrap_or(""),
    )
}

#[cfg(test)]
mod tests;
