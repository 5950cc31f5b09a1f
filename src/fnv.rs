//! FNV-1a: tells texts apart in a few instructions per byte. Nothing secret rests on it.

/// FNV-1a with 64 bits.
pub fn hash64(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// FNV-1a with 32 bits, also for tables that the compiler makes.
pub const fn hash32(bytes: &[u8]) -> u32 {
    let mut hash = START32;
    let mut rest = bytes;
    while let [byte, behind @ ..] = rest {
        hash = step32(hash, *byte as u32);
        rest = behind;
    }
    hash
}

/// The hash of nothing, from which [`step32`] goes on.
pub const START32: u32 = 0x811c_9dc5;

/// Takes one byte, or another unit of a text, into a hash of 32 bits.
pub const fn step32(hash: u32, unit: u32) -> u32 {
    (hash ^ unit).wrapping_mul(0x0100_0193)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published test vectors.
    #[test]
    fn hashes_are_fnv_1a() {
        assert_eq!(hash64(*b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash64(*b"foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(hash32(b""), 0x811c_9dc5);
        assert_eq!(hash32(b"foobar"), 0xbf9c_f968);
    }
}
