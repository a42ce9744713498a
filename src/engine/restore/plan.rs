//! The order in which a window's pieces are fetched: pure, so that it can be tested by itself.
//!
//! Pieces are taken in the order of their blobs in the packs, so each blob is read once and packs are read from front to
//! back. A file is open from its first piece to its last, and files are only so many at a time: one that would be too many
//! is put off, with all its pieces, to a further pass over the rest. Files of one piece are never put off, and files
//! of many pieces have nearly all of them in blobs of their own, so hardly anything is read twice for it.

use crate::id::ChunkId;
use std::ops::Range;

/// A piece of a file: a chunk at its place in a blob, and where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Which blob. Blobs are numbered in the order of their packs and within them.
    pub(super) blob: u32,
    /// Where the chunk begins in the blob's plaintext, in bytes.
    pub(super) offset: u32,
    /// Its length, in bytes.
    pub(super) len: u32,
    /// Which of the window's files.
    pub(super) file: u32,
    /// Where it goes in the file, in bytes.
    pub(super) at: u64,
    /// What it has to be.
    pub(super) id: ChunkId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    Undecided,
    Taken,
    PutOff,
}

/// Puts extents in the order in which they are fetched, with at most `open_max` files of `files` between their first and
/// last piece anywhere in it.
pub(super) fn order(extents: Vec<Extent>, files: usize, open_max: usize) -> Vec<Extent> {
    let mut rest = extents;
    rest.sort_unstable_by_key(|e| (e.blob, e.offset, e.len, e.file, e.at));
    let mut ordered = Vec::with_capacity(rest.len());
    let mut ends = vec![(u32::MAX, 0_u32); files];
    let mut choices = vec![Choice::Undecided; files];
    while !rest.is_empty() {
        ends.fill((u32::MAX, 0));
        choices.fill(Choice::Undecided);
        for (index, extent) in (0_u32..).zip(&rest) {
            let (first, last) = &mut ends[extent.file as usize];
            (*first, *last) = ((*first).min(index), index);
        }
        let mut open = 0;
        let mut put_off = Vec::new();
        for (index, extent) in (0_u32..).zip(&rest) {
            let (first, last) = ends[extent.file as usize];
            let choice = &mut choices[extent.file as usize];
            if *choice == Choice::Undecided {
                let takes_one = usize::from(first < last);
                *choice = if open + takes_one <= open_max.max(1) { Choice::Taken } else { Choice::PutOff };
                open += if *choice == Choice::Taken { takes_one } else { 0 };
            }
            if *choice == Choice::PutOff {
                put_off.push(*extent);
                continue;
            }
            ordered.push(*extent);
            if first < last && index == last {
                open -= 1;
            }
        }
        rest = put_off;
    }
    ordered
}

/// Runs of extents that are one job: those in one blob, and in the blobs after it that one request should bring, as
/// `together` says of the first blob, the last one so far and the next.
pub(super) fn jobs(extents: &[Extent], together: impl Fn(u32, u32, u32) -> bool) -> impl Iterator<Item = Range<usize>> {
    let mut blobs = extents.chunk_by(|a, b| a.blob == b.blob).map(|run| (run[0].blob, run.len())).peekable();
    let mut start = 0;
    std::iter::from_fn(move || {
        let (first, mut len) = blobs.next()?;
        let mut last = first;
        while let Some((next, more)) = blobs.next_if(|(next, _)| together(first, last, *next)) {
            (last, len) = (next, len + more);
        }
        let range = start..start + len;
        start = range.end;
        Some(range)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::{Randomness, SeededRandom};

    fn extent(blob: u32, offset: u32, file: u32) -> Extent {
        Extent { blob, offset, len: 1, file, at: 0, id: ChunkId::from_bytes([0; 32]) }
    }

    /// Most files that are between their first and last extent at any place.
    fn most_open(extents: &[Extent]) -> usize {
        let span = |file: u32| {
            let at = |e: &Extent| e.file == file;
            (extents.iter().position(at), extents.iter().rposition(at))
        };
        let is_open = |index: usize, file: u32| {
            let (first, last) = span(file);
            first < last && first <= Some(index) && Some(index) <= last
        };
        let files: std::collections::BTreeSet<_> = extents.iter().map(|e| e.file).collect();
        (0..extents.len()).map(|i| files.iter().filter(|f| is_open(i, **f)).count()).max().unwrap_or(0)
    }

    #[test]
    fn blobs_are_read_in_order_and_once_when_few_files_are_open() {
        let extents = vec![extent(3, 0, 0), extent(1, 5, 0), extent(1, 0, 1), extent(2, 0, 2), extent(1, 5, 2)];
        let ordered = order(extents, 3, 8);
        let apart = |_, _, _| false;
        let blobs: Vec<_> = jobs(&ordered, apart).map(|range| ordered[range.start].blob).collect();
        assert_eq!(blobs, [1, 2, 3]);
        assert_eq!(jobs(&ordered, apart).map(|range| range.len()).sum::<usize>(), 5);
        assert!(jobs(&[], apart).next().is_none());
        let pairs = |first, last, next| last == first && next == first + 1;
        assert_eq!(jobs(&ordered, pairs).collect::<Vec<_>>(), [0..4, 4..5]);
    }

    #[test]
    fn no_more_files_are_open_than_may_be_and_nothing_is_lost() {
        let random: &dyn Randomness = &SeededRandom::new(20);
        for round in 0..200 {
            let bytes = random.bytes::<120>().unwrap_or([0; 120]);
            let files = usize::from(bytes[0] % 20) + 1;
            let limit = usize::from(bytes[1] % 6) + 1;
            let extents: Vec<_> = bytes[2..]
                .chunks_exact(3)
                .map(|b| extent(u32::from(b[0] % 8), u32::from(b[1] % 4), u32::from(b[2]) % files as u32))
                .collect();
            let ordered = order(extents.clone(), files, limit);
            assert!(most_open(&ordered) <= limit, "round {round} of seed 20: {} > {limit}", most_open(&ordered));
            let sorted = |mut list: Vec<Extent>| {
                list.sort_by_key(|e| (e.blob, e.offset, e.file));
                list
            };
            assert_eq!(sorted(ordered), sorted(extents), "round {round} of seed 20");
        }
    }
}
