//! Checks the names in a PromQL expression against the scraped series: metrics, and labels of selectors and groupings.

use std::collections::BTreeSet;

use pointsman_harness::prometheus::Prometheus;

/// The metrics that an expression names.
#[derive(Debug, Default, PartialEq)]
pub struct Names {
    /// Metrics with their selectors as written, such as `up` and `{job="x"}`.
    selectors: Vec<(String, String)>,
    /// Labels of `by` and `on`.
    grouped: BTreeSet<String>,
}

/// One line for each name that Prometheus does not know.
pub fn unknown(prometheus: &Prometheus, expression: &str) -> Vec<String> {
    let names = parse(expression);
    let is_there = |selector: &str| {
        let found = prometheus.query(&format!("count({selector})"));
        !found
            .unwrap_or_else(|error| panic!("{selector}: {error}"))
            .is_empty()
    };
    let mut wrong = Vec::new();
    for (metric, matchers) in &names.selectors {
        if !is_there(metric) {
            wrong.push(format!("no metric `{metric}`"));
            continue;
        }
        for label in labels(matchers) {
            if !is_there(&format!("{metric}{{{label}!=\"\"}}")) {
                wrong.push(format!("`{metric}` has no label `{label}`"));
            }
        }
        if !matchers.is_empty() && !is_there(&format!("{metric}{matchers}")) {
            wrong.push(format!("nothing is selected by `{metric}{matchers}`"));
        }
    }
    for label in &names.grouped {
        let mut metrics = names.selectors.iter();
        if !metrics.any(|(metric, _)| is_there(&format!("{metric}{{{label}!=\"\"}}"))) {
            wrong.push(format!("no metric has the label `{label}`"));
        }
    }
    if names.selectors.is_empty() {
        wrong.push("no metric at all".to_owned());
    }
    wrong
}

/// The label names in `{job="x",code!~"y"}`.
fn labels(matchers: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = matchers.trim_start_matches('{');
    while let Some((name, after)) = rest.split_once(['=', '!']) {
        found.push(name.trim_matches([',', ' ']).to_owned());
        let value = after.split_once('"').unwrap().1;
        rest = value.split_once('"').unwrap().1;
    }
    found
}

/// Words that are neither functions nor metrics.
const KEYWORDS: [&str; 11] = [
    "and",
    "bool",
    "by",
    "group_left",
    "group_right",
    "ignoring",
    "offset",
    "on",
    "or",
    "unless",
    "without",
];

fn parse(expression: &str) -> Names {
    let mut names = Names::default();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
        let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        match first {
            '[' => rest = &rest[rest.find(']').unwrap()..],
            _ if !is_word(first) => rest = &rest[first.len_utf8()..],
            _ => {
                let word = &rest[..length];
                rest = rest[length..].trim_start();
                if first.is_ascii_digit() {
                    continue;
                }
                if ["by", "on"].contains(&word) {
                    let list = rest.trim_start_matches('(').split(')').next().unwrap();
                    names
                        .grouped
                        .extend(list.split(',').map(|item| item.trim().to_owned()));
                    rest = &rest[rest.find(')').unwrap()..];
                } else if !KEYWORDS.contains(&word)
                    && !rest.starts_with('(')
                    && !is_aggregate(word, rest)
                {
                    let end = if rest.starts_with('{') {
                        rest.find('}').unwrap() + 1
                    } else {
                        0
                    };
                    names
                        .selectors
                        .push((word.to_owned(), rest[..end].to_owned()));
                    rest = &rest[end..];
                }
            }
        }
    }
    names
}

/// `sum by (…) (…)`, as against a metric.
fn is_aggregate(word: &str, rest: &str) -> bool {
    ["sum", "count", "max", "min", "avg"].contains(&word) && rest.starts_with("by")
}

#[test]
fn names_are_found() {
    let names = parse(
        "histogram_quantile(0.99, sum by (backend, le) (rate(a_bucket{x=~\"y|z\"}[5m]))) > 1e9 unless on (instance) b == 1",
    );
    let selector = |metric: &str, matchers: &str| (metric.to_owned(), matchers.to_owned());
    assert_eq!(
        names.selectors,
        [selector("a_bucket", "{x=~\"y|z\"}"), selector("b", "")]
    );
    let grouped: Vec<&str> = names.grouped.iter().map(String::as_str).collect();
    assert_eq!(grouped, ["backend", "instance", "le"]);
    assert_eq!(labels("{job=\"x\",code!~\"y|z\"}"), ["job", "code"]);
}
