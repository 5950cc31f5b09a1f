//! The module in Envoy's configuration: the virtual machines of router and attempts, and the members about failover.

use pointsman::fleet::clusters::Failover;
use serde_json::json;

use super::Plan;
use super::text::scalar;

/// How failover stands in the module's configuration.
pub fn failover_members(failover: Failover) -> String {
    match failover {
        Failover::Off => String::new(),
        Failover::PerAttempt => "\"failover\": \"per_attempt\",".to_owned(),
        Failover::Aggregate { max_chain_length } => {
            format!("\"failover\": \"aggregate\",\n\"max_chain_length\": {max_chain_length},")
        }
    }
}

/// The keys of receipts in the module's configuration; nothing if none are named.
pub fn receipt_members(plan: &Plan<'_>) -> String {
    let names = &plan.args.receipt_keys;
    match names.is_empty() {
        true => String::new(),
        false => format!("\"receipt_keys\": {},", json!(names)),
    }
}

/// The values that the module sets for access logs and spans; nothing if it sets them all.
pub fn state_members(plan: &Plan<'_>) -> &'static str {
    match plan.reads_filter_state() {
        true => "",
        false => "\"filter_state\": \"none\",",
    }
}

/// Whether router and attempts have one virtual machine: less memory, but Envoy 1.36 would name the metrics of both after a
/// cluster, and a router that keeps backends warm must not meet the attempts' filter inside its own call.
fn shares_vm(plan: &Plan<'_>) -> bool {
    let mut backends = plan.policy.registry.backends.iter();
    let prewarms = backends.any(|backend| {
        backend
            .cold
            .as_ref()
            .is_some_and(|cold| cold.prewarm.is_some())
    });
    plan.failover == Failover::PerAttempt && !prewarms
}

/// The virtual machine of the router.
pub fn vm(plan: &Plan<'_>) -> String {
    let shares = shares_vm(plan);
    let anchor = if shares { " &vm" } else { "" };
    // Without failover there is no other filter to put secrets in.
    let variables = variables(plan, shares || plan.failover == Failover::Off, true);
    format!(
        "vm_config:{anchor}\n  # Shared data (the published policy) belongs to this id.\n  vm_id: pointsman\n{}",
        code(plan, "", &variables)
    )
}

/// The virtual machine of the attempts.
pub fn attempt_vm(plan: &Plan<'_>) -> String {
    if shares_vm(plan) {
        return "vm_config: *vm\n".to_owned();
    }
    let why = match plan.failover {
        Failover::PerAttempt => {
            "a call that keeps a backend warm would meet this filter inside itself"
        }
        _ => "Envoy 1.36 would name the metrics of both after a cluster",
    };
    format!(
        "vm_config:\n  # Not the router's: {why}.\n  # The published policy belongs to vm_id, the virtual machine to vm_id and its configuration.\n  \
         vm_id: pointsman\n{}",
        code(plan, "attempt", &variables(plan, true, false))
    )
}

/// The variables that a machine gets from Envoy's environment: those of the backends' `credentials`, and those of receipts.
fn variables<'a>(plan: &'a Plan<'_>, credentials: bool, receipts: bool) -> Vec<&'a str> {
    let backends = plan.policy.registry.backends.iter();
    let of_backends = backends
        .filter(|_| credentials)
        .filter_map(|backend| Some(backend.credentials.as_ref()?.env.as_str()));
    let of_receipts = plan.args.receipt_keys.iter().filter(|_| receipts);
    let mut names: Vec<&str> = of_backends.chain(of_receipts.map(String::as_str)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The machine's configuration, the module, and its variables.
///
/// Envoy tells machines apart by `vm_id`, configuration and module, not by variables: a pushed listener that asks for one more
/// would get the machine that runs without it. Hence the configuration names them.
fn code(plan: &Plan<'_>, role: &str, variables: &[&str]) -> String {
    let mut out = String::new();
    let named: Vec<&str> = [role]
        .iter()
        .chain(variables)
        .copied()
        .filter(|word| !word.is_empty())
        .collect();
    if !named.is_empty() {
        out.push_str(&format!(
            "  configuration: {{\"@type\": type.googleapis.com/google.protobuf.StringValue, value: {}}}\n",
            scalar(&named.join(" "))
        ));
    }
    out.push_str(&format!(
        "  runtime: envoy.wasm.runtime.v8\n  # Relative to where Envoy is started.\n  code: {{local: {{filename: {}}}}}\n",
        scalar(&plan.module)
    ));
    if !variables.is_empty() {
        out.push_str(&format!(
            "  # Secrets, from Envoy's own environment. The configuration names them, too: Envoy tells machines apart by it.\n  \
             environment_variables: {{host_env_keys: {}}}\n",
            json!(variables)
        ));
    }
    out
}
