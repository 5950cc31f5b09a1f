//! Records in shared data: their keys, how a published policy is written, and how a record is changed.

use crate::hostcalls::{self, HostError};

/// Compared with a key that must be absent. The host creates an absent key whatever the number is, and counts its own numbers
/// up from 1.
pub const ABSENT: u32 = u32::MAX;

/// Records of one plugin configuration, each under a key of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// The policy in force: its number and its document.
    Policy,
    /// The policy before it, for attempts of requests that it decided.
    Before,
    /// The number alone, which is cheap to compare.
    Version,
    /// The policy document of the plugin configuration, without a number: the bounds of policies from a source.
    Rendered,
}

/// The key of an entry for the plugin configuration with this fingerprint.
pub fn key_of(entry: Entry, fingerprint: u64) -> String {
    let prefix = match entry {
        Entry::Policy => "pointsman.policy.",
        Entry::Before => "pointsman.before.",
        Entry::Version => "pointsman.version.",
        Entry::Rendered => "pointsman.rendered.",
    };
    key(prefix, fingerprint)
}

/// A key that belongs to the plugin configuration with this fingerprint.
pub fn key(prefix: &str, fingerprint: u64) -> String {
    let mut key = String::from(prefix);
    for shift in (0..16).rev() {
        let digit = (fingerprint >> (shift * 4)) as u32 & 15;
        key.push(char::from_digit(digit, 16).unwrap_or('0'));
    }
    key
}

/// Writes a number and the document that it stands for.
pub fn encode(version: u64, text: &[u8]) -> Vec<u8> {
    let mut record = version.to_le_bytes().to_vec();
    record.extend_from_slice(text);
    record
}

/// Reads a record of [`encode`]; `None` if it is not one.
pub fn decode(record: &[u8]) -> Option<(u64, &[u8])> {
    let (version, text) = record.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*version), text))
}

/// Changes the record under `key` by compare-and-swap. `change` gets the record, empty if there is none, and gives the new one,
/// or `None` to leave it. If another worker was faster, `change` is asked again, up to `tries` times in all.
///
/// Gives whether the record was written.
///
/// # Errors
/// [`HostError::CAS_MISMATCH`] if others were faster each time; any other status of the host.
pub fn update(
    key: &str,
    tries: u32,
    change: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>,
) -> Result<bool, HostError> {
    for _ in 0..tries {
        let (record, cas) = hostcalls::shared(key)?.unwrap_or((Vec::new(), ABSENT));
        let Some(changed) = change(&record) else {
            return Ok(false);
        };
        match hostcalls::set_shared(key, &changed, cas) {
            Ok(()) => return Ok(true),
            Err(HostError::CAS_MISMATCH) => {}
            Err(error) => return Err(error),
        }
    }
    Err(HostError::CAS_MISMATCH)
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
