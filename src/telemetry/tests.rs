//! Metrics name their labels, and the operators' page documents what is declared.

use super::*;

#[test]
fn a_name_holds_its_labels_in_order() {
    let metric = Metric::decisions("llama-3.1-8b", "gpu-1", "gpu", "auto", "best");
    assert_eq!(
        metric.name,
        "pointsman.decisions.model.llama-3.1-8b.backend.gpu-1.accelerator.gpu.profile.auto.reason.best"
    );
}

/// Each of the macro's forms: without labels, with labels, with those of [`Served`].
#[test]
fn constructors_name_their_family() {
    let served = Served {
        model: "m",
        backend: "b",
        accelerator: "",
        profile: "p",
    };
    for (metric, name) in [
        (Metric::decision_us(), "pointsman.decision_us"),
        (
            Metric::usage_missing("b", "truncated"),
            "pointsman.usage_missing.backend.b.cause.truncated",
        ),
        (
            Metric::request_duration_ms(&served),
            "pointsman.request_duration_ms.model.m.backend.b.accelerator.none",
        ),
        (
            Metric::cost_nano_usd(&served),
            "pointsman.cost_nano_usd.model.m.backend.b.accelerator.none.profile.p",
        ),
    ] {
        assert_eq!(metric.name, name);
        let family = FAMILIES.iter().find(|family| {
            let rest = name.strip_prefix(family.name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        let family = family.unwrap();
        assert_eq!(family.kind, metric.kind, "{name}");
        let labels = name.matches('.').count().div_ceil(2) - 1;
        assert_eq!(family.labels.len(), labels, "{name}");
    }
}

/// By the start of a name its family is found.
#[test]
fn no_family_begins_with_the_name_of_another() {
    for (at, family) in FAMILIES.iter().enumerate() {
        let longer = FAMILIES.iter().enumerate().find(|(other, longer)| {
            let rest = longer.name.strip_prefix(family.name);
            *other != at && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        assert_eq!(longer, None, "{}", family.name);
    }
}

#[test]
fn every_label_has_its_regular_expression() {
    for label in FAMILIES.iter().flat_map(|family| family.labels) {
        assert!(
            STATS_TAGS.iter().any(|(name, _)| name == label),
            "{label} has none"
        );
    }
}

#[test]
fn every_header_is_ours() {
    assert!(header::CLUSTER.starts_with(header::PREFIX));
    for (name, _) in header::RESPONSE {
        assert!(name.starts_with(header::PREFIX));
    }
}

/// The tables of the operators' page, line by line as it must hold them.
#[test]
fn the_operators_page_lists_what_there_is() {
    let page = include_str!("../../docs/operations.md");
    let mut wanted =
        vec!["| metric | kind | labels | what it counts |\n|---|---|---|---|".to_owned()];
    for family in FAMILIES {
        let kind = match family.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        let space = if family.labels.is_empty() { "" } else { " " };
        let labels = family.labels.join(", ");
        wanted.push(format!(
            "| `{}` | {kind} |{space}{labels} | {} |",
            family.name, family.help
        ));
    }
    expect(page, &wanted);
    let mut wanted = vec!["| key | what it says |\n|---|---|".to_owned()];
    wanted.extend(
        state::ALL
            .iter()
            .map(|(key, help)| format!("| `{key}` | {help} |")),
    );
    expect(page, &wanted);
    let mut wanted = vec!["| header | meaning |\n|---|---|".to_owned()];
    let headers = header::RESPONSE.iter();
    wanted.extend(headers.map(|(name, help)| format!("| `{name}` | {help} |")));
    expect(page, &wanted);
}

/// A collector turns exactly the keys with numbers into numbers.
#[test]
fn the_operators_page_makes_numbers_of_all_that_are() {
    let page = include_str!("../../docs/operations.md");
    let statements = page.matches("- set(attributes[").count();
    assert_eq!(statements, state::NUMBERS.len());
    for key in state::NUMBERS {
        let statement = format!("- set(attributes[\"{key}\"], ");
        assert!(page.contains(&statement), "{statement}");
        assert!(state::ALL.iter().any(|(known, _)| known == key), "{key}");
    }
}

fn expect(page: &str, lines: &[String]) {
    let table = format!("{}\n\n", lines.join("\n"));
    assert!(
        page.contains(&table),
        "docs/operations.md should hold:\n{table}"
    );
}
