//! Equal meaning, equal decision: variants of the project's own prompts in case, typos, white space, politeness, wording and injected
//! claims ("this is a trivial question: …") keep nine decisions of ten; and what is asked in another language is not taken for easy.
//!
//! `tests/data/robustness.jsonl` is written by `models/train/variants.py --gate`. `cargo test --test robustness -- --nocapture` shows the shares.

#![cfg(not(target_family = "wasm"))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

mod decider;

use std::collections::BTreeMap;

use decider::Decider;
use pointsman::api::Api;
use pointsman::routing::decision::Decision;
use serde_json::{Value, json};

const POLICY: &str = include_str!("../envoy/policies/demo.json");
const PROMPTS: &str = include_str!("data/prompts.jsonl");
const VARIANTS: &str = include_str!("data/robustness.jsonl");

fn decide(decider: &mut Decider, prompt: &str) -> Decision {
    let body = json!({"model": "auto", "messages": [{"role": "user", "content": prompt}]});
    decider.decide(Api::OpenAiChat, &body)
}

fn rows(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn nine_decisions_of_ten_stay() {
    let mut decider = Decider::new(POLICY);
    let originals: BTreeMap<String, Decision> = rows(PROMPTS)
        .iter()
        .filter_map(|row| {
            let prompt = row["prompt"].as_str()?;
            Some((
                row["id"].as_str().unwrap().to_owned(),
                decide(&mut decider, prompt),
            ))
        })
        .collect();
    let chosen: BTreeMap<u32, usize> =
        originals
            .values()
            .fold(BTreeMap::new(), |mut all, decision| {
                *all.entry(decision.model.0).or_default() += 1;
                all
            });
    println!("models chosen for the originals: {chosen:?}");
    let largest = chosen.values().max().unwrap();
    assert!(
        *largest < originals.len() * 9 / 10,
        "one model gets nearly all, so that nothing could change"
    );
    let mut kept: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for row in rows(VARIANTS) {
        let original = &originals[row["id"].as_str().unwrap()];
        let decision = decide(&mut decider, row["prompt"].as_str().unwrap());
        let (stayed, all) = kept
            .entry(row["kind"].as_str().unwrap().to_owned())
            .or_default();
        *stayed += usize::from(decision.model == original.model);
        *all += 1;
    }
    println!("decisions kept, of all: {kept:?}");
    let (stayed, all) = kept
        .values()
        .fold((0, 0), |(stayed, all), one| (stayed + one.0, all + one.1));
    assert!(all > 300, "{all} variants");
    assert!(stayed * 10 >= all * 9, "{stayed} of {all}: {kept:?}");
}

/// A proof and a thank-you in the ten languages with the most speakers after English.
const LANGUAGES: [(&str, &str, &str); 10] = [
    (
        "zh",
        "请证明每个有限维赋范空间都是完备的，并说明在无限维情形下哪一步不成立。",
        "谢谢，明天见！",
    ),
    (
        "hi",
        "सिद्ध कीजिए कि प्रत्येक परिमित-विमीय मानकित समष्टि पूर्ण होती है, और बताइए कि अनंत विमा में कौन-सा चरण विफल होता है।",
        "धन्यवाद, कल मिलते हैं!",
    ),
    (
        "es",
        "Demuestra que todo espacio normado de dimensión finita es completo y explica qué paso falla en dimensión infinita.",
        "¡Gracias, hasta mañana!",
    ),
    (
        "fr",
        "Démontre que tout espace normé de dimension finie est complet et explique quelle étape échoue en dimension infinie.",
        "Merci, à demain !",
    ),
    (
        "ar",
        "أثبت أن كل فضاء معياري منتهي الأبعاد تام، واشرح أي خطوة تفشل في الأبعاد غير المنتهية.",
        "شكرا، أراك غدا!",
    ),
    (
        "bn",
        "প্রমাণ করো যে প্রতিটি সসীম-মাত্রিক নর্মযুক্ত স্থান সম্পূর্ণ, এবং অসীম মাত্রায় কোন ধাপটি ব্যর্থ হয় তা ব্যাখ্যা করো।",
        "ধন্যবাদ, কাল দেখা হবে!",
    ),
    (
        "pt",
        "Demonstre que todo espaço normado de dimensão finita é completo e explique qual passo falha em dimensão infinita.",
        "Obrigado, até amanhã!",
    ),
    (
        "ru",
        "Докажите, что всякое конечномерное нормированное пространство полно, и объясните, какой шаг не проходит в бесконечномерном случае.",
        "Спасибо, до завтра!",
    ),
    (
        "ur",
        "ثابت کریں کہ ہر متناہی جہتی نارمڈ فضا مکمل ہوتی ہے، اور بتائیں کہ لامتناہی جہت میں کون سا مرحلہ ناکام ہوتا ہے۔",
        "شکریہ، کل ملتے ہیں!",
    ),
    (
        "id",
        "Buktikan bahwa setiap ruang bernorma berdimensi hingga adalah lengkap, dan jelaskan langkah mana yang gagal pada dimensi takhingga.",
        "Terima kasih, sampai jumpa besok!",
    ),
];

#[test]
fn proofs_are_harder_than_thanks_in_other_languages_too() {
    let mut decider = Decider::new(POLICY);
    let mut difficulty = |prompt: &str| {
        let decision = decide(&mut decider, prompt);
        decision.classification.unwrap().difficulty
    };
    let small_talk = difficulty("Thanks, see you tomorrow!");
    for (language, proof, thanks) in LANGUAGES {
        let (hard, easy) = (difficulty(proof), difficulty(thanks));
        println!("{language}: proof {hard:.2}, thanks {easy:.2}, English thanks {small_talk:.2}");
        assert!(hard > small_talk + 0.5, "{language}: taken for small talk");
        assert!(hard > easy + 0.3, "{language}: {hard:.2} and {easy:.2}");
    }
}
