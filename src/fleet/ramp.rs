//! Ramps: a share of the conversations that grows or shrinks between two points in time.
//!
//! Stateless: each conversation has a fixed number from 0 to 1, so it changes sides once, and all proxies of a fleet decide
//! alike. The conversations that a growing share takes first leave a shrinking share first: two ramps over the same time in
//! opposite directions always add up to one.

/// A share over time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ramp {
    /// Start, in seconds since 1970.
    pub start_s: u64,
    /// Duration, in seconds.
    pub duration_s: f64,
    /// The share before, 0 to 1.
    pub from: f64,
    /// The share afterwards, 0 to 1.
    pub to: f64,
}

impl Ramp {
    /// The share at `now_ns`, in nanoseconds since 1970.
    pub fn share(&self, now_ns: u64) -> f64 {
        let passed_s = now_ns as f64 / 1e9 - self.start_s as f64;
        let done = (passed_s / self.duration_s.max(1e-3)).clamp(0.0, 1.0);
        self.from + (self.to - self.from) * done
    }

    /// Whether a conversation is in the share; `draw` is its number, at least 0 and below 1.
    pub fn holds(&self, draw: f64, now_ns: u64) -> bool {
        let share = self.share(now_ns);
        if self.from <= self.to {
            draw < share
        } else {
            1.0 - draw <= share
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;
    const UP: Ramp = Ramp {
        start_s: 1000,
        duration_s: 100.0,
        from: 0.0,
        to: 1.0,
    };
    const DOWN: Ramp = Ramp {
        from: 1.0,
        to: 0.0,
        ..UP
    };

    #[test]
    fn it_runs_from_its_start_to_its_end() {
        for (now, share) in [
            (0, 0.0),
            (1000, 0.0),
            (1025, 0.25),
            (1100, 1.0),
            (9999, 1.0),
        ] {
            assert!((UP.share(now * S) - share).abs() < 1e-9, "{now}");
            assert!((DOWN.share(now * S) - (1.0 - share)).abs() < 1e-9, "{now}");
        }
        let partly = Ramp {
            from: 0.2,
            to: 0.4,
            ..UP
        };
        assert!((partly.share(1050 * S) - 0.3).abs() < 1e-9);
    }

    #[test]
    fn each_conversation_moves_once_and_is_always_on_one_side() {
        for step in 0..1000 {
            let draw = f64::from(step) / 1000.0;
            let mut moves = 0;
            let mut before = false;
            for now in 990..1111 {
                let on = UP.holds(draw, now * S);
                assert_ne!(on, DOWN.holds(draw, now * S), "{draw} at {now}");
                moves += i32::from(on != before);
                before = on;
            }
            assert_eq!((moves, before), (1, true), "{draw}");
        }
    }

    #[test]
    fn as_many_have_moved_as_the_share_says() {
        let count = |ramp: &Ramp, now: u64| {
            let draws = (0..1000).map(|step| f64::from(step) / 1000.0);
            draws.filter(|draw| ramp.holds(*draw, now * S)).count()
        };
        assert_eq!(
            [1000, 1010, 1050, 1100].map(|now| count(&UP, now)),
            [0, 100, 500, 1000]
        );
        assert_eq!(
            [1000, 1010, 1050, 1100].map(|now| count(&DOWN, now)),
            [1000, 900, 500, 0]
        );
    }
}
