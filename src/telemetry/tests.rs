//! What is documented is what there is.

use super::*;

#[test]
fn a_name_holds_its_tags_in_order() {
    let metric = Metric::decisions("llama-3.1-8b", "gpu-1", "gpu", "auto", "best");
    assert_eq!(
        metric.name,
        "pointsman.decisions.model.llama-3.1-8b.backend.gpu-1.accelerator.gpu.profile.auto.reason.best"
    );
}

#[test]
fn every_metric_belongs_to_a_documented_family() {
    let served = Served {
        model: "m",
        backend: "b",
        accelerator: "a",
        profile: "p",
    };
    let metrics = [
        Metric::request_failures(&served),
        Metric::input_tokens(&served),
        Metric::cached_input_tokens(&served),
        Metric::cache_write_tokens(&served),
        Metric::output_tokens(&served),
        Metric::cost(&served),
        Metric::estimated_cost(&served),
        Metric::baseline_cost(&served),
        Metric::time_to_first_token_ms(&served),
        Metric::request_duration_ms(&served),
        Metric::budget_spent("b", Some("t")),
        Metric::usage_missing("b", "c"),
        Metric::requests_by_task("t", "m"),
        Metric::rule_matches("r"),
        DIFFICULTY_PERCENT,
        DECISION_US,
        CLASSIFIER_ERRORS,
        POLICY_ERRORS,
        HOST_CALL_ERRORS,
        ATTEMPTS_UNRESOLVED,
        SECRETS_MISSING,
        METRICS_DROPPED,
        POLICY_REVISION,
        POLICY_PUBLISHED_TIMESTAMP,
        POLICY_CONFIRMED_TIMESTAMP,
        Metric::policy_polls("accepted"),
        Metric::decisions("m", "b", "a", "p", "r"),
        Metric::count_tokens_requests("m", "b"),
        Metric::unrecognized_requests("path"),
        Metric::shadow_decisions(["m", "b", "a", "p", "r"]),
        Metric::shadow_rejections("model_not_found"),
        Metric::fallbacks("m", "b"),
        Metric::attempt_failures("b"),
        Metric::backend_latency_percent("b"),
        Metric::responses_truncated("b"),
        Metric::foreign_state_dropped("b"),
        Metric::state_origins_guessed("b"),
        Metric::prewarms("b"),
        Metric::prewarm_failures("b"),
        Metric::prewarm_cost("b"),
        SHARED_STATS_BYTES,
        LINEAR_MEMORY_BYTES,
        Metric::request_bypasses("no_policy"),
        Metric::rejections("model_not_found"),
        Metric::policy_active("7"),
    ];
    for metric in &metrics {
        let family = FAMILIES
            .iter()
            .find(|family| {
                let rest = metric.name.strip_prefix(family.name);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
            .unwrap_or_else(|| panic!("{} has no family", metric.name));
        assert_eq!(family.kind, metric.kind, "{}", metric.name);
        for tag in family.tags {
            assert!(
                metric.name.contains(&format!(".{tag}.")),
                "{} lacks {tag}",
                metric.name
            );
        }
    }
    assert_eq!(metrics.len(), FAMILIES.len());
}

#[test]
fn every_tag_has_its_regular_expression() {
    for tag in FAMILIES.iter().flat_map(|family| family.tags) {
        assert!(
            STATS_TAGS.iter().any(|(name, _)| name == tag),
            "{tag} has none"
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
        let space = if family.tags.is_empty() { "" } else { " " };
        let tags = family.tags.join(", ");
        wanted.push(format!(
            "| `{}` | {kind} |{space}{tags} | {} |",
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

/// What a collector makes numbers of is what is one.
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
