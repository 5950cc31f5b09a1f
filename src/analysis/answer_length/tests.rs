//! Instructions that are found, and cost and time by the distribution of lengths.

use super::*;

/// The classifier expects 100 tokens, give or take.
const PRIOR: AnswerLength = AnswerLength {
    median: 100.0,
    sigma: 0.9,
};

fn asked(text: &str, task: Task) -> AnswerLength {
    let input = LengthInput {
        text,
        ..LengthInput::default()
    };
    PRIOR.asked_for(&input, task)
}

#[track_caller]
fn check(text: &str, length: AnswerLength, least: f32, most: f32) {
    assert!(
        (least..=most).contains(&length.median),
        "{text}: {length:?}, not {least} to {most}"
    );
}

#[test]
fn a_number_with_a_unit_is_a_length_in_every_spelling() {
    for (text, least, most) in [
        (
            "Write a blog post of about 800 words on bees",
            850.0,
            1250.0,
        ),
        ("an 800-word essay", 850.0, 1250.0),
        ("essay, 1,500 words", 1500.0, 2300.0),
        ("un texte de 800 mots", 850.0, 1250.0),
        ("Schreibe 800 Wörter über Bienen", 850.0, 1250.0),
        ("un ensayo de 800 palabras", 850.0, 1250.0),
        ("una storia di 800 parole", 850.0, 1250.0),
        ("um texto de 800 palavras", 850.0, 1250.0),
        ("напиши 800 слов о пчёлах", 850.0, 1250.0),
        ("写一篇800字的文章", 150.0, 350.0),
        ("800字以内で書いて", 150.0, 350.0),
        ("250 to 350 words please", 340.0, 480.0),
        ("keep it under 30 words", 35.0, 60.0),
        ("max. 30 words", 35.0, 60.0),
        ("30 words max", 35.0, 60.0),
        ("höchstens 30 Wörter", 35.0, 60.0),
        ("explain in one sentence", 28.0, 48.0),
        ("in einem Satz", 28.0, 48.0),
        ("in three bullet points", 70.0, 100.0),
        ("about 2 pages on the causes", 250.0, 1300.0),
        ("six paragraphs", 250.0, 550.0),
        ("give me 20 ideas for names", 150.0, 700.0),
        ("a 300 character summary", 80.0, 110.0),
        ("5 poems of 100 words each", 90.0, 160.0),
    ] {
        check(text, asked(text, Task::CreativeWriting), least, most);
    }
}

#[test]
fn a_description_of_the_given_text_is_no_length_instruction() {
    for text in [
        "is my 800 word essay too long",
        "these 5 paragraphs are bad, aren't they",
        "the following 3 sentences",
        "error on line 87\nline 2210",
        "one per line",
        "just one idea came to me",
        "I walked 12 miles",
        "page 3 of my chapter",
        "2 characters",
        "hello",
        "",
    ] {
        assert_eq!(asked(text, Task::Chat), PRIOR, "{text}");
    }
}

#[test]
fn a_label_is_short_and_the_surer_where_the_task_is_one() {
    for text in [
        "positive or negative? one word",
        "Spam or ham? Answer with a single word.",
        "Answer yes or no: is 7 prime?",
        "reply with one of: A, B, C",
        "Which is it? just the number",
        "Antworte nur mit der Zahl",
        "Responda SIM ou NÃO",
        "ответь одним словом",
    ] {
        check(text, asked(text, Task::Classification), 1.0, 6.0);
        check(text, asked(text, Task::Chat), 3.0, 30.0);
    }
    for text in [
        "one word each, for all of these",
        "one word and a reason of at most 12 words",
    ] {
        check(text, asked(text, Task::Classification), 15.0, 100.0);
    }
}

#[test]
fn the_system_text_bounds_what_the_user_leaves_open() {
    let with = |text, system| {
        let input = LengthInput {
            text,
            system,
            previous: "",
        };
        PRIOR.asked_for(&input, Task::KnowledgeQa).median
    };
    assert!(with("why is the sky blue", "Answer in at most two sentences.") < 65.0);
    assert!(with("why is the sky blue", "Reply with one word only.") < 40.0);
    // A bound that is far off says little, and the user's own instruction counts before it.
    assert!(with("why is the sky blue", "Answers have at most 120 words.") < 125.0);
    assert!(with("800 words on the sky", "Answer in at most two sentences.") > 700.0);
    assert_eq!(with("why is the sky blue", "You are helpful."), 100.0);
}

#[test]
fn a_text_that_comes_again_is_as_long_as_it_is() {
    let given = "The quick brown fox jumps over the lazy dog again and again. ".repeat(40);
    let before = "Translate into German:\n\n".to_owned() + &given;
    let after = given.clone() + "\n\nauf Deutsch bitte";
    for text in [&before, &after, &given] {
        let length = asked(text, Task::Translation);
        check("translation", length, 300.0, 800.0);
        assert!(length.sigma < PRIOR.sigma);
        assert_eq!(asked(text, Task::Summarization), PRIOR);
    }
    let input = LengthInput {
        text: "in English please",
        system: "",
        previous: &given,
    };
    check(
        "follow-up",
        PRIOR.asked_for(&input, Task::Translation),
        200.0,
        800.0,
    );
}

#[test]
fn detail_makes_it_longer() {
    for text in [
        "Explain DNS in detail",
        "a detailed plan, please",
        "print the poem in full",
        "Erkläre mir das ausführlich",
        "расскажи подробно",
        "请 详细 说明",
    ] {
        let length = asked(text, Task::KnowledgeQa);
        check(text, length, 125.0, 135.0);
    }
    for text in [
        "my detailed notes",
        "her full name",
        "a full day",
        "turn in my full report",
    ] {
        assert_eq!(asked(text, Task::Chat), PRIOR, "{text}");
    }
    let bound = asked("in detail, but at most 30 words", Task::KnowledgeQa);
    check("in detail", bound, 35.0, 60.0);
}

#[test]
fn what_goes_on_is_as_long_as_what_was_before() {
    let previous = "The wind rose over the hills and nobody spoke. ".repeat(60);
    for text in [
        "continue",
        "Go on.",
        "Continue the story",
        "weiter",
        "продолжай",
        "继续",
    ] {
        let input = LengthInput {
            text,
            previous: &previous,
            ..LengthInput::default()
        };
        let length = PRIOR.asked_for(&input, Task::CreativeWriting);
        check(text, length, 250.0, 700.0);
    }
    for text in [
        "continue",
        "what continues?",
        "go on a diet with me and tell me what I should eat each day",
    ] {
        assert_eq!(asked(text, Task::Chat), PRIOR, "{text}");
    }
}

#[test]
fn fields_of_an_object_are_counted() {
    let few = asked("Return JSON with the fields name, age", Task::Extraction).median;
    let many = asked(
        "Return JSON with the fields a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p. Text: x, y",
        Task::Extraction,
    );
    assert!(few < 100.0 && many.median > 120.0, "{few} {many:?}");
}

#[test]
fn only_the_first_and_the_last_part_are_read() {
    let filler = "lorem ipsum dolor ".repeat(20_000);
    for text in [
        format!("800 words on this:\n\n{filler}"),
        format!("{filler}\n\n800 words on this"),
    ] {
        assert!(asked(&text, Task::Chat).median > 700.0);
    }
    let inside = format!("{filler} 800 words {filler}");
    assert_eq!(asked(&inside, Task::Chat), PRIOR);
    // Whatever a text is cut within, and whatever it holds.
    for length in 0..40 {
        let text = "é漢🙂9".repeat(600 + length);
        assert!(asked(&text, Task::Chat).median >= 1.0);
    }
    for text in [
        "99999999999999999999999999999999999999999 words",
        "0 words",
        "1,000,000,000 pages",
    ] {
        assert!((1.0..=MOST_OUTPUT_TOKENS).contains(&asked(text, Task::Chat).median));
    }
}

/// Ten thousand quantiles of the distribution.
fn quantiles(length: AnswerLength) -> Vec<f64> {
    let normal = |p: f64| {
        let (mut low, mut high) = (-6.0_f64, 6.0);
        for _ in 0..40 {
            let middle = (low + high) / 2.0;
            if f64::from(normal_cdf(middle as f32)) < p {
                low = middle
            } else {
                high = middle
            }
        }
        low
    };
    (0..10_000)
        .map(|index| {
            let z = normal((f64::from(index) + 0.5) / 10_000.0);
            f64::from(length.median) * (f64::from(length.sigma) * z).exp()
        })
        .collect()
}

#[test]
fn the_mean_counts_what_a_bound_cuts_off() {
    for sigma in [0.2, 0.9, 1.4] {
        let length = AnswerLength::new(200.0, sigma);
        let all = quantiles(length);
        for most in [1.0, 10.0, 100.0, 200.0, 1000.0, 16_000.0] {
            let exact = all.iter().map(|length| length.min(most)).sum::<f64>() / 10_000.0;
            let mean = f64::from(length.mean_within(most as f32));
            assert!(
                (mean / exact - 1.0).abs() < 0.02,
                "{sigma} {most}: {mean} {exact}"
            );
        }
        let unbounded = 200.0 * (sigma * sigma / 2.0).exp();
        assert!((length.mean_within(1e9) / unbounded - 1.0).abs() < 0.01);
        assert!((f64::from(length.p90()) / all[9000] - 1.0).abs() < 0.02);
        assert!((f64::from(length.median * length.p99_ratio(1.0)) / all[9900] - 1.0).abs() < 0.03);
    }
    assert_eq!(PRIOR.mean_within(0.0), 0.0);
}

#[test]
fn no_number_makes_a_length_that_is_none() {
    for median in [f32::NAN, f32::INFINITY, -1.0, 0.0, 1e9] {
        for sigma in [f32::NAN, f32::INFINITY, -1.0, 0.0, 1e9] {
            let length = AnswerLength::new(median, sigma);
            for value in [
                length.median,
                length.p90(),
                length.p99_ratio(2.0),
                length.mean_within(500.0),
            ] {
                assert!(
                    value.is_finite() && value >= 1.0,
                    "{median} {sigma} {length:?}"
                );
            }
        }
    }
    assert_eq!(PRIOR.times(0.5).median, 50.0);
}
