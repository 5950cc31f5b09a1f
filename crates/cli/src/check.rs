//! `pointsman check`: every error and every warning of a policy at once, each with its line and column.

use std::path::{Path, PathBuf};

use pointsman::policy::verify::PublicKey;
use pointsman::policy::{InvalidPolicy, Policy, Problem};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::input;
use crate::sign;

/// Exit status: 0 every policy compiles; 1 at least one would be refused; 2 a file cannot be read.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status: 0 every policy compiles; 1 at least one would be refused; 2 bad usage, or a file cannot be read."
)]
pub struct Args {
    /// Policy files as JSON; `-` is standard input
    #[arg(required = true)]
    policies: Vec<PathBuf>,
    /// Hold each policy to the signature in POLICY.sig, made by the owner of this key; several may be named
    #[arg(long = "public-key", value_name = "KEY", value_parser = sign::parse_public_key)]
    public_keys: Vec<PublicKey>,
    /// Print one JSON document instead of lines for people
    #[arg(long)]
    json: bool,
}

/// Checks each policy and prints what is wrong with it.
pub fn run(args: &Args) -> Result<(), Failure> {
    let mut reports = Vec::new();
    let mut invalid = 0;
    for path in &args.policies {
        let text = input::read_text(path)?;
        let name = path.display().to_string();
        let compiled =
            check_signature(path, &text, &args.public_keys).and_then(|()| Policy::check(&text));
        invalid += usize::from(compiled.is_err());
        if args.json {
            reports.push(report(&name, &compiled.map_err(|error| error.problems)));
            continue;
        }
        match compiled {
            Ok((policy, warnings)) => {
                print(&name, "warning", &warnings);
                println!("{name}: ok: {}", summary(&policy));
            }
            Err(error) => print(&name, "error", &error.problems),
        }
    }
    if args.json {
        println!("{:#}", Value::Array(reports));
    }
    match invalid {
        0 => Ok(()),
        1 => Err(Failure::Unmet("1 policy would be refused".into())),
        _ => Err(Failure::Unmet(format!(
            "{invalid} policies would be refused"
        ))),
    }
}

/// Like a proxy, which reads nothing of a document that is not signed: then that is all that is said of it.
fn check_signature(path: &Path, text: &str, keys: &[PublicKey]) -> Result<(), InvalidPolicy> {
    if keys.is_empty() {
        return Ok(());
    }
    sign::check(path, text.as_bytes(), keys).map_err(|unverified| InvalidPolicy {
        problems: vec![Problem {
            at: "policy".into(),
            message: unverified.to_string(),
            line: 1,
            column: 1,
        }],
    })
}

fn print(name: &str, severity: &str, problems: &[Problem]) {
    for problem in problems {
        let (line, column) = (problem.line, problem.column);
        println!("{name}:{line}:{column}: {severity}: {problem}");
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

fn report(name: &str, compiled: &Result<(Policy, Vec<Problem>), Vec<Problem>>) -> Value {
    match compiled {
        Ok((policy, warnings)) => json!({
            "policy": name,
            "ok": true,
            "version": policy.version,
            "problems": listed("warning", warnings),
        }),
        Err(errors) => json!({
            "policy": name,
            "ok": false,
            "problems": listed("error", errors),
        }),
    }
}

fn listed(severity: &str, problems: &[Problem]) -> Vec<Value> {
    let one = |problem: &Problem| {
        json!({
            "severity": severity,
            "at": problem.at,
            "line": problem.line,
            "column": problem.column,
            "message": problem.message,
        })
    };
    problems.iter().map(one).collect()
}
