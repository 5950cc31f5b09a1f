//! International bank account numbers (ISO 13616): country, check digits, and the account, in one group or in several.
//!
//! A number can begin at every group. Its country gives its length, so only the place where it would end is noted. The remainder by
//! 97 is computed if a group ends there.

use super::group::{DIGIT, Group, kind};
use super::numbers::Gap;
use crate::analysis::steps::Steps;

/// Countries and the lengths of their numbers (SWIFT's registry, and other countries that use the format).
const COUNTRIES: &[u8] = b"AD24AE23AL28AO25AT20AZ28BA20BE16BF28BG22BH22BI27BJ28BR29BY28CF27CG27CH21CI28CM27CR22CV25\
CY28CZ24DE22DJ27DK18DO28DZ26EE20EG29ES24FI18FK18FO18FR27GA27GB22GE22GI23GL18GQ27GR27GT28GW25HN28HR21HU28IE22IL23IQ23IR26\
IS26IT27JO30KM27KW30KZ20LB28LC32LI21LT20LU20LV21LY25MA28MC27MD24ME22MG27MK19ML28MN20MR27MT31MU30MZ25NE28NI28NL18NO15OM23\
PK24PL28PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27SN28SO23ST25SV28TD27TG28TL23TN24TR26UA29VA22VG24XK20YE30";

/// Countries whose numbers have no letters after the first two.
const NUMERIC: &[u8] = b"AEATBABECZDEDKEEESFIFOGLHRHUILISLTMENOPLPTRSSESISKTLTNXK";
const ALL_DIGITS: u8 = 1 << 7;

/// Length by country, whose two letters are a number to the base 26; 0 for none. With [`ALL_DIGITS`] for [`NUMERIC`].
const LENGTHS: [u8; 676] = {
    let mut table = [0; 676];
    let mut at = 0;
    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
    while at < COUNTRIES.len() {
        let country = (COUNTRIES[at] - b'A') as usize * 26 + (COUNTRIES[at + 1] - b'A') as usize;
        table[country] = (COUNTRIES[at + 2] - b'0') * 10 + COUNTRIES[at + 3] - b'0';
        at += 4;
    }
    at = 0;
    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
    while at < NUMERIC.len() {
        let country = (NUMERIC[at] - b'A') as usize * 26 + (NUMERIC[at + 1] - b'A') as usize;
        table[country] |= ALL_DIGITS;
        at += 2;
    }
    table
};

/// Maximum length.
const LONGEST: usize = 34;
/// Maximum number of groups in which a number is printed.
const MOST_GROUPS: u32 = 9;

/// A group at which a number may have begun.
#[derive(Clone, Copy, Default)]
struct Start {
    at: usize,
    /// Number of letters and digits, and of letters, read before it.
    count: u32,
    letters: u32,
    length: u32,
}

/// Groups that may belong to one number.
pub(super) struct Accounts {
    /// Number of letters and digits, and of letters, read in all.
    count: u32,
    letters: u32,
    starts: [Start; 16],
    next: u32,
    /// Bit sets of `starts` that may end at a count, by its lowest six bits. A stale start fits no count.
    due: [u16; 64],
    /// Number of groups that the last start can still reach; 0 if none is open.
    open: u32,
}

impl Default for Accounts {
    fn default() -> Accounts {
        Accounts {
            count: 0,
            letters: 0,
            starts: [Start::default(); 16],
            next: 0,
            due: [0; 64],
            open: 0,
        }
    }
}

impl Accounts {
    /// Whether a number may have begun and not ended.
    pub fn is_open(&self) -> bool {
        self.open > 0
    }

    /// Adds a group; returns whether a number with valid check digits ends with it.
    pub fn add(&mut self, bytes: &[u8], group: Group, gap: Gap, steps: &mut impl Steps) -> bool {
        if self.open > 0 && (!matches!(gap, Gap::Space | Gap::Dash) || group.len() > LONGEST) {
            self.open = 0;
            // No start is due at a count that is so far on.
            self.count = self.count.wrapping_add(64);
        }
        let length = if group.kinds & DIGIT != 0 && group.kinds != DIGIT {
            length_of(bytes, group)
        } else {
            0
        };
        if length > 0 {
            self.begin(group, length);
        } else if self.open == 0 {
            return false;
        } else {
            self.open -= 1;
        }
        self.count = self.count.wrapping_add(group.len() as u32);
        let letters = match group.kinds {
            DIGIT => 0,
            _ if length > 0 && group.len() == 4 => 2,
            kinds if kinds & DIGIT == 0 => group.len(),
            _ => {
                let text = bytes.get(group.start..group.end).unwrap_or_default();
                let letters = text.iter().map(|byte| usize::from(kind(*byte) != DIGIT));
                letters.sum()
            }
        };
        self.letters = self.letters.wrapping_add(letters as u32);
        let due = self.due.get_mut(self.count as usize % 64);
        let mut due = due.map_or(0, std::mem::take);
        while due != 0 {
            let slot = due.trailing_zeros() as usize;
            due &= due - 1;
            if let Some(start) = self.starts.get(slot)
                && self.count.wrapping_sub(start.count) == start.length
                && 2 * self.letters.wrapping_sub(start.letters) < start.length
            {
                steps.add(group.end - start.at);
                if is_account(bytes.get(start.at..group.end).unwrap_or_default()) {
                    return true;
                }
            }
        }
        false
    }

    fn begin(&mut self, group: Group, length: u32) {
        let slot = self.next % 16;
        if let Some(start) = self.starts.get_mut(slot as usize) {
            *start = Start {
                at: group.start,
                count: self.count,
                letters: self.letters,
                length,
            };
        }
        let end = self.count.wrapping_add(length) as usize % 64;
        if let Some(due) = self.due.get_mut(end) {
            *due |= 1 << slot;
        }
        self.next = self.next.wrapping_add(1);
        self.open = MOST_GROUPS;
    }
}

/// Whether the remainder by 97 is 1, with the first four characters moved to the end and each letter read as two digits, 10 for A.
fn is_account(text: &[u8]) -> bool {
    let (head, rest) = text.split_at_checked(4).unwrap_or_default();
    let mut number = 0_u64;
    for byte in rest.iter().chain(head) {
        // Two more digits do not overflow it.
        if number > u64::MAX / 200 {
            number %= 97;
        }
        match byte {
            b'0'..=b'9' => number = number * 10 + u64::from(byte - b'0'),
            b'A'..=b'Z' => number = number * 100 + u64::from(byte - b'A') + 10,
            b'a'..=b'z' => number = number * 100 + u64::from(byte - b'a') + 10,
            _ => {}
        }
    }
    number % 97 == 1
}

/// Length of the number that a group may begin; 0 if it begins none.
#[inline]
fn length_of(bytes: &[u8], group: Group) -> u32 {
    // A number is longer than this.
    let text = bytes.get(group.start..).and_then(<[u8]>::first_chunk::<6>);
    let Some(&[first, second, b'0'..=b'9', b'0'..=b'9', ..]) = text else {
        return 0;
    };
    let place = |letter: u8| usize::from((letter | 0x20).wrapping_sub(b'a'));
    if kind(first) & DIGIT != 0 || kind(second) & DIGIT != 0 || group.len() < 4 {
        return 0;
    }
    let country = LENGTHS
        .get(place(first) * 26 + place(second))
        .copied()
        .unwrap_or_default();
    let length = country & !ALL_DIGITS;
    if group.len() == usize::from(length) {
        return u32::from(length);
    }
    // In several groups, another one must follow.
    let behind = bytes.get(group.end..).and_then(<[u8]>::first_chunk::<2>);
    match behind {
        Some([b' ' | b'-', next])
            if group.len() < usize::from(length)
                && kind(*next) != 0
                && (country == length || kind(*next) == DIGIT) =>
        {
            u32::from(length)
        }
        _ => 0,
    }
}
