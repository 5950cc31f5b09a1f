#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::policy::draw::mix;

fn policy(judge: &str) -> Policy {
    let text = format!(
        r#"{{"models": [{{"name": "m"}}, {{"name": "n"}}],
        "backends": [{{"name": "a", "model": "m", "price": {{"input": 1, "output": 1}}}},
                     {{"name": "b", "model": "n", "price": {{"input": 9, "output": 9}}}}],
        "judge": {{"cluster": "j", "model": "j" {judge}}}}}"#
    );
    Policy::compile(&text).unwrap()
}

const SECOND: u64 = 1_000_000_000;

#[test]
fn the_breaker_opens_after_five_failures_and_lets_one_question_try() {
    let policy = policy(r#", "max_share": 1"#);
    let mut state = JudgeState::default();
    let mut now = 100 * SECOND;
    for _ in 0..MAX_FAILURES {
        assert_eq!(state.admit(&policy, 1.0, 0.0, now), Ok(()));
        state.finish(&policy, Answered::Failed, 0.0, now);
    }
    assert!(state.is_open(&policy, now));
    // A question that was on its way changes nothing.
    state.finish(&policy, Answered::Failed, 0.0, now + SECOND);
    for pause in [5, 10, 20, 40, 60, 60] {
        let open = Err(NotAsked::BreakerOpen);
        assert_eq!(
            state.admit(&policy, 1.0, 0.0, now + pause * SECOND - 1),
            open
        );
        now += pause * SECOND;
        assert_eq!(state.admit(&policy, 1.0, 0.0, now), Ok(()));
        assert_eq!(state.admit(&policy, 1.0, 0.0, now), open);
        state.finish(&policy, Answered::Failed, 0.0, now);
    }
    now += 60 * SECOND;
    assert_eq!(state.admit(&policy, 1.0, 0.0, now), Ok(()));
    state.finish(&policy, Answered::Graded { ms: 20.0 }, 0.0, now);
    assert!(!state.is_open(&policy, now));
    assert_eq!(state.admit(&policy, 1.0, 0.0, now), Ok(()));
}

#[test]
fn a_trial_that_nobody_reports_of_does_not_close_the_judge_for_ever() {
    let policy = policy(r#", "max_share": 1"#);
    let mut state = JudgeState::default();
    for _ in 0..MAX_FAILURES {
        state.finish(&policy, Answered::Failed, 0.0, 0);
    }
    assert_eq!(state.admit(&policy, 1.0, 0.0, 6 * SECOND), Ok(()));
    assert!(state.admit(&policy, 1.0, 0.0, 35 * SECOND).is_err());
    assert_eq!(state.admit(&policy, 1.0, 0.0, 36 * SECOND), Ok(()));
    state.finish(&policy, Answered::Abandoned, 0.0, 37 * SECOND);
    assert_eq!(state.admit(&policy, 1.0, 0.0, 37 * SECOND), Ok(()));
}

/// Requests whose gains are spread evenly over seven orders of magnitude: how many are asked about, and the sums of their gains and
/// of all.
fn ask(share: f64, requests: u64, gain: impl Fn(u64) -> f64) -> (f64, f64, f64) {
    let policy = policy(&format!(r#", "max_share": {share}"#));
    let mut state = JudgeState::default();
    let (mut asked, mut gained, mut all) = (0.0, 0.0, 0.0);
    for request in 0..requests {
        let gain = gain(request);
        if gain <= 0.0 {
            state.pass_by(&policy);
        } else if state.admit(&policy, gain, 0.0, 0).is_ok() {
            asked += 1.0;
            gained += gain;
        }
        all += gain;
        assert!(asked <= share * (request as f64 + 2.0) + 1.0, "{request}");
    }
    (asked, gained, all)
}

#[test]
fn the_share_is_kept_and_goes_to_the_most_valuable() {
    let spread = |request: u64| 10_f64.powf((mix(request) % 7000) as f64 / 1000.0 - 9.0);
    let (asked, gained, all) = ask(0.2, 20_000, spread);
    assert!((3600.0..=4001.0).contains(&asked), "{asked}");
    // The upper fifth has 96 % of the gain.
    assert!(gained > 0.85 * all, "{gained} of {all}");
}

#[test]
fn if_few_are_worth_it_all_of_these_are_asked_about() {
    let few = |request: u64| match mix(request) % 10 {
        0 => 1e-5 * (1.0 + (mix(request ^ 1) % 100) as f64),
        _ => 0.0,
    };
    let (asked, gained, all) = ask(0.3, 10_000, few);
    assert!(asked > 850.0, "{asked}");
    assert!(gained > 0.9 * all, "{gained} of {all}");
}

#[test]
fn the_budget_of_the_hour_is_kept() {
    let policy = policy(r#", "max_share": 1, "max_usd_per_hour": 1, "price": {"input": 1}"#);
    let mut state = JudgeState::default();
    let admitted = (0..100).filter(|_| state.admit(&policy, 1.0, 0.03, 0).is_ok());
    assert_eq!(admitted.count(), 33);
    state.finish(&policy, Answered::Graded { ms: 1.0 }, -0.025, 0);
    assert_eq!(state.admit(&policy, 1.0, 0.03, 0), Ok(()));
    assert_eq!(state.admit(&policy, 1.0, 0.03, 0), Err(NotAsked::Budget));
    assert!((state.spent_usd(&policy, 0) - 0.995).abs() < 1e-9);
    assert_eq!(state.admit(&policy, 1.0, 0.03, 3600 * SECOND), Ok(()));
}

#[test]
fn durations_are_averaged_from_half_the_deadline_on() {
    let policy = policy("");
    let mut state = JudgeState::default();
    assert_eq!(state.expected_ms(&policy), 75.0);
    for _ in 0..200 {
        state.finish(&policy, Answered::Graded { ms: 40.0 }, 0.0, 0);
    }
    assert_eq!(state.expected_ms(&policy), 40.0);
}

#[test]
fn the_scale_of_costs_follows_the_traffic() {
    let policy = policy("");
    let mut state = JudgeState::default();
    assert_eq!(state.cost_scale(&policy), None);
    for usd in [1.0, 2.0, 6.0, f64::NAN] {
        state.count_cost(&policy, usd);
    }
    assert!((state.cost_scale(&policy).unwrap() - 3.0).abs() < 1e-12);
    for _ in 0..5000 {
        state.count_cost(&policy, 0.5);
    }
    assert!((state.cost_scale(&policy).unwrap() - 0.5).abs() < 0.01);
}

#[test]
fn policies_are_followed_apart() {
    let (one, other) = (policy(""), policy(r#", "max_share": 0.5"#));
    let mut state = JudgeState::default();
    for _ in 0..MAX_FAILURES {
        state.finish(&one, Answered::Failed, 0.0, 0);
    }
    assert!(state.is_open(&one, 0) && !state.is_open(&other, 0));
    state.pass_by(&other);
    assert!(state.is_open(&one, 0));
    assert!(state.admit(&one, 1.0, 0.0, 0).is_err());
}

const CACHE: JudgeCache = JudgeCache {
    entries: 1024,
    ttl_s: 60,
};

const GRADE: Grade = Grade {
    mean: 0.75,
    spread: 0.2,
};

#[test]
fn answers_are_kept_within_their_bound_and_time() {
    let mut record = Vec::new();
    for key in 0..10 {
        record = keep_answer(&record, key, GRADE, 1000, CACHE).unwrap();
    }
    assert_eq!(record.len(), LAYOUT.record_bytes(4));
    assert!((0..6).all(|key| find_answer(&record, key, 1000).is_none()));
    let found = find_answer(&record, 9, 1059).unwrap();
    assert!((found.mean - 0.75).abs() < 1e-4 && (found.spread - 0.2).abs() < 0.01);
    assert_eq!(find_answer(&record, 9, 1060), None);
    // A newer answer replaces the one before; those that have ended go.
    let other = Grade { mean: 0.0, ..GRADE };
    record = keep_answer(&record, 9, other, 1050, CACHE).unwrap();
    assert_eq!(find_answer(&record, 9, 1100).unwrap().mean, 0.0);
    record = keep_answer(&record, 11, GRADE, 1061, CACHE).unwrap();
    assert_eq!(record.len(), LAYOUT.record_bytes(2));
    let none = JudgeCache {
        entries: 0,
        ..CACHE
    };
    assert_eq!(keep_answer(&record, 1, GRADE, 0, none), None);
}

#[test]
fn a_broken_record_has_no_answers() {
    assert_eq!(find_answer(&[1; 16], 0, 0), None);
    assert_eq!(
        keep_answer(&[1; 16], 1, GRADE, 0, CACHE),
        keep_answer(&[], 1, GRADE, 0, CACHE)
    );
    assert!((0..5000).all(|key| bucket_of(key) < BUCKETS));
}

#[test]
fn keys_depend_on_secret_and_words_alone() {
    let secret = PromptSecret([1, 2]);
    let key = |turn, before| prompt_key(secret, turn, before);
    assert_eq!(key("What  is\n2 + 2?", ""), key(" what is 2 + 2?", ""));
    assert_ne!(key("a", "b"), key("b", "a"));
    assert_ne!(key("a b", ""), key("a", "b"));
    assert_ne!(key("a", ""), prompt_key(PromptSecret([1, 3]), "a", ""));
}

/// The test vectors of the reference implementation: key 00 01 … 0f, messages of 0, 1 and 15 bytes 00 01 ….
#[test]
fn hashes_are_siphash_2_4() {
    let key = PromptSecret([0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908]);
    let hash = |length: u8| {
        let mut hash = SipHash::new(key);
        (0..length).for_each(|byte| hash.write(byte));
        hash.finish()
    };
    assert_eq!(hash(0), 0x726f_db47_dd0e_0e31);
    assert_eq!(hash(1), 0x74f8_39c5_93dc_67fd);
    assert_eq!(hash(15), 0xa129_ca61_49be_45e5);
}
