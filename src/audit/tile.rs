//! The tree as files (C2SP `tlog-tiles`): tiles of 256 hashes at each level, and bundles of entries.
#![expect(clippy::disallowed_methods, reason = "C2SP writes numbers with the most significant byte first")]

use crate::audit::merkle::{Frontier, Hash};

/// Hashes of a full tile, entries of a full bundle.
pub const TILE_WIDTH: usize = 256;
/// Longest entry of a bundle, in bytes.
pub const ENTRY_LEN_MAX: usize = 65_535;

/// A file of the layout: its path, and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TileFile {
    /// Relative to the log's folder.
    pub path: String,
    /// Hashes one after the other, or entries with their lengths before them.
    pub bytes: Vec<u8>,
}

/// A tile's number in groups of three digits, all but the last with an `x` before them.
fn number(mut n: usize) -> String {
    let mut text = format!("{:03}", n % 1000);
    while n >= 1000 {
        n /= 1000;
        text = format!("x{:03}/{text}", n % 1000);
    }
    text
}

fn path(level: &str, n: usize, width: usize) -> String {
    let partial = if width < TILE_WIDTH { format!(".p/{width}") } else { String::new() };
    format!("tile/{level}/{}{partial}", number(n))
}

/// All files of a log with these leaves. `None` if one of them is too long for a bundle.
pub fn files(leaves: &[&[u8]], hashes: &[Hash]) -> Option<Vec<TileFile>> {
    let mut files = Vec::new();
    for (n, bundle) in leaves.chunks(TILE_WIDTH).enumerate() {
        let mut bytes = Vec::new();
        for entry in bundle {
            bytes.extend_from_slice(&u16::try_from(entry.len()).ok()?.to_be_bytes());
            bytes.extend_from_slice(entry);
        }
        files.push(TileFile { path: path("entries", n, bundle.len()), bytes });
    }
    let mut row = hashes.to_vec();
    for level in 0.. {
        if row.is_empty() {
            break;
        }
        let mut above = Vec::new();
        for (n, tile) in row.chunks(TILE_WIDTH).enumerate() {
            files.push(TileFile { path: path(&level.to_string(), n, tile.len()), bytes: tile.concat() });
            // A node of the next level stands for a full tile.
            if tile.len() == TILE_WIDTH {
                above.push(Frontier::of(tile).root());
            }
        }
        row = above;
    }
    Some(files)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::audit::merkle::leaf_hash;

    #[test]
    fn numbers_are_grouped_as_specified() {
        for (n, text) in [(0, "000"), (999, "999"), (1000, "x001/000"), (1_234_067, "x001/x234/067")] {
            assert_eq!(number(n), text);
        }
    }

    #[test]
    fn a_log_is_full_tiles_and_partial_ones() {
        let leaves: Vec<Vec<u8>> = (0..600_u32).map(|n| n.to_le_bytes().to_vec()).collect();
        let leaves: Vec<&[u8]> = leaves.iter().map(Vec::as_slice).collect();
        let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
        let files = files(&leaves, &hashes).unwrap();
        let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        let expected = [
            "tile/entries/000",
            "tile/entries/001",
            "tile/entries/002.p/88",
            "tile/0/000",
            "tile/0/001",
            "tile/0/002.p/88",
            "tile/1/000.p/2",
        ];
        assert_eq!(paths, expected);
        assert_eq!(files[0].bytes[..6], [0, 4, 0, 0, 0, 0]);
        assert_eq!(files[5].bytes.len(), 88 * 32);
        assert_eq!(files[6].bytes[..32], Frontier::of(&hashes[..256]).root());
    }
}
