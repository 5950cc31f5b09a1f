//! Records of the receipts that feedback was given for, shared by all workers. The core reads and writes them.

use pointsman::decimal::decimal;
use pointsman::state::claims;
use pointsman::telemetry::Metric;

use super::shared_data::update;
use crate::hostcalls::HostError;
use crate::metrics;

/// How often a lost race is tried again.
const TRIES: u32 = 8;

/// Claims a number; `false` if it was claimed before. If the host or the race says no, the number counts as claimed: a grader that
/// tries again does no harm, and one receipt that counts twice would.
pub fn claim(number: u64) -> bool {
    let bucket = decimal(claims::bucket_of(number));
    let key = ["pointsman.claims.", &bucket].concat();
    let change = &mut |record: &[u8]| claims::claim(record, number);
    match update(&key, TRIES, change) {
        Ok(is_new) => is_new,
        Err(HostError::CAS_MISMATCH) => false,
        Err(_) => {
            metrics::count(&Metric::host_call_errors());
            false
        }
    }
}
