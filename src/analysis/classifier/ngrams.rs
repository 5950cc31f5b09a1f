//! Hashed n-grams: words, pairs of words and pieces of words that the vocabulary of the tokenizer does not hold.
//!
//! A hash picks a row of the model's n-gram table, so no list of n-grams ships. Words and pairs of words tell the task and the
//! domain; pieces of four letters carry what words share across spellings, inflections and languages. The same code serves the
//! filter and training (`pointsman-lab features`). Work is bounded for any input: an excerpt is read, and each list has a fixed size.

use super::tokenizer;
use crate::analysis::prompt::Turn;
use crate::fnv;

/// Bytes of the start and of the end of a text that are read; of a shorter text everything is.
const HEAD_BYTES: usize = 768;
const TAIL_BYTES: usize = 512;

/// Bytes that are read of each earlier text: its start and its end.
const CONTEXT_HEAD_BYTES: usize = 384;
const CONTEXT_TAIL_BYTES: usize = 128;

/// Rows of the n-gram table that one run of the model takes.
pub use super::onnx::NGRAMS;

/// Most hashes of words, marks and pairs of one list.
pub const WORDS: usize = 640;

/// Most hashes of letter n-grams of one text.
pub const LETTERS: usize = 1_024;

/// Longest word in characters; the rest of a longer one is another word, as scripts without spaces need.
const WORD_CHARS: usize = 24;

/// Characters of a letter n-gram.
const LETTER_GRAM: usize = 4;

/// Stand before and after a word, so that its first and last letters count as such.
const START: u16 = 0x2;
const END: u16 = 0x3;

/// A list of hashes of a fixed size; what does not fit is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashes<const N: usize> {
    values: [u32; N],
    len: usize,
}

impl<const N: usize> Default for Hashes<N> {
    fn default() -> Hashes<N> {
        Hashes {
            values: [0; N],
            len: 0,
        }
    }
}

impl<const N: usize> Hashes<N> {
    fn push(&mut self, hash: u32) {
        if let Some(place) = self.values.get_mut(self.len) {
            *place = hash;
            self.len += 1;
        }
    }

    /// The hashes, in the order of the text.
    pub fn as_slice(&self) -> &[u32] {
        self.values.get(..self.len).unwrap_or(&[])
    }
}

/// The n-grams of one turn.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ngrams {
    /// Words, punctuation marks, and pairs of neighbouring words of the turn.
    pub words: Hashes<WORDS>,
    /// Four letters in a row of each word of the turn, its start and end included.
    pub letters: Hashes<LETTERS>,
    /// Words, marks and pairs of what came before the turn.
    pub context: Hashes<WORDS>,
}

impl Ngrams {
    /// The n-grams of `turn` and of its context.
    pub fn extract(turn: &Turn<'_>) -> Ngrams {
        let mut ngrams = Ngrams::default();
        let (head, tail) = tokenizer::excerpt(&turn.text, HEAD_BYTES, TAIL_BYTES);
        let mut reader = Reader::new(&mut ngrams.words, Some(&mut ngrams.letters));
        reader.read(head);
        reader.read(tail);
        for text in turn.context.texts() {
            let (head, tail) = tokenizer::excerpt(text, CONTEXT_HEAD_BYTES, CONTEXT_TAIL_BYTES);
            let mut reader = Reader::new(&mut ngrams.context, None);
            reader.read(head);
            reader.read(tail);
        }
        ngrams
    }
}

/// Reads text and collects n-grams.
struct Reader<'a> {
    /// The word so far: [`START`], then its characters.
    word: [u16; WORD_CHARS + 2],
    len: usize,
    /// Hash of the word before.
    previous: u32,
    words: &'a mut Hashes<WORDS>,
    letters: Option<&'a mut Hashes<LETTERS>>,
}

impl<'a> Reader<'a> {
    fn new(words: &'a mut Hashes<WORDS>, letters: Option<&'a mut Hashes<LETTERS>>) -> Reader<'a> {
        Reader {
            word: [START; WORD_CHARS + 2],
            len: 1,
            previous: SENTENCE_START,
            words,
            letters,
        }
    }

    fn read(&mut self, text: &str) {
        for c in text.chars() {
            if c.is_ascii_alphanumeric() {
                self.push(u16::from(c.to_ascii_lowercase() as u8));
            } else if c.is_ascii() {
                self.end_word();
                if c.is_ascii_punctuation() {
                    self.mark(c);
                }
            } else if is_ideograph(c) {
                self.end_word();
                self.push(code(c));
                self.end_word();
            } else if c.is_alphanumeric() || is_combining(c) {
                for lower in c.to_lowercase() {
                    self.push(code(lower));
                }
            } else {
                self.end_word();
                if !c.is_whitespace() {
                    self.mark(c);
                }
            }
        }
        self.end_word();
    }

    fn push(&mut self, code: u16) {
        if self.len > WORD_CHARS {
            self.end_word();
        }
        if let Some(place) = self.word.get_mut(self.len) {
            *place = code;
            self.len += 1;
        }
    }

    /// Adds a punctuation mark; the end of a sentence separates the words around it.
    fn mark(&mut self, c: char) {
        self.words.push(finish(step(MARK_SEED, code(c))));
        if matches!(c, '.' | '?' | '!' | ':') {
            self.previous = SENTENCE_START;
        }
    }

    fn end_word(&mut self) {
        if self.len == 1 {
            return;
        }
        if let Some(place) = self.word.get_mut(self.len) {
            *place = END;
        }
        let word = self.word.get(..=self.len).unwrap_or(&[]);
        let hash = word.iter().fold(WORD_SEED, |hash, code| step(hash, *code));
        self.words.push(finish(hash));
        self.words
            .push(finish(self.previous.rotate_left(11) ^ hash));
        if let Some(letters) = &mut self.letters {
            for window in word.windows(LETTER_GRAM) {
                let packed = window
                    .iter()
                    .fold(0_u64, |packed, code| (packed << 16) | u64::from(*code));
                letters.push((packed.wrapping_mul(LETTER_FACTOR) >> 32) as u32);
            }
        }
        self.previous = hash;
        self.len = 1;
    }
}

const WORD_SEED: u32 = fnv::START32;
const MARK_SEED: u32 = 0x9e37_79b9;
/// Takes the place of the word before the first word of a sentence.
const SENTENCE_START: u32 = 0x5851_f42d;
const LETTER_FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

fn step(hash: u32, code: u16) -> u32 {
    fnv::step32(hash, u32::from(code))
}

/// Mixes the upper bits, which pick the row.
fn finish(hash: u32) -> u32 {
    (hash ^ (hash >> 15)).wrapping_mul(0x85eb_ca6b)
}

/// A character in 16 bits; characters beyond them share codes.
fn code(c: char) -> u16 {
    let c = u32::from(c);
    (c ^ (c >> 16)) as u16
}

/// Scripts in which a character is about a word.
fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}')
}

/// Vowel signs of Indic and South-East Asian scripts, which belong to words.
fn is_combining(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{900}'..='\u{1cff}')
}

/// Upper bits of a hash that pick a bucket of [`INDEX`].
const BUCKET_BITS: u32 = 17;

/// Bucket → row of the n-gram table, as little-endian `u16`; 0 stands for n-grams that training found useless or never met.
static INDEX: &[u8] = include_bytes!("../../../models/ngrams.bin");

/// Most rows that one turn asks for, by list; together as many as the model takes.
const MOST: [usize; 3] = [384, 640, 192];

/// Rows of the n-gram table, each with its weight.
///
/// A row counts once however often its n-gram occurs. The weights of one list are such that its rows have length 1 together:
/// neither a long text nor repetition shouts a short one down.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    ids: [u16; NGRAMS],
    weights: [f32; NGRAMS],
    len: usize,
}

impl Rows {
    /// The rows that `ngrams` pick.
    pub fn new(ngrams: &Ngrams) -> Rows {
        let mut rows = Rows {
            ids: [0; NGRAMS],
            weights: [0.0; NGRAMS],
            len: 0,
        };
        let lists = [
            ngrams.words.as_slice(),
            ngrams.letters.as_slice(),
            ngrams.context.as_slice(),
        ];
        for ((list, salt), most) in lists.iter().zip(SALTS).zip(MOST) {
            rows.add(list, salt, most);
        }
        rows
    }

    fn add(&mut self, hashes: &[u32], salt: u32, most: usize) {
        if hashes.is_empty() {
            return;
        }
        let mut seen = [0_u64; 1 << 10];
        let first = self.len;
        for hash in hashes {
            let id = row(hash.wrapping_mul(salt));
            let Some(bits) = seen.get_mut(usize::from(id >> 6)) else {
                continue;
            };
            let bit = 1 << (id & 63);
            if id == 0 || *bits & bit != 0 {
                continue;
            }
            if self.len - first == most {
                break;
            }
            *bits |= bit;
            if let Some(place) = self.ids.get_mut(self.len) {
                *place = id;
                self.len += 1;
            }
        }
        let weight = 1.0 / ((self.len - first).max(1) as f32).sqrt();
        if let Some(weights) = self.weights.get_mut(first..self.len) {
            weights.fill(weight);
        }
    }

    /// Row numbers and their weights, equally many.
    pub fn as_slices(&self) -> (&[u16], &[f32]) {
        let ids = self.ids.get(..self.len).unwrap_or(&[]);
        (ids, self.weights.get(..self.len).unwrap_or(&[]))
    }
}

/// Odd factors that keep the lists apart in [`INDEX`].
const SALTS: [u32; 3] = [1, 0x9e37_79b1, 0x85eb_ca77];

fn row(hash: u32) -> u16 {
    let at = (hash >> (32 - BUCKET_BITS)) as usize * 2;
    let bytes = INDEX.get(at..at + 2).and_then(|bytes| bytes.first_chunk());
    bytes.map_or(0, |bytes| u16::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests;
