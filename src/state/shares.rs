//! How often each model was chosen lately: what `max_share` and `min_share` are held against. One per worker.
//!
//! No worker asks another: what all of them choose together is a mean of what each one chooses, so that a share which each
//! of them keeps is kept by all. INVARIANT: of a worker's last decisions (512 to 1024 count, older ones less and less) a model
//! with `max_share` s has at most s of them and one more, as long as another model could take the request.

use crate::fleet::ModelId;

/// The counts are halved when there are so many.
const MOST: f64 = 1024.0;

/// The most policies that are counted for; of more the one that was looked at longest ago is forgotten.
const POLICIES: usize = 8;

/// What was chosen under some policies.
#[derive(Debug, Default)]
pub struct Shares {
    counts: Vec<Counts>,
}

#[derive(Debug)]
struct Counts {
    policy: u64,
    total: f64,
    models: Vec<f64>,
}

impl Shares {
    /// Whether `model` has had as much as `most` (0 to 1) of the decisions under `policy`.
    pub fn is_exhausted(&self, policy: u64, model: ModelId, most: f64) -> bool {
        let (count, total) = self.count(policy, model);
        most < 1.0 && count >= most * (total + 1.0)
    }

    /// By how many decisions `model` is behind `least` (0 to 1) of them; 0 or less where it is not.
    pub fn deficit(&self, policy: u64, model: ModelId, least: f64) -> f64 {
        let (count, total) = self.count(policy, model);
        least * (total + 1.0) - count
    }

    /// Counts a decision.
    pub fn add(&mut self, policy: u64, model: ModelId) {
        let place = self.counts.iter().position(|one| one.policy == policy);
        let mut counts = match place {
            Some(index) => self.counts.remove(index),
            None => Counts {
                policy,
                total: 0.0,
                models: Vec::new(),
            },
        };
        let index = model.0 as usize;
        if counts.models.len() <= index {
            counts.models.resize(index + 1, 0.0);
        }
        if let Some(count) = counts.models.get_mut(index) {
            *count += 1.0;
        }
        counts.total += 1.0;
        if counts.total >= MOST {
            counts.total /= 2.0;
            counts.models.iter_mut().for_each(|count| *count /= 2.0);
        }
        self.counts.truncate(POLICIES - 1);
        self.counts.insert(0, counts);
    }

    fn count(&self, policy: u64, model: ModelId) -> (f64, f64) {
        let counts = self.counts.iter().find(|one| one.policy == policy);
        counts.map_or((0.0, 0.0), |counts| {
            let count = counts.models.get(model.0 as usize).copied();
            (count.unwrap_or_default(), counts.total)
        })
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_kept_by_each_worker_and_so_by_all() {
        let mut workers = [Shares::default(), Shares::default(), Shares::default()];
        let mut chosen = [0_u32; 2];
        for turn in 0..9000 {
            // Some workers get more than others.
            let worker = &mut workers[[0, 0, 0, 1, 1, 2][turn % 6]];
            let model = u32::from(worker.is_exhausted(1, ModelId(0), 0.3));
            worker.add(1, ModelId(model));
            chosen[model as usize] += 1;
            let (count, total) = worker.count(1, ModelId(0));
            assert!(count <= 0.3 * total + 1.0, "{count} of {total}");
        }
        assert!((2690..=2715).contains(&chosen[0]), "{chosen:?}");
    }

    #[test]
    fn what_is_behind_its_least_share_is_seen() {
        let mut shares = Shares::default();
        assert!(shares.deficit(1, ModelId(0), 0.1) > 0.0);
        for _ in 0..19 {
            shares.add(1, ModelId(1));
        }
        assert!(shares.deficit(1, ModelId(0), 0.1) > 1.9);
        shares.add(1, ModelId(0));
        shares.add(1, ModelId(0));
        shares.add(1, ModelId(0));
        assert!(shares.deficit(1, ModelId(0), 0.1) < 0.0);
    }

    #[test]
    fn policies_are_counted_apart_and_only_some_are_kept() {
        let mut shares = Shares::default();
        for policy in 0..100 {
            shares.add(policy, ModelId(3));
        }
        assert!(shares.is_exhausted(99, ModelId(3), 0.0));
        assert_eq!(shares.count(99, ModelId(3)), (1.0, 1.0));
        assert_eq!(shares.count(5, ModelId(3)), (0.0, 0.0));
        assert_eq!(shares.counts.len(), POLICIES);
    }
}
