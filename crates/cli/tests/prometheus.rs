//! The dashboard's queries and the alert rules, by a real Prometheus that scrapes a real Envoy with
//! traffic of every kind.
//!
//! Calm traffic raises no alert. Then backends fail, bodies are broken, a budget is spent and the policy's source goes wrong:
//! every query has an answer, the alerts that should are raised and the others are not. That each alert rises at its
//! threshold and not below is tested on made-up series by `promtool test rules`. Grafana itself is not run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

#[path = "prometheus/names.rs"]
mod names;
#[path = "prometheus/traffic.rs"]
mod traffic;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Command;

use pointsman::telemetry::{FAMILIES, MetricKind};
use pointsman_harness::envoy::Envoy;
use pointsman_harness::files;
use pointsman_harness::prometheus::{self, Prometheus};
use serde_json::Value;

use pointsman_harness::files::read;
use traffic::World;

/// A query of the dashboard, with its panel.
struct Query {
    panel: String,
    expression: String,
}

/// Every query, with Grafana's variables replaced.
fn queries() -> Vec<Query> {
    let dashboard: Value =
        serde_json::from_str(&read("envoy/grafana/dashboards/pointsman.json")).unwrap();
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap();
            let expression = expression
                .replace("$__rate_interval", "1m")
                .replace("$__range", "1m")
                .replace("$instance", ".+");
            assert!(!expression.contains('$'), "unknown variable: {expression}");
            found.push(Query {
                panel: panel["title"].as_str().unwrap().to_owned(),
                expression,
            });
        }
    }
    found
}

/// Names, expressions and states of the alert rules, as Prometheus has loaded them.
fn alerts(prometheus: &Prometheus) -> Vec<(String, String, String)> {
    let rules = prometheus.get("/api/v1/rules?type=alert").unwrap();
    let groups = rules["groups"].as_array().unwrap().iter();
    groups
        .flat_map(|group| group["rules"].as_array().unwrap())
        .map(|rule| {
            assert_eq!(rule["health"], "ok", "{rule}");
            let text = |name: &str| rule[name].as_str().unwrap().to_owned();
            (text("name"), text("query"), text("state"))
        })
        .collect()
}

/// Names and expressions of the recording rules, as Prometheus has loaded them.
fn recorded(prometheus: &Prometheus) -> Vec<(String, String)> {
    let rules = prometheus.get("/api/v1/rules?type=record").unwrap();
    let groups = rules["groups"].as_array().unwrap().iter();
    groups
        .flat_map(|group| group["rules"].as_array().unwrap())
        .map(|rule| {
            assert_eq!(rule["health"], "ok", "{rule}");
            let text = |name: &str| rule[name].as_str().unwrap().to_owned();
            (text("name"), text("query"))
        })
        .collect()
}

/// The alerts that are not inactive.
fn raised(prometheus: &Prometheus) -> BTreeSet<String> {
    let raised = alerts(prometheus).into_iter();
    raised
        .filter(|(_, _, state)| state != "inactive")
        .map(|(name, _, _)| name)
        .collect()
}

/// Alerts that depend on the machine's load.
const TIMES: [&str; 3] = [
    "PointsmanBackendSlow",
    "PointsmanDecisionsSlow",
    "PointsmanFirstTokenSlow",
];

/// Alerts that may fire under faults, depending on how soon the workers hear of a failing backend.
const CHANCE: [&str; 3] = [
    "PointsmanCostAboveEstimate",
    "PointsmanFallbacks",
    "PointsmanJudgeFails",
];

/// Alerts that the faults must fire.
const TROUBLES: [&str; 8] = [
    "PointsmanAttemptsFail",
    "PointsmanBackendDown",
    "PointsmanBudgetSpent",
    "PointsmanPolicyErrors",
    "PointsmanPolicyRefused",
    "PointsmanRequestsFail",
    "PointsmanUndecided",
    "PointsmanUsageMissing",
];

/// A Prometheus with the shipped configuration that scrapes `target`.
fn watch(target: SocketAddr) -> Prometheus {
    let folder = files::root().join("envoy/prometheus");
    let words = [
        "--config.file=",
        "--storage.tsdb.path=",
        "--web.listen-address=",
    ];
    Prometheus::start(&folder, &words.map(str::to_owned), target)
        .unwrap_or_else(|error| panic!("{error}"))
}

/// The oldest Envoy prefixes the attempt filter's metrics; Prometheus' configuration removes the prefix.
#[test]
fn the_oldest_envoy_shows_every_fault_under_the_same_name() {
    let policy = files::root().join("envoy/policies/quickstart.json");
    let oldest = files::ENVOY_VERSIONS[0];
    let envoy = Envoy::start(oldest, &traffic::render(&policy, oldest));
    let envoy = envoy.unwrap_or_else(|error| panic!("{error}"));
    let prometheus = watch(envoy.admin_address());
    scraped(&prometheus);
    let mut faults = Vec::new();
    for (name, expression, _) in alerts(&prometheus) {
        if expression.contains("increase(") && expression.contains("[15m]") {
            faults.push(name);
            assert_eq!(names::unknown(&prometheus, &expression), [""; 0]);
        }
    }
    assert_eq!(faults.len(), 7, "{faults:?}");
}

#[test]
fn every_query_has_an_answer_and_only_troubles_raise_alerts() {
    let mut world = World::start();
    let prometheus = watch(world.admin());

    for _ in 0..3 {
        world.calm();
        scraped(&prometheus);
    }
    let calm: Vec<String> = raised(&prometheus)
        .into_iter()
        .filter(|name| !TIMES.contains(&name.as_str()))
        .collect();
    assert_eq!(calm, Vec::<String>::new(), "raised by calm traffic");

    world.trouble();
    for _ in 0..3 {
        world.round();
        scraped(&prometheus);
    }
    let wanted: BTreeSet<String> = TROUBLES.map(str::to_owned).into();
    let scraped = |prometheus: &Prometheus| {
        let mut raised = raised(prometheus);
        raised.retain(|name| !TIMES.contains(&name.as_str()) && !CHANCE.contains(&name.as_str()));
        raised
    };
    prometheus.wait_for(|prometheus| scraped(prometheus) == wanted);
    assert_eq!(scraped(&prometheus), wanted, "{}", world.ours());

    let mut wrong = Vec::new();
    let queries = queries();
    assert!(queries.len() > 40, "{} queries", queries.len());
    for Query { panel, expression } in &queries {
        let mut faults = names::unknown(&prometheus, expression);
        match prometheus.query(expression) {
            Ok(series) if series.iter().any(|series| series.value.is_finite()) => {}
            Ok(series) => faults.push(format!("no data: {series:?}")),
            Err(error) => faults.push(error),
        }
        if !faults.is_empty() {
            wrong.push(format!("{panel}: {expression}: {faults:?}"));
        }
    }
    let mut watched: Vec<String> = queries.into_iter().map(|item| item.expression).collect();
    for (name, expression, _) in alerts(&prometheus) {
        watched.push(expression.clone());
        let faults = names::unknown(&prometheus, &expression);
        if !faults.is_empty() {
            wrong.push(format!("{name}: {expression}: {faults:?}"));
        }
    }
    assert!(recorded(&prometheus).len() > 40);
    // So that each documented metric has been seen in Prometheus.
    for family in FAMILIES {
        let metric = family.name.replace('.', "_");
        if !watched.iter().any(|item| item.contains(&metric)) {
            wrong.push(format!("nobody looks at {metric}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", world.ours());
    broken_names_are_found(&prometheus);
}

/// Waits until Prometheus has scraped twice more and evaluated the rules since.
fn scraped(prometheus: &Prometheus) {
    let count =
        |prometheus: &Prometheus, of: &str| prometheus.sum(&format!("count_over_time({of}[10m])"));
    let before = count(prometheus, "up");
    assert!(
        prometheus.wait_for(|prometheus| count(prometheus, "up") >= before + 2.0),
        "{}",
        prometheus.log()
    );
    let evaluated = |prometheus: &Prometheus| {
        let rules = prometheus.get("/api/v1/rules?type=alert").unwrap();
        rules["groups"][0]["lastEvaluation"].to_string()
    };
    let before = evaluated(prometheus);
    assert!(prometheus.wait_for(|prometheus| evaluated(prometheus) != before));
}

/// The checks above find broken names.
fn broken_names_are_found(prometheus: &Prometheus) {
    for (expression, fault) in [
        (
            "sum by (backend) (rate(pointsman_failurez[5m])) > 0",
            "no metric `pointsman_failurez`",
        ),
        (
            "sum by (backends) (rate(pointsman_request_failures[5m])) > 0",
            "no metric has the label `backends`",
        ),
        (
            "rate(pointsman_request_failures{modell=\"x\"}[5m])",
            "`pointsman_request_failures` has no label `modell`",
        ),
        (
            "rate(pointsman_rejections{code=\"quota\"}[5m]) or up",
            "nothing is selected by `pointsman_rejections{code=\"quota\"}`",
        ),
    ] {
        let found = names::unknown(prometheus, expression);
        assert!(
            found.iter().any(|item| item == fault),
            "{expression}: {found:?}"
        );
    }
}

fn promtool(words: &[&str]) -> String {
    let output =
        Command::new(prometheus::binary("promtool").unwrap_or_else(|error| panic!("{error}")))
            .args(words)
            .current_dir(files::root())
            .output()
            .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "promtool {words:?}: {text}");
    text
}

#[test]
fn promtool_takes_configuration_and_rules() {
    promtool(&["check", "config", "envoy/prometheus/prometheus.yml"]);
    for rules in ["alerts.yml", "recording.yml"] {
        let file = format!("envoy/prometheus/{rules}");
        promtool(&["check", "rules", "--lint-fatal", &file]);
    }
}

/// On made-up series: billionths become USD, milliseconds and microseconds seconds.
#[test]
fn recorded_series_are_in_seconds_and_usd() {
    promtool(&["test", "rules", "tests/prometheus/recording.test.yml"]);
}

/// Each counter has a recorded total, each histogram of a time its percentiles in seconds.
#[test]
fn every_counter_and_every_time_is_recorded() {
    let rules: Value = serde_yaml_ng::from_str(&read("envoy/prometheus/recording.yml")).unwrap();
    let groups = rules["groups"].as_array().unwrap().iter();
    let names: BTreeSet<&str> = groups
        .flat_map(|group| group["rules"].as_array().unwrap())
        .map(|rule| rule["record"].as_str().unwrap())
        .collect();
    for family in FAMILIES {
        let name = family.name.replace('.', ":");
        let wanted = match (family.kind, name.strip_suffix("_nano_usd")) {
            (MetricKind::Counter, Some(usd)) => format!("{usd}_usd_total"),
            (MetricKind::Counter, None) => format!("{name}_total"),
            (MetricKind::Histogram, _) => match name.strip_suffix("_ms") {
                Some(time) => format!("{time}_seconds:p99_5m"),
                None if name.ends_with("_us") => {
                    "pointsman:decision_duration_seconds:p99_5m".into()
                }
                None => continue,
            },
            (MetricKind::Gauge, _) => continue,
        };
        assert!(names.contains(wanted.as_str()), "no rule records {wanted}");
    }
}

/// On made-up series: each alert is raised above its threshold, and not just below it.
#[test]
fn each_alert_rises_at_its_threshold() {
    let cases = "tests/prometheus/alerts.test.yml";
    promtool(&["test", "rules", cases]);
    let rules: Value = serde_yaml_ng::from_str(&read("envoy/prometheus/alerts.yml")).unwrap();
    let cases: Value = serde_yaml_ng::from_str(&read(cases)).unwrap();
    for rule in rules["groups"][0]["rules"].as_array().unwrap() {
        let name = rule["alert"].as_str().unwrap();
        let tests = cases["tests"].as_array().unwrap().iter();
        let expected: Vec<bool> = tests
            .flat_map(|test| test["alert_rule_test"].as_array().unwrap())
            .filter(|test| test["alertname"] == name)
            .map(|test| {
                test["exp_alerts"]
                    .as_array()
                    .is_some_and(|all| !all.is_empty())
            })
            .collect();
        assert!(
            expected.contains(&true) && expected.contains(&false),
            "{name} is not tested both ways"
        );
    }
}

/// Without Grafana: the provisioned files fit together, and no panel overlaps another.
#[test]
fn the_dashboard_is_provisioned_whole() {
    let yaml = |path: &str| -> Value { serde_yaml_ng::from_str(&read(path)).unwrap() };
    let sources = yaml("envoy/grafana/provisioning/datasources/prometheus.yml");
    let providers = yaml("envoy/grafana/provisioning/dashboards/pointsman.yml");
    assert_eq!(
        (&sources["apiVersion"], &providers["apiVersion"]),
        (&1.into(), &1.into())
    );
    assert_eq!(sources["datasources"][0]["type"], "prometheus");
    assert_eq!(providers["providers"][0]["type"], "file");
    let interval = &yaml("envoy/prometheus/prometheus.yml")["global"]["scrape_interval"];
    assert_eq!(
        &sources["datasources"][0]["jsonData"]["timeInterval"],
        interval
    );

    let dashboard: Value =
        serde_json::from_str(&read("envoy/grafana/dashboards/pointsman.json")).unwrap();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let variables: Vec<&str> = variables
        .iter()
        .map(|item| item["name"].as_str().unwrap())
        .collect();
    assert_eq!(variables, ["datasource", "instance"]);
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        assert!(["row", "stat", "timeseries"].contains(&panel["type"].as_str().unwrap()));
        let place = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{panel}");
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{} lies on another", panel["title"]);
            }
        }
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"]["uid"], "${datasource}");
            assert!(!panel["targets"].as_array().unwrap().is_empty(), "{panel}");
        }
    }
}

/// The operators' page, and no other, says what to do at each alert.
#[test]
fn the_operators_page_knows_every_alert() {
    let rules: Value = serde_yaml_ng::from_str(&read("envoy/prometheus/alerts.yml")).unwrap();
    let rules = rules["groups"][0]["rules"].as_array().unwrap().iter();
    let wanted: Vec<&str> = rules.map(|rule| rule["alert"].as_str().unwrap()).collect();
    let page = read("docs/operations.md");
    let rows = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `Pointsman"));
    let rows: Vec<String> = rows
        .map(|row| format!("Pointsman{}", row.split('`').next().unwrap()))
        .collect();
    assert_eq!(
        rows, wanted,
        "docs/operations.md, in the order of the rules"
    );
}
