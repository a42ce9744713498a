//! A listener on loopback with a thread for each connection, which ends with its owner and takes its connections along.

use socket2::SockRef;
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// All sockets that are open, so that they can be ended from outside.
#[derive(Default)]
pub struct Sockets {
    stopping: AtomicBool,
    open: Mutex<(u64, HashMap<u64, Arc<TcpStream>>)>,
}

impl Sockets {
    pub fn register(self: &Arc<Self>, stream: TcpStream) -> Socket {
        let stream = Arc::new(stream);
        let _ = stream.set_nodelay(true);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.0 += 1;
        let id = open.0;
        open.1.insert(id, Arc::clone(&stream));
        if self.is_stopping() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        Socket { stream, id, all: Arc::clone(self) }
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(SeqCst)
    }

    /// Sleeps, but not beyond the owner's end.
    pub fn pause(&self, duration: Duration) {
        let mut left = duration;
        while !left.is_zero() && !self.is_stopping() {
            let step = left.min(Duration::from_millis(20));
            std::thread::sleep(step);
            left -= step;
        }
    }

    /// Ends every connection there is.
    pub fn cut(&self) {
        for stream in self.open.lock().unwrap_or_else(PoisonError::into_inner).1.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// A socket that is closed when this goes: nothing else holds its descriptor but the list it is taken from.
pub struct Socket {
    stream: Arc<TcpStream>,
    id: u64,
    all: Arc<Sockets>,
}

impl Socket {
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Lets the coming close tell the peer that the connection broke, instead of that it ended.
    pub fn reset(&self) {
        let _ = SockRef::from(&*self.stream).set_linger(Some(Duration::ZERO));
    }

    pub fn end(&self, which: Shutdown) {
        let _ = self.stream.shutdown(which);
    }

    /// Another socket of the same owner.
    pub fn sibling(&self, stream: TcpStream) -> Self {
        self.all.register(stream)
    }

    /// Sleeps, but not beyond the owner's end.
    pub fn pause(&self, duration: Duration) {
        self.all.pause(duration);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.all.open.lock().unwrap_or_else(PoisonError::into_inner).1.remove(&self.id);
    }
}

/// Waits for threads; returns how many of them panicked.
fn join(threads: Vec<JoinHandle<()>>) -> usize {
    threads.into_iter().filter_map(|thread| thread.join().err()).count()
}

/// A listener with its threads. A panic in one of them is its owner's panic.
pub struct Listener {
    address: SocketAddr,
    sockets: Arc<Sockets>,
    thread: Option<JoinHandle<usize>>,
}

impl Listener {
    /// Listens on a free port and runs `serve` in a thread of its own for each connection, with its number from 0.
    pub fn start(serve: impl Fn(Socket, usize) + Send + Sync + 'static) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let sockets = Arc::new(Sockets::default());
        let (serve, all) = (Arc::new(serve), Arc::clone(&sockets));
        let thread = std::thread::spawn(move || {
            let (mut threads, mut panicked) = (Vec::new(), 0);
            for (number, stream) in listener.incoming().enumerate() {
                if all.is_stopping() {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let (serve, socket) = (Arc::clone(&serve), all.register(stream));
                threads.push(std::thread::spawn(move || serve(socket, number)));
                let (ended, running): (Vec<_>, Vec<_>) = threads.into_iter().partition(JoinHandle::is_finished);
                threads = running;
                panicked += join(ended);
            }
            panicked + join(threads)
        });
        Ok(Self { address, sockets, thread: Some(thread) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn sockets(&self) -> &Arc<Sockets> {
        &self.sockets
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.sockets.stopping.store(true, SeqCst);
        self.sockets.cut();
        // Wakes the listener up.
        let _ = TcpStream::connect(self.address);
        let panicked = self.thread.take().map_or(0, |thread| thread.join().unwrap_or(1));
        if panicked > 0 && !std::thread::panicking() {
            panic!("{panicked} threads of a test server panicked");
        }
    }
}
