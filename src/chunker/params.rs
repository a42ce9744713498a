//! The chunker's sizes, part of a repository's configuration for ever.

/// Smallest average: 4 KiB.
const AVERAGE_LOG2_MIN: u8 = 12;
/// Largest average: 4 MiB, the bound of the cutting kernel.
const AVERAGE_LOG2_MAX: u8 = 22;
/// Longest chunk any reader has to expect, in bytes.
pub const CHUNK_LEN_MAX: usize = 16 << 20;

/// A size that no chunker is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("average chunk size must be a power of two from 4 KiB to 4 MiB, found 2^{average_log2} bytes")]
pub struct ParamsError {
    /// Binary logarithm of the refused average.
    pub average_log2: u8,
}

/// Sizes of the cutting algorithm 1 (keyed gear, normalisation 1): minimum = average / 4, maximum = average × 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkerParams {
    average_log2: u8,
}

impl Default for ChunkerParams {
    /// 64 KiB on average.
    fn default() -> Self {
        Self { average_log2: 16 }
    }
}

impl ChunkerParams {
    /// Sizes around an average of `2^average_log2` bytes.
    ///
    /// # Errors
    /// [`ParamsError`] when it is out of range.
    pub fn new(average_log2: u8) -> Result<Self, ParamsError> {
        if (AVERAGE_LOG2_MIN..=AVERAGE_LOG2_MAX).contains(&average_log2) {
            Ok(Self { average_log2 })
        } else {
            Err(ParamsError { average_log2 })
        }
    }

    /// Binary logarithm of the average.
    pub fn average_log2(self) -> u8 {
        self.average_log2
    }

    /// Average length in bytes.
    pub fn average(self) -> usize {
        1 << self.average_log2
    }

    /// No chunk but a file's last is shorter, in bytes.
    pub fn minimum(self) -> usize {
        self.average() / 4
    }

    /// No chunk is longer, in bytes.
    pub fn maximum(self) -> usize {
        self.average() * 4
    }

    /// Files shorter than this, in bytes, are one chunk.
    pub fn whole_file_below(self) -> u64 {
        self.average() as u64 * 2
    }
}
