//! Records of judges' grades, shared by all workers. The core reads and writes them.
//!
//! Grades are found by a hash of the prompt under a secret that the first worker draws: shared data holds no prompt, and nobody
//! outside can tell which prompts were asked about.

use std::cell::Cell;

use pointsman::api::judge::Grade;
use pointsman::decimal::decimal;
use pointsman::exchange::KeptGrade;
use pointsman::state::judge::{self, PromptSecret};

use super::shared_data::update;
use crate::{hostcalls, vm};

/// How often a lost race is tried again. After that the grade is not kept.
const TRIES: u32 = 4;

/// The record of the secret, 16 bytes.
const SECRET_KEY: &str = "pointsman.judge.secret";

thread_local! {
    /// The secret, once it is known.
    static SECRET: Cell<Option<PromptSecret>> = const { Cell::new(None) };
}

/// The secret of this proxy. If it cannot be shared, this VM has one of its own, and its grades serve it alone.
pub fn secret() -> PromptSecret {
    if let Some(secret) = SECRET.get() {
        return secret;
    }
    let own = [vm::random(), vm::random()];
    let mut found = own;
    let change = &mut |record: &[u8]| match decode(record) {
        Some(known) => {
            found = known;
            None
        }
        None => {
            found = own;
            Some(own.map(u64::to_le_bytes).concat())
        }
    };
    let secret = match update(SECRET_KEY, TRIES, change) {
        Ok(_) => PromptSecret(found),
        Err(_) => PromptSecret(own),
    };
    SECRET.set(Some(secret));
    secret
}

fn decode(record: &[u8]) -> Option<[u64; 2]> {
    let (first, rest) = record.split_first_chunk::<8>()?;
    let second = rest.first_chunk::<8>()?;
    Some([first, second].map(|half| u64::from_le_bytes(*half)))
}

fn key_of(prompt: u64) -> String {
    let bucket = decimal(judge::bucket_of(prompt));
    ["pointsman.judge.", &bucket].concat()
}

/// The grade of the prompt with this hash, if it is known at this time, in seconds since 1970.
pub fn find(prompt: u64, now_s: u64) -> Option<Grade> {
    let (record, _) = hostcalls::shared(&key_of(prompt)).ok()??;
    judge::find_answer(&record, prompt, now_s)
}

/// Keeps a grade. If that fails, the judge is asked again some time.
pub fn keep(kept: &KeptGrade) {
    let (prompt, now_s) = (kept.prompt, kept.now_s);
    let change =
        &mut |record: &[u8]| judge::keep_answer(record, prompt, kept.grade, now_s, kept.bounds);
    let _ = update(&key_of(prompt), TRIES, change);
}
