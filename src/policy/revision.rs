//! Revisions: the order of an author's policies, so that an old document, though signed, cannot be played back.
//!
//! Only a policy source is held to it. A change of the plugin's configuration always applies.

use std::fmt;

use crate::schema::shape::{Field, Kind, optional};

/// The field of the policy.
pub(crate) const REVISION_FIELD: Field = optional(
    "revision",
    Kind::Integer {
        min: 0.0,
        max: 9_007_199_254_740_991.0,
    },
    "none",
    "The position of this policy among its author's. Once a policy with a revision is in force, a policy source replaces it only by one with a higher revision, so that nobody can play back an old document. To go back, give the old document a new revision. Seconds since 1970 will do.",
);

/// A policy that must not follow the one in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outdated {
    /// Its revision.
    pub revision: Option<u64>,
    /// That of the policy in force.
    pub in_force: u64,
}

impl fmt::Display for Outdated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.revision {
            Some(revision) => write!(f, "has the revision `{revision}`")?,
            None => f.write_str("has no revision")?,
        }
        write!(f, ", but `{}` is in force", self.in_force)
    }
}

/// Whether a policy with `revision` may follow one with `in_force`.
///
/// # Errors
/// [`Outdated`] if it may not.
pub fn may_follow(revision: Option<u64>, in_force: Option<u64>) -> Result<(), Outdated> {
    match in_force {
        Some(in_force) if revision.is_none_or(|revision| revision <= in_force) => {
            Err(Outdated { revision, in_force })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn revisions_only_grow() {
        assert_eq!(may_follow(None, None), Ok(()));
        assert_eq!(may_follow(Some(0), None), Ok(()));
        assert_eq!(may_follow(Some(8), Some(7)), Ok(()));
        assert_eq!(
            may_follow(Some(7), Some(7)).unwrap_err().to_string(),
            "has the revision `7`, but `7` is in force"
        );
        assert!(may_follow(Some(6), Some(7)).is_err());
        assert_eq!(
            may_follow(None, Some(0)).unwrap_err().to_string(),
            "has no revision, but `0` is in force"
        );
    }
}
