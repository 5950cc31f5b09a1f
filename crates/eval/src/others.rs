//! Learning curves of other learners, measured elsewhere on the same draws: to be drawn beside ours.
//!
//! `{"name": "…", "files": [{"file": "…", "after": [{"prompts": N, "one_per_prompt": bool, "savings_at_minus_1_2": 0.3}]}]}`, points as in
//! the JSON of our own report. `tools/learners` writes such files.

use serde::Deserialize;

/// The learning curves of another learner.
#[derive(Debug, Clone, Deserialize)]
pub struct OtherLearner {
    /// Its name.
    pub name: String,
    /// Its curves.
    files: Vec<OtherCurve>,
}

#[derive(Debug, Clone, Deserialize)]
struct OtherCurve {
    file: String,
    after: Vec<OtherPoint>,
}

/// A point of a curve.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct OtherPoint {
    /// Number of prompts with outcomes.
    pub prompts: usize,
    /// Whether of each the outcome of one model is known.
    pub one_per_prompt: bool,
    /// Mean share of the best model's cost saved at −1.2 points.
    #[serde(rename = "savings_at_minus_1_2")]
    pub at_loss: f64,
}

impl OtherLearner {
    /// Reads a file of curves.
    ///
    /// # Errors
    /// The problem with it.
    pub fn parse(text: &str) -> Result<OtherLearner, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// Its points on a file, with one outcome of each prompt or with all; empty if it has none.
    pub fn points(&self, file: &str, one_per_prompt: bool) -> Vec<OtherPoint> {
        let own = self.files.iter().filter(|curve| curve.file == file);
        let points = own.flat_map(|curve| &curve.after).copied();
        points
            .filter(|point| point.one_per_prompt == one_per_prompt)
            .collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn curves_are_found_by_file_and_kind_of_draw() {
        let text = r#"{"name": "other", "files": [{"file": "a", "after": [
            {"prompts": 0, "one_per_prompt": true, "savings_at_minus_1_2": 0.1, "savings_at_minus_1_2_range80": [0, 1]},
            {"prompts": 50, "one_per_prompt": false, "savings_at_minus_1_2": 0.2}]}]}"#;
        let other = OtherLearner::parse(text).unwrap();
        assert_eq!(other.points("a", false).len(), 1);
        assert!((other.points("a", true)[0].at_loss - 0.1).abs() < 1e-12);
        assert!(other.points("b", true).is_empty());
        let message = OtherLearner::parse("{}").unwrap_err();
        assert!(message.contains("missing field `name`"), "{message}");
    }
}
