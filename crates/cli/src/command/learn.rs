//! `pointsman learn`: what outcomes say of the models of a policy, from feedback, access logs and labelled prompts. It fits what
//! the filter learns online, by the same code, and writes it into the policy as the `calibration` of each model.
//!
//! Reads streams and keeps sums, so logs may be of any size, and shards can be added up. docs/learning.md describes it.

use std::path::{Path, PathBuf};

use pointsman::analysis::classifier::Task;
use pointsman::policy::Policy;
use pointsman::state::learned_quality::{Learned, Recorded};
use pointsman_eval::learner::{Learner, Lesson};
use pointsman_eval::outcomes::{self, Row};
use pointsman_eval::scored::Examiner;

use super::calibrate::models::write_calibrations;
use crate::failure::Failure;
use crate::io::input;
use crate::io::receipts::{self, Item};

/// Arguments of `pointsman learn`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status: 0 done; 1 nothing was learned, or what was learned does worse on the outcomes that were held out; 2 bad usage, policy or file."
)]
pub struct Args {
    /// The policy, JSON or YAML
    #[arg(long)]
    policy: PathBuf,
    /// Feedback: one JSON object a line, as `POST /v1/feedback` takes it; `-` is standard input
    #[arg(long, value_name = "FILE")]
    feedback: Vec<PathBuf>,
    /// Access logs with receipts, one JSON object a line; `-` is standard input
    #[arg(long, value_name = "ACCESS_LOG")]
    log: Vec<PathBuf>,
    /// Labelled prompts: one JSON object a line with scores of models or a preference between two
    #[arg(long, value_name = "FILE")]
    outcomes: Vec<PathBuf>,
    /// Add sums that `--partial` wrote
    #[arg(long, value_name = "FILE")]
    merge: Vec<PathBuf>,
    /// Write the sums of what was read, to be merged later, and no policy
    #[arg(long, value_name = "FILE", conflicts_with = "out")]
    partial: Option<PathBuf>,
    /// Write the policy with what was learned, which may be the policy itself
    #[arg(long, value_name = "POLICY")]
    out: Option<PathBuf>,
}

/// Counts of the outcomes that were read, by what was done with them.
#[derive(Debug, Default)]
struct Counts {
    counted: u64,
    unknown_model: u64,
    other_classifier: u64,
    void: u64,
    unreadable: u64,
}

impl Counts {
    fn add(&mut self, recorded: Recorded) {
        match recorded {
            Recorded::Counted => self.counted += 1,
            Recorded::UnknownModel => self.unknown_model += 1,
            Recorded::OtherClassifier => self.other_classifier += 1,
            Recorded::Void | Recorded::Off | Recorded::Capped => self.void += 1,
        }
    }

    fn say(&self) {
        eprintln!("{} outcomes counted", self.counted);
        for (count, why) in [
            (
                self.unknown_model,
                "are of models that the policy does not have",
            ),
            (
                self.other_classifier,
                "are of another version of the classifier",
            ),
            (self.void, "say nothing"),
            (self.unreadable, "lines or receipts cannot be read"),
        ] {
            if count > 0 {
                eprintln!("{count} {why}");
            }
        }
    }
}

/// Learns and reports.
pub fn run(args: &Args) -> Result<(), Failure> {
    let (policy, document) = input::read_policy_document(&args.policy)?;
    let mut learner = Learner::new(&policy);
    let mut counts = Counts::default();
    for path in args.feedback.iter().chain(&args.log) {
        read_receipts(path, &policy, &mut learner, &mut counts)?;
    }
    for path in &args.outcomes {
        let contents = outcomes::read(path, None, || {
            let mut examiner = Examiner::new(None);
            move |row: Row| examiner.examine(row)
        })?;
        counts.unreadable += contents.bad.len() as u64;
        for row in &contents.rows {
            counts.counted += learner.add_row(row) as u64;
        }
    }
    for path in &args.merge {
        let merged = learner.merge(&input::read(path)?);
        merged.map_err(|problem| Failure::Input(format!("`{}`: {problem}", path.display())))?;
    }
    let reads = !(args.feedback.is_empty() && args.log.is_empty() && args.outcomes.is_empty());
    if reads || args.merge.is_empty() {
        counts.say();
    }
    if let Some(path) = &args.partial {
        let bytes = learner.partial();
        return std::fs::write(path, bytes).map_err(|error| {
            Failure::Input(format!("cannot write `{}`: {error}", path.display()))
        });
    }
    let lesson = learner.finish();
    report(&policy, &lesson);
    if lesson.calibrations.iter().all(Option::is_none) {
        return Err(Failure::Failed(
            "no outcome is of a model of the policy: nothing was learned".into(),
        ));
    }
    if lesson.held_out.is_worse() {
        return Err(Failure::Failed(
            "on the outcomes that were held out the policy does better as it is: nothing was written".into(),
        ));
    }
    let Some(out) = &args.out else {
        return Ok(());
    };
    let changed = write_calibrations(&policy, &document, &lesson.calibrations)?;
    Policy::compile(&changed.json)
        .map_err(|error| Failure::Failed(format!("the change would break the policy: {error}")))?;
    input::write(Some(out), &changed.text)
}

/// Adds the outcomes of a file of feedback or of an access log.
fn read_receipts(
    path: &Path,
    policy: &Policy,
    learner: &mut Learner<'_>,
    counts: &mut Counts,
) -> Result<(), Failure> {
    receipts::each_line(path, |line| {
        receipts::read_line(line, policy, |item| match item {
            Item::Outcome(outcome) => counts.add(learner.add_outcome(&outcome)),
            Item::Unreadable => counts.unreadable += 1,
        });
    })
}

/// Prints what was learned to standard error.
fn report(policy: &Policy, lesson: &Lesson) {
    let percent = |share: f32| share * 100.0;
    for (model, learned) in policy.registry.models.iter().zip(&lesson.learned) {
        let Some(quality) = learned.quality else {
            continue;
        };
        let [low, high] = quality.range.map(percent);
        eprintln!(
            "{}: {:.0} outcomes, quality {:.1} % (90 % interval {low:.1} to {high:.1}), stated {:.1} %",
            model.name,
            learned.count,
            percent(quality.learned),
            percent(quality.stated)
        );
        for (task, (offset, deviation)) in tasks(learned) {
            eprintln!(
                "  {}: {offset:+.2} ± {:.2} in logits",
                task.name(),
                1.645 * deviation
            );
        }
    }
    let held = &lesson.held_out;
    if held.count > 0.0 {
        eprintln!(
            "on {:.0} outcomes that were held out: log-loss {:.4} before, at most {:.4} after; calibration error {:.3} before, {:.3} after",
            held.count, held.loss_before, held.loss_after, held.error_before, held.error_after
        );
    }
}

/// The change of the logit of prompts of each task that differs from the others by more than rounding, and its deviation.
fn tasks(learned: &Learned) -> impl Iterator<Item = (Task, (f32, f32))> {
    let calibration = learned.calibration;
    let values = calibration.tasks.into_iter().zip(learned.deviations);
    let named = Task::ALL.iter().copied().zip(values);
    named
        .filter(|(_, (offset, _))| offset.abs() >= 0.01)
        .map(move |(task, (offset, deviation))| (task, (calibration.offset + offset, deviation)))
}
