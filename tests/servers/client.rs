//! A client that does what it is told, byte by byte, and sees how a connection ends.

use crate::proxy::Head;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

/// One connection.
pub(crate) struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        // A server that never answers is to fail a test, not to stop it.
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        Self { reader: BufReader::new(stream) }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// Sends a request with a body by length, and more fields (each with its line's end).
    pub(crate) fn send_request(&mut self, start: &str, fields: &str, body: &[u8]) -> io::Result<()> {
        let length = body.len();
        let head = format!("{start} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n{fields}\r\n");
        self.send(&[head.as_bytes(), body].concat())
    }

    /// Reads an answer to a request of that method.
    pub(crate) fn reply(&mut self, method: &str) -> io::Result<Reply> {
        let head = Head::read(&mut self.reader)?.ok_or(ErrorKind::UnexpectedEof)?;
        let mut body = Vec::new();
        if head.status() == 100 || method == "HEAD" {
            return Ok(Reply { head, body });
        }
        if head.get("transfer-encoding").is_some() {
            loop {
                let mut line = String::new();
                self.reader.read_line(&mut line)?;
                let len = usize::from_str_radix(line.trim(), 16).map_err(|_| ErrorKind::InvalidData)?;
                let mut chunk = vec![0; len + 2];
                self.reader.read_exact(&mut chunk)?;
                body.extend_from_slice(&chunk[..len]);
                if len == 0 {
                    break;
                }
            }
        } else if let Some(len) = head.length() {
            body.resize(usize::try_from(len).unwrap(), 0);
            self.reader.read_exact(&mut body)?;
        } else {
            self.reader.read_to_end(&mut body)?;
        }
        Ok(Reply { head, body })
    }

    pub(crate) fn request(&mut self, start: &str, body: &[u8]) -> io::Result<Reply> {
        self.send_request(start, "", body)?;
        self.reply(start.split(' ').next().unwrap())
    }

    /// How the connection stands: an end, or the error that is read. Content is an error of the test.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        let mut rest = Vec::new();
        self.reader.read_to_end(&mut rest)?;
        assert_eq!(String::from_utf8_lossy(&rest), "");
        Ok(())
    }
}

/// One request over a connection of its own.
pub(crate) fn once(address: SocketAddr, start: &str, body: &[u8]) -> io::Result<Reply> {
    Client::connect(address).request(start, body)
}

/// A client that goes where redirects send it, as careless ones do.
pub(crate) fn follow(address: SocketAddr, start: &str, body: &[u8]) -> io::Result<Reply> {
    let mut reply = once(address, start, body)?;
    for _ in 0..5 {
        let Some(location) = reply.head.get("location").filter(|_| (300..400).contains(&reply.head.status())) else {
            break;
        };
        let (host, path) = location.trim_start_matches("http://").split_once('/').unwrap();
        let start = format!("{} /{path}", start.split(' ').next().unwrap());
        reply = once(host.parse().unwrap(), &start, body)?;
    }
    Ok(reply)
}
