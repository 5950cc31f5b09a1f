//! Who made state that only its maker can read, in records that all workers share. What stands in them is the core's.

use pointsman::state::makers;

use crate::hostcalls::{self, HostError};
use crate::sync::policy_store::ABSENT;

/// Another worker may write at the same time; after so many tries the state is one whose maker is not known.
const TRIES: u32 = 4;

fn key_of(mark: u64) -> String {
    let bucket = pointsman::exchange::decimal(makers::bucket_of(mark));
    ["pointsman.makers.", &bucket].concat()
}

/// The key of the state scope that made state of this mark.
pub fn find(mark: u64) -> Option<u32> {
    let (record, _) = hostcalls::shared(&key_of(mark)).ok()??;
    makers::find(&record, mark)
}

/// Remembers who made state of these marks. Where that fails, it is guessed later.
pub fn remember(scope: u32, marks: &[u64]) {
    for mark in marks {
        let key = key_of(*mark);
        for _ in 0..TRIES {
            let (record, cas) = match hostcalls::shared(&key) {
                Ok(Some(found)) => found,
                Ok(None) => (Vec::new(), ABSENT),
                Err(_) => return,
            };
            let Some(after) = makers::put(&record, *mark, scope) else {
                break;
            };
            match hostcalls::set_shared(&key, &after, cas) {
                Err(HostError::CAS_MISMATCH) => {}
                _ => break,
            }
        }
    }
}
