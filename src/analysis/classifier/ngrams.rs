//! Hashed n-grams: words, pairs of words and pieces of words that the vocabulary of the tokenizer does not hold.
//!
//! A hash picks a row of the model's n-gram table, so no list of n-grams ships. Words and pairs of words tell the task and the
//! domain; pieces of four letters carry what words share across spellings, inflections and languages. The same code serves the
//! filter and training (`pointsman-lab features`). Work is bounded for any input: an excerpt is read, and each list has a fixed size.

use super::tokenizer;
use crate::analysis::ascii::{self, Eight};
use crate::analysis::prompt::Turn;
use crate::fnv;

/// Bytes of the start and of the end of a text that are read; of a shorter text everything is.
const HEAD_BYTES: usize = 768;
const TAIL_BYTES: usize = 512;

/// Bytes that are read of each earlier text: its start and its end.
const CONTEXT_HEAD_BYTES: usize = 384;
const CONTEXT_TAIL_BYTES: usize = 128;

use super::onnx::NGRAM_ROWS;
/// Rows of the n-gram table that one run of the model takes.
pub use super::onnx::NGRAMS;

/// Most hashes of words, marks and pairs of one list.
pub const WORDS: usize = 640;

/// Most hashes of letter n-grams of one text.
pub const LETTERS: usize = 1_024;

/// Longest word in characters; the rest of a longer one is another word, as scripts without spaces need.
const WORD_CHARS: usize = 24;

/// Characters of a letter n-gram, of 16 bits each.
const LETTER_GRAM: usize = 4;

/// Stand before and after a word, so that its first and last letters count as such.
const START: u16 = 0x2;
const END: u16 = 0x3;

/// A list of hashes of a fixed size; what does not fit is dropped.
#[derive(Debug, Clone)]
pub struct Hashes<const N: usize> {
    /// As many as there can be, so that a list that is filled again needs no other memory.
    values: Box<[u32]>,
    len: usize,
}

impl<const N: usize> Default for Hashes<N> {
    fn default() -> Hashes<N> {
        Hashes {
            values: vec![0; N].into(),
            len: 0,
        }
    }
}

impl<const N: usize> PartialEq for Hashes<N> {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl<const N: usize> Eq for Hashes<N> {}

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
        ngrams.fill(turn);
        ngrams
    }

    /// The n-grams of `turn` and of its context, in the place of those that were there.
    pub fn fill(&mut self, turn: &Turn<'_>) {
        (self.words.len, self.letters.len, self.context.len) = (0, 0, 0);
        let (head, tail) = tokenizer::excerpt(&turn.text, HEAD_BYTES, TAIL_BYTES);
        let mut reader = Reader::new(&mut self.words, Some(&mut self.letters));
        reader.read(head);
        reader.read(tail);
        for text in turn.context.texts() {
            let (head, tail) = tokenizer::excerpt(text, CONTEXT_HEAD_BYTES, CONTEXT_TAIL_BYTES);
            let mut reader = Reader::new(&mut self.context, None);
            reader.read(head);
            reader.read(tail);
        }
    }
}

/// Reads text and collects n-grams.
struct Reader<'a> {
    word: Word,
    /// Hash of the word before.
    previous: u32,
    words: &'a mut Hashes<WORDS>,
    letters: Option<&'a mut Hashes<LETTERS>>,
}

impl<'a> Reader<'a> {
    fn new(words: &'a mut Hashes<WORDS>, letters: Option<&'a mut Hashes<LETTERS>>) -> Reader<'a> {
        Reader {
            word: Word::START,
            previous: SENTENCE_START,
            words,
            letters,
        }
    }

    fn read(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if byte.is_ascii_alphanumeric() {
                at += self.run(bytes, at);
            } else if byte.is_ascii() {
                self.end_word();
                if byte.is_ascii_punctuation() {
                    self.mark(char::from(*byte));
                }
                at += 1;
            } else {
                let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) else {
                    break;
                };
                self.other(c);
                at += c.len_utf8();
            }
        }
        self.end_word();
    }

    /// Takes the ASCII letters and digits from `at` on, at most eight; their number.
    fn run(&mut self, bytes: &[u8], at: usize) -> usize {
        let eight = Eight::new(bytes, at);
        let letters = eight.letters();
        let (count, _) = ascii::run(letters | eight.digits());
        let count = count.min(WORD_CHARS + 1 - self.word.len);
        let mut lower = eight.lower(letters);
        // Apart from `self`, so that they stay in registers.
        let mut word = self.word;
        let (grams, mut len) = match &mut self.letters {
            Some(letters) => (&mut *letters.values, letters.len),
            None => (&mut [][..], 0),
        };
        for _ in 0..count {
            word.push((lower & 0xff) as u16);
            lower >>= 8;
            if let Some(place) = grams.get_mut(len) {
                *place = word.gram();
                len += usize::from(word.len >= LETTER_GRAM);
            }
        }
        self.word = word;
        if let Some(letters) = &mut self.letters {
            letters.len = len;
        }
        if word.len > WORD_CHARS {
            self.end_word();
        }
        count
    }

    /// Takes a character outside ASCII.
    fn other(&mut self, c: char) {
        if is_ideograph(c) {
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

    fn push(&mut self, code: u16) {
        if self.word.len > WORD_CHARS {
            self.end_word();
        }
        self.push_gram(code);
    }

    fn push_gram(&mut self, code: u16) {
        self.word.push(code);
        if let Some(letters) = &mut self.letters
            && self.word.len >= LETTER_GRAM
        {
            letters.push(self.word.gram());
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
        if self.word.len == 1 {
            return;
        }
        self.push_gram(END);
        let hash = self.word.hash;
        self.words.push(finish(hash));
        self.words
            .push(finish(self.previous.rotate_left(11) ^ hash));
        self.previous = hash;
        self.word = Word::START;
    }
}

/// The word so far: [`START`], then its characters.
#[derive(Clone, Copy)]
struct Word {
    hash: u32,
    /// The last four characters, 16 bits each.
    last: u64,
    /// Characters, [`START`] included.
    len: usize,
}

impl Word {
    const START: Word = Word {
        hash: step(WORD_SEED, START),
        last: START as u64,
        len: 1,
    };

    fn push(&mut self, code: u16) {
        self.hash = step(self.hash, code);
        self.last = (self.last << 16) | u64::from(code);
        self.len += 1;
    }

    /// The hash of the last four characters.
    fn gram(&self) -> u32 {
        (self.last.wrapping_mul(LETTER_FACTOR) >> 32) as u32
    }
}

const WORD_SEED: u32 = fnv::START32;
const MARK_SEED: u32 = 0x9e37_79b9;
/// Takes the place of the word before the first word of a sentence.
const SENTENCE_START: u32 = 0x5851_f42d;
const LETTER_FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

const fn step(hash: u32, code: u16) -> u32 {
    fnv::step32(hash, code as u32)
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

/// The buckets that have a row of the table, as build.rs lays them out: [`BLOCK_BYTES`] bytes for every 64 of them.
static INDEX: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/ngrams.bin"));

/// Upper bits of a hash that pick a bucket: the last six of them one of a block.
const BUCKET_BITS: u32 = 17;

/// Little-endian: which of 64 buckets have a row, a bit each, and how many buckets before them have one.
const BLOCK_BYTES: usize = 10;

/// Most rows that one turn asks for, by list; together as many as the model takes.
const MOST: [usize; 3] = [384, 640, 192];

/// Rows of the n-gram table, each with its weight.
///
/// A row counts once however often its n-gram occurs. The weights of one list are such that its rows have length 1 together:
/// neither a long text nor repetition shouts a short one down.
#[derive(Debug, Clone)]
pub struct Rows {
    /// One more than there can be: each is written before it is known whether it counts.
    ids: [u16; NGRAMS + 1],
    weights: [f32; NGRAMS],
    len: usize,
}

impl Default for Rows {
    /// No rows.
    fn default() -> Rows {
        Rows {
            ids: [0; NGRAMS + 1],
            weights: [0.0; NGRAMS],
            len: 0,
        }
    }
}

impl Rows {
    /// The rows that `ngrams` pick.
    pub fn new(ngrams: &Ngrams) -> Rows {
        let mut rows = Rows::default();
        rows.fill(ngrams);
        rows
    }

    /// The rows that `ngrams` pick, in the place of those that were there.
    pub fn fill(&mut self, ngrams: &Ngrams) {
        self.len = 0;
        let lists = [
            ngrams.words.as_slice(),
            ngrams.letters.as_slice(),
            ngrams.context.as_slice(),
        ];
        for ((list, salt), most) in lists.iter().zip(SALTS).zip(MOST) {
            self.add(list, salt, most);
        }
    }

    fn add(&mut self, hashes: &[u32], salt: u32, most: usize) {
        let first = self.len;
        let end = first + most;
        let mut len = first;
        // The rows that are there already, a bit each.
        let mut seen = [0_u64; NGRAM_ROWS.div_ceil(64)];
        for hash in hashes {
            let id = row(hash.wrapping_mul(salt));
            if id == 0 {
                continue;
            }
            let bits = seen.get_mut(usize::from(id >> 6));
            let (Some(bits), Some(place)) = (bits, self.ids.get_mut(len)) else {
                break;
            };
            // Without a branch: whether an n-gram was there before cannot be predicted.
            let bit = 1 << (id & 63);
            *place = id;
            len += usize::from(*bits & bit == 0);
            *bits |= bit;
            if len == end {
                break;
            }
        }
        let weight = 1.0 / ((len - first).max(1) as f32).sqrt();
        if let Some(weights) = self.weights.get_mut(first..len) {
            weights.fill(weight);
        }
        self.len = len;
    }

    /// Row numbers and their weights, equally many.
    pub fn as_slices(&self) -> (&[u16], &[f32]) {
        let ids = self.ids.get(..self.len).unwrap_or(&[]);
        (ids, self.weights.get(..self.len).unwrap_or(&[]))
    }
}

/// Odd factors that keep the lists apart in [`INDEX`].
const SALTS: [u32; 3] = [1, 0x9e37_79b1, 0x85eb_ca77];

/// The row of a hash; 0 stands for n-grams that training found useless or never met. Rows are in the order of their buckets, so the
/// number of a row is the number of buckets up to its own that have one.
fn row(hash: u32) -> u16 {
    let bucket = hash >> (32 - BUCKET_BITS);
    let start = (bucket / 64) as usize * BLOCK_BYTES;
    let block = INDEX.get(start..).and_then(|rest| rest.first_chunk());
    let Some((bits, before)) = block
        .and_then(|block: &[u8; BLOCK_BYTES]| Some((block.first_chunk()?, block.last_chunk()?)))
    else {
        return 0;
    };
    // The bucket's own bit comes to be the highest, those of the buckets behind it are gone.
    let bits = u64::from_le_bytes(*bits) << (63 - bucket % 64);
    let number = u16::from_le_bytes(*before) + bits.count_ones() as u16;
    if bits >> 63 == 1 { number } else { 0 }
}

#[cfg(test)]
mod tests;
