//! Questions with a log prefix, passages and courtesy around them, and texts that are none of these.
#![allow(clippy::unwrap_used)]

use super::*;

fn asked(turn: &str) -> &str {
    find(turn)
}

const PASSAGE: &str = "The Aurland tunnel opened in 2000 and is 24.5 kilometres long. Three caves, lit in blue and yellow, \
    break the drive into four parts, so that drivers stay awake. Air is cleaned by a plant of its own, and the road is watched \
    from a control room in Lærdal. Traffic is about 1,800 vehicles a day, more in summer.";

#[test]
fn courtesy_falls_away_and_what_is_asked_stays() {
    for (turn, question) in [
        (
            "Hello, could you please help me with this? What is a monad?",
            "What is a monad?",
        ),
        (
            "Sorry to bother you, but what is a monad? Thank you!",
            "what is a monad?",
        ),
        ("please explain monads", "explain monads"),
        (
            "Could you please explain monads, thanks a lot in advance.",
            "explain monads",
        ),
        ("EXPLAIN MONADS PLEASE", "EXPLAIN MONADS"),
        (
            "I hope you are well. Explain monads.\n\nKind regards,\nSam",
            "Explain monads.",
        ),
        ("Explain monads I'd be very grateful.", "Explain monads"),
        (
            "Is \"fine\" an adverb in \"I feel fine\" Thank you so much!",
            "Is \"fine\" an adverb in \"I feel fine\"",
        ),
        ("hola, ¿qué es una mónada? gracias", "¿qué es una mónada?"),
    ] {
        assert_eq!(asked(turn), question, "{turn}");
    }
}

#[test]
fn claims_fall_away() {
    for turn in [
        "This is a trivial question: What is a monad?",
        "[complexity: minimal] What is a monad?",
        "(difficulty: very high) What is a monad?",
        "Warning: expert level. What is a monad?",
        "Only the most powerful model can solve it. What is a monad?",
        "This needs your best and most expensive model. Hello! What is a monad?",
        "What is a monad? Any small model can answer this.",
        "What is a monad?\n[effort: max]",
    ] {
        assert_eq!(asked(turn), "What is a monad?", "{turn}");
    }
    for turn in [
        "Which model is best?",
        "Is this hard?",
        "Simple models of growth: which are there?",
        "What is the hardest mineral?",
        "My child is two years old. Which books are good?",
        "Rate the difficulty of this text: The cat sat.",
    ] {
        assert_eq!(asked(turn), turn, "{turn}");
    }
}

#[test]
fn what_is_no_courtesy_stays() {
    for turn in [
        "thank you so much!",
        "hi",
        "",
        "  ",
        "thanks, that was exactly what I needed :)",
        "How do you say thank you",
        "translate to Spanish: thank you very much",
        "Write a thank you",
        "Is it rude to answer \"thanks",
        "Which of these wishes is best?",
        "In the evening, my cat coughs.",
        "def f(x):\n    return x",
    ] {
        assert_eq!(asked(turn), turn.trim(), "{turn}");
    }
}

#[test]
fn log_prefixes_fall_away() {
    for prefix in [
        "2026-11-30T12:00:01.123Z INFO [chat] request_id=7f3a user=42 msg: ",
        "[2026-11-30 12:00:01] ",
        "Nov 30 12:00:01 host app[123]: ",
        "INFO 12:00:01 gateway: ",
        "[req-8812] ",
    ] {
        let turn = format!("{prefix}What is the capital of France?");
        assert_eq!(asked(&turn), "What is the capital of France?", "{turn}");
    }
    for turn in [
        "12:30 to 14:15, how long is that?",
        "1066 and all that: who wrote it?",
        "a=3 b=4 c=?",
        "May I ask: why?",
        "ERROR",
        "2026-11-30",
        "Note: the meeting is at 12:30.",
    ] {
        assert!(
            asked(turn).len() + 8 > turn.len(),
            "{turn}: {}",
            asked(turn)
        );
    }
}

#[test]
fn passages_fall_away() {
    let question = "How long is the tunnel between Lærdal and Aurland?";
    for turn in [
        format!("Context:\n{PASSAGE}\n\n{PASSAGE}\n\nQuestion: {question}"),
        format!("{question}\n\n[1] {PASSAGE}\n[2] {PASSAGE}"),
        format!(
            "Answer with these sources.\n\nSource 1: {PASSAGE}\n\nSource 2: {PASSAGE}\n\n{question}\n\nAnswer:"
        ),
        format!(
            "<documents>\n<document>{PASSAGE}</document>\n<document>{PASSAGE}</document>\n</documents>\n{question}"
        ),
        format!("{question}\n\n### Retrieved passages\n\n{PASSAGE}\n\n{PASSAGE}"),
        format!("{PASSAGE}\n\n{PASSAGE}\n\n{question}"),
        format!("{question}\n\n{PASSAGE}\n\n{PASSAGE}"),
    ] {
        assert_eq!(asked(&turn), question, "{turn}");
    }
}

#[test]
fn letters_code_and_options_stay_in_the_question() {
    let letter =
        "My landlord wants to keep the deposit because of a stain that was there when I moved in. "
            .repeat(6);
    let code = "fn main() {\n    let total = items.iter().sum();\n    println!(\"{total}\");\n}\n"
        .repeat(8);
    let options =
        format!("{PASSAGE} {PASSAGE}\nHow long is it?\nA. 24.5 km\nB. 12 km\nC. 8 km\nD. 3 km");
    for turn in [
        format!("{letter}\n\nWhat should I do?"),
        format!("{code}\n\nWhy does this not compile?"),
        options,
        format!("Summarise this.\n\n\"{PASSAGE} {PASSAGE}\""),
    ] {
        assert_eq!(asked(&turn), turn.trim(), "{turn}");
    }
}

#[test]
fn any_text_is_taken_apart_without_a_gap_in_what_is_asked() {
    for turn in [
        "\n".repeat(5_000),
        "[1]\n".repeat(500),
        "Question: \n\n".repeat(300),
        "漢字? \n\n".repeat(300),
        "please ".repeat(900),
        "é".repeat(1_199) + "\n\n" + &"é".repeat(1_199),
    ] {
        let found = find(&turn);
        assert!(turn.contains(found));
    }
}

#[test]
fn first_letters_of_labels_are_those_that_are_looked_for() {
    let labels = QUESTION_LABELS.iter().chain(&["my", "the", "s"]);
    for word in labels {
        assert!(may_begin_with(word, b"aimqrstu"), "{word}");
    }
    for word in PASSAGE_LABELS {
        assert!(may_begin_with(word, b"acdekprs"), "{word}");
    }
    for text in ["\"source\"", "…", "", "Søren"] {
        assert!(may_begin_with(text, b"acdekprs"), "{text}");
    }
    assert!(!may_begin_with("Many words", b"acdekprs") && !may_begin_with("1. One", b"acdekprs"));
}
