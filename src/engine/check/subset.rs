//! Which packs a check reads that does not read all: a share that rotates, or one that is drawn.

use crate::crypto::hash::StoredHasher;
use crate::id::PackId;
use std::collections::HashSet;
use std::num::NonZeroU32;

/// Which packs are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subset {
    /// The part with this number, from 1, of so many. A pack is in the part that the first eight bytes of its id say, as a
    /// little-endian number, modulo the number of parts: each is in exactly one, whatever is added or removed in between.
    Part {
        /// Which part, from 1.
        number: NonZeroU32,
        /// How many there are.
        of: NonZeroU32,
    },
    /// Packs in an order that the seed decides, until they have this share of all stored bytes; one at least.
    Share {
        /// Millionths.
        millionths: u32,
        /// Decides the order.
        seed: u64,
    },
    /// Packs in an order that the seed decides, until they have so many stored bytes; one at least.
    Bytes {
        /// Stored bytes.
        bytes: u64,
        /// Decides the order.
        seed: u64,
    },
}

/// A subset of the packs that are there.
#[derive(Debug)]
pub(super) enum Chosen {
    All,
    Part { number: u64, of: u64 },
    Drawn(HashSet<PackId>),
}

impl Chosen {
    /// Chooses among `packs`, each with its length in bytes.
    pub(super) fn new(subset: Option<Subset>, packs: impl Iterator<Item = (PackId, u64)>) -> Self {
        match subset {
            None => Self::All,
            Some(Subset::Part { number, of }) => {
                let of = u64::from(of.get());
                // The last part is the one whose remainder is 0.
                Self::Part { number: u64::from(number.get()) % of, of }
            }
            Some(Subset::Bytes { bytes, seed }) => draw(packs.collect(), bytes, seed),
            Some(Subset::Share { millionths, seed }) => {
                let packs: Vec<_> = packs.collect();
                let all: u128 = packs.iter().map(|(_, size)| u128::from(*size)).sum();
                let bytes = all * u128::from(millionths) / 1_000_000;
                draw(packs, u64::try_from(bytes).unwrap_or(u64::MAX), seed)
            }
        }
    }

    /// Whether it holds a pack.
    pub(super) fn has(&self, id: &PackId) -> bool {
        match self {
            Self::All => true,
            Self::Part { number, of } => {
                let mut first = [0; 8];
                first.copy_from_slice(&id.as_bytes()[..8]);
                u64::from_le_bytes(first) % of == *number
            }
            Self::Drawn(ids) => ids.contains(id),
        }
    }
}

fn draw(packs: Vec<(PackId, u64)>, bytes: u64, seed: u64) -> Chosen {
    let mut ranked: Vec<_> = packs
        .into_iter()
        .map(|(id, size)| {
            let mut hasher = StoredHasher::new();
            hasher.update(&seed.to_le_bytes());
            hasher.update(id.as_bytes());
            (hasher.finish(), id, size)
        })
        .collect();
    ranked.sort_unstable();
    let mut taken = 0_u64;
    let drawn = ranked.into_iter().take_while(|(_, _, size)| {
        let is_first = taken == 0;
        let is_wanted = is_first || taken < bytes;
        taken = taken.saturating_add((*size).max(1));
        is_wanted
    });
    Chosen::Drawn(drawn.map(|(_, id, _)| id).collect())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::crypto::hash;

    fn packs(count: u64) -> Vec<(PackId, u64)> {
        (0..count).map(|n| (hash::pack_id(&n.to_le_bytes()), 1000 + n % 7)).collect()
    }

    #[test]
    fn as_many_runs_as_there_are_parts_read_every_pack_once() {
        let packs = packs(500);
        for of in [1, 2, 7, 12, 499, 100_000] {
            let mut times = vec![0; packs.len()];
            for number in 1..=of {
                let subset =
                    Subset::Part { number: NonZeroU32::new(number).unwrap(), of: NonZeroU32::new(of).unwrap() };
                let chosen = Chosen::new(Some(subset), packs.iter().copied());
                for (time, (id, _)) in times.iter_mut().zip(&packs) {
                    *time += usize::from(chosen.has(id));
                }
                if of == 7 {
                    let share = packs.iter().filter(|(id, _)| chosen.has(id)).count();
                    assert!((40..110).contains(&share), "part {number} of 7 has {share} of 500");
                }
            }
            assert!(times.iter().all(|time| *time == 1), "of {of}");
        }
        assert!(packs.iter().all(|(id, _)| Chosen::new(None, [].into_iter()).has(id)));
    }

    #[test]
    fn a_draw_has_what_was_asked_for_and_depends_on_the_seed_alone() {
        let packs = packs(300);
        let all: u64 = packs.iter().map(|(_, size)| size).sum();
        let drawn = |subset| {
            let mut packs = packs.clone();
            let chosen = Chosen::new(Some(subset), packs.iter().copied());
            packs.retain(|(id, _)| chosen.has(id));
            packs
        };
        let size = |packs: &[(PackId, u64)]| packs.iter().map(|(_, size)| size).sum::<u64>();
        for (millionths, share) in [(100_000, all / 10), (500_000, all / 2), (1_000_000, all)] {
            let one = drawn(Subset::Share { millionths, seed: 1 });
            assert!((share..share + 1007).contains(&size(&one)), "{millionths}");
            assert_eq!(one, drawn(Subset::Share { millionths, seed: 1 }));
            assert!(millionths == 1_000_000 || one != drawn(Subset::Share { millionths, seed: 2 }));
        }
        assert_eq!(drawn(Subset::Bytes { bytes: 1, seed: 5 }).len(), 1);
        assert_eq!(drawn(Subset::Share { millionths: 0, seed: 5 }).len(), 1);
        assert_eq!(drawn(Subset::Bytes { bytes: u64::MAX, seed: 5 }).len(), 300);
        assert_eq!(size(&drawn(Subset::Bytes { bytes: 20_000, seed: 5 })) / 1000, 20);
        let none = Chosen::new(Some(Subset::Bytes { bytes: 5, seed: 1 }), [].into_iter());
        assert!(matches!(none, Chosen::Drawn(ids) if ids.is_empty()));
    }
}
