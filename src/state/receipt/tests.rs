//! Receipts: what they hold comes back, and nothing else is taken for one.

use super::*;
use crate::analysis::classifier::{Classifier, FINGERPRINT, LATENT_COUNT, SKILL_COUNT};
use crate::analysis::prompt::Turn;
use crate::fleet::Ability;

const PROMPTS: &str = include_str!("../../../tests/data/prompts.jsonl");

fn key(secret: &str) -> Key {
    Key::new(secret.as_bytes()).unwrap()
}

fn keys(secrets: &[&str]) -> Keys {
    Keys::new(secrets.iter().map(|secret| secret.as_bytes()))
}

const NEW: &str = "the key that signs now";
const OLD: &str = "the key of last month";

fn receipt() -> Receipt {
    Receipt {
        policy: 0xdead_beef,
        time_s: 1_764_000_000,
        nonce: u64::MAX - 7,
        model: name_key("llama-3.1-8b"),
        backend: name_key("gpu-1"),
        runner_up: Some(name_key("gpt-4o")),
        profile: name_key("auto"),
        p: 0.81,
        runner_up_p: 0.93,
        propensity: 0.95,
        flags: Flags {
            is_explored: true,
            streams: true,
            ..Flags::default()
        },
        request: RequestTraits {
            api: Api::AnthropicMessages,
            needs: Capabilities::TOOLS.union(Capabilities::FILES),
            input_tokens: 1234,
            window_tokens: 1300,
            max_tokens: Some(0),
            choices: 2,
        },
        tenant: None,
        classifier: FINGERPRINT,
        classification: Classification {
            difficulty: 1.25,
            skill_weights: [0.25, 0.0, 0.5, 0.0, 0.125, 1.5],
            latent_factors: [0.25; LATENT_COUNT],
            raw_factors: [32; LATENT_COUNT],
            output_tokens: 321.0,
            from_model: true,
            ..Classification::default()
        },
    }
}

#[test]
fn a_receipt_reads_as_it_was_written() {
    let text = receipt().encode(&key(NEW));
    assert_eq!(text.len(), TEXT_CHARS);
    let read = Receipt::decode(&text, &keys(&[NEW])).unwrap();
    assert_eq!(Receipt::decode_trusted(&text), Ok(read.clone()));
    assert_eq!(read.encode(&key(NEW)), text, "written again");
    let (own, close) = (receipt(), |a: f32, b: f32| (a - b).abs() < 0.01);
    assert!(close(read.p, own.p) && close(read.runner_up_p, own.runner_up_p));
    assert!(close(read.propensity, own.propensity));
    assert_eq!(read.flags, own.flags);
    assert_eq!(read.request, own.request);
    assert_eq!(
        read.classification.skill_weights,
        own.classification.skill_weights
    );
    let same = Receipt {
        p: own.p,
        runner_up_p: own.runner_up_p,
        propensity: own.propensity,
        classification: own.classification.clone(),
        ..read
    };
    assert_eq!(same, own);
}

/// Whatever is in a classification, the receipt of what was read says the same again.
#[test]
fn extreme_numbers_stay_in_their_bounds() {
    for extreme in [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        1e30,
        -1e30,
        1e-30,
    ] {
        let mut odd = receipt();
        odd.p = extreme;
        odd.propensity = extreme;
        odd.request.input_tokens = u32::MAX;
        odd.request.max_tokens = Some(u32::MAX);
        odd.request.choices = 0;
        let said = &mut odd.classification;
        said.difficulty = extreme;
        said.skill_weights = [extreme; SKILL_COUNT];
        said.latent_factors[3] = extreme;
        (said.gain, said.measured, said.output_tokens) = (extreme, extreme, extreme);
        let read = Receipt::decode(&odd.encode(&key(NEW)), &keys(&[NEW])).unwrap();
        assert!((0.0..=1.0).contains(&read.p));
        let p = Ability::typical(1.0).p_correct(&read.classification);
        assert!((0.0..=1.0).contains(&p), "{extreme}: {p}");
        assert_eq!(read.request.choices, 1);
    }
}

/// The probability of a correct answer comes back for every model, whatever the prompt.
#[test]
fn probabilities_are_recomputed_from_receipts() {
    let mut classifier = Classifier::embedded().unwrap();
    let names = [
        "gpt-4o",
        "claude-sonnet-4",
        "c4ai-command-r-v01",
        "llama-3.1-8b-instruct",
    ];
    let mut abilities: Vec<Ability> = names.into_iter().filter_map(Ability::fitted).collect();
    assert!(abilities.len() >= 2);
    abilities.extend([-2.5, -1.0, 0.0, 1.0, 2.5].map(Ability::typical));
    abilities.push(Ability::from_benchmarks([("mmlu", 0.86), ("math", 0.7)]));
    let (mut seen, mut worst) = (0, 0.0_f32);
    for line in PROMPTS.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        // Some rows are whole conversations.
        let Some(prompt) = row["prompt"].as_str() else {
            continue;
        };
        let said = classifier.classify(&Turn::new(prompt));
        let mut receipt = receipt();
        receipt.classification = said.unwrap();
        let text = receipt.encode(&key(NEW));
        let read = Receipt::decode(&text, &keys(&[NEW])).unwrap();
        let (said, kept) = (&receipt.classification, read.classification());
        assert_eq!((kept.task, kept.domain), (said.task, said.domain));
        assert_eq!(kept.raw_factors, said.raw_factors);
        let tokens = kept.output_tokens / said.output_tokens;
        assert!((0.9..1.1).contains(&tokens), "{line}");
        for ability in &abilities {
            let apart = (ability.p_correct(said) - ability.p_correct(kept)).abs();
            worst = worst.max(apart);
            seen += 1;
        }
    }
    assert!(seen > 1000, "{seen}");
    assert!(worst < 0.01, "{worst}");
}

#[test]
fn two_keys_are_valid_while_they_rotate() {
    let (old, new) = (receipt().encode(&key(OLD)), receipt().encode(&key(NEW)));
    let read = |text: &str, secrets: &[&str]| Receipt::decode(text, &keys(secrets)).is_ok();
    assert!(read(&old, &[OLD]) && read(&old, &[NEW, OLD]));
    assert!(read(&new, &[NEW, OLD]));
    for (text, secrets) in [(&old, &[NEW][..]), (&new, &[OLD]), (&new, &[])] {
        assert_eq!(
            Receipt::decode(text, &keys(secrets)),
            Err(ReceiptError::BadMac)
        );
    }
}

#[test]
fn any_change_is_seen() {
    let text = receipt().encode(&key(NEW));
    let keys = keys(&[NEW, OLD]);
    for at in 0..text.len() {
        let mut changed = text.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(Receipt::decode(&changed, &keys).is_err(), "{at}");
        let cut = text.get(..at).unwrap();
        let malformed = Err(ReceiptError::Malformed { at });
        assert_eq!(Receipt::decode(cut, &keys), malformed, "cut at {at}");
    }
    let longer = format!("{text}AA");
    let at = TEXT_CHARS;
    assert_eq!(
        Receipt::decode(&longer, &keys),
        Err(ReceiptError::Malformed { at })
    );
}

#[test]
fn each_error_names_its_place() {
    let keys = keys(&[NEW]);
    let mut broken = receipt().encode(&key(NEW));
    broken.replace_range(40..41, "!");
    for (text, error) in [
        ("", ReceiptError::Malformed { at: 0 }),
        ("not a receipt", ReceiptError::Malformed { at: 3 }),
        (broken.as_str(), ReceiptError::Malformed { at: 40 }),
        ("Av8", ReceiptError::Version(2)),
        (&"Z".repeat(100_000), ReceiptError::Version(0x65)),
        (&"!".repeat(100_000), ReceiptError::Malformed { at: 0 }),
    ] {
        assert_eq!(Receipt::decode(text, &keys), Err(error), "{text:.20}");
        assert_eq!(Receipt::decode_trusted(text), Err(error));
    }
    for (error, text) in [
        (
            ReceiptError::Malformed { at: 3 },
            "not a receipt: wrong at character 3",
        ),
        (
            ReceiptError::Version(2),
            "a receipt of version 2, which is not known here",
        ),
        (
            ReceiptError::BadMac,
            "the receipt was not signed with a key that is valid here",
        ),
    ] {
        assert_eq!(error.to_string(), text);
    }
}

/// A signed receipt with labels that the classifier does not have could only come from another module.
#[test]
fn labels_that_do_not_exist_are_refused() {
    let text = receipt().encode(&key(NEW));
    let mut bytes = base64::decode_url(text.as_bytes()).unwrap();
    let places: Vec<usize> = (0..codec::CONTENT_BYTES)
        .filter(|at| {
            let mut changed = bytes.clone();
            changed[*at] = 0xff;
            Receipt::decode_trusted(&base64::encode_url(&changed)).is_err()
        })
        .collect();
    // The version, the API, the task and the domain.
    assert_eq!(places.len(), 4);
    bytes[places[1]] = 0xff;
    let at = places[1] * 4 / 3;
    let error = Receipt::decode_trusted(&base64::encode_url(&bytes));
    assert_eq!(error, Err(ReceiptError::Malformed { at }));
}

#[test]
fn age_is_counted_by_a_clock_that_may_jump() {
    let receipt = receipt();
    let at = |seconds: u64| (1_764_000_000 + seconds) * 1_000_000_000;
    assert!(!receipt.is_older_than(60, at(0)));
    assert!(!receipt.is_older_than(60, at(60)));
    assert!(receipt.is_older_than(60, at(61)));
    // The clock went back, or there is none.
    assert!(!receipt.is_older_than(60, at(0) - 1_000_000_000_000_000));
    assert!(!receipt.is_older_than(60, 0));
}
