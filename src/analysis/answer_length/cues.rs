//! Words that say how long an answer is wanted: numbers, units, bounds and labels, in the languages that ask most.
//!
//! One table behind a small filter, looked up by hash; lower case, folded by the caller.

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

/// A cue that only counts by where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// The number describes what is given: "my 40 page draft".
    Given,
    /// Half of "yes or no".
    Yes,
    /// An order to answer: "reply", "return", "output".
    Reply,
    /// An order for several things: "list", "give", "suggest".
    List,
    /// Stands before "full".
    In,
}

/// How many marks there are.
pub(super) const MARKS: usize = Mark::In as usize + 1;

/// The wanted length that a word hints at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cue {
    /// A number in letters.
    Number(u8),
    /// Only its place counts.
    Mark(Mark),
    /// Joins "one" and the names of labels.
    Of,
    /// A unit behind a number.
    Unit(Unit),
    /// The number is a bound.
    Most,
    /// The number holds for each of several.
    Each,
    /// Nothing but what follows.
    Only,
    /// Names a short answer: "label", "number", "letter".
    Label,
    /// The other half of "yes or no".
    No,
    /// JSON is wanted.
    Json,
    /// Fields of an object follow.
    Fields,
    /// Asks for a long answer.
    Detail,
    /// Asks for one behind "in": "in full".
    Full,
}

use super::super::bloom::Bloom;
use Cue::{Detail, Each, Fields, Full, Json, Label, Most, No, Number, Of, Only};
use Mark::{Given, In, List, Reply, Yes};
use Unit::{Bullet, Character, Item, Line, Name, Page, Paragraph, Sentence, Token, Word};

const fn unit(unit: Unit) -> Cue {
    Cue::Unit(unit)
}

const fn mark(mark: Mark) -> Cue {
    Cue::Mark(mark)
}

/// The words of each cue, apart by a space; no word twice.
const CUES: &[(Cue, &str)] = &[
    (
        Number(1),
        "one single ein eine einem einen einer un une uno una um uma een één jeden jedną jedno jednym jedním один одно одним",
    ),
    (Number(1), "одной одну bir ett en"),
    (
        Number(2),
        "two zwei deux dos due dois duas twee dwa dwie два две iki två couple",
    ),
    (Number(3), "three drei trois tres tre três drie trzy три üç"),
    (
        Number(4),
        "four vier quatre cuatro quattro quatro cztery четыре dört fyra",
    ),
    (
        Number(5),
        "five fünf cinq cinco cinque vijf pięć пять beş fem",
    ),
    (Number(6), "six sechs seis sei zes sześć шесть altı sex"),
    (
        Number(7),
        "seven sieben sept siete sette sete zeven siedem семь yedi sju",
    ),
    (
        Number(8),
        "eight acht huit ocho otto oito osiem восемь sekiz åtta",
    ),
    (
        Number(9),
        "nine neun neuf nueve nove negen dziewięć девять dokuz nio",
    ),
    (
        Number(10),
        "ten zehn dix diez dieci dez tien dziesięć десять tio",
    ),
    (
        Number(12),
        "twelve dozen zwölf douze doce dodici doze twaalf",
    ),
    (
        Number(15),
        "fifteen fünfzehn quinze quince quindici vijftien",
    ),
    (
        Number(20),
        "twenty zwanzig vingt veinte venti vinte twintig двадцать yirmi",
    ),
    (Number(30), "thirty dreißig trente treinta trenta"),
    (Number(50), "fifty fünfzig cinquante cincuenta cinquanta"),
    (
        Number(100),
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
        mark(Given),
        "my our his her their this that these those your the mein meine meinen mon ma mes ce cette mis este esta mio meu minha",
    ),
    (
        mark(Given),
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
        mark(Yes),
        "yes true ja oui sí sim tak да evet ano sì approve agree हाँ نعم",
    ),
    (
        No,
        "no false nein non não nee nie нет hayır ne nej reject disagree नहीं لا",
    ),
    (
        mark(Reply),
        "reply answer respond return output print antworte antworten réponds répondez responde responda rispondi antwoord",
    ),
    (
        mark(Reply),
        "odpowiedz ответь отвечай cevapla svara gib classify choose pick",
    ),
    (
        mark(List),
        "list give suggest propose generate brainstorm nenne liste zähle donne donnez dame elenca dammi geef podaj назови",
    ),
    (mark(List), "перечисли create need want provide"),
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
    (mark(In), "in at"),
];

/// The places of [`TABLE`]; about two thirds are taken.
const PLACES: usize = 1024;

/// A word's hash but for its highest 16 bits, and its hint; none if the place is empty.
type Place = (u32, u16, Option<Cue>);

/// The hints by the hash of their words. Eight bytes each and no text: 48 bits of the hash and the place tell a word, so that a
/// look-up reads one cache line.
static TABLE: [Place; PLACES] = INDEX.0;

/// The hashes that [`TABLE`] has, for a look before it.
static FILTER: Bloom = INDEX.1;

const INDEX: ([Place; PLACES], Bloom) = index();

const fn place(hash: u64) -> usize {
    (hash >> 54) as usize
}

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn index() -> ([Place; PLACES], Bloom) {
    let (mut table, mut filter) = ([(0, 0, None); PLACES], Bloom::EMPTY);
    let mut row = 0;
    while row < CUES.len() {
        let (cue, words) = CUES[row];
        let mut words = words.as_bytes();
        while !words.is_empty() {
            let (word, rest) = split_word(words);
            let hash = hash(word);
            let mut place = place(hash);
            while table[place].2.is_some() {
                place = (place + 1) % PLACES;
            }
            table[place] = (hash as u32, (hash >> 32) as u16, Some(cue));
            filter = filter.with(hash);
            words = rest;
        }
        row += 1;
    }
    (table, filter)
}

/// The first of words apart by a space, and the others.
const fn split_word(words: &[u8]) -> (&[u8], &[u8]) {
    let mut rest = words;
    while let [letter, behind @ ..] = rest {
        if *letter == b' ' {
            return (words.split_at(words.len() - rest.len()).0, behind);
        }
        rest = behind;
    }
    (words, &[])
}

/// The hash from which [`hash_step`] goes on; no cue has it.
pub(super) const NO_HASH: u64 = 0;

/// Takes the next eight bytes of a word into its hash, the first one lowest; fewer at its end, even none, with zeros behind them.
pub(super) const fn hash_step(hash: u64, eight: u64) -> u64 {
    let hash = (hash ^ eight).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ (hash >> 32)
}

/// The hash of a word in lower case.
pub(super) const fn hash(word: &[u8]) -> u64 {
    let (mut hash, mut eight, mut count) = (NO_HASH, 0, 0);
    let mut rest = word;
    while let [byte, behind @ ..] = rest {
        eight |= (*byte as u64) << (count * 8);
        count += 1;
        if count == 8 {
            hash = hash_step(hash, eight);
            (eight, count) = (0, 0);
        }
        rest = behind;
    }
    hash_step(hash, eight)
}

/// The hint of the word with this hash; `None` for almost every word.
#[inline]
pub(super) fn find(hash: u64) -> Option<Cue> {
    if FILTER.may_have(hash) {
        search(hash)
    } else {
        None
    }
}

/// Searches for a word from its place on.
#[inline(never)]
fn search(hash: u64) -> Option<Cue> {
    let mut place = place(hash);
    loop {
        let (low, high, cue) = TABLE.get(place).copied()?;
        let cue = cue?;
        if low == hash as u32 && high == (hash >> 32) as u16 {
            return Some(cue);
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
                let found = find(hash(word.as_bytes()));
                assert_eq!(found, Some(*cue), "{word}: not twice");
                assert_eq!(word.to_lowercase(), word);
                assert!(
                    word.len() <= super::super::instruction::LONGEST_WORD,
                    "{word}"
                );
                count += 1;
            }
        }
        assert!(count > 600 && 4 * count < 3 * PLACES, "{count}");
        for word in ["", "zebra", "a", "wordss"] {
            assert_eq!(find(hash(word.as_bytes())), None, "{word}");
        }
    }
}
