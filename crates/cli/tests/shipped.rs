//! The files we ship for others to run: every Envoy configuration is loaded into real Envoys, and what the documents tell
//! people to type or to read exists. The Compose file is `compose.rs`'s business, Prometheus' files are `prometheus.rs`'s.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod repository;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use pointsman::policy::Policy;
use pointsman::policy::request_attributes::ClientPreference;
use pointsman::telemetry::{FAMILIES, header, state};
use pointsman_harness::envoy::Envoy;
use pointsman_harness::files;

use pointsman_harness::files::{read, yaml};
use repository::{assert_rendered, printed};

/// Paths from the root of every file below `folder` whose name ends so, sorted.
fn files_below(folder: &str, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![files::root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let relative = path.strip_prefix(files::root()).unwrap().to_str().unwrap();
            if path.is_dir() {
                folders.push(path);
            } else if relative.ends_with(ending) {
                found.push(relative.to_owned());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn every_envoy_configuration_loads_into_the_oldest_and_the_newest_envoy() {
    files::module().unwrap();
    let configurations = files_below("envoy", ".yaml");
    assert!(!configurations.is_empty(), "envoy/ holds no configuration");
    for path in configurations {
        // Objects of Kubernetes: held against their kinds' shapes, and their parts run, by the tests of meshes.
        if path.starts_with("envoy/istio/") || path.starts_with("envoy/gateway/") {
            continue;
        }
        // A document of another kind has to be added here together with what checks it.
        assert!(
            yaml(&path).get("static_resources").is_some(),
            "{path} is no Envoy configuration: nothing checks it"
        );
        // Its head says what it is for; nothing is shipped that the newest cannot load.
        let from_1_39 = read(&path).contains("Envoy 1.39 to");
        let versions = files::ENVOY_VERSIONS
            .into_iter()
            .skip(usize::from(from_1_39));
        for version in versions {
            let (accepted, log) = Envoy::validate(version, &files::root().join(&path)).unwrap();
            assert!(accepted, "Envoy {version} refuses {path}:\n{log}");
        }
    }
}

/// The text that `pointsman render` writes.
fn render(arguments: &[&str]) -> String {
    printed(&[&["render"], arguments].concat())
}

const QUICKSTART: &str = "envoy/policies/quickstart.json";

#[test]
fn configurations_are_what_render_writes() {
    assert_rendered("envoy/envoy.yaml");
    assert_rendered("envoy/remote-policy.yaml");
}

#[test]
fn what_is_rendered_is_valid_and_the_same_each_time() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("envoy.yaml");
    for (version, arguments) in [
        ("1.36.2", vec!["envoy", QUICKSTART]),
        ("1.40.0", vec!["envoy", QUICKSTART]),
        (
            "1.40.0",
            vec!["envoy", QUICKSTART, "--envoy-version", "1.40"],
        ),
        ("1.36.2", vec!["envoy", QUICKSTART, "--access-log", "none"]),
        ("1.40.0", vec!["envoy", QUICKSTART, "--access-log", "none"]),
    ] {
        let text = render(&arguments);
        assert_eq!(text, render(&arguments));
        fs::write(&file, &text).unwrap();
        let (accepted, log) = Envoy::validate(version, &file).unwrap();
        assert!(accepted, "Envoy {version} refuses {arguments:?}:\n{log}");
    }
}

/// The filter sets values for logs if anything in the same file prints them.
#[test]
fn values_that_nothing_prints_are_not_set() {
    const NO_VALUES: &str = "\"filter_state\": \"none\",\n";
    const LOG: &str = "access_log:\n";
    let with = |options: &[&str]| render(&[&["envoy", QUICKSTART], options].concat());
    let usual = with(&[]);
    assert!(usual.contains(LOG) && !usual.contains("filter_state"));
    assert_eq!(with(&["--access-log", "json"]), usual);
    let none = with(&["--access-log", "none"]);
    assert!(!none.contains(LOG) && none.contains(NO_VALUES));
    assert!(!none.contains("FILTER_STATE"));
    assert!(none.contains(" --access-log none\n"));
    let otlp = ["--otlp", "127.0.0.1:4317"];
    for version in ["1.36", "1.40"] {
        let options = ["--envoy-version", version, "--access-log", "none"];
        let reported = with(&[&options[..], &otlp].concat());
        assert!(reported.contains(LOG) && !reported.contains("StdoutAccessLog"));
        assert!(!reported.contains("\"filter_state\""));
    }
    let refused = Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .args(["render", "envoy", "--access-log", "none"])
        .arg(policy_with_logged_receipts().path())
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(
        String::from_utf8_lossy(&refused.stderr),
        "error: the policy's `receipts` are for access logs alone (`\"mode\": \"log\"`): leave out `--access-log none`, or make the mode `on`\n"
    );
}

fn policy_with_logged_receipts() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let receipts = "{\"receipts\": {\"mode\": \"log\"},";
    fs::write(file.path(), read(QUICKSTART).replacen('{', receipts, 1)).unwrap();
    file
}

#[test]
fn older_envoys_get_aggregates_with_a_reason() {
    let run = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_pointsman"))
            .args(["render", "envoy"])
            .args(arguments)
            .current_dir(files::root())
            .output()
            .unwrap()
    };
    let message = |arguments: &[&str]| String::from_utf8(run(arguments).stderr).unwrap();
    let note = message(&[QUICKSTART]);
    assert!(
        note.starts_with("note: for Envoy 1.36: 60 aggregate clusters"),
        "{note}"
    );
    assert_eq!(message(&[QUICKSTART, "--envoy-version", "1.39"]), "");
    let refused = message(&[QUICKSTART, "--failover", "per-attempt"]);
    assert_eq!(
        refused,
        "error: `--failover per-attempt` needs Envoy 1.39 or newer: say so with `--envoy-version`\n"
    );
    assert_eq!(run(&["envoy/istio/policy.json"]).status.code(), Some(2));
}

#[test]
fn the_readmes_policy_compiles() {
    let readme = read("README.md");
    let block = readme.split("```json\n").nth(1).unwrap();
    let (_, warnings) = Policy::check(block.split("```").next().unwrap()).unwrap();
    assert_eq!(warnings, []);
}

fn documents() -> Vec<String> {
    let mut found = [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CHANGELOG.md",
    ]
    .map(str::to_owned)
    .to_vec();
    found.extend(files_below("docs", ".md"));
    found.extend(files_below("envoy", ".md"));
    found
}

#[test]
fn documents_link_to_files_and_headings_that_exist() {
    let mut dead = Vec::new();
    for path in documents() {
        let text = read(&path);
        let folder = files::root().join(Path::new(&path).parent().unwrap());
        for part in text.split("](").skip(1) {
            let link = part.split(')').next().unwrap();
            if link.contains("://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = folder.join(file);
            let there = match (file.is_empty(), heading.is_empty()) {
                (_, true) => target.exists(),
                (true, false) => anchors(&text).contains(heading),
                (false, false) => {
                    fs::read_to_string(target).is_ok_and(|text| anchors(&text).contains(heading))
                }
            };
            if !there {
                dead.push(format!("{path}: {link}"));
            }
        }
    }
    assert!(dead.is_empty(), "dead links: {dead:#?}");
}

/// The folders of the repository that documents name files of.
const FOLDERS: [&str; 13] = [
    ".ci/",
    ".github/",
    "benches/",
    "crates/",
    "docs/",
    "envoy/",
    "examples/",
    "fuzz/",
    "models/",
    "src/",
    "tests/",
    "third_party/",
    "tools/",
];

/// The words of inline code that are paths in the repository: of a pattern its folder, of a place within a file the file.
fn paths(text: &str) -> Vec<&str> {
    let codes = text
        .lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2));
    let words = codes.flat_map(|code| code.split([' ', '#', ':', ',']));
    let paths = words.filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder)));
    paths
        .map(|path| match path.split_once(['*', '{', '<']) {
            Some((start, _)) => start.rsplit_once('/').map_or(start, |(folder, _)| folder),
            None => path.trim_end_matches(['/', '.']),
        })
        .collect()
}

#[test]
fn documents_name_paths_that_exist() {
    let mut documents = documents();
    documents.extend(["CODE_OF_CONDUCT.md", "models/README.md"].map(str::to_owned));
    let mut found = 0;
    let mut missing = Vec::new();
    for document in documents {
        for path in paths(&read(&document)) {
            found += 1;
            if !files::root().join(path).exists() {
                missing.push(format!("{document}: {path}"));
            }
        }
    }
    assert!(found > 30, "only {found} paths were recognised");
    assert!(
        missing.is_empty(),
        "documents name what does not exist: {missing:#?}"
    );
    assert_eq!(
        paths("`src/lib.rs:3`, `crates/*/src` and `models/{a,b}.txt`, not `v1/models/NAME`"),
        ["src/lib.rs", "crates", "models"]
    );
}

/// The headings of a document, as links name them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title.chars().filter_map(|letter| match letter {
                ' ' => Some('-'),
                '-' | '_' => Some(letter),
                _ => letter.is_alphanumeric().then_some(letter),
            });
            kept.collect()
        })
        .collect()
}

/// Every name that begins with `start`, as far as `is_name` goes.
fn named<'t>(text: &'t str, start: &str, is_name: fn(char) -> bool) -> Vec<&'t str> {
    let places = text.match_indices(start);
    places
        .map(|(at, _)| {
            let rest = text.split_at(at).1;
            let end = rest.find(|letter| !is_name(letter)).unwrap_or(rest.len());
            rest.split_at(end).0.trim_end_matches(['.', '-', '_'])
        })
        .collect()
}

#[test]
fn documents_name_headers_and_metrics_that_exist() {
    let mut headers: BTreeSet<&str> = header::RESPONSE.iter().map(|(name, _)| *name).collect();
    headers.extend([header::CLUSTER, header::CHAIN, header::STREAM]);
    headers.extend(ClientPreference::ALL.iter().map(|steer| steer.header()));
    // Of a policy's source, and all of ours.
    headers.extend(["x-pointsman-signature", "x-pointsman"]);
    let keys = state::ALL.iter().map(|(key, _)| (*key).to_owned());
    let mut metrics: BTreeSet<String> = keys.collect();
    for family in FAMILIES {
        metrics.insert(family.name.to_owned());
        metrics.insert(family.name.replace('.', "_"));
    }
    let reloads = ["success", "backoff", "failure"];
    metrics.extend(reloads.map(|end| format!("pointsman.vm_reload_{end}")));
    let mut unknown = Vec::new();
    for path in documents() {
        let text = read(&path);
        let is_header = |letter: char| letter.is_ascii_lowercase() || letter == '-';
        for name in named(&text, "x-pointsman", is_header) {
            if !headers.contains(name) {
                unknown.push(format!("{path}: {name}"));
            }
        }
        let is_metric = |letter: char| letter.is_ascii_alphanumeric() || "._".contains(letter);
        let dotted = named(&text, "pointsman.", is_metric);
        for name in dotted
            .into_iter()
            .chain(named(&text, "pointsman_", is_metric))
        {
            let is_file = [".json", ".wasm", ".sig"]
                .iter()
                .any(|end| name.ends_with(end));
            if !is_file && name != "pointsman" && !metrics.contains(name) {
                unknown.push(format!("{path}: {name}"));
            }
        }
    }
    assert!(
        unknown.is_empty(),
        "documents name what does not exist: {unknown:#?}"
    );
}

#[test]
fn documents_name_make_targets_and_subcommands_that_exist() {
    let makefile = read("Makefile");
    let targets: BTreeSet<&str> = makefile
        .lines()
        .filter(|line| !line.starts_with(['\t', '#', '.']))
        .filter_map(|line| line.split_once(':'))
        .map(|(target, _)| target)
        .collect();
    let help = Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .arg("--help")
        .output();
    let help = String::from_utf8(help.unwrap().stdout).unwrap();
    let subcommands: BTreeSet<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .filter_map(|line| line.strip_prefix("  "))
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(targets.contains("demo") && subcommands.contains("check"));

    let mut unknown = Vec::new();
    for path in documents() {
        for (words, known) in [("make ", &targets), ("pointsman ", &subcommands)] {
            for command in typed(&read(&path), words) {
                if !known.contains(command.as_str()) {
                    unknown.push(format!("{path}: {words}{command}"));
                }
            }
        }
    }
    assert!(
        unknown.is_empty(),
        "documents name what does not exist: {unknown:#?}"
    );
}

/// The words behind `start` where inline code or a line of a code block begins with it, as in `make demo`.
fn typed(text: &str, start: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut block = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            block = !block;
            continue;
        }
        let codes: Vec<&str> = if block {
            line.split("&&").map(str::trim_start).collect()
        } else {
            line.split('`').skip(1).step_by(2).collect()
        };
        let rests = codes.iter().filter_map(|code| code.strip_prefix(start));
        found.extend(rests.map(|rest| rest.split([' ', ',']).next().unwrap().to_owned()));
    }
    found.retain(|word| word.starts_with(|first: char| first.is_ascii_lowercase()));
    found
}
