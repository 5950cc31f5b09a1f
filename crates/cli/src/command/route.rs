//! `pointsman route`: the decision on request bodies, each as one line of JSON.

use std::path::PathBuf;

use pointsman::api::request;
use pointsman::routing::explain;
use pointsman::routing::router::{Commit, RequestInfo, Router};
use serde_json::json;

use crate::command::explain::status;
use crate::failure::Failure;
use crate::io::{input, request_args};

/// Exit status: 0 every request is routed; 1 at least one is refused or passed by; 2 bad input.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status: 0 every request is routed; 1 at least one is refused or passed by; 2 bad usage, policy or file."
)]
pub struct Args {
    /// The policy, JSON or YAML
    #[arg(long)]
    policy: PathBuf,
    /// Bodies of chat completion requests; `-` is standard input
    #[arg(required = true)]
    bodies: Vec<PathBuf>,
    #[command(flatten)]
    request_args: request_args::RequestArgs,
}

/// Prints the decision on each body as one line of JSON.
pub fn run(args: &Args) -> Result<(), Failure> {
    let policy = input::read_policy(&args.policy)?;
    let (mut router, error) = Router::new();
    if let Some(error) = error {
        eprintln!("warning: the classifier does not load, going on with features alone: {error}");
    }
    let attributes = args.request_args.read(&policy)?;
    let api = args.request_args.api()?;
    let info = RequestInfo::new(&attributes, request_args::now_ns());
    let mut last = Ok(());
    for path in &args.bodies {
        let body = input::read(path)?;
        let outcome = match request::parse_with_state(api, &body, true) {
            Ok(request) => router.decide(&policy, &request, &info, Commit::Record),
            Err(error) => router.unreadable_in(&policy, &error, (&body, true), &info),
        };
        let mut document = explain::outcome(&policy, &outcome);
        if let Some(fields) = document.as_object_mut() {
            fields.insert("body".into(), json!(path.display().to_string()));
        }
        println!("{document}");
        if let Err(failure) = status(&outcome) {
            last = Err(failure);
        }
    }
    last
}
