#![allow(clippy::unwrap_used)]

use super::*;
use crate::benchmarks::Benchmarks;
use crate::outcomes::Row;
use crate::scored::Examiner;

const POLICY: &str = include_str!("../../../../models/train/everyday-policy.json");

/// Rated rows whose prompts say nothing of how hard they are.
fn lines() -> Vec<String> {
    (0..120)
        .map(|at| {
            let [s, m, l, xl] = match at % 3 {
                0 => [0.97, 0.99, 0.99, 0.99],
                1 => [0.3, 0.6, 0.85, 0.93],
                _ => [0.05, 0.2, 0.5, 0.75],
            };
            format!(
                r#"{{"prompt": "Tell me about item {at} of the list.", "rated": {{"s": {s}, "m": {m}, "l": {l}, "xl": {xl}}}, "rated_tokens": 200}}"#
            )
        })
        .collect()
}

fn scored(policy: &Policy, noise: f64) -> Vec<ScoredPrompt> {
    let mut examiner = Examiner::new(Some(policy)).with_noise(noise, 2);
    let rows = lines();
    rows.iter()
        .map(|line| examiner.examine(Row::parse(line.as_bytes()).unwrap()))
        .collect()
}

fn found(max_share: f64, noise: f64) -> JudgeFigures {
    let mut policy = Policy::compile(POLICY).unwrap();
    let judge = Judge {
        max_share,
        ..Judge::default()
    };
    policy.judge = Some(judge.clone());
    let rows = scored(&policy, noise);
    let fleet = Fleet::new(&rows, Some(&policy), &Benchmarks::default());
    let setting = JudgeSetting {
        judge,
        noise,
        draws: 2,
    };
    figures(&fleet, &rows, Some(&setting), Some(&policy), Some(&policy)).unwrap()
}

#[test]
fn a_good_judge_saves_and_is_asked_within_its_share() {
    let figures = found(0.3, 0.3);
    assert_eq!((figures.count, figures.simulated), (120, 120));
    assert_eq!(figures.draws, 2);
    assert_eq!(figures.knobs.len(), 2);
    for knob in &figures.knobs {
        assert_eq!(knob.nobody.share, 0.0);
        assert_eq!(knob.everybody.share, 1.0);
        assert!(knob.valuable.share <= 0.31, "{knob:#?}");
        assert!(
            knob.everybody.at_loss.mean > knob.nobody.at_loss.mean,
            "{knob:#?}"
        );
        assert!(knob.everybody.gain > 0.0, "{knob:#?}");
        assert_eq!(knob.nobody.at_loss.deviation, 0.0);
    }
    let auto = figures.profiles.iter().find(|line| line.name == "auto");
    assert!(auto.unwrap().share <= 0.32, "{figures:#?}");
}

#[test]
fn without_a_share_nothing_changes() {
    let figures = found(0.0, 0.3);
    for knob in &figures.knobs {
        assert_eq!(knob.valuable.share, 0.0);
        assert_eq!(knob.valuable.at_loss.mean, knob.nobody.at_loss.mean);
    }
    for line in &figures.profiles {
        let ([cost, cost_after, _], [quality, quality_after, _]) = (line.cost, line.quality);
        assert_eq!(
            (cost, quality),
            (cost_after, quality_after),
            "{}",
            line.name
        );
    }
}
