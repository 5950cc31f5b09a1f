//! Backends that scale to zero: when each was used last, how much demand there is for it, and which is to be sent a minimal
//! request so that it is warm when it is needed.
//!
//! Demand is counted by what decisions want, twice: lately (the last half hour or so), and for each hour of the day over the
//! last days; the greater of both is the forecast. All workers share one record of bounded size; who writes by
//! compare-and-swap that a request is due sends it, so one of them does. Pure: time enters as an argument.

#[cfg(test)]
mod tests;

use super::MAX_BACKENDS;
use super::codec::{Layout, Reader};
use super::sorted_map::SortedMap;
use crate::fleet::clusters;
use crate::fleet::{Backend, BackendId, Prewarm, Registry, ScaleToZero};

/// How fast what was wanted lately is forgotten: to a third after so many seconds.
const RECENT_S: f64 = 1800.0;
/// How much a day counts against those before it.
const DAY_WEIGHT: f32 = 0.5;
const NS_PER_S: f64 = 1e9;
const NS_PER_HOUR: u64 = 3_600_000_000_000;
const HOURS: usize = 24;

/// How often a backend was wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DemandForecast {
    /// Until when was counted, in nanoseconds since 1970.
    counted_ns: u64,
    /// Decisions, of which old ones count less and less.
    recent: f32,
    /// Decisions of the present hour.
    hour: f32,
    /// Decisions in each hour of the day (UTC), over the days.
    hours: [f32; HOURS],
}

impl DemandForecast {
    /// None so far.
    pub fn new(now_ns: u64) -> DemandForecast {
        DemandForecast {
            counted_ns: now_ns,
            recent: 0.0,
            hour: 0.0,
            hours: [0.0; HOURS],
        }
    }

    /// Counts so many decisions, made between the last count and now.
    pub fn count(&mut self, decisions: u32, now_ns: u64) {
        let passed_ns = now_ns.saturating_sub(self.counted_ns);
        self.recent *= (-(passed_ns as f64 / NS_PER_S) / RECENT_S).exp() as f32;
        self.recent += decisions as f32;
        let (then, now) = (self.counted_ns / NS_PER_HOUR, now_ns / NS_PER_HOUR);
        if then < now {
            self.close_hour(then);
            // Hours in which nothing was counted, at most a day of them.
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

    /// The forecast: how many decisions will want it within `ahead_s` seconds from now.
    pub fn expected(&self, ahead_s: f64, now_ns: u64) -> f64 {
        let passed_s = now_ns.saturating_sub(self.counted_ns) as f64 / NS_PER_S;
        let lately = f64::from(self.recent) * (-passed_s / RECENT_S).exp() / RECENT_S * ahead_s;
        // What is usual at this time of day, hour by hour.
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
        lately.max(usual)
    }
}

/// Whether a backend is to be sent a minimal request now: it is cold, will probably be needed, and the money is there.
///
/// `idle_s` is how long it was not used, `since_last_s` how long ago the last minimal request was, if there was one, and
/// `expected` how many requests are forecast until it would be cold again. Between two minimal requests lies at least the
/// part of an hour that keeps any hour within `max_usd_per_hour`.
pub fn is_due(
    cold: &ScaleToZero,
    prewarm: &Prewarm,
    idle_s: f64,
    since_last_s: Option<f64>,
    expected: f64,
) -> bool {
    // Requests that come independently of each other: the probability that there is at least one.
    let needed = 1.0 - (-expected).exp();
    let affordable = match prewarm.most_per_hour() {
        Some(most) => most >= 1.0 && since_last_s.is_none_or(|since| since >= 3600.0 / most),
        None => true,
    };
    idle_s > f64::from(cold.after_s) && needed >= prewarm.probability && needed > 0.0 && affordable
}

/// What all workers know of a backend.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Usage {
    /// When it was used last, by whomever; both in nanoseconds since 1970.
    used_ns: u64,
    /// When it was sent a minimal request last; 0 if never.
    prewarmed_ns: u64,
    demand: DemandForecast,
}

/// What this worker saw since it told the others.
#[derive(Debug, Clone, Copy)]
struct Seen {
    used_ns: u64,
    wanted: u32,
}

/// What one worker knows.
#[derive(Debug, Default)]
pub struct Warmth {
    /// As all workers know it, by link.
    known: SortedMap<u32, Usage>,
    /// By link.
    seen: SortedMap<u32, Seen>,
}

/// What is to be written, and who is due if that succeeds.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The record with all that this worker has to tell.
    pub record: Vec<u8>,
    /// The backends that are to be sent a minimal request.
    pub due: Vec<BackendId>,
}

impl Warmth {
    /// A decision wants this backend.
    pub fn wanted(&mut self, link: u32, now_ns: u64) {
        self.see(link, now_ns, 1);
    }

    /// It has answered.
    pub fn used(&mut self, link: u32, now_ns: u64) {
        self.see(link, now_ns, 0);
    }

    fn see(&mut self, link: u32, now_ns: u64, wanted: u32) {
        let fresh = || Seen {
            used_ns: now_ns,
            wanted: 0,
        };
        if let Some(seen) = self.seen.get_or_insert_with(link, MAX_BACKENDS, fresh) {
            seen.used_ns = seen.used_ns.max(now_ns);
            seen.wanted = seen.wanted.saturating_add(wanted);
        }
    }

    /// Whether a backend has not been used for longer than it stays warm. One of which nothing is known counts as warm: time
    /// begins with the first record that has it.
    pub fn is_cold(&self, link: u32, cold: &ScaleToZero, now_ns: u64) -> bool {
        let known = self.known.get(link).map(|one| one.used_ns);
        let used = known.max(self.seen.get(link).map(|one| one.used_ns));
        used.is_some_and(|used| {
            now_ns.saturating_sub(used) as f64 / NS_PER_S > f64::from(cold.after_s)
        })
    }

    /// The record that all share with what this worker has to tell, and the backends that are due; `may` says which of them
    /// can be sent a request at all. Nothing changes here before [`Warmth::told`] says that the record was taken: then, and
    /// only then, are the requests to be sent.
    pub fn plan(
        &self,
        record: &[u8],
        registry: &Registry,
        may: impl Fn(&Backend) -> bool,
        now_ns: u64,
    ) -> Plan {
        let before = decode(record);
        let (mut after, mut due) = (Vec::new(), Vec::new());
        for (index, backend) in registry.backends.iter().enumerate() {
            let Some(cold) = &backend.cold else { continue };
            if after.len() >= MAX_BACKENDS {
                break;
            }
            let link = clusters::backend_key(&backend.name);
            let mut usage = before.get(link).copied().unwrap_or(Usage {
                used_ns: now_ns,
                prewarmed_ns: 0,
                demand: DemandForecast::new(now_ns),
            });
            if let Some(seen) = self.seen.get(link) {
                usage.used_ns = usage.used_ns.max(seen.used_ns);
                usage.demand.count(seen.wanted, now_ns);
            } else if usage.demand.counted_ns / NS_PER_HOUR < now_ns / NS_PER_HOUR {
                // An hour in which nobody came is told too.
                usage.demand.count(0, now_ns);
            }
            if let Some(prewarm) = &cold.prewarm
                && usage.is_due(cold, prewarm, now_ns)
                && may(backend)
            {
                usage.used_ns = now_ns;
                usage.prewarmed_ns = now_ns;
                due.push(BackendId(index as u32));
            }
            after.push((link, usage));
        }
        Plan {
            record: encode(&SortedMap::from_entries(after)),
            due,
        }
    }

    /// This record is what all share now, with all that this worker had to tell.
    pub fn told(&mut self, record: &[u8]) {
        self.known = decode(record);
        self.seen.clear();
    }
}

impl Usage {
    fn is_due(&self, cold: &ScaleToZero, prewarm: &Prewarm, now_ns: u64) -> bool {
        let since_s = |then: u64| now_ns.saturating_sub(then) as f64 / NS_PER_S;
        let since_last = (self.prewarmed_ns > 0).then(|| since_s(self.prewarmed_ns));
        let expected = self.demand.expected(f64::from(cold.after_s), now_ns);
        is_due(cold, prewarm, since_s(self.used_ns), since_last, expected)
    }
}

/// An entry: a backend's link, three times, and the numbers of its demand.
const LAYOUT: Layout = Layout::new(0x31, 4 + 3 * 8 + 4 * (2 + HOURS), MAX_BACKENDS);

fn encode(usages: &SortedMap<u32, Usage>) -> Vec<u8> {
    let mut record = LAYOUT.writer(usages.len());
    for (link, usage) in usages.iter() {
        let demand = &usage.demand;
        record.u32(link);
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
fn decode(record: &[u8]) -> SortedMap<u32, Usage> {
    SortedMap::from_entries(LAYOUT.entries(record).filter_map(read))
}

fn read(mut entry: Reader<'_>) -> Option<(u32, Usage)> {
    let link = entry.u32()?;
    let (used_ns, prewarmed_ns, counted_ns) = (entry.u64()?, entry.u64()?, entry.u64()?);
    let mut decisions = || entry.f32().filter(|number| *number >= 0.0);
    let (recent, hour) = (decisions()?, decisions()?);
    let mut hours = [0.0; HOURS];
    for usual in &mut hours {
        *usual = decisions()?;
    }
    let usage = Usage {
        used_ns,
        prewarmed_ns,
        demand: DemandForecast {
            counted_ns,
            recent,
            hour,
            hours,
        },
    };
    Some((link, usage))
}
