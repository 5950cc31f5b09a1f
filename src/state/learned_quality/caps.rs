//! Bounds on what one tenant, and one hour, can move. Each worker keeps its own.

use crate::policy::learning::Learning;

/// The most tenants that are counted one by one; the others share one count.
const MAX_TENANTS: usize = 256;
const HOUR_S: u64 = 3600;

/// Outcomes of the current hour.
#[derive(Debug, Default)]
pub(super) struct Caps {
    hour: u64,
    total: u32,
    tenants: Vec<(u64, u32)>,
    others: u32,
}

impl Caps {
    /// Whether one more outcome of `tenant` counts. A clock that jumps back begins a new hour, like one that goes on.
    pub(super) fn admit(&mut self, learning: &Learning, tenant: u64, now_s: u64) -> bool {
        let hour = now_s / HOUR_S;
        if hour != self.hour {
            *self = Caps {
                hour,
                ..Caps::default()
            };
        }
        let within = |count: u32, most: u32| most == 0 || count < most;
        if !within(self.total, learning.max_per_hour) {
            return false;
        }
        let place = self.tenants.iter().position(|(own, _)| *own == tenant);
        if place.is_none() && self.tenants.len() < MAX_TENANTS {
            self.tenants.push((tenant, 0));
        }
        let place = place.unwrap_or(self.tenants.len().saturating_sub(1));
        let known = self.tenants.get_mut(place);
        let count = match known.filter(|(own, _)| *own == tenant) {
            Some((_, count)) => count,
            None => &mut self.others,
        };
        if !within(*count, learning.max_per_tenant_hour) {
            return false;
        }
        *count = count.saturating_add(1);
        self.total = self.total.saturating_add(1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learning(max_per_tenant_hour: u32, max_per_hour: u32) -> Learning {
        Learning {
            max_per_tenant_hour,
            max_per_hour,
            ..Learning::default()
        }
    }

    #[test]
    fn a_tenant_and_an_hour_have_their_share() {
        let mut caps = Caps::default();
        let learning = learning(3, 8);
        let mut admitted = |tenant: u64, now_s: u64| {
            (0..10)
                .filter(|_| caps.admit(&learning, tenant, now_s))
                .count()
        };
        assert_eq!((admitted(1, 0), admitted(2, 10)), (3, 3));
        assert_eq!((admitted(3, 20), admitted(4, 30)), (2, 0));
        assert_eq!((admitted(1, 3599), admitted(1, 3600)), (0, 3));
        assert_eq!(admitted(1, 10), 3, "the clock has jumped back");
    }

    #[test]
    fn nothing_is_a_bound_of_0_and_tenants_without_number_share_one() {
        let mut caps = Caps::default();
        assert!((0..5000).all(|tenant| caps.admit(&learning(0, 0), tenant, 0)));
        let mut caps = Caps::default();
        let mut admitted = |tenants: std::ops::Range<u64>| {
            tenants
                .filter(|tenant| caps.admit(&learning(5, 0), *tenant, 0))
                .count()
        };
        assert_eq!((admitted(0..256), admitted(256..5000)), (256, 5));
    }
}
