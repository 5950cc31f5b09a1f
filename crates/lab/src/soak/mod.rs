//! `pointsman-lab soak`: what grows when many requests meet many backends. One Envoy with two workers,
//! configured for a fleet of its own as `pointsman render` does it, failover included, and a server on the loopback address that
//! answers at once.
//!
//! Samples Envoy's resident memory, that of the module's virtual machines (their memory never shrinks, so growth is seen
//! for certain), and the size of the record that workers share. It never fails because of time: only where one of the last two
//! is over its bound, or a request is not answered with 200; with a judge also if a request or a question has no end.

mod feedback;
mod fleet;
mod judge;
mod report;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use tokio::task::JoinSet;

use crate::bench::upstream;
use crate::envoy::{self, AccessLog, Config, Envoy};
use feedback::Feedback;
use judge::SoakJudge;
use pointsman_cli::failure::Failure;
use pointsman_cli::io::http::Connection;
use report::{JudgeEnds, Report, Sample};

/// How many times is looked during the whole run.
const SAMPLES: u32 = 24;

/// Arguments of `pointsman-lab soak`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The Envoy binary
    #[arg(long, value_name = "FILE", default_value = "target/envoy/envoy-1.40.0")]
    envoy: PathBuf,
    /// The filter
    #[arg(long, value_name = "FILE", default_value = "target/pointsman.wasm")]
    module: PathBuf,
    /// How many backends the policy has
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    backends: u32,
    /// How many requests are sent, unless the time is over before
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000)]
    requests: u64,
    /// The least time that it takes, in minutes: requests go on until then
    #[arg(long, value_name = "MINUTES", default_value_t = 10.0)]
    minutes: f64,
    /// The most time that it takes, in minutes
    #[arg(long, value_name = "MINUTES", default_value_t = 60.0)]
    most_minutes: f64,
    /// How many connections send at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 16)]
    connections: u32,
    /// How many receipts a second are sent as feedback among the requests, in lists as long as feedback may be; 0 sends none
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    feedback_per_second: u32,
    /// Ask a simulated judge about the prompts, which takes 30 ms, and let it grade a tenth of the answers
    #[arg(long)]
    judge: bool,
    /// How many requests of a hundred come from clients that leave after 10 ms, while the judge is asked
    #[arg(long, value_name = "PERCENT", default_value_t = 0, requires = "judge",
          value_parser = clap::value_parser!(u64).range(0..=100))]
    leave_percent: u64,
    /// Where the figures go as JSON
    #[arg(long, value_name = "FILE", default_value = "target/soak.json")]
    output: PathBuf,
}

/// State that the connections share.
#[derive(Debug, Default)]
struct Progress {
    /// Requests that were begun; the number of each is its conversation.
    begun: AtomicU64,
    answered: AtomicU64,
    /// Clients that have left.
    left: AtomicU64,
    stop: Arc<AtomicBool>,
}

/// Connections that send feedback.
const FEEDBACK_CONNECTIONS: u32 = 2;

/// Sends, samples, prints the table and writes the JSON.
///
/// # Errors
/// [`Failure::Input`] if Envoy, the configuration or the module is missing; [`Failure::Failed`] if Envoy does not start, a
/// request is not answered with 200, or a bound is not kept.
pub fn run(args: &Args) -> Result<(), Failure> {
    envoy::require(&args.envoy, "make setup")?;
    envoy::require(&args.module, "make wasm")?;
    let upstream = upstream::start()?;
    let runtime = pointsman_cli::runtime()?;
    let version = envoy::version(&args.envoy)?;
    let learns = args.feedback_per_second > 0;
    let mut policy = fleet::policy(args.backends, upstream);
    if learns {
        policy = feedback::learning(policy);
    }
    let judge = args.judge.then(SoakJudge::start).transpose()?;
    if let Some(judge) = &judge {
        policy = fleet::judged(policy, judge.address)?;
    }
    let mut config = envoy::rendered(&policy, &version, &args.module, false, AccessLog::Json)?
        .without_access_log();
    if learns {
        config = feedback::with_key(config);
    }
    let report = runtime.block_on(soak(args, &config, judge.as_ref()))?;
    print!("{}", report.table());
    std::fs::write(&args.output, report.json()).map_err(|error| {
        Failure::Failed(format!("cannot write `{}`: {error}", args.output.display()))
    })?;
    println!("\nwritten to {}", args.output.display());
    report.verdict()
}

async fn soak(args: &Args, config: &Config, judge: Option<&SoakJudge>) -> Result<Report, Failure> {
    let envoy = envoy::start(&args.envoy, config, 2)?;
    let progress = Arc::new(Progress::default());
    let given = Arc::new(Feedback::default());
    let mut senders = start_senders(args, &envoy, &progress, &given).await?;
    let start = Instant::now();
    let seconds = |minutes: f64| Duration::from_secs_f64((minutes * 60.0).max(1.0));
    let (least, most) = (seconds(args.minutes), seconds(args.most_minutes));
    let pause = (least / SAMPLES).clamp(Duration::from_secs(1), Duration::from_secs(60));
    let mut samples = Vec::new();
    let mut failed = None;
    loop {
        tokio::time::sleep(pause).await;
        if let Some(done) = senders.try_join_next() {
            // Only a fault ends a sender before it is stopped.
            failed = done.unwrap_or(Ok(())).err();
        }
        let answered = progress.answered.load(Ordering::Relaxed);
        let [taken, refused] = given.counts();
        let counts = [answered, taken, refused];
        let sample = Sample::take(&envoy, start.elapsed(), counts).await?;
        eprintln!("{}", sample.line());
        samples.push(sample);
        let over = answered >= args.requests && start.elapsed() >= least;
        if over || start.elapsed() >= most || failed.is_some() {
            break;
        }
    }
    progress.stop.store(true, Ordering::Relaxed);
    for done in senders.join_all().await {
        failed = failed.or(done.err());
    }
    let ends = match (judge, &failed) {
        (Some(judge), None) => {
            let left = progress.left.load(Ordering::Relaxed);
            Some(JudgeEnds::take(&envoy, left, judge.asked()).await?)
        }
        _ => None,
    };
    envoy.stop();
    match failed {
        Some(failure) => Err(failure),
        None => Ok(Report {
            backends: args.backends,
            wanted: args.requests,
            samples,
            judge: ends,
        }),
    }
}

/// Starts all that send requests and feedback.
async fn start_senders(
    args: &Args,
    envoy: &Envoy,
    progress: &Arc<Progress>,
    given: &Arc<Feedback>,
) -> Result<JoinSet<Result<(), Failure>>, Failure> {
    let mut senders = JoinSet::new();
    for _ in 0..args.connections.max(1) {
        let connection = Connection::to_envoy(envoy.address()).await?;
        let kind = Requests {
            envoy: envoy.address(),
            judged: args.judge,
            leave_percent: args.leave_percent,
        };
        senders.spawn(send(connection, kind, Arc::clone(progress)));
    }
    let has_feedback = args.feedback_per_second > 0;
    for _ in (0..FEEDBACK_CONNECTIONS).filter(|_| has_feedback) {
        senders.spawn(feedback::send(
            Connection::to_envoy(envoy.address()).await?,
            f64::from(args.feedback_per_second) / f64::from(FEEDBACK_CONNECTIONS),
            fleet::models(args.backends),
            Arc::clone(given),
            Arc::clone(&progress.stop),
        ));
    }
    Ok(senders)
}

/// The requests that are sent.
#[derive(Debug, Clone, Copy)]
struct Requests {
    envoy: SocketAddr,
    /// Prompts that the judge is asked about.
    judged: bool,
    /// Of a hundred, those whose client leaves.
    leave_percent: u64,
}

/// One request after the other until it is stopped, each a conversation of its own.
async fn send(
    mut connection: Connection,
    requests: Requests,
    progress: Arc<Progress>,
) -> Result<(), Failure> {
    while !progress.stop.load(Ordering::Relaxed) {
        let number = progress.begun.fetch_add(1, Ordering::Relaxed);
        let body = match requests.judged {
            true => fleet::judged_body(number),
            false => fleet::body(number),
        };
        if number % 100 < requests.leave_percent {
            judge::send_and_leave(requests.envoy, &body).await?;
            progress.left.fetch_add(1, Ordering::Relaxed);
        } else {
            connection.chat(Bytes::from(body)).await?;
            progress.answered.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}
