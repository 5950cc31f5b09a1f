//! Counts of values in logarithmic buckets, of which old ones fade: quantiles in bounded memory.

use crate::state::codec::{Reader, Writer};

/// The buckets of a sketch.
pub(super) const BUCKETS: usize = 40;
/// Twelve buckets to a factor of ten: two neighbours differ by a fifth. With these, exactly twice as slow as declared still
/// differs from [`super::NOTICED`].
const PER_DECADE: f32 = 12.0;
/// The weight of a value before it ages.
const UNIT: u16 = 32;

/// A histogram that forgets.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sketch {
    counts: [u16; BUCKETS],
    total: u32,
}

impl Sketch {
    pub(super) const EMPTY: Sketch = Sketch {
        counts: [0; BUCKETS],
        total: 0,
    };

    /// Adds a value; values older than about the last `window` fade.
    pub(super) fn add(&mut self, bucket: u8, window: u32) {
        if let Some(count) = self.counts.get_mut(usize::from(bucket)) {
            *count = count.saturating_add(UNIT);
            self.total += u32::from(UNIT);
        }
        if self.total > window * u32::from(UNIT) {
            self.total = 0;
            for count in &mut self.counts {
                *count /= 2;
                self.total += u32::from(*count);
            }
        }
    }

    /// The number of values, aged ones in part.
    pub(super) fn weight(&self) -> u32 {
        self.total / u32::from(UNIT)
    }

    /// The quantile in multiples of the least value; 0 without values.
    pub(super) fn quantile(&self, q: f32) -> f32 {
        let wanted = (self.total as f32 * q) as u32;
        let mut sum = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            sum += u32::from(*count);
            if sum > wanted {
                return 10_f32.powf((bucket as f32 + 0.5) / PER_DECADE);
            }
        }
        0.0
    }

    pub(super) fn write(&self, record: &mut Writer) {
        for count in self.counts {
            record.u16(count);
        }
    }

    /// Reads a sketch that [`Sketch::write`] wrote.
    pub(super) fn read(entry: &mut Reader<'_>) -> Option<Sketch> {
        let mut sketch = Sketch::EMPTY;
        for count in &mut sketch.counts {
            *count = entry.u16()?;
            sketch.total += u32::from(*count);
        }
        Some(sketch)
    }
}

/// The bucket of a value; `least` is the least value that has a bucket of its own.
pub(super) fn bucket(value: f32, least: f32) -> u8 {
    let place = ((value / least).max(1.0).log10() * PER_DECADE) as usize;
    place.min(BUCKETS - 1) as u8
}
