//! One client's connection: its requests, one after the other, each treated as the rules say.
//!
//! A request that is passed on is sent in this thread while its answer is read in a second one, since a server may answer
//! before it has read everything. Each request has its own connection to the server; when the answer is through, that
//! connection is closed.

use super::http::{Body, Framing, Head};
use super::listener::Socket;
use super::rules::{Action, Arrival, Log};
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

type Reader<'a> = BufReader<&'a TcpStream>;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Whether a connection can be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Keep,
    Close,
}

/// What all connections of a proxy share.
pub struct Exchange {
    pub server: SocketAddr,
    pub log: Arc<Log>,
}

impl Exchange {
    /// Serves a client until it or a fault ends the connection. Errors are a peer's disappearance, which is no news here.
    pub fn serve(&self, client: &Socket, connection: usize) {
        client.pause(self.log.connected(connection));
        let mut reader = BufReader::with_capacity(64 << 10, client.stream());
        while let Ok(Some(head)) = Head::read(&mut reader) {
            let arrival = self.log.arrive(connection, &head);
            let request = Request { log: &self.log, number: arrival.number, head, client };
            if !matches!(request.treat(self.server, arrival, &mut reader), Ok(Next::Keep)) {
                break;
            }
        }
    }
}

struct Request<'a> {
    log: &'a Log,
    number: usize,
    head: Head,
    client: &'a Socket,
}

impl Request<'_> {
    fn treat(&self, server: SocketAddr, arrival: Arrival, reader: &mut Reader<'_>) -> io::Result<Next> {
        self.client.pause(arrival.latency);
        match &arrival.action {
            Action::Reset => {
                self.drain(reader, true)?;
                self.client.reset();
                return Ok(Next::Close);
            }
            Action::Answer(answer) => {
                let close = self.head.closes() || self.head.expects_continue();
                self.drain(reader, false)?;
                // Noted first: who has the answer may look at once.
                self.log.answered(self.number, answer.status());
                answer.write(&mut self.client.stream(), self.head.method(), close)?;
                return Ok(if close { Next::Close } else { Next::Keep });
            }
            Action::Hang => {
                // Not before the body is there: the client is to wait for an answer, not for a leave to send.
                self.drain(reader, true)?;
                while reader.read(&mut [0; 4096])? > 0 {}
                return Ok(Next::Close);
            }
            Action::Latency(wait) => self.client.pause(*wait),
            Action::Call(call) => call(),
            _ => {}
        }
        let Ok(stream) = TcpStream::connect(server) else {
            // No server: the client sees what it would see without a proxy between, or nearly.
            self.client.reset();
            return Ok(Next::Close);
        };
        let server = self.client.sibling(stream);
        if let Action::ResetInBody(at) = arrival.action {
            self.break_off(at, &server, reader)?;
            return Ok(Next::Close);
        }
        self.pass_on(&arrival.action, &server, reader)
    }

    /// Reads the body and forgets it. A client that waits for leave to send gets it only if `invite`.
    fn drain(&self, reader: &mut Reader<'_>, invite: bool) -> io::Result<()> {
        if self.head.expects_continue() {
            if !invite {
                return Ok(());
            }
            self.client.stream().write_all(CONTINUE)?;
        }
        let mut body = Body::new(reader, self.head.request_framing());
        let mut piece = Vec::new();
        while body.next(&mut piece)? {
            self.log.add_body(self.number, piece.len() as u64);
        }
        Ok(())
    }

    /// Passes a part of the body on and breaks both connections.
    fn break_off(&self, at: u64, server: &Socket, reader: &mut Reader<'_>) -> io::Result<()> {
        let framing = self.head.request_framing();
        let at = match framing {
            Framing::Length(len) => at.min(len.saturating_sub(1)),
            _ => at,
        };
        self.client.reset();
        if framing == Framing::Length(0) {
            return Ok(());
        }
        let mut head = self.head.clone();
        head.remove("expect");
        server.stream().write_all(&head.bytes())?;
        if self.head.expects_continue() {
            self.client.stream().write_all(CONTINUE)?;
        }
        let mut body = Body::new(reader, framing);
        let (mut piece, mut sent) = (Vec::new(), 0);
        while sent < at && body.next(&mut piece)? {
            self.log.add_body(self.number, piece.len() as u64);
            piece.truncate(usize::try_from(at - sent).unwrap_or(usize::MAX));
            sent += piece.len() as u64;
            framing.write(&mut server.stream(), &piece)?;
        }
        server.reset();
        Ok(())
    }

    /// Passes the request on and the answer back.
    fn pass_on(&self, action: &Action, server: &Socket, reader: &mut Reader<'_>) -> io::Result<Next> {
        // Set when the client owes nothing any more: from then on the answer may come, and the connection can be kept.
        let is_sent = AtomicBool::new(false);
        let (sent, answered) = std::thread::scope(|scope| {
            let answer = scope.spawn(|| {
                let mut answer = AnswerWay { request: self, action, is_sent: &is_sent, invited: false };
                let result = answer.relay(server);
                if !is_sent.load(SeqCst) && self.head.expects_continue() && !answer.invited {
                    // The client has its answer and will not send the body that the other thread waits for.
                    self.client.end(Shutdown::Read);
                }
                server.end(Shutdown::Both);
                result
            });
            let sent = self.send(action, server, reader, &is_sent);
            if sent.is_err() {
                server.end(Shutdown::Both);
            }
            (sent, answer.join())
        });
        let answered = answered.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        if answered.is_err() {
            // The server broke off, or the client did: the one that is still there sees a broken connection.
            self.client.reset();
        }
        sent?;
        answered
    }

    /// Sends the request. What a server no longer takes is read nevertheless: its answer may be on the way.
    fn send(&self, action: &Action, server: &Socket, reader: &mut Reader<'_>, is_sent: &AtomicBool) -> io::Result<()> {
        let framing = self.head.request_framing();
        let mut head = self.head.clone();
        head.set("Connection", "close");
        let mut body = Body::new(reader, framing);
        is_sent.store(body.is_done(), SeqCst);
        let mut to = server.stream();
        let mut takes = to.write_all(&head.bytes()).is_ok();
        let (mut piece, mut at) = (Vec::new(), 0);
        while body.next(&mut piece)? {
            self.log.add_body(self.number, piece.len() as u64);
            if let Action::FlipRequest(byte) = action {
                flip(&mut piece, at, *byte, framing);
            }
            at += piece.len() as u64;
            if body.is_done() {
                is_sent.store(true, SeqCst);
            }
            let rate = if let Action::SlowRequest(rate) = action { Some(*rate) } else { None };
            takes = takes && self.write_at(rate, framing, &mut to, &piece).is_ok();
        }
        is_sent.store(true, SeqCst);
        if takes {
            let _ = framing.end(&mut to);
        }
        Ok(())
    }

    /// Writes content, at most so many bytes a second.
    fn write_at(&self, rate: Option<u64>, framing: Framing, to: &mut impl Write, content: &[u8]) -> io::Result<()> {
        let Some(rate) = rate else { return framing.write(to, content) };
        // Twenty portions a second.
        for portion in content.chunks(usize::try_from(rate / 20).unwrap_or(usize::MAX).max(1)) {
            self.client.pause(Duration::from_secs_f64(portion.len() as f64 / rate.max(1) as f64));
            framing.write(to, portion)?;
        }
        Ok(())
    }
}

/// Flips a bit in the byte of number `byte`, if it is in this piece, which begins at `at`.
fn flip(piece: &mut [u8], at: u64, byte: u64, framing: Framing) {
    let byte = match framing {
        Framing::Length(len) => byte % len.max(1),
        _ => byte,
    };
    if let Some(found) = byte.checked_sub(at).and_then(|index| piece.get_mut(usize::try_from(index).ok()?)) {
        *found ^= 1;
    }
}

/// The way of an answer from the server to the client.
struct AnswerWay<'a> {
    request: &'a Request<'a>,
    action: &'a Action,
    is_sent: &'a AtomicBool,
    /// Whether the client was told to send its body.
    invited: bool,
}

impl AnswerWay<'_> {
    fn relay(&mut self, server: &Socket) -> io::Result<Next> {
        let (request, client) = (self.request, self.request.client);
        let mut from = BufReader::with_capacity(64 << 10, server.stream());
        let head = loop {
            let head = Head::read(&mut from)?.ok_or(ErrorKind::UnexpectedEof)?;
            if !matches!(head.status(), 100..=199) {
                break head;
            }
            self.invited |= head.status() == 100;
            client.stream().write_all(&head.bytes())?;
        };
        let from_server = head.answer_framing(request.head.method());
        let mut body = Body::new(&mut from, from_server);
        if let Action::DropAnswer = self.action {
            let mut piece = Vec::new();
            while body.next(&mut piece)? {}
            client.reset();
            client.end(Shutdown::Read);
            return Ok(Next::Close);
        }
        let (mut head, framing, close) = self.change(head, from_server);
        if close {
            head.set("Connection", "close");
        }
        request.log.answered(request.number, head.status());
        let mut to = client.stream();
        let bytes = head.bytes();
        if let (Action::Truncate(_), true) = (self.action, body.is_done()) {
            to.write_all(&bytes[..bytes.len() / 2])?;
            return Ok(Next::Close);
        }
        to.write_all(&bytes)?;
        let (mut piece, mut at) = (Vec::new(), 0);
        while body.next(&mut piece)? {
            match self.action {
                Action::FlipAnswer(byte) => flip(&mut piece, at, *byte, from_server),
                Action::Truncate(end) if at + piece.len() as u64 > *end => {
                    piece.truncate(usize::try_from(end - at).unwrap_or(usize::MAX));
                    framing.write(&mut to, &piece)?;
                    return Ok(Next::Close);
                }
                _ => {}
            }
            at += piece.len() as u64;
            let rate = if let Action::SlowAnswer(rate) = self.action { Some(*rate) } else { None };
            request.write_at(rate, framing, &mut to, &piece)?;
        }
        framing.end(&mut to)?;
        Ok(if close { Next::Close } else { Next::Keep })
    }

    /// The head as the client is to get it, how its body is delimited there, and whether the connection ends with it.
    fn change(&self, mut head: Head, from_server: Framing) -> (Head, Framing, bool) {
        head.remove("connection");
        head.remove("keep-alive");
        let mut framing = from_server;
        let mut close = self.request.head.closes() || from_server == Framing::UntilEnd;
        // Answered before the client has sent everything, perhaps without its ever being told to.
        close |= !self.is_sent.load(SeqCst) && self.request.head.expects_continue() && !self.invited;
        match self.action {
            Action::Header(name, value) => head.set(name, value),
            Action::Truncate(_) => close = true,
            Action::WrongLength(off) => {
                if let Some(len) = head.length() {
                    head.set("Content-Length", &len.saturating_add_signed(*off).to_string());
                    framing = Framing::UntilEnd;
                    close = true;
                }
            }
            _ => {}
        }
        (head, framing, close)
    }
}
