//! FNV-1a: tells texts apart in a few instructions per byte. Nothing secret rests on it.

/// FNV-1a with 64 bits.
pub fn hash64(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// FNV-1a with 32 bits.
pub fn hash32(bytes: impl IntoIterator<Item = u8>) -> u32 {
    bytes.into_iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published test vectors.
    #[test]
    fn hashes_are_fnv_1a() {
        assert_eq!(hash64(*b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash64(*b"foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(hash32(*b""), 0x811c_9dc5);
        assert_eq!(hash32(*b"foobar"), 0xbf9c_f968);
    }
}
