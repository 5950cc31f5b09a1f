//! The policy in force: published to shared data, read from there by every worker.
//!
//! Every VM (trial, main thread, workers) runs the same configuration and tries to publish its inline policy; the first one
//! does. Before each request a worker compares one number, the version, and compiles its own copy anew when it changed. A
//! policy that does not compile changes nothing: the last good one stays.
//!
//! The keys hold a hash of the whole plugin configuration. So an update that Envoy refuses after our trial VM accepted it
//! stays without effect, and two listeners with different policies never meet.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use log::Level;
use pointsman::chain::Failover;
use pointsman::plugin::{Plugin, Role};
use pointsman::policy::{Policy, Problem};
use pointsman::stream;
use pointsman::telemetry::{self, Metric, header};

use crate::hostcalls::{self, HostError};
use crate::observed::Observations;
use crate::{logger, metrics};

/// The version of a policy that stands in the plugin configuration.
const INLINE: u64 = 1;

/// To compare with where nothing must be there yet: the host creates an absent key whatever the number is, and its own
/// numbers count up from 1.
const ABSENT: u32 = u32::MAX;

/// What the streams of one plugin configuration share in their worker.
pub struct Published {
    cluster_header: String,
    failover: Failover,
    role: Role,
    observations: Observations,
    record_key: String,
    version_key: String,
    version: Cell<u64>,
    policy: RefCell<Option<Rc<Policy>>>,
    /// The policy's version as the operator wrote it, once a request met it.
    announced: RefCell<Option<String>>,
}

thread_local! {
    /// The policy versions that this VM's configurations have in force, one entry each.
    static ACTIVE: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

impl Published {
    /// Without any policy, as long as no configuration was read: all requests pass.
    pub fn nothing() -> Published {
        Published {
            cluster_header: header::CLUSTER.to_owned(),
            failover: Failover::Off,
            role: Role::Router,
            observations: Observations::new(String::new()),
            record_key: String::new(),
            version_key: String::new(),
            version: Cell::new(0),
            policy: RefCell::new(None),
            announced: RefCell::new(None),
        }
    }

    /// Takes the policy of `plugin` and publishes it, unless another VM was first.
    pub fn publish(plugin: Plugin) -> Published {
        let published = Published {
            cluster_header: plugin.cluster_header,
            failover: plugin.failover,
            role: plugin.role,
            observations: Observations::new(key("pointsman.live.", plugin.fingerprint)),
            record_key: key("pointsman.policy.", plugin.fingerprint),
            version_key: key("pointsman.version.", plugin.fingerprint),
            version: Cell::new(INLINE),
            policy: RefCell::new(None),
            announced: RefCell::new(None),
        };
        let record = encode(INLINE, &plugin.policy_text);
        let done = hostcalls::set_shared(&published.record_key, &record, ABSENT).and_then(|()| {
            hostcalls::set_shared(&published.version_key, &INLINE.to_le_bytes(), ABSENT)
        });
        match done {
            Ok(()) | Err(HostError::CAS_MISMATCH) => {}
            Err(_) => logger::line(
                Level::Error,
                "the policy cannot be published to shared data",
            ),
        }
        published.adopt(plugin.policy);
        published
    }

    /// The request header that names the upstream cluster.
    pub fn cluster_header(&self) -> &str {
        &self.cluster_header
    }

    /// How requests get to another backend when an attempt fails.
    pub fn failover(&self) -> Failover {
        self.failover
    }

    /// What was learned of the backends.
    pub fn observations(&self) -> &Observations {
        &self.observations
    }

    /// What this instance does.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The policy in force. Costs one host call while nothing changed.
    pub fn current(&self) -> Option<Rc<Policy>> {
        if let Ok(Some((bytes, _))) = hostcalls::shared(&self.version_key)
            && let Some((version, _)) = decode(&bytes)
            && version != self.version.get()
        {
            self.version.set(version);
            self.reload();
        }
        let policy = self.policy.try_borrow().ok()?.clone()?;
        self.announce(&policy.version);
        Some(policy)
    }

    /// Shows the version in force as a metric. Not before a request met it: a trial VM whose configuration Envoy refuses
    /// afterwards has no way to take it back.
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
        metrics::record(&Metric::policy_active(version), 1);
        logger::line(Level::Info, &["policy in force: ", version].concat());
        *announced = Some(version.to_owned());
    }

    /// Publishes another policy to every worker that has the same configuration, which compiles it before its next request.
    /// What does not compile is not published: a VM that starts later must find a policy that works.
    #[cfg(feature = "test-trap")]
    pub fn replace(&self, text: &str) -> Result<(), HostError> {
        if let Err(invalid) = Policy::compile(text) {
            report(&invalid.problems);
            return Ok(());
        }
        loop {
            let (record, cas) = hostcalls::shared(&self.record_key)?.ok_or(HostError::NOT_FOUND)?;
            let (version, _) = decode(&record).ok_or(HostError::NOT_FOUND)?;
            let next = version.wrapping_add(1);
            match hostcalls::set_shared(&self.record_key, &encode(next, text), cas) {
                Ok(()) => {
                    return hostcalls::set_shared(&self.version_key, &next.to_le_bytes(), 0);
                }
                Err(HostError::CAS_MISMATCH) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn reload(&self) {
        let Ok(Some((record, _))) = hostcalls::shared(&self.record_key) else {
            return;
        };
        let Some((_, text)) = decode(&record) else {
            return;
        };
        let Ok(text) = std::str::from_utf8(text) else {
            return;
        };
        match Policy::compile(text) {
            Ok(policy) => self.adopt(policy),
            Err(invalid) => report(&invalid.problems),
        }
    }

    fn adopt(&self, policy: Policy) {
        if let Ok(mut current) = self.policy.try_borrow_mut() {
            *current = Some(Rc::new(policy));
        }
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        retire(self.announced.take());
    }
}

/// Takes a version out of the metric, unless another configuration of this VM has it in force too.
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

/// Logs every problem, one a line, and counts the document that has them.
pub fn report(problems: &[Problem]) {
    for problem in problems {
        let (line, column) = (u64::from(problem.line), u64::from(problem.column));
        let place = [stream::decimal(line), stream::decimal(column)].join(":");
        let text = ["invalid configuration", &place, &problem.to_string()].join(": ");
        logger::line(Level::Error, &text);
    }
    metrics::add(&telemetry::POLICY_ERRORS, 1);
}

fn key(prefix: &str, fingerprint: u64) -> String {
    let mut key = String::from(prefix);
    for shift in (0..16).rev() {
        let digit = (fingerprint >> (shift * 4)) as u32 & 15;
        key.push(char::from_digit(digit, 16).unwrap_or('0'));
    }
    key
}

fn encode(version: u64, text: &str) -> Vec<u8> {
    let mut record = version.to_le_bytes().to_vec();
    record.extend_from_slice(text.as_bytes());
    record
}

fn decode(record: &[u8]) -> Option<(u64, &[u8])> {
    let (version, text) = record.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*version), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        assert_eq!(decode(&encode(7, "{}")), Some((7, b"{}".as_slice())));
        assert_eq!(decode(&[1, 2, 3]), None);
    }

    #[test]
    fn keys_are_hexadecimal() {
        assert_eq!(key("p.", 0x0123_4567_89ab_cdef), "p.0123456789abcdef");
    }
}
