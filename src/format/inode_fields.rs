//! The fields of a node that not every file system fills: when the inode was made, and its flags. (`docs/format.md`, "Trees and
//! lists", 6 and 7.) Each is there only if it says something, so that it costs nothing where there is none.

use crate::clock::Timestamp;
use crate::format::node::{Content, INODE_FLAGS_KEPT, Metadata, Node};
use crate::format::wire::{FormatError, Reader, Result, Writer};

/// Flag of a node: it has a birth time.
pub(super) const FLAG_BORN: u8 = 64;
/// Flag of a node: it has inode flags.
pub(super) const FLAG_INODE_FLAGS: u8 = 128;
pub(super) const NANOSECONDS_MAX: u32 = 999_999_999;

/// The node's flags of these fields.
pub(super) fn flags(metadata: &Metadata) -> u8 {
    let born = if metadata.btime.is_some() { FLAG_BORN } else { 0 };
    born | if metadata.inode_flags != 0 { FLAG_INODE_FLAGS } else { 0 }
}

/// Writes what the node has of these fields.
///
/// # Errors
/// [`FormatError::Invalid`] for what [`decode`] would refuse.
pub(super) fn encode(w: &mut Writer, node: &Node) -> Result<()> {
    let meta = &node.metadata;
    if let Some(btime) = meta.btime {
        if btime.nanoseconds > NANOSECONDS_MAX {
            return Err(FormatError::Invalid { what: "time of an entry" });
        }
        // What was written at once was born a moment before its last change: that takes three bytes instead of six.
        w.signed(btime.seconds.wrapping_sub(meta.ctime.seconds));
        w.signed(i64::from(btime.nanoseconds) - i64::from(meta.ctime.nanoseconds));
    }
    if meta.inode_flags != 0 {
        let may_have = matches!(node.content, Content::File { .. } | Content::Directory { .. });
        if meta.inode_flags & !INODE_FLAGS_KEPT != 0 || !may_have {
            return Err(FormatError::Invalid { what: "inode flags" });
        }
        w.varint(meta.inode_flags.into());
    }
    Ok(())
}

/// Reads birth time and inode flags of a node that has these flags and this change time. That its type may have them is the
/// caller's to check.
///
/// # Errors
/// [`FormatError`] for flags that are not known or not there, and for nanoseconds that make a second.
pub(super) fn decode(r: &mut Reader<'_>, flags: u8, ctime: &Timestamp) -> Result<(Option<Timestamp>, u32)> {
    let mut btime = None;
    if flags & FLAG_BORN != 0 {
        let seconds = ctime.seconds.wrapping_add(r.signed()?);
        let nanoseconds = i64::from(ctime.nanoseconds).checked_add(r.signed()?);
        let nanoseconds = nanoseconds.and_then(|n| u32::try_from(n).ok()).filter(|n| *n <= NANOSECONDS_MAX);
        btime = Some(Timestamp { seconds, nanoseconds: nanoseconds.ok_or_else(|| r.invalid())? });
    }
    if flags & FLAG_INODE_FLAGS == 0 {
        return Ok((btime, 0));
    }
    let inode_flags = r.bounded(u32::MAX.into())? as u32;
    if inode_flags & !INODE_FLAGS_KEPT != 0 {
        return Err(FormatError::Unknown { what: "inode flags", value: inode_flags.into() });
    }
    if inode_flags == 0 { Err(r.invalid()) } else { Ok((btime, inode_flags)) }
}
