//! Text of users that is kept for a moment: bounded, never printed, and overwritten when it is dropped.

use std::borrow::Cow;
use std::fmt;

/// The first bytes of a text. Its memory is overwritten when it is dropped, so that nothing of it stays in a heap that is never
/// given back.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct HeldText {
    bytes: Vec<u8>,
    most: usize,
    is_cut: bool,
}

impl HeldText {
    /// An empty text of at most `most` bytes.
    pub const fn new(most: usize) -> HeldText {
        HeldText {
            bytes: Vec::new(),
            most,
            is_cut: false,
        }
    }

    /// The first bytes of a text.
    pub fn start_of(text: &str, most: usize) -> HeldText {
        let mut held = HeldText::new(most.min(text.len()));
        held.push(text.as_bytes());
        held
    }

    /// Adds bytes, as far as they fit. A character may come in several calls.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.bytes.capacity() == 0 {
            // Grown later, it would leave copies behind.
            self.bytes.reserve_exact(self.most);
        }
        let room = self.most.saturating_sub(self.bytes.len());
        let fits = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.bytes.extend_from_slice(fits);
        self.is_cut |= fits.len() < bytes.len();
    }

    /// Whether there was more than is held.
    pub const fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Whether it holds nothing but white space.
    pub fn is_blank(&self) -> bool {
        self.bytes.trim_ascii().is_empty()
    }

    /// The text. Bytes that are not UTF-8 are replaced; a character that the bound has cut is left out.
    pub fn text(&self) -> Cow<'_, str> {
        let whole = match std::str::from_utf8(&self.bytes) {
            // No error length: the bytes end within a character.
            Err(error) if self.is_cut && error.error_len().is_none() => error.valid_up_to(),
            _ => self.bytes.len(),
        };
        String::from_utf8_lossy(self.bytes.get(..whole).unwrap_or_default())
    }
}

impl fmt::Debug for HeldText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeldText({} bytes)", self.bytes.len())
    }
}

impl Drop for HeldText {
    fn drop(&mut self) {
        overwrite(&mut self.bytes);
    }
}

/// Overwrites a text that has served its purpose.
pub fn wipe(text: String) {
    overwrite(&mut text.into_bytes());
}

fn overwrite(bytes: &mut Vec<u8>) {
    bytes.fill(0);
    // Without it the compiler may leave out a write that nobody reads.
    std::hint::black_box(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        for (most, kept) in [(0, ""), (1, ""), (2, "é"), (4, "é"), (5, "é€"), (9, "é€")] {
            let held = HeldText::start_of("é€", most);
            assert_eq!((held.text().as_ref(), held.is_cut()), (kept, most < 5));
        }
    }

    #[test]
    fn characters_may_come_in_pieces() {
        let mut held = HeldText::new(8);
        for byte in "a€b".bytes() {
            held.push(&[byte]);
        }
        assert_eq!((held.text().as_ref(), held.is_cut()), ("a€b", false));
        held.push("1234".as_bytes());
        assert_eq!((held.text().as_ref(), held.is_cut()), ("a€b123", true));
    }

    #[test]
    fn what_is_not_utf8_is_replaced() {
        let mut held = HeldText::new(8);
        held.push(b"a\xffb\xe2\x82");
        assert_eq!(held.text(), "a\u{fffd}b\u{fffd}");
        assert!(!held.is_cut() && !held.is_blank());
        assert!(HeldText::start_of(" \n", 8).is_blank());
    }

    #[test]
    fn it_is_never_printed() {
        let printed = format!("{:?}", HeldText::start_of("secret", 10));
        assert_eq!(printed, "HeldText(6 bytes)");
    }
}
