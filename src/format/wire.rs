//! Reading and writing of fields: little-endian, bounded, with one encoding for every value. The only place that slices
//! untrusted bytes. (`docs/format.md`, "Conventions".)

use crate::clock::Timestamp;

/// Why bytes are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Ends too early.
    #[error("{what} ends too early")]
    Truncated {
        /// What was being read.
        what: &'static str,
    },
    /// A number or length beyond its bound.
    #[error("{what} is beyond its limit ({value} > {limit})")]
    Limit {
        /// What was being read.
        what: &'static str,
        /// What was found.
        value: u64,
        /// The bound.
        limit: u64,
    },
    /// A value that may not occur.
    #[error("{what} is not valid")]
    Invalid {
        /// What was being read.
        what: &'static str,
    },
    /// Bytes are left over.
    #[error("{what} has trailing bytes")]
    Trailing {
        /// What was being read.
        what: &'static str,
    },
    /// Made by a newer cairn.
    #[error("{what} {value} is not known to this version of cairn")]
    Unknown {
        /// Version, type, suite, flag …
        what: &'static str,
        /// The value found.
        value: u64,
    },
    /// A sealed part does not open, or a commitment, MAC or signature does not fit.
    #[error("{what} is not authentic")]
    NotAuthentic {
        /// What failed.
        what: &'static str,
    },
    /// None of the keys at hand is a recipient.
    #[error("{what} is not sealed for the keys at hand")]
    NoRecipient {
        /// Which section.
        what: &'static str,
    },
    /// Content does not have the id it was asked for by.
    #[error("content does not match its id")]
    WrongId,
    /// Compression.
    #[error(transparent)]
    Codec(#[from] crate::codec::CodecError),
    /// Sealing or randomness failed while encoding.
    #[error("cannot seal: {0}")]
    Seal(String),
}

/// Result of decoding.
pub type Result<T> = std::result::Result<T, FormatError>;

/// A bounded cursor over untrusted bytes.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// Reads `bytes`; `what` names them in errors.
    pub fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    /// Bytes not yet read.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// [`FormatError::Truncated`].
    pub fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(FormatError::Truncated { what: self.what })?;
        self.rest = rest;
        Ok(head)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`FormatError::Truncated`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(FormatError::Truncated { what: self.what })?;
        self.rest = rest;
        Ok(*head)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`FormatError::Truncated`].
    pub fn u8(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Two bytes, little-endian.
    ///
    /// # Errors
    /// [`FormatError::Truncated`].
    pub fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// Four bytes, little-endian.
    ///
    /// # Errors
    /// [`FormatError::Truncated`].
    pub fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes, little-endian.
    ///
    /// # Errors
    /// [`FormatError::Truncated`].
    pub fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A variable-length number (LEB128, unsigned), in its shortest form.
    ///
    /// # Errors
    /// [`FormatError`] when it ends too early, is longer than needed, or exceeds 64 bits.
    #[inline]
    pub fn varint(&mut self) -> Result<u64> {
        let mut value = 0_u64;
        for index in 0..10 {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if index == 9 && bits > 1 {
                break;
            }
            value |= bits << (7 * index);
            if byte & 0x80 == 0 {
                if byte == 0 && index > 0 {
                    break;
                }
                return Ok(value);
            }
        }
        Err(FormatError::Invalid { what: self.what })
    }

    /// A variable-length number of at most `limit`.
    ///
    /// # Errors
    /// As [`Reader::varint`], and [`FormatError::Limit`].
    pub fn bounded(&mut self, limit: u64) -> Result<usize> {
        let value = self.varint()?;
        if value > limit {
            return Err(FormatError::Limit { what: self.what, value, limit });
        }
        usize::try_from(value).map_err(|_| FormatError::Limit { what: self.what, value, limit })
    }

    /// How many items of at least `item_len_min` bytes follow: at most `limit`, and no more than the rest can hold, so the
    /// caller may allocate for them.
    ///
    /// # Errors
    /// As [`Reader::bounded`], and [`FormatError::Truncated`].
    pub fn count(&mut self, limit: u64, item_len_min: usize) -> Result<usize> {
        let count = self.bounded(limit)?;
        if count.saturating_mul(item_len_min) > self.rest.len() {
            return Err(FormatError::Truncated { what: self.what });
        }
        Ok(count)
    }

    /// A signed number (zigzag, then variable-length).
    ///
    /// # Errors
    /// As [`Reader::varint`].
    pub fn signed(&mut self) -> Result<i64> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// A length of at most `limit` and that many bytes.
    ///
    /// # Errors
    /// As [`Reader::bounded`] and [`Reader::take`].
    pub fn bytes(&mut self, limit: usize) -> Result<&'a [u8]> {
        let len = self.bounded(limit as u64)?;
        self.take(len)
    }

    /// A length of at most `limit` and that many bytes of UTF-8 without control characters.
    ///
    /// # Errors
    /// As [`Reader::bytes`], and [`FormatError::Invalid`].
    pub fn text(&mut self, limit: usize) -> Result<&'a str> {
        let text = std::str::from_utf8(self.bytes(limit)?).map_err(|_| self.invalid())?;
        if is_text(text) { Ok(text) } else { Err(self.invalid()) }
    }

    /// A time: seconds (8 bytes, signed), nanoseconds (4 bytes).
    ///
    /// # Errors
    /// [`FormatError`] when it ends too early or the nanoseconds are a second or more.
    pub fn timestamp(&mut self) -> Result<Timestamp> {
        let seconds = self.array().map(i64::from_le_bytes)?;
        let nanoseconds = self.u32()?;
        if nanoseconds >= 1_000_000_000 {
            return Err(FormatError::Invalid { what: self.what });
        }
        Ok(Timestamp { seconds, nanoseconds })
    }

    /// Ends the reading: nothing may be left.
    ///
    /// # Errors
    /// [`FormatError::Trailing`].
    pub fn end(self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(FormatError::Trailing { what: self.what }) }
    }

    /// An error about what is being read.
    pub fn invalid(&self) -> FormatError {
        FormatError::Invalid { what: self.what }
    }
}

/// Whether this is what [`Reader::text`] reads: one line, without control characters.
pub fn is_text(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// Appends fields to a byte string.
#[derive(Debug, Default, Clone)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Continues a byte string.
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes written.
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }

    /// The bytes written so far.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// Number of bytes written so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Raw bytes.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    /// Two bytes, little-endian.
    pub fn u16(&mut self, value: u16) {
        self.raw(&value.to_le_bytes());
    }

    /// Four bytes, little-endian.
    pub fn u32(&mut self, value: u32) {
        self.raw(&value.to_le_bytes());
    }

    /// A variable-length number.
    #[inline]
    pub fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// A signed variable-length number.
    pub fn signed(&mut self, value: i64) {
        self.varint(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    /// A length and that many bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.raw(bytes);
    }

    /// A time.
    pub fn timestamp(&mut self, time: Timestamp) {
        self.raw(&time.seconds.to_le_bytes());
        self.u32(time.nanoseconds);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip_and_have_one_encoding() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut w = Writer::new();
            w.varint(value);
            w.signed(value.cast_signed());
            let bytes = w.into_vec();
            let mut r = Reader::new(&bytes, "test");
            assert_eq!((r.varint().unwrap(), r.signed().unwrap()), (value, value.cast_signed()));
            r.end().unwrap();
        }
        for bad in
            [&[0x80, 0x00][..], &[0xff; 10], &[0x80; 11], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]]
        {
            assert!(Reader::new(bad, "test").varint().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn counts_cannot_make_the_reader_allocate() {
        let mut w = Writer::new();
        w.varint(1 << 30);
        let bytes = w.into_vec();
        assert!(matches!(Reader::new(&bytes, "test").count(1 << 31, 32), Err(FormatError::Truncated { .. })));
        assert!(matches!(Reader::new(&bytes, "test").count(1 << 20, 32), Err(FormatError::Limit { .. })));
    }
}
