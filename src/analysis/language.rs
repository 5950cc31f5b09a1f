//! Detects the language of a text: by its script, and for Latin letters by frequent words. Cheap and rough.
//!
//! For rules that send a language to the models that know it. A few words are enough; code, names and numbers alone have no
//! language. Only the first [`MAX_BYTES`] of a text are read.

use crate::fnv;

#[cfg(test)]
mod tests;

/// Maximum number of bytes of a text that are read.
pub const MAX_BYTES: usize = 2048;

macro_rules! languages {
    ($($variant:ident = $code:literal, $doc:literal;)+) => {
        /// A language that rules can name, by its ISO 639-1 code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Language { $(#[doc = $doc] $variant,)+ }

        impl Language {
            /// All languages.
            pub const ALL: &'static [Language] = &[$(Language::$variant,)+];

            /// Their codes, in the same order.
            pub const CODES: &'static [&'static str] = &[$($code,)+];

            /// The code that policies use.
            pub const fn code(self) -> &'static str {
                match self { $(Language::$variant => $code,)+ }
            }
        }
    };
}

languages! {
    Arabic = "ar", "Arabic.";
    Chinese = "zh", "Chinese.";
    Dutch = "nl", "Dutch.";
    English = "en", "English.";
    French = "fr", "French.";
    German = "de", "German.";
    Greek = "el", "Greek.";
    Hebrew = "he", "Hebrew.";
    Hindi = "hi", "Hindi, and other languages in its script.";
    Italian = "it", "Italian.";
    Japanese = "ja", "Japanese.";
    Korean = "ko", "Korean.";
    Polish = "pl", "Polish.";
    Portuguese = "pt", "Portuguese.";
    Russian = "ru", "Russian, and other languages in Cyrillic letters.";
    Spanish = "es", "Spanish.";
    Swedish = "sv", "Swedish.";
    Thai = "th", "Thai.";
    Turkish = "tr", "Turkish.";
    Ukrainian = "uk", "Ukrainian.";
}

/// Frequent words of each language in Latin letters, shared ones included: the number of hits decides.
const FREQUENT: &[(Language, &[&str])] = &[
    (
        Language::English,
        &[
            "the", "of", "and", "to", "in", "is", "that", "it", "for", "what", "how", "you", "a",
            "i", "this", "with", "are", "me", "my", "please", "can", "do", "does", "why", "write",
        ],
    ),
    (
        Language::German,
        &[
            "der", "die", "das", "und", "ist", "ich", "nicht", "ein", "eine", "den", "zu", "mit",
            "wie", "was", "für", "auf", "von", "bitte", "warum", "kann", "mir", "sie", "es", "wir",
        ],
    ),
    (
        Language::French,
        &[
            "le", "la", "les", "des", "et", "est", "une", "un", "de", "du", "que", "pour", "je",
            "vous", "dans", "qui", "quelle", "quel", "comment", "pourquoi", "avec", "ce", "moi",
            "sur",
        ],
    ),
    (
        Language::Spanish,
        &[
            "el", "la", "los", "las", "de", "que", "y", "es", "una", "un", "en", "por", "para",
            "cómo", "qué", "como", "con", "del", "cuál", "mi", "me", "no", "se", "está",
        ],
    ),
    (
        Language::Portuguese,
        &[
            "o", "os", "as", "de", "que", "e", "é", "uma", "um", "em", "para", "por", "como",
            "não", "com", "do", "da", "qual", "você", "eu", "me", "está", "são", "na",
        ],
    ),
    (
        Language::Italian,
        &[
            "il", "lo", "gli", "di", "che", "e", "è", "una", "un", "per", "non", "come", "con",
            "del", "della", "sono", "qual", "mi", "cosa", "perché", "la", "le", "nel", "quale",
        ],
    ),
    (
        Language::Dutch,
        &[
            "de", "het", "een", "en", "van", "is", "dat", "niet", "ik", "je", "wat", "hoe", "voor",
            "met", "op", "zijn", "kan", "waarom", "mij", "te", "deze", "aan", "wij", "naar",
        ],
    ),
    (
        Language::Polish,
        &[
            "i", "w", "na", "nie", "jest", "się", "że", "do", "jak", "co", "to", "z", "dla", "czy",
            "o", "jaki", "jaka", "proszę", "dlaczego", "mi", "są", "od", "po", "być",
        ],
    ),
    (
        Language::Swedish,
        &[
            "och", "att", "det", "är", "en", "ett", "som", "för", "på", "med", "jag", "inte",
            "vad", "hur", "av", "till", "den", "kan", "du", "varför", "mig", "om", "har", "var",
        ],
    ),
    (
        Language::Turkish,
        &[
            "ve", "bir", "bu", "için", "ne", "nasıl", "mi", "mı", "ile", "da", "de", "çok",
            "neden", "ben", "var", "olan", "lütfen", "nedir", "bana", "gibi", "hangi", "kadar",
            "ya", "değil",
        ],
    ),
];

/// Hash table of the frequent words: index of the language, eight bits, and of the word plus one; 0 is empty. At most a quarter is
/// occupied, so that a word of a text costs about one comparison.
const BY_HASH: [u16; 1024] = {
    let mut table = [0; 1024];
    let mut language = 0;
    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
    while language < FREQUENT.len() {
        let words = FREQUENT[language].1;
        let mut word = 0;
        while word < words.len() {
            let mut slot = hash(words[word].as_bytes());
            while table[slot] != 0 {
                slot = (slot + 1) % 1024;
            }
            table[slot] = ((language << 8) + word + 1) as u16;
            word += 1;
        }
        language += 1;
    }
    table
};

/// A place in [`BY_HASH`]: FNV-1a, its upper half folded into the lower one.
const fn hash(word: &[u8]) -> usize {
    let hash = fnv::hash32(word);
    (hash ^ hash >> 16) as usize % 1024
}

/// The languages, by index in [`FREQUENT`], in which a lower-case word is frequent.
fn languages_of(word: &str) -> impl Iterator<Item = usize> {
    let (before, after) = BY_HASH
        .split_at_checked(hash(word.as_bytes()))
        .unwrap_or_default();
    after
        .iter()
        .chain(before)
        .take_while(|place| **place != 0)
        .filter_map(move |place| {
            let (language, index) = ((place - 1) as usize >> 8, (place - 1) as usize & 0xff);
            let (_, words) = FREQUENT.get(language)?;
            (words.get(index) == Some(&word)).then_some(language)
        })
}

/// Number of letters of each script.
#[derive(Default)]
struct Scripts {
    latin: u32,
    cyrillic: u32,
    ukrainian: u32,
    greek: u32,
    arabic: u32,
    hebrew: u32,
    devanagari: u32,
    thai: u32,
    hangul: u32,
    kana: u32,
    han: u32,
}

/// The language of `text`; `None` if it is unclear.
///
/// ```
/// use pointsman::analysis::language::{Language, find};
///
/// assert_eq!(find("Wie viel ist das, und was bedeutet es?"), Some(Language::German));
/// assert_eq!(find("Почему небо голубое?"), Some(Language::Russian));
/// assert_eq!(find("x = 7"), None);
/// ```
pub fn find(text: &str) -> Option<Language> {
    let text = text
        .get(..text.floor_char_boundary(MAX_BYTES))
        .unwrap_or(text);
    let scripts = count(text);
    // A Chinese or Japanese character is worth about two letters.
    let ideographs = 2 * (scripts.han + scripts.kana);
    let east = if scripts.kana * 8 > scripts.han {
        Language::Japanese
    } else {
        Language::Chinese
    };
    let slavic = if scripts.ukrainian > 0 {
        Language::Ukrainian
    } else {
        Language::Russian
    };
    let others = [
        (scripts.cyrillic, slavic),
        (scripts.greek, Language::Greek),
        (scripts.arabic, Language::Arabic),
        (scripts.hebrew, Language::Hebrew),
        (scripts.devanagari, Language::Hindi),
        (scripts.thai, Language::Thai),
        (scripts.hangul * 2, Language::Korean),
        (ideographs, east),
    ];
    let (letters, language) = others.into_iter().max_by_key(|(letters, _)| *letters)?;
    // In a text of another script, names and code are in Latin letters.
    if letters > 0 && letters * 2 >= scripts.latin {
        return Some(language);
    }
    find_latin(text)
}

fn count(text: &str) -> Scripts {
    let mut scripts = Scripts::default();
    for letter in text.chars() {
        let place = match letter {
            'a'..='z' | 'A'..='Z' | '\u{c0}'..='\u{24f}' => &mut scripts.latin,
            'і' | 'ї' | 'є' | 'ґ' | 'І' | 'Ї' | 'Є' | 'Ґ' => {
                scripts.cyrillic += 1;
                &mut scripts.ukrainian
            }
            '\u{400}'..='\u{52f}' => &mut scripts.cyrillic,
            '\u{370}'..='\u{3ff}' => &mut scripts.greek,
            '\u{600}'..='\u{6ff}' => &mut scripts.arabic,
            '\u{590}'..='\u{5ff}' => &mut scripts.hebrew,
            '\u{900}'..='\u{97f}' => &mut scripts.devanagari,
            '\u{e00}'..='\u{e7f}' => &mut scripts.thai,
            '\u{ac00}'..='\u{d7af}' | '\u{1100}'..='\u{11ff}' => &mut scripts.hangul,
            '\u{3040}'..='\u{30ff}' => &mut scripts.kana,
            '\u{4e00}'..='\u{9fff}' | '\u{3400}'..='\u{4dbf}' => &mut scripts.han,
            _ => continue,
        };
        *place += 1;
    }
    scripts
}

/// The language with the most frequent words: at least two, or one in a text of at most three words.
fn find_latin(text: &str) -> Option<Language> {
    let mut hits = [0_u32; FREQUENT.len()];
    let mut words = 0_u32;
    for word in text.split(|letter: char| !letter.is_alphabetic()) {
        if word.is_empty() {
            continue;
        }
        words += 1;
        // No frequent word is longer.
        if word.len() > 9 {
            continue;
        }
        let word = word.to_lowercase();
        for language in languages_of(&word) {
            if let Some(hit) = hits.get_mut(language) {
                *hit += 1;
            }
        }
    }
    let most = hits.iter().copied().max()?;
    let needed = if words <= 3 { 1 } else { 2 };
    let first = hits.iter().position(|hit| *hit == most)?;
    let tied = hits.iter().filter(|hit| **hit == most).count();
    (most >= needed && tied == 1)
        .then(|| FREQUENT.get(first).map(|(language, _)| *language))
        .flatten()
}
