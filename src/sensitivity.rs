//! Finds what should not leave the house: addresses, numbers and keys in a prompt, by form and checksum alone.
//!
//! No dictionary, no model, no network. Forms with a checksum need it to be right, forms without one are kept narrow, so
//! that ordinary prompts are left alone; docs/sensitivity.md has the measured rates. It finds forms, not meaning: a
//! diagnosis in plain words passes.

#[cfg(test)]
mod tests;

/// A set of kinds of sensitive text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Sensitivity(u8);

impl Sensitivity {
    /// Nothing.
    pub const NONE: Sensitivity = Sensitivity(0);
    /// An e-mail address.
    pub const EMAIL: Sensitivity = Sensitivity(1);
    /// A telephone number: international with `+`, or North American.
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

/// What of it is in `text`.
pub fn find(text: &str) -> Sensitivity {
    let mut found = Sensitivity::NONE;
    for word in text.split(ends_word) {
        // Nothing that is looked for has fewer letters: a@b.de.
        if word.len() >= 6 {
            let word = word.trim_matches(|letter| matches!(letter, '.' | ':' | '!' | '?' | '*'));
            found = found.union(of_word(word));
        }
    }
    if text.contains("PRIVATE KEY-----") {
        found = found.union(Sensitivity::SECRET);
    }
    found.union(of_numbers(text))
}

fn ends_word(letter: char) -> bool {
    letter.is_ascii_whitespace()
        || matches!(
            letter,
            '"' | '\''
                | '`'
                | '<'
                | '>'
                | '('
                | ')'
                | '['
                | ']'
                | '{'
                | '}'
                | ','
                | ';'
                | '|'
                | '='
        )
        || (!letter.is_ascii() && letter.is_whitespace())
}

/// What a single word without spaces is.
fn of_word(word: &str) -> Sensitivity {
    let mut found = Sensitivity::NONE;
    if word.contains('@') && is_email(word) {
        found = found.union(Sensitivity::EMAIL);
    }
    if is_secret(word) {
        found = found.union(Sensitivity::SECRET);
    }
    let bytes = word.as_bytes();
    if is_national_insurance(bytes) || is_dni(bytes) {
        found = found.union(Sensitivity::NATIONAL_ID);
    }
    found
}

/// `local@domain.tld`, also after `mailto:`.
fn is_email(word: &str) -> bool {
    let word = word.strip_prefix("mailto:").unwrap_or(word);
    let Some((local, domain)) = word.split_once('@') else {
        return false;
    };
    let Some((host, top)) = domain.rsplit_once('.') else {
        return false;
    };
    let plain = |text: &str, marks: &[u8]| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || marks.contains(&byte))
    };
    plain(local, b"._%+-")
        && plain(host, b".-")
        && (2..=18).contains(&top.len())
        && top.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// Prefixes of keys and the fewest letters, digits, `_` and `-` that follow.
const SECRETS: &[(&str, usize)] = &[
    ("sk-", 20),
    ("sk_live_", 16),
    ("rk_live_", 16),
    ("ghp_", 30),
    ("gho_", 30),
    ("ghs_", 30),
    ("ghu_", 30),
    ("github_pat_", 30),
    ("glpat-", 20),
    ("xoxb-", 20),
    ("xoxp-", 20),
    ("AIza", 35),
    ("hf_", 30),
    ("npm_", 36),
    ("pypi-", 50),
];

fn is_secret(word: &str) -> bool {
    let key_length = |text: &str| {
        text.bytes()
            .take_while(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte))
            .count()
    };
    let mixed = |text: &str| {
        text.bytes().any(|byte| byte.is_ascii_digit())
            && text.bytes().any(|byte| byte.is_ascii_alphabetic())
    };
    let known = SECRETS.iter().any(|(prefix, least)| {
        word.strip_prefix(prefix)
            .is_some_and(|rest| key_length(rest) >= *least && mixed(rest))
    });
    let amazon = ["AKIA", "ASIA"].iter().any(|prefix| {
        word.strip_prefix(prefix).is_some_and(|rest| {
            rest.len() == 16
                && rest
                    .bytes()
                    .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        })
    });
    known || amazon || is_web_token(word)
}

/// Three parts of base64url, the first two JSON objects.
fn is_web_token(word: &str) -> bool {
    let mut parts = word.split('.');
    let (Some(head), Some(claims), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    head.starts_with("eyJ")
        && claims.starts_with("eyJ")
        && head.len() + claims.len() >= 32
        && !signature.is_empty()
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

/// Spanish DNI: eight digits and the letter that their remainder by 23 asks for.
fn is_dni(word: &[u8]) -> bool {
    let (Some(digits), Some(letter), 9) = (word.get(..8), word.get(8), word.len()) else {
        return false;
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let number = digits.iter().fold(0_usize, |number, digit| {
        number * 10 + usize::from(digit - b'0')
    });
    b"TRWAGMYFPDXBNJZSQVHLCKE".get(number % 23) == Some(letter)
}

/// A run of digits (and capital letters, for account numbers) with single separators in it.
#[derive(Default)]
struct Run {
    /// Digits and letters without separators.
    plain: Vec<u8>,
    /// How long each group between separators is.
    groups: Vec<usize>,
    /// The separators.
    marks: Vec<u8>,
    /// Whether a `+` stands before it.
    plus: bool,
}

/// The longest run worth looking at: an IBAN has at most 34 letters and digits, in nine groups.
const LONGEST_RUN: usize = 34;
const MOST_GROUPS: usize = 9;
/// Only international telephone numbers start with a shorter group.
const SHORTEST_FIRST_GROUP: usize = 3;

/// Numbers with or without separators: cards, accounts, telephones, identity numbers.
fn of_numbers(text: &str) -> Sensitivity {
    let bytes = text.as_bytes();
    let mut found = Sensitivity::NONE;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let starts = byte.is_ascii_digit() || byte.is_ascii_uppercase();
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        let free = before
            .is_none_or(|before| !before.is_ascii_alphanumeric() && !b"._/-".contains(before));
        if !starts || !free {
            at += 1;
            continue;
        }
        let (run, end) = read_run(bytes, at);
        found = found.union(of_run(&run));
        at = end.max(at + 1);
    }
    found
}

/// Whether a `+` stands before `start` and nothing to add to before that, as in `1e+08` or `x+12`.
fn stands_alone(bytes: &[u8], start: usize) -> bool {
    let before = |count: usize| start.checked_sub(count).and_then(|at| bytes.get(at));
    before(1) == Some(&b'+') && before(2).is_none_or(|byte| !byte.is_ascii_alphanumeric())
}

/// Reads the run that starts at `start`; gives it and the byte after its first group, where the next may start.
fn read_run(bytes: &[u8], start: usize) -> (Run, usize) {
    let mut run = Run {
        plus: stands_alone(bytes, start),
        ..Run::default()
    };
    let mut at = start;
    let mut first_end = start;
    let mut group = 0;
    while let Some(byte) = bytes.get(at) {
        if byte.is_ascii_digit() || byte.is_ascii_uppercase() {
            run.plain.push(*byte);
            group += 1;
        } else if group > 0
            && b" -.".contains(byte)
            && run.groups.len() + 1 < MOST_GROUPS
            && (run.plus || first_end - start >= SHORTEST_FIRST_GROUP)
            && bytes
                .get(at + 1)
                .is_some_and(|next| next.is_ascii_digit() || next.is_ascii_uppercase())
        {
            run.groups.push(group);
            run.marks.push(*byte);
            group = 0;
        } else {
            break;
        }
        at += 1;
        if run.groups.is_empty() {
            first_end = at;
        }
        if run.plain.len() > LONGEST_RUN {
            break;
        }
    }
    run.groups.push(group);
    (run, first_end)
}

fn of_run(run: &Run) -> Sensitivity {
    let mut found = Sensitivity::NONE;
    // A number may be followed by others, as in a list: each length that ends with a group is looked at.
    let mut length = 0;
    for (count, group) in run.groups.iter().enumerate() {
        length += group;
        let (Some(plain), Some(groups), Some(marks)) = (
            run.plain.get(..length),
            run.groups.get(..=count),
            run.marks.get(..count),
        ) else {
            break;
        };
        if plain.iter().all(u8::is_ascii_digit) {
            if is_card(plain, groups, marks) {
                found = found.union(Sensitivity::CARD);
            }
            if is_phone(plain, groups, marks, run.plus) {
                found = found.union(Sensitivity::PHONE);
            }
            if is_social_security(plain, groups, marks) || is_cpf(plain, groups, marks) {
                found = found.union(Sensitivity::NATIONAL_ID);
            }
        } else if is_iban(plain, groups, marks) {
            found = found.union(Sensitivity::IBAN);
        }
    }
    found
}

fn digits(plain: &[u8]) -> impl DoubleEndedIterator<Item = u32> + '_ {
    plain
        .iter()
        .map(|byte| u32::from(byte.saturating_sub(b'0')))
}

/// The number that the first `count` digits make.
fn prefix(plain: &[u8], count: usize) -> u32 {
    digits(plain)
        .take(count)
        .fold(0, |number, digit| number * 10 + digit)
}

fn is_card(plain: &[u8], groups: &[usize], marks: &[u8]) -> bool {
    let length = plain.len();
    let known = match prefix(plain, 4) {
        4000..=4999 => matches!(length, 13 | 16 | 19),
        5100..=5599 | 2221..=2720 => length == 16,
        3400..=3499 | 3700..=3799 => length == 15,
        6011 | 6440..=6599 => length == 16,
        3000..=3059 | 3600..=3699 | 3800..=3899 => length == 14,
        3528..=3589 => length == 16,
        6200..=6299 => (16..=19).contains(&length),
        _ => false,
    };
    let grouped = matches!(
        groups,
        [_] | [4, 4, 4, 4] | [4, 6, 5] | [4, 6, 4] | [4, 4, 4, 4, 3]
    ) && marks
        .iter()
        .all(|mark| Some(mark) == marks.first() && *mark != b'.');
    if !known || !grouped {
        return false;
    }
    let sum: u32 = digits(plain)
        .rev()
        .enumerate()
        .map(|(index, digit)| match (index % 2, digit * 2) {
            (0, _) => digit,
            (_, double) => double / 10 + double % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}

fn is_phone(plain: &[u8], groups: &[usize], marks: &[u8], plus: bool) -> bool {
    if plus {
        return (9..=15).contains(&plain.len()) && !marks.contains(&b'.');
    }
    // Without a `+` only the North American form is told from other numbers: 3-3-4 with one separator throughout.
    let same = marks.iter().all(|mark| Some(mark) == marks.first());
    let leads = |at: usize| {
        plain
            .get(at)
            .is_some_and(|byte| (b'2'..=b'9').contains(byte))
    };
    groups == [3, 3, 4] && same && marks.first() != Some(&b' ') && leads(0) && leads(3)
}

/// US social security number, `AAA-GG-SSSS`.
fn is_social_security(plain: &[u8], groups: &[usize], marks: &[u8]) -> bool {
    let area = prefix(plain, 3);
    groups == [3, 2, 4]
        && marks == b"--"
        && !matches!(area, 0 | 666 | 900..)
        && plain.get(3..5) != Some(b"00")
        && plain.get(5..) != Some(b"0000")
}

/// Brazilian CPF, `NNN.NNN.NNN-CC`, with right check digits.
fn is_cpf(plain: &[u8], groups: &[usize], marks: &[u8]) -> bool {
    if groups != [3, 3, 3, 2] || marks != b"..-" {
        return false;
    }
    let check = |count: u32| {
        let sum: u32 = digits(plain)
            .zip((2..=count + 1).rev())
            .map(|(digit, weight)| digit * weight)
            .sum();
        (sum * 10 % 11) % 10
    };
    digits(plain).nth(9) == Some(check(9)) && digits(plain).nth(10) == Some(check(10))
}

/// Two letters, two check digits, then letters and digits in groups of four, remainder 1 by 97 (ISO 13616).
fn is_iban(plain: &[u8], groups: &[usize], marks: &[u8]) -> bool {
    let (Some(country), Some(check)) = (plain.get(..2), plain.get(2..4)) else {
        return false;
    };
    let grouped = groups.len() == 1
        || (marks.iter().all(|mark| *mark == b' ')
            && groups.iter().rev().skip(1).all(|group| *group == 4)
            && groups.last().is_some_and(|last| *last <= 4));
    if !(15..=34).contains(&plain.len())
        || !grouped
        || !country.iter().all(u8::is_ascii_uppercase)
        || !check.iter().all(u8::is_ascii_digit)
    {
        return false;
    }
    let rotated = plain.iter().skip(4).chain(plain.iter().take(4));
    let remainder = rotated.fold(0_u32, |remainder, byte| match byte {
        b'0'..=b'9' => (remainder * 10 + u32::from(byte - b'0')) % 97,
        _ => (remainder * 100 + u32::from(byte.saturating_sub(b'A')) + 10) % 97,
    });
    remainder == 1
}
