//! Backends that get slow, fail, fall silent and recover, simulated: where decisions go, and how often they change their mind.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod faults;
mod world;

use super::backend::{MAX_FOLLOWED, MAX_PENDING};
use super::*;
use crate::fleet::Latency;
use world::*;

const BOTH: [Delivery; 2] = Delivery::ALL;

fn slow_and_back(workers: usize, delivery: Delivery, fault: Fate) {
    let mut world = World::new(workers);
    world.run(300, 20.0, delivery, |_| WELL);
    assert!(world.share(300) > 0.99, "{}", world.share(300));
    world.run(200, 20.0, delivery, |_| fault);
    world.run(300, 20.0, delivery, |_| fault);
    assert!(world.share(300) < 0.05, "{fault:?} {}", world.share(300));
    world.run(500, 20.0, delivery, |_| WELL);
    world.run(300, 20.0, delivery, |_| WELL);
    let share = world.share(300);
    assert!(share > 0.95, "{workers} {delivery:?} {fault:?} {share}");
    assert_eq!(world.turns(), 2);
}

#[test]
fn ten_times_slower_loses_its_traffic_and_gets_it_back() {
    let slow = |first, token| Fate::Answer { first, token };
    for workers in [1, 2] {
        for delivery in BOTH {
            slow_and_back(workers, delivery, slow(10.0, 10.0));
            slow_and_back(workers, delivery, slow(1.0, 10.0));
        }
        slow_and_back(workers, Delivery::Streamed, slow(10.0, 1.0));
    }
}

#[test]
fn failing_loses_its_traffic_and_gets_it_back() {
    for workers in [1, 2] {
        for delivery in BOTH {
            slow_and_back(workers, delivery, Fate::Fail);
        }
        slow_and_back(workers, Delivery::Streamed, Fate::Break);
    }
}

/// Holds for answers of any length, and for first tokens that scatter as declared.
#[test]
fn what_does_as_it_states_is_never_taken_for_slow() {
    for delivery in BOTH {
        for longest in [1.0, 8.0, 60.0, 800.0, 20_000.0] {
            let mut world = World::new(1);
            for _ in 0..3_000 {
                world.pass(SECOND / 20);
                let tokens = 1.0 + world.draw() * longest;
                // Log-normal, as the median and the 99th percentile that are stated.
                let normal: f32 = (0..12).map(|_| world.draw()).sum::<f32>() - 6.0;
                let first = (3_f32.ln() / 2.326 * normal).exp();
                let token = 0.9 + 0.2 * world.draw();
                world.ask(delivery, tokens as u64, &|_| Fate::Answer { first, token });
                let observed = world.workers[0].observe(A, delivery, world.now);
                assert_eq!(observed.latency_ratio(), 1.0, "{delivery:?} {longest}");
                assert!(!observed.down);
                assert!(observed.first_token.p99 < 3.0 * NOTICED, "{observed:?}");
                assert!(
                    observed.token_time.p99 < NOTICED * 1.5,
                    "{longest} {observed:?}"
                );
            }
            assert_eq!(world.share(3_000), 1.0);
        }
    }
}

#[test]
fn twice_as_slow_is_not_noticed_and_three_times_is() {
    for (factor, noticed) in [(1.9, false), (3.0, true)] {
        for delivery in BOTH {
            let mut world = World::new(1);
            world.run(40, 1.0, delivery, |_| Fate::Answer {
                first: 1.0,
                token: factor,
            });
            let observed = world.workers[0].observe(A, delivery, world.now);
            assert_eq!(
                observed.token_time.median > 1.0,
                noticed,
                "{factor} {observed:?}"
            );
            assert_eq!(observed.first_token.median, 1.0);
        }
    }
}

#[test]
fn usual_noise_changes_nothing() {
    let mut world = World::new(2);
    for _ in 0..5_000 {
        let factor = 0.8 + world.draw();
        world.run(1, 20.0, Delivery::Streamed, |_| Fate::Answer {
            first: factor,
            token: factor,
        });
    }
    assert!(world.share(5_000) > 0.99);
}

#[test]
fn three_failures_are_down_and_two_answers_up() {
    let mut live = BackendStats::new();
    let streamed = Delivery::Streamed;
    for _ in 0..DOWN_AFTER {
        assert!(!live.observe(A, streamed, 1).down);
        live.on_attempt(A, streamed, true, 1);
    }
    assert!(live.observe(A, streamed, 1).down);
    live.on_attempt(A, streamed, false, 1);
    assert!(live.observe(A, streamed, 1).down);
    live.on_attempt(A, streamed, false, 1);
    assert!(!live.observe(A, streamed, 1).down);
}

#[test]
fn what_one_worker_saw_the_other_knows_after_a_merge() {
    let (mut one, mut other) = (BackendStats::new(), BackendStats::new());
    for _ in 0..DOWN_AFTER {
        one.on_attempt(A, Delivery::Whole, true, SECOND);
    }
    assert!(one.has_news());
    let record = one.merge(&[]);
    one.on_merged();
    assert!(!one.has_news());
    let record = other.merge(&record);
    assert!(other.observe(A, Delivery::Whole, SECOND).down);
    // Merged twice because the write failed: the same.
    let again = other.merge(&record);
    assert_eq!(again, record);
}

/// The order of merges does not matter for learned times.
#[test]
fn the_order_of_merges_does_not_matter() {
    let answers = |first: f32, token: f32| {
        let mut live = BackendStats::new();
        for n in 0..5_u64 {
            let at = SECOND * (n + 1);
            let expected = expected(Delivery::Streamed);
            let in_flight = live.on_sent(A, at, &expected).unwrap();
            let times = AnswerTimes {
                first_token_ms: Some(50.0 * first),
                last_ms: 50.0 * first + 200.0 * token,
                output_tokens: Some(200),
            };
            live.on_end(
                in_flight,
                &expected,
                AttemptOutcome::Answered(times),
                at + SECOND,
            );
        }
        live
    };
    let (mut one, mut other) = (answers(1.0, 4.0), answers(1.2, 1.0));
    let forth = other.merge(&one.merge(&[]));
    let (mut one, mut other) = (answers(1.0, 4.0), answers(1.2, 1.0));
    let back = one.merge(&other.merge(&[]));
    let sketches = 1 + 4 + 4 * super::sketch::BUCKETS;
    assert_eq!(forth[..sketches], back[..sketches]);
}

#[test]
fn two_workers_learn_the_length_of_answers_together() {
    let expected = Expected {
        length: Some(ExpectedLength {
            task: Task::Code,
            tokens: 100.0,
            most_tokens: 10_000,
        }),
        ..expected(Delivery::Whole)
    };
    let answers = |live: &mut BackendStats, tokens: u64| {
        for n in 0..25_u64 {
            let in_flight = live.on_sent(A, SECOND * n, &expected).unwrap();
            let times = AnswerTimes {
                first_token_ms: None,
                last_ms: 200.0,
                output_tokens: Some(tokens),
            };
            let outcome = AttemptOutcome::Answered(times);
            live.on_end(in_flight, &expected, outcome, SECOND * n + 1);
        }
    };
    let (mut one, mut other) = (BackendStats::new(), BackendStats::new());
    answers(&mut one, 300);
    answers(&mut other, 300);
    let record = one.merge(&[]);
    let record = other.merge(&record);
    one.on_merged();
    one.merge(&record);
    for live in [&mut one, &mut other] {
        let observed = live.observe(A, Delivery::Whole, 0);
        assert!(
            (2.8..=3.0).contains(&observed.length_ratio(Task::Code)),
            "{observed:?}"
        );
        assert_eq!(observed.length_ratio(Task::Math), 1.0);
        // A backend of which nothing is known is as the others.
        let view = live.observe_for_decision([B].into_iter(), Delivery::Whole, false, 0);
        assert!(view[0].length_ratio(Task::Code) > 2.5);
    }
}

#[test]
fn everything_is_bounded() {
    let mut live = BackendStats::new();
    let expected = expected(Delivery::Streamed);
    for request in 0..20_000_u64 {
        let key = (request % 1_500) as u32;
        let in_flight = live.on_sent(key, request, &expected);
        if let Some(in_flight) = in_flight
            && request % 3 == 0
        {
            live.on_end(in_flight, &expected, AttemptOutcome::Failed, request);
        }
    }
    assert_eq!(live.backends.len(), MAX_BACKENDS);
    for backend in live.backends.values() {
        assert!(backend.followed() <= MAX_FOLLOWED && backend.pending.len() <= MAX_PENDING);
    }
    let record = live.merge(&[]);
    assert_eq!(record.len(), LAYOUT.record_bytes(MAX_BACKENDS));
    assert!(record.len() < 400_000, "{}", record.len());
}

#[test]
fn damaged_records_are_refused() {
    let mut live = BackendStats::new();
    live.on_attempt(A, Delivery::Whole, true, 0);
    let record = live.merge(&[]);
    assert_eq!(decode(&record).len(), 1);
    for end in 0..record.len() {
        assert!(decode(&record[..end]).is_empty());
    }
    let _ = decode(&vec![0xff; LAYOUT.record_bytes(3)]);
}
