//! Recall and precision of rules on a domain, out of `models/manifest.json`, as constants for `pointsman check`.

use std::fmt::Write;
use std::path::Path;

use serde::Deserialize;

use crate::labels::Domain;
use crate::wire::Result;

/// Recall and precision of rules, by the confidence that they ask for.
#[derive(Deserialize, Default)]
pub struct DomainRules {
    confidences: Vec<f32>,
    rules: Vec<DomainRule>,
}

#[derive(Deserialize)]
struct DomainRule {
    domains: Vec<String>,
    recall: Vec<f32>,
    precision: Vec<f32>,
}

/// Checks the figures and writes them to `domain_rules.rs` in `out_dir`.
pub fn pack(measured: &DomainRules, out_dir: &Path) -> Result<()> {
    let source = write_source(measured)
        .map_err(|error| format!("models/manifest.json: `domain_rules`: {error}"))?;
    std::fs::write(out_dir.join("domain_rules.rs"), source)
        .map_err(|error| format!("cannot write domain_rules.rs: {error}"))
}

fn write_source(measured: &DomainRules) -> Result<String> {
    let (points, count) = (measured.confidences.len(), measured.rules.len());
    if !measured.confidences.is_sorted() {
        return Err(String::from("the confidences have to rise"));
    }
    let mut source = format!(
        "/// The confidences of each row of `RULES`.\npub const CONFIDENCES: [f32; {points}] = {:?};\n\n\
         /// Domains of a rule, recall and precision at each confidence.\n\
         pub static RULES: [(&[Domain], [f32; {points}], [f32; {points}]); {count}] = [\n",
        measured.confidences
    );
    for rule in &measured.rules {
        let figures = [&rule.recall, &rule.precision];
        let in_range = |figure: &f32| (0.0..=1.0).contains(figure);
        if !figures
            .iter()
            .all(|row| row.len() == points && row.iter().all(in_range))
        {
            return Err(format!(
                "{:?} needs {points} figures of recall and of precision, each from 0 to 1",
                rule.domains
            ));
        }
        let mut domains = Vec::new();
        for name in &rule.domains {
            let known = Domain::find(name).ok_or_else(|| format!("there is no domain `{name}`"))?;
            domains.push(format!("Domain::{known:?}"));
        }
        writeln!(
            source,
            "    (&[{}], {:?}, {:?}),",
            domains.join(", "),
            rule.recall,
            rule.precision
        )
        .map_err(|error| error.to_string())?;
    }
    source.push_str("];\n");
    Ok(source)
}
