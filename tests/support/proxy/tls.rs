//! TLS in front of a server, with a certificate authority that is made for the occasion and forgotten.

use super::listener::{Listener, Socket};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Ends TLS and passes what is inside on to a server that speaks none.
pub struct Tls {
    listener: Listener,
    host: String,
    ca_pem: String,
    handshakes: Arc<AtomicU64>,
}

impl Tls {
    /// With a certificate for `host`, a name or an address.
    pub fn in_front_of(server: SocketAddr, host: &str) -> Self {
        let (ca_pem, config) = make_config(host).expect("a certificate can be made");
        let handshakes = Arc::new(AtomicU64::new(0));
        let done = Arc::clone(&handshakes);
        let listener = Listener::start(move |client, _| {
            // An error is a peer that went away, or one that does not trust the certificate.
            let _ = serve(&client, &config, server, &done);
        });
        Self { listener: listener.expect("a free port"), host: host.to_owned(), ca_pem, handshakes }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// As a URL, with the name that the certificate is for.
    pub fn endpoint(&self) -> String {
        format!("https://{}:{}", self.host, self.address().port())
    }

    /// The certificate of the authority, for `--cacert`.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Connections over which a client has accepted the certificate and sent something.
    pub fn handshakes(&self) -> u64 {
        self.handshakes.load(SeqCst)
    }
}

fn make_config(host: &str) -> Result<(String, Arc<ServerConfig>), Box<dyn std::error::Error>> {
    let mut authority = CertificateParams::new(Vec::<String>::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    authority.distinguished_name.push(DnType::CommonName, "cairn test authority");
    let authority_key = KeyPair::generate()?;
    let ca_pem = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(authority, authority_key);
    let mut params = CertificateParams::new(vec![host.to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, "cairn test server");
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    Ok((ca_pem, Arc::new(config)))
}

/// The state of a TLS connection, which both directions need, and the socket it writes to.
struct Shared<'a> {
    connection: Mutex<ServerConnection>,
    client: &'a Socket,
}

impl Shared<'_> {
    fn lock(&self) -> MutexGuard<'_, ServerConnection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what the connection has to say.
    fn flush(&self, connection: &mut ServerConnection) -> io::Result<()> {
        while connection.wants_write() {
            connection.write_tls(&mut self.client.stream())?;
        }
        Ok(())
    }

    /// What the client sends, in the clear, to `server`.
    fn inwards(&self, mut server: &TcpStream, handshakes: &AtomicU64) -> io::Result<()> {
        let (mut sealed, mut plain) = (vec![0; 64 << 10], Vec::new());
        let mut is_counted = false;
        loop {
            let len = self.client.stream().read(&mut sealed)?;
            if len == 0 {
                return server.shutdown(Shutdown::Write);
            }
            let mut rest = &sealed[..len];
            while !rest.is_empty() {
                plain.clear();
                let mut connection = self.lock();
                connection.read_tls(&mut rest)?;
                let state = connection.process_new_packets();
                // An alert for the client, if it is one.
                self.flush(&mut connection)?;
                let there = state.map_err(io::Error::other)?.plaintext_bytes_to_read();
                plain.resize(there, 0);
                connection.reader().read_exact(&mut plain)?;
                drop(connection);
                if there > 0 && !is_counted {
                    handshakes.fetch_add(1, SeqCst);
                    is_counted = true;
                }
                server.write_all(&plain)?;
            }
        }
    }

    /// What the server sends, sealed, to the client.
    fn outwards(&self, mut server: &TcpStream) -> io::Result<()> {
        let mut plain = vec![0; 64 << 10];
        loop {
            let len = server.read(&mut plain)?;
            let mut connection = self.lock();
            if len == 0 {
                connection.send_close_notify();
                self.flush(&mut connection)?;
                return self.client.stream().shutdown(Shutdown::Write);
            }
            connection.writer().write_all(&plain[..len])?;
            self.flush(&mut connection)?;
        }
    }
}

fn serve(client: &Socket, config: &Arc<ServerConfig>, server: SocketAddr, handshakes: &AtomicU64) -> io::Result<()> {
    let mut connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
    connection.set_buffer_limit(None);
    let shared = Shared { connection: Mutex::new(connection), client };
    let server = client.sibling(TcpStream::connect(server)?);
    std::thread::scope(|scope| {
        let outwards = scope.spawn(|| {
            let result = shared.outwards(server.stream());
            if result.is_err() {
                // Broken, not ended: the client is to see no proper end.
                client.end(Shutdown::Both);
            }
            result
        });
        let inwards = shared.inwards(server.stream(), handshakes);
        if inwards.is_err() {
            client.end(Shutdown::Both);
            server.end(Shutdown::Both);
        }
        outwards.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).and(inwards)
    })
}
