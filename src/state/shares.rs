//! How often each model was chosen recently, for `max_share` and `min_share`. One per worker.
//!
//! Workers do not exchange these counts: the share over all workers is a mean of the workers' shares, so a limit that each
//! worker keeps holds for all. INVARIANT: of a worker's last decisions (512 to 1024 count, older ones less and less) a model
//! with `max_share` s has at most the share s and one decision more, as long as another model can take the request.

use crate::fleet::ModelId;

/// The counts are halved at so many decisions.
const MAX_COUNT: f64 = 1024.0;

/// The most policies with counts; beyond it, the policy that was counted longest ago is forgotten.
const MAX_POLICIES: usize = 8;

/// Decisions by policy and model.
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
    /// Whether `model` has reached the share `most` (0 to 1) of the decisions under `policy`.
    pub fn is_exhausted(&self, policy: u64, model: ModelId, most: f64) -> bool {
        let (count, total) = self.count(policy, model);
        most < 1.0 && count >= most * (total + 1.0)
    }

    /// By how many decisions `model` is behind the share `least` (0 to 1); 0 or less if it is not behind.
    pub fn deficit(&self, policy: u64, model: ModelId, least: f64) -> f64 {
        let (count, total) = self.count(policy, model);
        least * (total + 1.0) - count
    }

    /// Counts a decision.
    pub fn add(&mut self, policy: u64, model: ModelId) {
        let place = self
            .counts
            .iter()
            .position(|counts| counts.policy == policy);
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
        if counts.total >= MAX_COUNT {
            counts.total /= 2.0;
            counts.models.iter_mut().for_each(|count| *count /= 2.0);
        }
        self.counts.truncate(MAX_POLICIES - 1);
        self.counts.insert(0, counts);
    }

    fn count(&self, policy: u64, model: ModelId) -> (f64, f64) {
        let found = self.counts.iter().find(|counts| counts.policy == policy);
        found.map_or((0.0, 0.0), |counts| {
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
    fn a_model_behind_its_least_share_is_found() {
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
        assert_eq!(shares.counts.len(), MAX_POLICIES);
    }
}
