//! What each step of a backup costs for each byte on this machine, one thread: `cargo bench`. Medians of several rounds; compare
//! ratios, and never run it while something else compiles.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "a bench measures and prints")]

use cairn::chunker::{Chunker, ChunkerParams};
use cairn::codec::{Compressor, Decompressor, Level};
use cairn::crypto::aead::{Sealer, SectionKey};
use cairn::crypto::hash::ContentHasher;
use cairn::crypto::secret::Secret;
use std::hint::black_box;
use std::time::Instant;

const PIECE: usize = 1 << 20;
const PIECES: usize = 48;
const ROUNDS: usize = 7;

/// Text that compresses about as a database dump does: words picked at random.
fn text() -> Vec<u8> {
    let words = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "1024", "2048", "NULL", "'2026-11-22'"];
    let (mut state, mut out) = (1_u64, Vec::with_capacity(PIECE * PIECES + 64));
    while out.len() < PIECE * PIECES {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        out.extend_from_slice(words[(state >> 33) as usize % words.len()].as_bytes());
        out.extend_from_slice((state >> 50).to_string().as_bytes());
        out.push(b',');
    }
    out.truncate(PIECE * PIECES);
    out
}

fn noise() -> Vec<u8> {
    let mut out = vec![0; PIECE * PIECES];
    blake3::Hasher::new().finalize_xof().fill(&mut out);
    out
}

fn measure(name: &str, data: &[u8], mut run: impl FnMut(&[u8])) {
    let mut seconds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            data.chunks(PIECE).for_each(&mut run);
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    println!("{name:<28} {:>8.0} MB/s", data.len() as f64 / seconds[ROUNDS / 2] / 1e6);
}

fn main() {
    let mut table = [0; 2048];
    blake3::Hasher::new().update(b"table").finalize_xof().fill(&mut table);
    let chunker = Chunker::new(ChunkerParams::default(), &table);
    let hasher = ContentHasher::new(Secret::new([1; 32]), Secret::new([2; 32]));
    let sealer = Sealer::new(vec![SectionKey::new(&Secret::new([3; 32]), &[4; 32], 0)]);
    let (mut packed, mut plain) = (Vec::new(), Vec::new());
    for (kind, data) in [("text", text()), ("noise", noise())] {
        measure(&format!("{kind}: cut"), &data, |piece| {
            let mut at = 0;
            while at < piece.len() {
                at += chunker.cut(&piece[at..piece.len().min(at + chunker.params().maximum())]);
            }
        });
        measure(&format!("{kind}: chunk id"), &data, |piece| {
            for chunk in piece.chunks(64 << 10) {
                black_box(hasher.chunk(chunk));
            }
        });
        for level in [1, 3, 6] {
            let mut compressor = Compressor::new(Level::Zstd(level)).unwrap();
            measure(&format!("{kind}: zstd {level}"), &data, |piece| compressor.compress(piece, &mut packed).unwrap());
        }
        let mut compressor = Compressor::new(Level::default()).unwrap();
        compressor.compress(&data[..PIECE], &mut packed).unwrap();
        let frame = packed.clone();
        let mut decompressor = Decompressor::new().unwrap();
        measure(&format!("{kind}: expand"), &data, |piece| {
            decompressor.expand(&frame, piece.len(), &mut plain).unwrap();
        });
        let mut buffer = Vec::with_capacity(PIECE + 16);
        measure(&format!("{kind}: seal"), &data, |piece| {
            buffer.clear();
            buffer.extend_from_slice(piece);
            sealer.seal(sealer.number().unwrap(), 0, &mut [&mut buffer]).unwrap();
        });
    }
}
