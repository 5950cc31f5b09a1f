//! Properties of the sums and of what is learned from them.

use super::sums::ModelSums;
use super::*;
use crate::analysis::classifier::Task;
use crate::policy::learning::Learning;

const HOUR_S: u64 = 3600;

fn policy(learning: &str) -> Policy {
    Policy::compile(&format!(
        r#"{{"models": [{{"name": "small", "benchmarks": {{"mmlu": 0.6}}}}, {{"name": "large", "benchmarks": {{"mmlu": 0.85}}}},
            {{"name": "other", "benchmarks": {{"mmlu": 0.7}}}}],
            "backends": [{{"name": "a", "model": "small", "price": {{"input": 1, "output": 1}}}},
                         {{"name": "b", "model": "large", "price": {{"input": 9, "output": 9}}}},
                         {{"name": "c", "model": "other", "price": {{"input": 3, "output": 3}}}}],
            "learning": {learning}}}"#
    ))
    .unwrap()
}

/// Pseudo-random numbers.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn chance(&mut self, probability: f64) -> bool {
        (self.next() % 1_000_000) as f64 / 1e6 < probability
    }
}

fn prompt(random: &mut Random) -> Classification {
    let mut prompt = Classification {
        task: Task::ALL[(random.next() % 4) as usize],
        difficulty: (random.next() % 400) as f32 / 100.0 - 2.0,
        ..Classification::default()
    };
    for factor in &mut prompt.raw_factors {
        *factor = (random.next() % 64) as i8 - 32;
    }
    prompt
}

fn outcome(
    model: u32,
    classification: &Classification,
    score: f32,
    tenant: u64,
) -> Observation<'_> {
    Observation {
        model: ModelId(model),
        classification,
        score,
        weight: 1.0,
        tenant,
        together: false,
    }
}

fn p(learned: &[Learned], policy: &Policy, model: usize, prompt: &Classification) -> f32 {
    let logit = policy.registry.models[model]
        .ability
        .calibrated_logit(prompt);
    let moved = learned
        .get(model)
        .map_or(logit, |learned| learned.calibration.apply(logit, prompt));
    1.0 / (1.0 + (-moved).exp())
}

#[test]
fn neither_order_nor_workers_change_a_byte() {
    let policy = policy(r#"{"mode": "apply", "half_life": 0, "max_per_tenant_hour": 0}"#);
    let mut random = Random(7);
    let outcomes: Vec<(u32, Classification, f32)> = (0..300)
        .map(|_| {
            (
                (random.next() % 3) as u32,
                prompt(&mut random),
                (random.next() % 5) as f32 / 4.0,
            )
        })
        .collect();
    let add = |quality: &mut LearnedQuality,
               (model, prompt, score): &(u32, Classification, f32)| {
        assert_eq!(
            quality.observe(&policy, &outcome(*model, prompt, *score, 3), 0),
            Recorded::Counted
        );
    };
    let mut one = LearnedQuality::default();
    outcomes.iter().for_each(|outcome| add(&mut one, outcome));
    let whole = one.merge(&[], &policy);
    // Backwards, over three workers that merge in turns.
    let mut workers = [
        LearnedQuality::default(),
        LearnedQuality::default(),
        LearnedQuality::default(),
    ];
    let mut record = Vec::new();
    for (at, outcome) in outcomes.iter().rev().enumerate() {
        let worker = &mut workers[at % 3];
        add(worker, outcome);
        if at % 7 == 0 {
            record = worker.merge(&record, &policy);
            worker.on_merged(&policy);
        }
    }
    for worker in &mut workers {
        record = worker.merge(&record, &policy);
    }
    assert!(record == whole && !whole.is_empty());
    let mut readers = [LearnedQuality::default(), LearnedQuality::default()];
    readers
        .iter_mut()
        .for_each(|reader| reader.adopt(&record, &policy));
    assert_eq!(readers[0].learned(&policy), readers[1].learned(&policy));
    assert_eq!(readers[0].learned(&policy).len(), 3);
}

#[test]
fn shards_merge_to_the_bytes_of_one_pass() {
    let policy = policy(r#"{"mode": "apply"}"#);
    let mut random = Random(5);
    let (mut whole, mut shards) = (Sums::default(), vec![Sums::default(); 8]);
    for at in 0..500 {
        let prompt = prompt(&mut random);
        let outcome = outcome(1, &prompt, (at % 2) as f32, at as u64);
        whole.add(&policy.registry, &outcome, 16).unwrap();
        shards[(random.next() % 8) as usize]
            .add(&policy.registry, &outcome, 16)
            .unwrap();
    }
    let mut merged = Sums::default();
    for shard in shards.iter().rev() {
        merged.merge(&Sums::decode(&shard.encode()).unwrap());
    }
    assert_eq!(merged.encode(), whole.encode());
}

#[test]
fn records_are_read_as_written_and_damaged_ones_are_refused() {
    let policy = policy(r#"{"mode": "apply"}"#);
    let mut random = Random(1);
    let mut sums = Sums::default();
    for at in 0..policy.registry.models.len() {
        let prompt = prompt(&mut random);
        sums.add(&policy.registry, &outcome(at as u32, &prompt, 0.5, 0), 16)
            .unwrap();
    }
    let bytes = sums.encode();
    assert_eq!(Sums::decode(&bytes), Some(sums));
    assert_eq!(Sums::decode(&[]), Some(Sums::default()));
    for end in 1..bytes.len() {
        let read = Sums::decode(&bytes[..end]);
        assert!(
            read.is_none_or(|sums| sums.encode() == bytes[..end]),
            "{end}"
        );
    }
    let mut foreign = bytes.clone();
    foreign[0] = 0x12;
    assert_eq!(Sums::decode(&foreign), None);
}

#[test]
fn fifty_models_fit_into_256_kilobytes() {
    let mut random = Random(3);
    let mut sums = ModelSums::default();
    for _ in 0..50_000 {
        let prompt = prompt(&mut random);
        let score = (random.next() % 2) as f64;
        sums.add(
            &Features::new((random.next() % 80) as f32 / 10.0 - 4.0, &prompt),
            score,
            16,
            random.next(),
        );
    }
    let in_memory = std::mem::size_of_val(sums.values());
    assert!(50 * in_memory <= 256 * 1024, "{in_memory}");
    let mut all = Sums::default();
    for key in 0..50 {
        *all.models_mut(key) = sums.clone();
    }
    assert!(all.encode().len() <= 256 * 1024, "{}", all.encode().len());
}

#[test]
fn outcomes_as_expected_change_nothing_and_others_move_the_model() {
    let policy = policy(r#"{"mode": "apply", "max_per_tenant_hour": 0, "half_life": 0}"#);
    let mut random = Random(11);
    let mut quality = LearnedQuality::default();
    for _ in 0..600 {
        let prompt = prompt(&mut random);
        let small = p(&[], &policy, 0, &prompt);
        quality.observe(&policy, &outcome(0, &prompt, small, 0), 0);
        quality.observe(
            &policy,
            &outcome(1, &prompt, f32::from(u8::from(random.chance(0.3))), 0),
            0,
        );
    }
    quality.adopt(&quality.merge(&[], &policy), &policy);
    let learned = quality.learned(&policy);
    let mean = |model: usize, learned: &[Learned]| {
        let mut random = Random(99);
        (0..200)
            .map(|_| p(learned, &policy, model, &prompt(&mut random)))
            .sum::<f32>()
            / 200.0
    };
    assert!(
        (mean(0, learned) - mean(0, &[])).abs() < 0.02,
        "{} {}",
        mean(0, learned),
        mean(0, &[])
    );
    assert!(
        (mean(1, learned) - 0.3).abs() < 0.03,
        "{}",
        mean(1, learned)
    );
    assert!(learned[1].count == 600.0 && learned[2].count == 0.0);
    // A model without outcomes is moved a little, with the others, and is less certain.
    assert!(learned[2].deviations[0] > learned[1].deviations[0]);
}

/// Sums of `models` models that are right half the time, as expected, with `count` outcomes each; the last is right one time
/// in ten.
fn one_odd_model(models: usize, count: usize) -> Vec<ModelSums> {
    let mut random = Random(29);
    let mut sums = vec![ModelSums::default(); models];
    for (at, sums) in sums.iter_mut().enumerate() {
        let truth = if at + 1 == models { 0.1 } else { 0.5 };
        for _ in 0..count {
            let features = Features::new(0.0, &prompt(&mut random));
            sums.add(&features, f64::from(u8::from(random.chance(truth))), 16, 0);
        }
    }
    sums
}

#[test]
fn of_many_models_with_few_outcomes_none_moves_by_chance() {
    let neutral = Classification::default();
    let moved = |models: usize, count: usize| -> Vec<f32> {
        let sums = one_odd_model(models, count);
        let learned = posterior::fit(&sums.iter().collect::<Vec<_>>(), posterior::PRIOR_MASS);
        let logits = learned.iter().take(models);
        logits
            .map(|own| own.calibration.apply(0.0, &neutral))
            .collect()
    };
    // Eight outcomes of each: their means are off by 0.7 logits by chance alone.
    let few = moved(24, 8);
    let spread = few
        .iter()
        .take(23)
        .fold(0.0_f32, |most, own| most.max((own - few[0]).abs()));
    assert!(spread < 0.45, "{few:?}");
    // A hundred: the odd one is known, and the others stay where they are.
    let many = moved(24, 100);
    assert!(many[23] < many[0] - 1.2, "{many:?}");
    let spread = many
        .iter()
        .take(23)
        .fold(0.0_f32, |most, own| most.max((own - many[0]).abs()));
    assert!(spread < 0.5, "{many:?}");
}

#[test]
fn what_several_models_make_of_one_prompt_tells_more_of_their_difference() {
    let apart = |together: bool| {
        let mut random = Random(31);
        let mut sums = vec![ModelSums::default(); 4];
        for _ in 0..40 {
            let features = Features::new(0.0, &prompt(&mut random));
            for (own, truth) in sums.iter_mut().zip([0.5, 0.5, 0.5, 0.2]) {
                own.add(&features, f64::from(u8::from(random.chance(truth))), 16, 0);
                if together {
                    own.add_together(16);
                }
            }
        }
        let learned = posterior::fit(&sums.iter().collect::<Vec<_>>(), posterior::PRIOR_MASS);
        let logit = |at: usize| {
            learned[at]
                .calibration
                .apply(0.0, &Classification::default())
        };
        (logit(0) + logit(1) + logit(2)) / 3.0 - logit(3)
    };
    let (alone, together) = (apart(false), apart(true));
    assert!(alone > 0.2 && together > alone, "{alone} {together}");
}

#[test]
fn preferences_move_two_models_apart() {
    let policy = policy(r#"{"mode": "apply", "max_per_tenant_hour": 0}"#);
    let prompt = Classification::default();
    let mut quality = LearnedQuality::default();
    for at in 0..200 {
        let share = f32::from(u8::from(at % 4 != 0));
        let compared = Comparison {
            first: (ModelId(0), &prompt),
            second: (ModelId(1), &prompt),
            share,
            weight: 1.0,
            tenant: 0,
        };
        assert_eq!(quality.compare(&policy, &compared, 0), Recorded::Counted);
    }
    quality.adopt(&quality.merge(&[], &policy), &policy);
    let learned = quality.learned(&policy);
    let logit = |model: usize| {
        let p = p(learned, &policy, model, &prompt);
        (p / (1.0 - p)).ln()
    };
    let apart = logit(0) - logit(1);
    assert!((apart - 3.0_f32.ln()).abs() < 0.35, "{apart}");
    let twice = Comparison {
        first: (ModelId(0), &prompt),
        second: (ModelId(0), &prompt),
        share: 1.0,
        weight: 1.0,
        tenant: 0,
    };
    assert_eq!(quality.compare(&policy, &twice, 0), Recorded::Void);
}

#[test]
fn what_cannot_count_does_not() {
    let policy = policy(r#"{"mode": "apply", "max_per_tenant_hour": 2}"#);
    let prompt = Classification::default();
    let mut quality = LearnedQuality::default();
    let mut record = |outcome: Observation<'_>, now_s| quality.observe(&policy, &outcome, now_s);
    assert_eq!(
        record(outcome(9, &prompt, 1.0, 0), 0),
        Recorded::UnknownModel
    );
    assert_eq!(record(outcome(0, &prompt, f32::NAN, 0), 0), Recorded::Void);
    assert_eq!(
        record(
            Observation {
                weight: 0.0,
                ..outcome(0, &prompt, 1.0, 0)
            },
            0
        ),
        Recorded::Void
    );
    assert_eq!(record(outcome(0, &prompt, 1.0, 5), 0), Recorded::Counted);
    assert_eq!(record(outcome(0, &prompt, 1.0, 5), 1), Recorded::Counted);
    assert_eq!(record(outcome(0, &prompt, 1.0, 5), 2), Recorded::Capped);
    assert_eq!(record(outcome(0, &prompt, 1.0, 6), 2), Recorded::Counted);
    assert_eq!(
        record(outcome(0, &prompt, 1.0, 5), HOUR_S),
        Recorded::Counted
    );
    let off = self::policy(r#"{"mode": "off"}"#);
    assert_eq!(
        LearnedQuality::default().observe(&off, &outcome(0, &prompt, 1.0, 5), 0),
        Recorded::Off
    );
}

#[test]
fn another_prior_begins_anew() {
    let policy = policy(r#"{"mode": "apply"}"#);
    let prompt = Classification::default();
    let mut quality = LearnedQuality::default();
    quality.observe(&policy, &outcome(0, &prompt, 1.0, 0), 0);
    let record = quality.merge(&[], &policy);
    let mut changed = policy.clone();
    changed.registry.models[0].ability.calibration.offset = 1.0;
    quality.on_merged(&policy);
    assert!(quality.merge(&record, &changed).is_empty());
    assert_eq!(quality.merge(&record, &policy), record);
}

#[test]
fn earlier_outcomes_count_half_after_a_half_life() {
    let features = Features::new(0.0, &Classification::default());
    let mut sums = ModelSums::default();
    // As many right as wrong, so that nothing changes.
    for at in 0..4000_u32 {
        sums.add(&features, f64::from(at % 2), 16, 0);
        sums.forget(400);
    }
    // The sum of 2^(−n/400) over all n is 577.
    assert!((sums.count() - 577.0).abs() < 60.0, "{}", sums.count());
    let mut never = ModelSums::default();
    for at in 0..4000_u32 {
        never.add(&features, f64::from(at % 2), 16, 0);
        never.forget(0);
    }
    assert_eq!(never.count(), 4000.0);
}

/// Quality of a model as it is learned, outcome by outcome.
struct World {
    policy: Policy,
    quality: LearnedQuality,
    record: Vec<u8>,
    random: Random,
    now_s: u64,
}

impl World {
    fn new(learning: &str) -> World {
        World {
            policy: policy(learning),
            quality: LearnedQuality::default(),
            record: Vec::new(),
            random: Random(17),
            now_s: 0,
        }
    }

    /// One request: the model of the highest quality minus its cost answers, right with the chance that `truth` has.
    fn step(&mut self, truth: [f64; 3], tenant: u64, hostile: bool) -> usize {
        const COST: [f32; 3] = [0.0, 0.05, 0.02];
        self.now_s += 30;
        let prompt = prompt(&mut self.random);
        let learned = self.quality.learned(&self.policy);
        let values = [0, 1, 2].map(|model| p(learned, &self.policy, model, &prompt) - COST[model]);
        let explores = self.random.chance(0.05);
        let best = (0..3)
            .max_by(|left, right| values[*left].total_cmp(&values[*right]))
            .unwrap();
        let chosen = if explores {
            (self.random.next() % 3) as usize
        } else {
            best
        };
        let right = self.random.chance(truth[chosen]);
        let score = if hostile {
            f32::from(u8::from(chosen != 1))
        } else {
            f32::from(u8::from(right))
        };
        self.quality.observe(
            &self.policy,
            &outcome(chosen as u32, &prompt, score, tenant),
            self.now_s,
        );
        if self.now_s.is_multiple_of(600) {
            self.record = self.quality.merge(&self.record, &self.policy);
            self.quality.on_merged(&self.policy);
            self.quality.adopt(&self.record, &self.policy);
        }
        chosen
    }
}

#[test]
fn a_model_that_gets_worse_loses_its_share() {
    let mut world = World::new(r#"{"mode": "apply", "max_per_tenant_hour": 0}"#);
    let mut share = |truth: [f64; 3], count: usize| {
        let chosen = (0..count)
            .filter(|at| world.step(truth, *at as u64 % 40, false) == 1)
            .count();
        chosen as f64 / count as f64
    };
    let before = share([0.6, 0.85, 0.72], 3000);
    assert!(before > 0.8, "{before}");
    let mut outcomes = 0;
    while share([0.6, 0.65, 0.72], 25) > before / 2.0 && outcomes < 2000 {
        outcomes += 25;
    }
    eprintln!(
        "a model that got worse by 20 points: {outcomes} outcomes until its share had halved"
    );
    assert!(outcomes <= 400, "{outcomes}");
}

#[test]
fn a_hostile_tenant_costs_little() {
    const SEEDS: u64 = 6;
    let truth = [0.6, 0.85, 0.78];
    let quality = |hostile_share: f64| {
        let mut sum = 0.0;
        for seed in 0..SEEDS {
            let mut world = World::new(r#"{"mode": "apply", "max_per_tenant_hour": 12}"#);
            world.random = Random(seed);
            let mut chance = Random(23 + seed);
            for at in 0..3000_u64 {
                let hostile = chance.chance(hostile_share);
                let tenant = if hostile { 1000 } else { at % 40 };
                let chosen = world.step(truth, tenant, hostile);
                if at >= 1000 {
                    sum += truth[chosen];
                }
            }
        }
        sum / (2000 * SEEDS) as f64
    };
    let (alone, beside) = (quality(0.0), quality(0.1));
    eprintln!("one hostile tenant with 10 % of the feedback: quality {alone:.4} to {beside:.4}");
    assert!(alone - beside < 0.01, "{alone} {beside}");
}

#[test]
fn learning_can_be_stated_in_full() {
    let stated = policy(
        r#"{"mode": "observe", "half_life": 7, "prior_mass": 3, "max_per_tenant_hour": 2, "max_per_hour": 9}"#,
    );
    let wanted = Learning {
        mode: LearningMode::Observe,
        half_life: 7,
        prior_mass: 3.0,
        max_per_tenant_hour: 2,
        max_per_hour: 9,
        ..Learning::default()
    };
    assert_eq!(stated.learning, wanted);
}

/// Run by hand, in release: `cargo test --release --workspace --lib -- --ignored --nocapture fifty_models_are_fitted`.
#[test]
#[ignore = "measures time"]
fn fifty_models_are_fitted_between_two_ticks() {
    let mut random = Random(3);
    let mut sums = vec![ModelSums::default(); 50];
    for at in 0..50_000_u32 {
        let prompt = prompt(&mut random);
        let features = Features::new((at % 80) as f32 / 10.0 - 4.0, &prompt);
        sums[at as usize % 50].add(&features, f64::from(at % 2), 16, at.into());
    }
    let all: Vec<&ModelSums> = sums.iter().collect();
    let start = std::time::Instant::now();
    let learned = posterior::fit(&all, 14.0);
    println!(
        "{} models in {:.2} ms",
        learned.len() - 1,
        start.elapsed().as_secs_f64() * 1e3
    );
    assert!(start.elapsed().as_millis() < 100);
}
