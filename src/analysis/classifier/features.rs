//! Text → the numbers that the model sees besides the tokens. One pass over the same start and end of the text that the tokenizer reads.
//!
//! These numbers hold what a bag of tokens cannot: how long, how laid out, how much of it is number, formula, code or quotation.
//! Nothing here looks at upper case (identifiers and option letters apart), at single words more than at their class, or at white
//! space between words, so that case, typos, politeness and padding move little. Every value lies between 0 and about 3.
//!
//! Reasons, by group, are with each feature below; `models/manifest.json` lists the names in the same order.

use super::lexicon::{self, Classes, bit};
use super::tokenizer::{self, Tokens};
use crate::analysis::ascii::{self, Eight};
use crate::analysis::prompt::Turn;

/// How many features there are.
pub const FEATURES: usize = 67;

macro_rules! features {
    ($scan:ident, $tokens:ident; $($(#[doc = $reason:literal])* $name:ident = $value:expr;)+) => {
        /// The names of the features, in the order of the model's input.
        pub const NAMES: [&str; FEATURES] = [$(stringify!($name),)+];

        /// Why each feature is there, in the order of [`NAMES`].
        pub const REASONS: [&str; FEATURES] = [$(concat!($($reason),*).trim_ascii(),)+];

        fn values($scan: &Scan, $tokens: &Tokens) -> [f32; FEATURES] {
            [$($value,)+]
        }
    };
}

features! { scan, tokens;
    /// Length is the strongest single sign of difficulty in exam questions and word problems; white space does not count.
    log_bytes = log(scan.whole_bytes) / 3.0;
    /// Length in words, without formulas and layout.
    log_words = log(scan.words as f32) / 3.0;
    /// Lists, code and tables have many short lines.
    log_lines = log(scan.lines as f32) / 2.0;
    /// How much of the text was not read: what is known of it is less.
    unread = log(scan.unread) / 3.0;
    /// Learned words are long.
    word_length = share(scan.letters, scan.words * 10);
    /// The same, where names and short words hide the mean.
    long_words = share(scan.long_words, scan.words) * 3.0;
    /// Rare words, typos and other languages fall to pieces.
    pieces_per_word = (tokens.pieces_per_word - 1.0).clamp(0.0, 3.0);
    /// Stories and passages against single questions.
    log_sentences = log(scan.sentences as f32) / 2.0;
    /// Long sentences: legal and learned texts.
    sentence_length = log(scan.words as f32 / scan.sentences.max(1) as f32) / 3.0;
    /// Numbers: calculation, tables.
    digits = share(scan.digits, scan.bytes) * 5.0;
    /// The same, not growing with their size.
    log_numbers = log(scan.numbers as f32) / 2.0;
    /// Arithmetic on long numbers fails small models.
    longest_number = log(scan.longest_number as f32) / 2.0;
    /// Decimals, fractions and ratios.
    fractions = log(scan.fractions as f32) / 2.0;
    /// Money and shares: finance, word problems.
    money = log(scan.money as f32) / 2.0;
    /// Formulas and code.
    operators = log(scan.operators as f32) / 2.0;
    /// Equations and assignments.
    equals = log(scan.equals as f32) / 2.0;
    /// LaTeX commands: competition and university maths.
    latex = log(scan.backslashes as f32) / 2.0;
    /// Powers and indices.
    powers = log(scan.powers as f32) / 2.0;
    /// Formulas written in Unicode: Greek letters, roots, arrows, set and logic signs.
    math_symbols = log(scan.math_symbols as f32) / 2.0;
    /// Coordinates, calls, matrices, asides.
    brackets = share(scan.brackets, scan.bytes) * 10.0;
    /// Code of the C family, JSON, sets.
    braces = share(scan.braces, scan.bytes) * 20.0;
    /// Code quoted as such.
    backticks = log(scan.backticks as f32) / 2.0;
    /// Scripts and symbols that the vocabulary does not have: the model knows little here.
    unknown_tokens = tokens.unknown * 3.0;
    /// Code and nested lists.
    indented_lines = share(scan.indented, scan.lines) * 2.0;
    /// Lines that end as statements do.
    statement_lines = share(scan.statements, scan.lines) * 2.0;
    /// Marks that only code has: `==`, `->`, `::`, `()`, `//`, `</`.
    code_marks = log(scan.code_marks as f32) / 2.0;
    /// Names in snake_case or camelCase.
    identifiers = log(scan.identifiers as f32) / 2.0;
    /// Links and addresses.
    links = log(scan.links as f32);
    /// Keys of JSON objects: data to work on.
    json_keys = log(scan.json_keys as f32) / 2.0;
    /// Tables and grids.
    bars = log(scan.bars as f32) / 2.0;
    /// Enumerated material or demands.
    bullets = log(scan.bullets as f32) / 2.0;
    /// Steps, clues, several questions in one.
    numbered = log(scan.numbered as f32) / 2.0;
    /// Multiple choice: guessing alone gets one in n right.
    options = log(scan.options as f32) / 2.0;
    /// More than four options: harder exams.
    many_options = scan.options.saturating_sub(4).min(12) as f32 / 6.0;
    /// Options that are numbers: the question asks for a calculation.
    numeric_options = share(scan.numeric_options, scan.options);
    /// Long options ask for reading, short ones for recall.
    option_length = log(share(scan.option_bytes, scan.options)) / 3.0;
    /// Gaps to fill.
    blanks = log(scan.blanks as f32);
    /// Several questions at once; none in commands and statements.
    question_marks = log(scan.questions as f32);
    /// The last thing said is a question.
    ends_asking = flag(scan.ends_asking);
    /// The turn opens as a question, politeness apart.
    opens_asking = flag(scan.opening & (bit(lexicon::WH_FACT) | bit(lexicon::HOW_WHY)) != 0);
    /// The turn opens as a demand for a product, politeness apart.
    opens_demanding = flag(scan.opening & DEMANDS != 0);
    /// Words of translation and names of languages.
    w_translate = scan.class(lexicon::TRANSLATE);
    /// Words that ask for a shorter text.
    w_summarize = scan.class(lexicon::SUMMARIZE);
    /// Words that ask for another wording.
    w_rewrite = scan.class(lexicon::REWRITE);
    /// Words that ask for facts out of a text.
    w_extract = scan.class(lexicon::EXTRACT);
    /// Words of labels and classes.
    w_classify = scan.class(lexicon::CLASSIFY);
    /// Words of fiction and verse.
    w_creative = scan.class(lexicon::CREATIVE);
    /// Words of programming.
    w_code = scan.class(lexicon::CODE);
    /// Words of mathematics.
    w_math = scan.class(lexicon::MATH);
    /// Words of puzzles and inference.
    w_reason = scan.class(lexicon::REASON);
    /// Demands on the form of the answer.
    w_format = scan.class(lexicon::FORMAT);
    /// Negations: questions turned around are harder.
    w_negation = scan.class(lexicon::NEGATION);
    /// Words of assistants' commands: alarm, balance, weather.
    w_command = scan.class(lexicon::COMMAND);
    /// Speaker and listener: conversation rather than an exam.
    w_person = share(scan.class_count(lexicon::PERSON), scan.words) * 3.0;
    /// English function words; few in lists, code and other languages.
    w_stop = share(scan.class_count(lexicon::STOP), scan.words) * 2.0;
    /// Who, when, where: facts.
    w_fact = scan.class(lexicon::WH_FACT);
    /// How and why: explanations.
    w_explain = scan.class(lexicon::HOW_WHY);
    /// Quantities of word problems.
    w_quantity = scan.class(lexicon::QUANTITY);
    /// Verbs of making.
    w_make = scan.class(lexicon::IMPERATIVE);
    /// Words that ask for advice.
    w_advice = scan.class(lexicon::ADVICE);
    /// Text given to be worked on.
    quoted = share(scan.quoted, scan.bytes) * 2.0;
    /// Letters outside the Latin alphabet.
    non_latin = share(scan.non_latin, scan.letters) * 2.0;
    /// Accented Latin letters: other European languages.
    accented = share(scan.accented, scan.letters) * 10.0;
    /// An application instructed the model.
    has_instructions = scan.has_instructions;
    /// Something was said before: the turn may be a follow-up.
    has_conversation = scan.has_conversation;
    /// How much came before.
    log_context = log(scan.context_bytes as f32) / 3.0;
    /// Always 1: the rows of the weights that it meets are the biases, so the graph needs no addition.
    one = 1.0;
}

/// Openings that demand a product.
const DEMANDS: Classes = bit(lexicon::IMPERATIVE)
    | bit(lexicon::TRANSLATE)
    | bit(lexicon::SUMMARIZE)
    | bit(lexicon::REWRITE)
    | bit(lexicon::EXTRACT)
    | bit(lexicon::CLASSIFY)
    | bit(lexicon::CREATIVE);

/// The features of `turn`, whose tokens are `tokens`. Bounded work: at most 3 kB are looked at.
pub fn extract(turn: &Turn<'_>, tokens: &Tokens) -> [f32; FEATURES] {
    let text = turn.text.as_ref();
    let (head, tail) = tokenizer::excerpt(text, tokenizer::HEAD_BYTES, tokenizer::TAIL_BYTES);
    let context = &turn.context;
    let mut scan = Scan {
        has_instructions: flag(!context.instructions.is_empty()),
        has_conversation: flag(!context.conversation.is_empty()),
        context_bytes: context.texts().map(str::len).sum::<usize>(),
        ..Scan::default()
    };
    scan.text(head);
    scan.text(tail);
    let read = (head.len() + tail.len()).max(1) as f32;
    scan.unread = text.len() as f32 / read - 1.0;
    scan.whole_bytes = scan.bytes as f32 * (scan.unread + 1.0);
    values(&scan, tokens).map(|value| value.clamp(0.0, 4.0))
}

fn log(count: f32) -> f32 {
    (1.0 + count).ln()
}

fn share(part: u32, whole: u32) -> f32 {
    part as f32 / whole.max(1) as f32
}

fn flag(is: bool) -> f32 {
    if is { 1.0 } else { 0.0 }
}

/// How far in a line stands, in steps of two spaces or a tab.
fn indent(line: &str) -> usize {
    let spaces = line.bytes().take_while(|byte| *byte == b' ').count();
    let tabs = line.bytes().take_while(|byte| *byte == b'\t').count();
    spaces / 2 + tabs
}

/// Counts of one pass over the text.
#[derive(Default)]
struct Scan {
    /// Bytes that are no white space.
    bytes: u32,
    whole_bytes: f32,
    unread: f32,
    has_instructions: f32,
    has_conversation: f32,
    context_bytes: usize,
    lines: u32,
    /// Lines that stand further in than the first.
    indented: u32,
    first_indent: Option<usize>,
    statements: u32,
    bullets: u32,
    numbered: u32,
    options: u32,
    next_option: u8,
    numeric_options: u32,
    option_bytes: u32,
    words: u32,
    letters: u32,
    long_words: u32,
    non_latin: u32,
    accented: u32,
    identifiers: u32,
    opening: Classes,
    opened: bool,
    class_counts: [u16; lexicon::CLASSES],
    sentences: u32,
    questions: u32,
    ends_asking: bool,
    digits: u32,
    numbers: u32,
    longest_number: u32,
    fractions: u32,
    money: u32,
    operators: u32,
    equals: u32,
    backslashes: u32,
    powers: u32,
    math_symbols: u32,
    brackets: u32,
    braces: u32,
    backticks: u32,
    code_marks: u32,
    links: u32,
    json_keys: u32,
    bars: u32,
    blanks: u32,
    quoted: u32,
}

/// The word at hand.
#[derive(Default)]
struct Word {
    /// Its first 16 bytes in lower case, the first one lowest.
    bytes: u128,
    len: u32,
    digits: u32,
    /// Whether it looks like a program's name: an underscore or a capital inside.
    identifier: bool,
    lower_before: bool,
}

impl Word {
    const MOST_BYTES: u32 = 16;

    /// Appends `len` bytes, the first one lowest.
    fn push(&mut self, bytes: u64, len: u32) {
        if self.len == 0 {
            self.bytes = bytes.into();
        } else if self.len < Word::MOST_BYTES {
            self.bytes |= u128::from(bytes) << (self.len * 8);
        }
        self.len += len;
    }
}

impl Scan {
    fn class_count(&self, class: usize) -> u32 {
        self.class_counts.get(class).copied().unwrap_or(0).into()
    }

    /// Words of a class, on a scale where the first says most.
    fn class(&self, class: usize) -> f32 {
        log(self.class_count(class) as f32)
    }

    fn text(&mut self, text: &str) {
        for line in text.split('\n') {
            let trimmed = line.trim();
            if trimmed.is_empty() {
                continue;
            }
            self.lines += 1;
            let indent = indent(line);
            self.indented += u32::from(indent > *self.first_indent.get_or_insert(indent));
            if trimmed.ends_with([';', '{', '}']) || trimmed.ends_with("):") {
                self.statements += 1;
            }
            self.marker(trimmed.as_bytes());
            self.line(trimmed);
        }
    }

    /// Counts the beginning of a line: a bullet, a number, an option's letter.
    fn marker(&mut self, line: &[u8]) {
        match line {
            [b'-' | b'*' | b'+', b' ', ..] | [0xe2, 0x80, 0xa2, ..] => self.bullets += 1,
            [b'0'..=b'9', b'.' | b')', b' ', ..]
            | [b'0'..=b'9', b'0'..=b'9', b'.' | b')', b' ', ..] => {
                self.numbered += 1;
            }
            [b'(', letter, b')', rest @ ..] | [letter, b'.' | b')' | b':', rest @ ..]
                if letter.is_ascii_alphabetic() =>
            {
                self.option(letter.to_ascii_uppercase() - b'A', rest);
            }
            _ => {}
        }
    }

    /// An option, if its letter is the next one: "a." at the start of a line is otherwise just an abbreviation.
    fn option(&mut self, letter: u8, rest: &[u8]) {
        if letter == 0 {
            self.next_option = 0;
        } else if letter != self.next_option {
            return;
        }
        self.next_option = letter + 1;
        self.options = self.options.max(u32::from(self.next_option));
        let rest = rest.trim_ascii();
        self.option_bytes += rest.len() as u32;
        if matches!(rest, [b'0'..=b'9' | b'-' | b'$' | b'.' | b'\\', ..]) {
            self.numeric_options += 1;
        }
    }

    fn line(&mut self, line: &str) {
        let bytes = line.as_bytes();
        let mut word = Word::default();
        let mut before = ' ';
        let mut quote: Option<u32> = None;
        let mut at = 0;
        loop {
            // Most of any text is runs of ASCII letters: they are taken at once.
            let run = self.word_run(&mut word, before, bytes, at);
            if run > 0 {
                at += run;
                before = bytes.get(at - 1).map_or(before, |byte| char::from(*byte));
            }
            let c = match bytes.get(at) {
                None => break,
                Some(b' ') => {
                    self.end_word(&mut word);
                    self.sentences += u32::from(matches!(before, '.' | '?' | '!'));
                    before = ' ';
                    at += 1;
                    continue;
                }
                Some(byte) if byte.is_ascii() => char::from(*byte),
                Some(_) => match line.get(at..).and_then(|rest| rest.chars().next()) {
                    Some(c) => c,
                    None => break,
                },
            };
            at += c.len_utf8();
            if !c.is_whitespace() {
                self.bytes += c.len_utf8() as u32;
            }
            if c.is_ascii() {
                if c != '\'' {
                    self.end_word(&mut word);
                }
                self.mark(before, c);
            } else {
                self.other(&mut word, c);
            }
            if matches!(c, '"' | '“' | '”') {
                quote = match quote {
                    Some(start) => {
                        self.quoted += self.bytes.saturating_sub(start);
                        None
                    }
                    None => Some(self.bytes),
                };
            }
            before = c;
        }
        self.end_word(&mut word);
        if matches!(before, '.' | '?' | '!' | '。' | '？') {
            self.sentences += 1;
        }
        self.ends_asking = matches!(before, '?' | '？' | '؟');
    }

    /// Takes the ASCII letters, digits and underscores from `at` on; their number.
    fn word_run(&mut self, word: &mut Word, before: char, bytes: &[u8], at: usize) -> usize {
        let mut count = 0;
        let mut blank_before = before == '_';
        loop {
            let eight = Eight::new(bytes, at + count);
            let letters = eight.letters();
            let digits = eight.digits();
            let underscores = eight.underscores();
            let (len, own) = ascii::run(letters | digits | underscores);
            if len == 0 {
                return count;
            }
            word.push(eight.lower(letters) & own, len as u32);
            self.bytes += len as u32;
            count += len;
            let capitals = eight.capitals(letters);
            if (digits | underscores | capitals) & own == 0 {
                // Small letters alone, as most words are.
                word.lower_before = true;
                blank_before = false;
            } else {
                let small = letters & !capitals;
                let small_before = ascii::behind(small, word.lower_before);
                word.identifier |= small_before & (capitals | underscores) & own != 0;
                word.lower_before = ascii::has(small, len - 1);
                let digits = (digits & own).count_ones();
                word.digits += digits;
                self.digits += digits;
                let blanks = underscores & ascii::behind(underscores, blank_before) & own;
                self.blanks += blanks.count_ones();
                blank_before = ascii::has(underscores, len - 1);
            }
            if len < 8 {
                return count;
            }
        }
    }

    fn end_word(&mut self, word: &mut Word) {
        if word.len == 0 {
            return;
        }
        if word.digits == word.len {
            self.numbers += 1;
            self.longest_number = self.longest_number.max(word.digits);
        } else {
            self.words += 1;
            self.letters += word.len - word.digits;
            self.long_words += u32::from(word.len >= 9);
            self.identifiers += u32::from(word.identifier);
            let is_short = word.len <= Word::MOST_BYTES;
            self.spoken_for(match is_short {
                true => lexicon::classes(word.bytes),
                false => 0,
            });
        }
        *word = Word::default();
    }

    /// Counts a word's classes. The opening is the first word that is neither politeness nor a function word.
    fn spoken_for(&mut self, classes: Classes) {
        let mut left = classes;
        while left != 0 {
            if let Some(count) = self.class_counts.get_mut(left.trailing_zeros() as usize) {
                *count += 1;
            }
            left &= left - 1;
        }
        if !self.opened && classes & (bit(lexicon::PERSON) | bit(lexicon::STOP)) == 0 {
            self.opened = true;
            self.opening = classes;
        }
    }

    /// An ASCII character that is no letter, digit or underscore.
    fn mark(&mut self, before: char, c: char) {
        match c {
            ' ' if matches!(before, '.' | '?' | '!') => self.sentences += 1,
            '?' => self.questions += 1,
            '.' | '/' if before.is_ascii_digit() => self.fractions += 1,
            '/' if matches!(before, '/' | '<' | ':') => self.code_marks += 1,
            '$' | '%' => self.money += 1,
            '=' => {
                self.equals += 1;
                self.code_marks += u32::from(matches!(before, '=' | '!' | '<' | '>' | '+'));
            }
            '>' if matches!(before, '-' | '=' | '/') => self.code_marks += 1,
            '+' | '-' | '*' | '<' | '>'
                if matches!(before, ' ' | ')') || before.is_ascii_digit() =>
            {
                self.operators += 1;
            }
            '\\' => self.backslashes += 1,
            '^' => self.powers += 1,
            ')' if before == '(' => self.code_marks += 1,
            '(' | ')' | '[' | ']' => self.brackets += 1,
            '{' | '}' | ';' => self.braces += 1,
            '`' => self.backticks += 1,
            ':' if before == '"' => self.json_keys += 1,
            ':' if before == ':' => self.code_marks += 1,
            '@' => self.links += 1,
            '|' => self.bars += 1,
            _ => {}
        }
    }

    /// A character outside ASCII.
    fn other(&mut self, word: &mut Word, c: char) {
        match c {
            '²' | '³' | '¹' | '\u{2070}'..='\u{209f}' => self.powers += 1,
            '€' | '£' | '¥' | '₹' => self.money += 1,
            '×' | '÷' | '±' | '−' | '√' | '°' => self.operators += 1,
            '\u{2200}'..='\u{22ff}' | '\u{2190}'..='\u{21ff}' | '\u{370}'..='\u{3ff}' => {
                self.math_symbols += 1
            }
            '？' | '؟' => self.questions += 1,
            '。' => self.sentences += 1,
            _ => {}
        }
        if !c.is_alphabetic() {
            return self.end_word(word);
        }
        if c < '\u{250}' {
            self.accented += 1;
        } else {
            self.non_latin += 1;
        }
        // No ASCII letter, so the word is in no class; it counts as a word all the same.
        word.push(0xff, 1);
        word.lower_before = false;
    }
}

#[cfg(test)]
mod tests;
