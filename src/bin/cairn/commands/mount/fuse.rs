//! Carries requests of the kernel to a [`MountView`] and answers back. Nothing is decided here but how things are said in
//! FUSE.
//!
//! Content never changes while it is mounted, so the kernel may keep what it was told for as long as it likes.

use cairn::clock::Timestamp;
use cairn::engine::mount::{Attributes, FileKind, Handle, Ino, MountError, MountView};
use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags, KernelConfig,
    LockOwner, OpenAccMode, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyXattr, Request,
};
use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How long the kernel may rely on an answer.
const FOR_LONG: Duration = Duration::from_secs(7 * 24 * 3600);
/// Reads ahead that the kernel may have under way.
const BACKGROUND_MAX: u16 = 64;
/// Bytes that a block counts for in `st_blocks`.
const BLOCK: u64 = 512;

/// What the kernel talks to.
#[derive(Debug)]
pub(super) struct Adapter {
    view: Arc<MountView>,
    /// Gets a byte at the end.
    ended: UnixStream,
    /// Whether the kernel holds accesses against owners, modes and access lists.
    checks_permissions: bool,
}

impl Adapter {
    /// Shows `view`; `ended` gets a byte when the kernel has nothing more to ask.
    pub(super) fn new(view: Arc<MountView>, ended: UnixStream, checks_permissions: bool) -> Self {
        Self { view, ended, checks_permissions }
    }
}

fn errno(error: MountError) -> Errno {
    match error {
        MountError::NoEntry => Errno::ENOENT,
        MountError::Stale => Errno::ESTALE,
        MountError::NotDirectory => Errno::ENOTDIR,
        MountError::NotFile | MountError::NotLink => Errno::EINVAL,
        MountError::NoAttribute => Errno::NO_XATTR,
        MountError::TooManyOpen => Errno::ENFILE,
        MountError::Unreadable => Errno::EIO,
    }
}

fn kind(kind: FileKind) -> FileType {
    match kind {
        FileKind::File => FileType::RegularFile,
        FileKind::Directory => FileType::Directory,
        FileKind::Symlink => FileType::Symlink,
        FileKind::Fifo => FileType::NamedPipe,
        FileKind::CharDevice => FileType::CharDevice,
        FileKind::BlockDevice => FileType::BlockDevice,
        FileKind::Socket => FileType::Socket,
    }
}

fn time(time: Timestamp) -> SystemTime {
    time.to_system_time().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// As the kernel passes devices to programs.
fn device((major, minor): (u32, u32)) -> u32 {
    (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xfff_ff00) << 12)
}

fn attr(attributes: &Attributes) -> FileAttr {
    FileAttr {
        ino: INodeNo(attributes.ino.0),
        size: attributes.size,
        blocks: attributes.size.div_ceil(BLOCK),
        atime: time(attributes.mtime),
        mtime: time(attributes.mtime),
        ctime: time(attributes.ctime),
        crtime: SystemTime::UNIX_EPOCH,
        kind: kind(attributes.kind),
        perm: (attributes.mode & 0o7777) as u16,
        nlink: attributes.links,
        uid: attributes.uid,
        gid: attributes.gid,
        rdev: device(attributes.device),
        blksize: 4096,
        flags: 0,
    }
}

/// Attributes that nobody looks at: `.` and `..` come without, and have a place for them.
fn no_attr(ino: Ino) -> FileAttr {
    attr(&Attributes {
        ino,
        kind: FileKind::Directory,
        mode: 0,
        links: 1,
        uid: 0,
        gid: 0,
        device: (0, 0),
        size: 0,
        mtime: Timestamp::EPOCH,
        ctime: Timestamp::EPOCH,
    })
}

/// A value, or how long it is, or that it is longer than there is room for.
fn give(value: Result<Vec<u8>, MountError>, room: u32, reply: ReplyXattr) {
    match value {
        Err(error) => reply.error(errno(error)),
        Ok(value) if room == 0 => reply.size(u32::try_from(value.len()).unwrap_or(u32::MAX)),
        Ok(value) if value.len() > room as usize => reply.error(Errno::ERANGE),
        Ok(value) => reply.data(&value),
    }
}

impl Filesystem for Adapter {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        let mut wanted = vec![
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_CACHE_SYMLINKS,
            InitFlags::FUSE_ASYNC_DIO,
        ];
        if self.checks_permissions {
            // It also has the kernel check permissions, so only where that is wanted.
            wanted.push(InitFlags::FUSE_POSIX_ACL);
        }
        for capability in wanted {
            // An older kernel does without.
            let _ = config.add_capabilities(capability);
        }
        let _ = config.set_max_background(BACKGROUND_MAX);
        Ok(())
    }

    fn destroy(&mut self) {
        let _ = self.ended.write_all(b"e");
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.view.names().lookup(Ino(parent.0), name.as_bytes()) {
            Ok(found) => reply.entry(&FOR_LONG, &attr(&found), Generation(0)),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn forget(&self, _: &Request, ino: INodeNo, count: u64) {
        self.view.names().forget(Ino(ino.0), count);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.view.names().attributes(Ino(ino.0)) {
            Ok(found) => reply.attr(&FOR_LONG, &attr(&found)),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        match self.view.names().link_target(Ino(ino.0)) {
            Ok(target) => reply.data(&target),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn open(&self, _: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if flags.acc_mode() != OpenAccMode::O_RDONLY {
            return reply.error(Errno::EROFS);
        }
        let opened = FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH;
        match self.view.files().open(Ino(ino.0)) {
            Ok(handle) => reply.opened(FileHandle(handle.0), opened),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.view.files().read(Handle(handle.0), offset, size.into(), move |bytes| match bytes {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(errno(error)),
        });
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.view.files().release(Handle(handle.0));
        reply.ok();
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE);
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let listed = self.view.names().list(Ino(ino.0), offset, false, |entry| {
            !reply.add(INodeNo(entry.ino.0), entry.next, kind(entry.kind), OsStr::from_bytes(entry.name))
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn readdirplus(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectoryPlus) {
        let listed = self.view.names().list(Ino(ino.0), offset, true, |entry| {
            let attr = entry.attributes.as_ref().map_or_else(|| no_attr(entry.ino), attr);
            let (ino, name) = (INodeNo(entry.ino.0), OsStr::from_bytes(entry.name));
            !reply.add(ino, entry.next, name, &FOR_LONG, &attr, Generation(0))
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn getxattr(&self, _: &Request, ino: INodeNo, name: &OsStr, room: u32, reply: ReplyXattr) {
        give(self.view.names().attribute(Ino(ino.0), name.as_bytes()), room, reply);
    }

    fn listxattr(&self, request: &Request, ino: INodeNo, room: u32, reply: ReplyXattr) {
        give(self.view.names().attribute_names(Ino(ino.0), request.uid() == 0), room, reply);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_numbered_as_programs_expect() {
        for (major, minor) in [(1, 3), (8, 1), (259, 7), (4095, (1 << 20) - 1), (10, 229)] {
            let number = device((major, minor));
            // What the kernel does with it (new_decode_dev), and then glibc.
            assert_eq!(((number & 0xf_ff00) >> 8, (number & 0xff) | ((number >> 12) & 0xf_ff00)), (major, minor));
        }
    }
}
