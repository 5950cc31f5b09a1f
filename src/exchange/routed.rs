//! A decided request on its way to a backend.
//!
//! [`Routed`] is made once and lent to the three observers of the exchange: the decision annotations (headers, access logs),
//! the usage recorder (tokens and cost) and the backend observer (statistics of backends). None of them keeps a copy.

use std::rc::Rc;

use super::answer_to_grade::GradingDraft;
use crate::fleet::BackendId;
use crate::fleet::clusters::Failover;
use crate::policy::Policy;
use crate::routing::decision::Decision;
use crate::state::receipt::Receipt;
use crate::telemetry::state::FilterState;

/// A decided request on its way to a backend.
#[derive(Debug)]
pub(super) struct Routed {
    /// The policy that decided.
    pub(super) policy: Rc<Policy>,
    /// The decision; its candidates are dropped.
    pub(super) decision: Decision,
    /// The backends that may be tried, in their order: the chosen one first, so never empty.
    pub(super) chain: Vec<BackendId>,
    /// How Envoy follows the chain.
    pub(super) failover: Failover,
    /// The values that are set for access logs and spans.
    pub(super) filter_state: FilterState,
    /// The backend that answered, if it is not the chosen one.
    pub(super) fallback: Option<BackendId>,
    /// What asking the judge cost, in USD.
    pub(super) judge_usd: f64,
    /// The prompt, if the judge is to grade the answer.
    pub(super) grading: Option<Box<GradingDraft>>,
    /// The receipt; `None` if the policy wants none.
    pub(super) receipt: Option<Box<Receipt>>,
    /// The receipt names the backend that answered, and has been given out.
    pub(super) is_sealed: bool,
}

impl Routed {
    /// Whether a backend other than the chosen one may answer.
    pub(super) fn has_fallbacks(&self) -> bool {
        self.chain.len() > 1
    }

    /// The backend that answers, as far as is known.
    pub(super) fn answering(&self) -> BackendId {
        self.fallback.unwrap_or(self.decision.backend)
    }

    /// The backend that answered after `attempts` attempts. An aggregate cluster skips members that it takes for dead, so
    /// that the number of attempts does not tell; there `host` is the name of the backend, if the host's metadata have it.
    pub(super) fn find_answering(&self, attempts: u64, host: Option<&str>) -> Option<BackendId> {
        let registry = &self.policy.registry;
        let named = host.and_then(|name| {
            let mut ids = self.chain.iter().copied();
            ids.find(|id| {
                let backend = registry.backend(*id);
                backend.is_some_and(|backend| backend.name == name)
            })
        });
        let turn = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        let by_turn = match self.failover {
            Failover::PerAttempt => turn.checked_rem(self.chain.len()),
            Failover::Aggregate { .. } => Some(turn.min(self.chain.len().saturating_sub(1))),
            Failover::Off => Some(0),
        };
        named.or_else(|| self.chain.get(by_turn?).copied())
    }
}
