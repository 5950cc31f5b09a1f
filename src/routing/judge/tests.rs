#![allow(clippy::unwrap_used)]

use super::*;
use crate::analysis::prompt::{Context, Turn, TwoTexts};

fn grade(mean: f32) -> Grade {
    Grade { mean, spread: 0.1 }
}

fn prompt(difficulty: f32, measured: f32) -> Classification {
    Classification {
        difficulty,
        measured,
        ..Classification::default()
    }
}

const EVIDENCE: Evidence = Evidence {
    slope: 0.5,
    intercept: 2.0,
    variance: 1.0,
};

#[test]
fn a_grade_moves_the_difficulty_by_its_precision() {
    let before = prompt(-2.0, 0.0);
    let own = classifier_variance(&before);
    // What the judge says is what the classifier says: nothing moves.
    assert!(EVIDENCE.ease_gained(&before, grade(0.5)).abs() < 1e-9);
    let easy = EVIDENCE.shift(&before, grade(0.9));
    let expected = own / (own + 1.0) * 0.5 * 9.0_f64.ln();
    assert!((f64::from(before.difficulty - easy.difficulty) - expected).abs() < 1e-5);
    let hard = EVIDENCE.shift(&before, grade(0.1));
    assert!(hard.difficulty > before.difficulty && easy.difficulty < before.difficulty);
    assert_eq!(
        Classification {
            difficulty: before.difficulty,
            ..easy
        },
        before
    );
}

#[test]
fn a_surer_judge_moves_more_and_noise_nothing() {
    let before = prompt(-2.0, 0.5);
    let shift = |evidence: Evidence| evidence.ease_gained(&before, grade(0.9));
    let surer = Evidence {
        variance: 0.2,
        ..EVIDENCE
    };
    assert!(shift(surer) > shift(EVIDENCE));
    assert!(surer.expected_shift(&before) > EVIDENCE.expected_shift(&before));
    let noise = Evidence {
        slope: 0.0,
        ..EVIDENCE
    };
    assert_eq!((shift(noise), noise.expected_shift(&before)), (0.0, 0.0));
}

#[test]
fn no_grade_moves_without_bound() {
    let before = prompt(-2.0, 0.0);
    let steep = Evidence {
        slope: 10.0,
        intercept: 20.0,
        variance: 0.01,
    };
    for mean in [0.0, 1.0, f32::NAN] {
        let after = steep.shift(&before, grade(mean));
        assert!((after.difficulty - before.difficulty).abs() <= MOST_SHIFT as f32 + 1e-4);
    }
}

#[test]
fn the_value_is_that_of_the_integral() {
    // E[max(x − t, 0)] of a standard normal x, for t from 0 to 1.2.
    for (threshold, exact) in [(0.0, 0.3989), (0.4, 0.2304), (0.8, 0.1202), (1.2, 0.0561)] {
        let value = value_of_asking(1.0, |easier| (easier - threshold).max(0.0));
        assert!((value - exact).abs() < 0.035, "{threshold}: {value}");
    }
    // Both sides count.
    let both = value_of_asking(2.0, f64::abs);
    assert!((both - 2.0 * 0.798).abs() < 0.1, "{both}");
}

#[test]
fn a_choice_that_cannot_change_takes_two_looks() {
    let mut looks = 0;
    let value = value_of_asking(1.0, |_| {
        looks += 1;
        0.0
    });
    assert_eq!((value, looks), (0.0, 2));
    assert_eq!(value_of_asking(1.0, |_| f64::NAN), 0.0);
    assert_eq!(value_of_asking(1.0, |_| f64::INFINITY), 0.0);
}

const CHEAP: Expected = Expected {
    cost_usd: 1e-4,
    latency_ms: 900.0,
    quality: 0.7,
};

#[test]
fn prices_follow_the_weights() {
    let weights = Weights {
        cost: 0.2,
        latency: 0.1,
        quality: 0.7,
    };
    let prices = ShadowPrices::new(&weights, 3e-4);
    let gain = |second: Expected| prices.gain_usd(&CHEAP, &second);
    assert_eq!(gain(CHEAP), 0.0);
    // A tenth of the USD, and nothing else.
    let cheaper = Expected {
        cost_usd: 1e-5,
        ..CHEAP
    };
    assert!((gain(cheaper) - 9e-5).abs() < 1e-12);
    // Ten times as fast: 0.1 in the objective, as 0.5 in lg(cost), which is 3e-4 · ln 10 each.
    let faster = Expected {
        latency_ms: 90.0,
        ..CHEAP
    };
    assert!((gain(faster) - 1.5e-4 * std::f64::consts::LN_10).abs() < 1e-12);
    let better = Expected {
        quality: 0.7 * 10.0_f64.powf(0.05),
        ..CHEAP
    };
    assert!((gain(better) - 1.05e-3 * std::f64::consts::LN_10).abs() < 1e-12);
    let wait = prices.wait_usd(100.0, 900.0);
    let slower = Expected {
        latency_ms: 1000.0,
        ..CHEAP
    };
    assert!(wait > 0.0 && (gain(slower) + wait).abs() < 1e-12);
    assert_eq!(prices.wait_usd(0.0, 0.0), 0.0);
    let any_price = Weights {
        cost: 0.0,
        ..weights
    };
    let bounded = ShadowPrices::new(&any_price, 3e-4);
    assert!(bounded.gain_usd(&CHEAP, &better).is_finite());
}

/// At the scale of two choices, the prices are those at which the objective exchanges one for the other.
#[test]
fn prices_agree_with_the_objective_on_when_to_change() {
    let dear = |quality: f64| Expected {
        cost_usd: 1e-3,
        latency_ms: 900.0,
        quality,
    };
    let weights = Weights {
        cost: 0.2,
        latency: 0.0,
        quality: 0.8,
    };
    let scale_usd = cost_scale([1e-4, 1e-3].into_iter()).unwrap();
    let prices = ShadowPrices::new(&weights, scale_usd);
    // 0.2 · lg 10 = 0.8 · 20 · lg(P / 0.7)
    let equal = 0.7 * 10.0_f64.powf(0.2 / 16.0);
    assert!(prices.gain_usd(&CHEAP, &dear(equal)).abs() < 1e-12);
    assert!(prices.gain_usd(&CHEAP, &dear(equal + 0.01)) > 0.0);
    assert!(prices.gain_usd(&CHEAP, &dear(equal - 0.01)) < 0.0);
}

#[test]
fn the_scale_lies_between_the_costs() {
    let scale = |costs: &[f64]| cost_scale(costs.iter().copied());
    let middle = scale(&[1e-4, 4e-4, 1e-3]).unwrap();
    assert!(middle > 1e-4 && middle < 1e-3);
    assert_eq!(scale(&[1e-4, 1e-3]), Some(middle));
    assert_eq!(scale(&[2e-4, 2e-4, 0.0, f64::NAN]), Some(2e-4));
    assert_eq!(scale(&[0.0]), None);
    assert_eq!(scale(&[]), None);
}

#[test]
fn each_circumstance_has_its_reason() {
    let fine = Circumstances {
        is_pinned: false,
        is_tool_loop: false,
        has_prompt: true,
        has_alternatives: true,
        may_see: true,
    };
    assert_eq!(should_ask(&fine, &EVIDENCE), Ok(()));
    let of = |circumstances: Circumstances| should_ask(&circumstances, &EVIDENCE).unwrap_err();
    assert_eq!(
        of(Circumstances {
            is_pinned: true,
            ..fine
        }),
        NotAsked::Pinned
    );
    assert_eq!(
        of(Circumstances {
            is_tool_loop: true,
            ..fine
        }),
        NotAsked::ToolLoop
    );
    assert_eq!(
        of(Circumstances {
            has_prompt: false,
            ..fine
        }),
        NotAsked::NoPrompt
    );
    assert_eq!(
        of(Circumstances {
            has_alternatives: false,
            ..fine
        }),
        NotAsked::OneCandidate
    );
    assert_eq!(
        of(Circumstances {
            may_see: false,
            ..fine
        }),
        NotAsked::Sensitive
    );
    let noise = Evidence {
        slope: 0.0,
        ..EVIDENCE
    };
    assert_eq!(should_ask(&fine, &noise), Err(NotAsked::Noise));
}

#[test]
fn a_question_holds_the_turn_and_what_came_before() {
    let turn = Turn {
        text: "And in winter?".into(),
        context: Context {
            instructions: TwoTexts::from_iter(["You know plants."]),
            conversation: TwoTexts::from_iter(["In spring.", "When do I prune roses?"]),
        },
    };
    let long = "é".repeat(20_000);
    let prompt = Prompt {
        turns: vec![turn, Turn::new(long.as_str())],
        input_tokens: 0,
        window_tokens: 0,
    };
    let text = QuestionText::new(&prompt, 0).unwrap();
    assert_eq!(text.turn, "And in winter?");
    assert_eq!(
        text.before,
        "You know plants.\nWhen do I prune roses?\nIn spring."
    );
    let long = QuestionText::new(&prompt, 1).unwrap();
    assert_eq!(long.turn.len(), 2 * MOST_BYTES);
    assert_eq!(QuestionText::new(&prompt, 2), None);
    let secret = PromptSecret([1, 2]);
    assert_ne!(text.key(secret), long.key(secret));
}
