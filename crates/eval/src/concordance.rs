//! How often two orders of the same things agree.

use std::cmp::Ordering;

/// Of all pairs of things whose second values differ, the share that the first values order alike; ties of the first count half.
/// `None` if there is no such pair. A coin gets one half.
///
/// ```
/// use pointsman_eval::concordance::concordance;
///
/// assert_eq!(concordance(&[(0.9, 1.0), (0.2, 0.0), (0.9, 0.0)]), Some(0.75));
/// assert_eq!(concordance(&[(0.9, 1.0)]), None);
/// ```
pub fn concordance(pairs: &[(f64, f64)]) -> Option<f64> {
    let (mut agrees, mut compared) = (0.0, 0_u32);
    for (index, (first, second)) in pairs.iter().enumerate() {
        for (other_first, other_second) in pairs.iter().skip(index + 1) {
            let wanted = second.total_cmp(other_second);
            if wanted == Ordering::Equal {
                continue;
            }
            compared += 1;
            agrees += match first.total_cmp(other_first) {
                Ordering::Equal => 0.5,
                order if order == wanted => 1.0,
                _ => 0.0,
            };
        }
    }
    (compared > 0).then(|| agrees / f64::from(compared))
}
