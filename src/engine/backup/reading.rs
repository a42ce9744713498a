//! Reading a file without its holes: they read as the zeros that they are, and cost no request to the system. A long one costs
//! nothing at all, since every piece of it but the first is cut like the one before.

use crate::engine::context::EngineError;
use crate::fs::{FsError, Holes, SourceFile, SourceStream};

/// What is wrong with a file that has more pieces than a snapshot can name.
pub(super) const TOO_LONG: &str = "too long: it has more pieces than a snapshot can name";

/// A failure of the file (goes on the list) or of the store (ends the run).
pub(super) enum ScanError {
    File(FsError),
    /// See [`TOO_LONG`].
    TooLong,
    Run(EngineError),
}

impl From<FsError> for ScanError {
    fn from(error: FsError) -> Self {
        Self::File(error)
    }
}

impl From<EngineError> for ScanError {
    fn from(error: EngineError) -> Self {
        Self::Run(error)
    }
}

/// What is read from front to back.
pub(super) trait Fill {
    /// Reads what follows the first `offset` bytes until `buffer` is full or there is no more; returns how many bytes.
    ///
    /// # Errors
    /// What the source says.
    fn fill(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, ScanError>;

    /// How many bytes from `offset` on are a hole for certain.
    fn hole_at(&mut self, offset: u64) -> u64;
}

impl Fill for Reading<'_> {
    fn fill(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, ScanError> {
        Ok(self.read_at(offset, buffer)?)
    }

    fn hole_at(&mut self, offset: u64) -> u64 {
        Self::hole_at(self, offset)
    }
}

/// A stream: it is asked for each byte once, so where it stands need not be said.
pub(super) struct Streaming<'a>(pub(super) &'a mut dyn SourceStream);

impl Fill for Streaming<'_> {
    fn fill(&mut self, _: u64, buffer: &mut [u8]) -> Result<usize, ScanError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.0.read(&mut buffer[filled..]).map_err(EngineError::from)? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(filled)
    }

    fn hole_at(&mut self, _: u64) -> u64 {
        0
    }
}

/// A file and where its data are.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    file: &'a SourceFile,
    /// Whether to leave holes out; if not, all is taken for data.
    skips: bool,
    /// The part that was last asked for: a hole from here …
    hole: u64,
    /// … to here, and data from there …
    data: u64,
    /// … to here.
    end: u64,
}

impl<'a> Reading<'a> {
    pub(super) fn new(file: &'a SourceFile, holes: Holes) -> Self {
        Self { file, skips: holes == Holes::Known, hole: 0, data: 0, end: 0 }
    }

    /// Finds out what is at `offset`.
    fn locate(&mut self, offset: u64) {
        if offset >= self.hole && offset < self.end {
            return;
        }
        let size = self.file.stat().size;
        (self.hole, self.data, self.end) = match self.file.next_data(offset) {
            // What was appended since is read like data.
            _ if offset >= size => (offset, offset, u64::MAX),
            Some((data, end)) => (offset, data.min(size), end.max(offset + 1)),
            None => (offset, size, size),
        };
    }

    /// Reads at `offset` until `buffer` is full or the file ends; returns how many bytes.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, FsError> {
        if !self.skips {
            return self.file.read_at(offset, buffer);
        }
        let mut filled = 0;
        while filled < buffer.len() {
            let at = offset.saturating_add(filled as u64);
            self.locate(at);
            let rest = &mut buffer[filled..];
            let is_hole = at < self.data;
            let until = if is_hole { self.data } else { self.end };
            let len = usize::try_from(until - at).unwrap_or(usize::MAX).min(rest.len());
            if is_hole {
                rest[..len].fill(0);
                filled += len;
                continue;
            }
            let read = self.file.read_at(at, &mut rest[..len])?;
            filled += read;
            if read < len {
                break;
            }
        }
        Ok(filled)
    }

    fn hole_at(&mut self, offset: u64) -> u64 {
        if !self.skips {
            return 0;
        }
        self.locate(offset);
        self.data.saturating_sub(offset)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::fs::SourceDir;
    use std::os::unix::fs::FileExt;

    #[test]
    fn reads_the_same_with_and_without_leaving_out() {
        let dir = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(dir.path().join("f")).unwrap();
        file.set_len(1_000_000).unwrap();
        for at in [0, 5_000, 300_000, 700_001] {
            file.write_all_at(&[7; 9_000], at).unwrap();
        }
        let source = SourceDir::open_root(dir.path()).unwrap();
        let file = SourceFile::open(&source, b"f", &source.stat(b"f").unwrap()).unwrap();
        let read = |holes, step: usize| {
            let (mut reading, mut content, mut buffer) = (Reading::new(&file, holes), Vec::new(), vec![1; step]);
            loop {
                let len = reading.read_at(content.len() as u64, &mut buffer).unwrap();
                content.extend_from_slice(&buffer[..len]);
                if len < step {
                    return content;
                }
            }
        };
        let whole = read(Holes::None, 2_000_000);
        assert_eq!(whole.len(), 1_000_000);
        for step in [999, 4096, 65_536, 1_000_000, 2_000_000] {
            assert!(read(file.holes(), step) == whole, "{step}");
        }
        let mut reading = Reading::new(&file, file.holes());
        if file.holes() == Holes::Known {
            assert!((250_000..300_002).contains(&reading.hole_at(400_000)));
            assert!(reading.hole_at(800_000) == 200_000 && reading.hole_at(0) == 0);
            assert_eq!((reading.hole_at(1_000_000), reading.hole_at(2_000_000)), (0, 0));
        }
    }
}
