//! The binary form of the records that workers share: a version byte, then entries of one length each, with their numbers in
//! little endian.
//!
//! A record of another version or another length is refused as a whole; its reader then starts without shared knowledge, as
//! after a restart of the proxy. A record without entries is empty. The version bytes of different kinds of records differ,
//! so one kind is never read as another.

/// The form of one kind of record.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    version: u8,
    entry_bytes: usize,
    max_entries: usize,
}

impl Layout {
    /// Records of at most `max_entries` entries of `entry_bytes` each. `version` is never used again for another layout.
    pub const fn new(version: u8, entry_bytes: usize, max_entries: usize) -> Layout {
        Layout {
            version,
            entry_bytes,
            max_entries,
        }
    }

    /// The length of a record of so many entries, in bytes.
    pub const fn record_bytes(&self, entries: usize) -> usize {
        match entries {
            0 => 0,
            entries => 1 + entries * self.entry_bytes,
        }
    }

    /// The entries of a record; none if the record is foreign or damaged.
    pub fn entries<'r>(
        &self,
        record: &'r [u8],
    ) -> impl ExactSizeIterator<Item = Reader<'r>> + use<'r> {
        let body = match record.split_first() {
            Some((version, body))
                if *version == self.version
                    && body.len().is_multiple_of(self.entry_bytes)
                    && body.len() / self.entry_bytes <= self.max_entries =>
            {
                body
            }
            _ => &[],
        };
        body.chunks_exact(self.entry_bytes).map(Reader)
    }

    /// An empty record with room for so many entries.
    pub fn writer(&self, entries: usize) -> Writer {
        Writer::new(self.version, self.record_bytes(entries))
    }
}

/// Writes numbers behind a version byte, one after the other: the entries of a record, or a receipt.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Begins with `version`; has room for so many bytes.
    pub fn new(version: u8, capacity: usize) -> Writer {
        let mut bytes = Vec::with_capacity(capacity);
        bytes.push(version);
        Writer { bytes }
    }

    /// Writes one byte.
    pub fn i8(&mut self, number: i8) {
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    /// Writes two bytes.
    pub fn i16(&mut self, number: i16) {
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    /// Writes one byte.
    pub fn u8(&mut self, number: u8) {
        self.bytes.push(number);
    }

    /// Writes two bytes.
    pub fn u16(&mut self, number: u16) {
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    /// Writes four bytes.
    pub fn u32(&mut self, number: u32) {
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    /// Writes eight bytes.
    pub fn u64(&mut self, number: u64) {
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    /// Writes four bytes.
    pub fn f32(&mut self, number: f32) {
        self.u32(number.to_bits());
    }

    /// Writes eight bytes.
    pub fn f64(&mut self, number: f64) {
        self.u64(number.to_bits());
    }

    /// All that was written; empty if that is the version alone.
    pub fn finish(self) -> Vec<u8> {
        match self.bytes.len() {
            ..=1 => Vec::new(),
            _ => self.bytes,
        }
    }
}

/// Reads numbers, one after the other; `None` past the end, and nothing is read then.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'r>(&'r [u8]);

impl<'r> Reader<'r> {
    /// Reads from the start of `bytes`.
    pub const fn new(bytes: &'r [u8]) -> Reader<'r> {
        Reader(bytes)
    }

    /// How many bytes are left.
    pub const fn left(&self) -> usize {
        self.0.len()
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*bytes)
    }

    /// Reads one byte.
    pub fn i8(&mut self) -> Option<i8> {
        self.take().map(i8::from_le_bytes)
    }

    /// Reads two bytes.
    pub fn i16(&mut self) -> Option<i16> {
        self.take().map(i16::from_le_bytes)
    }

    /// Reads one byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.take().map(u8::from_le_bytes)
    }

    /// Reads two bytes.
    pub fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    /// Reads four bytes.
    pub fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    /// Reads eight bytes.
    pub fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    /// Reads four bytes; `None` too if the number is not finite.
    pub fn f32(&mut self) -> Option<f32> {
        let number = self.u32().map(f32::from_bits);
        number.filter(|number| number.is_finite())
    }

    /// Reads eight bytes; `None` too if the number is not finite.
    pub fn f64(&mut self) -> Option<f64> {
        let number = self.u64().map(f64::from_bits);
        number.filter(|number| number.is_finite())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LAYOUT: Layout = Layout::new(0x71, 27, 3);

    fn record(entries: u8) -> Vec<u8> {
        let mut writer = LAYOUT.writer(entries.into());
        for number in 0..entries {
            writer.u8(number);
            writer.u16(0x1234);
            writer.u32(u32::MAX);
            writer.u64(1 << 63);
            writer.f32(-1.5);
            writer.f64(0.1);
        }
        writer.finish()
    }

    #[test]
    fn entries_read_as_they_were_written() {
        let bytes = record(3);
        assert_eq!(bytes.len(), LAYOUT.record_bytes(3));
        for (number, mut entry) in (0..).zip(LAYOUT.entries(&bytes)) {
            assert_eq!((entry.u8(), entry.u16()), (Some(number), Some(0x1234)));
            assert_eq!((entry.u32(), entry.u64()), (Some(u32::MAX), Some(1 << 63)));
            assert_eq!((entry.f32(), entry.f64()), (Some(-1.5), Some(0.1)));
            assert_eq!(entry.u8(), None);
        }
        assert_eq!(LAYOUT.entries(&bytes).count(), 3);
        assert_eq!(record(0), [0_u8; 0]);
    }

    #[test]
    fn foreign_and_damaged_records_have_no_entries() {
        let bytes = record(2);
        for end in (0..bytes.len()).filter(|end| *end != LAYOUT.record_bytes(1)) {
            assert_eq!(
                LAYOUT.entries(bytes.get(..end).unwrap()).count(),
                0,
                "{end}"
            );
        }
        let other = Layout::new(0x72, 27, 3);
        assert_eq!(other.entries(&bytes).count(), 0);
        assert_eq!(LAYOUT.entries(&record(4)).count(), 0);
    }

    #[test]
    fn numbers_that_are_not_finite_are_refused() {
        let layout = Layout::new(1, 12, 1);
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut writer = layout.writer(1);
            writer.f32(bad as f32);
            writer.f64(bad);
            let bytes = writer.finish();
            let mut entry = layout.entries(&bytes).next().unwrap();
            assert_eq!((entry.f32(), entry.f64()), (None, None));
        }
    }
}
