//! The accounts of budgets: the cost of each budget's present window, and the amounts that requests in flight hold, in this
//! worker and in all others. Memory is bounded.
//!
//! Once a tick a worker adds its costs to a record that all workers share, states there the amounts that its requests hold, and
//! takes over the amounts of the others; in between it only counts its own. So it knows the costs of another worker within two
//! ticks. A held amount carries the time at which its worker stated it. If the worker fails, nobody takes the amount back, so
//! it expires after [`HOLD_SECONDS`]. The host keeps the record; here it is bytes.

use super::codec::{Layout, Reader};
use super::sorted_map::SortedMap;
use crate::sort;

/// The most accounts (one for a budget and a tenant); beyond it, the account with the least in it is forgotten.
pub const MAX_ACCOUNTS: usize = 4096;

/// A held amount expires so many seconds after its worker stated it; a living worker states it every second.
pub const HOLD_SECONDS: u64 = 10;

/// An entry: key, end of the window, USD, worker, time of the statement. Costs have no worker.
const LAYOUT: Layout = Layout::new(0x21, 5 * 8, 2 * MAX_ACCOUNTS);

/// The amounts that a decision holds of accounts, kept until the true cost is known.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Charge {
    /// The accounts.
    pub postings: Vec<Posting>,
    /// The expected cost of the request, in USD.
    pub usd: f64,
}

/// One of the accounts of a charge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Posting {
    /// The account: a hash of budget and tenant.
    pub key: u64,
    /// When its window ends, in seconds since 1970.
    pub end: u64,
    /// Index of the budget in the policy.
    pub budget: usize,
    /// Index of the tenant in the budget's list; `None` if the budget limits all requests together.
    pub tenant: Option<usize>,
    /// The amount that the request holds while it is in flight, in USD.
    pub held: f64,
}

/// The accounts of one worker.
#[derive(Debug, Default)]
pub struct BudgetAccounts {
    accounts: SortedMap<u64, Account>,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Account {
    /// When its window ends, in seconds since 1970.
    end: u64,
    /// Costs in the shared record, in USD.
    shared_usd: f64,
    /// Costs of this worker that the shared record lacks, in USD.
    unshared_usd: f64,
    /// The amount that requests of this worker hold, in USD.
    held: f64,
    /// The number of these requests.
    holders: u32,
    /// The amount that requests of other workers hold, in USD.
    held_by_others: f64,
}

impl Account {
    fn sum(&self) -> f64 {
        (self.shared_usd + self.unshared_usd).max(0.0) + self.held + self.held_by_others
    }
}

/// An entry of a record.
#[derive(Debug, Clone, Copy)]
struct Entry {
    key: u64,
    end: u64,
    usd: f64,
    /// The worker that holds the amount; 0 for costs.
    worker: u64,
    stated_at: u64,
}

/// The end of the window around `now`, for windows of so many seconds; all in seconds since 1970.
pub fn end_of_window(now: u64, seconds: u64) -> u64 {
    let seconds = seconds.max(1);
    (now / seconds).saturating_add(1).saturating_mul(seconds)
}

impl BudgetAccounts {
    /// Costs and held amounts of an account in the window that ends at `end`, in USD.
    pub fn used_usd(&self, key: u64, end: u64) -> f64 {
        let account = self.accounts.get(key);
        account.map_or(0.0, |account| match account.end == end {
            true => account.sum(),
            false => 0.0,
        })
    }

    /// A request is in flight: it holds its part of each account.
    pub fn hold(&mut self, charge: &Charge) {
        for posting in &charge.postings {
            self.update(posting.key, posting.end, |account| {
                account.held += posting.held;
                account.holders = account.holders.saturating_add(1);
            });
        }
    }

    /// A request has ended: the amounts that it held are free again, and its cost in USD is counted. A window that is over does
    /// not change.
    pub fn settle(&mut self, charge: &Charge, actual_usd: f64) {
        let actual_usd = if actual_usd.is_finite() {
            actual_usd.max(0.0)
        } else {
            charge.usd
        };
        for posting in &charge.postings {
            self.update(posting.key, posting.end, |account| {
                account.holders = account.holders.saturating_sub(1);
                account.held = match account.holders {
                    // Rounding leaves a remainder that nobody holds.
                    0 => 0.0,
                    _ => (account.held - posting.held).max(0.0),
                };
                account.unshared_usd += actual_usd;
            });
        }
    }

    /// Whether there are no accounts.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// Merges this worker's costs and held amounts into the record that all workers share. `worker` is its number, from 1;
    /// `now` is in seconds since 1970. Nothing changes here: call [`BudgetAccounts::adopt`] once the result was written.
    pub fn merge(&self, record: &[u8], now: u64, worker: u64) -> Vec<u8> {
        let mut all = BudgetAccounts::default();
        let mut holds = Vec::new();
        for entry in entries(record, now) {
            match entry.worker {
                0 => all.update(entry.key, entry.end, |account| {
                    account.shared_usd += entry.usd
                }),
                _ if entry.worker != worker => holds.push(entry),
                _ => {}
            }
        }
        for (key, account) in self
            .accounts
            .iter()
            .filter(|(_, account)| account.end > now)
        {
            if account.unshared_usd != 0.0 {
                all.update(key, account.end, |other| {
                    other.shared_usd += account.unshared_usd
                });
            }
            if account.held > 0.0 {
                holds.push(Entry {
                    key,
                    end: account.end,
                    usd: account.held,
                    worker,
                    stated_at: now,
                });
            }
        }
        sort::sort_by(&mut holds, |left, right| right.usd.total_cmp(&left.usd));
        holds.truncate(MAX_ACCOUNTS);
        sort::sort_by_key(&mut holds, |entry| (entry.key, entry.worker));
        let spent = all.accounts.iter().map(|(key, account)| Entry {
            key,
            end: account.end,
            usd: account.shared_usd,
            worker: 0,
            stated_at: 0,
        });
        let mut record = LAYOUT.writer(all.accounts.len() + holds.len());
        for entry in spent.chain(holds) {
            record.u64(entry.key);
            record.u64(entry.end);
            record.f64(entry.usd);
            record.u64(entry.worker);
            record.u64(entry.stated_at);
        }
        record.finish()
    }

    /// Takes over a record that holds this worker's own amounts.
    pub fn adopt(&mut self, record: &[u8], now: u64, worker: u64) {
        let mut all = BudgetAccounts::default();
        for entry in entries(record, now) {
            all.update(entry.key, entry.end, |account| match entry.worker {
                0 => account.shared_usd += entry.usd,
                _ if entry.worker != worker => account.held_by_others += entry.usd,
                _ => {}
            });
        }
        for (key, own) in self
            .accounts
            .iter()
            .filter(|(_, account)| account.holders > 0)
        {
            all.update(key, own.end, |account| {
                account.held = own.held;
                account.holders = own.holders;
            });
        }
        *self = all;
    }

    /// Changes an account, made if there is none. A later window replaces an earlier one; an earlier window is ignored.
    fn update(&mut self, key: u64, end: u64, change: impl FnOnce(&mut Account)) {
        let fresh = Account {
            end,
            ..Account::default()
        };
        // One more than may stay: the one to forget is known only after the change.
        let most = MAX_ACCOUNTS + 1;
        if let Some(account) = self.accounts.get_or_insert_with(key, most, || fresh) {
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
        let accounts = self.accounts.iter();
        let least = accounts.min_by(|(_, left), (_, right)| left.sum().total_cmp(&right.sum()));
        if let Some((key, _)) = least {
            self.accounts.remove(key);
        }
    }
}

/// The entries of a record that are valid at `now`.
fn entries(record: &[u8], now: u64) -> impl Iterator<Item = Entry> {
    LAYOUT
        .entries(record)
        .filter_map(read)
        .filter(move |entry| {
            let is_valid = entry.worker == 0 || now.saturating_sub(entry.stated_at) < HOLD_SECONDS;
            entry.end > now && is_valid
        })
}

fn read(mut entry: Reader<'_>) -> Option<Entry> {
    Some(Entry {
        key: entry.u64()?,
        end: entry.u64()?,
        usd: entry.f64()?,
        worker: entry.u64()?,
        stated_at: entry.u64()?,
    })
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
                held: usd,
            }],
            usd,
        }
    }

    /// A request that costs what it was expected to.
    fn spend(own: &mut BudgetAccounts, charge: &Charge) {
        own.hold(charge);
        own.settle(charge, charge.usd);
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
        let mut own = BudgetAccounts::default();
        let first = charge(1, 60, 2.0);
        own.hold(&first);
        assert_eq!(own.used_usd(1, 60), 2.0);
        assert_eq!(own.used_usd(1, 120), 0.0);
        own.hold(&charge(1, 120, 0.5));
        own.settle(&first, 9.0);
        assert_eq!((own.used_usd(1, 60), own.used_usd(1, 120)), (0.0, 0.5));
    }

    #[test]
    fn a_charge_is_corrected_by_the_true_cost() {
        let mut own = BudgetAccounts::default();
        let estimated = charge(1, 60, 2.0);
        own.hold(&estimated);
        own.hold(&estimated);
        own.settle(&estimated, 0.25);
        assert_eq!(own.used_usd(1, 60), 2.25);
        own.settle(&estimated, 0.0);
        assert_eq!(own.used_usd(1, 60), 0.25);
        own.hold(&estimated);
        own.settle(&estimated, f64::NAN);
        assert_eq!(own.used_usd(1, 60), 2.25);
    }

    /// The held amount may be less than the expected cost, and nothing of it stays.
    #[test]
    fn what_is_held_is_free_again_however_a_request_ends() {
        let mut own = BudgetAccounts::default();
        let mut giant = charge(1, 60, 10_000_000.0);
        if let Some(posting) = giant.postings.first_mut() {
            posting.held = 5.0;
        }
        for _ in 0..3 {
            own.hold(&giant);
        }
        assert_eq!(own.used_usd(1, 60), 15.0);
        for _ in 0..3 {
            own.settle(&giant, 0.0);
        }
        assert_eq!(own.used_usd(1, 60), 0.0);
    }

    #[test]
    fn others_know_what_is_held_until_its_worker_is_gone() {
        let (mut one, mut other) = (BudgetAccounts::default(), BudgetAccounts::default());
        one.hold(&charge(1, 600, 3.0));
        let record = one.merge(&[], 100, 1);
        one.adopt(&record, 100, 1);
        let record = other.merge(&record, 100, 2);
        other.adopt(&record, 100, 2);
        assert_eq!((one.used_usd(1, 600), other.used_usd(1, 600)), (3.0, 3.0));
        // The first worker fails: its successor has another number, and nobody states the hold again.
        let record = other.merge(&record, 100 + HOLD_SECONDS - 1, 2);
        other.adopt(&record, 100 + HOLD_SECONDS - 1, 2);
        assert_eq!(other.used_usd(1, 600), 3.0);
        let record = other.merge(&record, 100 + HOLD_SECONDS, 2);
        other.adopt(&record, 100 + HOLD_SECONDS, 2);
        assert_eq!((other.used_usd(1, 600), record.len()), (0.0, 0));
        // While it lives it is believed for as long as the request takes, and what it did cost is known to all.
        for now in 100..140 {
            let record = one.merge(&[], now, 1);
            one.adopt(&record, now, 1);
            other.adopt(&record, now, 2);
            assert_eq!(other.used_usd(1, 600), 3.0);
        }
        one.settle(&charge(1, 600, 3.0), 0.5);
        let record = one.merge(&[], 140, 1);
        one.adopt(&record, 140, 1);
        other.adopt(&record, 140, 2);
        assert_eq!((one.used_usd(1, 600), other.used_usd(1, 600)), (0.5, 0.5));
    }

    /// The bound that is stated: beyond a budget goes what the other workers spend in two ticks, and each one's last request.
    #[test]
    fn all_workers_together_keep_a_budget_within_the_bound() {
        const BUDGET: f64 = 100.0;
        const PER_TICK: u32 = 7;
        let mut workers = [(); 4].map(|()| BudgetAccounts::default());
        let mut record = Vec::new();
        let mut total = 0.0;
        for _tick in 0..40 {
            for worker in &mut workers {
                for _ in 0..PER_TICK {
                    if worker.used_usd(1, 60) < BUDGET {
                        spend(worker, &charge(1, 60, 1.0));
                        total += 1.0;
                    }
                }
            }
            for (worker, number) in workers.iter_mut().zip(1..) {
                record = worker.merge(&record, 0, number);
                worker.adopt(&record, 0, number);
            }
        }
        assert!(total >= BUDGET, "{total}");
        // Told one after the other, a worker may hear of the others a tick later.
        assert!(
            total <= BUDGET + 2.0 * 3.0 * f64::from(PER_TICK) + 1.0,
            "{total}"
        );
        for (worker, number) in workers.iter_mut().zip(1..) {
            worker.adopt(&record, 0, number);
            assert_eq!(worker.used_usd(1, 60), total);
        }
        assert_eq!(
            workers.first().map(|worker| worker.merge(&record, 60, 1)),
            Some(Vec::new())
        );
    }

    #[test]
    fn a_record_that_was_not_written_is_sent_again() {
        let mut own = BudgetAccounts::default();
        spend(&mut own, &charge(1, 60, 1.0));
        let lost = own.merge(&[], 0, 1);
        assert_eq!(own.merge(&[], 0, 1), lost);
        own.adopt(&lost, 0, 1);
        assert_eq!(own.merge(&lost, 0, 1), lost);
        assert_eq!(own.used_usd(1, 60), 1.0);
    }

    #[test]
    fn no_bytes_panic_and_accounts_are_bounded() {
        let mut own = BudgetAccounts::default();
        for length in 0..100 {
            own.adopt(&vec![0xff; length], 0, 1);
            own.merge(&vec![7; length], 0, 1);
        }
        own = BudgetAccounts::default();
        for key in 0..2 * MAX_ACCOUNTS as u64 {
            own.hold(&charge(key, 60, 1.0 + key as f64));
        }
        assert_eq!(own.accounts.len(), MAX_ACCOUNTS);
        assert_eq!(
            own.used_usd(2 * MAX_ACCOUNTS as u64 - 1, 60),
            2.0 * MAX_ACCOUNTS as f64
        );
        assert_eq!(
            own.merge(&[], 0, 1).len(),
            LAYOUT.record_bytes(MAX_ACCOUNTS)
        );
    }
}
