//! The length that one text asks for: numbers with units, bounds, labels, fields of JSON.

use super::super::ascii::{self, Eight};
use super::super::classifier::Task;
use super::super::prompt::text_tokens;
use super::cues::{self, Cue, MARKS, Mark, Unit};

/// How many bytes of a text's beginning and of its end are read.
const HEAD: usize = 1_200;
const TAIL: usize = 800;
/// A text of no more bytes is read whole.
const WHOLE: usize = 240;
/// Longer words are no cues.
pub(super) const LONGEST_WORD: usize = 24;
/// The most of anything that is asked for: larger numbers are ignored.
const MOST_COUNT: f32 = 20_000.0;
/// The longest given text that is looked at, in bytes.
pub(super) const LONGEST_GIVEN: usize = 65_536;
/// How far a cue reaches, in words.
const REACH: u32 = 4;

/// A length that is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tokens {
    /// In tokens.
    pub(super) tokens: f32,
    /// How exact it is, as the standard deviation of the logarithm.
    pub(super) sigma: f32,
    /// Whether it is the most.
    pub(super) is_bound: bool,
    /// Whether it may be said of a part of the answer: a line, an object.
    pub(super) is_of_part: bool,
}

/// The instructions about the answer's length in one text.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct LengthInstruction {
    /// A stated length.
    pub(super) tokens: Option<Tokens>,
    /// One word, yes or no, only a label.
    one_word: bool,
    /// Only something, or nothing else.
    terse: bool,
    /// In detail, in full.
    pub(super) is_detailed: bool,
}

impl LengthInstruction {
    /// Reads the first and the last part of `text`.
    pub(super) fn find(text: &str) -> LengthInstruction {
        let mut reader = Reader::default();
        let (first, last) = ends(text);
        reader.read(first);
        reader.pause();
        reader.read(last);
        reader.finish()
    }

    /// Whether the answer is a label, as far as the instruction says; a task that is one anyway needs less of it.
    pub(super) fn is_label(&self, task: Task) -> bool {
        self.one_word || (self.terse && task == Task::Classification)
    }
}

/// The beginning and the end of `text`, without overlap: its first and last paragraph, between which stands what is to be worked
/// on. The second is empty of a short text.
fn ends(text: &str) -> (&str, &str) {
    let text = text.trim_end();
    if text.len() <= WHOLE {
        return (text, "");
    }
    let (first, last) = if text.len() <= HEAD + TAIL {
        text.split_at_checked(text.floor_char_boundary(text.len() / 2))
            .unwrap_or((text, ""))
    } else {
        (head(text, HEAD), tail(text, TAIL))
    };
    (before_blank_line(first), behind_blank_line(last))
}

fn is_blank_line(pair: &[u8]) -> bool {
    pair == b"\n\n"
}

/// The text before the first blank line; all of it if there is none. The standard library's search for a text prepares tables
/// first: twenty cache lines of code, which nothing else on this way needs.
fn before_blank_line(text: &str) -> &str {
    let end = text.as_bytes().windows(2).position(is_blank_line);
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

/// The text behind the last blank line; all of it if there is none.
fn behind_blank_line(text: &str) -> &str {
    let end = text.as_bytes().windows(2).rposition(is_blank_line);
    end.and_then(|end| text.get(end + 2..)).unwrap_or(text)
}

/// At most the first `most` bytes.
fn head(text: &str, most: usize) -> &str {
    let end = text.floor_char_boundary(most);
    text.get(..end).unwrap_or_default()
}

/// At most the last `most` bytes.
pub(super) fn tail(text: &str, most: usize) -> &str {
    let begin = text.ceil_char_boundary(text.len().saturating_sub(most));
    text.get(begin..).unwrap_or_default()
}

/// About how many tokens the text has that is given to be worked on: all of it but the instruction, which is the shorter of
/// its first and last paragraph, or stands before a colon.
pub(super) fn given_tokens(text: &str) -> f32 {
    let text = head(text, LONGEST_GIVEN).trim();
    let given = if let Some((first, rest)) = text.split_once("\n\n") {
        match text.rsplit_once("\n\n") {
            Some((before, last)) if last.len() < first.len() => before,
            _ => rest,
        }
    } else if let Some((first, rest)) = text.split_once(':').filter(|(first, _)| first.len() < 250)
    {
        if rest.len() > first.len() / 2 {
            rest
        } else {
            ""
        }
    } else {
        text
    };
    text_tokens(given)
}

/// A cue that was read, and where, in words.
type Place = Option<u32>;

#[derive(Debug, Default)]
struct Reader {
    /// How many words were read.
    at: u32,
    number: Option<(f32, u32)>,
    /// The number before the last, of a range.
    range: Option<(f32, u32)>,
    marks: [Place; MARKS],
    most: Place,
    each: Place,
    label: Place,
    only: Place,
    json: bool,
    fields: Place,
    /// Commas since fields were named.
    commas: u32,
    /// The last hit, to which a later "max" belongs.
    last: Option<u32>,
    best: Option<(u8, Tokens)>,
    per_item: Option<f32>,
    /// How many of something, and where that stood.
    count: Option<(f32, u32)>,
    instruction: LengthInstruction,
}

impl Reader {
    fn pause(&mut self) {
        self.at += 2 * REACH;
    }

    fn near(&self, place: Place, reach: u32) -> bool {
        place.is_some_and(|place| self.at.saturating_sub(place) <= reach)
    }

    fn place_of(&self, mark: Mark) -> Place {
        self.marks.get(mark as usize).copied().flatten()
    }

    fn place(&mut self, mark: Mark, place: Place) {
        if let Some(slot) = self.marks.get_mut(mark as usize) {
            *slot = place;
        }
    }

    /// Reads words and numbers in one pass over the bytes: a word is of letters, apostrophes and bytes beyond ASCII.
    fn read(&mut self, text: &str) {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let (mut length, mut hash) = plain_word(rest);
            let mut end = byte_at(rest, length);
            if is_other_letter(end) {
                (length, hash) = other_word(rest);
                end = byte_at(rest, length);
            }
            if length > 0 {
                self.at += 1;
                if let Some(cue) = cues::find(hash) {
                    self.cue(cue);
                }
                length += usize::from(end == b' ');
            } else if end.is_ascii_digit() {
                self.at += 1;
                length = self.number_in_digits(rest);
            } else {
                self.punctuation(end);
                length = 1;
            }
            rest = rest.get(length..).unwrap_or_default();
        }
    }

    fn punctuation(&mut self, mark: u8) {
        match mark {
            b',' => {
                self.number = None;
                self.commas += u32::from(self.fields.is_some());
            }
            // A sentence or a line ends: what comes is another thing. "max. 80" and "1. x" go on, a line does not.
            b'.' | b'\n' => {
                if mark == b'\n' {
                    self.number = None;
                }
                if self.commas > 0 {
                    self.fields = None;
                }
                if mark == b'\n' || !self.near(self.most, 0) {
                    self.place(Mark::Yes, None);
                }
            }
            _ => {}
        }
    }

    /// Reads a number in digits, with thousands apart by a comma or a point; gives its length in bytes.
    #[inline(never)]
    fn number_in_digits(&mut self, rest: &[u8]) -> usize {
        let digits = |from: usize| {
            let digits = rest
                .iter()
                .skip(from)
                .take_while(|byte| byte.is_ascii_digit());
            digits.fold((0, 0.0_f32), |(count, value), byte| {
                (count + 1, value * 10.0 + f32::from(byte - b'0'))
            })
        };
        let (mut length, mut value) = digits(0);
        if let Some(b',' | b'.') = rest.get(length)
            && let (3, thousands) = digits(length + 1)
        {
            value = value * 1000.0 + thousands;
            length += 4;
        }
        self.set_number(value);
        let behind = rest.get(length..).unwrap_or_default();
        let spaces = behind.iter().take_while(|byte| **byte == b' ').count();
        if let Some((unit, is_bound)) = cues::find_suffix(behind.get(spaces..).unwrap_or_default())
        {
            if is_bound {
                self.most = Some(self.at);
            }
            self.unit(unit);
        }
        length
    }

    fn set_number(&mut self, value: f32) {
        self.range = self.number;
        self.number = Some((value, self.at));
    }

    fn cue(&mut self, cue: Cue) {
        match cue {
            Cue::Mark(mark) => self.place(mark, Some(self.at)),
            Cue::Number(value) => self.set_number(value.into()),
            Cue::Of if self.number.is_none() => {}
            cue => self.rare_cue(cue),
        }
    }

    /// Cues that most texts have none of. Apart, so that such a text does without their code.
    #[cold]
    #[inline(never)]
    fn rare_cue(&mut self, cue: Cue) {
        let at = Some(self.at);
        match cue {
            Cue::Mark(_) | Cue::Number(_) => {}
            Cue::Unit(unit) => self.unit(unit),
            Cue::Most => {
                self.most = at;
                if self.near(self.last, 3)
                    && let Some((_, tokens)) = &mut self.best
                {
                    tokens.is_bound = true;
                }
            }
            Cue::Each => self.each(),
            Cue::Only => {
                self.only = at;
                self.instruction.terse = true;
            }
            Cue::Label if self.near(self.only, 3) => self.instruction.one_word = true,
            Cue::Label => {}
            Cue::No if self.near(self.place_of(Mark::Yes), 2) && self.near(self.order(), 6) => {
                self.instruction.one_word = true
            }
            Cue::No => {}
            Cue::Json => self.json = true,
            Cue::Fields => (self.fields, self.commas) = (at, 0),
            Cue::Of
                if self.number == Some((1.0, self.at.saturating_sub(1)))
                    && self.near(self.place_of(Mark::Reply), 4) =>
            {
                self.instruction.one_word = true;
            }
            Cue::Of => {}
            Cue::Detail if !self.near(self.place_of(Mark::Given), 2) => {
                self.instruction.is_detailed = true
            }
            Cue::Full if self.near(self.place_of(Mark::In), 1) => {
                self.instruction.is_detailed = true
            }
            Cue::Detail | Cue::Full => {}
        }
    }

    /// The order to answer, or "only".
    fn order(&self) -> Place {
        self.place_of(Mark::Reply).or(self.only)
    }

    /// The last length holds for each of several.
    fn each(&mut self) {
        self.each = Some(self.at);
        if self.near(self.label, 3) {
            self.instruction.one_word = false;
        }
        if self.near(self.last, 2)
            && let Some((_, tokens)) = self.best.take()
        {
            self.per_item = Some(tokens.tokens);
            if self.count.is_some_and(|(_, at)| Some(at) == self.last) {
                self.count = None;
            }
        }
    }

    /// A unit: with a number before it, it is an instruction.
    fn unit(&mut self, unit: Unit) {
        let Some((value, begin)) = self.find_count(unit) else {
            return;
        };
        // A number counts one thing: "20 ideas for names".
        self.number = None;
        if unit == Unit::Word && value == 1.0 {
            self.instruction.one_word = !self.near(self.each, 2);
            self.label = Some(self.at);
            return;
        }
        let (each, sigma, rank) = measure(unit);
        let tokens = value * each;
        let is_each = self
            .each
            .is_some_and(|each| begin > each && begin - each <= 3);
        if is_each {
            self.per_item = Some(tokens);
            return;
        }
        if self.count.is_none()
            && matches!(
                unit,
                Unit::Item
                    | Unit::Name
                    | Unit::Bullet
                    | Unit::Paragraph
                    | Unit::Sentence
                    | Unit::Line
            )
        {
            self.count = Some((value, self.at));
        }
        let is_bound = self
            .most
            .is_some_and(|most| begin >= most && begin - most <= REACH);
        let found = Tokens {
            tokens,
            sigma,
            is_bound,
            is_of_part: matches!(unit, Unit::Line | Unit::Sentence),
        };
        if self.best.is_none_or(|(best, _)| rank >= best) {
            self.best = Some((rank, found));
            self.last = Some(self.at);
        }
    }

    /// The number that counts `unit`, the middle of a range, and where it begins; `None` if none does.
    fn find_count(&self, unit: Unit) -> Option<(f32, u32)> {
        let (value, place) = self.number?;
        let is_listed = matches!(unit, Unit::Item | Unit::Name);
        let distance = self.at.saturating_sub(place);
        // "One per line" counts no lines.
        let is_divided = self.each.is_some_and(|each| each > place);
        if distance > if is_listed { 3 } else { 2 }
            || is_divided
            || !is_plausible(unit, value)
            || (is_listed && !self.near(self.place_of(Mark::List), REACH + distance))
        {
            return None;
        }
        let low = self.range.filter(|(low, at)| {
            place.saturating_sub(*at) <= 2 && *low < value && *low * 3.0 > value
        });
        let (value, begin) = low.map_or((value, place), |(low, at)| ((low + value) / 2.0, at));
        let is_given = self
            .place_of(Mark::Given)
            .is_some_and(|given| begin > given && begin - given <= 2);
        (!is_given).then_some((value, begin))
    }

    fn finish(mut self) -> LengthInstruction {
        let mut instruction = self.instruction;
        if let (Some(each), Some((count, _))) = (self.per_item, self.count) {
            let tokens = each * count;
            self.best = Some((
                9,
                Tokens {
                    tokens,
                    sigma: 0.5,
                    is_bound: false,
                    is_of_part: false,
                },
            ));
        }
        instruction.tokens = self.best.map(|(_, tokens)| tokens);
        instruction.one_word &= instruction.tokens.is_none();
        if instruction.tokens.is_none() && self.json && self.commas > 0 {
            let fields = self.commas + 1;
            instruction.tokens = Some(Tokens {
                tokens: 10.0 + 20.0 * fields as f32,
                sigma: 0.92,
                is_bound: false,
                is_of_part: true,
            });
        }
        instruction
    }
}

/// The byte at `at`, a space behind the end.
fn byte_at(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(b' ')
}

/// Whether a byte that is no letter of ASCII belongs to a word.
fn is_other_letter(byte: u8) -> bool {
    byte == b'\'' || byte >= 0x80
}

/// The length and the hash of the letters of ASCII that `rest` begins with.
#[inline]
fn plain_word(rest: &[u8]) -> (usize, u64) {
    let (mut length, mut hash) = (0, cues::NO_HASH);
    loop {
        let eight = Eight::new(rest, length);
        let letters = eight.letters();
        let (count, own) = ascii::run(letters);
        hash = cues::hash_step(hash, eight.lower(letters) & own);
        length += count;
        if count < 8 {
            return (length, hash);
        }
    }
}

/// The length and the hash of the word that `rest` begins with, if other letters are among it.
#[cold]
#[inline(never)]
fn other_word(rest: &[u8]) -> (usize, u64) {
    let is_letter = |byte: &&u8| byte.is_ascii_alphabetic() || is_other_letter(**byte);
    let length = rest.iter().take_while(is_letter).count();
    let mut folded = [0_u8; LONGEST_WORD];
    let (Some(slot), Some(word)) = (folded.get_mut(..length), rest.get(..length)) else {
        return (length, cues::NO_HASH);
    };
    slot.copy_from_slice(word);
    fold(slot);
    (length, cues::hash(slot))
}

/// Folds a word to lower case, of letters beyond ASCII those of Latin-1 and Cyrillic.
fn fold(word: &mut [u8]) {
    word.make_ascii_lowercase();
    let mut rest = word;
    while let [first, behind @ ..] = rest {
        match (*first, behind.first_mut()) {
            (0xc3, Some(second @ 0x80..=0x9e)) | (0xd0, Some(second @ 0x90..=0x9f)) => {
                *second += 0x20
            }
            (0xd0, Some(second @ 0xa0..=0xaf)) => {
                *first = 0xd1;
                *second -= 0x20;
            }
            _ => {}
        }
        rest = behind;
    }
}

/// Whether so many of a unit are what people ask for: fewer characters are a format, more pages a book that is spoken of.
fn is_plausible(unit: Unit, value: f32) -> bool {
    match unit {
        Unit::Character => (40.0..=MOST_COUNT).contains(&value),
        Unit::Page => (1.0..=10.0).contains(&value),
        Unit::Item | Unit::Name | Unit::Bullet => (2.0..=200.0).contains(&value),
        Unit::Sentence | Unit::Line | Unit::Paragraph => (1.0..=100.0).contains(&value),
        Unit::Word | Unit::Token => (1.0..=MOST_COUNT).contains(&value),
    }
}

/// Tokens of a unit, how exact it is, and its weight among others.
const fn measure(unit: Unit) -> (f32, f32, u8) {
    match unit {
        Unit::Token => (1.0, 0.2, 8),
        Unit::Word => (1.45, 0.25, 7),
        Unit::Character => (0.33, 0.6, 6),
        Unit::Page => (600.0, 0.8, 5),
        Unit::Paragraph => (85.0, 0.52, 4),
        Unit::Sentence => (32.0, 0.4, 3),
        Unit::Line => (26.0, 0.54, 3),
        Unit::Bullet => (26.0, 0.56, 2),
        Unit::Item => (35.0, 0.75, 1),
        Unit::Name => (9.0, 0.85, 1),
    }
}
