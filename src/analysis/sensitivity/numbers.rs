//! Numbers that are printed in groups of digits: payment cards, telephones, identity numbers.
//!
//! Groups come one after another. Of groups that belong together only the lengths and the gaps between them are kept, packed into
//! words, so that each group costs the same. Digits are read again only if the lengths fit.

use super::Sensitivity;
use super::group::{DIGIT, Group, UPPER, escaped};
use super::plain::byte_of;

/// Gap between two groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gap {
    /// Anything that ends a number.
    Break = 0,
    /// One space.
    Space,
    Dash,
    /// A hyphen with a space on both sides, which may be a minus.
    Minus,
    Dot,
    /// A slash, also with a space on both sides.
    Slash,
    /// A bracket, with a space or without.
    Bracket,
}

impl Gap {
    #[inline]
    pub fn between(bytes: &[u8], before: Group, group: Group) -> Gap {
        if before.kinds == 0 {
            return Gap::Break;
        }
        if group.start - before.end == 1 {
            return match bytes.get(before.end) {
                Some(b' ') => Gap::Space,
                Some(b'-') => Gap::Dash,
                Some(b'.') => Gap::Dot,
                Some(b'/') => Gap::Slash,
                Some(b'(' | b')') => Gap::Bracket,
                _ => Gap::Break,
            };
        }
        match bytes.get(before.end..group.start).unwrap_or_default() {
            b" - " => Gap::Minus,
            b" / " => Gap::Slash,
            gap if gap.len() == 6 => match escaped(gap).and_then(byte_of) {
                Some(b' ') => Gap::Space,
                Some(b'-') => Gap::Dash,
                _ => Gap::Break,
            },
            b" (" | b") " | b")-" | b") - " | b")/" | b")(" | b") (" => Gap::Bracket,
            _ => Gap::Break,
        }
    }
}

/// Number of digits of an international telephone number, without its prefix.
const INTERNATIONAL: std::ops::RangeInclusive<usize> = 9..=15;

/// Prefix of an international number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Prefix {
    #[default]
    None,
    Plus,
    Zeros,
}

/// Groups of digits that belong together so far, the last one in the lowest bits.
#[derive(Default)]
pub(super) struct Numbers {
    /// Lengths, 4 bits each, at most 15; 0 if no group is open.
    shape: u64,
    /// The gap before each, 4 bits; before the first of them [`FREE`] if a number can begin there.
    gaps: u64,
    /// Values of groups of four, 16 bits each.
    values: u64,
    /// Their shares of the Luhn sum, 8 bits each.
    sums: u32,
    prefix: Prefix,
    /// The digits since the prefix.
    digits: usize,
}

/// Value for the gap before a group that can begin a number.
const FREE: u64 = 8;

impl Numbers {
    /// Ends the current number.
    #[inline]
    pub fn close(&mut self) {
        self.shape = 0;
    }

    /// Adds a group of digits; returns the kinds of numbers that end with it.
    #[inline]
    pub fn add(&mut self, bytes: &[u8], before: Group, group: Group, gap: Gap) -> Sensitivity {
        let length = group.len().min(15) as u64;
        if self.shape != 0 && gap != Gap::Break {
            self.shape = self.shape << 4 | length;
            self.gaps = self.gaps << 4 | gap as u64;
            if self.prefix != Prefix::None {
                self.digits += group.len();
                // Numbers after `00` have no dots.
                if gap == Gap::Dot && self.prefix == Prefix::Zeros {
                    self.prefix = Prefix::None;
                }
            }
        } else {
            self.shape = length;
            self.gaps = if is_free(bytes, before, group) {
                FREE
            } else {
                0
            };
            self.begin_international(bytes, before, group);
        }
        if self.prefix != Prefix::None && self.is_international() {
            return Sensitivity::PHONE;
        }
        match group.len() {
            2..=5 | 13..=19 => self.ending(bytes, group),
            // A group of this length ends nothing by itself.
            _ => Sensitivity::NONE,
        }
    }

    /// The kind of number that ends with `group`, by its length first.
    #[inline(never)]
    fn ending(&mut self, bytes: &[u8], group: Group) -> Sensitivity {
        if group.len() == 4 {
            let (value, sum) = four(bytes, group);
            self.values = self.values << 16 | value;
            self.sums = self.sums << 8 | sum;
        }
        let card = || self.is_card(bytes, group);
        match group.len() {
            2 if self.is_cpf(bytes, group) => Sensitivity::NATIONAL_ID,
            3 | 5 | 13..=19 if card() => Sensitivity::CARD,
            4 if card() => Sensitivity::CARD,
            4 if self.is_american(bytes, group) => Sensitivity::PHONE,
            4 if self.is_social_security(bytes, group) => Sensitivity::NATIONAL_ID,
            _ => Sensitivity::NONE,
        }
    }

    /// Whether the last groups have these lengths, one hexadecimal digit each, and a number can begin with the first.
    fn ends(&self, groups: u32, shape: u64) -> bool {
        self.shape & ((1 << (4 * groups)) - 1) == shape && self.begins(groups)
    }

    /// Whether a number can begin with the first of the last groups.
    fn begins(&self, groups: u32) -> bool {
        let gap = self.gaps >> (4 * (groups - 1)) & 15;
        [FREE, Gap::Space as u64, Gap::Bracket as u64].contains(&gap)
    }

    /// Whether these are the last gaps.
    fn between(&self, gaps: &[Gap]) -> bool {
        let mut last = self.gaps;
        gaps.iter().rev().all(|gap| {
            let is_it = last & 15 == *gap as u64;
            last >>= 4;
            is_it
        })
    }

    /// Whether each of the last `count` gaps is this one.
    fn all_between(&self, count: usize, gap: Gap) -> bool {
        let mask = (1 << (4 * count)) - 1;
        self.gaps & mask == (0x1111_1111 & mask) * gap as u64
    }

    #[inline(never)]
    fn is_card(&self, bytes: &[u8], group: Group) -> bool {
        let alike = |count: usize| {
            let mut marks = [Gap::Space, Gap::Dash, Gap::Minus].into_iter();
            marks.any(|mark| self.all_between(count, mark))
        };
        if self.ends(4, 0x4444) {
            // Each group can be the last of four, so the sums are ready.
            return alike(3)
                && is_network((self.values >> 48) as u32, 16)
                && self.sums.to_be_bytes().map(u32::from).iter().sum::<u32>() % 10 == 0;
        }
        let (groups, length) = if self.ends(3, 0x465) {
            (3, 15)
        } else if self.ends(3, 0x464) {
            (3, 14)
        } else if self.ends(5, 0x4_4443) {
            (5, 19)
        } else if (13..=19).contains(&group.len()) && self.begins(1) {
            (1, group.len())
        } else {
            return false;
        };
        let digits = Digits::before(bytes, group.end, length);
        (groups == 1 || alike(groups - 1))
            && is_network(digits.number(0..4), length)
            && digits.luhn().is_multiple_of(10)
    }

    #[inline(never)]
    fn is_international(&self) -> bool {
        // Dots also group thousands: with dots only the North American form differs from an amount.
        let dotted = || (0..16).any(|at| self.gaps >> (4 * at) & 15 == Gap::Dot as u64);
        INTERNATIONAL.contains(&self.digits) && (self.shape == 0x1334 || !dotted())
    }

    /// Checks whether the group that begins a number begins an international one.
    fn begin_international(&mut self, bytes: &[u8], before: Group, group: Group) {
        let digits = bytes.get(group.start..group.end).unwrap_or_default();
        let zeros = digits.starts_with(b"00") && digits.get(2).is_some_and(|digit| *digit != b'0');
        let last = group.start.checked_sub(1).and_then(|at| bytes.get(at));
        self.prefix = if matches!(last, Some(b'+' | b'B' | b'b')) && is_plus(bytes, before, group) {
            self.digits = group.len();
            Prefix::Plus
        } else if zeros && self.begins(1) {
            self.digits = group.len() - 2;
            Prefix::Zeros
        } else {
            Prefix::None
        };
    }

    /// North American: 3-3-4 with one separator throughout, or with the area code in brackets; a 1 may stand before it.
    #[inline(never)]
    fn is_american(&self, bytes: &[u8], group: Group) -> bool {
        let alike =
            |count: usize| self.all_between(count, Gap::Dash) || self.all_between(count, Gap::Dot);
        let bracketed = self.shape & 0xfff == 0x334
            && self.gaps >> 4 & 15 == Gap::Bracket as u64
            && self.gaps & 15 != Gap::Break as u64;
        let plain = self.ends(3, 0x334) && alike(2);
        let with_one = self.ends(4, 0x1334) && alike(3);
        if !bracketed && !plain && !with_one {
            return false;
        }
        let digits = Digits::before(bytes, group.end, 10);
        let leads = |at: usize| digits.number(at..at + 1) >= 2;
        let in_brackets = digits
            .start
            .checked_sub(1)
            .is_some_and(|at| bytes.get(at) == Some(&b'('));
        let after_one =
            !with_one || plain || Digits::before(bytes, group.end, 11).number(0..1) == 1;
        leads(0) && leads(3) && after_one && (!bracketed || in_brackets)
    }

    /// US social security number, `AAA-GG-SSSS`.
    fn is_social_security(&self, bytes: &[u8], group: Group) -> bool {
        if !self.ends(3, 0x324) || !self.between(&[Gap::Dash; 2]) {
            return false;
        }
        let digits = Digits::before(bytes, group.end, 9);
        !matches!(digits.number(0..3), 0 | 666 | 900..)
            && digits.number(3..5) > 0
            && digits.number(5..9) > 0
    }

    /// Brazilian CPF, `NNN.NNN.NNN-CC`, with right check digits.
    #[inline(never)]
    fn is_cpf(&self, bytes: &[u8], group: Group) -> bool {
        if !self.ends(4, 0x3332) || !self.between(&[Gap::Dot, Gap::Dot, Gap::Dash]) {
            return false;
        }
        let digits = Digits::before(bytes, group.end, 11);
        let check = |count: u32| {
            let weights = (2..=count + 1).rev();
            let sum: u32 = digits
                .iter()
                .zip(weights)
                .map(|(digit, weight)| digit * weight)
                .sum();
            (sum * 10 % 11) % 10
        };
        digits.number(9..10) == check(9) && digits.number(10..11) == check(10)
    }

    /// Whether a UK national insurance number or a Spanish DNI ends with `group`, which is not of digits alone.
    pub fn ends_with(&self, bytes: &[u8], before: Group, group: Group, gap: Gap) -> bool {
        let text = bytes.get(group.start..group.end).unwrap_or_default();
        match text {
            [letter] if before.kinds == DIGIT && group.kinds == UPPER => {
                let dni = gap == Gap::Dash
                    && (self.ends(1, 8) || (self.ends(3, 0x233) && self.between(&[Gap::Dot; 2])));
                (dni && is_dni(&Digits::before(bytes, before.end, 8), *letter))
                    || spaced_insurance(bytes, group.end)
            }
            [digits @ .., letter] if digits.len() == 8 && is_free(bytes, before, group) => {
                let numbers = digits.iter().all(u8::is_ascii_digit);
                (numbers && is_dni(&Digits::before(bytes, group.end - 1, 8), *letter))
                    || is_national_insurance(text)
            }
            _ => false,
        }
    }
}

/// Whether `group` follows a `+` that is not an operator, as it is in `1e+08` or `x+12`.
fn is_plus(bytes: &[u8], before: Group, group: Group) -> bool {
    let gap = bytes.get(before.end..group.start).unwrap_or_default();
    (gap.ends_with(b"+") && (gap.len() > 1 || before.kinds == 0))
        || [b"%2B".as_slice(), b"%2b", b"\\u002B", b"\\u002b"]
            .iter()
            .any(|plus| gap.ends_with(plus))
}

/// Whether a number can begin at `group`: it is not the rest of a longer one, of a decimal or of an identifier.
fn is_free(bytes: &[u8], before: Group, group: Group) -> bool {
    match bytes.get(before.end..group.start).unwrap_or_default() {
        b"-" | b"." | b"/" => before.kinds & DIGIT == 0,
        [.., last, b'.'] => *last == b'.',
        _ => true,
    }
}

/// The value of a group of four digits, and its share of the Luhn sum; every second digit from the right counts double.
fn four(bytes: &[u8], group: Group) -> (u64, u32) {
    let Some(&[a, b, c, d]) = bytes.get(group.start..group.end) else {
        return (0, 0);
    };
    let [a, b, c, d] = [a, b, c, d].map(|digit| u32::from(digit.saturating_sub(b'0')));
    let value = ((a * 10 + b) * 10 + c) * 10 + d;
    (u64::from(value), double(a) + b + double(c) + d)
}

const fn double(digit: u32) -> u32 {
    digit * 2 / 10 + digit * 2 % 10
}

/// Whether a card network has numbers of this length that begin with these four digits.
fn is_network(first: u32, length: usize) -> bool {
    match first {
        4000..=4999 => matches!(length, 13 | 16 | 19),
        5100..=5599 | 2221..=2720 => length == 16,
        3400..=3499 | 3700..=3799 => length == 15,
        6011 | 6440..=6599 => length == 16,
        3000..=3059 | 3600..=3699 | 3800..=3899 => length == 14,
        3528..=3589 => length == 16,
        6200..=6299 => (16..=19).contains(&length),
        _ => false,
    }
}

/// Spanish DNI: eight digits and the letter for their remainder by 23.
fn is_dni(digits: &Digits, letter: u8) -> bool {
    b"TRWAGMYFPDXBNJZSQVHLCKE".get(digits.number(0..8) as usize % 23) == Some(&letter)
}

/// UK national insurance number without spaces: two letters, six digits, A to D.
fn is_national_insurance(word: &[u8]) -> bool {
    let (Some(letters), Some(digits), Some(last), 9) =
        (word.get(..2), word.get(2..8), word.get(8), word.len())
    else {
        return false;
    };
    let first_allowed = |byte: &u8| byte.is_ascii_uppercase() && !b"DFIQUV".contains(byte);
    letters.iter().all(first_allowed)
        && letters.get(1) != Some(&b'O')
        && ![&b"BG"[..], b"GB", b"KN", b"NK", b"NT", b"TN", b"ZZ"].contains(&letters)
        && digits.iter().all(u8::is_ascii_digit)
        && (b'A'..=b'D').contains(last)
}

/// UK national insurance number as printed, `AB 12 34 56 C`, that ends at `end`.
fn spaced_insurance(bytes: &[u8], end: usize) -> bool {
    let printed = end.checked_sub(13).and_then(|start| bytes.get(start..end));
    let Some(&[a, b, b' ', c, d, b' ', e, f, b' ', g, h, b' ', i]) = printed else {
        return false;
    };
    let starts = end
        .checked_sub(14)
        .and_then(|at| bytes.get(at))
        .is_none_or(|byte| !byte.is_ascii_alphanumeric());
    starts && is_national_insurance(&[a, b, c, d, e, f, g, h, i])
}

/// The last digits before an offset, without the gaps between them.
struct Digits {
    digits: [u8; 19],
    length: usize,
    /// Offset of the first digit.
    start: usize,
}

impl Digits {
    /// The last `length` digits, at most 19; the caller knows that they exist.
    fn before(bytes: &[u8], end: usize, length: usize) -> Digits {
        let mut digits = [0; 19];
        let mut start = end;
        for slot in digits.iter_mut().take(length).rev() {
            while let Some(at) = start.checked_sub(1) {
                start = at;
                if let Some(digit @ b'0'..=b'9') = bytes.get(at) {
                    *slot = digit - b'0';
                    break;
                }
            }
        }
        Digits {
            digits,
            length,
            start,
        }
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = u32> + '_ {
        let digits = self.digits.get(..self.length).unwrap_or_default();
        digits.iter().map(|digit| u32::from(*digit))
    }

    /// The number that the digits at these places make.
    fn number(&self, places: std::ops::Range<usize>) -> u32 {
        let digits = self.digits.get(places).unwrap_or_default();
        digits
            .iter()
            .fold(0, |number, digit| number * 10 + u32::from(*digit))
    }

    /// The Luhn sum: every second digit from the right counts double.
    fn luhn(&self) -> u32 {
        let places = self.iter().rev().enumerate();
        places
            .map(|(place, digit)| if place % 2 == 0 { digit } else { double(digit) })
            .sum()
    }
}
