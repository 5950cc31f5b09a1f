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
    format!(
        "vm_config:{anchor}\n  # Shared data (the published policy) belongs to this id.\n  vm_id: pointsman\n{}",
        // Without failover there is no other filter to put secrets in.
        code(plan, shares || plan.failover == Failover::Off, true)
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
        "vm_config:\n  # Not the router's: {why}.\n  # The published policy belongs to vm_id, the virtual machine to vm_id and this configuration.\n  \
         vm_id: pointsman\n  \
         configuration: {{\"@type\": type.googleapis.com/google.protobuf.StringValue, value: attempt}}\n{}",
        code(plan, true, false)
    )
}

/// The module, and the variables that it gets from Envoy's environment: those of the backends' `secrets`, and those of `receipts`.
fn code(plan: &Plan<'_>, secrets: bool, receipts: bool) -> String {
    let mut out = format!(
        "  runtime: envoy.wasm.runtime.v8\n  # Relative to where Envoy is started.\n  code: {{local: {{filename: {}}}}}\n",
        scalar(&plan.module)
    );
    let backends = plan.policy.registry.backends.iter().filter(|_| secrets);
    let names = plan.args.receipt_keys.iter().filter(|_| receipts);
    let of_backends =
        backends.filter_map(|backend| Some(backend.credentials.as_ref()?.env.as_str()));
    let mut keys: Vec<&str> = of_backends.chain(names.map(String::as_str)).collect();
    keys.sort_unstable();
    keys.dedup();
    if !keys.is_empty() {
        out.push_str(&format!(
            "  # Secrets, from Envoy's own environment.\n  environment_variables: {{host_env_keys: {}}}\n",
            json!(keys)
        ));
    }
    out
}
