//! Days of traffic, simulated: what is kept warm, when, and what it costs. No clock: a step is a number.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::policy::Policy;

const S: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * S;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// Some midnight.
const BEGIN: u64 = 20_000 * DAY;

fn registry(prewarm: &str) -> Registry {
    let text = format!(
        r#"{{"models": [{{"name": "m"}}], "backends": [
          {{"name": "always", "model": "m", "price": {{"input": 1, "output": 1}}}},
          {{"name": "zero", "model": "m", "price": {{"input": 1, "output": 1}}, "scale_to_zero_after_s": 300, "cold_start_ms": 8000,
            "prewarm": {prewarm}}}]}}"#
    );
    Policy::compile(&text).unwrap().registry
}

/// Workers that tick once a second, in turn, with one record.
struct World {
    registry: Registry,
    workers: Vec<ScaleToZeroStats>,
    record: Vec<u8>,
    now: u64,
    sent: Vec<u64>,
}

impl World {
    fn new(prewarm: &str) -> World {
        World {
            registry: registry(prewarm),
            workers: (0..3).map(|_| ScaleToZeroStats::default()).collect(),
            record: Vec::new(),
            now: BEGIN,
            sent: Vec::new(),
        }
    }

    fn key(&self) -> u32 {
        crate::fleet::clusters::backend_key("zero")
    }

    fn tick(&mut self) {
        for worker in &mut self.workers {
            let plan = worker.plan(&self.record, &self.registry, |_| true, self.now);
            self.record = plan.record;
            worker.adopt(&self.record);
            self.sent.extend(plan.due.iter().map(|id| {
                assert_eq!(*id, BackendId(1));
                self.now
            }));
        }
    }

    /// Lets time pass with a request every so often; none where `every` is 0.
    fn pass(&mut self, time: u64, every: u64) {
        let (end, key) = (self.now + time, self.key());
        let step = 20 * S;
        while self.now < end {
            self.now += step;
            if every > 0 && self.now % every < step {
                let worker = (self.now / step % 2) as usize;
                self.workers[worker].on_decision(key, self.now);
            }
            self.tick();
        }
    }

    fn sent_since(&self, from: u64) -> usize {
        self.sent.iter().filter(|at| **at > from).count()
    }

    fn is_cold(&self) -> bool {
        let cold = self.registry.backends[1].cold.as_ref().unwrap();
        self.workers[0].is_cold(self.key(), cold, self.now)
    }
}

#[test]
fn who_is_in_use_is_sent_nothing() {
    let mut world = World::new(r#"{"max_usd_per_hour": 1000}"#);
    world.pass(DAY, 2 * MINUTE);
    assert!(world.sent.is_empty(), "{:?}", world.sent);
    assert!(!world.is_cold());
}

#[test]
fn an_unused_backend_gets_cold_and_stays_so() {
    let mut world = World::new(r#"{"max_usd_per_hour": 1000}"#);
    world.pass(DAY, 0);
    assert!(world.sent.is_empty(), "{:?}", world.sent);
    assert!(world.is_cold());
}

#[test]
fn after_traffic_it_is_kept_warm_as_long_as_more_is_expected_and_no_longer() {
    let mut world = World::new(r#"{"max_usd_per_hour": 1000}"#);
    world.pass(HOUR, MINUTE);
    let quiet = world.now;
    world.pass(20 * MINUTE, 0);
    // Every five minutes, and by one of the workers.
    assert_eq!(world.sent_since(quiet), 3, "{:?}", world.sent);
    world.pass(4 * HOUR, 0);
    let later = world.now;
    world.pass(4 * HOUR, 0);
    assert_eq!(world.sent_since(later), 0);
    assert!(world.is_cold());
}

#[test]
fn it_is_warm_when_the_day_begins_because_it_was_needed_yesterday() {
    let mut world = World::new(r#"{"max_usd_per_hour": 1000}"#);
    for day in 0..4 {
        let midnight = world.now;
        world.pass(8 * HOUR + 59 * MINUTE, 0);
        // The nights cost nothing but what the evening before left.
        assert!(world.sent_since(midnight + 2 * HOUR) <= 1, "day {day}");
        // A minute before nine.
        assert_eq!(world.is_cold(), day == 0, "day {day}");
        world.pass(9 * HOUR + MINUTE, MINUTE);
        world.pass(6 * HOUR, 0);
    }
    // Nobody comes any more: what was usual is forgotten within days.
    for _ in 0..8 {
        world.pass(DAY, 0);
    }
    let forgotten = world.now;
    world.pass(2 * DAY, 0);
    assert_eq!(world.sent_since(forgotten), 0);
}

#[test]
fn any_hour_costs_at_most_what_is_stated() {
    // 0.25 USD buys two requests of 0.1.
    let mut world =
        World::new(r#"{"max_usd_per_hour": 0.25, "request_usd": 0.1, "probability": 0.001}"#);
    for _ in 0..40 {
        world.pass(3 * MINUTE, MINUTE);
        world.pass(47 * MINUTE, 0);
    }
    assert!(world.sent.len() > 20, "{}", world.sent.len());
    for from in &world.sent {
        let hour = world
            .sent
            .iter()
            .filter(|at| (*from..*from + HOUR).contains(*at));
        assert!(hour.count() <= 2);
    }
}

#[test]
fn what_cannot_be_paid_or_sent_is_not_sent() {
    let mut world =
        World::new(r#"{"max_usd_per_hour": 0.05, "request_usd": 0.1, "probability": 0}"#);
    world.pass(HOUR, MINUTE);
    world.pass(HOUR, 0);
    assert!(world.sent.is_empty(), "{:?}", world.sent);
    let mut world = World::new(r#"{"max_usd_per_hour": 5, "probability": 0}"#);
    world.pass(HOUR, MINUTE);
    world.now += HOUR;
    let mut warmth = ScaleToZeroStats::default();
    assert!(
        warmth
            .plan(&world.record, &world.registry, |_| false, world.now)
            .due
            .is_empty()
    );
    let plan = warmth.plan(&world.record, &world.registry, |_| true, world.now);
    assert_eq!(plan.due, [BackendId(1)]);
    // The loser of the race reads the record of the winner, and sends nothing.
    let late =
        ScaleToZeroStats::default().plan(&plan.record, &world.registry, |_| true, world.now + S);
    assert!(late.due.is_empty());
    warmth.adopt(&plan.record);
}

#[test]
fn the_forecast_is_the_greater_of_recent_and_usual_demand() {
    let mut demand = DemandForecast::new(BEGIN);
    for minute in 0..60 {
        demand.count(1, BEGIN + minute * MINUTE);
    }
    let now = BEGIN + HOUR;
    let soon = demand.expected(300.0, now);
    assert!((4.0..5.5).contains(&soon), "{soon}");
    // A day later nothing is left of the recent demand, and half of the usual hour is.
    let next = demand.expected(3600.0, BEGIN + DAY);
    assert!(
        next < 0.001,
        "the hour is not over until something is counted: {next}"
    );
    demand.count(0, BEGIN + 2 * HOUR);
    let next = demand.expected(3600.0, BEGIN + DAY);
    assert!((29.0..31.0).contains(&next), "{next}");
    let night = demand.expected(3600.0, BEGIN + DAY + 5 * HOUR);
    assert!(night < 0.001, "{night}");
    // Over the whole of a day, whatever hour it begins in.
    assert!((demand.expected(86_400.0, BEGIN + 30 * HOUR + 7 * MINUTE) - 30.0).abs() < 1.0);
}

#[test]
fn the_record_is_bounded_and_no_bytes_panic() {
    let backends: Vec<String> = (0..1500)
        .map(|n| {
            format!(
                r#"{{"name": "b{n}", "model": "m", "price": {{"input": 0, "output": 0}}, "scale_to_zero_after_s": 60, "prewarm": {{"max_usd_per_hour": 1}}}}"#
            )
        })
        .collect();
    let text = format!(
        r#"{{"models": [{{"name": "m"}}], "backends": [{}]}}"#,
        backends.join(",")
    );
    let registry = Policy::compile(&text).unwrap().registry;
    let mut warmth = ScaleToZeroStats::default();
    for key in 0..5000 {
        warmth.on_decision(key, BEGIN);
    }
    assert_eq!(warmth.unshared.len(), MAX_BACKENDS);
    let plan = warmth.plan(&[], &registry, |_| true, BEGIN);
    assert_eq!(plan.record.len(), LAYOUT.record_bytes(MAX_BACKENDS));
    assert_eq!(decode(&plan.record).len(), MAX_BACKENDS);
    assert_eq!(encode(&decode(&plan.record)), plan.record);
    warmth.adopt(&plan.record);
    for byte in [0, 1, 0x7f, 0xff] {
        for length in 0..LAYOUT.record_bytes(2) + 3 {
            let record = vec![byte; length];
            warmth.adopt(&record);
            let _ = warmth.plan(&record, &registry, |_| true, u64::MAX);
        }
    }
}
