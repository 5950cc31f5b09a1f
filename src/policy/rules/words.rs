//! Finds the words of all rules in one pass over a text, however many words there are.
//!
//! A trie over case-folded letters. A text is read letter by letter: a letter moves on by at most one table look-up, and
//! once a word has left the trie its remaining letters are only stepped over. So time grows with the text alone; the bound
//! is held by `tests/fuzz_replay.rs`, which counts steps.
//!
//! Words are runs of letters, their marks and digits in any script. Folding is Unicode's simple case folding, and: `ß` is `ss`, final
//! `ς` is `σ`, and Turkish dotted and dotless `i` are one letter, so that the capitals of all three are found. Characters
//! that a reader cannot see inside a word (soft hyphen, space without width, joiners) do not divide it, and full-width letters
//! and digits are those of ASCII.

use crate::analysis::steps::{Steps, Uncounted};
use crate::policy::pattern::Pattern;
use crate::policy::rules::marks::{is_mark, other_spellings};

/// Which of the patterns of a [`WordMatcher`] a text has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FoundWords {
    bits: Vec<u64>,
}

impl FoundWords {
    /// Whether one of these patterns was found.
    pub fn has_any(&self, ids: &[u32]) -> bool {
        ids.iter().any(|id| {
            let word = self.bits.get((id / 64) as usize).copied();
            word.unwrap_or_default() >> (id % 64) & 1 == 1
        })
    }

    fn add(&mut self, id: u32) {
        if let Some(word) = self.bits.get_mut((id / 64) as usize) {
            *word |= 1 << (id % 64);
        }
    }
}

/// No pattern, no node.
const NONE: u32 = u32::MAX;

/// The node at which every word begins.
const START: u32 = 0;

/// A node of the trie: the patterns that end here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Node {
    whole: u32,
    prefix: u32,
}

/// A way from a node to another by a letter. The letter is part of the key; key 0 is an empty slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Edge {
    key: u64,
    to: u32,
}

/// The words of all rules of a policy, compiled into one automaton.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WordMatcher {
    nodes: Vec<Node>,
    /// The edges from [`START`] by ASCII letters, which most words of a text take or fail to take.
    first: Vec<u32>,
    /// All edges: an open hash table, at most half full, its length a power of two.
    edges: Vec<Edge>,
    patterns: u32,
    /// Classes of the common letters beyond ASCII; empty if there are no patterns.
    letters: Vec<u8>,
}

impl WordMatcher {
    /// Takes in the words of one rule after another and gives the identifiers of its patterns.
    #[inline(never)]
    pub fn compile<'a>(
        rules: impl IntoIterator<Item = &'a [Pattern]>,
    ) -> (WordMatcher, Vec<Vec<u32>>) {
        let mut matcher = WordMatcher::default();
        let mut edges = std::collections::BTreeMap::new();
        let ids = rules
            .into_iter()
            .map(|words| {
                let mut ids = Vec::new();
                for word in words {
                    ids.push(matcher.insert(word, &mut edges));
                    ids.extend(other_spellings(word).map(|word| matcher.insert(&word, &mut edges)));
                }
                ids
            })
            .collect();
        matcher.edges = vec![Edge::default(); (edges.len() * 2).next_power_of_two()];
        matcher.first = vec![NONE; 128];
        if matcher.patterns > 0 {
            matcher.letters = (0..COMMON).map(look_up).collect();
        }
        for (key, to) in edges {
            // The keys of edges from the start are their letters.
            if let (0..128, Some(slot)) = (key, matcher.first.get_mut(key as usize & 127)) {
                *slot = to;
            }
            let mut at = matcher.slot_of(key);
            while matcher.edges.get(at).is_some_and(|edge| edge.key != 0) {
                at = (at + 1) & (matcher.edges.len() - 1);
            }
            if let Some(slot) = matcher.edges.get_mut(at) {
                *slot = Edge { key, to };
            }
        }
        (matcher, ids)
    }

    #[inline(never)]
    fn insert(&mut self, word: &Pattern, edges: &mut std::collections::BTreeMap<u64, u32>) -> u32 {
        let empty = Node {
            whole: NONE,
            prefix: NONE,
        };
        if self.nodes.is_empty() {
            self.nodes.push(empty);
        }
        let mut node = START;
        for letter in word.text().chars() {
            fold(letter, &mut |letter| {
                node = *edges.entry(key(node, letter)).or_insert_with(|| {
                    self.nodes.push(empty);
                    self.nodes.len() as u32 - 1
                });
            });
        }
        let next = self.patterns;
        let Some(ends) = self.nodes.get_mut(node as usize) else {
            return NONE;
        };
        let id = if word.is_prefix() {
            &mut ends.prefix
        } else {
            &mut ends.whole
        };
        if *id == NONE {
            *id = next;
            self.patterns += 1;
        }
        *id
    }

    /// Which patterns the texts have.
    pub fn find<'t>(&self, texts: impl IntoIterator<Item = &'t str>) -> FoundWords {
        self.find_counting(texts, &mut Uncounted)
    }

    /// Like [`WordMatcher::find`], and counts the steps.
    pub fn find_counting<'t>(
        &self,
        texts: impl IntoIterator<Item = &'t str>,
        steps: &mut impl Steps,
    ) -> FoundWords {
        let mut found = FoundWords {
            bits: vec![0; self.patterns.div_ceil(64) as usize],
        };
        if self.patterns > 0 {
            for text in texts {
                self.scan(text, &mut found, steps);
            }
        }
        found
    }

    fn scan(&self, text: &str, found: &mut FoundWords, steps: &mut impl Steps) {
        let bytes = text.as_bytes();
        steps.add(bytes.len());
        let mut node = START;
        let mut at = 0;
        self.mark(self.prefix_of(START), found, !text.is_empty());
        while let Some(byte) = bytes.get(at) {
            let class = ASCII.get(usize::from(*byte)).copied().unwrap_or_default();
            if class == OTHER {
                let letter = text.get(at..).and_then(|rest| rest.chars().next());
                let letter = letter.unwrap_or(char::REPLACEMENT_CHARACTER);
                at += letter.len_utf8();
                match self.class_of(letter) {
                    Class::Divider => {}
                    Class::Invisible => continue,
                    _ if node == NONE => continue,
                    Class::Same => {
                        node = self.step(node, letter, found, steps);
                        continue;
                    }
                    Class::Folded => {
                        fold(letter, &mut |letter| {
                            node = self.step(node, letter, found, steps)
                        });
                        continue;
                    }
                }
            } else {
                at += 1;
                if class != DIVIDER {
                    if node == START {
                        node = self.first.get(usize::from(class)).copied().unwrap_or(NONE);
                        self.mark(self.prefix_of(node), found, true);
                    } else if node != NONE {
                        node = self.step(node, char::from(class), found, steps);
                    }
                    continue;
                }
            }
            // A word has ended, or none has begun.
            if node != START {
                self.mark(self.whole_of(node), found, true);
                node = START;
            }
        }
        if node != START {
            self.mark(self.whole_of(node), found, true);
        }
    }

    /// The node that `letter` leads to from `node`, its prefix pattern found.
    fn step(&self, node: u32, letter: char, found: &mut FoundWords, steps: &mut impl Steps) -> u32 {
        if node == NONE {
            return NONE;
        }
        let key = key(node, letter);
        let mut at = self.slot_of(key);
        while let Some(edge) = self.edges.get(at) {
            steps.add(1);
            if edge.key == key {
                self.mark(self.prefix_of(edge.to), found, true);
                return edge.to;
            }
            if edge.key == 0 {
                break;
            }
            at = (at + 1) & (self.edges.len() - 1);
        }
        NONE
    }

    fn class_of(&self, letter: char) -> Class {
        match self.letters.get(letter as usize) {
            Some(0) => return Class::Divider,
            Some(1) => return Class::Invisible,
            Some(2) => return Class::Same,
            Some(_) => return Class::Folded,
            None => {}
        }
        match letter {
            // Ideographs and Korean syllables, kana; full-width digits and letters.
            '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' => Class::Same,
            '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}' => Class::Same,
            '\u{ff10}'..='\u{ff19}' | '\u{ff21}'..='\u{ff3a}' | '\u{ff41}'..='\u{ff5a}' => {
                Class::Folded
            }
            '\u{ff01}'..='\u{ff0f}' | '\u{e000}'..='\u{f8ff}' => Class::Divider,
            _ => classify(letter),
        }
    }

    fn slot_of(&self, key: u64) -> usize {
        // The high bits of a product by the golden ratio are spread evenly.
        let bits = self.edges.len().trailing_zeros();
        (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & ((1 << bits) - 1)
    }

    fn prefix_of(&self, node: u32) -> u32 {
        let node = self.nodes.get(node as usize);
        node.map_or(NONE, |node| node.prefix)
    }

    fn whole_of(&self, node: u32) -> u32 {
        let node = self.nodes.get(node as usize);
        node.map_or(NONE, |node| node.whole)
    }

    fn mark(&self, pattern: u32, found: &mut FoundWords, is_so: bool) {
        if pattern != NONE && is_so {
            found.add(pattern);
        }
    }
}

fn key(node: u32, letter: char) -> u64 {
    u64::from(node) << 32 | u64::from(u32::from(letter))
}

const DIVIDER: u8 = 0;

const OTHER: u8 = 0xff;

/// Class of each ASCII byte: itself in lower case, or [`DIVIDER`]; [`OTHER`] for the bytes of longer characters.
const ASCII: [u8; 256] = {
    let mut table = [OTHER; 256];
    let mut byte: u8 = 0;
    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
    while byte < 128 {
        table[byte as usize] = if byte.is_ascii_alphanumeric() {
            byte.to_ascii_lowercase()
        } else {
            DIVIDER
        };
        byte += 1;
    }
    table
};

/// The class of a character in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Divider,
    /// Not seen by a reader: nothing.
    Invisible,
    /// A letter or digit that counts as itself.
    Same,
    /// A letter that counts as another one, or as two.
    Folded,
}

/// The characters that are looked up once when a policy is compiled: Unicode's own tables take ten times as long.
const COMMON: u32 = 0x3040;

fn look_up(code: u32) -> u8 {
    char::from_u32(code).map_or(Class::Divider, classify) as u8
}

fn classify(letter: char) -> Class {
    if is_invisible(letter) {
        return Class::Invisible;
    }
    if is_mark(letter) {
        return Class::Same;
    }
    if !letter.is_alphanumeric() {
        return Class::Divider;
    }
    let mut count = 0;
    let mut same = true;
    fold(letter, &mut |folded| {
        count += 1;
        same &= folded == letter;
    });
    if same && count == 1 {
        Class::Same
    } else {
        Class::Folded
    }
}

/// Whether a character inside a word is none for its reader: soft hyphen, space without width, joiners, marks of direction,
/// byte order mark.
const fn is_invisible(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}'
    )
}

/// The ASCII letter or digit, in lower case, that a full-width one is; other characters as they are.
fn full_width(letter: char) -> char {
    let narrow = u32::from(letter)
        .checked_sub(0xfee0)
        .and_then(char::from_u32);
    match narrow {
        Some(narrow) if narrow.is_ascii_alphanumeric() => narrow.to_ascii_lowercase(),
        _ => letter,
    }
}

/// Gives the letters that `letter` counts as, whatever its case.
fn fold(letter: char, give: &mut impl FnMut(char)) {
    match letter {
        'ß' | 'ẞ' => {
            give('s');
            give('s');
        }
        'ς' => give('σ'),
        'İ' | 'ı' => give('i'),
        'ſ' => give('s'),
        '\u{ff10}'..='\u{ff5a}' => give(full_width(letter)),
        _ => letter.to_lowercase().for_each(give),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::analysis::steps::Counted;

    fn patterns(words: &[&str]) -> Vec<Pattern> {
        words
            .iter()
            .map(|word| Pattern::parse(word).unwrap())
            .collect()
    }

    fn has(word: &str, text: &str) -> bool {
        let words = patterns(&[word]);
        let (matcher, ids) = WordMatcher::compile([words.as_slice()]);
        matcher.find([text]).has_any(&ids[0])
    }

    #[test]
    fn words_are_whole_and_their_case_does_not_matter() {
        for (word, text) in [
            ("warfarin", "Interactions of Warfarin, please"),
            ("warfarin", "warfarin"),
            ("warfarin", "(WARFARIN)"),
            ("warfarin", "war\u{ad}farin"),
            ("warfarin", "war\u{200b}far\u{2069}in"),
            ("warfarin", "Ｗａｒｆａｒｉｎ"),
            ("r2d2", "Ｒ２Ｄ２"),
            ("warfarin", "x-warfarin_y"),
            ("über", "ÜBER uns"),
            ("leas*", "two LEASES"),
            ("leas*", "leas"),
            ("lea*", "a LEASE"),
            ("*", "x"),
            ("don", "don't"),
            ("café", "two cafe\u{301}s? no, one CAFE\u{301}!"),
            ("cafe\u{301}", "one café"),
            ("việ*", "vie\u{323}\u{302}t nam"),
            ("हत्या", "यह हत्या है"),
            ("\u{91c}\u{93c}हर", "\u{95b}हर।"),
            ("straße", "HAUPT STRASSE"),
            ("strasse", "die Straße"),
            ("οδος", "ΟΔΟΣ"),
            ("οδοσ", "οδος"),
            ("istanbul", "İSTANBUL"),
            ("ışık", "IŞIK"),
            ("ångström", "\u{212b}ngström"),
            ("лекарство", "ЛЕКАРСТВО?"),
            ("ёлка", "Ёлка"),
            ("薬", "この 薬 は"),
            ("r2d2", "R2D2!"),
            ("42", "room 42"),
        ] {
            assert!(has(word, text), "{word} in {text}");
        }
        for (word, text) in [
            ("warfarin", ""),
            ("warfarin", "warfari"),
            ("warfarin", "warfarina"),
            ("warfarin", "awarfarin"),
            ("warfarin", "warfariné"),
            ("lease", "please release me"),
            ("leas*", "pleas lea s"),
            ("uber", "über"),
            ("42", "420 142"),
            ("薬", "薬局"),
        ] {
            assert!(!has(word, text), "{word} in {text}");
        }
    }

    #[test]
    fn each_rule_gets_its_own_words() {
        let rules = [
            patterns(&["insulin", "warfarin"]),
            patterns(&[]),
            patterns(&["warfarin", "lawsuit*"]),
            patterns(&["insul*"]),
        ];
        let (matcher, ids) = WordMatcher::compile(rules.iter().map(Vec::as_slice));
        let matched = |text: &str| {
            let found = matcher.find([text]);
            let held = ids.iter().map(|ids| found.has_any(ids));
            held.collect::<Vec<_>>()
        };
        assert_eq!(matched("take Warfarin"), [true, false, true, false]);
        assert_eq!(matched("take insulin"), [true, false, false, true]);
        assert_eq!(matched("insulins"), [false, false, false, true]);
        assert_eq!(matched("two lawsuits"), [false, false, true, false]);
        assert_eq!(matched("nothing"), [false; 4]);
        let both = matcher.find(["warfarin", "insulation"]);
        assert!(both.has_any(&ids[0]) && both.has_any(&ids[3]));
        let (none, _) = WordMatcher::compile([[].as_slice()]);
        assert!(!none.find(["x"]).has_any(&[0]));
    }

    /// The reference that the automaton replaced: each word of a text compared with each pattern.
    fn slow(pattern: &Pattern, text: &str) -> bool {
        let mut words = text.split(|letter: char| !letter.is_alphanumeric());
        let lower = |text: &str| {
            text.chars()
                .flat_map(char::to_lowercase)
                .collect::<String>()
        };
        words.any(|word| pattern.matches(&lower(word)) && !word.is_empty())
    }

    #[test]
    fn the_automaton_says_what_a_comparison_word_by_word_says() {
        let words = ["a", "ab", "abc", "b*", "ca*", "bca", "ü", "üb*", "cc", "1b"];
        let patterns = patterns(&words);
        let sets: Vec<&[Pattern]> = patterns.iter().map(std::slice::from_ref).collect();
        let (matcher, ids) = WordMatcher::compile(sets);
        let letters: Vec<char> = "abcABC üÜ1-".chars().collect();
        let mut state = 1_u64;
        for _ in 0..5_000 {
            let mut text = String::new();
            for _ in 0..8 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                text.push(letters[(state >> 33) as usize % letters.len()]);
            }
            let found = matcher.find([text.as_str()]);
            for (pattern, ids) in patterns.iter().zip(&ids) {
                assert_eq!(
                    found.has_any(ids),
                    slow(pattern, &text),
                    "{pattern:?} in `{text}`"
                );
            }
        }
    }

    #[test]
    fn shortcuts_of_common_scripts_agree_with_unicode() {
        let words = patterns(&["x"]);
        let (matcher, _) = WordMatcher::compile([words.as_slice()]);
        for letter in '\u{80}'..=char::MAX {
            assert_eq!(matcher.class_of(letter), classify(letter), "{letter:?}");
            let is_special = matches!(letter, 'ß' | 'ẞ' | 'ς' | 'İ' | 'ı' | 'ſ');
            if is_invisible(letter) || is_special || full_width(letter) != letter {
                continue;
            }
            assert_eq!(
                classify(letter) != Class::Divider,
                letter.is_alphanumeric() || is_mark(letter),
                "{letter:?}"
            );
            let mut folded = String::new();
            fold(letter, &mut |letter| folded.push(letter));
            assert_eq!(
                folded,
                letter.to_lowercase().collect::<String>(),
                "{letter:?}"
            );
        }
    }

    #[test]
    fn a_thousand_words_take_no_more_steps_than_one() {
        let words: Vec<String> = (0..1000).map(|n| format!("word{n}*")).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let words = patterns(&words);
        let (matcher, _) = WordMatcher::compile([words.as_slice()]);
        for text in ["word", "wor ", "word1", "word999 ", "ß", "Ｗ"] {
            let text = text.repeat(20_000);
            let mut steps = Counted::default();
            matcher.find_counting([text.as_str()], &mut steps);
            assert!(
                steps.0 <= 4 * text.len() as u64,
                "{} for {}",
                steps.0,
                text.len()
            );
        }
    }
}
