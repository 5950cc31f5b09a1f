//! Backends that scale to zero: when each was used last, how much demand there is for it, and which is to be sent a minimal
//! request so that it is warm when it is needed.
//!
//! Demand is counted by what decisions want, twice: lately (the last half hour or so), and for each hour of the day over the
//! last days; the greater of both is the forecast. All workers share one record of bounded size; who writes by
//! compare-and-swap that a request is due sends it, so one of them does. Pure: time enters as an argument.

#[cfg(test)]
mod tests;

use crate::fleet::clusters;
use crate::fleet::{Backend, BackendId, Prewarm, Registry, ScaleToZero};

/// The most backends that are followed.
pub const MOST_BACKENDS: usize = 1000;
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
    link: u32,
    /// When it was used last, by whomever; both in nanoseconds since 1970.
    used_ns: u64,
    /// When it was sent a minimal request last; 0 if never.
    prewarmed_ns: u64,
    demand: DemandForecast,
}

/// What this worker saw since it told the others.
#[derive(Debug, Clone, Copy)]
struct Seen {
    link: u32,
    used_ns: u64,
    wanted: u32,
}

/// What one worker knows.
#[derive(Debug, Default)]
pub struct Warmth {
    /// As all workers know it; sorted by link.
    known: Vec<Usage>,
    /// Sorted by link.
    seen: Vec<Seen>,
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
        let place = match self.seen.binary_search_by(|one| one.link.cmp(&link)) {
            Ok(place) => place,
            Err(_) if self.seen.len() >= MOST_BACKENDS => return,
            Err(place) => {
                let fresh = Seen {
                    link,
                    used_ns: now_ns,
                    wanted: 0,
                };
                self.seen.insert(place, fresh);
                place
            }
        };
        if let Some(seen) = self.seen.get_mut(place) {
            seen.used_ns = seen.used_ns.max(now_ns);
            seen.wanted = seen.wanted.saturating_add(wanted);
        }
    }

    fn seen(&self, link: u32) -> Option<&Seen> {
        let place = self.seen.binary_search_by(|one| one.link.cmp(&link)).ok()?;
        self.seen.get(place)
    }

    /// Whether a backend has not been used for longer than it stays warm. One of which nothing is known counts as warm: time
    /// begins with the first record that has it.
    pub fn is_cold(&self, link: u32, cold: &ScaleToZero, now_ns: u64) -> bool {
        let known = find(&self.known, link).map(|one| one.used_ns);
        let used = known.max(self.seen(link).map(|one| one.used_ns));
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
            if after.len() >= MOST_BACKENDS {
                break;
            }
            let link = clusters::link(&backend.name);
            let mut usage = find(&before, link).copied().unwrap_or(Usage {
                link,
                used_ns: now_ns,
                prewarmed_ns: 0,
                demand: DemandForecast::new(now_ns),
            });
            if let Some(seen) = self.seen(link) {
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
            after.push(usage);
        }
        after.sort_unstable_by_key(|one| one.link);
        Plan {
            record: encode(&after),
            due,
        }
    }

    /// This record is what all share now, with all that this worker had to tell.
    pub fn told(&mut self, record: &[u8]) {
        self.known = decode(record);
        self.seen.clear();
    }
}

fn find(usages: &[Usage], link: u32) -> Option<&Usage> {
    let place = usages.binary_search_by(|one| one.link.cmp(&link)).ok()?;
    usages.get(place)
}

impl Usage {
    fn is_due(&self, cold: &ScaleToZero, prewarm: &Prewarm, now_ns: u64) -> bool {
        let since_s = |then: u64| now_ns.saturating_sub(then) as f64 / NS_PER_S;
        let since_last = (self.prewarmed_ns > 0).then(|| since_s(self.prewarmed_ns));
        let expected = self.demand.expected(f64::from(cold.after_s), now_ns);
        is_due(cold, prewarm, since_s(self.used_ns), since_last, expected)
    }
}

/// Bytes of one backend in the record.
pub const RECORD_BYTES: usize = 4 + 3 * 8 + 4 * (2 + HOURS);

fn encode(usages: &[Usage]) -> Vec<u8> {
    let mut record = Vec::with_capacity(usages.len() * RECORD_BYTES);
    for usage in usages {
        record.extend_from_slice(&usage.link.to_le_bytes());
        for time in [usage.used_ns, usage.prewarmed_ns, usage.demand.counted_ns] {
            record.extend_from_slice(&time.to_le_bytes());
        }
        let demand = &usage.demand;
        for number in [demand.recent, demand.hour].iter().chain(&demand.hours) {
            record.extend_from_slice(&number.to_le_bytes());
        }
    }
    record
}

/// Reads a record; what is damaged is left out.
fn decode(record: &[u8]) -> Vec<Usage> {
    let entries = record.chunks_exact(RECORD_BYTES).take(MOST_BACKENDS);
    let mut usages: Vec<Usage> = entries.filter_map(decode_one).collect();
    usages.sort_unstable_by_key(|one| one.link);
    usages
}

fn decode_one(bytes: &[u8]) -> Option<Usage> {
    let (link, mut rest) = bytes.split_first_chunk::<4>()?;
    let mut times = [0_u64; 3];
    for time in &mut times {
        let (eight, after) = rest.split_first_chunk::<8>()?;
        *time = u64::from_le_bytes(*eight);
        rest = after;
    }
    let mut numbers = rest
        .as_chunks::<4>()
        .0
        .iter()
        .map(|four| f32::from_le_bytes(*four));
    let mut number = || numbers.next().filter(|one| one.is_finite() && *one >= 0.0);
    let (recent, hour) = (number()?, number()?);
    let mut hours = [0.0; HOURS];
    for usual in &mut hours {
        *usual = number()?;
    }
    let [used_ns, prewarmed_ns, counted_ns] = times;
    Some(Usage {
        link: u32::from_le_bytes(*link),
        used_ns,
        prewarmed_ns,
        demand: DemandForecast {
            counted_ns,
            recent,
            hour,
            hours,
        },
    })
}
