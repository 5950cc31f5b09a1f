//! Properties of the readers of bytes that other workers, backends, attempts and operators write; they hold for any bytes. Used by
//! the fuzz targets and by their replay on stable.

#![allow(dead_code)] // each user takes what it needs

use pointsman::api::Api;
use pointsman::api::feedback;
use pointsman::api::judge::{self, Asking, JudgeApi};
use pointsman::api::usage::{Expectation, Media, UsageEventFilter, UsageParser};
use pointsman::control::plugin::Role;
use pointsman::fleet::Registry;
use pointsman::policy::Policy;
use pointsman::routing::fallback_chain::FallbackChain;
use pointsman::schema::Problem;
use pointsman::state::backend_stats::{BackendStats, Delivery};
use pointsman::state::budgets::BudgetAccounts;
use pointsman::state::claims;
use pointsman::state::learned_quality::Sums;
use pointsman::state::makers;
use pointsman::state::outcome;
use pointsman::state::receipt::{Key, Keys, Receipt, TEXT_CHARS};
use pointsman::state::scale_to_zero::ScaleToZeroStats;

/// A second after the times that the seeds carry.
const NOW_S: u64 = 1_700_000_001;
const NOW_NS: u64 = NOW_S * 1_000_000_000;

/// Backends that scale to zero, for records of their use.
pub fn registry() -> Registry {
    let text = r#"{"models": [{"name": "m"}], "backends": [
        {"name": "a", "model": "m", "price": {"input": 1, "output": 1}, "scale_to_zero_after_s": 60, "prewarm": {"max_usd_per_hour": 1}},
        {"name": "b", "model": "m", "price": {"input": 1, "output": 1}, "scale_to_zero_after_s": 60}]}"#;
    Policy::compile(text).expect("a policy").registry
}

/// Reads `record` as each kind of shared record: observed numbers are possible ones, a merge of the result changes nothing, and
/// records stay bounded.
pub fn check_records(registry: &Registry, record: &[u8]) {
    check_stats(record);
    check_sums(record);
    let merge = |record: &[u8]| {
        let mut accounts = BudgetAccounts::default();
        accounts.adopt(record, NOW_S, 1);
        accounts.merge(record, NOW_S, 1)
    };
    let merged = merge(record);
    assert_eq!(merge(&merged), merged, "budgets");
    let plan = |record: &[u8]| {
        let mut stats = ScaleToZeroStats::default();
        stats.adopt(record);
        stats.plan(record, registry, |_| false, NOW_NS).record
    };
    let planned = plan(record);
    assert_eq!(plan(&planned), planned, "scale to zero");
    let mark = record
        .first_chunk()
        .map_or(7, |bytes| u64::from_le_bytes(*bytes));
    let after = makers::put(record, mark, 3).unwrap_or_else(|| record.to_vec());
    assert_eq!(makers::find(&after, mark), Some(3));
    assert_eq!(makers::put(&after, mark, 3), None);
    let claimed = claims::claim(record, mark).unwrap_or_else(|| record.to_vec());
    assert_eq!(claims::claim(&claimed, mark), None, "claims");
    for record in [merged, planned, after, claimed] {
        assert!(record.len() < 1_000_000);
    }
}

/// Sums are read as they are written; added to themselves they stay what can be read.
fn check_sums(record: &[u8]) {
    let Some(mut sums) = Sums::decode(record) else {
        return;
    };
    assert_eq!(sums.encode(), record);
    sums.merge(&sums.clone());
    assert_eq!(Sums::decode(&sums.encode()), Some(sums));
}

fn check_stats(record: &[u8]) {
    let mut stats = BackendStats::new();
    let merged = stats.merge(record);
    assert_eq!(stats.merge(&merged), merged, "a second merge");
    assert_eq!(BackendStats::new().merge(&merged), merged, "another worker");
    for entry in record.get(1..).unwrap_or_default().chunks(4) {
        let Some(key) = entry.first_chunk().map(|bytes| u32::from_le_bytes(*bytes)) else {
            continue;
        };
        for delivery in Delivery::ALL {
            let observed = stats.observe(key, delivery, NOW_NS);
            assert!((0.0..=1.0).contains(&observed.error_rate));
            for ratio in [observed.first_token, observed.token_time] {
                assert!(ratio.median >= 1.0 && ratio.median.is_finite());
                assert!(ratio.p99 >= 0.0 && ratio.p99.is_finite());
            }
        }
    }
}

/// Reads `body` as an answer of every API, JSON and stream: the same however it is cut, with counts that fit together, and
/// nothing reaches the client that the backend did not send.
pub fn check_answer(body: &[u8]) {
    for api in Api::ALL {
        for media in [Media::Json, Media::EventStream] {
            let read = |size: usize| {
                let mut parser = UsageParser::new(api, media).with_state();
                parser = parser.with_checks(Expectation {
                    is_json: true,
                    required: vec![pointsman::fnv::hash32(b"name")],
                });
                body.chunks(size).for_each(|piece| parser.feed(piece));
                let marks = parser.take_marks();
                let results =
                    [true, false].map(|ended| (parser.finish(ended), parser.error(ended)));
                let seen = (
                    parser.has_content(),
                    parser.streamed_tokens(),
                    parser.is_underway(),
                );
                let checks = (parser.is_expected_json(), parser.are_arguments_json());
                (marks, results, seen, checks, parser.finish_reasons())
            };
            let whole = read(body.len().max(1));
            for size in [1, 7] {
                assert_eq!(read(size), whole, "{api:?} {media:?} in pieces of {size}");
            }
            let (_, [(usage, _), _], ..) = whole;
            if let Ok(usage) = usage {
                assert!(usage.cached_input_tokens <= usage.input_tokens, "{usage:?}");
                assert!(
                    usage.cache_write_1h_tokens <= usage.cache_write_tokens,
                    "{usage:?}"
                );
            }
        }
        for size in [1, 7, body.len().max(1)] {
            check_filter(api, body, size);
        }
    }
}

fn check_filter(api: Api, body: &[u8], size: usize) {
    let mut parser = UsageParser::new(api, Media::EventStream);
    let mut filter = UsageEventFilter::default();
    let mut sent = Vec::new();
    for piece in body.chunks(size) {
        match filter.feed(&mut parser, piece) {
            Some(changed) => sent.extend(changed),
            None => sent.extend_from_slice(piece),
        }
    }
    sent.extend(filter.finish());
    let mut rest = body.iter();
    let is_left_over = sent.iter().all(|byte| rest.any(|other| other == byte));
    assert!(is_left_over, "{api:?}: bytes that the backend did not send");
}

/// Reads `text` as a fallback chain: a chain that reads is written so that it reads the same, and moving on loses no backend.
pub fn check_chain(text: &[u8]) {
    let Some(mut chain) = FallbackChain::parse(text) else {
        return;
    };
    let again = FallbackChain::parse(chain.to_text().as_bytes());
    assert_eq!(again.as_ref(), Some(&chain));
    let count = chain.backends.len();
    for _ in 0..count {
        chain.rotate();
    }
    assert_eq!(again, Some(chain));
}

/// Compiles `text` as a plugin configuration and as a policy: the same each time, and every problem names a place in the text.
pub fn check_configuration(text: &[u8]) {
    let compiled = Role::compile(text);
    assert_eq!(Role::compile(text), compiled);
    if let Err(invalid) = compiled {
        check_problems(text, &invalid.problems);
    }
    let Ok(policy) = std::str::from_utf8(text) else {
        return;
    };
    if let Err(invalid) = Policy::compile(policy) {
        check_problems(text, &invalid.problems);
    }
}

fn check_problems(text: &[u8], problems: &[Problem]) {
    assert!(!problems.is_empty(), "an error without a problem");
    let lines = text.iter().filter(|byte| **byte == b'\n').count() + 1;
    for problem in problems {
        assert!(
            (1..=lines).contains(&(problem.line as usize)),
            "{problem:?}"
        );
        assert!(problem.column >= 1, "{problem:?}");
        assert!(!problem.to_string().contains('\n'), "{problem:?}");
    }
}

/// The key of the receipts in the corpus.
pub const RECEIPT_KEY: &[u8] = b"the key of the fuzz corpus";

/// Reads `text` as a receipt, as a body of feedback and as a line of an access log. A text that nobody signed is taken by no key;
/// whatever reads is written again as it was, and says nothing impossible.
pub fn check_receipt(text: &[u8]) {
    // Refused or read, and both without a fault.
    if let Ok(batch) = feedback::parse(text) {
        assert!(!batch.items.is_empty());
    }
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    assert!(outcome::read_log(text).count() <= text.len());
    let keys = Keys::new([RECEIPT_KEY]);
    let Ok(receipt) = Receipt::decode_trusted(text) else {
        assert!(Receipt::decode(text, &keys).is_err());
        return;
    };
    let p = [receipt.p, receipt.runner_up_p, receipt.propensity];
    assert!(p.iter().all(|p| (0.0..=1.0).contains(p)), "{receipt:?}");
    let classification = receipt.classification();
    assert!(classification.difficulty.is_finite());
    assert!(
        classification
            .latent_factors
            .iter()
            .all(|factor| factor.is_finite())
    );
    let key = Key::new(RECEIPT_KEY).expect("a long key");
    let again = receipt.encode(&key);
    assert_eq!(again.len(), TEXT_CHARS);
    let read = Receipt::decode(&again, &keys).expect("a receipt of ours");
    assert_eq!(read.encode(&key), again, "written twice");
    // Only a text with this very content and code is taken.
    let is_ours = Receipt::decode(text, &keys).is_ok();
    let spelt = text
        .trim_end_matches('=')
        .replace('+', "-")
        .replace('/', "_");
    assert!(
        !is_ours || spelt == again,
        "another text is taken for a receipt"
    );
}

/// Reads `body` as the reply of a judge in every API: a grade is one on the scale. And asks about it as a prompt: the question is JSON
/// of a bounded length.
pub fn check_judge(body: &[u8]) {
    for api in JudgeApi::ALL {
        if let Ok(grade) = judge::read_reply(api, body) {
            assert!((0.0..=1.0).contains(&grade.mean), "{grade:?}");
            assert!((0.0..=0.500_01).contains(&grade.spread), "{grade:?}");
            assert!(body.len() <= judge::MAX_REPLY_BYTES);
        }
    }
    let _ = judge::read_tokens(body);
    let text = String::from_utf8_lossy(body);
    for api in JudgeApi::ALL {
        let asking = Asking {
            api,
            model: "m",
            instructions: None,
        };
        let question = judge::write_question(&asking, &text, &text);
        let read = serde_json::from_str::<serde_json::Value>(&question);
        assert!(read.is_ok_and(|question| question.is_object()));
        // A character takes six bytes at most.
        let most = (judge::MAX_TURN_CHARS + judge::MAX_BEFORE_CHARS) * 6 + 4000;
        assert!(question.len() <= most, "{}", question.len());
    }
}
