//! The words that `features` counts, and what each one speaks for. Data only; English, because the training data is.

use super::short_word::ShortWord;
use crate::analysis::bloom::Bloom;

/// Classes of a word, one bit each; the constants below are the bits' numbers.
pub(super) type Classes = u32;

/// How many classes there are.
pub(super) const CLASSES: usize = 19;

/// Translation and names of languages.
pub(super) const TRANSLATE: usize = 0;
/// Asking for a shorter text.
pub(super) const SUMMARIZE: usize = 1;
/// Asking for another wording.
pub(super) const REWRITE: usize = 2;
/// Asking for facts out of a text.
pub(super) const EXTRACT: usize = 3;
/// Labels and classes.
pub(super) const CLASSIFY: usize = 4;
/// Fiction and verse.
pub(super) const CREATIVE: usize = 5;
/// Programming.
pub(super) const CODE: usize = 6;
/// Mathematics.
pub(super) const MATH: usize = 7;
/// Puzzles and inference.
pub(super) const REASON: usize = 8;
/// The form of the answer.
pub(super) const FORMAT: usize = 9;
/// Negation.
pub(super) const NEGATION: usize = 10;
/// Commands to assistants.
pub(super) const COMMAND: usize = 11;
/// Speaker, listener, politeness.
pub(super) const PERSON: usize = 12;
/// Function words.
pub(super) const STOP: usize = 13;
/// Asking for facts.
pub(super) const WH_FACT: usize = 14;
/// Asking for explanations.
pub(super) const HOW_WHY: usize = 15;
/// Quantities.
pub(super) const QUANTITY: usize = 16;
/// Verbs of making.
pub(super) const IMPERATIVE: usize = 17;
/// Asking for advice.
pub(super) const ADVICE: usize = 18;

/// The classes of a lower-case ASCII word without apostrophes, the first of its bytes lowest and zeros behind the last; 0 for any other word.
#[inline]
pub(super) fn classes(word: u128) -> Classes {
    let hash = hash(word);
    if FILTER.may_have(hash) {
        search(hash)
    } else {
        0
    }
}

/// Searches for a word from its place on.
#[inline(never)]
fn search(hash: u64) -> Classes {
    let mut at = place(hash);
    loop {
        // 0 is an empty place: the table has more places than words, so there is one.
        let known = TABLE.get(at).copied().unwrap_or(0);
        if known == 0 {
            return 0;
        }
        if (known ^ hash) >> CLASSES == 0 {
            return known as Classes & (bit(CLASSES) - 1);
        }
        at = (at + 1) % PLACES;
    }
}

/// A power of two, over twice the number of words.
const PLACES: usize = 1024;

/// The classes of each word of [`WORDS`] below the high bits of its hash, 0 in an empty place. These 45 bits and the place tell a word, so
/// that a look-up reads one cache line and no text.
static TABLE: [u64; PLACES] = INDEX.0;

/// The hashes that [`TABLE`] has, for a look before it.
static FILTER: Bloom = INDEX.1;

const INDEX: ([u64; PLACES], Bloom) = index();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn index() -> ([u64; PLACES], Bloom) {
    let (mut table, mut filter) = ([0; PLACES], Bloom::EMPTY);
    let mut row = 0;
    while row < WORDS.len() {
        let (word, classes) = WORDS[row];
        let hash = hash(packed(word));
        let mut at = place(hash);
        while table[at] != 0 {
            at = (at + 1) % PLACES;
        }
        table[at] = (hash >> CLASSES << CLASSES) | classes as u64;
        filter = filter.with(hash);
        row += 1;
    }
    (table, filter)
}

/// A word as [`classes`] takes it; it has at most 16 bytes.
pub(super) const fn packed(word: &str) -> u128 {
    let [first, second, third] = ShortWord::new(word.as_bytes()).0;
    assert!(third == 0, "a word of the lexicon has at most 16 bytes");
    first as u128 | ((second as u128) << 64)
}

const fn hash(word: u128) -> u64 {
    ShortWord([word as u64, (word >> 64) as u64, 0]).hash(0)
}

const fn place(hash: u64) -> usize {
    hash as usize % PLACES
}

/// The bit of a class.
pub(super) const fn bit(class: usize) -> Classes {
    1 << class
}

/// Every word with its classes: for a test.
#[cfg(test)]
pub(super) fn for_each(mut see: impl FnMut(&str, Classes)) {
    for (word, classes) in WORDS {
        see(word, classes);
    }
}

/// Sorted by word; a word may speak for several classes.
const WORDS: [(&str, Classes); 446] = [
    ("a", 0x2000),
    ("abridge", 0x2),
    ("abstract", 0x2),
    ("account", 0x800),
    ("advice", 0x40000),
    ("alarm", 0x800),
    ("algorithm", 0x40),
    ("altogether", 0x10000),
    ("an", 0x2000),
    ("analyse", 0x8000),
    ("analyze", 0x8000),
    ("and", 0x2000),
    ("angle", 0x80),
    ("api", 0x40),
    ("arabic", 0x1),
    ("are", 0x2000),
    ("argument", 0x100),
    ("array", 0x40),
    ("as", 0x2000),
    ("at", 0x2000),
    ("average", 0x80),
    ("balance", 0x800),
    ("bash", 0x40),
    ("be", 0x2000),
    ("been", 0x2000),
    ("best", 0x40000),
    ("better", 0x40000),
    ("bill", 0x800),
    ("bold", 0x200),
    ("book", 0x800),
    ("bug", 0x40),
    ("build", 0x20000),
    ("bullet", 0x200),
    ("bullets", 0x200),
    ("but", 0x2000),
    ("by", 0x2000),
    ("calculate", 0x80),
    ("calendar", 0x800),
    ("call", 0x800),
    ("can", 0x3000),
    ("cancel", 0x800),
    ("cannot", 0x400),
    ("card", 0x800),
    ("categories", 0x10),
    ("categorise", 0x10),
    ("categorize", 0x10),
    ("category", 0x10),
    ("chapter", 0x20),
    ("character", 0x20),
    ("characters", 0x20),
    ("check", 0x800),
    ("chinese", 0x1),
    ("class", 0x50),
    ("classes", 0x10),
    ("classification", 0x10),
    ("classified", 0x10),
    ("classify", 0x10),
    ("clue", 0x100),
    ("clues", 0x100),
    ("code", 0x40),
    ("compare", 0x8000),
    ("compile", 0x40),
    ("compose", 0x20000),
    ("compute", 0x80),
    ("concise", 0x204),
    ("conclude", 0x100),
    ("condense", 0x2),
    ("condensed", 0x2),
    ("constraint", 0x100),
    ("constraints", 0x100),
    ("correct", 0x4),
    ("cost", 0x10000),
    ("costs", 0x10000),
    ("could", 0x1000),
    ("create", 0x20000),
    ("creative", 0x20),
    ("credit", 0x800),
    ("css", 0x40),
    ("csv", 0x200),
    ("dates", 0x8),
    ("days", 0x10000),
    ("debug", 0x40),
    ("deduce", 0x100),
    ("def", 0x40),
    ("derivative", 0x80),
    ("derive", 0x8000),
    ("describe", 0x28000),
    ("design", 0x20000),
    ("develop", 0x20000),
    ("dialogue", 0x20),
    ("digest", 0x2),
    ("digits", 0x80),
    ("directions", 0x800),
    ("discuss", 0x8000),
    ("divide", 0x80),
    ("django", 0x40),
    ("do", 0x2000),
    ("docker", 0x40),
    ("does", 0x2000),
    ("doesnt", 0x400),
    ("dollars", 0x10000),
    ("dont", 0x400),
    ("draft", 0x20000),
    ("dutch", 0x1),
    ("each", 0x10000),
    ("edit", 0x4),
    ("emails", 0x8),
    ("english", 0x1),
    ("entities", 0x8),
    ("entity", 0x8),
    ("equation", 0x80),
    ("equations", 0x80),
    ("evaluate", 0x8080),
    ("every", 0x10000),
    ("exactly", 0x200),
    ("except", 0x400),
    ("exception", 0x40),
    ("explain", 0x28000),
    ("extract", 0x8),
    ("extraction", 0x8),
    ("factor", 0x80),
    ("false", 0x400),
    ("fantasy", 0x20),
    ("fiction", 0x20),
    ("fields", 0x8),
    ("find", 0x8),
    ("fix", 0x4),
    ("flight", 0x800),
    ("for", 0x2000),
    ("formal", 0x4),
    ("format", 0x200),
    ("fraction", 0x80),
    ("freeze", 0x800),
    ("french", 0x1),
    ("from", 0x2000),
    ("function", 0x40),
    ("gcd", 0x80),
    ("generate", 0x20000),
    ("german", 0x1),
    ("gist", 0x2),
    ("git", 0x40),
    ("give", 0x20000),
    ("golang", 0x40),
    ("grammar", 0x4),
    ("grammatical", 0x4),
    ("grid", 0x100),
    ("had", 0x2000),
    ("haiku", 0x20),
    ("half", 0x10000),
    ("has", 0x2000),
    ("have", 0x2000),
    ("he", 0x2000),
    ("hello", 0x1000),
    ("help", 0x1000),
    ("her", 0x2000),
    ("hey", 0x1000),
    ("hi", 0x1000),
    ("hindi", 0x1),
    ("his", 0x2000),
    ("hotel", 0x800),
    ("hours", 0x10000),
    ("how", 0x8000),
    ("html", 0x40),
    ("i", 0x1000),
    ("id", 0x1000),
    ("ideas", 0x40000),
    ("identify", 0x8),
    ("if", 0x2100),
    ("im", 0x1000),
    ("imagine", 0x20),
    ("implement", 0x20040),
    ("import", 0x40),
    ("improve", 0x4),
    ("in", 0x2000),
    ("incorrect", 0x400),
    ("infer", 0x100),
    ("informal", 0x4),
    ("insurance", 0x800),
    ("integer", 0x80),
    ("integers", 0x80),
    ("integral", 0x80),
    ("intent", 0x10),
    ("into", 0x2000),
    ("is", 0x2000),
    ("isnt", 0x400),
    ("it", 0x2000),
    ("italian", 0x1),
    ("its", 0x2000),
    ("ive", 0x1000),
    ("japanese", 0x1),
    ("java", 0x40),
    ("javascript", 0x40),
    ("joke", 0x20),
    ("json", 0x240),
    ("justify", 0x8000),
    ("knave", 0x100),
    ("knaves", 0x100),
    ("knights", 0x100),
    ("korean", 0x1),
    ("kubernetes", 0x40),
    ("label", 0x10),
    ("labels", 0x10),
    ("lcm", 0x80),
    ("least", 0x400),
    ("left", 0x10000),
    ("liar", 0x100),
    ("liars", 0x100),
    ("lights", 0x800),
    ("limerick", 0x20),
    ("limit", 0x200),
    ("linux", 0x40),
    ("list", 0x20008),
    ("locate", 0x8),
    ("logic", 0x100),
    ("logical", 0x100),
    ("loop", 0x40),
    ("lyrics", 0x20),
    ("make", 0x20000),
    ("mandarin", 0x1),
    ("many", 0x10000),
    ("markdown", 0x200),
    ("matrix", 0x80),
    ("maximum", 0x200),
    ("may", 0x2000),
    ("maze", 0x100),
    ("me", 0x1000),
    ("mean", 0x80),
    ("median", 0x80),
    ("meeting", 0x800),
    ("mentioned", 0x8),
    ("method", 0x40),
    ("miles", 0x10000),
    ("mine", 0x1000),
    ("minimum", 0x200),
    ("minutes", 0x10000),
    ("modulo", 0x80),
    ("more", 0x10000),
    ("much", 0x10000),
    ("multiply", 0x80),
    ("must", 0x100),
    ("my", 0x1000),
    ("name", 0x4000),
    ("names", 0x8),
    ("narrator", 0x20),
    ("need", 0x1000),
    ("negative", 0x10),
    ("neighbors", 0x100),
    ("neither", 0x400),
    ("neutral", 0x10),
    ("never", 0x400),
    ("no", 0x400),
    ("nor", 0x400),
    ("not", 0x2400),
    ("novel", 0x20),
    ("number", 0x80),
    ("numbered", 0x200),
    ("numbers", 0x8),
    ("numpy", 0x40),
    ("of", 0x2000),
    ("on", 0x2000),
    ("only", 0x200),
    ("opinion", 0x40000),
    ("optimal", 0x100),
    ("or", 0x2000),
    ("order", 0x800),
    ("our", 0x1000),
    ("output", 0x200),
    ("overview", 0x2),
    ("pandas", 0x40),
    ("paragraph", 0x200),
    ("paragraphs", 0x200),
    ("paraphrase", 0x4),
    ("parse", 0x8),
    ("pattern", 0x100),
    ("pay", 0x800),
    ("per", 0x10000),
    ("percent", 0x80),
    ("percentage", 0x80),
    ("pin", 0x800),
    ("plan", 0x20000),
    ("play", 0x800),
    ("playlist", 0x800),
    ("please", 0x1000),
    ("poem", 0x20),
    ("poems", 0x20),
    ("poetry", 0x20),
    ("polish", 0x5),
    ("polite", 0x4),
    ("polynomial", 0x80),
    ("portuguese", 0x1),
    ("positive", 0x10),
    ("premise", 0x100),
    ("premises", 0x100),
    ("prepare", 0x20000),
    ("pretend", 0x20),
    ("prime", 0x80),
    ("probability", 0x80),
    ("produce", 0x20000),
    ("product", 0x80),
    ("program", 0x40),
    ("programming", 0x40),
    ("proof", 0x80),
    ("proofread", 0x4),
    ("propose", 0x20000),
    ("prove", 0x80),
    ("provide", 0x20000),
    ("pull", 0x8),
    ("puzzle", 0x100),
    ("puzzles", 0x100),
    ("python", 0x40),
    ("radius", 0x80),
    ("ratio", 0x80),
    ("react", 0x40),
    ("reasoning", 0x100),
    ("recap", 0x2),
    ("recommend", 0x40000),
    ("regex", 0x40),
    ("remainder", 0x80),
    ("remaining", 0x10000),
    ("remind", 0x800),
    ("reminder", 0x800),
    ("rephrase", 0x4),
    ("reservation", 0x800),
    ("respond", 0x200),
    ("restaurant", 0x800),
    ("retrieve", 0x8),
    ("return", 0x240),
    ("revise", 0x4),
    ("reword", 0x4),
    ("rewrite", 0x4),
    ("rewriting", 0x4),
    ("rewritten", 0x4),
    ("rhyme", 0x20),
    ("riddle", 0x100),
    ("roleplay", 0x20),
    ("rules", 0x100),
    ("russian", 0x1),
    ("rust", 0x40),
    ("scene", 0x20),
    ("schedule", 0x800),
    ("screenplay", 0x20),
    ("script", 0x60),
    ("sentences", 0x200),
    ("sentiment", 0x10),
    ("sequence", 0x100),
    ("set", 0x800),
    ("she", 0x2000),
    ("shopping", 0x800),
    ("shorten", 0x2),
    ("should", 0x40000),
    ("simplify", 0x84),
    ("slogan", 0x20),
    ("solve", 0x80),
    ("song", 0x820),
    ("sonnet", 0x20),
    ("spam", 0x10),
    ("spanish", 0x1),
    ("spelling", 0x4),
    ("sql", 0x40),
    ("stack", 0x40),
    ("step", 0x100),
    ("steps", 0x100),
    ("stories", 0x20),
    ("story", 0x20),
    ("strategies", 0x40000),
    ("strategy", 0x40000),
    ("string", 0x40),
    ("such", 0x2000),
    ("suggest", 0x20000),
    ("sum", 0x80),
    ("summaries", 0x2),
    ("summarise", 0x2),
    ("summarize", 0x2),
    ("summarized", 0x2),
    ("summarizing", 0x2),
    ("summary", 0x2),
    ("swedish", 0x1),
    ("table", 0x200),
    ("tag", 0x10),
    ("tagline", 0x20),
    ("takeaways", 0x2),
    ("than", 0x2000),
    ("thanks", 0x1000),
    ("that", 0x2000),
    ("the", 0x2000),
    ("their", 0x2000),
    ("then", 0x100),
    ("theorem", 0x80),
    ("therefore", 0x100),
    ("these", 0x2000),
    ("they", 0x2000),
    ("this", 0x2000),
    ("timer", 0x800),
    ("tips", 0x40000),
    ("tldr", 0x2),
    ("to", 0x2000),
    ("tone", 0x4),
    ("topic", 0x10),
    ("total", 0x10080),
    ("traduce", 0x1),
    ("traducir", 0x1),
    ("traduire", 0x1),
    ("traduis", 0x1),
    ("traffic", 0x800),
    ("transfer", 0x800),
    ("translate", 0x1),
    ("translated", 0x1),
    ("translating", 0x1),
    ("translation", 0x1),
    ("translator", 0x1),
    ("triangle", 0x80),
    ("turkish", 0x1),
    ("turn", 0x800),
    ("twice", 0x10000),
    ("typescript", 0x40),
    ("unlikely", 0x400),
    ("untrue", 0x400),
    ("us", 0x1000),
    ("variable", 0x40),
    ("vector", 0x80),
    ("volume", 0x800),
    ("want", 0x1000),
    ("was", 0x2000),
    ("ways", 0x40000),
    ("we", 0x1000),
    ("weather", 0x800),
    ("were", 0x2000),
    ("when", 0x6000),
    ("where", 0x4000),
    ("which", 0x6000),
    ("who", 0x4000),
    ("whom", 0x4000),
    ("whose", 0x4000),
    ("why", 0x8000),
    ("will", 0x2000),
    ("with", 0x2000),
    ("without", 0x400),
    ("wont", 0x400),
    ("words", 0x200),
    ("would", 0x3000),
    ("write", 0x20000),
    ("xml", 0x200),
    ("yaml", 0x200),
    ("you", 0x1000),
    ("your", 0x1000),
    ("yours", 0x1000),
];
