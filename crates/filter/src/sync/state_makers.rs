//! Records of who made the state that only its maker can read, shared by all workers. The core reads and writes them.

use pointsman::decimal::decimal;
use pointsman::state::makers;

use super::shared_data::update;
use crate::hostcalls;

/// How often a lost race is tried again. After that the maker of the state is unknown.
const TRIES: u32 = 4;

fn key_of(mark: u64) -> String {
    let bucket = decimal(makers::bucket_of(mark));
    ["pointsman.makers.", &bucket].concat()
}

/// The key of the state scope that made the state with this mark.
pub fn find(mark: u64) -> Option<u32> {
    let (record, _) = hostcalls::shared(&key_of(mark)).ok()??;
    makers::find(&record, mark)
}

/// Remembers who made the state with these marks. If that fails, the maker is guessed later.
pub fn remember(scope: u32, marks: &[u64]) {
    for mark in marks {
        let change = &mut |record: &[u8]| makers::put(record, *mark, scope);
        let _ = update(&key_of(*mark), TRIES, change);
    }
}
