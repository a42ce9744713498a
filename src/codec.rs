//! Compression: zstd with reused contexts and a bound on what comes out.
//!
//! A compressed part is one codec byte (0 = stored, 1 = zstd frame) and the data.

use std::fmt;

const STORED: u8 = 0;
const ZSTD: u8 = 1;

/// First bytes of a zstd frame that has content (RFC 8878).
const FRAME_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Highest level accepted; above it zstd's memory grows out of proportion.
pub const LEVEL_MAX: i32 = 19;

/// Why data could not be compressed or expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// No codec byte, or one that is not known.
    #[error("unknown compression")]
    Unknown,
    /// The result has another length than it has to have.
    #[error("expanded length differs from the recorded one")]
    Length,
    /// Not one zstd frame with content, and nothing else.
    #[error("not one zstd frame")]
    Frame,
    /// zstd refused.
    #[error("zstd: {0}")]
    Zstd(String),
}

/// How hard to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Not at all.
    Off,
    /// zstd's level.
    Zstd(i32),
}

impl Default for Level {
    fn default() -> Self {
        Self::Zstd(3)
    }
}

/// A reusable compressor; one for each thread.
pub struct Compressor(Option<zstd::bulk::Compressor<'static>>);

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Compressor(..)")
    }
}

impl Compressor {
    /// A compressor of this level.
    ///
    /// # Errors
    /// [`CodecError::Zstd`] when the level is out of range or memory is short.
    pub fn new(level: Level) -> Result<Self, CodecError> {
        match level {
            Level::Off => Ok(Self(None)),
            Level::Zstd(level) => {
                let level = level.clamp(-7, LEVEL_MAX);
                zstd::bulk::Compressor::new(level).map(|c| Self(Some(c))).map_err(|e| CodecError::Zstd(e.to_string()))
            }
        }
    }

    /// Replaces `out` by the codec byte and `plain`, compressed if that saves at least one byte in 64.
    ///
    /// # Errors
    /// [`CodecError::Zstd`] when zstd fails.
    pub fn compress(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.clear();
        if let Some(zstd) = &mut self.0 {
            out.resize(1 + zstd::zstd_safe::compress_bound(plain.len()), 0);
            out[0] = ZSTD;
            let written = zstd.compress_to_buffer(plain, &mut out[1..]).map_err(|e| CodecError::Zstd(e.to_string()))?;
            if written + plain.len() / 64 < plain.len() {
                out.truncate(1 + written);
                return Ok(());
            }
            out.clear();
        }
        out.reserve(1 + plain.len());
        out.push(STORED);
        out.extend_from_slice(plain);
        Ok(())
    }
}

/// A reusable decompressor; one for each thread.
pub struct Decompressor(zstd::bulk::Decompressor<'static>);

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decompressor(..)")
    }
}

impl Decompressor {
    /// A decompressor.
    ///
    /// # Errors
    /// [`CodecError::Zstd`] when memory is short.
    pub fn new() -> Result<Self, CodecError> {
        zstd::bulk::Decompressor::new().map(Self).map_err(|e| CodecError::Zstd(e.to_string()))
    }

    /// Replaces `out` by what [`Compressor::compress`] was given, which has to be exactly `len` bytes long. The caller
    /// bounds `len`; no more than that is ever allocated.
    ///
    /// # Errors
    /// [`CodecError`] for an unknown codec byte, a broken frame, or another length.
    pub fn expand(&mut self, packed: &[u8], len: usize, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let (codec, data) = packed.split_first().ok_or(CodecError::Unknown)?;
        out.clear();
        match *codec {
            STORED if data.len() == len => out.extend_from_slice(data),
            STORED => return Err(CodecError::Length),
            ZSTD => {
                // zstd itself would go on to further frames, and over frames that are to be skipped.
                let frame = zstd::zstd_safe::find_frame_compressed_size(data)
                    .map_err(|code| CodecError::Zstd(zstd::zstd_safe::get_error_name(code).into()))?;
                if frame != data.len() || !data.starts_with(&FRAME_MAGIC) {
                    return Err(CodecError::Frame);
                }
                out.resize(len, 0);
                let written =
                    self.0.decompress_to_buffer(data, &mut out[..]).map_err(|e| CodecError::Zstd(e.to_string()))?;
                if written != len {
                    return Err(CodecError::Length);
                }
            }
            _ => return Err(CodecError::Unknown),
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_bounds() {
        let (mut c, mut d) = (Compressor::new(Level::default()).unwrap(), Decompressor::new().unwrap());
        let (mut packed, mut plain) = (Vec::new(), Vec::new());
        let text = b"the same words again and again ".repeat(100);
        c.compress(&text, &mut packed).unwrap();
        assert!(packed.len() < text.len() / 4);
        d.expand(&packed, text.len(), &mut plain).unwrap();
        assert_eq!(plain, text);
        assert!(d.expand(&packed, text.len() - 1, &mut plain).is_err(), "a bomb would expand beyond what is recorded");
        assert_eq!(d.expand(&packed, text.len() + 1, &mut plain), Err(CodecError::Length));
        c.compress(b"", &mut packed).unwrap();
        d.expand(&packed, 0, &mut plain).unwrap();
        assert!(plain.is_empty());
        assert_eq!(d.expand(&[9, 1], 1, &mut plain), Err(CodecError::Unknown));
        assert_eq!(d.expand(&[], 0, &mut plain), Err(CodecError::Unknown));
    }

    #[test]
    fn a_part_is_one_frame_with_content() {
        let (mut c, mut d) = (Compressor::new(Level::default()).unwrap(), Decompressor::new().unwrap());
        let (mut packed, mut plain) = (Vec::new(), Vec::new());
        let text = [7; 1000];
        c.compress(&text, &mut packed).unwrap();
        let twice = [packed.as_slice(), &packed[1..]].concat();
        assert_eq!(d.expand(&twice, 2000, &mut plain), Err(CodecError::Frame), "two frames");
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18][..], &3_u32.to_le_bytes(), b"abc"].concat();
        let before = [&[ZSTD], skippable.as_slice(), &packed[1..]].concat();
        let behind = [packed.as_slice(), &skippable].concat();
        for bytes in [[&[ZSTD], skippable.as_slice()].concat(), before, behind, [packed.as_slice(), b"x"].concat()] {
            assert!(d.expand(&bytes, 1000, &mut plain).is_err(), "{bytes:?}");
            assert!(d.expand(&bytes, 0, &mut plain).is_err(), "{bytes:?}");
        }
        assert_eq!(d.expand(&packed, 1000, &mut plain), Ok(()));
    }
}
