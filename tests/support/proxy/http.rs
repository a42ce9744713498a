//! As much of HTTP/1.1 as a proxy needs: message heads as they are, and bodies by length, in chunks or until the end.
//!
//! A head is written as it was read, fields in their order, so that what was signed stays signed. Trailers are dropped.

use std::io::{self, BufRead, ErrorKind, Write};

/// Most bytes of a head or of a chunk's line.
const HEAD_BYTES_MAX: u64 = 256 << 10;
/// Most content that one piece holds.
const PIECE_BYTES_MAX: usize = 64 << 10;

/// The first line of a message and its fields.
#[derive(Debug, Clone)]
pub struct Head {
    pub start: String,
    pub fields: Vec<(String, String)>,
}

impl Head {
    pub fn new(start: impl Into<String>) -> Self {
        Self { start: start.into(), fields: Vec::new() }
    }

    /// Reads a head; nothing if the peer ended before its first byte.
    pub fn read(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let Some(start) = line(reader)? else { return Ok(None) };
        let mut head = Self::new(start);
        loop {
            let text = line(reader)?.ok_or(ErrorKind::UnexpectedEof)?;
            if text.is_empty() {
                return Ok(Some(head));
            }
            let (name, value) = text.split_once(':').ok_or(ErrorKind::InvalidData)?;
            head.fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    /// A word of the first line: 0 and 1 are a request's method and target, 1 is an answer's status.
    fn word(&self, index: usize) -> &str {
        self.start.split(' ').nth(index).unwrap_or_default()
    }

    pub fn method(&self) -> &str {
        self.word(0)
    }

    pub fn target(&self) -> &str {
        self.word(1)
    }

    pub fn status(&self) -> u16 {
        self.word(1).parse().unwrap_or(0)
    }

    /// The value of the first field of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn remove(&mut self, name: &str) {
        self.fields.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.fields.push((name.to_owned(), value.to_owned()));
    }

    /// Whether a field's list contains a word.
    fn says(&self, name: &str, word: &str) -> bool {
        self.get(name).is_some_and(|list| list.split(',').any(|item| item.trim().eq_ignore_ascii_case(word)))
    }

    pub fn closes(&self) -> bool {
        self.says("connection", "close")
    }

    pub fn expects_continue(&self) -> bool {
        self.says("expect", "100-continue")
    }

    pub fn length(&self) -> Option<u64> {
        self.get("content-length")?.parse().ok()
    }

    /// How a request with this head delimits its body.
    pub fn request_framing(&self) -> Framing {
        if self.says("transfer-encoding", "chunked") {
            Framing::Chunked
        } else {
            Framing::Length(self.length().unwrap_or(0))
        }
    }

    /// How an answer with this head to a request of that method delimits its body.
    pub fn answer_framing(&self, method: &str) -> Framing {
        if method == "HEAD" || matches!(self.status(), 100..=199 | 204 | 304) {
            Framing::Length(0)
        } else if self.says("transfer-encoding", "chunked") {
            Framing::Chunked
        } else {
            self.length().map_or(Framing::UntilEnd, Framing::Length)
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.start);
        for (name, value) in &self.fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text.into_bytes()
    }
}

/// How a body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    Length(u64),
    Chunked,
    UntilEnd,
}

impl Framing {
    /// Writes content that this framing delimits.
    pub fn write(self, writer: &mut impl Write, content: &[u8]) -> io::Result<()> {
        if self == Self::Chunked && !content.is_empty() {
            // In one call: a chunk in three small segments would be slowed down by delayed acknowledgements.
            let mut chunk = format!("{:x}\r\n", content.len()).into_bytes();
            chunk.extend_from_slice(content);
            chunk.extend_from_slice(b"\r\n");
            return writer.write_all(&chunk);
        }
        writer.write_all(content)
    }

    /// Writes what stands behind the content.
    pub fn end(self, writer: &mut impl Write) -> io::Result<()> {
        if self == Self::Chunked { writer.write_all(b"0\r\n\r\n") } else { Ok(()) }
    }
}

enum State {
    Length(u64),
    ChunkLine,
    Chunk(u64),
    UntilEnd,
    Done,
}

/// The content of a body, piece by piece, without its framing.
pub struct Body<'a, R> {
    reader: &'a mut R,
    state: State,
}

impl<'a, R: BufRead> Body<'a, R> {
    pub fn new(reader: &'a mut R, framing: Framing) -> Self {
        let state = match framing {
            Framing::Length(len) => State::Length(len),
            Framing::Chunked => State::ChunkLine,
            Framing::UntilEnd => State::UntilEnd,
        };
        Self { reader, state }
    }

    /// Whether it is known that no content follows.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Length(0) | State::Done)
    }

    /// Puts the next content into `piece`; false at the end. An end before its time is an error.
    pub fn next(&mut self, piece: &mut Vec<u8>) -> io::Result<bool> {
        piece.clear();
        loop {
            match self.state {
                State::Length(0) | State::Done => return Ok(false),
                State::Length(left) => {
                    self.state = State::Length(left - self.take(left, piece)?);
                    return Ok(true);
                }
                State::UntilEnd => match self.take(u64::MAX, piece) {
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => self.state = State::Done,
                    result => return result.map(|_| true),
                },
                State::ChunkLine => {
                    let text = line(self.reader)?.ok_or(ErrorKind::UnexpectedEof)?;
                    let digits = text.split(';').next().unwrap_or_default().trim();
                    let len = u64::from_str_radix(digits, 16).map_err(|_| ErrorKind::InvalidData)?;
                    self.state = if len == 0 { State::Done } else { State::Chunk(len) };
                    // Trailers, up to an empty line.
                    while len == 0 && !line(self.reader)?.ok_or(ErrorKind::UnexpectedEof)?.is_empty() {}
                }
                State::Chunk(left) => {
                    let left = left - self.take(left, piece)?;
                    self.state = State::Chunk(left);
                    if left == 0 {
                        line(self.reader)?;
                        self.state = State::ChunkLine;
                    }
                    return Ok(true);
                }
            }
        }
    }

    /// Moves what there is, at most `limit` bytes, into `piece`.
    fn take(&mut self, limit: u64, piece: &mut Vec<u8>) -> io::Result<u64> {
        let there = loop {
            match self.reader.fill_buf() {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        let len = there.len().min(PIECE_BYTES_MAX).min(usize::try_from(limit).unwrap_or(usize::MAX));
        if len == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        piece.extend_from_slice(&there[..len]);
        self.reader.consume(len);
        Ok(len as u64)
    }
}

/// A line without its end; nothing if the peer ended before it.
fn line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    io::Read::take(&mut *reader, HEAD_BYTES_MAX).read_until(b'\n', &mut bytes)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.pop() != Some(b'\n') {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}
