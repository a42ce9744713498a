//! Reading a long part of an object with one request, while it arrives. What is not taken yet waits in the network's own
//! buffers, so a reader that is slow costs no memory. A connection that breaks is taken up again where it broke.

use crate::object::ObjectName;
use crate::storage::s3::connection::Connection;
use crate::storage::s3::error::{Attempt, Failure};
use crate::storage::s3::get::{Body, Source, Wanted};
use crate::storage::s3::retry::{Next, Retry};
use bytes::{Buf as _, Bytes};
use std::io::{Error, Read, Result};
use std::sync::Arc;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Pieces that may wait between the network and the reader; each is what one read from the network gave.
const PIECES_WAITING: usize = 4;

/// The bytes of a part, as they arrive.
#[derive(Debug)]
pub(super) struct ObjectStream {
    pieces: Receiver<std::result::Result<Bytes, Error>>,
    piece: Bytes,
    /// Kept so that the runtime lasts as long as the reader.
    _connection: Arc<Connection>,
}

impl ObjectStream {
    /// Asks for `len` bytes from `offset` on. `None` if there are none, or no runtime any more.
    pub(super) fn open(connection: &Arc<Connection>, source: Source<'_>, offset: u64, len: u64) -> Option<Self> {
        let wanted = Wanted::new(offset, len)?;
        let (sender, pieces) = channel(PIECES_WAITING);
        let (name, version) = (source.name.clone(), source.version.map(str::to_owned));
        connection.spawn(pump(Arc::clone(connection), name, version, wanted, sender))?;
        Some(Self { pieces, piece: Bytes::new(), _connection: Arc::clone(connection) })
    }
}

impl Read for ObjectStream {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let len = buf.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buf[..len]);
        Ok(len)
    }
}

/// Fetches until all was handed over, nobody listens any more, or it fails for good.
async fn pump(
    connection: Arc<Connection>,
    name: ObjectName,
    version: Option<String>,
    mut wanted: Wanted,
    sender: Sender<std::result::Result<Bytes, Error>>,
) {
    let source = Source { name: &name, version: version.as_deref() };
    let mut retry = Retry::new();
    loop {
        let before = wanted;
        let failure = match once(&connection, source, &mut wanted, &sender).await {
            Ok(()) => return,
            Err(failure) => failure,
        };
        // What moves is not the same failure again.
        if wanted != before {
            retry = Retry::new();
        }
        let server_time = failure.server_time;
        match retry.after(failure, &connection.options.timeouts, connection.guard.has_answered()) {
            Next::GiveUp(failure) => {
                let error = failure.into_error("read", name.to_string());
                // Nobody listens any more: then nobody needs to know.
                let _ = sender.send(Err(Error::other(error))).await;
                return;
            }
            Next::After(pause, decision) => {
                connection.note(decision, server_time);
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// One request. `wanted` is what is still to come.
async fn once(
    connection: &Connection,
    source: Source<'_>,
    wanted: &mut Wanted,
    sender: &Sender<std::result::Result<Bytes, Error>>,
) -> Attempt<()> {
    let mut body: Body = connection.open_range(source, *wanted).await?;
    while !wanted.is_empty() {
        let Some(piece) = body.next().await? else {
            return Err(Failure::garbage(format!("the answer ended {} bytes too early", wanted.len())));
        };
        let piece = wanted.take(piece);
        if !piece.is_empty() && sender.send(Ok(piece)).await.is_err() {
            return Ok(());
        }
    }
    // To its end, so that the connection can be used again.
    let _ = body.next().await;
    Ok(())
}
