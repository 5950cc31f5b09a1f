//! Edits of a body: spans of bytes and their replacements.

use std::ops::Range;

/// A change to the start of a body: its first `replace` bytes become `with`; the rest stays as it is.
///
/// Envoy can replace a prefix of a held body but nothing in its middle, hence this form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixEdit {
    /// Number of bytes of the original body that are replaced.
    pub replace: usize,
    /// The replacement.
    pub with: Vec<u8>,
}

impl PrefixEdit {
    /// Number of bytes by which the body grows; negative if it shrinks.
    pub fn growth(&self) -> i64 {
        self.with.len() as i64 - self.replace as i64
    }
}

/// A change inside a body: the bytes of `span` become `with`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Splice {
    /// The bytes of the original body that are replaced.
    pub span: Range<usize>,
    /// The replacement.
    pub with: Vec<u8>,
}

/// Number of bytes by which `splices` make a body grow; negative if it shrinks.
pub fn growth(splices: &[Splice]) -> i64 {
    let growth_of = |splice: &Splice| splice.with.len() as i64 - splice.span.len() as i64;
    splices.iter().map(growth_of).sum()
}

impl PrefixEdit {
    /// The edit that applies `splices`, which are in order and disjoint, to a body that begins with `start`; `None` if there are none
    /// or one is beyond `start`.
    pub fn from_splices(start: &[u8], splices: &[Splice]) -> Option<PrefixEdit> {
        let last = splices.last()?;
        let added: usize = splices.iter().map(|splice| splice.with.len()).sum();
        // Before anything is copied: a body can be long.
        start.get(..last.span.end)?;
        let mut with = Vec::with_capacity(last.span.end + added);
        let mut kept = 0;
        for Splice { span, with: new } in splices {
            with.extend_from_slice(start.get(kept..span.start)?);
            with.extend_from_slice(new);
            kept = span.end;
        }
        Some(PrefixEdit {
            replace: kept,
            with,
        })
    }
}
