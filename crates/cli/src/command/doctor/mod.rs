//! `pointsman doctor`: what is wrong with an Envoy that runs the filter, or is about to, and how to fix each.
//!
//! Reads a running Envoy by its admin interface, a dump of its configuration, or a bootstrap file. It changes
//! nothing. What Envoy itself refuses (`envoy --mode validate`) is not looked for again: these are the settings that Envoy
//! takes and that hurt later.

mod attempts;
mod checks;
mod endpoints;
mod envoy_config;
mod finding;
mod hosts;
mod json;
mod judge;
mod module;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use envoy_config::EnvoyConfig;
use finding::{Finding, Level};

/// Arguments of `pointsman doctor`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status: 0 nothing is wrong (there may be warnings); 1 something is, or a warning with --strict; \
                  2 bad usage, or there is nothing to look at."
)]
pub struct Args {
    /// A running Envoy: the address of its admin interface
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        required_unless_present = "file",
        conflicts_with = "file"
    )]
    admin: Option<SocketAddr>,
    /// A dump of Envoy's configuration (`/config_dump`), or a bootstrap file, YAML or JSON
    file: Option<PathBuf>,
    /// The module, if the configuration does not name a file that can be read here
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// Warnings fail too
    #[arg(long)]
    strict: bool,
    /// Print one JSON document instead of lines for people
    #[arg(long)]
    json: bool,
}

/// Looks, prints what was found, and says by the exit status whether anything is wrong.
///
/// # Errors
/// [`Failure::Input`] if there is nothing to look at; [`Failure::Failed`] if something is wrong.
pub fn run(args: &Args) -> Result<(), Failure> {
    let envoy = match (&args.admin, &args.file) {
        (Some(admin), _) => crate::runtime()?.block_on(EnvoyConfig::from_admin(*admin))?,
        (None, Some(file)) => EnvoyConfig::from_file(file)?,
        (None, None) => return Err(Failure::Input("nothing to look at".into())),
    };
    let findings = find_all(&envoy, args.module.as_deref());
    if args.json {
        println!("{:#}", serde_json::json!({"findings": findings}));
    } else {
        print(&envoy, &findings);
    }
    let errors = count(&findings, Level::Error);
    let warnings = count(&findings, Level::Warning);
    if errors > 0 || (args.strict && warnings > 0) {
        let text = format!("{errors} to fix, {warnings} to look at");
        return Err(Failure::Failed(text));
    }
    Ok(())
}

/// Every finding, the errors first.
fn find_all(envoy: &EnvoyConfig, module_file: Option<&Path>) -> Vec<Finding> {
    let mut findings = Vec::new();
    checks::version(envoy, &mut findings);
    checks::presence(envoy, &mut findings);
    checks::stats_tags(envoy, &mut findings);
    endpoints::admin(envoy, &mut findings);
    checks::counters(envoy, &mut findings);
    for filter in &envoy.filters {
        let place = filter.place("filter");
        checks::stop_iteration(&place, &filter.plugin_config, &mut findings);
        checks::failure_policy(&place, &filter.plugin_config, &mut findings);
        checks::configuration(filter, &mut findings);
        checks::order(filter, &mut findings);
        checks::hygiene(filter, &mut findings);
        checks::routes(filter, &mut findings);
        checks::buffers(filter, envoy, &mut findings);
        checks::clusters(filter, envoy, &mut findings);
        judge::check(filter, envoy, &mut findings);
        checks::local_replies(filter, &mut findings);
        checks::filter_state(filter, &mut findings);
        checks::imports(filter, envoy, module_file, &mut findings);
        attempts::check_filter(filter, envoy, &mut findings);
        endpoints::check_filter(filter, envoy, &mut findings);
    }
    attempts::check_clusters(envoy, &mut findings);
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    findings
}

fn count(findings: &[Finding], level: Level) -> usize {
    findings
        .iter()
        .filter(|finding| finding.level == level)
        .count()
}

fn print(envoy: &EnvoyConfig, findings: &[Finding]) {
    println!("{}", envoy.summary());
    for finding in findings {
        let level = match finding.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        println!("{level}[{}] {}", finding.check, finding.place);
        println!("  {}", finding.problem);
        println!("  fix: {}", finding.fix);
    }
    if findings.is_empty() {
        println!("nothing to fix");
    }
}
