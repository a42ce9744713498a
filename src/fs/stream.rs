//! Streams of the host: what is read once, from its beginning to its end, and may break off. The traits are the door; what is
//! behind them (standard input, a command) belongs to whoever starts the backup.

use std::fmt;

/// Something that can be read from its beginning to its end, once for each time it is opened.
pub trait StreamSource: fmt::Debug + Send + Sync {
    /// Begins. Called when everything that could forbid the backup was found to be in order.
    ///
    /// # Errors
    /// [`StreamError`] when it cannot begin.
    fn open(&self) -> Result<Box<dyn SourceStream>, StreamError>;
}

/// A stream under way. Dropped before its end, it ends whatever makes it.
pub trait SourceStream: fmt::Debug {
    /// Reads what there is, but at least one byte; 0 at the end.
    ///
    /// # Errors
    /// [`StreamError`]: then there will be no snapshot.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, StreamError>;

    /// Asked once, after the end: whether what was read is all there was meant to be. Only then a snapshot is made.
    ///
    /// # Errors
    /// [`StreamError`] when it broke off.
    fn finish(&mut self) -> Result<(), StreamError>;
}

/// A stream that did not come to its proper end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// It could not be begun.
    #[error("{what} cannot be started")]
    Start {
        /// What makes the stream.
        what: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It could not be read.
    #[error("{what} cannot be read")]
    Read {
        /// What is read.
        what: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What makes it failed.
    #[error("{what} {how}; no snapshot was made")]
    Failed {
        /// What makes it.
        what: String,
        /// `ended with exit status 1`, `was killed by signal 9 (SIGKILL)`.
        how: String,
    },
    /// Told to stop.
    #[error("interrupted")]
    Interrupted,
}
