//! The chain of backends that a request may be tried at, as it travels in Envoy's filter state from the decision to each
//! attempt. No header carries it, so no backend sees it.
//!
//! Envoy picks the cluster of each attempt by its start, and the attempt's filter moves the chain on.
//! `9f3a01bc.04d2e877.;9f3a01bc;1;0;1234;5d1e22a0;…` are the backends in the order in which
//! they are to be tried, the one that the body is written for, how many attempts there were, how many bytes were put before
//! the path (`v` behind it where they stand in for `/v1`), the length of the body as it was decided on (`-` where it states
//! none), the policy that decided (its mark, and the plugin configuration under which it is published), when the client's
//! time is over, how many tokens have to be written before the client sees anything, and two flags in one digit: 1 where the
//! backend's own credentials are put in, 2 where headers of the client are kept for later attempts. Behind them may stand how
//! many tokens of answer the body allows and how many its input has, where the former is cut down for models that write less.

use crate::fleet::clusters::{backend_key, push_key};
use crate::fleet::{AnswerBound, Backend, BackendId, Registry};

/// A chain under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FallbackChain {
    /// The backends; the first is the one of this attempt, or in an aggregate the one that is to be tried first.
    pub links: Vec<u32>,
    /// The backend whose model the held body names.
    pub written_for: u32,
    /// How many attempts came before.
    pub attempts: u32,
    /// How many bytes of the path were put there by the attempt before.
    pub path_prefix: usize,
    /// Whether these bytes stand in for the `/v1` that the client's path begins with.
    pub replaces_version: bool,
    /// The body's length as the decision left it; `None` where the request states none.
    pub content_length: Option<u64>,
    /// The policy that decided: what its names mean, it says, though another one may be in force by now.
    pub origin: PolicyRef,
    /// How long the client waits.
    pub patience: Patience,
    /// Whether the backend's own credentials are put in.
    pub own_credentials: bool,
    /// Whether headers of the client are kept for later attempts.
    pub withholds: bool,
    /// How long an answer the body allows as the decision left it, where that is cut down for models that write less.
    pub answer: Option<AnswerBound>,
}

/// How long a client waits for the first byte of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Patience {
    /// When its time is over, in nanoseconds since 1970; 0 where nobody knows.
    pub until_ns: u64,
    /// How many tokens a backend has to write before it sends anything: 0 for a stream.
    pub tokens: u32,
}

impl Patience {
    /// Whether `backend` usually answers before the client's time is over.
    pub fn lasts(&self, backend: &Backend, now_ns: u64) -> bool {
        let latency = &backend.latency;
        let generation_ms = 1000.0 * self.tokens as f32 / latency.tokens_per_second;
        let needed_ms = latency.first_token_p50_ms + generation_ms;
        let left_ms = self.until_ns.saturating_sub(now_ns) / 1_000_000;
        self.until_ns == 0 || left_ms as f32 >= needed_ms
    }
}

/// Which policy decided on a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PolicyRef {
    /// Its mark, which tells it from others that were published in the same place.
    pub policy: u32,
    /// The fingerprint of the plugin configuration that has published it.
    pub plugin: u64,
}

impl PolicyRef {
    /// That of a chain as it stands in the header.
    pub fn of(chain: &[u8]) -> Option<PolicyRef> {
        Some(FallbackChain::parse(chain)?.origin)
    }
}

impl FallbackChain {
    /// The chain of a decision: `chosen`, then its fallbacks.
    pub fn new(
        registry: &Registry,
        origin: PolicyRef,
        backends: &[BackendId],
        content_length: Option<u64>,
        patience: Patience,
    ) -> FallbackChain {
        let links: Vec<u32> = backends
            .iter()
            .filter_map(|id| registry.backend(*id))
            .map(|backend| backend_key(&backend.name))
            .collect();
        FallbackChain {
            written_for: links.first().copied().unwrap_or_default(),
            links,
            attempts: 0,
            path_prefix: 0,
            replaces_version: false,
            content_length,
            origin,
            patience,
            own_credentials: true,
            withholds: false,
            answer: None,
        }
    }

    /// As it stands in the filter state.
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(self.links.len() * 9 + 64);
        for link in &self.links {
            push_key(&mut text, *link);
            text.push('.');
        }
        text.push(';');
        push_key(&mut text, self.written_for);
        for number in [u64::from(self.attempts), self.path_prefix as u64] {
            text.push(';');
            push_decimal(&mut text, number);
        }
        if self.replaces_version {
            text.push('v');
        }
        text.push(';');
        match self.content_length {
            Some(length) => push_decimal(&mut text, length),
            None => text.push('-'),
        }
        text.push(';');
        push_key(&mut text, self.origin.policy);
        text.push(';');
        for half in [self.origin.plugin >> 32, self.origin.plugin] {
            push_key(&mut text, half as u32);
        }
        for number in [self.patience.until_ns, u64::from(self.patience.tokens)] {
            text.push(';');
            push_decimal(&mut text, number);
        }
        text.push(';');
        push_decimal(
            &mut text,
            u64::from(self.own_credentials) + 2 * u64::from(self.withholds),
        );
        if let Some(answer) = self.answer {
            for number in [answer.most_tokens, answer.window_tokens] {
                text.push(';');
                push_decimal(&mut text, u64::from(number));
            }
        }
        text
    }

    /// Reads it again; `None` where it is no chain.
    pub fn parse(value: &[u8]) -> Option<FallbackChain> {
        let mut parts = std::str::from_utf8(value).ok()?.split(';');
        let mut links = Vec::new();
        for part in parts.next()?.split_terminator('.') {
            links.push(u32::from_str_radix(part, 16).ok()?);
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
            patience: Patience {
                until_ns: parts.next()?.parse().ok()?,
                tokens: parts.next()?.parse().ok()?,
            },
            own_credentials: false,
            withholds: false,
            answer: None,
            links,
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
        (!chain.links.is_empty() && parts.next().is_none()).then_some(chain)
    }

    /// The next attempt's turn: the first goes to the end, so that a chain is never over.
    pub fn rotate(&mut self) {
        if !self.links.is_empty() {
            self.links.rotate_left(1);
        }
    }
}

fn push_decimal(text: &mut String, number: u64) {
    let mut unit = 1_u64;
    while number / unit >= 10 {
        unit *= 10;
    }
    while unit > 0 {
        text.push(char::from_digit((number / unit % 10) as u32, 10).unwrap_or('0'));
        unit /= 10;
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
            links: vec![backend_key("gpu"), 0, 0xffff_ffff],
            written_for: backend_key("gpu"),
            attempts: 3,
            path_prefix: 7,
            replaces_version: true,
            content_length: None,
            origin: PolicyRef {
                policy: 0x0042_fe00,
                plugin: 0x0123_4567_89ab_cdef,
            },
            patience: Patience {
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
        assert_eq!(chain.links, [0, 0xffff_ffff, backend_key("gpu")]);
        let text = chain.to_text();
        assert_eq!(FallbackChain::parse(text.as_bytes()).unwrap(), chain);
        assert_eq!(PolicyRef::of(text.as_bytes()), Some(chain.origin));
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
        assert_eq!(PolicyRef::of(b"1.;1"), None);
    }
}
