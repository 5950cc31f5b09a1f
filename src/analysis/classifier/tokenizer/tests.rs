//! Known ids, bounds and odd input.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice)]

use super::*;

/// One entry a line; the line number, from zero, is the id.
static VOCABULARY: &str = include_str!("../../../../models/vocabulary.txt");

/// The pieces that a text becomes, spelt out.
fn pieces(text: &str) -> Vec<&'static str> {
    let entries: Vec<&str> = VOCABULARY.lines().collect();
    let tokens = Tokenizer::new().tokenize(text);
    tokens
        .ids
        .iter()
        .take(tokens.len)
        .filter_map(|id| entries.get(usize::from(*id)).copied())
        .collect()
}

#[test]
fn every_entry_is_found_and_no_other_text_is() {
    let entries: Vec<&str> = VOCABULARY.lines().collect();
    assert_eq!(entries.first(), Some(&"[PAD]"));
    assert_eq!(entries.get(usize::from(UNKNOWN)), Some(&"[UNK]"));
    let known: std::collections::BTreeSet<&str> = entries.iter().copied().collect();
    let tokenizer = Tokenizer::new();
    for (id, entry) in entries.iter().enumerate().skip(2) {
        let bare = entry.strip_prefix("##").filter(|bare| !bare.is_empty());
        let word = ShortWord::new(bare.unwrap_or(entry).as_bytes());
        let continues = bare.is_some();
        assert_eq!(
            tokenizer.find(word, continues).map(usize::from),
            Some(id),
            "`{entry}`"
        );
        // The other kind of entry, and neighbours that are none.
        let text = bare.unwrap_or(entry);
        for (other, continues) in [
            (format!("##{text}"), true),
            (text.to_owned(), false),
            (format!("{text}q"), false),
            (format!("##{text}q"), true),
            (format!("q{text}"), false),
        ] {
            let bare = if continues { &other[2..] } else { &other };
            let found = tokenizer.find(ShortWord::new(bare.as_bytes()), continues);
            assert_eq!(
                found.is_some(),
                known.contains(other.as_str()),
                "`{other}`, {continues}"
            );
        }
    }
}

#[test]
fn short_words_are_their_bytes() {
    let word = ShortWord::new(b"telecommunications");
    assert_eq!(word.prefix(18), word);
    assert_eq!(word.prefix(100), word);
    for len in 0..18 {
        let text = b"telecommunications".get(..len).unwrap();
        let prefix = ShortWord::new(text);
        assert_eq!(word.prefix(len), prefix);
        assert_ne!(prefix.hash(0), word.hash(0));
        assert_ne!(prefix.hash(0), prefix.hash(1));
    }
    let long = [b'x'; 30];
    assert_eq!(ShortWord::new(&long), ShortWord::new(&long[..24]));
}

/// Expected pieces are those of the Python tokenizer of all-MiniLM-L6-v2 (tokenizers 0.23.3), whose vocabulary ours is cut from.
#[test]
fn pieces_are_those_of_the_reference() {
    let cases: [(&str, &[&str]); 6] = [
        ("Hello, World!", &["hello", ",", "world", "!"]),
        (
            "What is the capital of France?",
            &["what", "is", "the", "capital", "of", "france", "?"],
        ),
        (
            "def fib(n): return n if n < 2 else fib(n-1)",
            &[
                "def", "fi", "##b", "(", "n", ")", ":", "return", "n", "if", "n", "<", "2", "else",
                "fi", "##b", "(", "n", "-", "1", ")",
            ],
        ),
        (
            "Él niño comió crème brûlée",
            &[
                "el", "nino", "com", "##io", "cr", "##eme", "br", "##ule", "##e",
            ],
        ),
        (
            "unbelievably antidisestablishmentarianism",
            &[
                "un", "##bel", "##ie", "##va", "##bly", "anti", "##dis", "##est", "##ab", "##lish",
                "##ment", "##arian", "##ism",
            ],
        ),
        (
            "Привет мир",
            &["п", "##р", "##и", "##в", "##е", "##т", "м", "##и", "##р"],
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(pieces(text), expected, "`{text}`");
    }
}

#[test]
fn case_accents_controls_and_space_change_nothing() {
    let plain = pieces("naive cafe in zurich");
    assert_eq!(pieces("  NAÏVE\tcafé\u{0}\nIN Zürich "), plain);
    // The accent as a character of its own.
    assert_eq!(pieces("nai\u{308}ve cafe\u{301} in zu\u{308}rich"), plain);
}

#[test]
fn special_entries_cannot_be_spelt() {
    assert!(!pieces("[PAD] [UNK]").contains(&"[PAD]"));
    assert_eq!(pieces("[PAD]"), ["[", "pad", "]"]);
}

#[test]
fn long_texts_keep_their_start_and_their_end() {
    let long = format!("start {} finish", "word ".repeat(5_000));
    let tokens = Tokenizer::new().tokenize(&long);
    let found = pieces(&long);
    assert_eq!(tokens.len, TOKENS);
    assert_eq!(found.first(), Some(&"start"));
    assert_eq!(found.last(), Some(&"finish"));
}

#[test]
fn what_fits_is_kept_whole() {
    let exactly = "word ".repeat(TOKENS);
    assert_eq!(Tokenizer::new().tokenize(&exactly).len, TOKENS);
    let one_more = format!("{exactly} finish");
    assert_eq!(pieces(&one_more).len(), TOKENS);
    assert_eq!(pieces(&one_more).last(), Some(&"finish"));
}

#[test]
fn any_text_is_bounded_work_without_panic() {
    let tokenizer = Tokenizer::new();
    let units = [
        "a", "é", "你", "🦀", "\u{0}", "\u{301}", "{\"a\":", " ", "\u{feff}", "ﷺ", "İ", "1",
    ];
    for unit in units {
        // The fast path, the cut, and ten megabytes, each at every alignment of the unit.
        for size in [0, 1, 47, 48, 49, 3_071, 3_072, 3_073, 10_000_000] {
            let text = unit.repeat(size / unit.len() + 1);
            let tokens = tokenizer.tokenize(&text);
            assert!(tokens.len <= TOKENS && tokens.pieces_per_word.is_finite());
            assert!(tokens.ids.iter().skip(tokens.len).all(|id| *id == PAD));
        }
    }
}

#[test]
fn an_overlong_word_is_one_unknown_token() {
    let tokens = Tokenizer::new().tokenize(&format!("a {} b", "x".repeat(500)));
    assert_eq!(tokens.len, 3);
    assert_eq!(tokens.ids.get(1), Some(&UNKNOWN));
    assert!((tokens.unknown - 1.0 / 3.0).abs() < 1e-6);
}

#[test]
fn nothing_is_nothing() {
    let tokens = Tokenizer::new().tokenize("");
    assert_eq!((tokens.len, tokens.unknown), (0, 0.0));
}
