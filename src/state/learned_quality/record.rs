//! The sums of all models, and their binary form: for the shared record, and for the partial results of `pointsman learn`.
//!
//! A record is a version byte, then each model by its key in ascending order: the key in four bytes, little endian, and its
//! sums as variable-length integers (zigzag, seven bits a byte). Equal sums have equal bytes. A record that is foreign or damaged
//! is refused as a whole.

use super::posterior::{Learned, fit};
use super::sums::{ModelSums, SUMS};
use super::{Comparison, Observation, features, key};
use crate::fleet::{Model, Registry};
use crate::state::sorted_map::SortedMap;

/// The most models with sums.
pub const MAX_MODELS: usize = 256;
const VERSION: u8 = 0x62;

/// The sums of all models.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sums {
    models: SortedMap<u32, ModelSums>,
}

impl Sums {
    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.models.is_empty()
    }

    /// The sums of a model.
    pub fn of(&self, model: &Model) -> Option<&ModelSums> {
        self.models.get(key(model))
    }

    /// Adds an outcome, with a weight in steps of 1/16; `None` if there is no such model, or too many.
    pub fn add(&mut self, registry: &Registry, seen: &Observation<'_>, weight: i64) -> Option<()> {
        let features = features(registry, seen.model, seen.classification);
        let sums = self.sums_of(key(registry.model(seen.model)?))?;
        sums.add(&features, f64::from(seen.score), weight, seen.tenant);
        if seen.together {
            sums.add_together(weight);
        }
        Some(())
    }

    /// Adds a comparison of the answers of two models; `None` if there are no such models, or too many.
    pub fn compare(
        &mut self,
        registry: &Registry,
        compared: &Comparison<'_>,
        weight: i64,
    ) -> Option<()> {
        let (first, second) = (compared.first, compared.second);
        let own = features(registry, first.0, first.1);
        let other = features(registry, second.0, second.1);
        let first = key(registry.model(first.0)?);
        let second = key(registry.model(second.0)?);
        let share = f64::from(compared.share);
        self.sums_of(first)?
            .add_preference(&own, &other, share, weight);
        self.sums_of(second)?
            .add_preference(&other, &own, 1.0 - share, weight);
        Some(())
    }

    fn sums_of(&mut self, key: u32) -> Option<&mut ModelSums> {
        self.models
            .get_or_insert_with(key, MAX_MODELS, ModelSums::default)
    }

    /// Adds other sums.
    pub fn merge(&mut self, other: &Sums) {
        for (key, sums) in other.models.iter() {
            if let Some(own) = self.sums_of(key) {
                own.merge(sums);
            }
        }
    }

    /// Drops all models but those with these keys.
    pub(super) fn retain(&mut self, keys: &[u32]) {
        self.models.retain(|key| keys.contains(&key));
    }

    /// Drops the models with these keys.
    pub(super) fn remove(&mut self, keys: &[u32]) {
        self.models.retain(|key| !keys.contains(&key));
    }

    /// Whether there are sums under any of these keys.
    pub(super) fn has_any(&self, keys: &[u32]) -> bool {
        keys.iter().any(|key| self.models.get(*key).is_some())
    }

    /// Forgets as [`ModelSums::forget`] does.
    pub(super) fn forget(&mut self, half_life: u32) {
        for (_, sums) in self.models.iter_mut() {
            sums.forget(half_life);
        }
    }

    /// The belief about each of `models`, in their order.
    pub fn learned(&self, models: &[Model], prior_mass: f64) -> Vec<Learned> {
        let known: Vec<(u32, &ModelSums)> = models
            .iter()
            .filter_map(|model| Some((key(model), self.of(model)?)))
            .collect();
        let sums: Vec<&ModelSums> = known.iter().map(|(_, sums)| *sums).collect();
        let fitted = fit(&sums, prior_mass);
        let of = |model: &Model| {
            let place = known.iter().position(|(own, _)| *own == key(model));
            let place = place.unwrap_or(fitted.len().saturating_sub(1));
            fitted.get(place).copied()
        };
        models.iter().filter_map(of).collect()
    }

    /// The binary form; empty if nothing was added.
    pub fn encode(&self) -> Vec<u8> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut bytes = vec![VERSION];
        for (key, sums) in self.models.iter() {
            bytes.extend_from_slice(&key.to_le_bytes());
            for value in sums.values() {
                write(&mut bytes, *value);
            }
        }
        bytes
    }

    /// Reads [`Sums::encode`]; `None` if the record is foreign or damaged. Empty bytes are no sums.
    pub fn decode(bytes: &[u8]) -> Option<Sums> {
        let Some((version, mut rest)) = bytes.split_first() else {
            return Some(Sums::default());
        };
        if *version != VERSION || rest.is_empty() {
            return None;
        }
        let mut entries = Vec::new();
        while !rest.is_empty() {
            let (key, body) = rest.split_first_chunk::<4>()?;
            rest = body;
            let values: Option<Vec<i64>> = (0..SUMS).map(|_| read(&mut rest)).collect();
            let key = u32::from_le_bytes(*key);
            let after = entries.last().is_none_or(|(before, _)| *before < key);
            if !after || entries.len() == MAX_MODELS {
                return None;
            }
            entries.push((key, ModelSums::from_values(values?)?));
        }
        Some(Sums {
            models: SortedMap::from_entries(entries),
        })
    }
}

fn write(bytes: &mut Vec<u8>, value: i64) {
    let mut rest = (value.wrapping_shl(1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

/// Reads an integer in its shortest form.
fn read(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for place in 0..10 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        let shift = 7 * place;
        if (place > 0 && *byte == 0) || (shift == 63 && part > 1) {
            return None;
        }
        value |= part << shift;
        if byte & 0x80 == 0 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

#[cfg(test)]
impl Sums {
    /// The sums under a key, for tests of their size.
    pub(super) fn models_mut(&mut self, key: u32) -> &mut ModelSums {
        self.models
            .get_or_insert_with(key, MAX_MODELS, ModelSums::default)
            .expect("few")
    }
}
