//! Percent rollouts: a stable share of the traffic.

use crate::policy::draw::{draw, hash};
use crate::policy::request_attributes::RequestAttributes;
use crate::schema::document::Node;
use crate::schema::problems::{Problems, join};

/// The unit of a percent rollout: requests of one unit are in or out together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShareUnit {
    /// The end user that the client names.
    User,
    /// The tenant.
    Tenant,
    /// The conversation: everything up to its first user message.
    Conversation,
}

impl ShareUnit {
    /// All of them.
    pub const ALL: [ShareUnit; 3] = [ShareUnit::User, ShareUnit::Tenant, ShareUnit::Conversation];

    /// The name that policies use.
    pub const fn name(self) -> &'static str {
        match self {
            ShareUnit::User => "user",
            ShareUnit::Tenant => "tenant",
            ShareUnit::Conversation => "conversation",
        }
    }
}

/// A part of the traffic that stays the same part from request to request.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// How much of it, 0 to 1.
    pub share: f64,
    /// The unit: the first of these that the request has.
    pub by: Vec<ShareUnit>,
    /// Makes the draws of different rules independent.
    pub salt: u64,
}

impl Share {
    /// Whether a request is in it; `conversation` is [`hash`] of how it begins.
    pub fn holds(
        &self,
        user: Option<&str>,
        attributes: &RequestAttributes,
        conversation: u64,
    ) -> bool {
        let key = self.by.iter().find_map(|by| match by {
            ShareUnit::User => user.map(|user| hash([user])),
            ShareUnit::Tenant => attributes.tenant.as_deref().map(|tenant| hash([tenant])),
            ShareUnit::Conversation => Some(conversation),
        });
        key.is_some_and(|key| draw(self.salt, key) < self.share)
    }
}

/// The names of [`ShareUnit`].
pub(crate) const SHARE_BY: &[&str] = &["user", "tenant", "conversation"];

pub(crate) fn compile_share(
    rule: &str,
    node: &Node,
    path: &str,
    problems: &mut Problems<'_>,
) -> Option<Share> {
    let by = node.get("share_by");
    let Some(share) = node.number_of("share") else {
        if let Some(by) = by.filter(|_| node.get("share").is_none()) {
            problems.add(
                by.at,
                join(path, "share_by"),
                "has no effect without `share`",
            );
        }
        return None;
    };
    let named = by.map(|_| node.texts_of("share_by"));
    Some(Share {
        share,
        by: named.map_or(ShareUnit::ALL.to_vec(), |names| {
            names
                .filter_map(|name| ShareUnit::ALL.into_iter().find(|by| by.name() == name))
                .collect()
        }),
        salt: hash([rule]),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_types() {
        assert_eq!(SHARE_BY, ShareUnit::ALL.map(ShareUnit::name));
    }

    #[test]
    fn draws_are_spread_evenly_stable_and_independent() {
        let by = vec![ShareUnit::User];
        let (one, other) = (hash(["canary"]), hash(["other"]));
        let is_in = |share: f64, salt: u64, user: &str| {
            let by = by.clone();
            Share { share, by, salt }.holds(Some(user), &RequestAttributes::default(), 0)
        };
        let users: Vec<String> = (0..20_000).map(|n| format!("user-{n}")).collect();
        let count = |test: &dyn Fn(&str) -> bool| users.iter().filter(|user| test(user)).count();
        let tenth = count(&|user| is_in(0.1, one, user));
        assert!((1850..2150).contains(&tenth), "{tenth}");
        // A user in the tenth is in the fifth; users in one rule's tenth are in another's as often as all users.
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
            by: vec![ShareUnit::User, ShareUnit::Tenant],
            salt: 1,
        };
        assert!(!share.holds(None, &RequestAttributes::default(), 3));
        let attributes = RequestAttributes {
            tenant: Some("acme".into()),
            ..RequestAttributes::default()
        };
        assert!(share.holds(None, &attributes, 3));
    }
}
