//! Words that say how long an answer is wanted: numbers, units, bounds and labels, in the languages that ask most.
//!
//! One table, looked up by hash; lower case, ASCII letters folded by the caller.

/// A part of an answer that people count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// A word.
    Word,
    /// A letter, or a character of a language without spaces.
    Character,
    /// A page of about 450 words.
    Page,
    /// A paragraph.
    Paragraph,
    /// A sentence.
    Sentence,
    /// A line of a message, a poem or a list.
    Line,
    /// A point of a list.
    Bullet,
    /// An idea, a question, a tip, …
    Item,
    /// A name, a title, a keyword, …
    Name,
    /// A token.
    Token,
}

/// The wanted length that a word hints at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cue {
    /// A number in letters.
    Number(f32),
    /// A unit behind a number.
    Unit(Unit),
    /// The number is a bound.
    Most,
    /// The number holds for each of several.
    Each,
    /// The number describes what is given: "my 40 page draft".
    Given,
    /// Nothing but what follows.
    Only,
    /// Names a short answer: "label", "number", "letter".
    Label,
    /// Half of "yes or no".
    Yes,
    /// The other half.
    No,
    /// An order to answer: "reply", "return", "output".
    Reply,
    /// An order for several things: "list", "give", "suggest".
    List,
    /// JSON is wanted.
    Json,
    /// Fields of an object follow.
    Fields,
    /// Joins "one" and the names of labels.
    Of,
    /// Asks for a long answer.
    Detail,
    /// Asks for one behind "in": "in full".
    Full,
    /// What stands before that.
    In,
}

use crate::fnv;
use Cue::{
    Detail, Each, Fields, Full, Given, In, Json, Label, List, Most, No, Number, Of, Only, Reply,
    Yes,
};
use Unit::{Bullet, Character, Item, Line, Name, Page, Paragraph, Sentence, Token, Word};

const fn unit(unit: Unit) -> Cue {
    Cue::Unit(unit)
}

/// The words of each cue, apart by a space; no word twice.
const CUES: &[(Cue, &str)] = &[
    (
        Number(1.0),
        "one single ein eine einem einen einer un une uno una um uma een één jeden jedną jedno jednym jedním один одно одним",
    ),
    (Number(1.0), "одной одну bir ett en"),
    (
        Number(2.0),
        "two zwei deux dos due dois duas twee dwa dwie два две iki två couple",
    ),
    (
        Number(3.0),
        "three drei trois tres tre três drie trzy три üç",
    ),
    (
        Number(4.0),
        "four vier quatre cuatro quattro quatro cztery четыре dört fyra",
    ),
    (
        Number(5.0),
        "five fünf cinq cinco cinque vijf pięć пять beş fem",
    ),
    (Number(6.0), "six sechs seis sei zes sześć шесть altı sex"),
    (
        Number(7.0),
        "seven sieben sept siete sette sete zeven siedem семь yedi sju",
    ),
    (
        Number(8.0),
        "eight acht huit ocho otto oito osiem восемь sekiz åtta",
    ),
    (
        Number(9.0),
        "nine neun neuf nueve nove negen dziewięć девять dokuz nio",
    ),
    (
        Number(10.0),
        "ten zehn dix diez dieci dez tien dziesięć десять tio",
    ),
    (
        Number(12.0),
        "twelve dozen zwölf douze doce dodici doze twaalf",
    ),
    (
        Number(15.0),
        "fifteen fünfzehn quinze quince quindici vijftien",
    ),
    (
        Number(20.0),
        "twenty zwanzig vingt veinte venti vinte twintig двадцать yirmi",
    ),
    (Number(30.0), "thirty dreißig trente treinta trenta"),
    (Number(50.0), "fifty fünfzig cinquante cincuenta cinquanta"),
    (
        Number(100.0),
        "hundred hundert cent cien cento honderd sto сто yüz",
    ),
    (
        unit(Word),
        "word words wort worte wörter wörtern worten mot mots palabra palabras parola parole palavra palavras woord woorden",
    ),
    (
        unit(Word),
        "słowo słów słowa słowem слово слов слова словом kelime kelimeyle ord slovo slov slovem kata từ शब्द शब्दों शब्दात كلمة",
    ),
    (unit(Word), "كلمات مفردة"),
    (
        unit(Character),
        "character characters char chars zeichen caractères caracteres caratteri tekens znaków символов знаков karakter tecken",
    ),
    (
        unit(Page),
        "page pages seite seiten página páginas pagina pagine pagina's strona strony stron страницы страниц sayfa sidor",
    ),
    (
        unit(Paragraph),
        "paragraph paragraphs absatz absätze absätzen paragraphe paragraphes párrafo párrafos paragrafo paragrafi parágrafo",
    ),
    (
        unit(Paragraph),
        "parágrafos alinea alinea's akapit akapity абзац абзаца абзацев paragraf stycken stanza stanzas strophe strophen verse",
    ),
    (unit(Paragraph), "verses"),
    (
        unit(Sentence),
        "sentence sentences satz sätze sätzen phrase phrases frase frases oración oraciones frasi zin zinnen zdanie zdania",
    ),
    (
        unit(Sentence),
        "zdaniach zdań предложение предложения предложений предложении предложениях cümle cümleyle cümlede mening meningar větu",
    ),
    (
        unit(Sentence),
        "věty větách kalimat câu वाक्य वाक्यों جملة جمل",
    ),
    (
        unit(Line),
        "line lines zeile zeilen ligne lignes línea líneas riga righe linha linhas regel regels wiersz linijki строка строки",
    ),
    (unit(Line), "строк satır rader"),
    (
        unit(Bullet),
        "bullet bullets bulletpoints point points punkt punkte punkten stichpunkte stichpunkten puce puces viñetas punti pontos",
    ),
    (
        unit(Bullet),
        "tópicos punten punkty пункта пунктов пункт madde punkter steps step schritte étapes pasos passi passos stappen шагов",
    ),
    (
        unit(Item),
        "idea ideas ideen idées idee ideias pomysły идеи идей fikir tip tips tipps conseils consejos consigli dicas советов",
    ),
    (
        unit(Item),
        "question questions fragen preguntas domande perguntas vragen pytania вопросов example examples beispiele exemples",
    ),
    (
        unit(Item),
        "ejemplos esempi exemplos voorbeelden przykłady примеров примера reason reasons gründe raisons razones motivi ways",
    ),
    (
        unit(Item),
        "suggestions options option optionen variants variations versions version versionen facts fakten arguments problems",
    ),
    (
        unit(Item),
        "exercises items entries recipes rezepte descriptions captions replies answers aufgaben",
    ),
    (
        unit(Name),
        "name names namen noms nombres nomi nomes title titles titel titres títulos titoli headline headlines slogan slogans",
    ),
    (
        unit(Name),
        "keywords keyword tags hashtags synonyms subject",
    ),
    (unit(Token), "token tokens"),
    (
        Most,
        "max maximum maximal maxi maximaal máximo máx massimo most under below within fewer limit höchstens unter weniger moins",
    ),
    (
        Most,
        "menos hasta meno até hoogstens onder minder maks maksymalnie najwyżej более до максимум fazla högst nejvýše maksimal",
    ),
    (Most, "maximálně tối tops shorter exceed अधिकतम less than"),
    (
        Each,
        "each every per apiece je jede jeder jedes jeweils chacun chacune chaque cada ciascuno ogni elk каждый каждое",
    ),
    (
        Given,
        "my our his her their this that these those your the mein meine meinen mon ma mes ce cette mis este esta mio meu minha",
    ),
    (
        Given,
        "mijn dieser diese dieses following attached first last",
    ),
    (
        Only,
        "only just nur seulement juste solo sólo solamente soltanto só apenas somente alleen tylko только sadece yalnızca pouze",
    ),
    (
        Only,
        "jen bara endast hanya chỉ csak лише केवल सिर्फ فقط exactly strictly purely",
    ),
    (
        Label,
        "label labels number letter category class intent tag digit integer score id verdict zahl buchstabe kategorie chiffre",
    ),
    (
        Label,
        "lettre catégorie etiqueta etiquette número categoría etiket numero categoria liczba číslo sayı число категорию метку",
    ),
    (Label, "decision boolean iso"),
    (
        Yes,
        "yes true ja oui sí sim tak да evet ano sì approve agree हाँ نعم",
    ),
    (
        No,
        "no false nein non não nee nie нет hayır ne nej reject disagree नहीं لا",
    ),
    (
        Reply,
        "reply answer respond return output print antworte antworten réponds répondez responde responda rispondi antwoord",
    ),
    (
        Reply,
        "odpowiedz ответь отвечай cevapla svara gib classify choose pick",
    ),
    (
        List,
        "list give suggest propose generate brainstorm nenne liste zähle donne donnez dame elenca dammi geef podaj назови",
    ),
    (List, "перечисли create need want provide"),
    (Json, "json"),
    (
        Fields,
        "fields keys attributes properties columns felder feldern champs clés campos claves campi chiavi velden pola поля ключи",
    ),
    (Of, "of von parmi entre among from"),
    (
        Detail,
        "detail detailed depth thorough thoroughly comprehensive comprehensively exhaustive elaborate extensively",
    ),
    (
        Detail,
        "ausführlich ausführliche ausführlichen detailliert detaillierte détail détaillé détaillée detalle detallado detallada",
    ),
    (
        Detail,
        "detalladamente dettaglio dettagliato dettagliata detalhe detalhado detalhada gedetailleerd uitgebreid szczegółowo",
    ),
    (
        Detail,
        "szczegółowy подробно подробный подробную подробное ayrıntılı detaljerad detaljerat podrobně 详细 详细地 詳しく 자세히",
    ),
    (Full, "full length entirety"),
    (In, "in at"),
];

/// The places of [`INDEX`]: three for each word, so that a search ends at once.
const PLACES: usize = 2048;

/// The words by their hash: one more than the row in [`CUES`], 0 if there is none, and the begin and end in that row.
static INDEX: [(u16, u8, u8); PLACES] = index();

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn index() -> [(u16, u8, u8); PLACES] {
    let mut index = [(0, 0, 0); PLACES];
    let mut row = 0;
    while row < CUES.len() {
        let words = CUES[row].1.as_bytes();
        row += 1;
        let mut begin = 0;
        while begin < words.len() {
            let mut end = begin;
            let mut hash = fnv::START32;
            while end < words.len() && words[end] != b' ' {
                hash = fnv::step32(hash, words[end] as u32);
                end += 1;
            }
            let mut place = place(hash);
            while index[place].0 != 0 {
                place = (place + 1) % PLACES;
            }
            index[place] = (row as u16, begin as u8, end as u8);
            begin = end + 1;
        }
    }
    index
}

const fn place(hash: u32) -> usize {
    ((hash >> 16) ^ hash) as usize % PLACES
}

/// The hint of `word`, whose ASCII letters may be capitals and whose hash is that of it in lower case; `None` for almost every
/// word.
#[inline]
pub(super) fn find(word: &[u8], hash: u32) -> Option<Cue> {
    let place = place(hash);
    // Two thirds of the places are free.
    match INDEX.get(place) {
        Some((1.., ..)) => search(word, place),
        _ => None,
    }
}

/// Searches for a word from its place on.
fn search(word: &[u8], mut place: usize) -> Option<Cue> {
    loop {
        let (row, begin, end) = INDEX.get(place).copied()?;
        let row = usize::from(row).checked_sub(1)?;
        // Most of the places that another word meets hold one of another length.
        if usize::from(end - begin) == word.len() {
            let (cue, words) = CUES.get(row)?;
            let known = words.as_bytes().get(usize::from(begin)..)?;
            let mut letters = known.iter().zip(word);
            if letters.all(|(known, letter)| *known == letter.to_ascii_lowercase()) {
                return Some(*cue);
            }
        }
        place = (place + 1) % PLACES;
    }
}

/// Units that follow a number without a space, in languages that write none; the bool says that it is a bound.
const SUFFIXES: &[(&str, Unit, bool)] = &[
    ("字以内", Character, true),
    ("字以下", Character, true),
    ("文字以内", Character, true),
    ("文字以下", Character, true),
    ("자 이내", Character, true),
    ("자 이하", Character, true),
    ("个字", Character, false),
    ("字", Character, false),
    ("文字", Character, false),
    ("자", Character, false),
    ("句话", Sentence, false),
    ("句", Sentence, false),
    ("文で", Sentence, false),
    ("문장", Sentence, false),
    ("行", Line, false),
    ("줄", Line, false),
    ("段", Paragraph, false),
    ("단락", Paragraph, false),
    ("页", Page, false),
    ("ページ", Page, false),
    ("点", Bullet, false),
    ("つ", Item, false),
    ("个", Item, false),
    ("가지", Item, false),
    ("단어", Word, false),
];

/// The unit that `rest` begins with, if it is one of a language without spaces.
pub(super) fn find_suffix(rest: &[u8]) -> Option<(Unit, bool)> {
    if rest.first().is_none_or(u8::is_ascii) {
        return None;
    }
    let mut suffixes = SUFFIXES.iter();
    let found = suffixes.find(|(suffix, ..)| rest.starts_with(suffix.as_bytes()));
    found.map(|(_, unit, is_bound)| (*unit, *is_bound))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cue_is_found_in_the_form_in_which_words_are_looked_up() {
        let mut count = 0;
        for (cue, words) in CUES {
            for word in words.split(' ') {
                let hash = fnv::hash32(word.as_bytes());
                assert_eq!(find(word.as_bytes(), hash), Some(*cue), "{word}: not twice");
                let capitals = word.to_ascii_uppercase();
                assert_eq!(find(capitals.as_bytes(), hash), Some(*cue), "{capitals}");
                assert_eq!(word.to_lowercase(), word);
                assert!(
                    word.len() <= super::super::instruction::LONGEST_WORD,
                    "{word}"
                );
                count += 1;
            }
        }
        assert!(count > 600 && 2 * count < PLACES, "{count}");
        for word in ["", "zebra", "a", "wordss"] {
            let hash = fnv::hash32(word.as_bytes());
            assert_eq!(find(word.as_bytes(), hash), None, "{word}");
        }
    }
}
