//! Finds sensitive text: addresses, numbers and keys, by form and checksum alone.
//!
//! `plain` makes spellings equal that look alike, then `scan` passes over the text once, in linear time. No dictionary, no model, no
//! network. Forms with a checksum need a valid one, forms without are narrow, so that ordinary prompts do not match;
//! docs/sensitivity.md has the measured rates. Forms are found, not meaning: a diagnosis in plain words passes.

mod accounts;
mod group;
mod numbers;
mod plain;
mod scan;
#[cfg(test)]
mod tests;

use crate::analysis::steps::{Steps, Uncounted};

/// A set of kinds of sensitive text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Sensitivity(u8);

impl Sensitivity {
    /// The empty set.
    pub const NONE: Sensitivity = Sensitivity(0);
    /// An e-mail address.
    pub const EMAIL: Sensitivity = Sensitivity(1);
    /// A telephone number: international with `+` or `00`, or North American.
    pub const PHONE: Sensitivity = Sensitivity(1 << 1);
    /// A payment card number of a known network, with a valid Luhn digit.
    pub const CARD: Sensitivity = Sensitivity(1 << 2);
    /// An international bank account number with valid check digits.
    pub const IBAN: Sensitivity = Sensitivity(1 << 3);
    /// A national identity number: US social security, UK national insurance, Spanish DNI, Brazilian CPF.
    pub const NATIONAL_ID: Sensitivity = Sensitivity(1 << 4);
    /// A key or token: of well-known services, a JSON web token, a PEM private key.
    pub const SECRET: Sensitivity = Sensitivity(1 << 5);

    /// Every kind with the name that policies use for it.
    pub const NAMES: [(&'static str, Sensitivity); 6] = [
        ("email", Sensitivity::EMAIL),
        ("phone", Sensitivity::PHONE),
        ("card", Sensitivity::CARD),
        ("iban", Sensitivity::IBAN),
        ("national_id", Sensitivity::NATIONAL_ID),
        ("secret", Sensitivity::SECRET),
    ];

    /// The kind with this name.
    pub fn find(name: &str) -> Option<Sensitivity> {
        Self::NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, kind)| *kind)
    }

    /// The union of both sets.
    #[must_use]
    pub const fn union(self, other: Sensitivity) -> Sensitivity {
        Sensitivity(self.0 | other.0)
    }

    /// Whether the sets have a kind in common.
    pub const fn meets(self, other: Sensitivity) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether `self` has all of `other`.
    pub const fn contains(self, other: Sensitivity) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names of the set's members, in the order of [`Sensitivity::NAMES`].
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .iter()
            .filter(move |(_, kind)| self.meets(*kind))
            .map(|(name, _)| *name)
    }
}

/// The kinds of sensitive text in `text`.
///
/// ```
/// use pointsman::analysis::sensitivity::{Sensitivity, find};
///
/// assert_eq!(find("Card 4111 1111 1111 1111"), Sensitivity::CARD);
/// assert_eq!(find("Card 4111 1111 1111 1112"), Sensitivity::NONE);
/// assert_eq!(find("write to jane@example.com"), Sensitivity::EMAIL);
/// ```
pub fn find(text: &str) -> Sensitivity {
    find_counting(text, &mut Uncounted)
}

/// The kinds of sensitive text in `text`, counting the steps of the scan.
pub fn find_counting(text: &str, steps: &mut impl Steps) -> Sensitivity {
    scan::find(&plain::normalise(text, steps), steps)
}

/// Bytes at the ends of a part that are scanned together with its neighbours: longer than any usual number or address.
const SEAM: usize = 128;

/// The kinds of sensitive text in a text that comes in parts. Matches across seams are found too, whether the model gets the parts
/// with white space between them or without.
pub fn find_in_parts<'t>(parts: impl IntoIterator<Item = &'t str>) -> Sensitivity {
    let mut found = Sensitivity::NONE;
    let (mut joined, mut spaced) = (String::new(), String::new());
    let mut count = 0;
    let mut first = None;
    for part in parts {
        found = found.union(find(part));
        count += 1;
        // Most texts come in one part, and nothing is copied.
        if count == 1 {
            first = Some(part);
            continue;
        }
        for text in first.take().into_iter().chain([part]) {
            for (seams, gap) in [(&mut joined, ""), (&mut spaced, " ")] {
                if !seams.is_empty() {
                    seams.push_str(gap);
                }
                push_ends(seams, text);
            }
        }
    }
    if count > 1 {
        found = found.union(find(&joined)).union(find(&spaced));
    }
    found
}

/// Appends `text`, without its middle if it is long.
fn push_ends(seams: &mut String, text: &str) {
    let head = text.get(..text.floor_char_boundary(SEAM));
    let tail = text.get(text.ceil_char_boundary(text.len().saturating_sub(SEAM))..);
    match (head, tail) {
        (Some(head), Some(tail)) if text.len() > 2 * SEAM => {
            seams.extend([head, "\n", tail]);
        }
        _ => seams.push_str(text),
    }
}
