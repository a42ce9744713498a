//! Objects on their way, in memory: a body that is signed as a whole and may have to be sent again has to stay whole.

use crate::object::{Encoded, ObjectName};
use crate::storage::contract::{Stage, Staged};
use crate::storage::error::{ErrorKind, Result, StorageError};
use aws_sdk_s3::primitives::SdkBody;
use std::any::Any;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Longest object. S3 itself takes 5 GiB in one request.
const LEN_MAX: usize = 512 << 20;
/// Reserved for an object whose length is not known. Pages that are not written to are not used.
const RESERVED: usize = 57 << 20;
/// Bytes that may be staged before whoever stages more waits for uploads that are under way: two packs on their way and the
/// beginning of the next one. With what else a backup needs, about 155 MiB in all.
const STAGED_MAX: usize = 112 << 20;
/// The same on a machine with less than [`LARGE`] bytes of memory: one pack and half of the next, about 125 MiB in all.
const STAGED_MAX_SMALL: usize = 84 << 20;
/// From here on an eighth of the memory, which is what a backup may take, has room for two uploads at a time.
const LARGE: u64 = 1280 << 20;

/// What [`STAGED_MAX`] says, or less if this machine has little memory or does not say how much.
fn staged_max() -> usize {
    match nix::sys::sysinfo::sysinfo() {
        Ok(machine) if machine.ram_total() >= LARGE => STAGED_MAX,
        _ => STAGED_MAX_SMALL,
    }
}

#[derive(Debug, Default)]
struct Account {
    staged_bytes: usize,
    uploads: usize,
}

/// How much is staged and whether it is getting less.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    shared: Arc<(Mutex<Account>, Condvar)>,
    staged_max: usize,
}

impl Default for Memory {
    fn default() -> Self {
        Self { shared: Arc::default(), staged_max: staged_max() }
    }
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, Account> {
        // Numbers only: whole at every moment.
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the room for some bytes. Waits while there is too little and an upload is under way that will free some;
    /// without one, waiting would be for ever.
    fn take(&self, bytes: usize) {
        let mut account = self.lock();
        while account.uploads > 0 && account.staged_bytes > 0 && account.staged_bytes + bytes > self.staged_max {
            account = self.shared.1.wait(account).unwrap_or_else(PoisonError::into_inner);
        }
        account.staged_bytes += bytes;
    }

    fn give_back(&self, bytes: usize) {
        self.lock().staged_bytes -= bytes;
        self.shared.1.notify_all();
    }

    /// Says that staged objects are being uploaded, until it is dropped.
    pub(super) fn uploading(&self) -> Uploading {
        self.lock().uploads += 1;
        Uploading(self.clone())
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

/// An upload under way.
#[derive(Debug)]
pub(super) struct Uploading(Memory);

impl Drop for Uploading {
    fn drop(&mut self) {
        self.0.lock().uploads -= 1;
        self.0.shared.1.notify_all();
    }
}

/// Room that is given back when dropped.
#[derive(Debug)]
struct Room {
    memory: Memory,
    bytes: usize,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.memory.give_back(self.bytes);
    }
}

/// The body of a staged object.
#[derive(Debug)]
pub(super) struct Body {
    bytes: SdkBody,
    room: Room,
}

impl Body {
    /// The body that was staged for the store with this memory.
    ///
    /// # Errors
    /// `Other` if it was staged elsewhere.
    pub(super) fn of(staged: Staged, memory: &Memory) -> Result<(ObjectName, Self)> {
        let name = staged.name().clone();
        match staged.body.downcast::<Self>() {
            Ok(body) if body.room.memory.is(memory) => Ok((name, *body)),
            _ => Err(StorageError::new("publish", &name, ErrorKind::Other, "it was staged in another store")),
        }
    }

    /// The bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.bytes().unwrap_or_default()
    }

    /// The same bytes, for one request; nothing is copied.
    pub(super) fn to_send(&self) -> SdkBody {
        self.bytes.try_clone().unwrap_or_else(|| SdkBody::from(self.bytes().to_vec()))
    }
}

/// The bytes of a staged object's body.
fn bytes_of<'a>(body: &'a (dyn Any + Send + 'static)) -> &'a [u8] {
    body.downcast_ref().map_or(&[], Body::bytes)
}

/// An object in the making.
pub(super) struct MemoryStage {
    bytes: Vec<u8>,
    room: Room,
}

impl MemoryStage {
    /// Nothing yet.
    pub(super) fn new(memory: &Memory) -> Self {
        Self { bytes: Vec::new(), room: Room { memory: memory.clone(), bytes: 0 } }
    }

    /// An object of which all is known.
    pub(super) fn whole(memory: &Memory, name: ObjectName, object: Encoded<'_>) -> Result<Staged> {
        let len = object.as_bytes().len();
        let mut stage = Self::new(memory);
        stage.bytes.reserve_exact(len);
        stage.append(object)?;
        Box::new(stage).finish(name, len as u64)
    }
}

impl Stage for MemoryStage {
    fn append(&mut self, bytes: Encoded<'_>) -> Result<()> {
        let bytes = bytes.as_bytes();
        if bytes.len() > LEN_MAX - self.bytes.len() {
            return Err(StorageError {
                operation: "stage",
                subject: "an object".to_owned(),
                kind: ErrorKind::TooLarge,
                detail: format!("more than {LEN_MAX} bytes"),
            });
        }
        self.room.memory.take(bytes.len());
        self.room.bytes += bytes.len();
        if self.bytes.capacity() == 0 && !bytes.is_empty() {
            self.bytes.reserve_exact(RESERVED.max(bytes.len()));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>, name: ObjectName, len: u64) -> Result<Staged> {
        if self.bytes.len() as u64 != len {
            let detail = format!("{} bytes were appended, {len} were meant to be", self.bytes.len());
            return Err(StorageError::new("stage", &name, ErrorKind::Truncated, detail));
        }
        let body = Body { bytes: SdkBody::from(self.bytes), room: self.room };
        Ok(Staged::new(name, len, body).with_bytes(bytes_of))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn stage(memory: &Memory, bytes: &[u8]) -> Staged {
        let mut stage = Box::new(MemoryStage::new(memory));
        stage.append(Encoded::new(bytes)).unwrap();
        stage.finish(ObjectName::new("d/x").unwrap(), bytes.len() as u64).unwrap()
    }

    #[test]
    fn room_is_given_back_wherever_it_ends() {
        let memory = Memory::default();
        let staged = stage(&memory, b"12345");
        assert_eq!(memory.lock().staged_bytes, 5);
        let (_, body) = Body::of(staged, &memory).unwrap();
        assert_eq!((body.bytes(), body.to_send().bytes()), (&b"12345"[..], Some(&b"12345"[..])));
        drop(body);
        assert_eq!(memory.lock().staged_bytes, 0);
        let mut half = MemoryStage::new(&memory);
        half.append(Encoded::new(b"123")).unwrap();
        Box::new(half).finish(ObjectName::new("d/x").unwrap(), 4).unwrap_err();
        assert_eq!(memory.lock().staged_bytes, 0);
        let other = Body::of(stage(&memory, b"1"), &Memory::default()).unwrap_err();
        assert_eq!((other.kind, memory.lock().staged_bytes), (ErrorKind::Other, 0));
    }

    #[test]
    fn who_stages_more_waits_only_for_an_upload() {
        let memory = Memory::default();
        let max = memory.staged_max;
        memory.take(max);
        // Nothing is being uploaded: to wait would be for ever.
        memory.take(1);
        memory.give_back(1);
        let upload = memory.uploading();
        let waiter = std::thread::spawn({
            let memory = memory.clone();
            move || memory.take(10)
        });
        drop(upload);
        waiter.join().unwrap();
        assert_eq!(memory.lock().staged_bytes, max + 10);
        // What is larger than all the room goes when it is alone.
        let lone = Memory::default();
        let _upload = lone.uploading();
        lone.take(max * 2);
    }
}
