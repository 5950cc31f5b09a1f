//! The fuzz targets on a stable compiler: over their seeds, and over some thousands of mutations of them, the same each time.

#![cfg(not(target_family = "wasm"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "../fuzz/properties.rs"]
mod properties;
#[path = "../fuzz/readers.rs"]
mod readers;

use properties::{check_reading, check_rewriting, check_scanning, thousand_words};

/// Pieces that mean something to the parser, to be spliced into seeds.
const PIECES: &[&str] = &[
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "true",
    "-",
    "0",
    "1e9",
    "\\u",
    "\\ud83d",
    "\\ude00",
    "\u{0}",
    "\u{feff}",
    " ",
    "\"model\":",
    "\"Model\":\"x\",",
    "\"messages\":",
    "\"content\":",
    "\"role\":\"user\"",
    "\"input\":",
    "\"Messages\":",
    "\"MODEL\":null,",
    "\"maxTokens\":\"9\",",
    "\"type\":\"hologram\",",
    "\"output\":[",
    "\"source\":{",
    "4096.0",
    "\"prompt\":",
    "\"stream_options\":{",
    "\"include_usage\":",
    "\"type\":\"tool_result\",",
    "{\"type\":\"text\",\"text\":\"",
    "é",
    "😀",
    "[[[[[[[[",
];

fn seeds() -> Vec<Vec<u8>> {
    seeds_of("request")
}

fn seeds_of(target: &str) -> Vec<Vec<u8>> {
    let folder = format!("{}/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(paths.len() >= 5, "no seeds in {folder}");
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

/// Xorshift: the same numbers on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

fn mutate(body: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    let at = random.below(body.len() + 1);
    let end = (at + random.below(12)).min(body.len());
    match random.below(6) {
        0 => body.truncate(at),
        1 => drop(body.drain(at..end)),
        2 => {
            let piece = PIECES[random.below(PIECES.len())].bytes();
            drop(body.splice(at..at, piece));
        }
        3 if at < body.len() => body[at] = random.below(256) as u8,
        4 => {
            let again = body[at..end].to_vec();
            drop(body.splice(at..at, again));
        }
        _ => {
            let other = &seeds[random.below(seeds.len())];
            let from = random.below(other.len());
            let to = (from + random.below(64)).min(other.len());
            drop(body.splice(at..end, other[from..to].iter().copied()));
        }
    }
}

#[test]
fn seeds_hold() {
    for seed in seeds() {
        check_reading(&seed);
        check_rewriting(&seed, "served/model-7b");
        check_rewriting(&seed, "\"\\\n\u{1}😀");
    }
}

#[test]
fn mutations_of_seeds_hold() {
    let seeds = seeds();
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for round in 0..20_000 {
        let mut body = seeds[round % seeds.len()].clone();
        for _ in 0..=random.below(4) {
            mutate(&mut body, &seeds, &mut random);
        }
        check_reading(&body);
        check_rewriting(&body, "m");
    }
}

/// Pieces that a form begins with, goes on with or ends with: repeated, they are what a scan could be slow at.
const MARKS: &[&str] = &[
    "@", "a@", "@a.", "%40", ".", "-", "_", "+", "00", "0049 ", "(", ") ", " ", "\n", "://", "sk-",
    "eyJ", "eyJ.", "ghp_", "AKIA", "AIza", "KEY-----", "PRIVATE ", "DE89 ", "ES91", "MT84",
    "1234 ", "4111-", "1", "12.", "A", "ss", "ß", "é", "薬", "т", "\u{200b}", "\u{a0}", "１", "٠",
    "\u{301}", "İ",
];

#[test]
fn no_text_is_slow_to_scan() {
    let words = thousand_words();
    let seeds = seeds_of("scan");
    for seed in &seeds {
        check_scanning(&words, std::str::from_utf8(seed).unwrap());
    }
    // Every piece, and every two of them, repeated.
    for first in MARKS {
        for second in MARKS {
            let text = [*first, *second].concat();
            check_scanning(&words, &text.repeat(4096 / text.len()));
            check_scanning(&words, &[first.repeat(2000), second.repeat(2000)].concat());
        }
    }
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    for round in 0..3_000 {
        let mut text = String::from_utf8(seeds[round % seeds.len()].clone()).unwrap();
        for _ in 0..=random.below(6) {
            let letters = text.chars().count();
            let at = random.below(letters + 1);
            let at = text.char_indices().nth(at).map_or(text.len(), |(at, _)| at);
            text.insert_str(at, MARKS[random.below(MARKS.len())]);
            if random.below(4) == 0 {
                text = text.split_off(at);
            }
        }
        check_scanning(&words, &text.repeat(2048 / text.len().max(1) + 1));
    }
}

/// Runs `check` over the seeds of a target and over mutations of them.
fn replay(target: &str, rounds: usize, check: impl Fn(&[u8])) {
    let seeds = seeds_of(target);
    seeds.iter().for_each(|seed| check(seed));
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for round in 0..rounds {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..=random.below(4) {
            mutate(&mut bytes, &seeds, &mut random);
        }
        check(&bytes);
    }
}

/// Seeds that nothing reads would test nothing.
#[test]
fn seeds_reach_the_readers() {
    use pointsman::api::judge::{self, JudgeApi};
    use pointsman::control::plugin::Role;
    use pointsman::policy::Policy;
    use pointsman::routing::fallback_chain::FallbackChain;
    use pointsman::state::backend_stats::BackendStats;
    use pointsman::state::budgets::BudgetAccounts;
    use pointsman::state::learned_quality::Sums;
    use pointsman::state::makers;
    use pointsman::state::receipt::{Keys, Receipt};
    use pointsman::state::scale_to_zero::ScaleToZeroStats;

    let seed = |path: &str| {
        let root = env!("CARGO_MANIFEST_DIR");
        std::fs::read(format!("{root}/fuzz/corpus/{path}")).unwrap()
    };
    let stats = seed("records/stats");
    assert_eq!(BackendStats::new().merge(&stats), stats);
    let budgets = BudgetAccounts::default().merge(&seed("records/budgets"), 1_700_000_000, 1);
    assert_eq!(budgets.len(), 1 + 3 * 40);
    let (registry, used) = (readers::registry(), seed("records/scale_to_zero"));
    let plan = ScaleToZeroStats::default().plan(&used, &registry, |_| false, 0);
    assert_eq!(plan.record.len(), used.len());
    assert_eq!(makers::find(&seed("records/makers"), 7919), Some(1));
    assert!(Sums::decode(&seed("records/learned")).is_some_and(|sums| !sums.is_empty()));
    for name in ["short", "long", "prefix"] {
        let chain = FallbackChain::parse(&seed(&format!("chain/{name}")));
        assert!(chain.is_some(), "{name}");
    }
    for api in JudgeApi::ALL {
        let reply = seed(&format!("judge/{}.json", api.name()));
        assert!(judge::read_reply(api, &reply).is_ok(), "{}", api.name());
    }
    let receipt = String::from_utf8(seed("receipt/signed")).unwrap();
    Receipt::decode(&receipt, &Keys::new([readers::RECEIPT_KEY])).unwrap();
    for name in ["minimal", "attempt"] {
        let role = Role::compile(&seed(&format!("configuration/{name}.json")));
        assert!(role.is_ok(), "{name}: {role:?}");
    }
    let policy = String::from_utf8(seed("configuration/policy.json")).unwrap();
    Policy::compile(&policy).unwrap();
}

#[test]
fn shared_records_hold() {
    let registry = readers::registry();
    replay("records", 20_000, |record| {
        readers::check_records(&registry, record);
    });
}

#[test]
fn answers_hold() {
    replay("answer", 5_000, readers::check_answer);
}

#[test]
fn receipts_hold() {
    replay("receipt", 20_000, readers::check_receipt);
}

#[test]
fn judges_hold() {
    replay("judge", 20_000, readers::check_judge);
}

#[test]
fn chains_hold() {
    replay("chain", 50_000, readers::check_chain);
}

#[test]
fn configurations_hold() {
    replay("configuration", 10_000, readers::check_configuration);
}
