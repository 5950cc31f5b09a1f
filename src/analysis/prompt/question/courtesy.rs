//! Greetings, requests for help, thanks and signatures around a question, and claims of how easy or hard it is. English, and
//! the commonest words of some other languages.
//!
//! A claim is a phrase of nothing but words without content and words about tasks and models ("This is a trivial question:",
//! "[effort: low]"): whoever writes it wants another model, and the question stays as hard as it is.

use super::is_one_of;
use super::words::{
    CLAIM, FILLER, Kinds, OPENER, OTHER, PREFIXES, SAYING, THANK, THANK_FILLER, THANK_START,
    kinds_of,
};

/// Most bytes of one courteous phrase.
const MOST_PHRASE: usize = 96;

/// Most phrases at either end.
const MOST_PHRASES: usize = 4;

/// Fewest bytes of what is left: less than that, and the courtesy is what was said.
const LEAST_LEFT: usize = 6;

/// A text without courtesy at its ends; all of it, if there is nothing else.
pub(super) fn without(text: &str) -> &str {
    let behind = without_opening(text);
    let left = without_thanks(behind);
    if left.len() < LEAST_LEFT { text } else { left }
}

fn without_opening(text: &str) -> &str {
    let mut rest = text;
    for _ in 0..MOST_PHRASES {
        let shorter = after_phrase(rest).or_else(|| after_prefix(rest));
        match shorter {
            Some(shorter) if shorter.len() >= LEAST_LEFT => rest = shorter,
            _ => break,
        }
    }
    if rest.len() < text.len() {
        // "Sorry to bother you, but …".
        return after_word(rest, &["but", "and"]).unwrap_or(rest);
    }
    rest
}

/// The text that follows a courteous phrase or a claim that ends with a mark.
fn after_phrase(text: &str) -> Option<&str> {
    // A claim in brackets may have marks inside.
    let inner = text.strip_prefix(['[', '(', '#']).unwrap_or(text);
    let closing: &[u8] = if text.starts_with('[') {
        b"]"
    } else if text.starts_with('(') {
        b")"
    } else {
        b",.!?:;\n"
    };
    let end = inner
        .bytes()
        .take(MOST_PHRASE)
        .position(|byte| closing.contains(&byte))?;
    let (phrase, rest) = inner.split_at_checked(end)?;
    // Before a colon several words without content introduce, whatever they are.
    let introduces = rest.starts_with(": ") && words(phrase).nth(1).is_some();
    if !(is_empty_talk(phrase) || introduces && words(phrase).all(|word| is_any_of(word, FILLER))) {
        return None;
    }
    let rest = rest.trim_start_matches([',', '.', '!', '?', ':', ';', ')', ']']);
    Some(rest.trim_start())
}

/// Whether a phrase is courtesy or a claim, and nothing else.
fn is_empty_talk(phrase: &str) -> bool {
    let (mut courteous, mut claims, mut about) = (false, false, false);
    for word in words(phrase) {
        let kinds = kinds_of(word);
        if kinds & (OPENER | CLAIM | OTHER | FILLER) == 0 {
            return false;
        }
        courteous |= kinds & OPENER != 0;
        claims |= kinds & CLAIM != 0;
        about |= kinds & OTHER != 0;
    }
    claims || (courteous && !about)
}

fn after_prefix(text: &str) -> Option<&str> {
    if let Some(rest) = after_word(text, &PREFIXES) {
        return Some(rest);
    }
    // "Could you please …".
    let rest = after_word(text, &["could", "can", "would", "will"])?;
    let rest = after_word(rest, &["you"])?;
    after_word(rest, &["please", "kindly"])
}

/// The text that follows the first word, if it is one of `words` and a space stands behind it.
fn after_word<'a>(text: &'a str, words: &[&str]) -> Option<&'a str> {
    let end = text
        .bytes()
        .take(MOST_PHRASE)
        .position(|byte| byte == b' ')?;
    let (word, rest) = text.split_at_checked(end)?;
    is_one_of(word, words).then(|| rest.trim_start())
}

fn without_thanks(text: &str) -> &str {
    let mut rest = without_signature(text);
    for _ in 0..MOST_PHRASES {
        match before_thanks(rest).or_else(|| before_claim(rest)) {
            Some(shorter) if shorter.len() >= LEAST_LEFT => rest = shorter,
            _ => break,
        }
    }
    rest
}

/// The text without a name in the last line, if the line before it ends a letter.
fn without_signature(text: &str) -> &str {
    let lines = |text: &str| {
        text.bytes()
            .rev()
            .take(MOST_PHRASE)
            .position(|byte| byte == b'\n')
    };
    let Some(name) = lines(text) else {
        return text;
    };
    let Some((before, name)) = text.split_at_checked(text.len() - name) else {
        return text;
    };
    let before = before.trim_end();
    let closing = lines(before).and_then(|size| before.get(before.len() - size..));
    let closes = closing.is_some_and(|line| {
        line.ends_with(',') && words(line).all(|word| is_any_of(word, THANK | THANK_FILLER))
    });
    if closes && words(name).count() <= 3 {
        before
    } else {
        text
    }
}

/// The text before a claim that is the last line, the last sentence or in brackets.
fn before_claim(text: &str) -> Option<&str> {
    let bare = text.trim_end_matches(['.', '!', ' ', '\n']);
    let from = bare.len().saturating_sub(MOST_PHRASE);
    let opening: &[u8] = if bare.ends_with(']') {
        b"["
    } else if bare.ends_with(')') {
        b"("
    } else {
        b".!?\n"
    };
    let window = bare.as_bytes().get(from..)?;
    let at = from + window.iter().rposition(|byte| opening.contains(byte))?;
    let (before, phrase) = bare.split_at_checked(at)?;
    let mark = phrase.get(..1)?;
    let keeps_mark = !matches!(mark, "[" | "(" | "\n");
    let end = if keeps_mark { at + 1 } else { before.len() };
    let claims = is_empty_talk(phrase) && words(phrase).any(|word| is_any_of(word, CLAIM));
    claims.then(|| text.get(..end).unwrap_or(text).trim_end())
}

/// The text before thanks at the end.
fn before_thanks(text: &str) -> Option<&str> {
    let from = text.len().saturating_sub(MOST_PHRASE);
    let from = (from..text.len()).find(|at| text.is_char_boundary(*at))?;
    let (start, mut rest) = text.split_at_checked(from)?;
    let mut thankful = false;
    let mut cut = None;
    while let Some((before, word)) = last_word(rest) {
        let kinds = kinds_of(word);
        if kinds & (THANK | THANK_FILLER) == 0 {
            break;
        }
        thankful |= kinds & THANK != 0;
        rest = before;
        if thankful && kinds & THANK_START != 0 {
            cut = Some(before.len());
        }
    }
    let quoted = text.get(..start.len() + cut?)?;
    let before = quoted.trim_end();
    let spoken_of = before.ends_with([':', '='])
        || quoted.ends_with(['"', '“', '‘', '\'', '`', '«', '('])
        || last_word(before)
            .is_some_and(|(_, word)| before.ends_with(word) && is_any_of(word, SAYING));
    (!spoken_of).then(|| before.trim_end_matches([' ', '\n', '\t', ',', '-', '–', '(']))
}

/// The words of a phrase; an apostrophe belongs to its word.
fn words(phrase: &str) -> impl Iterator<Item = &str> {
    phrase.split(parts_words).filter(|word| !word.is_empty())
}

/// The last word and what stands before it.
fn last_word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_end_matches(parts_words);
    let at = text
        .char_indices()
        .rev()
        .take_while(|(_, letter)| !parts_words(*letter))
        .last()?
        .0;
    text.split_at_checked(at)
}

fn parts_words(letter: char) -> bool {
    !letter.is_alphanumeric() && letter != '\''
}

/// Whether a word is in one of these lists.
fn is_any_of(word: &str, kinds: Kinds) -> bool {
    kinds_of(word) & kinds != 0
}
