//! Learns from receipts and labelled prompts offline what a running filter learns online: the same sums, the same posterior.
//!
//! Everything that is read goes into sums, a fifth of it into sums that are held out: no row is kept, so logs of any size are read
//! as a stream, and the sums of shards add up to those of the whole, byte by byte.

use pointsman::analysis::classifier::{self, Classification};
use pointsman::fleet::ModelId;
use pointsman::fleet::ability::Calibration;
use pointsman::policy::Policy;
use pointsman::policy::draw::mix;
use pointsman::state::learned_quality::posterior::{gain, reliability};
use pointsman::state::learned_quality::{
    Comparison, Evidence, Learned, Observation, Recorded, Sums, weight_steps,
};
use pointsman::state::outcome::Outcome;

use crate::outcomes::Outcome as Scored;
use crate::scored::{ScoredPrompt, find_model};

/// One outcome in so many is held out.
const FOLDS: u64 = 5;
/// Begins a file of sums.
const MAGIC: &[u8; 8] = b"PMSUMS2\n";

/// Reads outcomes.
pub struct Learner<'p> {
    policy: &'p Policy,
    fitted: Sums,
    held: Sums,
}

/// The result of learning.
#[derive(Debug)]
pub struct Lesson {
    /// The belief about each model of the policy, from all outcomes.
    pub learned: Vec<Learned>,
    /// For each model its calibration in the policy and what was learned in one; `None` for a model without outcomes.
    pub calibrations: Vec<Option<Calibration>>,
    /// How well it does on the outcomes that were held out.
    pub held_out: HeldOut,
}

/// Figures on outcomes that were not fitted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeldOut {
    /// Their number.
    pub count: f64,
    /// Mean log-loss, in nats, by the policy as it is.
    pub loss_before: f64,
    /// With what was learned from the others: an upper bound.
    pub loss_after: f64,
    /// Mean distance of expected and observed scores, by model and expected logit, by the policy as it is.
    pub error_before: f64,
    /// With what was learned from the others.
    pub error_after: f64,
}

impl HeldOut {
    /// Whether what was learned does worse.
    pub fn is_worse(&self) -> bool {
        self.count > 0.0 && self.loss_after > self.loss_before
    }
}

impl<'p> Learner<'p> {
    /// A learner for the models of `policy`.
    pub fn new(policy: &'p Policy) -> Learner<'p> {
        Learner {
            policy,
            fitted: Sums::default(),
            held: Sums::default(),
        }
    }

    /// Adds the outcome of a receipt.
    pub fn add_outcome(&mut self, outcome: &Outcome) -> Recorded {
        // Receipts have random numbers, so a fifth of them is a fair sample, whatever the order.
        let held = mix(outcome.receipt.nonce).is_multiple_of(FOLDS);
        match Evidence::read(self.policy, outcome) {
            Ok(Evidence::Scored(seen)) => self.add(held, &seen),
            Ok(Evidence::Compared(compared)) => self.compare(held, &compared),
            Err(recorded) => recorded,
        }
    }

    /// Adds all that is known of a labelled prompt; how many outcomes count.
    pub fn add_row(&mut self, row: &ScoredPrompt) -> usize {
        let classification = &row.classification;
        let held = mix(digest(classification)).is_multiple_of(FOLDS);
        let mut counted = 0;
        let known: Vec<(ModelId, &Scored)> = row
            .outcomes
            .iter()
            .filter_map(|(name, outcome)| Some((find_model(self.policy, name)?, outcome)))
            .collect();
        for (model, outcome) in known.iter().copied() {
            let seen = Observation {
                model,
                classification,
                score: outcome.score as f32,
                weight: 1.0,
                tenant: 0,
                together: known.len() > 1,
            };
            counted += usize::from(self.add(held, &seen) == Recorded::Counted);
        }
        if let Some(preference) = &row.preference {
            let [first, second] = &preference.between;
            let find = |name: &str| find_model(self.policy, name);
            if let (Some(first), Some(second)) = (find(first), find(second)) {
                let compared = Comparison {
                    first: (first, classification),
                    second: (second, classification),
                    share: preference.first as f32,
                    weight: 1.0,
                    tenant: 0,
                };
                counted += usize::from(self.compare(held, &compared) == Recorded::Counted);
            }
        }
        counted
    }

    fn add(&mut self, held: bool, seen: &Observation<'_>) -> Recorded {
        let weight = weight_steps(seen.weight);
        if weight == 0 || !seen.score.is_finite() {
            return Recorded::Void;
        }
        let policy = self.policy;
        let added = self.sums(held).add(&policy.registry, seen, weight);
        added.map_or(Recorded::UnknownModel, |()| Recorded::Counted)
    }

    fn compare(&mut self, held: bool, compared: &Comparison<'_>) -> Recorded {
        if compared.first.0 == compared.second.0 {
            return Recorded::Void;
        }
        let weight = weight_steps(compared.weight);
        let policy = self.policy;
        let added = self.sums(held).compare(&policy.registry, compared, weight);
        added.map_or(Recorded::UnknownModel, |()| Recorded::Counted)
    }

    /// The sums that are held out, or those that are fitted.
    const fn sums(&mut self, held: bool) -> &mut Sums {
        if held {
            &mut self.held
        } else {
            &mut self.fitted
        }
    }

    /// The sums so far, as a file that [`Learner::merge`] reads. Equal outcomes give equal bytes, in any order.
    pub fn partial(&self) -> Vec<u8> {
        let fitted = self.fitted.encode();
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(classifier::identity().as_bytes());
        bytes.extend_from_slice(&(fitted.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&fitted);
        bytes.extend_from_slice(&self.held.encode());
        bytes
    }

    /// Adds sums that [`Learner::partial`] wrote for the same models.
    ///
    /// # Errors
    /// The problem with the file.
    pub fn merge(&mut self, bytes: &[u8]) -> Result<(), String> {
        let rest = bytes
            .strip_prefix(MAGIC)
            .ok_or("not sums that `pointsman learn --partial` wrote")?;
        let rest = rest
            .strip_prefix(classifier::identity().as_bytes())
            .ok_or("the sums are of another version of the classifier")?;
        let damaged = || "the sums are damaged".to_owned();
        let (length, rest) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| damaged())?;
        let (fitted, held) = rest.split_at_checked(length).ok_or_else(damaged)?;
        for (own, bytes) in [(&mut self.fitted, fitted), (&mut self.held, held)] {
            own.merge(&Sums::decode(bytes).ok_or_else(damaged)?);
        }
        Ok(())
    }

    /// The beliefs that follow from all outcomes.
    pub fn finish(mut self) -> Lesson {
        let models = &self.policy.registry.models;
        let mass = self.policy.learning.prior_mass;
        let held_out = self.held_out(&self.fitted.learned(models, mass));
        self.fitted.merge(&self.held);
        let learned = self.fitted.learned(models, mass);
        let calibrations = models.iter().zip(&learned).map(|(model, learned)| {
            let of_model = self.fitted.of(model);
            of_model.map(|_| model.ability.calibration.then(&learned.calibration))
        });
        Lesson {
            calibrations: calibrations.collect(),
            held_out,
            learned,
        }
    }

    fn held_out(&self, learned: &[Learned]) -> HeldOut {
        let (mut count, mut loss, mut gained) = (0.0, 0.0, 0.0);
        let (mut before, mut after) = (0.0, 0.0);
        for (model, learned) in self.policy.registry.models.iter().zip(learned) {
            let Some(sums) = self.held.of(model) else {
                continue;
            };
            count += sums.count();
            loss += sums.loss();
            gained += gain(sums, &learned.calibration);
            for [own, score, stated, expected] in reliability(sums, &learned.calibration) {
                before += own * (score - stated).abs();
                after += own * (score - expected).abs();
            }
        }
        let mean = |sum: f64| if count > 0.0 { sum / count } else { f64::NAN };
        HeldOut {
            count,
            loss_before: mean(loss),
            loss_after: mean(loss - gained),
            error_before: mean(before),
            error_after: mean(after),
        }
    }
}

/// A number that stands for a prompt, the same in any order of rows.
fn digest(classification: &Classification) -> u64 {
    let factors = classification.raw_factors.iter();
    let start = u64::from(classification.difficulty.to_bits());
    factors.fold(start, |sum, factor| {
        sum.wrapping_mul(31).wrapping_add(*factor as u8 as u64)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use pointsman::analysis::classifier::{FINGERPRINT, Task};
    use pointsman::api::{Api, Capabilities};
    use pointsman::state::outcome::Source;
    use pointsman::state::receipt::{Flags, Receipt, RequestTraits, name_key};

    const POLICY: &str = r#"{
      "models": [{"name": "small", "benchmarks": {"mmlu": 0.6}}, {"name": "large", "benchmarks": {"mmlu": 0.85}}],
      "backends": [{"name": "a", "model": "small", "price": {"input": 1, "output": 1}},
                   {"name": "b", "model": "large", "price": {"input": 9, "output": 9}}]}"#;

    fn outcome(number: u64, model: &str, score: f32) -> Outcome {
        let mut classification = Classification {
            task: Task::ALL[(mix(number) % 5) as usize],
            difficulty: (mix(number ^ 1) % 300) as f32 / 100.0 - 1.5,
            ..Classification::default()
        };
        classification.raw_factors[2] = (mix(number ^ 2) % 40) as i8 - 20;
        Outcome {
            receipt: Receipt {
                policy: 1,
                time_s: 1_764_000_000,
                nonce: number,
                model: name_key(model),
                backend: name_key("a"),
                runner_up: None,
                profile: name_key("auto"),
                p: 0.5,
                runner_up_p: 0.0,
                propensity: 1.0,
                flags: Flags::default(),
                request: RequestTraits {
                    api: Api::OpenAiChat,
                    needs: Capabilities::NONE,
                    input_tokens: 10,
                    window_tokens: 10,
                    max_tokens: None,
                    choices: 1,
                },
                tenant: None,
                classifier: FINGERPRINT,
                classification,
            },
            worse: None,
            score,
            weight: 1.0,
            source: Source::Feedback,
        }
    }

    /// Outcomes that contradict the benchmark scores: the small model is right nine times in ten, the large one half the time.
    fn outcomes() -> Vec<Outcome> {
        let outcome_of = |number: u64| {
            let (model, most) = if number.is_multiple_of(2) {
                ("small", 90)
            } else {
                ("large", 50)
            };
            let right = mix(number ^ 3) % 100 < most;
            outcome(number, model, f32::from(u8::from(right)))
        };
        (0..1000).map(outcome_of).collect()
    }

    #[test]
    fn what_is_learned_holds_on_outcomes_that_were_held_out() {
        let policy = Policy::compile(POLICY).unwrap();
        let mut learner = Learner::new(&policy);
        for outcome in outcomes() {
            assert_eq!(learner.add_outcome(&outcome), Recorded::Counted);
        }
        let lesson = learner.finish();
        let held = lesson.held_out;
        assert!((150.0..250.0).contains(&held.count), "{held:?}");
        assert!(
            held.loss_after < held.loss_before - 0.02 && !held.is_worse(),
            "{held:?}"
        );
        assert!(held.error_after < held.error_before, "{held:?}");
        let quality = |at: usize| lesson.learned[at].quality.unwrap();
        assert!((quality(0).learned - 0.9).abs() < 0.04, "{:?}", quality(0));
        assert!((quality(1).learned - 0.5).abs() < 0.06, "{:?}", quality(1));
        assert!(quality(1).range[0] < 0.5 && 0.5 < quality(1).range[1]);
        assert!(lesson.calibrations.iter().all(Option::is_some));
    }

    #[test]
    fn shards_add_up_to_the_whole_byte_by_byte() {
        let policy = Policy::compile(POLICY).unwrap();
        let (mut whole, mut merged) = (Learner::new(&policy), Learner::new(&policy));
        let mut shards: Vec<Learner<'_>> = (0..7).map(|_| Learner::new(&policy)).collect();
        for (at, outcome) in outcomes().iter().enumerate() {
            whole.add_outcome(outcome);
            shards[(mix(at as u64) % 7) as usize].add_outcome(outcome);
        }
        for shard in shards.iter().rev() {
            merged.merge(&shard.partial()).unwrap();
        }
        assert_eq!(merged.partial(), whole.partial());
        assert_eq!(merged.finish().calibrations, whole.finish().calibrations);
    }

    #[test]
    fn sums_that_are_none_are_refused() {
        let policy = Policy::compile(POLICY).unwrap();
        let mut learner = Learner::new(&policy);
        learner.add_outcome(&outcome(1, "small", 1.0));
        let bytes = learner.partial();
        for end in 0..bytes.len() - 1 {
            let mut other = Learner::new(&policy);
            assert!(other.merge(&bytes[..end]).is_err(), "{end}");
        }
        assert!(learner.merge(b"{}").is_err());
    }

    #[test]
    fn outcomes_of_strangers_and_of_other_classifiers_do_not_count() {
        let policy = Policy::compile(POLICY).unwrap();
        let mut learner = Learner::new(&policy);
        let stranger = outcome(1, "gone", 1.0);
        assert_eq!(learner.add_outcome(&stranger), Recorded::UnknownModel);
        let mut foreign = outcome(1, "small", 1.0);
        foreign.receipt.classifier ^= 1;
        assert_eq!(learner.add_outcome(&foreign), Recorded::OtherClassifier);
        assert!(learner.finish().calibrations.iter().all(Option::is_none));
    }
}
