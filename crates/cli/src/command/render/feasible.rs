//! Refuses policies that cannot be rendered so that they work, with what to do instead, before anything is written.

use pointsman::fleet::clusters;
use pointsman::fleet::clusters::Failover;
use pointsman::policy::receipts::ReceiptMode;

use super::{Form, Plan};
use crate::failure::Failure;

/// The clusters that belong to no backend.
const OURS: [&str; 2] = ["pointsman-policies", "pointsman-otlp"];

/// Whether Envoy can do what the policy and the arguments ask for.
///
/// # Errors
/// [`Failure::Input`] with what it is that cannot be done, and what to do.
pub fn check(plan: &Plan<'_>) -> Result<(), Failure> {
    let found = twins(plan)
        .or_else(|| collision(plan))
        .or_else(|| without_attempts(plan))
        .or_else(|| without_endpoint(plan))
        .or_else(|| without_log(plan));
    match found {
        Some(problem) => Err(Failure::Input(problem)),
        None => Ok(()),
    }
}

fn twins(plan: &Plan<'_>) -> Option<String> {
    let backends = &plan.policy.registry.backends;
    backends.iter().enumerate().find_map(|(index, backend)| {
        let mut before = backends.iter().take(index);
        let twin = before.find(|other| {
            let same_link = clusters::backend_key(&other.name) == clusters::backend_key(&backend.name);
            let aggregate = matches!(plan.failover, Failover::Aggregate { .. });
            let elsewhere = other.endpoint != backend.endpoint;
            let same_cluster = other.cluster == backend.cluster;
            same_link || (same_cluster && (aggregate || elsewhere))
        })?;
        Some(format!(
            "backends `{}` and `{}` cannot be distinguished in a chain: give them clusters and names of their own",
            twin.name, backend.name
        ))
    })
}

/// Envoy refuses two clusters of one name, and each chain has an aggregate cluster that is named by its members.
fn collision(plan: &Plan<'_>) -> Option<String> {
    let own: Vec<&str> = plan.policy.called_clusters().collect();
    if let Some(name) = OURS.iter().find(|name| own.contains(name)) {
        return Some(format!(
            "the cluster `{name}` is one of Pointsman's own: give its backend another `cluster`"
        ));
    }
    let Failover::Aggregate { max_chain_length } = plan.failover else {
        return None;
    };
    let backends = plan.policy.registry.backends.iter();
    let clusters: Vec<&str> = backends.map(|backend| backend.cluster.as_str()).collect();
    clusters::aggregate_collision(&clusters, max_chain_length).map(|(name, chain)| {
        let chain: Vec<String> = chain.iter().map(|item| format!("`{item}`")).collect();
        format!(
            "two clusters would be called `{name}`: one is an aggregate of {}; name clusters without `+`, or render for Envoy 1.39 or newer, \
             which needs no aggregates (`--envoy-version 1.39`)",
            chain.join(" and ")
        )
    })
}

/// Settings that need the filter of attempts, if there is none.
fn without_attempts(plan: &Plan<'_>) -> Option<String> {
    if plan.failover != Failover::Off {
        return None;
    }
    let instead = match plan.args.form {
        Form::Envoy => "leave out `--failover off`",
        Form::Istio | Form::EnvoyGateway => {
            "leave out `--failover off`, say `--envoy-version 1.39` and have the module as a file in the proxy (`--module`)"
        }
    };
    plan.policy.registry.backends.iter().find_map(|backend| {
        let name = &backend.name;
        if backend.credentials.is_some() {
            return Some(format!(
                "backend `{name}` has `credentials`, which the filter of attempts puts in: without failover it would be asked without them; {instead}, \
                 or leave `credentials` out and have the client send them"
            ));
        }
        let path = &backend.endpoint.as_ref()?.path;
        // The version alone is what requests begin with anyway.
        let is_usual = path.is_empty() || path == "/v1";
        (!is_usual).then(|| {
            format!(
                "backend `{name}` has an endpoint with the path `{path}`, which the filter of attempts puts before each request's own: without failover \
                 it would be left out; {instead}"
            )
        })
    })
}

/// Settings that need a cluster of our own, if the mesh has the cluster already.
fn without_endpoint(plan: &Plan<'_>) -> Option<String> {
    let backends = plan.policy.registry.backends.iter();
    let mut known =
        backends.filter(|backend| backend.endpoint.is_none() && plan.failover == Failover::Off);
    known
        .find(|known| known.timeouts.total_ms.is_some())
        .map(|known| {
            format!(
                "backend `{}` has `timeouts.total_ms`, and its cluster is the mesh's: say where it is (`endpoint`), or have the mesh limit it",
                known.name
            )
        })
}

/// Receipts that are for logs, if there are none.
fn without_log(plan: &Plan<'_>) -> Option<String> {
    let is_lost = plan.policy.receipts.mode == ReceiptMode::Log && !plan.reads_filter_state();
    is_lost.then(|| {
        "the policy's `receipts` are for access logs alone (`\"mode\": \"log\"`): leave out `--access-log none`, or make the mode `on`"
            .to_owned()
    })
}

/// Every aggregate that is written has another name than any other cluster.
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn chains_of_clusters_have_names_of_their_own() {
        let collide = |names: &[&str], max_chain_length| {
            clusters::aggregate_collision(names, max_chain_length).map(|(name, _)| name)
        };
        assert_eq!(collide(&["a", "b"], 2), None);
        assert_eq!(collide(&["a", "b", "a+b"], 2), Some("a+b".to_owned()));
        assert_eq!(collide(&["a", "b", "b+a"], 3), Some("b+a".to_owned()));
        assert_eq!(
            collide(&["a+b", "c", "a", "b+c"], 2),
            Some("a+b+c".to_owned())
        );
        assert_eq!(collide(&["a", "b", "a+b"], 1), None);
    }
}
