//! A table for entries by the million: the entries one behind the other, and an index of
//! 5 bytes for each place in it.
//!
//! An entry carries its own key, or leads to it: who looks says how it is hashed and
//! compared. A map of its own would leave as many places of the entries' size empty as it
//! has entries, right after it has grown.

use hashbrown::HashTable;

/// The table. Places count from 0 and hold until something is taken out.
pub(super) struct Dense<E> {
    index: HashTable<u32>,
    entries: Vec<E>,
}

impl<E> Dense<E> {
    pub(super) const fn new() -> Self {
        Self { index: HashTable::new(), entries: Vec::new() }
    }

    /// The entries with that hash that are meant, with their places.
    pub(super) fn find(&self, hash: u64, is_meant: impl Fn(&E) -> bool) -> impl Iterator<Item = (usize, &E)> {
        let places = self.index.iter_hash(hash).map(|place| *place as usize);
        places.map(|place| (place, &self.entries[place])).filter(move |(_, entry)| is_meant(entry))
    }

    /// Puts an entry behind the others; `hash_of` hashes entries alike.
    ///
    /// # Panics
    /// Past 2^32 entries: memory ends before.
    pub(super) fn push(&mut self, hash: u64, entry: E, hash_of: impl Fn(&E) -> u64) -> usize {
        let place = u32::try_from(self.entries.len()).expect("memory ends before 2^32 entries");
        self.entries.push(entry);
        let entries = &self.entries;
        self.index.insert_unique(hash, place, |place| hash_of(&entries[*place as usize]));
        place as usize
    }

    /// Takes an entry out; the last one gets its place.
    pub(super) fn take(&mut self, place: usize, hash_of: impl Fn(&E) -> u64) -> E {
        let (gone, last) = (place as u32, self.entries.len() as u32 - 1);
        if let Ok(indexed) = self.index.find_entry(hash_of(&self.entries[place]), |at| *at == gone) {
            indexed.remove();
        }
        if gone != last
            && let Some(indexed) = self.index.find_mut(hash_of(&self.entries[last as usize]), |at| *at == last)
        {
            *indexed = gone;
        }
        let entry = self.entries.swap_remove(place);
        if self.index.capacity() > 64 && self.index.len() < self.index.capacity() / 8 {
            let entries = &self.entries;
            self.index.shrink_to(self.index.len() * 2, |place| hash_of(&entries[*place as usize]));
            self.entries.shrink_to(self.index.len() * 2);
        }
        entry
    }

    pub(super) fn get(&self, place: usize) -> Option<&E> {
        self.entries.get(place)
    }

    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut E> {
        self.entries.get_mut(place)
    }

    /// Every entry, in the order of their places.
    pub(super) fn iter(&self) -> std::slice::Iter<'_, E> {
        self.entries.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn what_was_put_in_and_not_taken_out_is_found(steps in prop::collection::vec((0_u16..200, any::<bool>()), 0..600)) {
            // Many keys share a hash.
            let hash = |key: u16| u64::from(key % 50) << 57 | u64::from(key % 50);
            let mut dense = Dense::new();
            let mut expected: HashMap<u16, usize> = HashMap::new();
            for (step, (key, puts)) in steps.into_iter().enumerate() {
                let place = dense.find(hash(key), |(of, _)| *of == key).next().map(|(place, _)| place);
                match (puts, place) {
                    (true, None) => drop(dense.push(hash(key), (key, step), |(key, _)| hash(*key))),
                    (true, Some(place)) => dense.get_mut(place).unwrap().1 = step,
                    (false, Some(place)) => drop(dense.take(place, |(key, _)| hash(*key))),
                    (false, None) => {}
                }
                if puts { expected.insert(key, step); } else { expected.remove(&key); }
            }
            for key in 0..200 {
                let found = dense.find(hash(key), |(of, _)| *of == key).map(|(_, (_, step))| *step).next();
                prop_assert_eq!(found, expected.get(&key).copied());
            }
            prop_assert_eq!(dense.iter().count(), expected.len());
        }
    }
}
