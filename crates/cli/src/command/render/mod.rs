//! `pointsman render`: what Envoy, Istio or Envoy Gateway need for a policy: clusters, routes, filters.
//!
//! Rendering is deterministic. Parts that a mesh brings itself (listeners, endpoints it discovers) stay outside; parts that
//! belongs together for failover (clusters, route, retries, upstream filter) is written together.

mod clusters;
mod envoy;
mod feasible;
mod mesh;
mod otlp;
mod routes;
mod source;
mod text;
mod vm;

use std::path::{Path, PathBuf};

use clap::{Args as _, FromArgMatches as _};
use pointsman::control::signature::PublicKey;
use pointsman::fleet::Timeouts;
use pointsman::fleet::clusters::Failover;
use pointsman::policy::Policy;
use serde_json::Value;

use crate::command::convert::convert;
use crate::failure::Failure;
use crate::io::document;
use crate::io::input;

/// The most aggregate clusters that are written for one policy.
const MOST_AGGREGATES: usize = 160;
/// The first Envoy that can pick the cluster of each attempt.
const PER_ATTEMPT_SINCE: (u32, u32) = (1, 39);
/// The path at which `make wasm` leaves the module.
const MODULE: &str = "target/pointsman.wasm";
/// The file in which Linux keeps the certificates of authorities.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// How long a patient client waits, in seconds.
const CLIENT_TIMEOUT_S: &str = "300";
/// The oldest supported Envoy.
const OLDEST: (u32, u32) = (1, 36);

/// Arguments of `pointsman render`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// For whom
    #[arg(value_enum)]
    form: Form,
    /// The policy, JSON or YAML
    policy: PathBuf,
    /// The oldest Envoy that is to run it
    #[arg(long, value_name = "VERSION", default_value = "1.36")]
    envoy_version: String,
    /// How requests get to another backend [default: what the Envoy version can do best]
    #[arg(long, value_enum)]
    failover: Option<FailoverMode>,
    /// Where Envoy finds the filter; for Istio also where it is fetched, such as oci://registry.example/pointsman:0.1.0
    /// [default: target/pointsman.wasm, or /var/lib/pointsman/plugin.wasm in a mesh]
    #[arg(long, value_name = "FILE")]
    module: Option<String>,
    /// Where it takes requests
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:10000")]
    listen: String,
    /// The port of its admin interface, on the loopback address
    #[arg(long, value_name = "PORT", default_value_t = 9901)]
    admin_port: u16,
    /// Where newer policies come from while requests are served, such as http://127.0.0.1:8100/policy.json
    #[arg(long, value_name = "URL")]
    policy_source: Option<String>,
    /// A key that may sign these; several may be named
    #[arg(long = "public-key", value_name = "KEY", value_parser = crate::command::sign::parse_public_key, requires = "policy_source")]
    public_keys: Vec<PublicKey>,
    /// An environment variable of Envoy with a key of receipts; a second one is the key before it
    #[arg(long = "receipt-key", value_name = "NAME")]
    receipt_keys: Vec<String>,
    /// How long an attempt may be silent if the answer is streamed [default: each backend's `timeouts`]
    #[arg(long, value_name = "SECONDS")]
    first_token_timeout: Option<f64>,
    /// How long an attempt may be silent if the answer comes in one piece [default: each backend's `timeouts`]
    #[arg(long, value_name = "SECONDS")]
    answer_timeout: Option<f64>,
    /// The certificates that backends with TLS are checked against
    #[arg(long, value_name = "FILE", default_value = CERTIFICATES)]
    ca: String,
    /// The access log on standard output. With neither it nor `--otlp`, the filter sets no values for logs; for a mesh, `none`
    /// says that its own logs print no such values
    #[arg(long, value_enum, default_value = "json")]
    access_log: AccessLog,
    /// An OpenTelemetry collector, by OTLP over gRPC: it gets a log record and a span of each request
    #[arg(long, value_name = "HOST:PORT")]
    otlp: Option<String>,
    /// Let backends see who the client is (`x-forwarded-for` and the like), providers outside too
    #[arg(long)]
    keep_client_address: bool,
    #[command(flatten)]
    names: mesh::Names,
}

/// For whom is rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// A complete static configuration
    Envoy,
    /// An EnvoyFilter for Istio
    Istio,
    /// An EnvoyPatchPolicy for Envoy Gateway
    EnvoyGateway,
}

/// The access log on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum AccessLog {
    /// A line of JSON for each request, with all that the filter knows
    Json,
    /// No log
    None,
}

/// How requests get to another backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum FailoverMode {
    /// Not at all: plain clusters
    Off,
    /// By aggregate clusters, one for each chain
    Aggregate,
    /// By a cluster picked for each attempt: Envoy 1.39 or newer
    PerAttempt,
}

/// The plan of a rendering, every choice made.
struct Plan<'a> {
    policy: &'a Policy,
    /// The policy as JSON text.
    source: String,
    /// Path of the policy's file, as it was given.
    file: String,
    failover: Failover,
    version: (u32, u32),
    /// The limits on a first byte that the command line states, in seconds: of streams, and of answers in one piece.
    limits: Option<(f64, f64)>,
    /// The module's path or address.
    module: String,
    args: &'a Args,
}

impl Plan<'_> {
    /// Whether a log or a span prints values that the filter sets.
    fn reads_filter_state(&self) -> bool {
        self.args.access_log == AccessLog::Json || self.args.otlp.is_some()
    }
}

/// Writes what was asked for to standard output, and what was chosen for the operator to standard error.
///
/// # Errors
/// [`Failure::Input`] if the policy does not compile or cannot be rendered so.
pub fn run(args: &Args) -> Result<(), Failure> {
    let (text, note) = render(args)?;
    if let Some(note) = note {
        eprintln!("note: {note}");
    }
    print!("{text}");
    Ok(())
}

/// The complete configuration for a policy, for an Envoy of this version that runs here. `patient` waits
/// for answers as long as the slowest model on a laptop needs.
///
/// # Errors
/// As [`run`]; [`Failure::Failed`] if nothing can be written for a moment.
pub fn local(
    policy: &Value,
    envoy_version: &str,
    module: &Path,
    patient: bool,
    access_log: AccessLog,
) -> Result<String, Failure> {
    let failed = |error| Failure::Failed(format!("cannot write the policy: {error}"));
    let directory = tempfile::tempdir().map_err(failed)?;
    let file = directory.path().join("policy.json");
    std::fs::write(&file, policy.to_string()).map_err(failed)?;
    let (file, module) = (file.to_string_lossy(), module.to_string_lossy());
    let mut words = vec!["envoy", &file, "--envoy-version", envoy_version];
    words.extend(["--module", &module]);
    if access_log == AccessLog::None {
        words.extend(["--access-log", "none"]);
    }
    if patient {
        words.extend(["--first-token-timeout", CLIENT_TIMEOUT_S]);
        words.extend(["--answer-timeout", CLIENT_TIMEOUT_S]);
    }
    render(&parsed(&words)?).map(|(text, _)| text)
}

/// The rendered text, and a note on what was chosen for the operator.
fn render(args: &Args) -> Result<(String, Option<String>), Failure> {
    let (policy, document) = input::read_policy_document(&args.policy)?;
    let source = match document.form {
        document::Form::Json => document.text.trim_end().to_owned(),
        document::Form::Yaml => convert(&document, document::Form::Json)?
            .trim_end()
            .to_owned(),
    };
    let version = parse_version(&args.envoy_version)?;
    let failover = choose(args.failover, version, &policy)?;
    let plan = Plan {
        policy: &policy,
        source,
        file: args.policy.display().to_string(),
        failover,
        version,
        limits: limits(args, &policy),
        module: args.module.clone().unwrap_or_else(|| {
            let usual = match args.form {
                Form::Envoy => MODULE,
                Form::Istio | Form::EnvoyGateway => mesh::MODULE,
            };
            usual.to_owned()
        }),
        args,
    };
    feasible::check(&plan)?;
    let text = match args.form {
        Form::Envoy => envoy::render(&plan)?,
        Form::Istio => mesh::istio(&plan)?,
        Form::EnvoyGateway => mesh::gateway(&plan)?,
    };
    Ok((text, note(&plan)))
}

/// Renders these arguments, for tests of other commands.
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub fn rendered(arguments: &[&str]) -> String {
    render(&parsed(arguments).unwrap()).unwrap().0
}

/// Arguments as they would stand on the command line.
fn parsed(words: &[&str]) -> Result<Args, Failure> {
    let command = Args::augment_args(clap::Command::new("render")).no_binary_name(true);
    command
        .try_get_matches_from(words)
        .and_then(|matches| Args::from_arg_matches(&matches))
        .map_err(|error| Failure::Input(error.to_string()))
}

fn parse_version(text: &str) -> Result<(u32, u32), Failure> {
    let mut parts = text.trim_start_matches('v').split('.');
    let mut number = || parts.next().and_then(|part| part.parse().ok());
    let version = number().zip(number());
    match version {
        Some(version) if version >= OLDEST => Ok(version),
        Some(_) => Err(Failure::Input(format!(
            "Envoy `{text}` is not supported: 1.36 is the oldest"
        ))),
        None => Err(Failure::Input(format!(
            "`{text}` is not a version of Envoy, such as `1.36` or `1.40.0`"
        ))),
    }
}

fn choose(
    way: Option<FailoverMode>,
    version: (u32, u32),
    policy: &Policy,
) -> Result<Failover, Failure> {
    let backends = policy.registry.backends.len();
    let aggregate = || match pointsman::fleet::clusters::max_chain_length(backends, MOST_AGGREGATES)
    {
        1 if backends > 1 => Err(Failure::Input(format!(
            "{backends} backends are too many for aggregate clusters, one for each chain: Envoy 1.39 or newer needs none \
             (`--envoy-version 1.39`), or do without failover between clusters (`--failover off`)"
        ))),
        max_chain_length => Ok(Failover::Aggregate { max_chain_length }),
    };
    match way {
        Some(FailoverMode::Off) => Ok(Failover::Off),
        Some(FailoverMode::Aggregate) => aggregate(),
        Some(FailoverMode::PerAttempt) if version < PER_ATTEMPT_SINCE => Err(Failure::Input(
            "`--failover per-attempt` needs Envoy 1.39 or newer: say so with `--envoy-version`"
                .into(),
        )),
        Some(FailoverMode::PerAttempt) => Ok(Failover::PerAttempt),
        None if version >= PER_ATTEMPT_SINCE => Ok(Failover::PerAttempt),
        None => aggregate(),
    }
}

/// The limits on a first byte if the command line states one of them; the other is then the longest of the backends'.
fn limits(args: &Args, policy: &Policy) -> Option<(f64, f64)> {
    if args.first_token_timeout.is_none() && args.answer_timeout.is_none() {
        return None;
    }
    let (mut first_token, mut answer) = (0.0_f32, 0.0_f32);
    for backend in &policy.registry.backends {
        let limits = &backend.timeouts;
        first_token = first_token.max(limits.first_token_ms);
        answer = answer.max(limits.whole_ms(&backend.latency, Timeouts::LONG_ANSWER_TOKENS));
    }
    let seconds = |ms: f32| f64::from(ms) / 1000.0;
    Some((
        args.first_token_timeout.unwrap_or(seconds(first_token)),
        args.answer_timeout.unwrap_or(seconds(answer)),
    ))
}

fn note(plan: &Plan<'_>) -> Option<String> {
    let (major, minor) = plan.version;
    match plan.failover {
        Failover::Aggregate { max_chain_length } if plan.version < PER_ATTEMPT_SINCE => {
            Some(format!(
                "for Envoy {major}.{minor}: {} aggregate clusters, one for each chain of up to {max_chain_length} backends; Envoy 1.39 or newer \
             picks the cluster of each attempt and needs none (`--envoy-version 1.39`)",
                clusters::chains(plan.policy, max_chain_length).len()
            ))
        }
        _ => None,
    }
}
