//! Finds the question in a user turn, apart from what stands around it: a log prefix, retrieved passages, courtesy.
//!
//! How hard a question is hardly depends on these, and a bag of words would drown in them. Rules here read the start and the end
//! of a text alone, so the work is bounded for any input. What no rule is sure of stays in the question.

mod courtesy;
mod words;

/// The question in the text of a turn: a piece of it, empty only if the turn is.
pub fn find(turn: &str) -> &str {
    let message = without_log_prefix(turn.trim());
    courtesy::without(apart_from_passages(message).unwrap_or(message))
}

/// Bytes of a turn below which it has no room for passages.
const LEAST_TURN: usize = 400;

/// Most bytes of a question that stands beside passages.
const MOST_QUESTION: usize = 1_500;

/// Most bytes of a demand beside passages, which no question mark ends.
const MOST_DEMAND: usize = 300;

/// Bytes at the end of a turn where the last passage is looked for.
const END: usize = 4_096;

/// Bytes of what stands beside the question that tell whether it is passages.
const SAMPLE: usize = 1_200;

/// Most bytes of a label such as `Answer:`.
const MOST_LABEL: usize = 24;

/// The question that stands before or after passages, if there is one.
fn apart_from_passages(text: &str) -> Option<&str> {
    if text.len() < LEAST_TURN {
        return None;
    }
    let text = without_last_label(text);
    labelled(text)
        .or_else(|| beside_marked(text))
        .or_else(|| beside_prose(text))
}

/// The text without a bare label such as `Answer:` in its last line.
fn without_last_label(text: &str) -> &str {
    match split_last(text, 1, MOST_LABEL) {
        Some((before, label)) if label.ends_with(':') => before,
        _ => text,
    }
}

/// The question behind a label such as `Question:`, with passages before it.
fn labelled(text: &str) -> Option<&str> {
    let mut from = text.len();
    for _ in 0..MOST_LINES {
        let (before, line) = text.get(..from)?.rsplit_once('\n')?;
        from = before.len();
        if text.len() - from > MOST_QUESTION {
            return None;
        }
        if is_labelled(line) && has_passages(before) {
            let question = text.get(from..)?.trim();
            return Some(unlabelled(question));
        }
    }
    None
}

/// Most lines of a question.
const MOST_LINES: usize = 48;

/// The question before the first or after the last passage that a line announces.
fn beside_marked(text: &str) -> Option<&str> {
    let mut lines = Lines(text, 0);
    let first = lines
        .find(|(at, line)| *at > MOST_QUESTION || is_passage_line(line))?
        .0;
    let (head, passages) = text.split_at_checked(first)?;
    let head = head.trim();
    if first > MOST_QUESTION || passages.len() < LEAST_TURN / 2 {
        return None;
    }
    if asks(head) {
        return Some(unlabelled(head));
    }
    let behind = behind_last_passage(passages);
    let behind = behind.filter(|tail| asks(tail) || may_demand(head, tail));
    let may_stand_before = !head.is_empty() && !head.starts_with(['[', '(', '<']);
    behind.or(may_stand_before.then_some(head)).map(unlabelled)
}

/// Whether the text behind passages is what is asked: it is short, and what stands before them is nothing, or speaks of them.
fn may_demand(head: &str, tail: &str) -> bool {
    let speaks_of_passages = || {
        words_of(head).any(|word| {
            is_one_of(word, &PASSAGE_LABELS) || is_one_of(word, &["following", "below"])
        })
    };
    tail.len() <= MOST_DEMAND && (head.is_empty() || speaks_of_passages())
}

/// The text that follows the last passage behind a blank line or a closing tag.
fn behind_last_passage(passages: &str) -> Option<&str> {
    let from = passages.len().saturating_sub(END);
    let from = (from..passages.len()).find(|at| passages.is_char_boundary(*at))?;
    let end = passages.get(from..)?;
    let last = Lines(end, 0)
        .filter(|(_, line)| is_passage_line(line))
        .last();
    let end = end.get(last.map_or(0, |(at, _)| at)..)?;
    let close = Lines(end, 0)
        .filter(|(_, line)| line.starts_with("</"))
        .last();
    let close = close.and_then(|(at, line)| end.get(..at + line.len()));
    let rest = match close {
        Some(before) => end.get(before.len()..)?,
        None => end.split_once("\n\n")?.1,
    };
    let rest = rest.trim();
    let last = split_last(rest, 2, MOST_QUESTION).filter(|_| rest.len() > MOST_DEMAND);
    let tail = last.map_or(rest, |(_, last)| last);
    (!tail.is_empty()).then_some(tail)
}

/// The question before or after long prose that nothing announces.
fn beside_prose(text: &str) -> Option<&str> {
    let at_end = split_last(text, 2, MOST_DEMAND).filter(|(before, _)| is_prose(before));
    if let Some((_, last)) = at_end.filter(|(_, last)| asks(last)) {
        return Some(unlabelled(last));
    }
    let start = text.as_bytes().get(..MOST_DEMAND.min(text.len()))?;
    let blank = start.windows(2).position(|pair| pair == b"\n\n");
    if let Some((first, behind)) = blank.and_then(|at| text.split_at_checked(at))
        && is_prose(behind.trim())
    {
        return asks(first.trim()).then(|| unlabelled(first.trim()));
    }
    // Several paragraphs, then a demand much shorter than they are: alone, it might be all there is to say.
    let (before, last) = at_end?;
    let paragraphs = sample(before).contains("\n\n");
    (paragraphs && last.len() * 8 < before.len()).then(|| unlabelled(last))
}

/// The text before the last `breaks` ends of lines in a row and what follows them, where that is not longer than `most`.
fn split_last(text: &str, breaks: usize, most: usize) -> Option<(&str, &str)> {
    let from = text.len().saturating_sub(most + breaks);
    let window = text.as_bytes().get(from..)?;
    let mut parts = window.windows(breaks);
    let at = parts.rposition(|part| part.iter().all(|byte| *byte == b'\n'))?;
    let (before, last) = text.split_at_checked(from + at)?;
    let (before, last) = (before.trim_end(), last.trim());
    (!before.is_empty() && !last.is_empty()).then_some((before, last))
}

/// Lines of a text, each with the place of its first byte.
struct Lines<'a>(&'a str, usize);

impl<'a> Iterator for Lines<'a> {
    type Item = (usize, &'a str);

    fn next(&mut self) -> Option<(usize, &'a str)> {
        let rest = self.0.get(self.1..).filter(|rest| !rest.is_empty())?;
        let line = rest.split('\n').next()?;
        let at = self.1;
        self.1 += line.len() + 1;
        Some((at, line))
    }
}

/// Whether it ends as a question does.
fn asks(block: &str) -> bool {
    block.len() <= MOST_QUESTION && block.ends_with(['?', '？', '؟'])
}

/// First words of a line that say: a question follows.
const QUESTION_LABELS: [&str; 8] = [
    "question",
    "query",
    "q",
    "user",
    "request",
    "task",
    "instruction",
    "ask",
];

/// A block's text without its label, if it has one.
fn unlabelled(block: &str) -> &str {
    question_label(block).unwrap_or(block)
}

/// Whether a line is or begins with a label such as `Question:` or `**User question**:`.
fn is_labelled(line: &str) -> bool {
    label_end(line).is_some()
}

/// The length of a label at the start of a text, its mark included.
fn label_end(block: &str) -> Option<usize> {
    let bare = block.trim_start_matches(['#', '*', '<', '[', ' ']);
    if !may_begin_with(bare, b"aimqrstu") {
        return None;
    }
    let mark = |byte: u8| matches!(byte, b':' | b'>' | b'\n');
    let end = bare.bytes().take(MOST_LABEL).position(mark);
    let end = end
        .or_else(|| (bare.len() <= MOST_LABEL && bare.len() < block.len()).then_some(bare.len()))?;
    let label = bare.get(..end)?;
    let known = words_of(label)
        .all(|word| is_one_of(word, &QUESTION_LABELS) || is_one_of(word, &["my", "the", "s"]));
    (known && !label.is_empty()).then(|| block.len() - bare.len() + end + 1)
}

/// The text that follows a label.
fn question_label(block: &str) -> Option<&str> {
    let rest = block
        .get(label_end(block)?..)?
        .trim_start_matches(['*', ' ', '\n']);
    (!rest.is_empty()).then_some(rest)
}

fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
}

fn is_one_of(word: &str, words: &[&str]) -> bool {
    words.iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// Whether the first word of a text may begin with one of these letters: `false` only if it is sure, from one byte.
fn may_begin_with(text: &str, letters: &[u8]) -> bool {
    let first = text.bytes().next().unwrap_or_default();
    !first.is_ascii_alphanumeric() || letters.contains(&first.to_ascii_lowercase())
}

/// First words of lines that say: what follows was looked up.
const PASSAGE_LABELS: [&str; 20] = [
    "article",
    "articles",
    "chunk",
    "context",
    "contexts",
    "doc",
    "docs",
    "document",
    "documents",
    "excerpt",
    "excerpts",
    "knowledge",
    "passage",
    "passages",
    "retrieved",
    "search",
    "snippet",
    "snippets",
    "source",
    "sources",
];

/// Whether a text says that it is passages: lines with labels or numbers of documents, near its start or its end.
fn has_passages(text: &str) -> bool {
    let start = sample(text);
    if start.lines().take(24).any(is_passage_line) {
        return true;
    }
    let from = text.len().saturating_sub(SAMPLE / 4);
    let end = (from..text.len()).find_map(|at| text.get(at..));
    end.is_some_and(|end| end.lines().skip(1).any(is_passage_line))
}

/// The start of a text, as far as it is looked at.
fn sample(text: &str) -> &str {
    let most = SAMPLE.min(text.len());
    (0..4)
        .find_map(|less| text.get(..most.saturating_sub(less)))
        .unwrap_or("")
}

/// Whether a line begins a passage: `[2] …`, `Passage 3: …`, `<document>`, `## Context`, `Source: …`.
fn is_passage_line(line: &str) -> bool {
    let line = line.trim();
    if let [b'[', digit, rest @ ..] = line.as_bytes()
        && digit.is_ascii_digit()
    {
        return rest.iter().take(3).any(|byte| *byte == b']');
    }
    let bare = line.trim_start_matches(['#', '*', '<', '[', '(', '=', '-', '/', ' ']);
    let framed = bare.len() < line.len();
    if !may_begin_with(bare, b"acdekprs") {
        return false;
    }
    let mut words = words_of(bare);
    let Some(first) = words.next() else {
        return false;
    };
    if !is_one_of(first, &PASSAGE_LABELS) {
        return false;
    }
    let numbered = words
        .next()
        .is_some_and(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
    let colon = bare.bytes().take(48).any(|byte| byte == b':');
    colon || numbered || (framed && line.len() <= 80)
}

/// Words of people who speak of themselves or to somebody: passages have none.
const PERSONAL: [&str; 14] = [
    "i", "me", "my", "mine", "we", "us", "our", "you", "your", "im", "he", "she", "said", "dear",
];

/// Share of letters and spaces in prose.
const PROSE: f32 = 0.9;

/// Whether a long text is impersonal prose, as passages are that nothing announces: no letter, story, code, table or list of
/// options.
fn is_prose(text: &str) -> bool {
    let start = sample(text);
    // The letter of an option, or of a speaker.
    let lettered = start
        .bytes()
        .skip(1)
        .take(2)
        .any(|byte| matches!(byte, b'.' | b')' | b':'));
    if text.len() < LEAST_TURN || lettered || start.contains(['"', '“', '{', '=', '`', '|']) {
        return false;
    }
    let letters = start
        .chars()
        .filter(|letter| letter.is_alphabetic() || *letter == ' ')
        .count();
    let all = start.chars().count().max(1);
    let lines = start.lines().filter(|line| !line.trim().is_empty());
    let (count, bytes) = lines.fold((0, 0), |(count, bytes), line| {
        (count + 1, bytes + line.len())
    });
    let long_lines = bytes > count * 120;
    letters as f32 > PROSE * all as f32
        && long_lines
        && !words_of(start).any(|word| is_one_of(word, &PERSONAL))
}

/// Most words that a log prefix has.
const MOST_FIELDS: usize = 12;

/// Most bytes of one of them.
const MOST_FIELD: usize = 72;

/// The message of a log line: without time, level, identifiers and names before it.
fn without_log_prefix(text: &str) -> &str {
    let (mut rest, mut message) = (text, text);
    let (mut found, mut unknown) = (false, 0);
    for number in 0..MOST_FIELDS {
        let Some((word, behind)) = next_word(rest) else {
            break;
        };
        rest = behind;
        let (sure, perhaps) = field(word);
        let day = word.len() <= 2 && word.bytes().all(|byte| byte.is_ascii_digit());
        let date = (number == 0 && is_one_of(word, &MONTHS)) || (number == 1 && day);
        // Behind a name between fields, only the end of a name is another field: what has times in it may be the message.
        let follows = unknown == 0 || word.ends_with(':');
        if follows && (sure || (perhaps && found)) {
            found = true;
            message = rest;
        } else if found {
            // A name between fields, such as that of a host.
            unknown += 1;
        }
        if unknown > 2 || !(found || date) {
            break;
        }
    }
    if message.is_empty() { text } else { message }
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

const LEVELS: [&str; 9] = [
    "TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "WARNING", "ERROR", "CRITICAL", "FATAL",
];

/// The next word and the text behind it, if the word is short.
fn next_word(text: &str) -> Option<(&str, &str)> {
    let end = text
        .bytes()
        .take(MOST_FIELD)
        .position(|byte| byte.is_ascii_whitespace())?;
    let (word, behind) = text.split_at_checked(end)?;
    Some((word, behind.trim_start()))
}

/// Whether a word is a field of a log line: surely (a time, a level in capitals), or if such a one stands before it.
fn field(word: &str) -> (bool, bool) {
    let bare = word.trim_matches(['[', ']', '(', ')', '<', '>', ',', ':', '|', '-']);
    let digits = bare.bytes().filter(u8::is_ascii_digit).count();
    let clock = |byte: u8| byte.is_ascii_digit() || b"-:.,/TZ+".contains(&byte);
    let dashes = bare
        .bytes()
        .filter(|byte| matches!(byte, b'-' | b'/'))
        .count();
    let time = digits >= 4 && bare.bytes().all(clock) && (bare.contains(':') || dashes == 2);
    let bracketed = word.starts_with('[') && (word.ends_with(']') || word.ends_with("]:"));
    let sure = time
        || LEVELS.contains(&bare)
        || (bracketed && bare.contains(['=', '-', ':', '_']) && digits > 0);
    let key = word.split_once('=').is_some_and(|(key, _)| {
        !key.is_empty()
            && key
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
    });
    let name = word.ends_with(':') || word.ends_with("]:");
    (sure, bracketed || key || name || bare.is_empty())
}

#[cfg(test)]
mod tests;
