//! The chain of backends that a request may be tried at, as it travels in Envoy's filter state from the decision to each attempt.
//! No header carries it, so no backend sees it.
//!
//! Envoy picks the cluster of an attempt by the start of the chain, and the attempt's filter moves the chain on. An example is
//! `9f3a01bc.04d2e877.;9f3a01bc;1;0;1234;5d1e22a0;…`. Its parts, separated by semicolons:
//!
//! 1. the keys of the backends, in the order in which they are tried;
//! 2. the key of the backend whose model the body names;
//! 3. the number of attempts so far;
//! 4. the length of the prefix that was put before the path, with `v` behind it if the prefix stands in for `/v1`;
//! 5. the length of the body as the decision left it, `-` if the request states none;
//! 6. the fingerprint of the policy that decided, and 7. of the plugin configuration that publishes it;
//! 8. the end of the client's time, in nanoseconds since 1970;
//! 9. the number of tokens that are written before the client sees anything;
//! 10. flags in one digit: 1 if the backend's own credentials are put in, 2 if headers of the client are kept for later attempts;
//! 11. and 12., if the answer is cut down for models that write less: the answer's and the input's tokens.

use crate::decimal::push_integer;
use crate::fleet::clusters::{backend_key, push_key};
use crate::fleet::{AnswerBound, Backend, BackendId, Registry};

/// The fallback chain of a request in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FallbackChain {
    /// The keys of the backends; the first is that of this attempt or, in an aggregate cluster, of the first attempt.
    pub backends: Vec<u32>,
    /// The key of the backend whose model the held body names.
    pub written_for: u32,
    /// The number of attempts before this one.
    pub attempts: u32,
    /// The length of the prefix that the previous attempt put before the path, in bytes.
    pub path_prefix: usize,
    /// Whether that prefix stands in for the `/v1` that the client's path begins with.
    pub replaces_version: bool,
    /// The body's length as the decision left it; `None` if the request states none.
    pub content_length: Option<u64>,
    /// The policy that decided. It gives the names their meaning, even if another policy is in force by now.
    pub origin: PolicyRef,
    /// The time by which the client expects its first byte.
    pub deadline: FirstByteDeadline,
    /// Whether the backend's own credentials are put in.
    pub own_credentials: bool,
    /// Whether headers of the client are kept for later attempts.
    pub withholds: bool,
    /// The body's bound on the answer as the decision left it, if that is cut down for models that write less.
    pub answer: Option<AnswerBound>,
}

/// How long a client waits for the first byte of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FirstByteDeadline {
    /// The end of that time, in nanoseconds since 1970; 0 if it is unknown.
    pub until_ns: u64,
    /// The tokens that a backend writes before it sends anything: 0 for a stream.
    pub tokens: u32,
}

impl FirstByteDeadline {
    /// Whether `backend` usually answers before the client's time is over.
    pub fn allows(&self, backend: &Backend, now_ns: u64) -> bool {
        let latency = &backend.latency;
        let generation_ms = 1000.0 * self.tokens as f32 / latency.tokens_per_second;
        let needed_ms = latency.first_token_p50_ms + generation_ms;
        let left_ms = self.until_ns.saturating_sub(now_ns) / 1_000_000;
        self.until_ns == 0 || left_ms as f32 >= needed_ms
    }
}

/// The policy that decided on a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PolicyRef {
    /// Its fingerprint, which tells it from others that were published in the same place.
    pub policy: u32,
    /// The fingerprint of the plugin configuration that published it.
    pub plugin: u64,
}

impl FallbackChain {
    /// The chain of a decision: `chosen`, then its fallbacks.
    pub fn new(
        registry: &Registry,
        origin: PolicyRef,
        backends: &[BackendId],
        content_length: Option<u64>,
        deadline: FirstByteDeadline,
    ) -> FallbackChain {
        let keys: Vec<u32> = backends
            .iter()
            .filter_map(|id| registry.backend(*id))
            .map(|backend| backend_key(&backend.name))
            .collect();
        FallbackChain {
            written_for: keys.first().copied().unwrap_or_default(),
            backends: keys,
            attempts: 0,
            path_prefix: 0,
            replaces_version: false,
            content_length,
            origin,
            deadline,
            own_credentials: true,
            withholds: false,
            answer: None,
        }
    }

    /// The text for the filter state.
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(self.backends.len() * 9 + 64);
        for key in &self.backends {
            push_key(&mut text, *key);
            text.push('.');
        }
        text.push(';');
        push_key(&mut text, self.written_for);
        for number in [u64::from(self.attempts), self.path_prefix as u64] {
            text.push(';');
            push_integer(&mut text, number);
        }
        if self.replaces_version {
            text.push('v');
        }
        text.push(';');
        match self.content_length {
            Some(length) => push_integer(&mut text, length),
            None => text.push('-'),
        }
        text.push(';');
        push_key(&mut text, self.origin.policy);
        text.push(';');
        for half in [self.origin.plugin >> 32, self.origin.plugin] {
            push_key(&mut text, half as u32);
        }
        for number in [self.deadline.until_ns, u64::from(self.deadline.tokens)] {
            text.push(';');
            push_integer(&mut text, number);
        }
        text.push(';');
        push_integer(
            &mut text,
            u64::from(self.own_credentials) + 2 * u64::from(self.withholds),
        );
        if let Some(answer) = self.answer {
            for number in [answer.most_tokens, answer.window_tokens] {
                text.push(';');
                push_integer(&mut text, u64::from(number));
            }
        }
        text
    }

    /// Reads the text of a chain; `None` if it is invalid.
    pub fn parse(value: &[u8]) -> Option<FallbackChain> {
        let mut parts = std::str::from_utf8(value).ok()?.split(';');
        let mut keys = Vec::new();
        for part in parts.next()?.split_terminator('.') {
            keys.push(u32::from_str_radix(part, 16).ok()?);
        }
        let written_for = u32::from_str_radix(parts.next()?, 16).ok()?;
        let attempts = parts.next()?.parse().ok()?;
        let prefix = parts.next()?;
        let mut chain = FallbackChain {
            written_for,
            attempts,
            path_prefix: prefix.strip_suffix('v').unwrap_or(prefix).parse().ok()?,
            replaces_version: prefix.ends_with('v'),
            content_length: match parts.next()? {
                "-" => None,
                length => Some(length.parse().ok()?),
            },
            origin: PolicyRef {
                policy: u32::from_str_radix(parts.next()?, 16).ok()?,
                plugin: u64::from_str_radix(parts.next()?, 16).ok()?,
            },
            deadline: FirstByteDeadline {
                until_ns: parts.next()?.parse().ok()?,
                tokens: parts.next()?.parse().ok()?,
            },
            own_credentials: false,
            withholds: false,
            answer: None,
            backends: keys,
        };
        let flags: u8 = parts.next()?.parse().ok()?;
        chain.own_credentials = flags & 1 != 0;
        chain.withholds = flags & 2 != 0;
        if let Some(most) = parts.next() {
            chain.answer = Some(AnswerBound {
                most_tokens: most.parse().ok()?,
                window_tokens: parts.next()?.parse().ok()?,
            });
        }
        (!chain.backends.is_empty() && parts.next().is_none()).then_some(chain)
    }

    /// Moves on to the next attempt: the first backend goes to the end, so a chain never ends.
    pub fn rotate(&mut self) {
        if !self.backends.is_empty() {
            self.backends.rotate_left(1);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice)]
mod tests {
    use super::*;
    use crate::fleet::clusters::key_text;

    #[test]
    fn what_is_written_is_read() {
        let mut chain = FallbackChain {
            backends: vec![backend_key("gpu"), 0, 0xffff_ffff],
            written_for: backend_key("gpu"),
            attempts: 3,
            path_prefix: 7,
            replaces_version: true,
            content_length: None,
            origin: PolicyRef {
                policy: 0x0042_fe00,
                plugin: 0x0123_4567_89ab_cdef,
            },
            deadline: FirstByteDeadline {
                until_ns: 1_700_000_000_123_456_789,
                tokens: 800,
            },
            own_credentials: true,
            withholds: false,
            answer: None,
        };
        assert_eq!(
            FallbackChain::parse(chain.to_text().as_bytes()).unwrap(),
            chain
        );
        assert!(chain.to_text().starts_with(&key_text(backend_key("gpu"))));
        chain.content_length = Some(u64::MAX);
        (chain.own_credentials, chain.withholds) = (false, true);
        chain.answer = Some(AnswerBound {
            most_tokens: 4096,
            window_tokens: 17,
        });
        chain.rotate();
        assert_eq!(chain.backends, [0, 0xffff_ffff, backend_key("gpu")]);
        let text = chain.to_text();
        assert_eq!(FallbackChain::parse(text.as_bytes()).unwrap(), chain);
        for end in 0..text.len() {
            let _ = FallbackChain::parse(&text.as_bytes()[..end]);
        }
    }

    #[test]
    fn what_is_no_chain_is_none() {
        for text in [
            "",
            ";",
            ";0;0;0;-;0;0;0;0;0",
            "zz.;0;0;0;-;0;0;0;0;0",
            "1.;1;1;1;1;1;1;1;1",
            "1.;1;1;1;1;1;1;1;1;1;1",
            "1.;1;-1;0;0;0;0;0;0;0",
            "1.;1;1;v;1;1;1;1;1;1",
        ] {
            assert_eq!(FallbackChain::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(FallbackChain::parse(b"\xff"), None);
        assert_eq!(FallbackChain::parse(b"1.;1"), None);
    }
}
