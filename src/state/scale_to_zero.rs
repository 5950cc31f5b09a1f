//! Backends that scale to zero: the last use of each, the demand for it, and which of them is due for a minimal request that
//! warms it up before it is needed.
//!
//! Demand is the number of decisions for a backend, counted twice: over about the last half hour, and for each hour of the day
//! over the last days. The forecast is the greater of both. All workers share one record of bounded size. The worker whose
//! compare-and-swap writes that a request is due sends it, so exactly one does. Time enters as an argument.

#[cfg(test)]
mod tests;

use super::MAX_BACKENDS;
use super::codec::{Layout, Reader};
use super::sorted_map::SortedMap;
use crate::fleet::clusters;
use crate::fleet::{Backend, BackendId, Prewarm, Registry, ScaleToZero};

/// Time constant of the recent-demand decay, in seconds (weight 1/e).
const RECENT_S: f64 = 1800.0;
/// The weight of a day against the days before it.
const DAY_WEIGHT: f32 = 0.5;
const NS_PER_S: f64 = 1e9;
const NS_PER_HOUR: u64 = 3_600_000_000_000;
const HOURS: usize = 24;

/// The demand for a backend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DemandForecast {
    /// The time of the last count, in nanoseconds since 1970.
    counted_ns: u64,
    /// Recent decisions, old ones with less weight.
    recent: f32,
    /// Decisions of the present hour.
    hour: f32,
    /// Decisions in each hour of the day (UTC), over the days.
    hours: [f32; HOURS],
}

impl DemandForecast {
    /// No demand yet.
    pub fn new(now_ns: u64) -> DemandForecast {
        DemandForecast {
            counted_ns: now_ns,
            recent: 0.0,
            hour: 0.0,
            hours: [0.0; HOURS],
        }
    }

    /// Counts decisions that were made since the last count.
    pub fn count(&mut self, decisions: u32, now_ns: u64) {
        let passed_ns = now_ns.saturating_sub(self.counted_ns);
        self.recent *= (-(passed_ns as f64 / NS_PER_S) / RECENT_S).exp() as f32;
        self.recent += decisions as f32;
        let (then, now) = (self.counted_ns / NS_PER_HOUR, now_ns / NS_PER_HOUR);
        if then < now {
            self.close_hour(then);
            // Hours without a count, at most a day of them.
            for hour in (then + 1..now).rev().take(HOURS) {
                self.close_hour(hour);
            }
        }
        self.hour += decisions as f32;
        self.counted_ns = self.counted_ns.max(now_ns);
    }

    fn close_hour(&mut self, hour: u64) {
        if let Some(usual) = self.hours.get_mut((hour % HOURS as u64) as usize) {
            *usual += (self.hour - *usual) * DAY_WEIGHT;
        }
        self.hour = 0.0;
    }

    /// The expected number of decisions for the backend within `ahead_s` seconds from now.
    pub fn expected(&self, ahead_s: f64, now_ns: u64) -> f64 {
        let passed_s = now_ns.saturating_sub(self.counted_ns) as f64 / NS_PER_S;
        let recent = f64::from(self.recent) * (-passed_s / RECENT_S).exp() / RECENT_S * ahead_s;
        // The usual demand at this time of day, hour by hour.
        let (mut usual, mut at_ns, mut left_s) = (0.0, now_ns, ahead_s.min(86_400.0));
        while left_s > 0.0 {
            let until_next_s = (NS_PER_HOUR - at_ns % NS_PER_HOUR) as f64 / NS_PER_S;
            let part_s = until_next_s.min(left_s);
            let hour = self
                .hours
                .get((at_ns / NS_PER_HOUR % HOURS as u64) as usize);
            usual += f64::from(hour.copied().unwrap_or_default()) * part_s / 3600.0;
            at_ns = at_ns.saturating_add((part_s * NS_PER_S) as u64 + 1);
            left_s -= part_s.max(1e-3);
        }
        recent.max(usual)
    }
}

/// Whether a backend is due for a minimal request: it is cold, will probably be needed, and the request is affordable.
///
/// `idle_s` is the time since its last use, `since_last_s` the time since the last minimal request, if there was one, and
/// `expected` the number of requests that are forecast until the backend would be cold again. Two minimal requests are so far
/// apart that no hour costs more than `max_usd_per_hour`.
pub fn is_due(
    scaling: &ScaleToZero,
    prewarm: &Prewarm,
    idle_s: f64,
    since_last_s: Option<f64>,
    expected: f64,
) -> bool {
    // The probability of at least one request, if requests are independent of each other.
    let needed = 1.0 - (-expected).exp();
    let affordable = match prewarm.most_per_hour() {
        Some(most) => most >= 1.0 && since_last_s.is_none_or(|since| since >= 3600.0 / most),
        None => true,
    };
    idle_s > f64::from(scaling.after_s)
        && needed >= prewarm.probability
        && needed > 0.0
        && affordable
}

/// The shared knowledge about a backend.
#[derive(Debug, Clone, Copy, PartialEq)]
struct BackendUsage {
    /// Its last use by any worker, in nanoseconds since 1970.
    used_ns: u64,
    /// The last minimal request, in nanoseconds since 1970; 0 if there was none.
    prewarmed_ns: u64,
    demand: DemandForecast,
}

/// Observations of this worker that the shared record lacks.
#[derive(Debug, Clone, Copy)]
struct NewUsage {
    used_ns: u64,
    decisions: u32,
}

/// The use of backends that scale to zero, in one worker.
#[derive(Debug, Default)]
pub struct ScaleToZeroStats {
    /// As in the shared record, by the backend's key.
    shared: SortedMap<u32, BackendUsage>,
    /// Not yet in the shared record, by the backend's key.
    unshared: SortedMap<u32, NewUsage>,
}

/// The record to write, and the backends that are due if that succeeds.
#[derive(Debug, Clone, PartialEq)]
pub struct PrewarmPlan {
    /// The shared record with this worker's observations.
    pub record: Vec<u8>,
    /// The backends that are due for a minimal request.
    pub due: Vec<BackendId>,
}

impl ScaleToZeroStats {
    /// Records a decision for this backend.
    pub fn on_decision(&mut self, key: u32, now_ns: u64) {
        self.observe(key, now_ns, 1);
    }

    /// Records an answer of this backend.
    pub fn on_answer(&mut self, key: u32, now_ns: u64) {
        self.observe(key, now_ns, 0);
    }

    fn observe(&mut self, key: u32, now_ns: u64, decisions: u32) {
        let fresh = || NewUsage {
            used_ns: now_ns,
            decisions: 0,
        };
        if let Some(usage) = self.unshared.get_or_insert_with(key, MAX_BACKENDS, fresh) {
            usage.used_ns = usage.used_ns.max(now_ns);
            usage.decisions = usage.decisions.saturating_add(decisions);
        }
    }

    /// Whether a backend has not been used for longer than it stays warm. An unknown backend counts as warm: its time begins with
    /// the first record that has it.
    pub fn is_cold(&self, key: u32, scaling: &ScaleToZero, now_ns: u64) -> bool {
        let known = self.shared.get(key).map(|usage| usage.used_ns);
        let used = known.max(self.unshared.get(key).map(|usage| usage.used_ns));
        used.is_some_and(|used| {
            now_ns.saturating_sub(used) as f64 / NS_PER_S > f64::from(scaling.after_s)
        })
    }

    /// Merges this worker's observations into the shared record and finds the backends that are due; `may` tells which of them
    /// can take a request at all. Nothing changes here: send the requests, and call [`ScaleToZeroStats::adopt`], only once the
    /// record was written.
    pub fn plan(
        &self,
        record: &[u8],
        registry: &Registry,
        may: impl Fn(&Backend) -> bool,
        now_ns: u64,
    ) -> PrewarmPlan {
        let before = decode(record);
        let (mut after, mut due) = (Vec::new(), Vec::new());
        for (index, backend) in registry.backends.iter().enumerate() {
            let Some(scaling) = &backend.cold else {
                continue;
            };
            if after.len() >= MAX_BACKENDS {
                break;
            }
            let key = clusters::backend_key(&backend.name);
            let mut usage = before.get(key).copied().unwrap_or(BackendUsage {
                used_ns: now_ns,
                prewarmed_ns: 0,
                demand: DemandForecast::new(now_ns),
            });
            if let Some(new) = self.unshared.get(key) {
                usage.used_ns = usage.used_ns.max(new.used_ns);
                usage.demand.count(new.decisions, now_ns);
            } else if usage.demand.counted_ns / NS_PER_HOUR < now_ns / NS_PER_HOUR {
                // An hour without demand counts too.
                usage.demand.count(0, now_ns);
            }
            if let Some(prewarm) = &scaling.prewarm
                && usage.is_due(scaling, prewarm, now_ns)
                && may(backend)
            {
                usage.used_ns = now_ns;
                usage.prewarmed_ns = now_ns;
                due.push(BackendId(index as u32));
            }
            after.push((key, usage));
        }
        PrewarmPlan {
            record: encode(&SortedMap::from_entries(after)),
            due,
        }
    }

    /// Takes over a shared record that holds this worker's observations.
    pub fn adopt(&mut self, record: &[u8]) {
        self.shared = decode(record);
        self.unshared.clear();
    }
}

impl BackendUsage {
    fn is_due(&self, scaling: &ScaleToZero, prewarm: &Prewarm, now_ns: u64) -> bool {
        let since_s = |then: u64| now_ns.saturating_sub(then) as f64 / NS_PER_S;
        let since_last = (self.prewarmed_ns > 0).then(|| since_s(self.prewarmed_ns));
        let expected = self.demand.expected(f64::from(scaling.after_s), now_ns);
        is_due(
            scaling,
            prewarm,
            since_s(self.used_ns),
            since_last,
            expected,
        )
    }
}

/// An entry: a backend's key, three times, and the numbers of its demand.
const LAYOUT: Layout = Layout::new(0x31, 4 + 3 * 8 + 4 * (2 + HOURS), MAX_BACKENDS);

fn encode(usages: &SortedMap<u32, BackendUsage>) -> Vec<u8> {
    let mut record = LAYOUT.writer(usages.len());
    for (key, usage) in usages.iter() {
        let demand = &usage.demand;
        record.u32(key);
        record.u64(usage.used_ns);
        record.u64(usage.prewarmed_ns);
        record.u64(demand.counted_ns);
        record.f32(demand.recent);
        record.f32(demand.hour);
        for hour in demand.hours {
            record.f32(hour);
        }
    }
    record.finish()
}

/// Reads a record; entries with impossible numbers are left out.
fn decode(record: &[u8]) -> SortedMap<u32, BackendUsage> {
    SortedMap::from_entries(LAYOUT.entries(record).filter_map(read))
}

fn read(mut entry: Reader<'_>) -> Option<(u32, BackendUsage)> {
    let key = entry.u32()?;
    let (used_ns, prewarmed_ns, counted_ns) = (entry.u64()?, entry.u64()?, entry.u64()?);
    let mut decisions = || entry.f32().filter(|number| *number >= 0.0);
    let (recent, hour) = (decisions()?, decisions()?);
    let mut hours = [0.0; HOURS];
    for usual in &mut hours {
        *usual = decisions()?;
    }
    let usage = BackendUsage {
        used_ns,
        prewarmed_ns,
        demand: DemandForecast {
            counted_ns,
            recent,
            hour,
            hours,
        },
    };
    Some((key, usage))
}
