//! What the engine may ask of a store, and what every store guarantees. One suite (`tests/storage_contract`) holds all
//! stores to it, test for number.
//!
//! * **S1 atomic:** an object is seen whole or not at all, however the write ended.
//! * **S2 durable:** when [`Publish::publish_batch`] returns, the objects survive a power cut, so what is published by a
//!   later call is never there without them.
//! * **S3 create-only:** an existing object is never changed; publishing over it reports [`Published::Existed`].
//! * **S4 read-after-write:** a published object is read, sized and listed by every later request.
//! * **S5 complete listing:** a listing names every object that existed throughout it, or fails; never a part as a whole.
//! * **S6 classified errors:** only [`ErrorKind::NotFound`](super::ErrorKind) means absence.
//! * **S7 exact ranges:** a ranged read fills the buffer or fails.
//! * **S8 no leftovers:** what was staged and not published is gone when dropped, and never listed.

use super::error::{ErrorKind, Result, StorageError};
use crate::object::{Encoded, ObjectName};
use std::any::Any;
use std::fmt;
use std::io::Read;

/// An object seen in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: ObjectName,
    /// Its length in bytes.
    pub size: u64,
}

/// Whether publishing made the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// It did.
    Created,
    /// An object of that name was there; it is unchanged.
    Existed,
}

/// What a request costs a store beside its bytes, for those who can choose between many small ones and few large ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestCost {
    /// Bytes between two wanted ranges that are better read along than left out by asking twice.
    pub gap: u64,
    /// Bytes that one request should bring, at most.
    pub span: u64,
    /// Requests that should be under way at once.
    pub parallel: usize,
}

impl RequestCost {
    /// None worth thinking of: a local store.
    pub const NONE: Self = Self { gap: 0, span: 0, parallel: 1 };
}

/// Reading.
pub trait Fetch: Send + Sync + fmt::Debug {
    /// The whole object; an error if it is longer than `len_max` bytes.
    ///
    /// # Errors
    /// `NotFound`, `TooLarge`, or what the store says.
    fn read(&self, name: &ObjectName, len_max: u64) -> Result<Vec<u8>>;

    /// Fills `buf` from byte `offset` on.
    ///
    /// # Errors
    /// `NotFound`; `Truncated` when the object ends before the buffer is full.
    fn read_range(&self, name: &ObjectName, offset: u64, buf: &mut [u8]) -> Result<()>;

    /// Length in bytes.
    ///
    /// # Errors
    /// `NotFound`, or what the store says.
    fn size(&self, name: &ObjectName) -> Result<u64>;

    /// Every object whose name starts with `prefix` (whole path components: `d/ab` holds `d/ab/c`, not `d/abc`), in name order.
    /// An object with the name `prefix` itself is not below it.
    ///
    /// # Errors
    /// What the store says. An error is never an empty or a shorter list.
    fn list(&self, prefix: &ObjectName) -> Result<Vec<Listed>>;

    /// What is below each of these prefixes, none of which is below another: as [`Fetch::list`] for each, with fewer requests
    /// where a store can. In which order they are listed is not said; who needs one listed after another asks in a later call.
    ///
    /// # Errors
    /// As [`Fetch::list`].
    fn list_each(&self, prefixes: &[ObjectName]) -> Result<Vec<Vec<Listed>>> {
        prefixes.iter().map(|prefix| self.list(prefix)).collect()
    }

    /// `len` bytes from byte `offset` on with one request, read while they arrive. `None` where [`Fetch::read_range`] is as
    /// good. A read that fails tells no more than that: `read_range` of what is missing tells why. It ends early only if the
    /// object does.
    fn stream(&self, name: &ObjectName, offset: u64, len: u64) -> Option<Box<dyn Read + Send>> {
        let _ = (name, offset, len);
        None
    }

    /// What a request costs.
    fn request_cost(&self) -> RequestCost {
        RequestCost::NONE
    }

    /// Is told the bytes of an object that is being published, so that a cache has them already when they are asked for. It
    /// says nothing about whether the object is there.
    fn offer(&self, name: &ObjectName, bytes: &[u8]) {
        let _ = (name, bytes);
    }
}

impl dyn Fetch + '_ {
    /// As [`Fetch::list_each`], for a number of prefixes that is known.
    ///
    /// # Errors
    /// As [`Fetch::list`].
    pub fn list_together<const N: usize>(&self, prefixes: [ObjectName; N]) -> Result<[Vec<Listed>; N]> {
        self.list_each(&prefixes)?.try_into().map_err(|listed: Vec<_>| StorageError {
            operation: "list",
            subject: prefixes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            kind: ErrorKind::Other,
            detail: format!("{} lists came", listed.len()),
        })
    }
}

/// An object on its way: written, not yet visible. Dropping it discards it.
pub struct Staged {
    name: ObjectName,
    len: u64,
    /// What the store keeps of it; each store knows its own.
    pub(in crate::storage) body: Box<dyn Any + Send>,
    /// How its bytes are found in the body, if they are in memory.
    bytes: Option<BytesOf>,
}

/// Finds an object's bytes in what a store keeps of it.
type BytesOf = for<'a> fn(&'a (dyn Any + Send + 'static)) -> &'a [u8];

impl Staged {
    pub(in crate::storage) fn new(name: ObjectName, len: u64, body: impl Any + Send) -> Self {
        Self { name, len, body: Box::new(body), bytes: None }
    }

    /// The same, of a store that has the bytes in memory.
    pub(in crate::storage) fn with_bytes(self, bytes: BytesOf) -> Self {
        Self { bytes: Some(bytes), ..self }
    }

    /// The name it will have.
    pub fn name(&self) -> &ObjectName {
        &self.name
    }

    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its bytes, if they are in memory.
    pub fn bytes(&self) -> Option<&[u8]> {
        self.bytes.map(|bytes| bytes(&*self.body))
    }
}

impl fmt::Debug for Staged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staged").field("name", &self.name).field("len", &self.len).finish_non_exhaustive()
    }
}

/// Takes an object's bytes piece by piece, since a pack's name is known only when its last byte is.
pub trait Stage: Send {
    /// Adds bytes.
    ///
    /// # Errors
    /// What the store says; the stage is useless afterwards.
    fn append(&mut self, bytes: Encoded<'_>) -> Result<()>;

    /// Ends the object and names it. `len` is how many bytes the caller believes it appended.
    ///
    /// # Errors
    /// `Truncated` when the store holds another number of bytes; otherwise what the store says.
    fn finish(self: Box<Self>, name: ObjectName, len: u64) -> Result<Staged>;
}

/// Creating, never changing.
pub trait Publish: Send + Sync + fmt::Debug {
    /// Starts an object.
    ///
    /// # Errors
    /// What the store says.
    fn stage(&self) -> Result<Box<dyn Stage>>;

    /// Makes staged objects durable and visible. They may become visible in any order: who needs one to be there before
    /// another publishes it in an earlier call. Of two with one name the first is created.
    ///
    /// # Errors
    /// The first failure; any of the others may have been published, or be published a little later.
    fn publish_batch(&self, staged: Vec<Staged>) -> Result<Vec<Published>>;

    /// Stages and publishes one object held in memory.
    ///
    /// # Errors
    /// As [`Publish::stage`] and [`Publish::publish_batch`].
    fn put_new(&self, name: &ObjectName, object: Encoded<'_>) -> Result<Published> {
        let mut stage = self.stage()?;
        stage.append(object)?;
        let staged = stage.finish(name.clone(), object.as_bytes().len() as u64)?;
        Ok(self.publish_batch(vec![staged])?.pop().unwrap_or(Published::Existed))
    }

    /// As [`Publish::put_new`], under a name with an id in it that was drawn at random for this object alone. Nobody else can
    /// have taken it, so a store that has to look before it creates need not; what became of its own lost requests, it still
    /// finds out.
    ///
    /// # Errors
    /// As [`Publish::put_new`].
    fn put_fresh(&self, name: &ObjectName, object: Encoded<'_>) -> Result<Published> {
        self.put_new(name, object)
    }
}

/// Removing. A backup is never handed this.
pub trait Remove: Send + Sync + fmt::Debug {
    /// Removes an object; one that is not there counts as removed.
    ///
    /// # Errors
    /// What the store says.
    fn remove(&self, name: &ObjectName) -> Result<()>;
}
