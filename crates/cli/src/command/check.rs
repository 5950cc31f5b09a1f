//! `pointsman check`: every error and every warning of a policy at once, each with its line and column.

mod cases;
mod snippet;

use std::path::{Path, PathBuf};

use annotate_snippets::Level;
use pointsman::control::signature::PublicKey;
use pointsman::policy::{InvalidDocument, Policy, Problem, Undecided, UndecidedReason};
use serde_json::{Value, json};

use crate::command::sign;
use crate::failure::Failure;
use crate::io::document::Document;
use crate::io::input;

/// The value of --cases for the file next to each policy.
const BESIDE: &str = "NAME.cases.jsonl";

/// Exit status: 0 every policy compiles and every case holds; 1 at least one would be refused; 2 a file cannot be read.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status: 0 every policy compiles and every case holds; 1 at least one would be refused or fails, or has a \
                  warning with --strict; 2 bad usage, or a file cannot be read. How cases are written: docs/testing-a-policy.md."
)]
pub struct Args {
    /// Policy files, JSON or YAML; `-` is standard input
    #[arg(required = true)]
    policies: Vec<PathBuf>,
    /// Run test cases too: those of FILE, or of NAME.cases.jsonl next to each policy NAME
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = BESIDE)]
    cases: Option<PathBuf>,
    /// Warnings fail too
    #[arg(long)]
    strict: bool,
    /// Hold each policy to the signature in POLICY.sig, made by the owner of this key; several may be named
    #[arg(long = "public-key", value_name = "KEY", value_parser = sign::parse_public_key)]
    public_keys: Vec<PublicKey>,
    /// Print one JSON document instead of lines for people
    #[arg(long)]
    json: bool,
}

/// The result of one policy.
struct Checked {
    name: String,
    /// The text whose lines are shown, if any are.
    text: Option<String>,
    compiled: Result<(Policy, Vec<Problem>), Vec<Problem>>,
    cases: Option<cases::Report>,
}

/// Checks each policy and prints what is wrong with it.
pub fn run(args: &Args) -> Result<(), Failure> {
    let mut reports = Vec::new();
    let (mut invalid, mut doubtful, mut failed) = (0, 0, 0);
    for path in &args.policies {
        let checked = check(args, path)?;
        match &checked.compiled {
            Ok((_, warnings)) => doubtful += usize::from(args.strict && !warnings.is_empty()),
            Err(_) => invalid += 1,
        }
        failed += checked.cases.as_ref().map_or(0, |cases| cases.failed.len());
        if args.json {
            reports.push(report(&checked));
        } else {
            print_checked(&checked);
        }
    }
    if args.json {
        println!("{:#}", Value::Array(reports));
    }
    let failed = [
        (
            invalid,
            "policy would be refused",
            "policies would be refused",
        ),
        (doubtful, "policy has warnings", "policies have warnings"),
        (failed, "case fails", "cases fail"),
    ];
    let failed: Vec<String> = failed
        .iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, one, many)| format!("{count} {}", if *count == 1 { one } else { many }))
        .collect();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::Failed(failed.join(", ")))
    }
}

fn check(args: &Args, path: &Path) -> Result<Checked, Failure> {
    let document = input::read_document(path)?;
    let verified = check_signature(path, &document.text, &args.public_keys);
    // A document without a valid signature is not read, so no line of it is shown.
    let text = verified.is_ok().then(|| document.text.clone());
    let compiled = verified
        .and_then(|()| Policy::check(&document.json))
        .map(|(policy, warnings)| (policy, placed(&document, warnings)))
        .map_err(|error| placed(&document, error.problems));
    let cases = match (&args.cases, &compiled) {
        (Some(cases), Ok((policy, _))) if cases.as_os_str() == BESIDE => {
            Some(cases::run(policy, &path.with_extension("cases.jsonl"))?)
        }
        (Some(cases), Ok((policy, _))) => Some(cases::run(policy, cases)?),
        _ => None,
    };
    Ok(Checked {
        name: path.display().to_string(),
        text,
        compiled,
        cases,
    })
}

/// The problems at their places in the text as it was written.
fn placed(document: &Document, mut problems: Vec<Problem>) -> Vec<Problem> {
    for problem in &mut problems {
        (problem.line, problem.column) = document.place(problem.line, problem.column);
    }
    problems
}

fn print_checked(checked: &Checked) {
    let name = &checked.name;
    match &checked.compiled {
        Ok((policy, warnings)) => {
            print(checked, "warning", Level::WARNING, warnings);
            println!("{name}: ok: {}", summary(policy));
            println!("{name}: {}", undecided(policy));
        }
        Err(problems) => print(checked, "error", Level::ERROR, problems),
    }
    if let Some(cases) = &checked.cases {
        for (line, wrong) in &cases.failed {
            println!("{name}: case in line {line} fails: {wrong}");
        }
        let held = cases.count - cases.failed.len();
        println!("{name}: {held} of {} cases hold", cases.count);
    }
}

/// Like a proxy, which reads nothing of a document that is not signed: the missing signature is then its only problem.
fn check_signature(path: &Path, text: &str, keys: &[PublicKey]) -> Result<(), InvalidDocument> {
    if keys.is_empty() {
        return Ok(());
    }
    sign::check(path, text.as_bytes(), keys).map_err(|unverified| InvalidDocument {
        problems: vec![Problem {
            at: "policy".into(),
            message: unverified.to_string(),
            line: 1,
            column: 1,
        }],
    })
}

fn print(checked: &Checked, severity: &str, level: Level<'static>, problems: &[Problem]) {
    let name = &checked.name;
    for problem in problems {
        let (line, column) = (problem.line, problem.column);
        println!("{name}:{line}:{column}: {severity}: {problem}");
        let text = checked.text.as_deref();
        if let Some(source) = text.and_then(|text| snippet::render(text, problem, level.clone())) {
            println!("{source}");
        }
    }
}

fn summary(policy: &Policy) -> String {
    format!(
        "version {}, {} models, {} backends, {} profiles",
        policy.version,
        policy.registry.models.len(),
        policy.registry.backends.len(),
        policy.profiles.len()
    )
}

/// How requests that cannot be decided on are treated, and why.
fn undecided(policy: &Policy) -> String {
    let (then, reason) = policy.undecided();
    let then = match (then, reason) {
        (Undecided::Reject, _) => "refused",
        (Undecided::Bypass, UndecidedReason::Shadow) => "passed on to the default cluster",
        (Undecided::Bypass, UndecidedReason::Stated) => {
            "passed on to the default cluster, but for those that name a profile"
        }
        (Undecided::Bypass, _) => {
            "passed on to the default cluster, but for those that may name a profile"
        }
    };
    let because = policy.undecided_because();
    format!("requests that cannot be decided on are {then}: {because}")
}

fn report(checked: &Checked) -> Value {
    let mut report = match &checked.compiled {
        Ok((policy, warnings)) => json!({
            "policy": checked.name,
            "ok": true,
            "version": policy.version,
            "on_undecided": match policy.undecided().0 {
                Undecided::Reject => "reject",
                Undecided::Bypass => "bypass",
            },
            "undecided_because": policy.undecided_because(),
            "problems": listed("warning", warnings),
        }),
        Err(errors) => json!({
            "policy": checked.name,
            "ok": false,
            "problems": listed("error", errors),
        }),
    };
    if let (Some(cases), Some(fields)) = (&checked.cases, report.as_object_mut()) {
        let failed: Vec<Value> = cases
            .failed
            .iter()
            .map(|(line, wrong)| json!({"line": line, "message": wrong}))
            .collect();
        let cases = json!({"count": cases.count, "failed": failed});
        fields.insert("cases".into(), cases);
    }
    report
}

fn listed(severity: &str, problems: &[Problem]) -> Vec<Value> {
    let to_json = |problem: &Problem| {
        json!({
            "severity": severity,
            "at": problem.at,
            "line": problem.line,
            "column": problem.column,
            "message": problem.message,
        })
    };
    problems.iter().map(to_json).collect()
}
