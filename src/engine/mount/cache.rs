//! What was used last, within a number of bytes.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

#[derive(Debug)]
struct Held<V> {
    value: V,
    bytes: u64,
    used: u64,
}

/// Keeps values until they take more than a number of bytes; then those go that were not used for longest.
#[derive(Debug)]
pub(super) struct ByteCache<K, V> {
    held: HashMap<K, Held<V>>,
    order: BTreeMap<u64, K>,
    bytes: u64,
    bytes_max: u64,
    tick: u64,
}

impl<K: Hash + Eq + Clone, V: Clone> ByteCache<K, V> {
    /// An empty cache of at most so many bytes.
    pub(super) fn new(bytes_max: u64) -> Self {
        Self { held: HashMap::new(), order: BTreeMap::new(), bytes: 0, bytes_max, tick: 0 }
    }

    /// A value, which counts as used.
    pub(super) fn get(&mut self, key: &K) -> Option<V> {
        let held = self.held.get_mut(key)?;
        self.tick += 1;
        self.order.remove(&held.used);
        held.used = self.tick;
        self.order.insert(self.tick, key.clone());
        Some(held.value.clone())
    }

    /// Whether a value is there; it does not count as used.
    pub(super) fn contains(&self, key: &K) -> bool {
        self.held.contains_key(key)
    }

    /// Keeps a value that takes so many bytes, unless it alone is too large.
    pub(super) fn put(&mut self, key: K, value: V, bytes: u64) {
        self.remove(&key);
        if bytes > self.bytes_max {
            return;
        }
        while self.bytes + bytes > self.bytes_max {
            let Some(oldest) = self.order.first_key_value().map(|(_, key)| key.clone()) else { break };
            self.remove(&oldest);
        }
        self.tick += 1;
        self.order.insert(self.tick, key.clone());
        self.held.insert(key, Held { value, bytes, used: self.tick });
        self.bytes += bytes;
    }

    fn remove(&mut self, key: &K) {
        if let Some(held) = self.held.remove(key) {
            self.order.remove(&held.used);
            self.bytes -= held.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_stay_within_the_limit_and_what_was_used_stays() {
        let mut cache = ByteCache::new(10);
        cache.put(1, 'a', 4);
        cache.put(2, 'b', 4);
        assert_eq!(cache.get(&1), Some('a'));
        cache.put(3, 'c', 4);
        assert_eq!((cache.get(&1), cache.get(&2), cache.get(&3)), (Some('a'), None, Some('c')));
        assert_eq!((cache.bytes, cache.order.len(), cache.held.len()), (8, 2, 2));
        cache.put(1, 'd', 10);
        assert_eq!((cache.get(&1), cache.contains(&3), cache.bytes), (Some('d'), false, 10));
        cache.put(4, 'e', 11);
        assert_eq!((cache.contains(&4), cache.contains(&1), cache.bytes), (false, true, 10));
        cache.put(1, 'f', 11);
        assert_eq!((cache.bytes, cache.order.len(), cache.held.len()), (0, 0, 0));
    }
}
