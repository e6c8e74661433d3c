//! A map that holds so many entries and no more.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// The oldest entry goes when a new one finds no room; putting an entry makes
/// it the newest. Reading does not.
#[derive(Debug)]
pub(super) struct Bounded<K, V> {
    entries: HashMap<K, (u64, V)>,
    /// Every put, oldest first; one that its entry has outlived is passed over.
    puts: VecDeque<(u64, K)>,
    next: u64,
    max: usize,
}

impl<K: Clone + Eq + Hash, V> Bounded<K, V> {
    pub(super) fn new(max: usize) -> Self {
        Self { entries: HashMap::new(), puts: VecDeque::new(), next: 0, max }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    pub(super) fn put(&mut self, key: K, value: V) {
        self.entries.insert(key.clone(), (self.next, value));
        self.puts.push_back((self.next, key));
        self.next += 1;
        while self.entries.len() > self.max {
            let Some((put, key)) = self.puts.pop_front() else { return };
            if self.is_current(put, &key) {
                self.entries.remove(&key);
            }
        }
        // Once in so many puts, so that each pays for a little of it.
        if self.puts.len() > self.max.saturating_mul(2) {
            let mut puts = std::mem::take(&mut self.puts);
            puts.retain(|(put, key)| self.is_current(*put, key));
            self.puts = puts;
        }
    }

    fn is_current(&self, put: u64, key: &K) -> bool {
        self.entries.get(key).is_some_and(|(newest, _)| *newest == put)
    }

    pub(super) fn remove(&mut self, key: &K) {
        self.entries.remove(key);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, (_, value))| (key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_put_goes_first_and_nothing_grows() {
        let mut map = Bounded::new(2);
        map.put("a", 1);
        map.put("b", 2);
        map.put("a", 3);
        map.put("c", 4);
        assert_eq!((map.get(&"a"), map.get(&"b"), map.get(&"c")), (Some(&3), None, Some(&4)));
        for n in 0..1000 {
            map.put("c", n);
            map.put("d", n);
            map.remove(&"d");
        }
        assert_eq!(map.get(&"c"), Some(&999));
        assert!(map.iter().count() <= 2 && map.puts.len() <= 5, "{}", map.puts.len());
    }
}
