//! Where to cut. The kernel is `fastcdc`'s public one; the table is ours, and golden vectors below hold the cuts still.

use crate::chunker::params::ChunkerParams;
use fastcdc::v2020::{Normalization, cut_gear, select_masks};

/// Cuts byte strings for one dataset.
pub struct Chunker {
    params: ChunkerParams,
    masks: [u64; 4],
    gear: Box<[u64; 256]>,
    gear_shifted: Box<[u64; 256]>,
}

impl std::fmt::Debug for Chunker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chunker").field("params", &self.params).finish_non_exhaustive()
    }
}

impl Chunker {
    /// A chunker whose 256 table entries are `table`, eight bytes each, little-endian.
    pub fn new(params: ChunkerParams, table: &[u8; 2048]) -> Self {
        let mut gear = Box::new([0; 256]);
        for (entry, bytes) in gear.iter_mut().zip(table.chunks_exact(8)) {
            let mut word = [0; 8];
            word.copy_from_slice(bytes);
            *entry = u64::from_le_bytes(word);
        }
        let gear_shifted = Box::new(gear.map(|entry| entry << 1));
        let (strict, loose) = select_masks(params.average(), Normalization::Level1);
        Self { params, masks: [strict, loose, strict << 1, loose << 1], gear, gear_shifted }
    }

    /// The sizes.
    pub fn params(&self) -> ChunkerParams {
        self.params
    }

    /// Length of the first chunk of `data`, which must be [`ChunkerParams::maximum`] bytes long or reach to the end of
    /// the file.
    pub fn cut(&self, data: &[u8]) -> usize {
        let [strict, loose, strict_shifted, loose_shifted] = self.masks;
        cut_gear(
            data,
            self.params.minimum(),
            self.params.average(),
            self.params.maximum(),
            strict,
            loose,
            strict_shifted,
            loose_shifted,
            &self.gear[..],
            &self.gear_shifted[..],
        )
        .1
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn stream(label: &str, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().update(label.as_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    }

    fn chunker(label: &str, log2: u8) -> Chunker {
        let mut table = [0; 2048];
        table.copy_from_slice(&stream(label, 2048));
        Chunker::new(ChunkerParams::new(log2).unwrap(), &table)
    }

    fn cuts(chunker: &Chunker, data: &[u8]) -> Vec<usize> {
        let (mut at, mut found) = (0, Vec::new());
        while at < data.len() {
            let end = data.len().min(at + chunker.params().maximum());
            at += chunker.cut(&data[at..end]);
            found.push(at);
        }
        found
    }

    /// The cuts of a repository are fixed for ever: a new kernel version that moves them must fail here.
    #[test]
    fn golden_cuts() {
        let found = cuts(&chunker("table", 12), &stream("data", 60_000));
        assert_eq!(found, GOLDEN);
    }
    const GOLDEN: [usize; 13] =
        [4280, 6454, 12723, 21490, 23957, 25730, 30141, 31878, 35711, 43227, 49386, 54140, 60000];

    /// The same for the default sizes, over 2 MiB: how many cuts, and the hash of their positions.
    #[test]
    fn golden_cuts_of_the_default_sizes() {
        let chunker = chunker("table", ChunkerParams::default().average_log2());
        let found = cuts(&chunker, &stream("data", 2 << 20));
        let positions: Vec<u8> = found.iter().flat_map(|cut| (*cut as u64).to_le_bytes()).collect();
        let hash = blake3::hash(&positions).to_hex();
        let golden = (24, "3f72947981bd5a2b2d07d5b997c853c8225e6c9d591f84e0def1643bf89626e5");
        assert_eq!((found.len(), hash.as_str()), golden, "{found:?}");
    }

    #[test]
    fn lengths_stay_within_bounds_and_cuts_resynchronise() {
        let chunker = chunker("other", 12);
        let data = stream("long", 1 << 20);
        let before = cuts(&chunker, &data);
        for pair in before.windows(2) {
            let len = pair[1] - pair[0];
            assert!(len <= chunker.params().maximum() && (len >= chunker.params().minimum() || pair[1] == data.len()));
        }
        let mut edited = data.clone();
        edited.splice(500_000..500_000, *b"inserted");
        let after: std::collections::HashSet<_> =
            cuts(&chunker, &edited).into_iter().map(|c| edited.len() - c).collect();
        let kept = before.iter().filter(|&&c| c > 520_000 && after.contains(&(data.len() - c))).count();
        assert!(kept > 100, "only {kept} cuts behind the edit were found again");
    }

    #[test]
    fn another_key_cuts_elsewhere() {
        let data = stream("data", 1 << 20);
        let (a, b) = (cuts(&chunker("one", 12), &data), cuts(&chunker("two", 12), &data));
        let common = a.iter().filter(|c| b.contains(c)).count();
        assert!(common < a.len() / 20, "{common} of {} cuts agree", a.len());
    }
}
