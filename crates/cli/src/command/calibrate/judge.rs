//! Writes what a judge's grades are worth into a policy.

use pointsman::policy::Policy;
use pointsman_eval::judge_fit::fit_evidence;
use pointsman_eval::scored::ScoredPrompt;
use serde_json::json;

use crate::failure::Failure;
use crate::io::document::{Document, Step};

/// `document` with the evidence of its judge fitted to the grades of `rows`.
pub fn fit(
    policy: &Policy,
    document: &Document,
    rows: &[ScoredPrompt],
) -> Result<Document, Failure> {
    if document.get(&[Step::Key("judge")]).is_none() {
        return Err(Failure::Input(
            "the policy has no `judge` whose grades could be fitted".into(),
        ));
    }
    let fitted = fit_evidence(policy, rows)?;
    for line in fitted.report() {
        eprintln!("{line}");
    }
    let round = |value: f64| (value * 1e3).round() / 1e3;
    let evidence = fitted.evidence;
    let written = json!({
        "slope": round(evidence.slope).clamp(0.0, 10.0),
        "intercept": round(evidence.intercept).clamp(-20.0, 20.0),
        "variance": round(evidence.variance).clamp(0.01, 1000.0),
    });
    document
        .set(&[Step::Key("judge"), Step::Key("evidence")], &written)
        .ok_or_else(|| Failure::Failed("the policy has no place for the evidence".into()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::io::document::Form;
    use pointsman_eval::outcomes::Row;
    use pointsman_eval::scored::Examiner;

    const POLICY: &str = r#"{"models": [
      {"name": "small", "benchmarks": {"mmlu": 0.6}}, {"name": "large", "benchmarks": {"mmlu": 0.85}}],
     "backends": [
      {"name": "a", "model": "small", "price": {"input": 1, "output": 1}},
      {"name": "b", "model": "large", "price": {"input": 10, "output": 10}}],
     "judge": {"cluster": "judge", "model": "j"}}"#;

    /// Prompts of which every third is easy; the judge says so as often as `is_told` does.
    fn rows(count: usize, is_told: impl Fn(usize) -> bool) -> Vec<ScoredPrompt> {
        let mut examiner = Examiner::new(None);
        let row = |at: usize| {
            let right = u8::from(at.is_multiple_of(3));
            let grade = if is_told(at) == (right == 1) {
                0.8
            } else {
                0.3
            };
            let line = format!(
                r#"{{"prompt": "What is {at} plus 4?", "models": {{"small": {right}, "large": {right}}}, "judge": {grade}}}"#
            );
            Row::parse(line.as_bytes()).unwrap()
        };
        (0..count).map(|at| examiner.examine(row(at))).collect()
    }

    fn fitted(rows: &[ScoredPrompt]) -> Result<Policy, String> {
        let policy = Policy::compile(POLICY).unwrap();
        let document = Document::parse(Form::Json, POLICY.to_owned()).unwrap();
        let changed = fit(&policy, &document, rows).map_err(|error| error.to_string())?;
        Ok(Policy::compile(&changed.json).unwrap())
    }

    #[test]
    fn a_judge_that_knows_gets_a_slope_and_noise_gets_none() {
        let good = fitted(&rows(200, |_| true)).unwrap().judge.unwrap();
        assert!(good.evidence.slope > 0.5, "{:?}", good.evidence);
        // Right as often as wrong.
        let noise = fitted(&rows(200, |at| at % 4 < 2)).unwrap().judge.unwrap();
        assert_eq!(noise.evidence.slope, 0.0, "{:?}", noise.evidence);
        assert!(!noise.is_evidence());
    }

    #[test]
    fn too_few_grades_are_an_error() {
        assert_eq!(
            fitted(&rows(7, |_| true)).unwrap_err(),
            "7 rows have a grade (`judge`) and an outcome of a model of the policy: 30 are needed"
        );
    }
}
