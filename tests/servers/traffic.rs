//! What the proxy passes on when nothing is to go wrong: everything, unchanged, over kept connections; and what it counts.

use crate::client::{Client, once};
use crate::proxy::{Action, Answer, Proxy, Received, Sink, Tls, When};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// Answers with as many bytes as the path says, `/N`, and the body's hash in a field.
fn bytes_of(received: &Received) -> Answer {
    let len: usize = received.head.target().trim_start_matches('/').parse().unwrap_or(0);
    let body: Vec<u8> = (0..len).map(|i| (i * 31 % 251) as u8).collect();
    Answer::new(200).field("x-hash", blake3::hash(&received.body).to_hex().as_str()).body(body)
}

#[test]
fn requests_pass_unchanged_over_one_connection() {
    let origin = Sink::answering(bytes_of);
    let proxy = Proxy::start(origin.address());
    let mut client = Client::connect(proxy.address());
    let mut sent = 0;
    for len in [0_usize, 1, 70_000, 3_000_000] {
        let body: Vec<u8> = (0..len).map(|i| (i % 253) as u8).collect();
        let reply = client.request(&format!("PUT /{len}"), &body).unwrap();
        assert_eq!(reply.head.status(), 200);
        assert_eq!(reply.head.get("x-hash"), Some(blake3::hash(&body).to_hex().as_str()));
        assert_eq!(reply.body.len(), len);
        // In chunks the same.
        client.send(b"PUT /0 HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        for chunk in body.chunks(65_000) {
            client.send(&[format!("{:X};x=y\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat()).unwrap();
        }
        client.send(b"0\r\nx-trailer: 1\r\n\r\n").unwrap();
        let reply = client.reply("PUT").unwrap();
        assert_eq!(reply.head.get("x-hash"), Some(blake3::hash(&body).to_hex().as_str()));
        sent += 2 * len as u64;
    }
    let reply = client.request("HEAD /77", b"").unwrap();
    assert_eq!((reply.head.length(), reply.body.len()), (Some(77), 0));
    let seen = proxy.requests();
    assert_eq!(seen.len(), 9);
    assert_eq!(seen[8].line(), "HEAD /77 HTTP/1.1");
    assert!(seen.iter().all(|s| s.connection == 0 && s.status == Some(200) && s.rule.is_none()));
    assert_eq!(proxy.connections().len(), 1);
    assert_eq!((proxy.connections()[0].requests, proxy.connections()[0].body_bytes), (9, sent));
    assert_eq!(origin.content_bytes(), sent);
    println!("counts: proxy: 9 requests over one connection, {sent} content bytes");
}

/// A client that waits for leave to send gets it from the server, and from the proxy only where that answers itself.
#[test]
fn leave_to_send() {
    let origin = Sink::answering(bytes_of);
    let proxy = Proxy::start(origin.address());
    proxy.add(When::any().target("/refused"), Action::Answer(Answer::error(503, "SlowDown")));
    let mut client = Client::connect(proxy.address());
    client.send(b"PUT /5 HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n").unwrap();
    assert_eq!(client.reply("PUT").unwrap().head.status(), 100);
    client.send(b"abc").unwrap();
    let reply = client.reply("PUT").unwrap();
    assert_eq!((reply.head.status(), reply.body.len()), (200, 5));
    // The same connection still works, and a refused client keeps its body.
    client.send(b"PUT /refused HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n").unwrap();
    let reply = client.reply("PUT").unwrap();
    assert_eq!((reply.head.status(), reply.head.closes()), (503, true));
    client.end().unwrap();
    assert_eq!(origin.content_bytes(), 3);
    assert_eq!(proxy.requests()[1].body_bytes, 0);
}

/// A server may answer, and close, before it has read the request.
#[test]
fn early_answers_arrive() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        for _ in 0..20 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 100];
            let _ = stream.read(&mut head).unwrap();
            stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            // Read on as servers do, so that the answer is not lost to a broken connection.
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
    });
    let mut client = Client::connect(proxy.address());
    for _ in 0..20 {
        let reply = client.request("PUT /early", &vec![0; 5_000_000]).unwrap();
        assert_eq!((reply.head.status(), &reply.body[..]), (403, &b"no"[..]));
    }
    server.join().unwrap();
}

#[test]
fn many_clients_at_once() {
    let origin = Sink::answering(bytes_of);
    let proxy = Proxy::start(origin.address());
    let rule = proxy.add(When::any().method("PUT").after(100).times(50), Action::Forward);
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let proxy = &proxy;
            scope.spawn(move || {
                let mut client = Client::connect(proxy.address());
                for round in 0..20 {
                    let len = thread * 1000 + round * 37;
                    let reply = client.request(&format!("PUT /{len}"), &vec![1; len]).unwrap();
                    assert_eq!(reply.body.len(), len);
                }
            });
        }
    });
    assert_eq!(proxy.requests().len(), 320);
    assert_eq!(proxy.connections().len(), 16);
    assert_eq!(proxy.counts(rule).requests, 50);
    println!("counts: proxy: 320 requests of 16 clients, each answered with its own bytes");
}

/// Rules count for themselves, the first that fits is applied, and a call happens at its request.
#[test]
fn rules_choose_requests() {
    let origin = Sink::answering(bytes_of);
    let proxy = Proxy::start(origin.address());
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    let call = Action::Call(Arc::new(move || _ = counted.fetch_add(1, SeqCst)));
    let second = proxy.add(When::any().method("GET").target("/a").nth(1), Action::Answer(Answer::error(500, "X")));
    let called = proxy.add(When::any().field("X-Which", "this").times(2), call);
    let mut client = Client::connect(proxy.address());
    let mut answers = Vec::new();
    for target in ["GET /a", "GET /b", "GET /a", "GET /a", "PUT /a"] {
        answers.push(client.request(target, b"").unwrap().head.status());
    }
    assert_eq!(answers, [200, 200, 500, 200, 200]);
    for _ in 0..3 {
        client.send_request("GET /c", "x-which: not this\r\n", b"").unwrap();
        client.reply("GET").unwrap();
    }
    assert_eq!((proxy.counts(second).requests, proxy.counts(called).requests, calls.load(SeqCst)), (1, 2, 2));
    assert_eq!(proxy.requests()[2].rule, Some(second));
    proxy.clear();
    assert_eq!(client.request("GET /c", b"").unwrap().head.status(), 200);
    proxy.wait_until(|seen| seen.len() == 9);
    proxy.pretend_region("us-east-1");
    let reply = client.request("GET /bucket?location", b"").unwrap();
    assert!(String::from_utf8_lossy(&reply.body).contains(">us-east-1</LocationConstraint>"));
    let reply = client.request("HEAD /bucket", b"").unwrap();
    assert_eq!(reply.head.get("x-amz-bucket-region"), Some("us-east-1"));
}

#[test]
fn a_server_that_is_gone_breaks_the_connection() {
    let origin = Sink::start();
    let proxy = Proxy::start(origin.address());
    once(proxy.address(), "GET /", b"").unwrap();
    drop(origin);
    once(proxy.address(), "GET /", b"").unwrap_err();
}

/// TLS with a certificate of the test's own authority: trusted by whom it is given to, refused by everybody else, and only
/// for the name it was made for.
#[test]
fn tls_ends_before_the_server() {
    let origin = Sink::answering(bytes_of);
    let tls = Tls::in_front_of(origin.address(), "localhost");
    let other = Tls::in_front_of(origin.address(), "localhost");
    let request = |authority: &str, name: &'static str| -> std::io::Result<Vec<u8>> {
        let mut roots = RootCertStore::empty();
        roots.add(rustls::pki_types::CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from(name).unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = StreamOwned::new(connection, TcpStream::connect(tls.address())?);
        let body = vec![5; 2_000_000];
        write!(stream, "PUT /1000000 HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len())?;
        stream.write_all(&body)?;
        stream.flush()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    assert_eq!(tls.endpoint(), format!("https://localhost:{}", tls.address().port()));
    for (authority, name) in [(other.ca_pem(), "localhost"), (tls.ca_pem(), "example.org")] {
        request(authority, name).unwrap_err();
    }
    assert_eq!((origin.bytes(), tls.handshakes()), (0, 0));
    let answer = request(tls.ca_pem(), "localhost").unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 OK") && answer.len() > 1_000_000);
    assert_eq!((origin.content_bytes(), tls.handshakes()), (2_000_000, 1));
}
