//! Sums over receipts: what their answers cost, how good they are expected to be, and how fast.

use std::collections::BTreeMap;

use pointsman::fleet::Estimate;

use super::mixture::Mixture;

/// Sums over the answers of one side of a comparison.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Answers.
    pub count: u64,
    /// Their expected cost, in USD.
    pub cost_usd: f64,
    /// The sum of their probabilities to be right.
    quality: f64,
    /// Times to the whole answer.
    pub answer: Mixture,
    /// Times to the first token.
    pub first_token: Mixture,
}

impl Figures {
    /// Adds an answer.
    pub fn add(&mut self, estimate: &Estimate) {
        self.count += 1;
        self.cost_usd += estimate.cost_usd;
        self.quality += f64::from(estimate.quality.unwrap_or_default());
        let wide = |ms: f32| f64::from(ms);
        self.answer
            .add(wide(estimate.latency_p50_ms), wide(estimate.latency_p99_ms));
        self.first_token.add(
            wide(estimate.first_token_p50_ms),
            wide(estimate.first_token_p99_ms),
        );
    }

    /// The mean probability to be right; NaN without answers.
    pub fn mean_quality(&self) -> f64 {
        self.quality / self.count as f64
    }
}

/// The same receipts before and after: each is answered on both sides.
#[derive(Debug, Clone, Default)]
pub struct Pair {
    /// Without the new policy.
    pub before: Figures,
    /// Under it.
    pub after: Figures,
    /// Receipts that another backend answers.
    pub changed: u64,
}

impl Pair {
    /// Adds a receipt.
    pub fn add(&mut self, before: &Estimate, after: &Estimate, changed: bool) {
        self.before.add(before);
        self.after.add(after);
        self.changed += u64::from(changed);
    }

    /// The change of the cost as a share of the cost before; NaN if that is nothing.
    pub fn cost_change(&self) -> f64 {
        self.after.cost_usd / self.before.cost_usd - 1.0
    }
}

/// The most tenants that are told apart. The first ones in the log are: whoever sends much comes early.
pub const MAX_TENANTS: usize = 1000;

/// Figures by the key of the tenant; 0 is a request without one.
#[derive(Debug, Default)]
pub struct Tenants {
    /// Those that are told apart.
    pub known: BTreeMap<u32, Pair>,
    /// All others.
    pub others: Pair,
}

impl Tenants {
    /// The figures that a tenant's receipts go to.
    pub fn of(&mut self, key: u32) -> &mut Pair {
        if self.known.len() >= MAX_TENANTS && !self.known.contains_key(&key) {
            return &mut self.others;
        }
        self.known.entry(key).or_default()
    }
}

/// The least width of a slice of time, in seconds.
const SLICE_S: u32 = 3600;
/// The most slices.
const MAX_SLICES: usize = 2000;

/// Costs over time, in slices of equal width. The width doubles as the log grows longer, so memory does not.
#[derive(Debug)]
pub struct Timeline {
    /// Seconds of a slice.
    pub width_s: u32,
    /// Number of receipts, cost before and after, in USD, by the start of the slice in seconds since 1970.
    pub slices: BTreeMap<u32, (u64, f64, f64)>,
}

impl Default for Timeline {
    fn default() -> Timeline {
        Timeline {
            width_s: SLICE_S,
            slices: BTreeMap::new(),
        }
    }
}

impl Timeline {
    /// Adds a receipt.
    pub fn add(&mut self, time_s: u32, before_usd: f64, after_usd: f64) {
        let start = time_s - time_s % self.width_s;
        put(&mut self.slices, start, (1, before_usd, after_usd));
        while self.slices.len() > MAX_SLICES {
            self.width_s = self.width_s.saturating_mul(2);
            let mut wider = BTreeMap::new();
            for (start, sums) in std::mem::take(&mut self.slices) {
                put(&mut wider, start - start % self.width_s, sums);
            }
            self.slices = wider;
        }
    }
}

fn put(slices: &mut BTreeMap<u32, (u64, f64, f64)>, start: u32, sums: (u64, f64, f64)) {
    let slice = slices.entry(start).or_default();
    slice.0 += sums.0;
    slice.1 += sums.1;
    slice.2 += sums.2;
}

/// A time in UTC, as `2026-11-30 20:45`.
pub fn utc(time_s: u32) -> String {
    let (days, second) = (i64::from(time_s / 86_400), time_s % 86_400);
    // Howard Hinnant's `civil_from_days`: years begin in March, so that the leap day is the last of a year.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = month_from_march % 12 + if month_from_march < 10 { 3 } else { -9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}",
        second / 3600,
        second / 60 % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc() {
        assert_eq!(utc(0), "1970-01-01 00:00");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00");
        assert_eq!(utc(1_764_535_507), "2025-11-30 20:45");
        assert_eq!(utc(4_102_444_799), "2099-12-31 23:59");
        assert_eq!(utc(u32::MAX), "2106-02-07 06:28");
    }

    #[test]
    fn a_timeline_is_bounded_and_loses_nothing() {
        let mut timeline = Timeline::default();
        for hour in 0..100_000_u32 {
            timeline.add(hour * 3600, 2.0, 1.0);
        }
        assert!(timeline.slices.len() <= MAX_SLICES);
        assert_eq!(timeline.width_s % SLICE_S, 0);
        let count: u64 = timeline.slices.values().map(|slice| slice.0).sum();
        let after: f64 = timeline.slices.values().map(|slice| slice.2).sum();
        assert_eq!((count, after), (100_000, 100_000.0));
    }

    #[test]
    fn tenants_beyond_the_bound_are_counted_together() {
        let mut tenants = Tenants::default();
        for key in 0..MAX_TENANTS as u32 + 5 {
            tenants.of(key).changed += 1;
        }
        assert_eq!(tenants.known.len(), MAX_TENANTS);
        assert_eq!(tenants.others.changed, 5);
        tenants.of(3).changed += 1;
        assert_eq!(tenants.of(3).changed, 2);
    }
}
