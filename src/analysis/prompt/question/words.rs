//! The words of courtesy, thanks and claims, and the table that finds them.

use crate::fnv;

/// The lists that a word is in, one bit each.
pub(super) type Kinds = u8;

/// See [`OPENERS`].
pub(super) const OPENER: Kinds = 1;
/// See [`FILLERS`].
pub(super) const FILLER: Kinds = 2;
/// See [`CLAIMS`].
pub(super) const CLAIM: Kinds = 4;
/// See [`ABOUT`].
pub(super) const OTHER: Kinds = 8;
/// See [`THANKS`].
pub(super) const THANK: Kinds = 16;
/// See [`THANK_STARTS`].
pub(super) const THANK_START: Kinds = 32;
/// See [`THANK_FILLERS`].
pub(super) const THANK_FILLER: Kinds = 64;
/// See [`SPOKEN_OF`].
pub(super) const SAYING: Kinds = 128;

const LISTS: [(Kinds, &[&str]); 8] = [
    (OPENER, &OPENERS),
    (FILLER, &FILLERS),
    (CLAIM, &CLAIMS),
    (OTHER, &ABOUT),
    (THANK, &THANKS),
    (THANK_START, &THANK_STARTS),
    (THANK_FILLER, &THANK_FILLERS),
    (SAYING, &SPOKEN_OF),
];

/// A power of two, over twice the number of words.
const PLACES: usize = 1024;

/// A word of the lists: list, index in it, and all lists that it is in; none if the place is empty.
type Place = (u8, u8, Kinds);

/// All words by their hash: a word of a text costs one look-up, where the lists together are 370 comparisons.
static TABLE: [Place; PLACES] = table();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn table() -> [Place; PLACES] {
    let mut table = [(0, 0, 0); PLACES];
    let mut list = 0;
    while list < LISTS.len() {
        let (kind, words) = LISTS[list];
        let mut index = 0;
        while index < words.len() {
            let word = words[index].as_bytes();
            let mut place = place(fnv::hash32(word));
            while table[place].2 != 0 {
                let (known_list, known, _) = table[place];
                if is_same(
                    word,
                    LISTS[known_list as usize].1[known as usize].as_bytes(),
                ) {
                    break;
                }
                place = (place + 1) % PLACES;
            }
            if table[place].2 == 0 {
                table[place] = (list as u8, index as u8, 0);
            }
            table[place].2 |= kind;
            index += 1;
        }
        list += 1;
    }
    table
}

const fn is_same(mut left: &[u8], mut right: &[u8]) -> bool {
    while let ([first, rest @ ..], [other, others @ ..]) = (left, right) {
        if *first != *other {
            return false;
        }
        (left, right) = (rest, others);
    }
    left.is_empty() && right.is_empty()
}

const fn place(hash: u32) -> usize {
    (hash ^ hash >> 15) as usize % PLACES
}

/// The lists that a word is in; ASCII letters may be capitals.
pub(super) fn kinds_of(word: &str) -> Kinds {
    let lower = word.bytes().map(|byte| byte.to_ascii_lowercase());
    let hash = lower.fold(fnv::START32, |hash, byte| {
        fnv::step32(hash, u32::from(byte))
    });
    let mut place = place(hash);
    // More than half of the places are free, so this ends.
    loop {
        let (list, index, kinds) = TABLE.get(place).copied().unwrap_or_default();
        if kinds == 0 {
            return 0;
        }
        let known = LISTS
            .get(usize::from(list))
            .and_then(|(_, words)| words.get(usize::from(index)));
        if known.is_some_and(|known| known.eq_ignore_ascii_case(word)) {
            return kinds;
        }
        place = (place + 1) % PLACES;
    }
}

/// Words that greet or excuse: a phrase before the question with one of them, and of no other words than these and
/// [`FILLERS`], is dropped.
const OPENERS: [&str; 33] = [
    "hi",
    "hello",
    "hey",
    "greetings",
    "morning",
    "afternoon",
    "evening",
    "please",
    "kindly",
    "kind",
    "sorry",
    "excuse",
    "pardon",
    "help",
    "helping",
    "hope",
    "hoping",
    "bother",
    "appreciate",
    "mind",
    "dear",
    "question",
    "quick",
    "favour",
    "favor",
    "hallo",
    "hola",
    "bonjour",
    "bitte",
    "ciao",
    "salut",
    "olá",
    "minute",
];

/// Words without content that such phrases also have.
const FILLERS: [&str; 71] = [
    "a",
    "again",
    "all",
    "am",
    "an",
    "and",
    "answer",
    "any",
    "anyone",
    "are",
    "assist",
    "assistant",
    "be",
    "but",
    "can",
    "could",
    "day",
    "do",
    "doing",
    "everyone",
    "find",
    "finds",
    "following",
    "for",
    "friend",
    "got",
    "good",
    "great",
    "have",
    "having",
    "here",
    "i",
    "i'd",
    "i'm",
    "i've",
    "if",
    "in",
    "is",
    "it",
    "just",
    "last",
    "little",
    "me",
    "moment",
    "my",
    "need",
    "one",
    "out",
    "quickly",
    "request",
    "sir",
    "so",
    "some",
    "something",
    "team",
    "there",
    "this",
    "to",
    "today",
    "trouble",
    "want",
    "was",
    "well",
    "when",
    "wish",
    "with",
    "would",
    "you",
    "you're",
    "your",
    "time",
];

/// Words that claim: a phrase with one of them, and of no other words than these, [`ABOUT`] and [`FILLERS`], is dropped.
const CLAIMS: [&str; 40] = [
    "trivial",
    "note",
    "warning",
    "easy",
    "simple",
    "basic",
    "hard",
    "difficult",
    "tough",
    "complex",
    "challenging",
    "advanced",
    "complexity",
    "difficulty",
    "effort",
    "priority",
    "tier",
    "level",
    "expert",
    "beginner",
    "child",
    "model",
    "models",
    "expensive",
    "cheap",
    "cheapest",
    "priciest",
    "strongest",
    "powerful",
    "smartest",
    "smallest",
    "ignore",
    "disregard",
    "forget",
    "genius",
    "kid",
    "toddler",
    "phd",
    "max",
    "min",
];

/// Other words of claims.
const ABOUT: [&str; 112] = [
    "absolute",
    "actually",
    "ai",
    "answers",
    "anybody",
    "away",
    "best",
    "big",
    "biggest",
    "bit",
    "but",
    "everything",
    "else",
    "enough",
    "even",
    "ever",
    "extremely",
    "fine",
    "five",
    "fully",
    "give",
    "hardest",
    "has",
    "high",
    "highly",
    "impossible",
    "incredibly",
    "instructions",
    "it's",
    "its",
    "kid's",
    "know",
    "knows",
    "large",
    "largest",
    "light",
    "low",
    "maximal",
    "maximum",
    "minimal",
    "minimum",
    "most",
    "must",
    "near",
    "need",
    "needs",
    "never",
    "no",
    "nobody",
    "none",
    "normal",
    "not",
    "nothing",
    "of",
    "old",
    "only",
    "open",
    "or",
    "possible",
    "previous",
    "problem",
    "questions",
    "rated",
    "rating",
    "really",
    "require",
    "required",
    "requires",
    "research",
    "rest",
    "science",
    "should",
    "small",
    "smart",
    "solve",
    "solved",
    "strong",
    "stuff",
    "super",
    "takes",
    "task",
    "that",
    "the",
    "these",
    "they",
    "think",
    "thinking",
    "tiny",
    "top",
    "total",
    "totally",
    "true",
    "truly",
    "unsolved",
    "use",
    "used",
    "using",
    "very",
    "way",
    "we",
    "weak",
    "will",
    "work",
    "world",
    "year",
    "yet",
    "10",
    "9",
    "8",
    "1",
    "2",
    "5",
];

/// Single words before a question that are dropped whatever follows.
pub(super) const PREFIXES: [&str; 8] = [
    "please", "kindly", "hi", "hello", "hey", "bitte", "hallo", "pls",
];

/// Words that thank or take leave: the end of a text from a word of [`THANK_STARTS`] on is dropped if it has one of them, and
/// otherwise only words of [`THANK_FILLERS`].
const THANKS: [&str; 25] = [
    "thank",
    "thanks",
    "thx",
    "ty",
    "please",
    "pls",
    "cheers",
    "regards",
    "appreciate",
    "appreciated",
    "grateful",
    "sincerely",
    "truly",
    "danke",
    "dank",
    "gracias",
    "merci",
    "grazie",
    "obrigado",
    "obrigada",
    "bitte",
    "greetings",
    "wishes",
    "glad",
    "спасибо",
];

/// Words before which no thanks end: they are what is spoken of ("How do you say thank you?").
const SPOKEN_OF: [&str; 12] = [
    "a", "an", "mean", "means", "say", "saying", "says", "the", "word", "words", "write", "for",
];

/// Words that thanks begin with.
const THANK_STARTS: [&str; 30] = [
    "thank",
    "thanks",
    "thx",
    "ty",
    "please",
    "pls",
    "cheers",
    "regards",
    "kind",
    "best",
    "warm",
    "many",
    "much",
    "sincerely",
    "yours",
    "i",
    "i'd",
    "i'll",
    "your",
    "any",
    "danke",
    "vielen",
    "muchas",
    "merci",
    "grazie",
    "obrigado",
    "obrigada",
    "bitte",
    "gracias",
    "спасибо",
];

/// Other words of thanks.
const THANK_FILLERS: [&str; 44] = [
    "a",
    "advance",
    "again",
    "all",
    "and",
    "any",
    "assistance",
    "be",
    "best",
    "bunch",
    "dank",
    "effort",
    "efforts",
    "for",
    "greatly",
    "help",
    "i",
    "i'd",
    "i'll",
    "if",
    "im",
    "in",
    "is",
    "it",
    "kind",
    "kindly",
    "lot",
    "many",
    "most",
    "much",
    "really",
    "so",
    "that",
    "this",
    "time",
    "to",
    "very",
    "vielen",
    "voraus",
    "warm",
    "would",
    "you",
    "your",
    "yours",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_found_with_all_its_lists_in_any_case() {
        let mut count = 0;
        for (_, words) in LISTS {
            for word in words {
                let lists = LISTS.iter().filter(|(_, words)| words.contains(word));
                let kinds = lists.fold(0, |kinds, (kind, _)| kinds | kind);
                assert_eq!(kinds_of(word), kinds, "{word}");
                assert_eq!(kinds_of(&word.to_ascii_uppercase()), kinds, "{word}");
                assert_eq!(*word, word.to_ascii_lowercase());
                count += 1;
            }
        }
        assert!(2 * count < PLACES, "{count}");
        for word in ["", "monad", "СПАСИБО", "hellos"] {
            assert_eq!(kinds_of(word), 0, "{word}");
        }
    }
}
