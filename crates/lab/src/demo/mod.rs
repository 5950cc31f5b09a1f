//! `pointsman-lab demo`: real prompts through a real Envoy, and what they would have cost at the biggest model.
//!
//! Starts the backends and an Envoy as `pointsman render` configures it for the policy, failover included, sends every
//! prompt with `model: auto` and once more pinned to the biggest model, and shows both. Routing and decisions are real. The
//! backends' answers and latencies are simulated from the policy, except for the real LLM of `--real-llm`; the output says so.

mod baselines;
mod exchange;
pub mod fleet;
mod judge;
mod native;
mod processes;
pub mod prompts;
mod report;

use std::path::{Path, PathBuf};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::envoy::require;
use exchange::Exchange;
use fleet::Fleet;
use pointsman_cli::failure::Failure;
use pointsman_eval::progress::Progress;
use processes::Processes;
use prompts::Prompt;

/// Longest answer asked for if the real LLM runs and the prompt sets no limit: a small model seldom finds an end.
const REAL_LLM_MAX_TOKENS: u32 = 64;
/// The policy of the demo.
const POLICY: &str = "envoy/policies/quickstart.json";
/// With the real LLM: its model on a CPU is the one that runs.
const REAL_LLM_POLICY: &str = "envoy/policies/real-llm.json";

/// Arguments of `pointsman-lab demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// End by itself: 0 when every request was answered, 1 otherwise
    #[arg(long)]
    once: bool,
    /// The CPU backend is llama.cpp with SmolLM2-135M instead of a simulation
    #[arg(long)]
    real_llm: bool,
    /// Ask a judge about prompts that the classifier cannot tell: a simulated one, with --real-llm the LLM itself
    #[arg(long)]
    judge: bool,
    /// How often the simulated judge grades a prompt as its authors do, from 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.8)]
    judge_right: f64,
    /// The Envoy binary
    #[arg(long, value_name = "FILE", default_value = "target/envoy/envoy-1.40.0")]
    envoy: PathBuf,
    /// Envoy's configuration, its ports and endpoints replaced [default: what `pointsman render` writes for the policy]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The policy, JSON or YAML [default: that of the configuration; without one envoy/policies/quickstart.json, with --real-llm
    /// envoy/policies/real-llm.json]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The filter
    #[arg(long, value_name = "FILE", default_value = "target/pointsman.wasm")]
    module: PathBuf,
    /// The prompts, a JSON object a line
    #[arg(long, value_name = "FILE", default_value = "tests/data/prompts.jsonl")]
    prompts: PathBuf,
    /// The Python environment with llama.cpp's server and the weights, for --real-llm
    #[arg(long, value_name = "DIRECTORY", default_value = "target/llm")]
    llm: PathBuf,
    /// Connections in use at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 12)]
    connections: usize,
    /// How long a simulated second takes, in seconds
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    time_scale: f64,
}

impl Args {
    fn policy(&self) -> Option<&Path> {
        let default = match (&self.config, self.real_llm) {
            (_, true) => Some(Path::new(REAL_LLM_POLICY)),
            (None, false) => Some(Path::new(POLICY)),
            (Some(_), false) => None,
        };
        self.policy.as_deref().or(default)
    }
}

/// Runs the demo until Ctrl-C or SIGTERM, or to its end with `--once`. Whatever it started has ended when it returns.
///
/// # Errors
/// [`Failure::Input`] if something it needs is missing, with the command that makes it; [`Failure::Failed`] where
/// something does not start, a request is not answered, or it is stopped before its end.
pub fn run(args: &Args) -> Result<(), Failure> {
    require(&args.envoy, "make setup")?;
    require(&args.module, "make wasm")?;
    if args.real_llm {
        require(&args.llm.join("bin/python"), "make demo REAL_LLM=1")?;
    }
    let prompts = prompts::read(&args.prompts)?;
    let fleet = Fleet::read(args.config.as_deref(), args.policy())?;
    pointsman_cli::runtime()?.block_on(direct(args, &fleet, &prompts))
}

/// Plays the demo on a processes, and clears the processes however it ends.
async fn direct(args: &Args, fleet: &Fleet, prompts: &[Prompt]) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let mut processes = Processes::default();
    let played = tokio::select! {
        played = play(args, fleet, prompts, &mut processes) => played,
        () = signals.wait() => Err(Failure::Failed("stopped before the end".into())),
    };
    if played.is_ok() && !args.once {
        signals.wait().await;
        println!();
    }
    processes.clear();
    match played? {
        0 => Ok(()),
        failed => Err(Failure::Failed(format!(
            "{failed} of the requests were not answered"
        ))),
    }
}

/// The demo itself; returns how many requests failed.
async fn play(
    args: &Args,
    fleet: &Fleet,
    prompts: &[Prompt],
    processes: &mut Processes,
) -> Result<usize, Failure> {
    let llm = args.real_llm.then_some(args.llm.as_path());
    println!(
        "{}",
        report::opening(fleet, prompts.len(), &args.envoy, llm.is_some())
    );
    if args.judge && !args.real_llm {
        processes.judge = Some(judge::simulate(prompts, args.judge_right, args.time_scale)?);
    }
    processes.set(fleet, &stage_options(args, llm)).await?;
    let address = processes.listener()?;

    let limit = args.real_llm.then_some(REAL_LLM_MAX_TOKENS);
    let auto = send(prompts, "auto", limit, address, args.connections).await;
    let big = send(prompts, &fleet.big_model, limit, address, args.connections).await;
    let native = native::decide(fleet, prompts, limit);

    let run = report::DemoRun {
        fleet,
        prompts,
        auto: &auto,
        big: &big,
        native: &native,
        real_llm: args.real_llm,
    };
    println!("\n{}", report::table(&run));
    println!("{}", report::totals(&run));
    if let Some((field, address)) = &processes.asked {
        let name = match args.real_llm {
            true => "the real LLM of the CPU backend".to_owned(),
            false => format!(
                "a simulation that grades {:.0} % of the prompts as their authors do",
                args.judge_right * 100.0
            ),
        };
        println!("{}", judge::report(prompts, &auto, &name));
        match judge::fit(fleet, prompts, field, *address, args.real_llm).await {
            Ok(fitted) => println!("{fitted}"),
            Err(failure) => println!("Its grades cannot be fitted: {failure}\n"),
        }
    }
    if !args.once {
        println!(
            "{}",
            report::next(
                address,
                processes.admin()?,
                &fleet.big_model,
                processes.failing()
            )
        );
    }
    let all = auto.iter().chain(&big);
    Ok(all.filter(|exchange| !exchange.is_answered()).count())
}

fn stage_options<'a>(args: &'a Args, llm: Option<&'a Path>) -> processes::Options<'a> {
    processes::Options {
        envoy: &args.envoy,
        config: args.config.as_deref(),
        own_policy: args.policy().is_some(),
        module: &args.module,
        time_scale: args.time_scale,
        llm,
        judges: args.judge,
    }
}

/// Sends every prompt with this `model`.
async fn send(
    prompts: &[Prompt],
    model: &str,
    limit: Option<u32>,
    address: std::net::SocketAddr,
    connections: usize,
) -> Vec<Exchange> {
    let requests = prompts
        .iter()
        .map(|prompt| exchange::Outgoing {
            body: prompt.body(model, limit),
            answer_tokens: prompt.answer_tokens,
        })
        .collect();
    let mut progress = Progress::new(&format!("model `{model}`"), prompts.len() as u64);
    let exchanges = exchange::send_all(address, requests, connections, &mut progress).await;
    progress.finish();
    exchanges
}

/// Ctrl-C and SIGTERM, caught from the moment on in which there is something to clear up.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Result<Signals, Failure> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| Failure::Failed(format!("cannot listen for signals: {error}")))
        };
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
