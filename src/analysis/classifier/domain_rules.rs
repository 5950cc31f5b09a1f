//! How many prompts of a domain a rule on it finds, and how many of those that it holds are such, by the confidence that
//! it asks for.
//!
//! Measured on rated validation prompts whenever the classifier is trained (`models/train/domain_rules.py`); `check` warns
//! by it, and nothing else reads it.

use super::labels::Domain;
use measured::{CONFIDENCES, RULES};

/// The constants that build.rs wrote.
#[allow(
    clippy::approx_constant,
    reason = "a share that resembles a constant of nature is a coincidence"
)]
mod measured {
    use super::Domain;
    include!(concat!(env!("OUT_DIR"), "/domain_rules.rs"));
}

/// Measured figures of rules on certain domains.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DomainRule {
    recall: &'static [f32],
    precision: &'static [f32],
}

/// Recall and precision of a rule at one confidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Found {
    /// The least probability that its domains must have together.
    pub confidence: f32,
    /// The share of the prompts of its domains that it holds.
    pub recall: f32,
    /// The share of what it holds that is of its domains.
    pub precision: f32,
}

impl DomainRule {
    /// The figures of a rule on exactly these domains, in any order; `None` where they were not measured together.
    pub(crate) fn of(domains: &[Domain]) -> Option<DomainRule> {
        let is_same = |measured: &[Domain]| {
            measured.iter().all(|domain| domains.contains(domain))
                && domains.iter().all(|domain| measured.contains(domain))
        };
        let (_, recall, precision) = RULES.iter().find(|(measured, ..)| is_same(measured))?;
        Some(DomainRule { recall, precision })
    }

    fn points(self) -> impl DoubleEndedIterator<Item = Found> {
        let figures = self.recall.iter().zip(self.precision);
        CONFIDENCES
            .iter()
            .zip(figures)
            .map(|(&confidence, (&recall, &precision))| Found {
                confidence,
                recall,
                precision,
            })
    }

    /// Recall and precision at `confidence`, between the measured ones on a straight line.
    pub(crate) fn at(self, confidence: f32) -> Option<Found> {
        let below = self
            .points()
            .rfind(|point| point.confidence <= confidence)?;
        let Some(above) = self.points().find(|point| point.confidence > confidence) else {
            return Some(below);
        };
        let part = (confidence - below.confidence) / (above.confidence - below.confidence);
        let between = |from: f32, to: f32| from + part * (to - from);
        Some(Found {
            confidence,
            recall: between(below.recall, above.recall),
            precision: between(below.precision, above.precision),
        })
    }

    /// The highest measured confidence at which it finds at least `recall`.
    pub(crate) fn reaching(self, recall: f32) -> Option<Found> {
        self.points().rfind(|point| point.recall >= recall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_domains_and_pairs_are_known_in_any_order() {
        for &first in Domain::ALL {
            for &second in Domain::ALL {
                let both = DomainRule::of(&[first, second]).unwrap();
                let turned = DomainRule::of(&[second, first]).unwrap();
                assert_eq!(both.at(0.1), turned.at(0.1));
            }
        }
        assert!(DomainRule::of(&[]).is_none());
        assert!(DomainRule::of(&Domain::ALL[..3]).is_none());
    }

    #[test]
    fn recall_falls_from_one_as_the_confidence_rises() {
        let medical = DomainRule::of(&[Domain::Medical]).unwrap();
        let mut before = 1.0;
        for step in 0_u8..=100 {
            let found = medical.at(f32::from(step) / 100.0).unwrap();
            assert!(
                found.recall <= before && found.precision <= 1.0,
                "{found:?}"
            );
            before = found.recall;
        }
        assert_eq!(medical.at(0.0).unwrap().recall, 1.0);
        let enough = medical.reaching(0.9).unwrap();
        assert!(enough.recall >= 0.9 && enough.confidence < 0.5);
        assert_eq!(medical.at(enough.confidence).unwrap(), enough);
        let two = DomainRule::of(&[Domain::Medical, Domain::Legal]).unwrap();
        assert!(two.at(0.2).unwrap().recall < 1.0);
    }
}
