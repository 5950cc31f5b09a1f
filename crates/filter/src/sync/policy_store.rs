//! The policy in force: published to shared data, read from there by every worker.
//!
//! Every VM (trial, main thread, workers) runs the same configuration and tries to publish its inline policy; the first one
//! does. Before each request a worker compares one number, the version, and compiles its own copy anew if it changed. A policy
//! that does not compile changes nothing: the last good one stays.
//!
//! The keys hold a fingerprint of the plugin configuration's policy fields. So an update that Envoy refuses after the trial VM
//! accepted it stays without effect, and two listeners with different policies never meet. Attempts have no policy of their
//! own; each request names the one that decided it (`policy_cache`).

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use log::Level;
use pointsman::control::plugin::Plugin;
use pointsman::control::policy_source::Bounds;
use pointsman::decimal::decimal;
use pointsman::fleet::clusters::Failover;
use pointsman::policy::{Policy, Problem};
use pointsman::state::receipt::{Keys, MIN_KEY_BYTES};
use pointsman::telemetry::state::FilterState;
use pointsman::telemetry::{Metric, header};

use super::learning_sync::LearningSync;
use super::shared_data::{ABSENT, Entry, decode, encode, key, key_of};
use super::stats_sync::StatsSync;
use crate::hostcalls::{self, HostError};
use crate::{logger, metrics};

/// The number of the policy in the plugin configuration.
const INLINE: u64 = 1;

/// The policy in force under one plugin configuration, and what else its streams share in their worker.
pub struct PolicyStore {
    cluster_header: String,
    bounds: Bounds,
    failover: Failover,
    filter_state: FilterState,
    stats: StatsSync,
    receipt_keys: Keys,
    learning: LearningSync,
    record_key: String,
    before_key: String,
    version_key: String,
    active_key: String,
    fingerprint: u64,
    version: Cell<u64>,
    policy: RefCell<Option<Rc<Policy>>>,
    /// The policy's version as the operator wrote it, once a request has used it.
    announced: RefCell<Option<String>>,
}

/// The published policy as it was read; the next one replaces it.
pub struct Latest {
    record: Vec<u8>,
    cas: u32,
    /// Its revision.
    pub revision: Option<u64>,
}

impl Latest {
    /// The document.
    pub fn text(&self) -> &[u8] {
        decode(&self.record).map_or(&[], |(_, text)| text)
    }
}

thread_local! {
    /// The policy versions that this VM's configurations have in force, one entry each.
    static ACTIVE: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

impl PolicyStore {
    /// A store without a policy, before a configuration was read: all requests pass.
    pub fn empty() -> PolicyStore {
        PolicyStore {
            cluster_header: header::CLUSTER.to_owned(),
            bounds: Bounds::default(),
            failover: Failover::Off,
            filter_state: FilterState::All,
            stats: StatsSync::new(String::new(), String::new()),
            receipt_keys: Keys::NONE,
            learning: LearningSync::new(String::new()),
            record_key: String::new(),
            before_key: String::new(),
            version_key: String::new(),
            active_key: String::new(),
            fingerprint: 0,
            version: Cell::new(0),
            policy: RefCell::new(None),
            announced: RefCell::new(None),
        }
    }

    /// Takes the policy of `plugin` into force and publishes it, unless another VM was first.
    #[inline(never)]
    pub fn publish(plugin: Plugin) -> PolicyStore {
        let store = PolicyStore {
            cluster_header: plugin.cluster_header,
            bounds: plugin.bounds,
            failover: plugin.failover,
            filter_state: plugin.filter_state,
            stats: StatsSync::new(
                key("pointsman.live2.", plugin.fingerprint),
                key("pointsman.scale_to_zero.", plugin.fingerprint),
            ),
            receipt_keys: receipt_keys(&plugin.receipt_keys),
            learning: LearningSync::new(key("pointsman.learned.", plugin.fingerprint)),
            record_key: key_of(Entry::Policy, plugin.fingerprint),
            before_key: key_of(Entry::Before, plugin.fingerprint),
            version_key: key_of(Entry::Version, plugin.fingerprint),
            active_key: key("pointsman.active.", plugin.fingerprint),
            fingerprint: plugin.fingerprint,
            version: Cell::new(INLINE),
            policy: RefCell::new(None),
            announced: RefCell::new(None),
        };
        let record = encode(INLINE, plugin.policy_text.as_bytes());
        let done = hostcalls::set_shared(&store.record_key, &record, ABSENT).and_then(|()| {
            hostcalls::set_shared(&store.version_key, &INLINE.to_le_bytes(), ABSENT)
        });
        // The bounds that attempts hold policies of the source to.
        let rendered = plugin.source.as_ref().map_or(Ok(()), |_| {
            let key = key_of(Entry::Rendered, plugin.fingerprint);
            hostcalls::set_shared(&key, plugin.policy_text.as_bytes(), 0)
        });
        match done.and(rendered) {
            Ok(()) | Err(HostError::CAS_MISMATCH) => {}
            Err(_) => logger::line(
                Level::Error,
                "the policy cannot be published to shared data",
            ),
        }
        store.adopt(plugin.policy);
        store
    }

    /// The request header that names the upstream cluster.
    pub fn cluster_header(&self) -> &str {
        &self.cluster_header
    }

    /// How requests get to another backend when an attempt fails.
    pub fn failover(&self) -> Failover {
        self.failover
    }

    /// The values that are set for access logs and spans.
    pub fn filter_state(&self) -> FilterState {
        self.filter_state
    }

    /// The fingerprint of the plugin configuration.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The statistics of the backends.
    pub fn stats(&self) -> &StatsSync {
        &self.stats
    }

    /// The keys of receipts.
    pub fn receipt_keys(&self) -> &Keys {
        &self.receipt_keys
    }

    /// The policy in force, for a request. Costs one host call while nothing has changed.
    pub fn current(&self) -> Option<Rc<Policy>> {
        let policy = self.peek()?;
        self.announce(&policy.version);
        Some(policy)
    }

    /// The policy in force, not for a request: its version is not shown as a metric.
    pub fn peek(&self) -> Option<Rc<Policy>> {
        if let Ok(Some((bytes, _))) = hostcalls::shared(&self.version_key)
            && let Some((version, _)) = decode(&bytes)
            && version != self.version.get()
        {
            self.version.set(version);
            self.reload();
        }
        self.policy.try_borrow().ok()?.clone()
    }

    /// Shows the version in force as a metric. Not before a request has used it: a trial VM whose configuration Envoy refuses
    /// afterwards cannot take it back.
    #[inline(never)]
    fn announce(&self, version: &str) {
        let Ok(mut announced) = self.announced.try_borrow_mut() else {
            return;
        };
        if announced.as_deref() == Some(version) {
            return;
        }
        retire(announced.take());
        ACTIVE.with(|active| {
            if let Ok(mut active) = active.try_borrow_mut() {
                active.push(version.to_owned());
            }
        });
        self.retire_before(version);
        metrics::record(&Metric::policy_active(version), 1);
        logger::line(Level::Info, &["policy in force: ", version].concat());
        *announced = Some(version.to_owned());
    }

    /// Takes the version that was shown last under this configuration out of the metric, even if another worker showed it: that
    /// one may have failed since.
    fn retire_before(&self, version: &str) {
        let before = hostcalls::shared(&self.active_key).ok().flatten();
        let cas = before.as_ref().map_or(ABSENT, |(_, cas)| *cas);
        let before = before.and_then(|(text, _)| String::from_utf8(text).ok());
        if before.as_deref() == Some(version) {
            return;
        }
        let in_force = |version: &String| {
            ACTIVE.with(|active| active.try_borrow().is_ok_and(|all| all.contains(version)))
        };
        if let Some(before) = before.filter(|before| !in_force(before)) {
            metrics::record(&Metric::policy_active(&before), 0);
        }
        // If another worker was faster, it shows the version in force.
        let _ = hostcalls::set_shared(&self.active_key, version.as_bytes(), cas);
    }

    /// Shows the version in force once a tick, if any was shown before: no request may have come since it changed, and another
    /// worker that learned of it later may have shown the one before.
    #[inline(never)]
    pub fn tick(&self) {
        let is_shown = self
            .announced
            .try_borrow()
            .is_ok_and(|shown| shown.is_some());
        if is_shown && let Some(policy) = self.peek() {
            self.announce(&policy.version);
            metrics::record(&Metric::policy_active(&policy.version), 1);
        }
    }

    /// Exchanges what was learned of the models with the other workers, once a tick.
    #[inline(never)]
    pub fn sync_learning(&self) {
        if let Some(policy) = self.peek() {
            self.learning.sync(&policy);
        }
    }

    /// The policy that is published now; it is in force here from then on.
    pub fn latest(&self) -> Result<Latest, HostError> {
        let (record, cas) = hostcalls::shared(&self.record_key)?.ok_or(HostError::NOT_FOUND)?;
        let (version, text) = decode(&record).ok_or(HostError::NOT_FOUND)?;
        if version != self.version.get() {
            self.version.set(version);
            self.load(text);
        }
        let policy = self
            .policy
            .try_borrow()
            .ok()
            .and_then(|policy| policy.clone());
        Ok(Latest {
            revision: policy.and_then(|policy| policy.revision),
            record,
            cas,
        })
    }

    /// Publishes `policy`, whose document is `text`, unless another was published since `latest` was read. Every worker with
    /// the same configuration compiles it before its next request.
    pub fn replace(&self, latest: &Latest, text: &[u8], policy: Policy) -> Result<(), HostError> {
        let (version, _) = decode(&latest.record).ok_or(HostError::NOT_FOUND)?;
        let next = version.wrapping_add(1);
        hostcalls::set_shared(&self.record_key, &encode(next, text), latest.cas)?;
        // If this fails, attempts under way use the new policy.
        let _ = hostcalls::set_shared(&self.before_key, &latest.record, 0);
        // INVARIANT: the number is written last, so that a worker that sees it finds at least this policy. The compare-and-swap
        // above gives each number out once: no worker ever sees one number with two policies.
        hostcalls::set_shared(&self.version_key, &next.to_le_bytes(), 0)?;
        self.version.set(next);
        self.adopt(policy);
        Ok(())
    }

    #[inline(never)]
    fn reload(&self) {
        if let Ok(Some((record, _))) = hostcalls::shared(&self.record_key)
            && let Some((_, text)) = decode(&record)
        {
            self.load(text);
        }
    }

    /// Takes a document into force. Checked again although it was checked before it was published.
    #[inline(never)]
    fn load(&self, text: &[u8]) {
        let Ok(text) = std::str::from_utf8(text) else {
            return;
        };
        let mut policy = match Policy::compile(text) {
            Ok(policy) => policy,
            Err(invalid) => return report(&invalid.problems),
        };
        match self.bounds.bind(&mut policy) {
            Ok(()) => self.adopt(policy),
            Err(refusal) => logger::line(Level::Error, &refusal.to_string()),
        }
    }

    #[inline(never)]
    fn adopt(&self, policy: Policy) {
        if let Ok(mut current) = self.policy.try_borrow_mut() {
            *current = Some(Rc::new(policy));
        }
    }
}

/// The keys in these environment variables. One that is not set or too short is left out, and a line says so; it never holds the
/// key.
fn receipt_keys(names: &[String]) -> Keys {
    let secrets = names.iter().filter_map(|name| {
        let secret = std::env::var(name).ok();
        let secret = secret.filter(|secret| secret.len() >= MIN_KEY_BYTES);
        if secret.is_none() {
            let parts = ["a key of receipts is missing or too short: set ", name];
            logger::line(Level::Error, &parts.concat());
        }
        secret
    });
    let secrets: Vec<String> = secrets.collect();
    Keys::new(secrets.iter().map(String::as_bytes))
}

impl Drop for PolicyStore {
    fn drop(&mut self) {
        retire(self.announced.take());
    }
}

/// Takes a version out of the metric, unless another configuration of this VM has it in force as well.
fn retire(version: Option<String>) {
    let Some(version) = version else {
        return;
    };
    let is_last = ACTIVE.with(|active| {
        let Ok(mut active) = active.try_borrow_mut() else {
            return false;
        };
        if let Some(index) = active.iter().position(|other| *other == version) {
            active.swap_remove(index);
        }
        !active.contains(&version)
    });
    if is_last {
        metrics::record(&Metric::policy_active(&version), 0);
    }
}

/// Logs every problem on a line of its own, and counts the document.
pub fn report(problems: &[Problem]) {
    for problem in problems {
        let (line, column) = (u64::from(problem.line), u64::from(problem.column));
        let place = [decimal(line), decimal(column)].join(":");
        let text = ["invalid configuration", &place, &problem.to_string()].join(": ");
        logger::line(Level::Error, &text);
    }
    metrics::count(&Metric::policy_errors());
}
