//! Keeps a fault that every request meets from filling the log: one line a second, with the number of lines left out.

/// Nanoseconds between two lines.
const BETWEEN_NS: u64 = 1_000_000_000;

/// Decides which lines are written. One per worker.
#[derive(Debug, Default)]
pub struct LogRateLimiter {
    last_ns: Option<u64>,
    left_out: u64,
}

impl LogRateLimiter {
    /// A limiter before its first line.
    pub const fn new() -> LogRateLimiter {
        LogRateLimiter {
            last_ns: None,
            left_out: 0,
        }
    }

    /// Whether a line is written at `now_ns`; if so, how many were left out since the last one.
    pub fn admit(&mut self, now_ns: u64) -> Option<u64> {
        let too_soon = self
            .last_ns
            .is_some_and(|last| now_ns.saturating_sub(last) < BETWEEN_NS && now_ns >= last);
        if too_soon {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.last_ns = Some(now_ns);
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_and_none_is_forgotten() {
        let mut pace = LogRateLimiter::new();
        assert_eq!(pace.admit(5), Some(0));
        for now in 6..106 {
            assert_eq!(pace.admit(now), None);
        }
        assert_eq!(pace.admit(5 + BETWEEN_NS), Some(100));
        assert_eq!(pace.admit(6 + BETWEEN_NS), None);
        // A clock that goes back silences nothing.
        assert_eq!(pace.admit(3), Some(1));
    }
}
