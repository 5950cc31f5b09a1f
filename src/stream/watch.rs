//! What an exchange teaches of the backends it was tried at: which of them failed, and how long the one that answered took.

use std::rc::Rc;

use super::account::Account;
use super::trace::Trace;
use super::{Effect, Worker};
use crate::chain::{self, Failover};
use crate::decision::Decision;
use crate::live::{Ending, Live, Observed, Ticket};
use crate::policy::Policy;
use crate::registry::BackendId;
use crate::telemetry::Metric;

/// A decided request under way.
#[derive(Debug)]
pub struct Watch {
    policy: Rc<Policy>,
    /// The backends of its chain, the chosen one first.
    chain: Vec<BackendId>,
    failover: Failover,
    ticket: Ticket,
    expected_ms: f32,
    sent_ns: u64,
    first_ns: Option<u64>,
    /// Of the answer; 0 before there is one.
    status: u16,
    ended: bool,
    /// The backend did not end what it had begun.
    broken_off: bool,
}

/// Tells the router what is known of the policy's backends now: nothing where the policy goes by what it states. `decides` is
/// whether it is asked for a request that will be sent.
pub fn observe(worker: &mut Worker<'_>, policy: &Policy, now_ns: u64, decides: bool) {
    let Some(router) = &mut worker.router else {
        return;
    };
    let backends = &policy.registry.backends;
    let links = backends.iter().map(|backend| chain::link(&backend.name));
    let Some(live) = worker.live.as_mut().filter(|_| policy.observes) else {
        return router.observe(Vec::new());
    };
    let mut observed: Vec<Observed> = match decides {
        true => live.view(links, now_ns),
        false => links.map(|link| live.look(link)).collect(),
    };
    for (one, backend) in observed.iter_mut().zip(backends) {
        if let Some(cold) = &backend.cold {
            one.cold_start_ms = live.cold_start_ms(chain::link(&backend.name), cold, now_ns);
        }
    }
    router.observe(observed);
}

/// A backend that scales to zero is in use: a decision wants it, or it has answered.
pub fn keep_warm(
    worker: &mut Worker<'_>,
    policy: &Policy,
    id: BackendId,
    now_ns: u64,
    wanted: bool,
) {
    let backend = policy.registry.backend(id);
    if let Some(live) = &mut worker.live
        && let Some(backend) = backend.filter(|one| one.cold.is_some())
    {
        let link = chain::link(&backend.name);
        match wanted {
            true => live.warmth.wanted(link, now_ns),
            false => live.warmth.used(link, now_ns),
        }
    }
}

/// How Envoy calls it when an upstream breaks off what it has begun. It tells no filter before the exchange is over, so
/// nothing can be added to the stream; but then it says who it was.
const BROKEN_OFF: &[u8] = b"upstream_reset_after_response_started";

/// The exchange of `account` is over; `details` say how, where its answer was cut off.
pub fn close(
    account: Option<&mut Box<Account>>,
    details: Option<&[u8]>,
    now_ns: u64,
    trace: &Trace,
    worker: &mut Worker<'_>,
    effects: &mut Vec<Effect>,
) {
    let Some(account) = account else { return };
    if account.is_answered() {
        let answered = trace.answered().unwrap_or(account.chosen());
        keep_warm(worker, account.policy(), answered, now_ns, false);
        let was_reset = details.is_some_and(|text| text.starts_with(BROKEN_OFF));
        let broken_off = was_reset || account.is_cut_short;
        if broken_off && let Some(backend) = account.policy().registry.backend(answered) {
            effects.push(Effect::Count(Metric::answers_broken_off(&backend.name)));
            if let Some(watch) = &mut account.watch {
                watch.broken_off = true;
            }
        }
    }
    if let Some(watch) = account.watch.take()
        && let Some(live) = &mut worker.live
    {
        watch.close(now_ns, trace.tries(), trace.answered(), live, effects);
    }
}

impl Watch {
    /// The request of `decision` goes its way.
    pub fn open(
        worker: &mut Worker<'_>,
        policy: &Rc<Policy>,
        decision: &Decision,
        trace: &Trace,
        now_ns: u64,
    ) -> Option<Watch> {
        let live = worker.live.as_mut().filter(|_| policy.observes)?;
        let known = worker.router.as_ref()?.observed(decision.backend);
        let link = link(policy, decision.backend)?;
        let (failover, chain) = trace.chain()?;
        let expected_ms = decision.estimate.latency_p50_ms / known.slowdown;
        Some(Watch {
            policy: Rc::clone(policy),
            chain: chain.to_vec(),
            failover,
            ticket: live.sent(link, now_ns, expected_ms)?,
            expected_ms,
            sent_ns: now_ns,
            first_ns: None,
            status: 0,
            ended: false,
            broken_off: false,
        })
    }

    /// The response's headers are there, with this status.
    pub fn head(&mut self, status: &[u8]) {
        let status = std::str::from_utf8(status).ok();
        self.status = status.and_then(|text| text.parse().ok()).unwrap_or(0);
    }

    /// The end of the response was seen.
    pub fn ended(&mut self) {
        self.ended = true;
    }

    /// Bytes of the response came.
    pub fn came(&mut self, now_ns: u64) {
        self.first_ns.get_or_insert(now_ns);
    }

    /// The exchange is over; `answered` is the backend that answered, where it is another one than was chosen.
    pub fn close(
        self,
        now_ns: u64,
        attempts: u64,
        answered: Option<BackendId>,
        live: &mut Live,
        effects: &mut Vec<Effect>,
    ) {
        let last = self.ending(now_ns);
        let attempts = usize::try_from(attempts.max(1)).unwrap_or(usize::MAX);
        let first = self.chain.first().copied();
        let answered = answered.or(first);
        if attempts == 1 && answered == first {
            self.tell(first, last, effects);
            return live.ended(self.ticket, self.expected_ms, last);
        }
        // The first attempt failed, unless Envoy passed its cluster over.
        let begun = if attempts > 1 {
            Ending::Failed
        } else {
            Ending::Unknown
        };
        if self.failover == Failover::Off {
            let ending = match last {
                Ending::Answered { .. } => Ending::AnsweredLate,
                other => other,
            };
            self.tell(first, ending, effects);
            return live.ended(self.ticket, self.expected_ms, ending);
        }
        self.tell(first, begun, effects);
        live.ended(self.ticket, self.expected_ms, begun);
        if self.failover == Failover::PerAttempt {
            for turn in 1..attempts.saturating_sub(1).min(self.chain.len() * 2) {
                let id = turn
                    .checked_rem(self.chain.len())
                    .and_then(|place| self.chain.get(place).copied());
                self.attempted(id, Ending::Failed, live, effects);
            }
        }
        self.attempted(answered, last, live, effects);
    }

    fn attempted(
        &self,
        id: Option<BackendId>,
        ending: Ending,
        live: &mut Live,
        effects: &mut Vec<Effect>,
    ) {
        self.tell(id, ending, effects);
        if let Some(link) = id.and_then(|id| link(&self.policy, id))
            && ending != Ending::Unknown
        {
            live.attempted(link, ending == Ending::Failed);
        }
    }

    /// Counts an attempt that failed.
    fn tell(&self, id: Option<BackendId>, ending: Ending, effects: &mut Vec<Effect>) {
        if ending == Ending::Failed
            && let Some(backend) = id.and_then(|id| self.policy.registry.backend(id))
        {
            effects.push(Effect::Count(Metric::attempts_failed(&backend.name)));
        }
    }

    /// How the last attempt ended.
    fn ending(&self, now_ns: u64) -> Ending {
        let ms = |until: u64| until.saturating_sub(self.sent_ns) as f32 / 1e6;
        match self.status {
            429 | 500.. => Ending::Failed,
            _ if self.broken_off => Ending::Failed,
            // The client went away.
            0 => Ending::Unknown,
            _ if !self.ended => Ending::Unknown,
            200..=299 => Ending::Answered {
                first_token_ms: self.first_ns.map(ms),
                total_ms: ms(now_ns),
            },
            _ => Ending::AnsweredLate,
        }
    }
}

fn link(policy: &Policy, id: BackendId) -> Option<u32> {
    Some(chain::link(&policy.registry.backend(id)?.name))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::live::DOWN_AFTER;
    use crate::stream::testing::POLICY;

    const SECOND: u64 = 1_000_000_000;

    fn watch(live: &mut Live, failover: Failover, chain: &[u32]) -> Watch {
        let policy = Rc::new(Policy::compile(POLICY).unwrap());
        let link = link(&policy, BackendId(chain[0])).unwrap();
        Watch {
            policy,
            chain: chain.iter().copied().map(BackendId).collect(),
            failover,
            ticket: live.sent(link, SECOND, 100.0).unwrap(),
            expected_ms: 100.0,
            sent_ns: SECOND,
            first_ns: None,
            status: 0,
            ended: false,
            broken_off: false,
        }
    }

    fn rate(live: &Live, name: &str) -> f32 {
        live.look(chain::link(name)).error_rate
    }

    #[test]
    fn failed_attempts_are_charged_to_whom_they_were_made_at() {
        let mut live = Live::new();
        let mut effects = Vec::new();
        let mut one = watch(&mut live, Failover::PerAttempt, &[1, 0, 2]);
        one.head(b"200");
        one.ended();
        one.close(2 * SECOND, 3, Some(BackendId(2)), &mut live, &mut effects);
        assert!(rate(&live, "gpu-1") > 0.0 && rate(&live, "cpu-1") > 0.0);
        assert_eq!(rate(&live, "lpu-1"), 0.0);
        assert_eq!(effects.len(), 2);
        assert_eq!(live.look(chain::link("gpu-1")).in_flight, 0);
    }

    #[test]
    fn errors_of_the_backend_count_and_those_of_the_client_do_not() {
        for (status, failed) in [
            (500, true),
            (429, true),
            (503, true),
            (400, false),
            (404, false),
        ] {
            let mut live = Live::new();
            for _ in 0..DOWN_AFTER {
                let mut one = watch(&mut live, Failover::Off, &[1]);
                one.head(status.to_string().as_bytes());
                one.ended();
                one.close(2 * SECOND, 1, None, &mut live, &mut Vec::new());
            }
            assert_eq!(live.look(chain::link("gpu-1")).down, failed, "{status}");
        }
    }

    #[test]
    fn slow_answers_slow_a_backend_down() {
        let mut live = Live::new();
        for _ in 0..20 {
            let mut one = watch(&mut live, Failover::PerAttempt, &[1, 2]);
            one.head(b"200");
            one.came(SECOND + SECOND / 2);
            one.ended();
            one.close(2 * SECOND, 1, None, &mut live, &mut Vec::new());
        }
        let slowdown = live.look(chain::link("gpu-1")).slowdown;
        assert!((8.0..13.0).contains(&slowdown), "{slowdown}");
    }
}
