//! The numbers of known texts, and changes that must not move them.
#![allow(clippy::unwrap_used)]

use super::super::tokenizer::Tokenizer;
use super::*;

fn of(text: &str) -> [f32; FEATURES] {
    extract(&Turn::new(text), &Tokenizer::new().tokenize(text))
}

fn feature(text: &str, name: &str) -> f32 {
    let at = NAMES.iter().position(|known| *known == name).unwrap();
    of(text).get(at).copied().unwrap()
}

#[test]
fn names_are_unique_and_the_last_is_the_constant() {
    let mut sorted = NAMES;
    sorted.sort_unstable();
    assert!(sorted.windows(2).all(|pair| pair.first() != pair.last()));
    assert_eq!(NAMES.last(), Some(&"one"));
    assert_eq!(of("").last(), Some(&1.0));
    assert!(REASONS.iter().all(|reason| reason.len() > 10));
}

#[test]
fn the_lexicon_finds_its_words_and_no_others() {
    let classes = |word: &str| lexicon::classes(lexicon::packed(word));
    lexicon::for_each(|word, expected| assert_eq!(classes(word), expected));
    assert_ne!(classes("translate"), 0);
    assert_eq!((classes("xylophone"), classes("")), (0, 0));
}

#[test]
fn case_and_spaces_between_words_change_nothing() {
    let plain = of("Write a poem about the sea, please. Is it blue?");
    assert_eq!(of("WRITE A POEM ABOUT THE SEA, PLEASE. IS IT BLUE?"), plain);
    assert_eq!(
        of("\n  Write a  poem\tabout the sea, please. Is it blue?\n\n"),
        plain
    );
}

#[test]
fn politeness_leaves_the_opening_as_it_is() {
    for text in [
        "Translate this into French: hello",
        "Please translate this into French: hello",
        "Hi, could you please translate this into French: hello",
    ] {
        assert_eq!(feature(text, "opens_demanding"), 1.0, "`{text}`");
    }
    assert_eq!(
        feature("hello, can you tell me why it rains?", "opens_asking"),
        0.0
    );
    assert_eq!(feature("please, why does it rain?", "opens_asking"), 1.0);
}

#[test]
fn exam_questions_are_recognised() {
    let question = "How many?\nA. 12\nB. 15\nC. -3\nD. none of these";
    assert!((feature(question, "options") - 5.0_f32.ln() / 2.0).abs() < 1e-6);
    assert!((feature(question, "numeric_options") - 0.75).abs() < 1e-6);
    let brackets = question
        .replace("A.", "(A)")
        .replace("B.", "(B)")
        .replace("C.", "(C)")
        .replace("D.", "(D)");
    assert_eq!(feature(&brackets, "options"), feature(question, "options"));
    assert_eq!(feature("A. Smith met\nB. Jones", "many_options"), 0.0);
}

#[test]
fn marks_are_counted() {
    assert!(feature("x^2 + y^2 = z^2", "powers") > 0.5);
    assert!(feature("\\frac{1}{2} \\int", "latex") > 0.5);
    assert!(
        feature(
            "let getName = user_name;\n  if (a == b) { run(); }",
            "identifiers"
        ) > 0.5
    );
    assert!(feature("Summarize: \"a long text that is quoted here\"", "quoted") > 1.0);
    assert!(feature("Привет, как дела?", "non_latin") > 1.9);
    assert_eq!(feature("no letters from elsewhere", "non_latin"), 0.0);
    assert!(feature("the price is $12.50, or 30% less", "money") > 0.5);
}

#[test]
fn the_whole_length_is_estimated_where_only_ends_are_read() {
    let short = feature(&"word ".repeat(200), "log_bytes");
    let long = feature(&"word ".repeat(20_000), "log_bytes");
    assert!((long - short - 100.0_f32.ln() / 3.0).abs() < 0.05);
}

#[test]
fn any_text_gives_finite_bounded_numbers() {
    let units = [
        "a", "é", "你", "🦀", "\u{0}", "\n", "\"", "A. 1\n", "`", "9", "_", "?", "\u{301}", "$",
        "\\",
    ];
    for unit in units {
        for size in [0, 1, 100, 3_072, 3_073, 1_000_000] {
            let values = of(&unit.repeat(size));
            assert!(
                values.iter().all(|value| (0.0..=4.0).contains(value)),
                "`{unit}` × {size}"
            );
        }
    }
}
