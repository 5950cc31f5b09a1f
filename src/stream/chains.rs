//! How a decided request is told to Envoy with its chain of backends, and which of them answered in the end.

use std::rc::Rc;

use super::trace::printable;
use super::{Effect, Worker};
use crate::chain::{Chain, Failover, Origin, aggregate_name};
use crate::decision::Decision;
use crate::policy::Policy;
use crate::registry::{BackendId, Registry};
use crate::telemetry::header;

/// The backends that a request may have been tried at.
#[derive(Debug)]
pub struct Tried {
    policy: Rc<Policy>,
    /// In the order of the chain; never empty.
    backends: Vec<BackendId>,
    /// How Envoy follows the chain.
    pub failover: Failover,
}

impl Tried {
    /// The backend that answered, and its policy. `host` is its name where an aggregate's host says so: an aggregate passes
    /// over clusters that it takes for dead, so the number of attempts does not tell.
    pub fn answered(&self, attempts: u64, host: Option<&str>) -> Option<(&Policy, BackendId)> {
        let registry = &self.policy.registry;
        let named = host.and_then(|name| {
            let mut ids = self.backends.iter().copied();
            ids.find(|id| registry.backend(*id).is_some_and(|one| one.name == name))
        });
        let turn = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        let by_turn = match self.failover {
            Failover::PerAttempt => turn.checked_rem(self.backends.len()),
            Failover::Aggregate { .. } => Some(turn.min(self.backends.len().saturating_sub(1))),
            Failover::Off => Some(0),
        };
        let id = named.or_else(|| self.backends.get(by_turn?).copied())?;
        Some((self.policy.as_ref(), id))
    }

    /// All of them, in the order of the chain.
    pub fn backends(&self) -> &[BackendId] {
        &self.backends
    }

    /// The backend that was to be tried first.
    pub fn chosen(&self) -> Option<BackendId> {
        self.backends.first().copied()
    }

    /// Whether another one than the first may have answered.
    pub fn is_open(&self) -> bool {
        self.backends.len() > 1
    }
}

/// Names the cluster of the decision, and where attempts can fail over, the chain.
pub fn name(
    worker: &Worker<'_>,
    policy: &Rc<Policy>,
    decision: &Decision,
    streams: bool,
    content_length: Option<u64>,
    effects: &mut Vec<Effect>,
) -> Tried {
    let registry = &policy.registry;
    let most = match worker.failover {
        Failover::Off => 1,
        Failover::Aggregate { links } => links,
        Failover::PerAttempt => usize::MAX,
    };
    let mut backends = vec![decision.backend];
    backends.extend(decision.fallbacks.iter().copied());
    backends.truncate(most.max(1));
    let cluster = match worker.failover {
        Failover::Aggregate { .. } => aggregate_name(clusters(registry, &backends)),
        _ => clusters(registry, &backends)
            .next()
            .unwrap_or_default()
            .to_owned(),
    };
    set_cluster(worker.cluster_header, &cluster, effects);
    if worker.failover != Failover::Off {
        let chain = Chain::new(
            registry,
            Origin {
                policy: policy.mark(),
                plugin: worker.plugin,
            },
            &backends,
            content_length,
        );
        set(header::CHAIN, chain.to_text(), effects);
        if streams {
            set(header::STREAM, "1".to_owned(), effects);
        }
    }
    Tried {
        policy: Rc::clone(policy),
        backends,
        failover: worker.failover,
    }
}

fn clusters<'a>(
    registry: &'a Registry,
    backends: &'a [BackendId],
) -> impl Iterator<Item = &'a str> {
    backends
        .iter()
        .filter_map(|id| Some(registry.backend(*id)?.cluster.as_str()))
}

fn set(name: &str, value: String, effects: &mut Vec<Effect>) {
    effects.push(Effect::SetRequestHeader {
        name: name.to_owned(),
        value,
    });
}

/// Names the cluster that the request goes to.
pub fn set_cluster(cluster_header: &str, cluster: &str, effects: &mut Vec<Effect>) {
    set(cluster_header, printable(cluster), effects);
}
