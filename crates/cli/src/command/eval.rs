//! `pointsman eval`: how well the router does on outcomes of real models. Runs the filter's own classifier and selector over
//! outcome files and reports quality against cost, the share of the gap recovered between two models, and calibration.
//!
//! Trains and changes nothing. docs/eval.md describes each figure.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use pointsman::policy::Policy;
use pointsman::policy::judge::{Judge, JudgeMode};

use crate::failure::Failure;
use crate::io::input;
use pointsman_eval::benchmarks::Benchmarks;
use pointsman_eval::file::{Report, Setting, report};
use pointsman_eval::fleet::Fleet;
use pointsman_eval::grades::NOISE;
use pointsman_eval::judge::{DRAWS, JudgeSetting};
use pointsman_eval::learning_curve::AfterPrompts;
use pointsman_eval::others::OtherLearner;
use pointsman_eval::outcomes::{self, Row};
use pointsman_eval::pairing::find_pair;
use pointsman_eval::scored::{Examiner, ScoredPrompt};
use pointsman_eval::{html, overall, report_json, report_text, stream};

/// How many bad lines of a file are named.
const BAD_NAMED: usize = 20;

/// Arguments of `pointsman eval`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status: 0 measured; 1 no file has a row with an outcome; 2 bad usage, policy or file."
)]
pub struct Args {
    /// Outcomes: one JSON object a line, plain or gzip; may be given more than once
    #[arg(long, required_unless_present = "judge", value_name = "FILE")]
    outcomes: Vec<PathBuf>,
    /// Outcomes with grades of a judge (`judge`), or rated ones, whose grades are simulated: also report what the judge adds; may be
    /// given more than once
    #[arg(long, value_name = "FILE")]
    judge: Vec<PathBuf>,
    /// With --judge: the standard deviation of the error of simulated grades, in logits
    #[arg(long, requires = "judge", default_value_t = NOISE, value_name = "LOGITS")]
    judge_noise: f64,
    /// With --judge: how many errors of simulated grades are drawn for each row; figures are means over them
    #[arg(long, requires = "judge", default_value_t = DRAWS, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100))]
    judge_draws: u64,
    /// The policy as JSON; without one a fleet is made of the models that each file names
    #[arg(long)]
    policy: Option<PathBuf>,
    /// Benchmark scores of further models, in the form of models/benchmarks.json
    #[arg(long, value_name = "BENCHMARKS.json")]
    models: Option<PathBuf>,
    /// The pair for APGR and CPT; without it the cheapest and the best model of each file
    #[arg(long, value_name = "WEAK:STRONG")]
    pair: Option<String>,
    /// Also report AUC, ECE and savings after this many prompts whose outcomes are known, drawn at random
    #[arg(long, value_name = "N[,N…]", value_delimiter = ',')]
    after: Vec<usize>,
    /// With --after: of each prompt only the outcome of one model is known, as in a running system
    #[arg(long, requires = "after")]
    one_per_prompt: bool,
    /// Write what is known and expected of each row, and the draws of --after, for other learners; no text of a prompt
    #[arg(long, value_name = "FILE")]
    stream: Option<PathBuf>,
    /// Draw the learning curves of another learner beside ours in the HTML report: what tools/learners wrote; may be given more
    /// than once
    #[arg(long, requires = "after", value_name = "FILE")]
    compare: Vec<PathBuf>,
    /// Read at most this many rows of each file
    #[arg(long, value_name = "N")]
    max_rows: Option<usize>,
    /// Write the report as JSON; `-` is standard output, instead of the text
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as one HTML page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// One file, read.
struct ScoredFile {
    name: String,
    rows: Vec<ScoredPrompt>,
    bad: Vec<outcomes::BadLine>,
}

/// Measures and reports.
pub fn run(args: &Args) -> Result<(), Failure> {
    let mut policy = args.policy.as_deref().map(input::read_policy).transpose()?;
    let judge = judge(args, policy.as_mut())?;
    let benchmarks = Benchmarks::with(args.models.as_deref())?;
    let files = args
        .outcomes
        .iter()
        .chain(&args.judge)
        .map(|path| read(path, args, policy.as_ref()))
        .collect::<Result<Vec<ScoredFile>, Failure>>()?;
    let pair = args
        .pair
        .as_deref()
        .map(|pair| find_pair(pair, files.iter().flat_map(|file| &file.rows)))
        .transpose()?;
    let setting = Setting {
        policy: policy.as_ref(),
        benchmarks: &benchmarks,
        pair,
        after: AfterPrompts {
            counts: args.after.clone(),
            one_per_prompt: args.one_per_prompt,
        },
        judge,
        others: args
            .compare
            .iter()
            .map(|path| other(path))
            .collect::<Result<_, _>>()?,
    };
    if let Some(path) = &args.stream {
        write_stream(path, &files, &setting)?;
    }
    let reports: Vec<Report> = files
        .into_iter()
        .map(|file| report(&file.name, &file.rows, file.bad, &setting))
        .collect();
    warn_of_unused(&setting.others, &reports);
    if policy.is_some()
        && reports.iter().all(|report| report.count == 0)
        && reports.iter().any(|report| report.without > 0)
    {
        eprintln!("warning: no row has an outcome of a model of the policy");
    }
    let overall = overall::report(&reports);
    write_all(args, &reports, &overall)?;
    if overall.count == 0 {
        return Err(Failure::Failed(
            "no row has an outcome: nothing was measured".into(),
        ));
    }
    Ok(())
}

/// The judge that is replayed: the policy's, else a free one with the default evidence, which the policy then has. Without
/// `--judge` the policy has none.
fn judge(args: &Args, policy: Option<&mut Policy>) -> Result<Option<JudgeSetting>, Failure> {
    let noise = args.judge_noise;
    if !noise.is_finite() || noise < 0.0 {
        let problem = format!("`--judge-noise` is {noise}: not a number from 0");
        return Err(Failure::Input(problem));
    }
    let stated = policy.as_ref().and_then(|policy| policy.judge.clone());
    let judge = (!args.judge.is_empty()).then(|| Judge {
        mode: JudgeMode::Enforce,
        ..stated.unwrap_or_default()
    });
    if let Some(policy) = policy {
        policy.judge = judge.clone();
    }
    let draws = args.judge_draws;
    Ok(judge.map(|judge| JudgeSetting {
        judge,
        noise,
        draws,
    }))
}

fn read(path: &Path, args: &Args, policy: Option<&Policy>) -> Result<ScoredFile, Failure> {
    let contents = outcomes::read(path, args.max_rows, || {
        let mut examiner = Examiner::new(policy).with_noise(args.judge_noise, args.judge_draws);
        move |row: Row| examiner.examine(row)
    })?;
    let name = path.display().to_string();
    for bad in contents.bad.iter().take(BAD_NAMED) {
        eprintln!("{name}:{}: {}", bad.line, bad.message);
    }
    if contents.bad.len() > BAD_NAMED {
        eprintln!("{name}: {} more bad lines", contents.bad.len() - BAD_NAMED);
    }
    Ok(ScoredFile {
        name,
        rows: contents.rows,
        bad: contents.bad,
    })
}

/// Names the learners of which no curve can be drawn.
fn warn_of_unused(others: &[OtherLearner], reports: &[Report]) {
    for other in others {
        let is_used = |report: &Report| report.others.iter().any(|(name, _)| *name == other.name);
        if !reports.iter().any(is_used) {
            eprintln!(
                "warning: `{}` has no curve of these files with these draws (files are compared by their names as given)",
                other.name
            );
        }
    }
}

fn other(path: &Path) -> Result<OtherLearner, Failure> {
    let wrong = |problem: String| Failure::Input(format!("`{}`: {problem}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    OtherLearner::parse(&text).map_err(wrong)
}

fn write_stream(path: &Path, files: &[ScoredFile], setting: &Setting<'_>) -> Result<(), Failure> {
    let failed = |error| Failure::Input(format!("cannot write `{}`: {error}", path.display()));
    let mut out = BufWriter::new(File::create(path).map_err(failed)?);
    for file in files {
        let fleet = Fleet::new(&file.rows, setting.policy, setting.benchmarks);
        let (policy, asked) = (setting.policy, &setting.after);
        stream::write(&mut out, &file.name, &fleet, &file.rows, policy, asked).map_err(failed)?;
    }
    out.flush().map_err(failed)
}

fn write_all(args: &Args, reports: &[Report], overall: &Report) -> Result<(), Failure> {
    let to_output = args.json.as_deref() == Some(Path::new("-"));
    if !to_output {
        print(&report_text::text(reports, overall))?;
    }
    if let Some(path) = &args.json {
        let text = format!("{:#}\n", report_json::document(reports, overall));
        if to_output {
            print(&text)?;
        } else {
            write(path, &text)?;
        }
    }
    if let Some(path) = &args.html {
        write(path, &html::page(reports, overall))?;
    }
    Ok(())
}

fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        // The reader has enough, as with `| head`.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        done => done.map_err(|error| Failure::Failed(format!("cannot write: {error}"))),
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
        .map_err(|error| Failure::Input(format!("cannot write `{}`: {error}", path.display())))
}
