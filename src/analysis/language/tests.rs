//! A sentence or two of each language, and texts that tell nothing.

use super::*;

#[test]
fn a_sentence_is_enough() {
    for (language, text) in [
        (Language::English, "What is the capital of France?"),
        (Language::English, "Write a poem about the sea"),
        (Language::German, "Wie heißt die Hauptstadt von Frankreich?"),
        (
            Language::German,
            "Bitte schreibe mir ein Gedicht über das Meer.",
        ),
        (Language::French, "Quelle est la capitale de l'Allemagne ?"),
        (
            Language::Spanish,
            "¿Cuál es la capital de Alemania y por qué?",
        ),
        (
            Language::Portuguese,
            "Qual é a capital da Alemanha e por que não Munique?",
        ),
        (
            Language::Italian,
            "Qual è la capitale della Germania e perché non Monaco?",
        ),
        (
            Language::Dutch,
            "Wat is de hoofdstad van het land en hoe kom ik er?",
        ),
        (
            Language::Polish,
            "Jaka jest stolica Niemiec i dlaczego nie jest to Monachium?",
        ),
        (
            Language::Swedish,
            "Vad är huvudstaden i Frankrike och varför är det så?",
        ),
        (
            Language::Turkish,
            "Fransa'nın başkenti nedir ve neden bu kadar ünlü bir şehir?",
        ),
        (Language::Russian, "Какая столица Франции?"),
        (Language::Ukrainian, "Яка столиця Франції і чому?"),
        (Language::Greek, "Ποια είναι η πρωτεύουσα της Γαλλίας;"),
        (Language::Arabic, "ما هي عاصمة فرنسا؟"),
        (Language::Hebrew, "מהי בירת צרפת?"),
        (Language::Hindi, "फ्रांस की राजधानी क्या है?"),
        (Language::Thai, "เมืองหลวงของฝรั่งเศสคืออะไร"),
        (Language::Korean, "프랑스의 수도는 어디인가요?"),
        (Language::Japanese, "フランスの首都はどこですか。"),
        (Language::Chinese, "法国的首都是哪里？"),
        (Language::Chinese, "请解释 Python 的 asyncio 是怎么工作的"),
    ] {
        assert_eq!(find(text), Some(language), "{text}");
    }
}

#[test]
fn a_text_without_words_has_no_language() {
    for text in [
        "",
        "42 + 17 = ?",
        "fn main() { println!(); }",
        "Kubernetes",
        "\u{1f600}",
    ] {
        assert_eq!(find(text), None, "{text}");
    }
}

#[test]
fn codes_are_those_of_the_languages() {
    let codes: Vec<&str> = Language::ALL
        .iter()
        .map(|language| language.code())
        .collect();
    assert_eq!(codes, Language::CODES);
}

#[test]
fn a_long_text_is_cut_at_a_letter() {
    assert_eq!(find(&"я".repeat(MAX_BYTES)), Some(Language::Russian));
    assert_eq!(
        find(&format!("a{}", "я".repeat(MAX_BYTES))),
        Some(Language::Russian)
    );
}

#[test]
fn every_frequent_word_is_found_by_its_hash() {
    for (place, (language, words)) in FREQUENT.iter().enumerate() {
        for word in *words {
            let found: Vec<usize> = languages_of(word).collect();
            assert!(found.contains(&place), "{language:?} {word}");
            let listed = FREQUENT.iter().filter(|(_, words)| words.contains(word));
            assert_eq!(found.len(), listed.count(), "{word}");
        }
    }
    assert_eq!(languages_of("warfarin").count(), 0);
}
