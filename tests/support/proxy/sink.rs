//! A second server: takes what it is sent, counts it, and answers as it was told to.

use super::answer::Answer;
use super::http::{Body, Head};
use super::listener::{Listener, Socket};
use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A request that reached the server, with its body as far as it came.
#[derive(Debug, Clone)]
pub struct Received {
    pub head: Head,
    pub body: Vec<u8>,
    /// Whether the body came to its end.
    pub is_whole: bool,
}

#[derive(Default)]
struct Counters {
    connections: AtomicU64,
    bytes: AtomicU64,
    content_bytes: AtomicU64,
    requests: Mutex<Vec<Received>>,
}

type Handler = dyn Fn(&Received) -> Answer + Send + Sync;

/// A server that keeps an account of what it gets.
pub struct Sink {
    listener: Listener,
    counters: Arc<Counters>,
}

impl Sink {
    /// Answers everything with 200 and an entity tag, as a store that has just stored something.
    pub fn start() -> Self {
        Self::answering(|_| Answer::new(200).field("ETag", "\"0\""))
    }

    /// Answers every request as the function says.
    pub fn answering(handler: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Self {
        let counters = Arc::new(Counters::default());
        let (counted, handler): (_, Arc<Handler>) = (Arc::clone(&counters), Arc::new(handler));
        let listener = Listener::start(move |client, _| {
            counted.connections.fetch_add(1, SeqCst);
            // An error is a client that went away.
            let _ = serve(&client, &counted, &*handler);
        });
        Self { listener: listener.expect("a free port"), counters }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// As a URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Connections that were made, whether or not anything came over them.
    pub fn connections(&self) -> u64 {
        self.counters.connections.load(SeqCst)
    }

    /// All bytes that arrived, whatever they were.
    pub fn bytes(&self) -> u64 {
        self.counters.bytes.load(SeqCst)
    }

    /// Waits until so many bytes have arrived.
    ///
    /// # Panics
    /// After two minutes.
    pub fn wait_for_bytes(&self, bytes: u64) {
        for _ in 0..12_000 {
            if self.bytes() >= bytes {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{bytes} bytes were waited for, {} came", self.bytes());
    }

    /// Bytes of request bodies.
    pub fn content_bytes(&self) -> u64 {
        self.counters.content_bytes.load(SeqCst)
    }

    /// The requests whose treatment has ended or broken off, in that order.
    pub fn requests(&self) -> Vec<Received> {
        self.counters.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Counted<'a> {
    stream: &'a TcpStream,
    bytes: &'a AtomicU64,
}

impl Read for Counted<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.stream.read(buf)?;
        self.bytes.fetch_add(len as u64, SeqCst);
        Ok(len)
    }
}

fn serve(client: &Socket, counters: &Counters, handler: &Handler) -> io::Result<()> {
    let mut reader = BufReader::new(Counted { stream: client.stream(), bytes: &counters.bytes });
    while let Some(head) = Head::read(&mut reader)? {
        if head.expects_continue() {
            client.stream().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let mut received = Received { head, body: Vec::new(), is_whole: false };
        let mut body = Body::new(&mut reader, received.head.request_framing());
        let mut piece = Vec::new();
        let result = loop {
            match body.next(&mut piece) {
                Ok(true) => {
                    counters.content_bytes.fetch_add(piece.len() as u64, SeqCst);
                    received.body.extend_from_slice(&piece);
                }
                end => break end,
            }
        };
        received.is_whole = result.is_ok();
        let answer = handler(&received);
        let (method, close) = (received.head.method().to_owned(), received.head.closes());
        counters.requests.lock().unwrap_or_else(PoisonError::into_inner).push(received);
        result?;
        answer.write(&mut client.stream(), &method, close)?;
        if close {
            break;
        }
    }
    Ok(())
}
