//! What was spent of each budget in its present window, by this worker and, as far as it was told, by all. Bounded.
//!
//! A worker adds what it spends to a record that all of them share, and takes from there what the others have spent, once a
//! tick; in between it counts its own alone. So it knows what another has spent within two ticks, and what is spent beyond a
//! budget is at most what the other workers spend in two ticks, and the last request of each. The record is bytes here: who
//! keeps it is the host's business.

/// The most accounts (a budget and a tenant) that are kept; of more the one with the least in it is forgotten.
pub const MAX_ACCOUNTS: usize = 4096;

/// Bytes of an account in a record: key, end of its window, USD.
const ENTRY: usize = 24;

/// What a decision has put on the accounts; kept until its true cost is known.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Charge {
    /// Where it was put.
    pub postings: Vec<Posting>,
    /// What was put on each account, in USD.
    pub usd: f64,
}

/// One of the accounts of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posting {
    /// The account: a hash of budget and tenant.
    pub key: u64,
    /// When its window ends, in seconds since 1970.
    pub end: u64,
    /// Where the budget stands in the policy.
    pub budget: usize,
    /// Where the tenant stands in the budget's list; `None` where it limits everybody.
    pub tenant: Option<usize>,
}

/// The accounts of a worker.
#[derive(Debug, Default)]
pub struct Spending {
    /// Sorted by key.
    accounts: Vec<Account>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Account {
    key: u64,
    /// When its window ends, in seconds since 1970.
    end: u64,
    /// What all workers are known to have spent, in USD.
    known: f64,
    /// What this worker has spent and not told yet; negative where a charge was too high.
    untold: f64,
}

/// When the window of so many seconds that `now` is in ends; all in seconds since 1970.
pub fn end_of_window(now: u64, seconds: u64) -> u64 {
    let seconds = seconds.max(1);
    (now / seconds).saturating_add(1).saturating_mul(seconds)
}

impl Spending {
    /// What was spent on an account in the window that ends at `end`, in USD.
    pub fn spent(&self, key: u64, end: u64) -> f64 {
        match self
            .find(key)
            .ok()
            .and_then(|index| self.accounts.get(index))
        {
            Some(account) if account.end == end => (account.known + account.untold).max(0.0),
            _ => 0.0,
        }
    }

    /// Puts a charge on its accounts.
    pub fn charge(&mut self, charge: &Charge) {
        self.add(charge, charge.usd);
    }

    /// Corrects a charge by what its request did cost, in USD. What belongs to a window that is over changes nothing.
    pub fn credit(&mut self, charge: &Charge, actual_usd: f64) {
        if actual_usd.is_finite() {
            self.add(charge, actual_usd - charge.usd);
        }
    }

    /// Whether there is anything to tell or to be told.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// The record that all share, with what this worker has not told yet; `now` in seconds since 1970. Nothing changes here
    /// before [`Spending::told`] says that the record was taken.
    pub fn tell(&self, record: &[u8], now: u64) -> Vec<u8> {
        let mut all = Spending::read(record, now);
        for account in self.accounts.iter().filter(|one| one.end > now) {
            if account.untold != 0.0 {
                all.put(account.key, account.end, |other| {
                    other.known += account.untold
                });
            }
        }
        let mut bytes = Vec::with_capacity(all.accounts.len() * ENTRY);
        for account in &all.accounts {
            bytes.extend_from_slice(&account.key.to_le_bytes());
            bytes.extend_from_slice(&account.end.to_le_bytes());
            bytes.extend_from_slice(&account.known.to_le_bytes());
        }
        bytes
    }

    /// Takes over a record, which holds what this worker had to tell.
    pub fn told(&mut self, record: &[u8], now: u64) {
        *self = Spending::read(record, now);
    }

    fn read(record: &[u8], now: u64) -> Spending {
        let mut all = Spending::default();
        let (entries, _) = record.as_chunks::<ENTRY>();
        for entry in entries {
            let [key, end, usd] = [0, 8, 16].map(|at| {
                let bytes = entry
                    .get(at..at + 8)
                    .and_then(|part| part.first_chunk::<8>());
                bytes.copied().unwrap_or_default()
            });
            let (key, end) = (u64::from_le_bytes(key), u64::from_le_bytes(end));
            let usd = f64::from_le_bytes(usd);
            if end > now && usd.is_finite() {
                all.put(key, end, |account| account.known += usd);
            }
        }
        all
    }

    fn add(&mut self, charge: &Charge, usd: f64) {
        for to in &charge.postings {
            self.put(to.key, to.end, |account| account.untold += usd);
        }
    }

    /// Changes an account, which is made where there is none. A later window takes the place of an earlier one; for one that
    /// is over nothing is done.
    fn put(&mut self, key: u64, end: u64, change: impl FnOnce(&mut Account)) {
        let fresh = Account {
            key,
            end,
            known: 0.0,
            untold: 0.0,
        };
        let index = match self.find(key) {
            Ok(index) => index,
            Err(index) => {
                self.accounts.insert(index, fresh);
                index
            }
        };
        if let Some(account) = self.accounts.get_mut(index) {
            if account.end < end {
                *account = fresh;
            }
            if account.end == end {
                change(account);
            }
        }
        if self.accounts.len() > MAX_ACCOUNTS {
            self.forget_least();
        }
    }

    fn forget_least(&mut self) {
        let spent = |one: &Account| one.known + one.untold;
        let least = self
            .accounts
            .iter()
            .enumerate()
            .min_by(|(_, left), (_, right)| spent(left).total_cmp(&spent(right)));
        if let Some((index, _)) = least {
            self.accounts.remove(index);
        }
    }

    fn find(&self, key: u64) -> Result<usize, usize> {
        self.accounts.binary_search_by(|one| one.key.cmp(&key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charge(key: u64, end: u64, usd: f64) -> Charge {
        Charge {
            postings: vec![Posting {
                key,
                end,
                budget: 0,
                tenant: None,
            }],
            usd,
        }
    }

    #[test]
    fn windows_begin_at_multiples_of_their_length() {
        assert_eq!(end_of_window(0, 60), 60);
        assert_eq!(end_of_window(59, 60), 60);
        assert_eq!(end_of_window(60, 60), 120);
        assert_eq!(end_of_window(u64::MAX, 0), u64::MAX);
    }

    #[test]
    fn a_new_window_is_empty_and_an_old_charge_does_not_count_in_it() {
        let mut own = Spending::default();
        let first = charge(1, 60, 2.0);
        own.charge(&first);
        assert_eq!(own.spent(1, 60), 2.0);
        assert_eq!(own.spent(1, 120), 0.0);
        own.charge(&charge(1, 120, 0.5));
        own.credit(&first, 9.0);
        assert_eq!((own.spent(1, 60), own.spent(1, 120)), (0.0, 0.5));
    }

    #[test]
    fn a_charge_is_corrected_by_the_true_cost() {
        let mut own = Spending::default();
        let estimated = charge(1, 60, 2.0);
        own.charge(&estimated);
        own.credit(&estimated, 0.25);
        assert_eq!(own.spent(1, 60), 0.25);
        own.credit(&estimated, f64::NAN);
        assert_eq!(own.spent(1, 60), 0.25);
    }

    /// The bound that is stated: beyond a budget goes what the other workers spend in two ticks, and each one's last request.
    #[test]
    fn all_workers_together_keep_a_budget_within_the_bound() {
        const BUDGET: f64 = 100.0;
        const PER_TICK: u32 = 7;
        let mut workers = [(); 4].map(|()| Spending::default());
        let mut record = Vec::new();
        let mut total = 0.0;
        for _tick in 0..40 {
            for worker in &mut workers {
                for _ in 0..PER_TICK {
                    if worker.spent(1, 60) < BUDGET {
                        worker.charge(&charge(1, 60, 1.0));
                        total += 1.0;
                    }
                }
            }
            for worker in &mut workers {
                record = worker.tell(&record, 0);
                worker.told(&record, 0);
            }
        }
        assert!(total >= BUDGET, "{total}");
        // Told one after the other, a worker may hear of the others a tick later.
        assert!(
            total <= BUDGET + 2.0 * 3.0 * f64::from(PER_TICK) + 1.0,
            "{total}"
        );
        for worker in &mut workers {
            worker.told(&record, 0);
            assert_eq!(worker.spent(1, 60), total);
        }
        assert_eq!(
            workers.first().map(|one| one.tell(&record, 60)),
            Some(Vec::new())
        );
    }

    #[test]
    fn a_record_that_was_not_taken_is_told_again() {
        let mut own = Spending::default();
        own.charge(&charge(1, 60, 1.0));
        let lost = own.tell(&[], 0);
        assert_eq!(own.tell(&[], 0), lost);
        own.told(&lost, 0);
        assert_eq!(own.tell(&lost, 0), lost);
        assert_eq!(own.spent(1, 60), 1.0);
    }

    #[test]
    fn no_bytes_panic_and_accounts_are_bounded() {
        let mut own = Spending::default();
        for length in 0..100 {
            own.told(&vec![0xff; length], 0);
            own.tell(&vec![7; length], 0);
        }
        for key in 0..2 * MAX_ACCOUNTS as u64 {
            own.charge(&charge(key, 60, 1.0 + key as f64));
        }
        assert_eq!(own.accounts.len(), MAX_ACCOUNTS);
        assert_eq!(
            own.spent(2 * MAX_ACCOUNTS as u64 - 1, 60),
            2.0 * MAX_ACCOUNTS as f64
        );
        assert_eq!(own.tell(&[], 0).len(), MAX_ACCOUNTS * ENTRY);
    }
}
