//! A map of bounded size in one piece of memory, sorted by its keys.

use crate::sort;

/// A sorted map. Inserting beyond a bound is refused; forgetting an entry first is up to the caller.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SortedMap<K, V> {
    entries: Vec<(K, V)>,
}

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        SortedMap {
            entries: Vec::new(),
        }
    }
}

impl<K: Ord + Copy, V> SortedMap<K, V> {
    /// Sorts entries; the first of several with the same key counts.
    pub(super) fn from_entries(entries: impl IntoIterator<Item = (K, V)>) -> SortedMap<K, V> {
        let mut entries: Vec<(K, V)> = entries.into_iter().collect();
        sort::sort_by_key(&mut entries, |(key, _)| *key);
        entries.dedup_by_key(|(key, _)| *key);
        SortedMap { entries }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn place(&self, key: K) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&key, |(key, _)| *key)
    }

    pub(super) fn get(&self, key: K) -> Option<&V> {
        let place = self.place(key).ok()?;
        self.entries.get(place).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let place = self.place(key).ok()?;
        self.entries.get_mut(place).map(|(_, value)| value)
    }

    /// The value of `key`, made if there is none; `None` if that would make it more than `max` entries.
    pub(super) fn get_or_insert_with(
        &mut self,
        key: K,
        max: usize,
        make: impl FnOnce() -> V,
    ) -> Option<&mut V> {
        let place = match self.place(key) {
            Ok(place) => place,
            Err(_) if self.entries.len() >= max => return None,
            Err(place) => {
                self.entries.insert(place, (key, make()));
                place
            }
        };
        self.entries.get_mut(place).map(|(_, value)| value)
    }

    pub(super) fn remove(&mut self, key: K) {
        if let Ok(place) = self.place(key) {
            self.entries.remove(place);
        }
    }

    /// Drops the entries that `keep` does not want.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(K) -> bool) {
        self.entries.retain(|(key, _)| keep(*key));
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.entries.iter().map(|(key, value)| (*key, value))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut V)> {
        self.entries.iter_mut().map(|(key, value)| (*key, value))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.iter().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_and_the_bound_is_kept() {
        let mut map = SortedMap::from_entries([(3, 'c'), (1, 'a'), (3, 'x')]);
        assert_eq!(map.get_or_insert_with(2, 3, || 'b'), Some(&mut 'b'));
        assert_eq!(map.get_or_insert_with(4, 3, || 'd'), None);
        assert_eq!(map.get_or_insert_with(3, 3, || 'd'), Some(&mut 'c'));
        let all: Vec<_> = map.iter().map(|(key, value)| (key, *value)).collect();
        assert_eq!(all, [(1, 'a'), (2, 'b'), (3, 'c')]);
        map.remove(2);
        assert_eq!((map.get(2), map.get(1), map.len()), (None, Some(&'a'), 2));
    }
}
