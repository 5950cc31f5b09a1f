//! What was spent of each budget in its present window, and what requests under way hold of it, by this worker and, as far as
//! it was told, by all. Bounded.
//!
//! A worker adds what it spends to a record that all of them share, states there what its requests hold, and takes from there
//! what the others have spent and hold, once a tick; in between it counts its own alone. So it knows what another has spent
//! within two ticks. What a worker holds is a statement with a time: of one that fails it is forgotten after
//! [`HOLD_SECONDS`], because nobody is left to take it back. The record is bytes here: who keeps it is the host's business.

use super::codec::{Layout, Reader};
use super::sorted_map::SortedMap;

/// The most accounts (a budget and a tenant) that are kept; of more the one with the least in it is forgotten.
pub const MAX_ACCOUNTS: usize = 4096;

/// For how long a worker is believed to hold what it stated last, in seconds; a living one states it every second.
pub const HOLD_SECONDS: u64 = 10;

/// An entry: key, end of its window, USD, worker, when it was stated. What is spent has no worker.
const LAYOUT: Layout = Layout::new(0x21, 5 * 8, 2 * MAX_ACCOUNTS);

/// What a decision has put on the accounts; kept until its true cost is known.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Charge {
    /// Where it was put.
    pub postings: Vec<Posting>,
    /// What the request is expected to cost, in USD.
    pub usd: f64,
}

/// One of the accounts of a charge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Posting {
    /// The account: a hash of budget and tenant.
    pub key: u64,
    /// When its window ends, in seconds since 1970.
    pub end: u64,
    /// Where the budget stands in the policy.
    pub budget: usize,
    /// Where the tenant stands in the budget's list; `None` where it limits everybody.
    pub tenant: Option<usize>,
    /// What the request holds of it while it is under way, in USD.
    pub held: f64,
}

/// The accounts of a worker.
#[derive(Debug, Default)]
pub struct Spending {
    accounts: SortedMap<u64, Account>,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Account {
    /// When its window ends, in seconds since 1970.
    end: u64,
    /// What all workers are known to have spent, in USD.
    known: f64,
    /// What this worker has spent and not told yet.
    untold: f64,
    /// What requests of this worker hold, in USD.
    held: f64,
    /// How many they are.
    holders: u32,
    /// What requests of other workers are known to hold, in USD.
    held_by_others: f64,
}

impl Account {
    fn sum(&self) -> f64 {
        (self.known + self.untold).max(0.0) + self.held + self.held_by_others
    }
}

/// An entry of a record.
#[derive(Debug, Clone, Copy)]
struct Entry {
    key: u64,
    end: u64,
    usd: f64,
    /// Who holds it; 0 where it is spent.
    worker: u64,
    stated_at: u64,
}

/// When the window of so many seconds that `now` is in ends; all in seconds since 1970.
pub fn end_of_window(now: u64, seconds: u64) -> u64 {
    let seconds = seconds.max(1);
    (now / seconds).saturating_add(1).saturating_mul(seconds)
}

impl Spending {
    /// What was spent on an account and is held of it in the window that ends at `end`, in USD.
    pub fn spent(&self, key: u64, end: u64) -> f64 {
        let account = self.accounts.get(key);
        account.map_or(0.0, |one| if one.end == end { one.sum() } else { 0.0 })
    }

    /// A request of this charge is under way: it holds its part of each account.
    pub fn charge(&mut self, charge: &Charge) {
        for to in &charge.postings {
            self.put(to.key, to.end, |account| {
                account.held += to.held;
                account.holders = account.holders.saturating_add(1);
            });
        }
    }

    /// A request of this charge has ended, and did cost so much, in USD: what it held is free, and that is spent. What belongs
    /// to a window that is over changes nothing.
    pub fn credit(&mut self, charge: &Charge, actual_usd: f64) {
        let actual_usd = if actual_usd.is_finite() {
            actual_usd.max(0.0)
        } else {
            charge.usd
        };
        for to in &charge.postings {
            self.put(to.key, to.end, |account| {
                account.holders = account.holders.saturating_sub(1);
                account.held = match account.holders {
                    // What rounding left is nobody's.
                    0 => 0.0,
                    _ => (account.held - to.held).max(0.0),
                };
                account.untold += actual_usd;
            });
        }
    }

    /// Whether there is anything to tell or to be told.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// The record that all share, with what this `worker`, a number of its own from 1, has not told yet and what it holds;
    /// `now` in seconds since 1970. Nothing changes here before [`Spending::told`] says that the record was taken.
    pub fn tell(&self, record: &[u8], now: u64, worker: u64) -> Vec<u8> {
        let mut all = Spending::default();
        let mut holds = Vec::new();
        for entry in entries(record, now) {
            match entry.worker {
                0 => all.put(entry.key, entry.end, |account| account.known += entry.usd),
                _ if entry.worker != worker => holds.push(entry),
                _ => {}
            }
        }
        for (key, account) in self.accounts.iter().filter(|(_, one)| one.end > now) {
            if account.untold != 0.0 {
                all.put(key, account.end, |other| other.known += account.untold);
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
        holds.sort_unstable_by(|left, right| right.usd.total_cmp(&left.usd));
        holds.truncate(MAX_ACCOUNTS);
        holds.sort_unstable_by_key(|one| (one.key, one.worker));
        let spent = all.accounts.iter().map(|(key, account)| Entry {
            key,
            end: account.end,
            usd: account.known,
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

    /// Takes over a record, which holds what this worker had to tell.
    pub fn told(&mut self, record: &[u8], now: u64, worker: u64) {
        let mut all = Spending::default();
        for entry in entries(record, now) {
            all.put(entry.key, entry.end, |account| match entry.worker {
                0 => account.known += entry.usd,
                _ if entry.worker != worker => account.held_by_others += entry.usd,
                _ => {}
            });
        }
        for (key, own) in self.accounts.iter().filter(|(_, one)| one.holders > 0) {
            all.put(key, own.end, |account| {
                account.held = own.held;
                account.holders = own.holders;
            });
        }
        *self = all;
    }

    /// Changes an account, which is made where there is none. A later window takes the place of an earlier one; for one that
    /// is over nothing is done.
    fn put(&mut self, key: u64, end: u64, change: impl FnOnce(&mut Account)) {
        let fresh = Account {
            end,
            ..Account::default()
        };
        // One more than may stay: which is forgotten is known only when it has its sum.
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

/// The entries of a record that hold at `now`; what is no entry is passed over.
fn entries(record: &[u8], now: u64) -> impl Iterator<Item = Entry> {
    LAYOUT.entries(record).filter_map(read).filter(move |one| {
        let stands = one.worker == 0 || now.saturating_sub(one.stated_at) < HOLD_SECONDS;
        one.end > now && stands
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
    fn spend(own: &mut Spending, charge: &Charge) {
        own.charge(charge);
        own.credit(charge, charge.usd);
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
        own.charge(&estimated);
        own.credit(&estimated, 0.25);
        assert_eq!(own.spent(1, 60), 2.25);
        own.credit(&estimated, 0.0);
        assert_eq!(own.spent(1, 60), 0.25);
        own.charge(&estimated);
        own.credit(&estimated, f64::NAN);
        assert_eq!(own.spent(1, 60), 2.25);
    }

    /// What a request holds of an account is not what it is expected to cost, and nothing of it stays.
    #[test]
    fn what_is_held_is_free_again_however_a_request_ends() {
        let mut own = Spending::default();
        let mut giant = charge(1, 60, 10_000_000.0);
        if let Some(posting) = giant.postings.first_mut() {
            posting.held = 5.0;
        }
        for _ in 0..3 {
            own.charge(&giant);
        }
        assert_eq!(own.spent(1, 60), 15.0);
        for _ in 0..3 {
            own.credit(&giant, 0.0);
        }
        assert_eq!(own.spent(1, 60), 0.0);
    }

    #[test]
    fn others_know_what_is_held_until_its_worker_is_gone() {
        let (mut one, mut other) = (Spending::default(), Spending::default());
        one.charge(&charge(1, 600, 3.0));
        let record = one.tell(&[], 100, 1);
        one.told(&record, 100, 1);
        let record = other.tell(&record, 100, 2);
        other.told(&record, 100, 2);
        assert_eq!((one.spent(1, 600), other.spent(1, 600)), (3.0, 3.0));
        // The first worker fails: its successor has another number, and nobody states the hold again.
        let record = other.tell(&record, 100 + HOLD_SECONDS - 1, 2);
        other.told(&record, 100 + HOLD_SECONDS - 1, 2);
        assert_eq!(other.spent(1, 600), 3.0);
        let record = other.tell(&record, 100 + HOLD_SECONDS, 2);
        other.told(&record, 100 + HOLD_SECONDS, 2);
        assert_eq!((other.spent(1, 600), record.len()), (0.0, 0));
        // While it lives it is believed for as long as the request takes, and what it did cost is known to all.
        for now in 100..140 {
            let record = one.tell(&[], now, 1);
            one.told(&record, now, 1);
            other.told(&record, now, 2);
            assert_eq!(other.spent(1, 600), 3.0);
        }
        one.credit(&charge(1, 600, 3.0), 0.5);
        let record = one.tell(&[], 140, 1);
        one.told(&record, 140, 1);
        other.told(&record, 140, 2);
        assert_eq!((one.spent(1, 600), other.spent(1, 600)), (0.5, 0.5));
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
                        spend(worker, &charge(1, 60, 1.0));
                        total += 1.0;
                    }
                }
            }
            for (worker, number) in workers.iter_mut().zip(1..) {
                record = worker.tell(&record, 0, number);
                worker.told(&record, 0, number);
            }
        }
        assert!(total >= BUDGET, "{total}");
        // Told one after the other, a worker may hear of the others a tick later.
        assert!(
            total <= BUDGET + 2.0 * 3.0 * f64::from(PER_TICK) + 1.0,
            "{total}"
        );
        for (worker, number) in workers.iter_mut().zip(1..) {
            worker.told(&record, 0, number);
            assert_eq!(worker.spent(1, 60), total);
        }
        assert_eq!(
            workers.first().map(|one| one.tell(&record, 60, 1)),
            Some(Vec::new())
        );
    }

    #[test]
    fn a_record_that_was_not_taken_is_told_again() {
        let mut own = Spending::default();
        spend(&mut own, &charge(1, 60, 1.0));
        let lost = own.tell(&[], 0, 1);
        assert_eq!(own.tell(&[], 0, 1), lost);
        own.told(&lost, 0, 1);
        assert_eq!(own.tell(&lost, 0, 1), lost);
        assert_eq!(own.spent(1, 60), 1.0);
    }

    #[test]
    fn no_bytes_panic_and_accounts_are_bounded() {
        let mut own = Spending::default();
        for length in 0..100 {
            own.told(&vec![0xff; length], 0, 1);
            own.tell(&vec![7; length], 0, 1);
        }
        own = Spending::default();
        for key in 0..2 * MAX_ACCOUNTS as u64 {
            own.charge(&charge(key, 60, 1.0 + key as f64));
        }
        assert_eq!(own.accounts.len(), MAX_ACCOUNTS);
        assert_eq!(
            own.spent(2 * MAX_ACCOUNTS as u64 - 1, 60),
            2.0 * MAX_ACCOUNTS as f64
        );
        assert_eq!(own.tell(&[], 0, 1).len(), LAYOUT.record_bytes(MAX_ACCOUNTS));
    }
}
