//! `pointsman calibrate`: fits a policy to labelled prompts of one's own. Without a goal it fits what each model is expected to
//! answer right; with one it chooses the floor of a profile; with a judge's grades, what they are worth. It prints the policy with the change, in the form in which it is
//! written, every other byte as it was.
//!
//! docs/calibrate.md describes the method.

mod floor;
mod judge;
pub mod models;

use std::path::PathBuf;

use pointsman::policy::Policy;

use crate::failure::Failure;
use crate::io::document::Document;
use crate::io::input;
use pointsman_eval::floor::{Goal, choose};
use pointsman_eval::outcomes::{self, Row};
use pointsman_eval::scored::{Examiner, ScoredPrompt};

/// Arguments of `pointsman calibrate`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status: 0 done; 1 the goal cannot be met, or no row is of the policy's models; 2 bad usage, policy or file."
)]
pub struct Args {
    /// The policy, JSON or YAML
    #[arg(long)]
    policy: PathBuf,
    /// Labelled prompts: one JSON object a line with scores of models or a preference between two, plain or gzip
    #[arg(long, required_unless_present = "judge", value_name = "FILE")]
    outcomes: Vec<PathBuf>,
    /// Labelled prompts with the grades that the policy's judge gave them (`judge`): fit what its grades are worth
    #[arg(long, value_name = "FILE", conflicts_with = "outcomes")]
    judge: Vec<PathBuf>,
    /// The profile whose floor is chosen
    #[arg(long, default_value = "auto", value_name = "NAME")]
    profile: String,
    /// Choose the floor at which the strong model gets this share of the requests, 0 to 1
    #[arg(long, value_name = "SHARE", group = "goal")]
    strong_share: Option<f64>,
    /// Choose the highest floor at which requests cost at most this share of the strong model for all, 0 to 1
    #[arg(long, value_name = "SHARE", group = "goal")]
    cost: Option<f64>,
    /// Choose the lowest floor that keeps this mean score, 0 to 1
    #[arg(long, value_name = "SCORE", group = "goal")]
    quality: Option<f64>,
    /// The limit that is the floor
    #[arg(long, value_enum, default_value = "min-quality")]
    limit: floor::Kind,
    /// The strong model; without it the one with the highest mean score
    #[arg(long, value_name = "MODEL")]
    strong: Option<String>,
    /// Where to write the changed policy, which may be the policy itself; without it standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Fits and prints.
pub fn run(args: &Args) -> Result<(), Failure> {
    let (policy, document) = input::read_policy_document(&args.policy)?;
    let mut rows = Vec::new();
    for path in args.outcomes.iter().chain(&args.judge) {
        let contents = outcomes::read(path, None, || {
            let mut examiner = Examiner::new(None);
            move |row: Row| examiner.examine(row)
        })?;
        for bad in &contents.bad {
            eprintln!("{}:{}: {}", path.display(), bad.line, bad.message);
        }
        rows.extend(contents.rows);
    }
    let changed = match goal(args)? {
        _ if !args.judge.is_empty() => judge::fit(&policy, &document, &rows)?,
        Some(goal) => choose_floor(args, &policy, &document, &rows, goal)?,
        None => models::fit_models(&policy, &document, &rows)?,
    };
    // Nothing is written that is not a policy.
    Policy::compile(&changed.json)
        .map_err(|error| Failure::Failed(format!("the change would break the policy: {error}")))?;
    input::write(args.output.as_deref(), &changed.text)
}

fn goal(args: &Args) -> Result<Option<Goal>, Failure> {
    let goal = [
        args.strong_share.map(Goal::StrongShare),
        args.cost.map(Goal::Cost),
        args.quality.map(Goal::Quality),
    ]
    .into_iter()
    .flatten()
    .next();
    match goal {
        Some(goal) if !(0.0..=1.0).contains(&goal.wanted()) => Err(Failure::Input(format!(
            "the goal is {}, not 0 to 1",
            goal.wanted()
        ))),
        goal => Ok(goal),
    }
}

fn choose_floor(
    args: &Args,
    policy: &Policy,
    document: &Document,
    rows: &[ScoredPrompt],
    goal: Goal,
) -> Result<Document, Failure> {
    let profile = policy
        .find_profile(&args.profile)
        .ok_or_else(|| Failure::Input(format!("the policy has no profile `{}`", args.profile)))?;
    let floor = args.limit.into();
    let choice = choose(policy, profile, rows, goal, floor, args.strong.as_deref())?;
    for line in &choice.report {
        eprintln!("{line}");
    }
    floor::write(document, profile, floor, choice.value)
        .ok_or_else(|| Failure::Failed("the policy has no place for the floor".into()))
}
