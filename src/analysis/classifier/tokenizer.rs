//! WordPiece, uncased: text → token ids of `models/vocabulary.txt`.
//!
//! This code serves both the filter and the training (`pointsman-lab features`), so both see the same ids. Work is bounded for any
//! input: of a long text only the start and the end are read, and no more than [`TOKENS`] ids leave. It follows BERT's rules on
//! ASCII and Latin text; where BERT keeps a symbol inside a word, or a character that the vocabulary lacks, it may differ.

use crate::fnv;

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

/// Longest vocabulary entry in bytes, continuation mark included.
const PIECE_BYTES: usize = 18;

/// Padding: its row of the model's table is zero.
const PAD: u16 = 0;

/// The id of a word that the vocabulary lacks.
const UNKNOWN: u16 = 1;

/// Slots of the hash table: a power of two, over twice the number of entries.
const SLOTS: usize = 1 << 16;

/// One entry a line; the line number, from zero, is the id.
static VOCABULARY: &str = include_str!("../../../models/vocabulary.txt");

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

/// The ids of all that was read, before the choice of what the model takes.
struct Pieces {
    ids: [u16; HEAD_BYTES + TAIL_BYTES],
    len: usize,
    words: usize,
}

impl Pieces {
    /// Appends the pieces of one word. There is room: no piece is shorter than a byte of text.
    fn push(&mut self, pieces: &[u16]) {
        let end = self.len + pieces.len();
        if let Some(room) = self.ids.get_mut(self.len..end) {
            room.copy_from_slice(pieces);
            self.len = end;
            self.words += 1;
        }
    }

    /// The ids that the model takes: all, or if they are too many those of the start and the end.
    fn tokens(&self) -> Tokens {
        let mut ids = [PAD; TOKENS];
        let len = self.len.min(TOKENS);
        let from_head = if self.len > TOKENS { HEAD_TOKENS } else { len };
        let (head, tail) = ids.split_at_mut(from_head);
        for (place, id) in head.iter_mut().zip(&self.ids) {
            *place = *id;
        }
        let tail_start = self.len - (len - from_head);
        for (place, id) in tail
            .iter_mut()
            .zip(self.ids.iter().take(self.len).skip(tail_start))
        {
            *place = *id;
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

/// The vocabulary, ready for look-ups. About 370 kB; made once per worker.
pub struct Tokenizer {
    /// Open addressing: fingerprint in the upper half, id in the lower; 0 is empty (id 0, padding, is never looked up).
    slots: Vec<u32>,
    /// The start of each entry in [`VOCABULARY`], and one past the last.
    starts: Vec<u32>,
}

impl Default for Tokenizer {
    fn default() -> Tokenizer {
        Tokenizer::new()
    }
}

impl Tokenizer {
    /// Reads the vocabulary: some 26,000 hash insertions.
    pub fn new() -> Tokenizer {
        let mut tokenizer = Tokenizer {
            slots: vec![0; SLOTS],
            starts: vec![0],
        };
        let mut start = 0_u32;
        for (id, entry) in VOCABULARY.lines().enumerate() {
            // Ids 0 and 1 are never spelt: text cannot ask for them.
            if id > usize::from(UNKNOWN) {
                tokenizer.insert(entry, id as u32);
            }
            start += entry.len() as u32 + 1;
            tokenizer.starts.push(start);
        }
        tokenizer
    }

    fn insert(&mut self, entry: &str, id: u32) {
        let (continues, bare) = match entry.strip_prefix("##") {
            Some(bare) if !bare.is_empty() => (true, bare),
            _ => (false, entry),
        };
        let hash = bare.bytes().fold(seed(continues), step);
        let mut at = slot(hash);
        while let Some(place) = self.slots.get_mut(at) {
            if *place == 0 {
                *place = (hash & 0xffff_0000) | id;
                return;
            }
            at = (at + 1) % SLOTS;
        }
    }

    /// The id of a piece, given its hash.
    fn find(&self, hash: u32, continues: bool, piece: &[u8]) -> Option<u16> {
        let mut at = slot(hash);
        loop {
            let place = *self.slots.get(at)?;
            if place == 0 {
                return None;
            }
            if (place ^ hash) & 0xffff_0000 == 0 && self.spells(place & 0xffff, continues, piece) {
                return Some(place as u16);
            }
            at = (at + 1) % SLOTS;
        }
    }

    /// Whether entry `id` is this piece.
    fn spells(&self, id: u32, continues: bool, piece: &[u8]) -> bool {
        let bounds = (
            self.starts.get(id as usize),
            self.starts.get(id as usize + 1),
        );
        let (Some(start), Some(end)) = bounds else {
            return false;
        };
        let start = *start as usize + if continues { 2 } else { 0 };
        let entry = VOCABULARY.as_bytes().get(start..*end as usize - 1);
        // Byte by byte: entries are short, and a call of `memcmp` costs more than it saves.
        entry.is_some_and(|entry| entry.len() == piece.len() && entry.iter().eq(piece))
    }

    /// The token ids of `text`. Linear in the bytes looked at, which are at most 3 kB however long the text is.
    pub fn tokenize(&self, text: &str) -> Tokens {
        let mut pieces = Pieces {
            ids: [PAD; HEAD_BYTES + TAIL_BYTES],
            len: 0,
            words: 0,
        };
        let (head, tail) = excerpt(text, HEAD_BYTES, TAIL_BYTES);
        self.read(head, &mut pieces);
        self.read(tail, &mut pieces);
        pieces.tokens()
    }

    fn read(&self, text: &str, pieces: &mut Pieces) {
        let mut word = Word::default();
        let mut rest = text;
        loop {
            // Most of any text is runs of ASCII letters: they are taken at once.
            let run = rest.bytes().take_while(u8::is_ascii_alphanumeric).count();
            if let Some((letters, after)) = rest.split_at_checked(run) {
                word.push_bytes(letters.as_bytes());
                rest = after;
            }
            let mut chars = rest.chars();
            let Some(c) = chars.next() else {
                break;
            };
            rest = chars.as_str();
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
        self.end(&mut word, pieces);
    }

    /// Ends the word at hand.
    fn end(&self, word: &mut Word, pieces: &mut Pieces) {
        if word.overlong {
            pieces.push(&[UNKNOWN]);
        } else if word.len > 0 {
            match self.whole(word.bytes()) {
                Some(id) => pieces.push(&[id]),
                None => self.cut(word.bytes(), pieces),
            }
        }
        word.len = 0;
        word.overlong = false;
    }

    /// The entry that is the whole word, which most words have.
    fn whole(&self, word: &[u8]) -> Option<u16> {
        if word.len() > PIECE_BYTES {
            return None;
        }
        let hash = word
            .iter()
            .fold(seed(false), |hash, byte| step(hash, *byte));
        self.find(hash, false, word)
    }

    /// Cuts a word into the longest pieces from left to right; one unknown token if some part has no piece.
    fn cut(&self, word: &[u8], pieces: &mut Pieces) {
        let mut ids = [UNKNOWN; WORD_BYTES];
        let mut rest = word;
        let mut count = 0;
        while !rest.is_empty() {
            let continues = rest.len() < word.len();
            let Some((id, taken)) = self.longest(rest, continues) else {
                return pieces.push(&[UNKNOWN]);
            };
            if let Some(place) = ids.get_mut(count) {
                *place = id;
            }
            count += 1;
            rest = rest.get(taken..).unwrap_or(&[]);
        }
        pieces.push(ids.get(..count).unwrap_or(&[]));
    }

    /// The longest entry that `rest` starts with, and its length in bytes.
    fn longest(&self, rest: &[u8], continues: bool) -> Option<(u16, usize)> {
        let mut hashes = [0_u32; PIECE_BYTES];
        let mut hash = seed(continues);
        let longest = rest.len().min(PIECE_BYTES);
        for (byte, place) in rest.iter().zip(&mut hashes) {
            hash = step(hash, *byte);
            *place = hash;
        }
        for (last, hash) in hashes.iter().enumerate().take(longest).rev() {
            let taken = last + 1;
            if let Some(id) = self.find(*hash, continues, rest.get(..taken)?) {
                return Some((id, taken));
            }
        }
        None
    }
}

/// The word being read, lower-cased and without accents.
struct Word {
    buffer: [u8; WORD_BYTES],
    len: usize,
    overlong: bool,
}

impl Default for Word {
    fn default() -> Word {
        Word {
            buffer: [0; WORD_BYTES],
            len: 0,
            overlong: false,
        }
    }
}

impl Word {
    fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or(&[])
    }

    fn push(&mut self, c: char) {
        let mut utf8 = [0; 4];
        for c in fold(c).to_lowercase() {
            self.push_bytes(fold(c).encode_utf8(&mut utf8).as_bytes());
        }
    }

    /// Appends UTF-8, lower-casing the ASCII in it.
    fn push_bytes(&mut self, bytes: &[u8]) {
        match self.buffer.get_mut(self.len..self.len + bytes.len()) {
            Some(room) if !self.overlong => {
                for (place, byte) in room.iter_mut().zip(bytes) {
                    *place = byte.to_ascii_lowercase();
                }
                self.len += bytes.len();
            }
            _ => self.overlong = true,
        }
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

// FNV-1a: prefixes of a word are hashed on the way, so that all look-ups of a word cost one pass.
fn seed(continues: bool) -> u32 {
    if continues { 0x9e37_79b9 } else { fnv::START32 }
}

fn step(hash: u32, byte: u8) -> u32 {
    fnv::step32(hash, u32::from(byte))
}

/// The slot of a hash. The fingerprint is its upper half, so the slot mixes both.
fn slot(hash: u32) -> usize {
    ((hash ^ (hash >> 15)) as usize) % SLOTS
}

#[cfg(test)]
mod tests;
