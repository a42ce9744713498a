//! Who stores what: each new chunk is claimed once, before it is compressed, so no two threads ever store the same one.

use crate::format::pack::PackKind;
use crate::id::IndexKey;
use crate::repository::index::Index;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

const SHARDS: usize = 64;

/// What a session may refer to: the view's index, adopted packs, and what it claimed itself.
#[derive(Debug)]
pub struct Claims {
    known: Arc<Index>,
    adopted: Index,
    data: Vec<Mutex<HashSet<IndexKey>>>,
    meta: Vec<Mutex<HashSet<IndexKey>>>,
}

impl Claims {
    /// Claims on top of a view's index and adopted packs.
    pub fn new(known: Arc<Index>, adopted: Index) -> Self {
        let shards = || (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { known, adopted, data: shards(), meta: shards() }
    }

    /// Whether the caller has to store it. At most one caller is told so for each key.
    pub fn claim(&self, kind: PackKind, key: IndexKey) -> bool {
        if self.known.contains(kind, &key) || self.adopted.contains(kind, &key) {
            return false;
        }
        let shards = match kind {
            PackKind::Data => &self.data,
            PackKind::Meta => &self.meta,
        };
        let shard = &shards[usize::from(key.as_bytes()[0]) % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner).insert(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_many_threads_gets_each_claim() {
        let claims = Claims::new(Arc::default(), Index::default());
        let won = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 0..1000_u16 {
                        let mut key = [0; 16];
                        key[..2].copy_from_slice(&n.to_le_bytes());
                        if claims.claim(PackKind::Data, IndexKey::from_bytes(key)) {
                            won.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(won.into_inner(), 1000);
    }
}
