//! Scans a text: groups of letters and digits one after another, and the marks between them.
//!
//! INVARIANT: each byte is visited a bounded number of times. A form that reaches back or ahead (an address around its `@`, a key
//! after its prefix) reaches at most to its neighbour of the same kind, or its end is remembered.

use super::Sensitivity;
use super::accounts::Accounts;
use super::group::{DIGIT, Group, LOWER, escaped, kind};
use super::numbers::{Gap, Numbers};
use crate::analysis::steps::Steps;

/// Number of letters and digits with which a key inside a longer name must begin.
const DENSE: usize = 16;

/// A run of letters, digits, `_` and `-`.
#[derive(Clone, Copy, Default)]
struct Run {
    end: usize,
    last_digit: usize,
    last_letter: usize,
}

struct Scan<'b, S> {
    bytes: &'b [u8],
    found: Sensitivity,
    before: Group,
    /// Offset after the last `@`: an address begins no earlier.
    at_end: usize,
    run: Run,
    numbers: Numbers,
    accounts: Accounts,
    steps: &'b mut S,
}

/// The kinds of sensitive text in `bytes`.
pub(super) fn find(bytes: &[u8], steps: &mut impl Steps) -> Sensitivity {
    let mut scan = Scan {
        bytes,
        found: Sensitivity::NONE,
        before: Group {
            start: 0,
            end: 0,
            kinds: 0,
        },
        at_end: 0,
        run: Run::default(),
        numbers: Numbers::default(),
        accounts: Accounts::default(),
        steps,
    };
    scan.run();
    scan.found
}

impl<S: Steps> Scan<'_, S> {
    fn run(&mut self) {
        let bytes = self.bytes;
        self.steps.add(bytes.len());
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            let mut kinds = kind(*byte);
            if kinds == 0 {
                at += match byte {
                    b'@' | b'\\' | b'%' => self.mark(*byte, at),
                    _ => 1,
                };
                continue;
            }
            let start = at;
            at += 1;
            for byte in bytes.get(at..).unwrap_or_default() {
                let more = kind(*byte);
                if more == 0 {
                    break;
                }
                kinds |= more;
                at += 1;
            }
            let group = Group {
                start,
                end: at,
                kinds,
            };
            self.group(group);
            self.before = group;
        }
    }

    /// Reads the mark at `at`; returns its length.
    fn mark(&mut self, byte: u8, at: usize) -> usize {
        match byte {
            b'@' => self.at_sign(at, at + 1),
            // Escapes of strings inside the text, and those of URLs, are marks and not letters.
            b'\\' if matches!(self.bytes.get(at + 1), Some(b'n' | b'r' | b't')) => return 2,
            b'\\' => {
                if let Some(letter) = escaped(self.bytes.get(at..).unwrap_or_default()) {
                    if letter == '@' {
                        self.at_sign(at, at + 6);
                    }
                    return 6;
                }
            }
            b'%' => {
                let hex = |at: usize| self.bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
                if hex(at + 1) && hex(at + 2) {
                    if self.bytes.get(at + 1..at + 3) == Some(b"40") {
                        self.at_sign(at, at + 3);
                    }
                    return 3;
                }
            }
            _ => {}
        }
        1
    }

    #[inline]
    fn group(&mut self, group: Group) {
        if group.kinds != DIGIT && !self.found.contains(Sensitivity::SECRET) {
            self.secret(group);
        }
        let any = group.kinds | self.before.kinds;
        if any & DIGIT == 0 && !self.accounts.is_open() {
            self.numbers.close();
            return;
        }
        let gap = Gap::between(self.bytes, self.before, group);
        if group.kinds == DIGIT {
            let found = self.numbers.add(self.bytes, self.before, group, gap);
            self.add(found);
        } else {
            if matches!(group.len(), 1 | 9)
                && self.numbers.ends_with(self.bytes, self.before, group, gap)
            {
                self.add(Sensitivity::NATIONAL_ID);
            }
            self.numbers.close();
        }
        let is_mixed = group.kinds & DIGIT != 0 && group.kinds != DIGIT;
        if (is_mixed || self.accounts.is_open())
            && !self.found.contains(Sensitivity::IBAN)
            && self.accounts.add(self.bytes, group, gap, self.steps)
        {
            self.add(Sensitivity::IBAN);
        }
    }

    /// Checks whether a key, a token or the name of a private key begins with `group`.
    #[inline]
    fn secret(&mut self, group: Group) {
        let byte = |at: usize| self.bytes.get(at).copied().unwrap_or_default();
        let is_secret = match byte(group.start) {
            b'A' if group.len() >= 4 => self.is_capital_key(group),
            b'e' if byte(group.start + 1) == b'y' => {
                self.has(group.start, "eyJ") && self.is_web_token(group.start)
            }
            _ if group.len() <= 6 && matches!(byte(group.end), b'-' | b'_') => {
                self.is_named_key(group)
            }
            _ => false,
        };
        if is_secret {
            self.add(Sensitivity::SECRET);
        }
    }

    /// Whether `group` is an AWS key, or begins one of Google's.
    fn is_capital_key(&mut self, group: Group) -> bool {
        let is_aws = group.len() == 20
            && group.kinds & LOWER == 0
            && (self.has(group.start, "AKIA") || self.has(group.start, "ASIA"));
        is_aws || (self.has(group.start, "AIza") && self.is_key(group.start, group.start + 4, 35))
    }

    fn add(&mut self, found: Sensitivity) {
        self.found = self.found.union(found);
    }

    fn has(&self, at: usize, text: &str) -> bool {
        self.bytes
            .get(at..)
            .is_some_and(|rest| rest.starts_with(text.as_bytes()))
    }

    /// Whether `group` and the text after it are the prefix of a key of sufficient length.
    #[inline(never)]
    fn is_named_key(&mut self, group: Group) -> bool {
        let behind = self.bytes.get(group.end).copied().unwrap_or_default();
        let (rest, least) = match self.bytes.get(group.start..group.end).unwrap_or_default() {
            b"sk" | b"rk" if behind == b'_' => ("_live_", 16),
            b"sk" | b"glpat" | b"xoxb" | b"xoxp" => ("-", 20),
            b"ghp" | b"gho" | b"ghs" | b"ghu" | b"hf" => ("_", 30),
            b"github" => ("_pat_", 30),
            b"npm" => ("_", 36),
            b"pypi" => ("-", 50),
            b"KEY" => return self.is_private_key(group),
            _ => return false,
        };
        rest.as_bytes().first() == Some(&behind)
            && (rest.len() == 1 || self.has(group.end, rest))
            && self.is_key(group.start, group.end + rest.len(), least)
    }

    /// Whether the text from `from`, after a prefix at `start`, is long and mixed enough for a key.
    fn is_key(&mut self, start: usize, from: usize, least: usize) -> bool {
        let inside = self.before.end > 0
            && self.before.end + 1 == start
            && matches!(self.bytes.get(self.before.end), Some(b'-' | b'_'));
        let run = self.run_from(start);
        let is_long = run.end >= from + least && run.last_digit >= from && run.last_letter >= from;
        is_long
            && (!inside || {
                let first = self.bytes.get(from..from + DENSE).unwrap_or_default();
                first.iter().all(|byte| kind(*byte) != 0)
            })
    }

    /// The rest of the run that contains `start`. Each run is read once, however many keys could begin in it.
    fn run_from(&mut self, start: usize) -> Run {
        if start >= self.run.end {
            self.run = Run::default();
            let mut at = start;
            while let Some(byte) = self.bytes.get(at) {
                match kind(*byte) {
                    DIGIT => self.run.last_digit = at,
                    0 if !matches!(byte, b'_' | b'-') => break,
                    0 => {}
                    _ => self.run.last_letter = at,
                }
                at += 1;
            }
            self.run.end = at;
            self.steps.add(at - start);
        }
        self.run
    }

    /// Three parts of base64url, the first two JSON objects.
    #[inline(never)]
    fn is_web_token(&mut self, start: usize) -> bool {
        if start < self.run.end {
            return false;
        }
        let head = self.run_from(start).end;
        if self.bytes.get(head) != Some(&b'.') || !self.has(head + 1, "eyJ") {
            return false;
        }
        let of_token = |byte: &u8| kind(*byte) != 0 || matches!(byte, b'_' | b'-');
        let claims = self.bytes.get(head + 1..).unwrap_or_default();
        let length = claims.iter().take_while(|byte| of_token(byte)).count();
        self.steps.add(length);
        head - start + length >= 32
            && claims.get(length) == Some(&b'.')
            && claims.get(length + 1).is_some_and(of_token)
    }

    /// Whether `KEY` belongs to `PRIVATE KEY-----`.
    fn is_private_key(&self, group: Group) -> bool {
        const BEFORE: &str = "PRIVATE ";
        let start = group.start.checked_sub(BEFORE.len());
        self.has(group.end, "-----") && start.is_some_and(|start| self.has(start, BEFORE))
    }

    /// Reads an `@` from `at` to `after`.
    #[inline]
    fn at_sign(&mut self, at: usize, after: usize) {
        let earliest = std::mem::replace(&mut self.at_end, after);
        let goes_on = self.bytes.get(after).is_some_and(|byte| kind(*byte) != 0);
        if goes_on && at > earliest && !self.found.contains(Sensitivity::EMAIL) {
            self.email(earliest, at, after);
        }
    }

    /// Looks for `local@domain.tld` around the `@` from `at` to `after`; it begins at `earliest` or later.
    #[inline(never)]
    fn email(&mut self, earliest: usize, at: usize, after: usize) {
        if !self.is_domain(after) {
            return;
        }
        let before = self.bytes.get(earliest..at).unwrap_or_default();
        let is_local = |byte: &u8| kind(*byte) != 0 || b"._%+-".contains(byte);
        let length = before
            .iter()
            .rev()
            .take_while(|byte| is_local(byte))
            .count();
        let (rest, local) = before
            .split_at_checked(before.len() - length)
            .unwrap_or_default();
        self.steps.add(length);
        if local.iter().any(|byte| kind(*byte) != 0)
            && !self.is_login(rest)
            && !(local == b"git" && self.is_path_behind(after))
        {
            self.add(Sensitivity::EMAIL);
        }
    }

    /// Whether a domain with a top level of letters begins at `start`.
    fn is_domain(&mut self, start: usize) -> bool {
        let rest = self.bytes.get(start..).unwrap_or_default();
        // The letters and digits that a label begins with, and whether it still goes on with them.
        let (mut length, mut kinds, mut begins) = (0, 0, true);
        let mut has_host = false;
        let mut read = 0;
        let mut bytes = rest.iter().copied();
        let is_domain = loop {
            let byte = bytes.next().unwrap_or_default();
            read += 1;
            let more = kind(byte);
            if more != 0 {
                length += usize::from(begins);
                kinds |= if begins { more } else { 0 };
                continue;
            }
            let is_top = begins && has_host && kinds & DIGIT == 0 && (2..=18).contains(&length);
            // `x@a.b_c` is a name in a program; `_x@a.bc_` is an address in italics.
            let mut is_name = || byte == b'_' && bytes.next().is_some_and(|byte| kind(byte) != 0);
            if is_top && !is_name() {
                break true;
            }
            match byte {
                b'-' => begins = false,
                b'.' => {
                    has_host = length > 0;
                    (length, kinds, begins) = (0, 0, true);
                }
                _ => break false,
            }
        };
        self.steps.add(read);
        is_domain
    }

    /// Whether the text before ends like the login of a URL, as in `https://user:key@host`.
    #[inline(never)]
    fn is_login(&mut self, before: &[u8]) -> bool {
        let in_login = |byte: &u8| kind(*byte) != 0 || b"._%+-:".contains(byte);
        let length = before
            .iter()
            .rev()
            .take_while(|byte| in_login(byte))
            .count();
        self.steps.add(length);
        let (scheme, login) = before
            .split_at_checked(before.len() - length)
            .unwrap_or_default();
        scheme.ends_with(b"://") && (login.is_empty() || login.contains(&b':'))
    }

    /// Whether a `:` follows the domain at `start`, as in an address of `git` or `scp`.
    fn is_path_behind(&self, start: usize) -> bool {
        let rest = self.bytes.get(start..).unwrap_or_default();
        let end = rest
            .iter()
            .find(|byte| kind(**byte) == 0 && !b".-".contains(byte));
        end == Some(&b':')
    }
}
