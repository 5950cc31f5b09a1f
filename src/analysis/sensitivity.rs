//! Finds what should not leave the house: addresses, numbers and keys in a prompt, by form and checksum alone.
//!
//! One pass over the text, linear whatever stands in it (`scan`), after spellings that only a machine tells apart have been
//! made one (`plain`). No dictionary, no model, no network. Forms with a checksum need it to be right, forms without one are kept narrow, so
//! that ordinary prompts are left alone; docs/sensitivity.md has the measured rates. It finds forms, not meaning: a
//! diagnosis in plain words passes.

mod accounts;
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
    /// Nothing.
    pub const NONE: Sensitivity = Sensitivity(0);
    /// An e-mail address.
    pub const EMAIL: Sensitivity = Sensitivity(1);
    /// A telephone number: international with `+` or `00`, or North American.
    pub const PHONE: Sensitivity = Sensitivity(1 << 1);
    /// A payment card number of a known network, with a right Luhn digit.
    pub const CARD: Sensitivity = Sensitivity(1 << 2);
    /// An international bank account number with right check digits.
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
            .map(|(_, one)| *one)
    }

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Sensitivity) -> Sensitivity {
        Sensitivity(self.0 | other.0)
    }

    /// Whether the sets have a kind in common.
    pub const fn meets(self, other: Sensitivity) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether everything in `other` is in this set too.
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
            .filter(move |(_, one)| self.meets(*one))
            .map(|(name, _)| *name)
    }
}

/// The kinds of sensitive text in `text`.
pub fn find(text: &str) -> Sensitivity {
    find_counting(text, &mut Uncounted)
}

/// The same, with a note of the steps.
pub fn find_counting(text: &str, steps: &mut impl Steps) -> Sensitivity {
    scan::find(&plain::of(text, steps), steps)
}

/// How much of a part is read together with its neighbours: longer than any number or address of a usual length.
const SEAM: usize = 128;

/// The kinds of sensitive text in a text that comes in parts. What stands across a seam is found too, whether a model is
/// given the parts with nothing or with white space between them.
pub fn find_in_parts<'t>(parts: impl IntoIterator<Item = &'t str>) -> Sensitivity {
    let mut found = Sensitivity::NONE;
    let (mut joined, mut spaced) = (String::new(), String::new());
    let mut count = 0;
    let mut first = None;
    for part in parts {
        found = found.union(find(part));
        count += 1;
        // Most texts come in one part: nothing is copied then.
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

/// Adds `text`, without the middle if it is long.
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
