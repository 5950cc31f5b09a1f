//! Writes the floor of a profile into a policy.

use pointsman::policy::profiles::Profile;
use pointsman_eval::floor::Floor;
use serde_json::{Map, Value, json};

use crate::io::document::{Document, Step};

/// The limit that is the floor, as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// An absolute one: `min_quality`
    MinQuality,
    /// One relative to the best candidate: `max_quality_loss`
    MaxQualityLoss,
}

impl From<Kind> for Floor {
    fn from(kind: Kind) -> Floor {
        match kind {
            Kind::MinQuality => Floor::MinQuality,
            Kind::MaxQualityLoss => Floor::MaxQualityLoss,
        }
    }
}

/// `document` with the floor of `profile`. A profile or limits that the policy does not write out are written out, so that nothing
/// else of them changes.
pub fn write(document: &Document, profile: &Profile, floor: Floor, value: f64) -> Option<Document> {
    let limit = floor.limit();
    let limits = [
        Step::Key("profiles"),
        Step::Key(&profile.name),
        Step::Key("limits"),
    ];
    if document.get(&limits).is_some() {
        let [profiles, name, limits] = limits;
        return document.set(
            &[profiles, name, limits, Step::Key(limit.name())],
            &json!(value),
        );
    }
    let all: Map<String, Value> = profile
        .limits
        .with(limit, value)
        .stated()
        .map(|(limit, value)| (limit.name().to_owned(), json!(value)))
        .collect();
    document.set(&limits, &Value::Object(all))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::io::document::Form;
    use pointsman::policy::Policy;
    use pointsman::policy::profiles::Limit;

    const POLICY: &str = r#"{"models": [
      {"name": "small", "benchmarks": {"mmlu": 0.5}}, {"name": "large", "benchmarks": {"mmlu": 0.88}}],
     "backends": [
      {"name": "a", "model": "small", "price": {"input": 1, "output": 1}},
      {"name": "b", "model": "large", "price": {"input": 10, "output": 10}}],
     "profiles": {"save": {"weights": {"cost": 1}}}}"#;

    #[test]
    fn the_floor_is_written_where_it_belongs() {
        let policy = Policy::compile(POLICY).unwrap();
        let document = Document::parse(Form::Json, POLICY.to_owned()).unwrap();
        for name in ["save", "auto", "auto:best"] {
            let before = policy.find_profile(name).unwrap();
            let changed = write(&document, before, Floor::MinQuality, 0.625).unwrap();
            let after = Policy::compile(&changed.json).unwrap();
            let after = after.find_profile(name).unwrap();
            let wanted = Profile {
                limits: before.limits.with(Limit::MinQuality, 0.625),
                ..before.clone()
            };
            assert_eq!(*after, wanted, "{}", changed.text);
            // And once more, now that it is there.
            let again = write(&changed, after, Floor::MinQuality, 0.5).unwrap();
            assert_eq!(again.text, changed.text.replace("0.625", "0.5"));
        }
    }
}
