//! Conditions of rules that need more than a comparison: patterns, and stable draws for percent rollouts.
//!
//! A draw is a hash, never a random number: the same user, tenant or conversation draws alike in every worker, every proxy and
//! on the command line, for as long as the rule keeps its name.

use super::envelope::RequestAttributes;
use crate::api::path;
use crate::fnv;

/// What a text must be: exactly this, or anything that begins so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    is_prefix: bool,
}

impl Pattern {
    /// From how it is written: a `*` at the end stands for anything. `None` where one stands elsewhere.
    pub fn parse(written: &str) -> Option<Pattern> {
        let (text, is_prefix) = match written.strip_suffix('*') {
            Some(start) => (start, true),
            None => (written, false),
        };
        (!text.contains('*')).then(|| Pattern {
            text: text.to_owned(),
            is_prefix,
        })
    }

    /// The same for paths that are normalised and in lower case.
    pub fn as_path(&self) -> Pattern {
        if !self.text.starts_with('/') {
            return self.clone();
        }
        let mut text = path::normalise(&self.text).to_ascii_lowercase();
        if self.is_prefix && self.text.ends_with('/') && !text.ends_with('/') {
            text.push('/');
        }
        Pattern {
            text,
            is_prefix: self.is_prefix,
        }
    }

    /// How it is written.
    pub fn written(&self) -> String {
        let star = if self.is_prefix { "*" } else { "" };
        [self.text.as_str(), star].concat()
    }

    /// Whether `text` is such.
    pub fn matches(&self, text: &str) -> bool {
        if self.is_prefix {
            text.starts_with(&self.text)
        } else {
            text == self.text
        }
    }

    /// The text, or the beginning, without the `*`.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether anything that begins so is matched.
    pub fn is_prefix(&self) -> bool {
        self.is_prefix
    }

    /// Whether everything that `other` matches is matched here too.
    pub fn covers(&self, other: &Pattern) -> bool {
        self == other || (self.is_prefix && other.text.starts_with(&self.text))
    }
}

/// Who draws together in a percent rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The end user that the client names.
    User,
    /// The tenant.
    Tenant,
    /// The conversation: everything up to its first user message.
    Conversation,
}

impl By {
    /// All of them.
    pub const ALL: [By; 3] = [By::User, By::Tenant, By::Conversation];

    /// The name that policies use.
    pub const fn name(self) -> &'static str {
        match self {
            By::User => "user",
            By::Tenant => "tenant",
            By::Conversation => "conversation",
        }
    }
}

/// A part of the traffic that stays the same part from request to request.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// How much of it, 0 to 1.
    pub share: f64,
    /// Who draws: the first of these that is known of a request.
    pub by: Vec<By>,
    /// What makes draws of different rules independent.
    pub salt: u64,
}

impl Share {
    /// Whether a request is in it; `conversation` is [`hash`] of how it begins.
    pub fn holds(
        &self,
        user: Option<&str>,
        envelope: &RequestAttributes,
        conversation: u64,
    ) -> bool {
        let key = self.by.iter().find_map(|by| match by {
            By::User => user.map(|user| hash([user])),
            By::Tenant => envelope.tenant.as_deref().map(|tenant| hash([tenant])),
            By::Conversation => Some(conversation),
        });
        key.is_some_and(|key| draw(self.salt, key) < self.share)
    }
}

/// A number from 0 up to but without 1 that two numbers stand for, evenly spread (the finaliser of SplitMix64).
pub fn draw(salt: u64, key: u64) -> f64 {
    let mut bits = salt ^ key.rotate_left(32);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// A hash of texts: FNV-1a, 64 bits, of at most 4096 bytes of each. Tells apart; nothing secret rests on it.
pub fn hash<'a>(texts: impl IntoIterator<Item = &'a str>) -> u64 {
    let ended = |text: &'a str| text.bytes().take(4096).chain([0xff]);
    fnv::hash64(texts.into_iter().flat_map(ended))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_text_or_a_beginning() {
        let exact = Pattern::parse("/v1/chat").unwrap();
        assert!(exact.matches("/v1/chat") && !exact.matches("/v1/chat/x"));
        let prefix = Pattern::parse("/v1/*").unwrap();
        assert!(prefix.matches("/v1/chat") && !prefix.matches("/v2"));
        assert!(prefix.covers(&exact) && !exact.covers(&prefix));
        assert!(Pattern::parse("*").unwrap().matches(""));
        assert_eq!(Pattern::parse("/*/chat"), None);
    }

    #[test]
    fn draws_are_spread_evenly_stable_and_independent() {
        let by = vec![By::User];
        let (one, other) = (hash(["canary"]), hash(["other"]));
        let is_in = |share: f64, salt: u64, user: &str| {
            let by = by.clone();
            Share { share, by, salt }.holds(Some(user), &RequestAttributes::default(), 0)
        };
        let users: Vec<String> = (0..20_000).map(|n| format!("user-{n}")).collect();
        let count = |test: &dyn Fn(&str) -> bool| users.iter().filter(|user| test(user)).count();
        let tenth = count(&|user| is_in(0.1, one, user));
        assert!((1850..2150).contains(&tenth), "{tenth}");
        // Who is in a tenth is in a fifth; who is in one rule's tenth is in another's as often as anybody.
        assert_eq!(
            count(&|user| is_in(0.1, one, user) && !is_in(0.2, one, user)),
            0
        );
        let both = count(&|user| is_in(0.1, one, user) && is_in(0.1, other, user));
        assert!((140..260).contains(&both), "{both}");
        assert_eq!(count(&|user| is_in(0.0, one, user)), 0);
        assert_eq!(count(&|user| is_in(1.0, one, user)), users.len());
    }

    #[test]
    fn the_first_that_is_known_draws() {
        let share = Share {
            share: 1.0,
            by: vec![By::User, By::Tenant],
            salt: 1,
        };
        assert!(!share.holds(None, &RequestAttributes::default(), 3));
        let envelope = RequestAttributes {
            tenant: Some("acme".into()),
            ..RequestAttributes::default()
        };
        assert!(share.holds(None, &envelope, 3));
    }
}
