//! N-grams are the same for the same words, bounded for any text, and apart for text and context.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::analysis::prompt::Context;

fn of(text: &str) -> Ngrams {
    Ngrams::extract(&Turn::new(text))
}

#[test]
fn case_and_white_space_change_nothing() {
    let plain = of("Write a poem about the sea.");
    assert_eq!(of("  WRITE a\n poem about  the sea. "), plain);
    assert_ne!(of("Write a poem about the lake."), plain);
}

#[test]
fn words_come_alone_and_in_pairs() {
    assert_eq!(of("").words.as_slice().len(), 0);
    assert_eq!(of("sea").words.as_slice().len(), 2);
    // Three words, three pairs (the first with the start of the sentence), and a mark.
    assert_eq!(of("the blue sea?").words.as_slice().len(), 7);
    // "<the>", "<blue>" and "<sea>" have 2, 3 and 2 runs of four.
    assert_eq!(of("the blue sea?").letters.as_slice().len(), 7);
    let (one, two) = (of("blue sea"), of("sea blue"));
    assert_eq!(one.words.as_slice()[0], two.words.as_slice()[2]);
    assert_ne!(one.words.as_slice()[3], two.words.as_slice()[1]);
}

#[test]
fn ideographs_are_words() {
    assert_eq!(of("你好吗").words.as_slice().len(), 6);
}

#[test]
fn work_is_bounded_for_any_text() {
    for text in [
        "x".repeat(100_000),
        "a b ".repeat(50_000),
        "漢".repeat(9_000),
    ] {
        let turn = Turn {
            text: text.as_str().into(),
            context: Context {
                instructions: [text.as_str()].into_iter().collect(),
                conversation: [text.as_str(); 2].into_iter().collect(),
            },
        };
        let ngrams = Ngrams::extract(&turn);
        assert!(ngrams.words.as_slice().len() <= WORDS);
        let rows = Rows::new(&ngrams);
        let (ids, weights) = rows.as_slices();
        assert!(ids.len() <= NGRAMS && ids.len() == weights.len());
    }
}

#[test]
fn a_row_counts_once_and_each_list_has_length_one() {
    let (once, twice) = (
        of("please translate this"),
        of("please translate this please translate this"),
    );
    let rows = Rows::new(&once);
    let (ids, weights) = rows.as_slices();
    assert!(!ids.is_empty());
    let mut sorted = ids.to_vec();
    sorted.dedup();
    assert!(Rows::new(&twice).as_slices().0.len() < 2 * ids.len());
    let length: f32 = weights.iter().map(|weight| weight * weight).sum();
    assert!((length - 2.0).abs() < 1e-4, "words and letters: {length}");
}

#[test]
fn context_is_apart_from_the_turn() {
    let turn = Turn {
        text: "ok do it".into(),
        context: Context {
            instructions: ["You translate into French."].into_iter().collect(),
            ..Context::default()
        },
    };
    let ngrams = Ngrams::extract(&turn);
    assert_eq!(ngrams.words, of("ok do it").words);
    assert_eq!(ngrams.context, of("You translate into French.").words);
}
