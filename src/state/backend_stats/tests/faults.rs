//! Silence, faults of one kind of request, and how few users meet a fault that lasts.

use super::*;

const HANG: Fate = Fate::Hang { leaves_s: 600 };

/// Requests until the backend loses its traffic, `per_second` at a time.
fn lost_to_silence(
    workers: usize,
    per_second: f64,
    delivery: Delivery,
    fate: Fate,
) -> (usize, u64) {
    let mut world = World::new(workers);
    // As many answers before as a quarter of a minute has, so that nothing is new.
    world.run(40, 4.0, delivery, |_| WELL);
    world.pass(5 * SECOND);
    let start = world.now;
    for _ in 0..40_000 {
        world.run(1, per_second, delivery, |_| fate);
        if world.chosen.last().unwrap().0 == B {
            let lost = world.faults(world.chosen.len());
            return (lost, (world.now - start) / SECOND);
        }
    }
    panic!("never down at {per_second} a second");
}

#[test]
fn a_backend_that_never_answers_is_down_within_seconds_at_any_rate() {
    for delivery in BOTH {
        for workers in [1, 4] {
            for (per_second, most_s) in [(0.1, 90), (1.0, 30), (100.0, 12)] {
                let (lost, after_s) = lost_to_silence(workers, per_second, delivery, HANG);
                assert!(
                    after_s <= most_s,
                    "{delivery:?}, {workers} workers, {per_second}/s: {lost} lost in {after_s} s"
                );
            }
        }
    }
}

/// Clients that give up before their requests count as silent are reported too.
#[test]
fn who_leaves_after_a_long_silence_counts_as_a_failure() {
    let leaves = Fate::Hang { leaves_s: 30 };
    for delivery in BOTH {
        let (_, after_s) = lost_to_silence(1, 0.02, delivery, leaves);
        assert!(after_s <= 200, "{after_s}");
    }
}

#[test]
fn a_backend_that_was_dead_from_the_start_is_down_too() {
    for delivery in BOTH {
        let mut world = World::new(2);
        world.run(180, 1.0, delivery, |_| HANG);
        assert!(world.share(60) < 0.05, "{delivery:?} {}", world.share(60));
    }
}

#[test]
fn silence_does_not_revive_and_does_not_reset_failures() {
    let mut world = World::new(1);
    let streamed = Delivery::Streamed;
    world.run(10, 1.0, streamed, |_| Fate::Fail);
    assert!(world.workers[0].observe(A, streamed, world.now).down);
    world.run(600, 1.0, streamed, |_| HANG);
    assert!(world.workers[0].observe(A, streamed, world.now).down);
    // Failures and silence in turn add up.
    let mut world = World::new(1);
    for n in 0..12 {
        let fate = if n % 2 == 0 { Fate::Fail } else { HANG };
        world.run(1, 0.5, streamed, |_| fate);
    }
    assert!(world.workers[0].observe(A, streamed, world.now).down);
}

#[test]
fn a_backend_that_is_only_slow_to_begin_is_not_dead() {
    // First tokens after 2 s where 50 ms are stated; and answers in one piece that take a minute.
    let mut world = World::new(1);
    for _ in 0..300 {
        world.run(1, 1.0, Delivery::Streamed, |_| Fate::Answer {
            first: 40.0,
            token: 1.0,
        });
        assert!(
            !world.workers[0]
                .observe(A, Delivery::Streamed, world.now)
                .down
        );
    }
    let mut world = World::new(1);
    for _ in 0..300 {
        world.pass(SECOND);
        world.ask(Delivery::Whole, 60_000, &|_| WELL);
        assert!(!world.workers[0].observe(A, Delivery::Whole, world.now).down);
        assert_eq!(world.chosen.last().unwrap().0, A);
    }
}

/// One kind fails where the other works: the one leaves, the other stays.
#[test]
fn kinds_of_requests_fail_apart() {
    for broken in BOTH {
        for fault in [Fate::Fail, Fate::Break, HANG] {
            let mut world = World::new(2);
            let fate = |delivery: Delivery| if delivery == broken { fault } else { WELL };
            for delivery in BOTH {
                world.run(30, 4.0, delivery, |_| WELL);
            }
            let mut stayed = 0;
            for n in 0..600 {
                for delivery in BOTH {
                    world.run(1, 8.0, delivery, fate);
                    stayed +=
                        usize::from(delivery != broken && world.chosen.last().unwrap().0 == A);
                }
                if n == 200 {
                    stayed = 0;
                }
            }
            let faults = world.faults(600);
            assert!(faults <= 9, "{broken:?} {fault:?} {faults}");
            assert!(stayed > 380, "{broken:?} {fault:?} {stayed}");
            // And it comes back by itself.
            for _ in 0..600 {
                for delivery in BOTH {
                    world.run(1, 8.0, delivery, |_| WELL);
                }
            }
            assert!(
                world.share(200) > 0.95,
                "{broken:?} {fault:?} {}",
                world.share(200)
            );
        }
    }
}

/// A dead backend is dead for all: who was not asked for a while takes the other's word.
#[test]
fn a_kind_without_recent_answers_follows_the_other() {
    let mut world = World::new(1);
    world.run(20, 1.0, Delivery::Whole, |_| WELL);
    world.pass(600 * SECOND);
    world.run(20, 1.0, Delivery::Streamed, |_| Fate::Fail);
    assert!(world.workers[0].observe(A, Delivery::Whole, world.now).down);
    // Once it has answered, it goes by its own.
    world.workers[0].on_attempt(A, Delivery::Whole, false, world.now);
    assert!(!world.workers[0].observe(A, Delivery::Whole, world.now).down);
    assert!(world.workers[0].is_down(A));
}

/// Requests that meet a lasting fault: the first ones, then fewer and fewer.
#[test]
fn few_meet_a_fault_that_lasts() {
    for fault in [Fate::Fail, Fate::Break, Fate::Hang { leaves_s: 60 }] {
        for (workers, per_second) in [(1, 1.0), (1, 20.0), (4, 20.0), (2, 200.0)] {
            let mut world = World::new(workers);
            world.run(200, per_second, Delivery::Streamed, |_| WELL);
            let count = 6_000;
            world.run(count, per_second, Delivery::Streamed, |_| fault);
            let later = world.faults(count / 2);
            let share = later as f64 / (count / 2) as f64;
            assert!(share < 0.01, "{fault:?} {workers} {per_second}: {share}");
        }
    }
}

#[test]
fn who_cannot_go_elsewhere_tries_nobody() {
    let mut live = BackendStats::new();
    for _ in 0..DOWN_AFTER {
        live.on_attempt(A, Delivery::Whole, true, SECOND);
    }
    let mut tried = |may_probe: bool, from: u64| {
        (0..500).any(|n| {
            let at = SECOND * (from + n);
            !live.observe_for_decision([A].into_iter(), Delivery::Whole, may_probe, at)[0].down
        })
    };
    assert!(!tried(false, 10));
    assert!(tried(true, 1000));
}

/// Clients that leave late tell of a time that is over: a backend that is well again stays so.
#[test]
fn what_was_silent_before_does_not_take_it_down_once_it_is_well_again() {
    for delivery in BOTH {
        let mut world = World::new(2);
        world.run(200, 100.0, delivery, |_| WELL);
        world.run(3_000, 100.0, delivery, |_| Fate::Hang { leaves_s: 120 });
        world.run(6_000, 100.0, delivery, |_| WELL);
        assert!(
            world.share(2_000) > 0.98,
            "{} {delivery:?}",
            world.share(2_000)
        );
        world.run(6_000, 100.0, delivery, |_| WELL);
        assert!(
            world.share(6_000) > 0.98,
            "{} {delivery:?}",
            world.share(6_000)
        );
    }
}
