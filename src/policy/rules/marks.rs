//! Letters and the marks that stand over, under or beside them: accents, vowel signs, signs without a vowel.
//!
//! Unicode writes most accented letters in two ways, as one character or as a letter and a mark, and readers see no difference.
//! So a word of a rule is looked for in both spellings.

use crate::policy::pattern::Pattern;

/// Whether a character belongs to the letter before it although Unicode does not call it alphabetic.
pub(super) const fn is_mark(letter: char) -> bool {
    let code = letter as u32;
    match letter {
        // Accents; Hebrew; Sinhala, Thai, Lao, Burmese, Khmer.
        '\u{300}'..='\u{36f}' | '\u{591}'..='\u{5af}' => true,
        '\u{dca}' | '\u{e47}'..='\u{e4e}' | '\u{ec8}'..='\u{ecd}' => true,
        '\u{1037}' | '\u{1039}'..='\u{103a}' | '\u{17c6}'..='\u{17d3}' => true,
        // Indic scripts, Devanagari to Malayalam, have one order: nukta, virama and tone marks stand at the same places.
        '\u{900}'..='\u{d7f}' => matches!(code & 0x7f, 0x3b | 0x3c | 0x4d | 0x51..=0x54),
        _ => false,
    }
}

/// The other spellings of a word: accents as characters of their own, and accents within their letters.
pub(super) fn other_spellings(word: &Pattern) -> impl Iterator<Item = Pattern> {
    let text = word.text();
    let spellings = [apart(text), together(text)];
    let is_prefix = word.is_prefix();
    let others: Vec<Pattern> = spellings
        .into_iter()
        .filter(|spelling| spelling != text)
        .filter_map(|spelling| match is_prefix {
            true => Pattern::parse(&[spelling.as_str(), "*"].concat()),
            false => Pattern::parse(&spelling),
        })
        .collect();
    others.into_iter()
}

/// `text` with the accents of its letters as characters of their own.
fn apart(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        let (mut base, mut marks) = (letter, Vec::new());
        while let Some((before, mark)) = decompose(base) {
            marks.push(mark);
            base = before;
        }
        out.push(base);
        out.extend(marks.iter().rev());
    }
    out
}

/// `text` with accents put into the letters before them.
fn together(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        let composed = out
            .chars()
            .next_back()
            .and_then(|base| compose(base, letter));
        match composed {
            Some(composed) => {
                out.pop();
                out.push(composed);
            }
            None => out.push(letter),
        }
    }
    out
}

/// The letter without its last mark, and that mark.
fn decompose(letter: char) -> Option<(char, char)> {
    MARKED.iter().find_map(|(mark, letters)| {
        let (base, _) = pairs(letters).find(|(_, marked)| *marked == letter)?;
        Some((base, *mark))
    })
}

fn compose(base: char, mark: char) -> Option<char> {
    let (_, letters) = MARKED.iter().find(|(other, _)| *other == mark)?;
    let (_, marked) = pairs(letters).find(|(other, _)| *other == base)?;
    Some(marked)
}

fn pairs(letters: &str) -> impl Iterator<Item = (char, char)> + '_ {
    letters
        .chars()
        .step_by(2)
        .zip(letters.chars().skip(1).step_by(2))
}

/// By mark: each small letter that takes it, and the letter with it: Latin, Greek, Cyrillic, Devanagari, Bengali, Gurmukhi
/// (Unicode's canonical decompositions).
const MARKED: [(char, &str); 28] = [
    ('\u{300}', "aàeèiìoòuùüǜnǹēḕōṑwẁâầăằêềôồơờưừyỳ"),
    (
        '\u{301}',
        "aáeéiíoóuúyýcćlĺnńrŕsśzźüǘgǵåǻæǽøǿϊΐαάεέηήιίϋΰοόυύωώгѓкќçḉēḗïḯkḱmḿõṍōṓpṕũṹwẃâấăắêếôốơớưứ",
    ),
    ('\u{302}', "aâeêiîoôuûcĉgĝhĥjĵsŝwŵyŷzẑạậẹệọộ"),
    ('\u{303}', "aãnñoõiĩuũvṽâẫăẵeẽêễôỗơỡưữyỹ"),
    ('\u{304}', "aāeēiīoōuūüǖäǟȧǡæǣǫǭgḡḷḹṛṝ"),
    ('\u{306}', "aăeĕgğiĭoŏuŭийуўȩḝạặ"),
    ('\u{307}', "cċeėgġzżbḃdḋfḟhḣmṁnṅpṗrṙsṡśṥšṧṣṩtṫwẇxẋyẏſẛ"),
    ('\u{308}', "aäeëiïoöuüyÿιϊυϋеёіїhḧõṏūṻwẅxẍtẗ"),
    ('\u{309}', "aảâẩăẳeẻêểiỉoỏôổơởuủưửyỷ"),
    ('\u{30a}', "aåuůwẘyẙ"),
    ('\u{30b}', "oőuű"),
    ('\u{30c}', "cčdďeělľnňrřsštťzžaǎiǐoǒuǔüǚgǧkǩʒǯjǰhȟ"),
    ('\u{30f}', "aȁeȅiȉoȍrȑuȕ"),
    ('\u{311}', "aȃeȇiȋoȏrȓuȗ"),
    ('\u{31b}', "oơuư"),
    ('\u{323}', "bḅdḍhḥkḳlḷmṃnṇrṛsṣtṭvṿwẉzẓaạeẹiịoọơợuụưựyỵ"),
    ('\u{324}', "uṳ"),
    ('\u{325}', "aḁ"),
    ('\u{326}', "sștț"),
    ('\u{327}', "cçgģkķlļnņrŗsştţdḑhḩ"),
    ('\u{328}', "aąeęiįuųoǫ"),
    ('\u{32d}', "dḓeḙlḽnṋtṱuṷ"),
    ('\u{32e}', "hḫ"),
    ('\u{330}', "eḛiḭuṵ"),
    ('\u{331}', "bḇdḏkḵlḻnṉrṟtṯzẕhẖ"),
    (
        '\u{93c}',
        "\u{928}\u{929}\u{930}\u{931}\u{933}\u{934}\u{915}\u{958}\u{916}\u{959}\u{917}\u{95a}\u{91c}\u{95b}\u{921}\u{95c}\u{922}\u{95d}\u{92b}\u{95e}\u{92f}\u{95f}",
    ),
    ('\u{9bc}', "\u{9a1}\u{9dc}\u{9a2}\u{9dd}\u{9af}\u{9df}"),
    (
        '\u{a3c}',
        "\u{a32}\u{a33}\u{a38}\u{a36}\u{a16}\u{a59}\u{a17}\u{a5a}\u{a1c}\u{a5b}\u{a2b}\u{a5e}",
    ),
];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn accents_are_taken_apart_and_put_together() {
        for (one, many) in [
            ("café", "cafe\u{301}"),
            ("việt", "vie\u{323}\u{302}t"),
            ("йод", "и\u{306}од"),
            ("ärzte", "a\u{308}rzte"),
            ("\u{95b}हर", "\u{91c}\u{93c}हर"),
        ] {
            assert_eq!(apart(one), many);
            assert_eq!(apart(many), many);
            assert_eq!(together(many), one);
            assert_eq!(together(one), one);
        }
        assert_eq!(
            other_spellings(&Pattern::parse("plain").unwrap()).count(),
            0
        );
        let prefix = other_spellings(&Pattern::parse("café*").unwrap()).next();
        assert_eq!(prefix, Pattern::parse("cafe\u{301}*"));
    }

    #[test]
    fn what_divides_words_is_no_mark() {
        for divider in ['।', '॥', '฿', '๏', '་', '។', '-', ' ', '\u{2019}'] {
            assert!(!is_mark(divider), "{divider:?}");
        }
        for mark in [
            '\u{94d}', '\u{93c}', '\u{9cd}', '\u{bcd}', '\u{e48}', '\u{17d2}', '\u{301}',
        ] {
            assert!(is_mark(mark) && !mark.is_alphanumeric(), "{mark:?}");
        }
    }
}
