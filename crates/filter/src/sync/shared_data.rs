//! How a published policy stands in shared data: under which keys, and in which bytes.

/// What is kept for one plugin configuration, each under a key of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// The policy in force: its number and its document.
    Policy,
    /// The one that it replaced, for attempts of requests that were decided on by it.
    Before,
    /// The number alone, which costs little to look at.
    Version,
    /// The document of the plugin configuration, without a number: what others are held to.
    Rendered,
}

/// The key of what is kept for the plugin configuration of this fingerprint.
pub fn key_of(kept: Kept, fingerprint: u64) -> String {
    let prefix = match kept {
        Kept::Policy => "pointsman.policy.",
        Kept::Before => "pointsman.before.",
        Kept::Version => "pointsman.version.",
        Kept::Rendered => "pointsman.rendered.",
    };
    key(prefix, fingerprint)
}

/// A key that belongs to the plugin configuration of this fingerprint.
pub fn key(prefix: &str, fingerprint: u64) -> String {
    let mut key = String::from(prefix);
    for shift in (0..16).rev() {
        let digit = (fingerprint >> (shift * 4)) as u32 & 15;
        key.push(char::from_digit(digit, 16).unwrap_or('0'));
    }
    key
}

/// A number and the document that it stands for.
pub fn encode(version: u64, text: &[u8]) -> Vec<u8> {
    let mut record = version.to_le_bytes().to_vec();
    record.extend_from_slice(text);
    record
}

/// Reads what [`encode`] wrote; `None` where it is nothing of the kind.
pub fn decode(record: &[u8]) -> Option<(u64, &[u8])> {
    let (version, text) = record.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*version), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        assert_eq!(decode(&encode(7, b"{}")), Some((7, b"{}".as_slice())));
        assert_eq!(decode(&[1, 2, 3]), None);
    }

    #[test]
    fn keys_are_hexadecimal() {
        assert_eq!(key("p.", 0x0123_4567_89ab_cdef), "p.0123456789abcdef");
    }
}
