//! Archives in the pax format (POSIX.1-2001, "pax Interchange Format"): ustar headers, with extended records for what does not
//! fit into them: long names and such that are not ASCII, nanoseconds, times before 1970, large numbers, extended attributes.
//!
//! The records beyond the standard are those that GNU tar, star and libarchive share: `SCHILY.xattr.NAME`, `SCHILY.acl.access`,
//! `SCHILY.acl.default` and `RHT.security.selinux`. A name that is not UTF-8 is stored as it is, a long one under
//! `hdrcharset=BINARY`.

use crate::clock::Timestamp;
use crate::engine::dump::acl;
use crate::engine::dump::member::Member;
use crate::format::node::{Content, Metadata, Xattr};
use std::io::{Result, Write};

const BLOCK_LEN: usize = 512;
/// Archives end at a multiple of this, as tar has always written them.
const RECORD_LEN: u64 = 20 * BLOCK_LEN as u64;
const NAME_LEN: usize = 100;
const OWNER_LEN: usize = 32;
static ZEROS: [u8; BLOCK_LEN] = [0; BLOCK_LEN];

/// Writes one archive. What it is given has to be whole members: begun, filled to their size, ended.
#[derive(Debug, Default)]
pub(super) struct TarWriter {
    written: u64,
    /// Bytes still to come of the member that is open.
    left: u64,
    padding: usize,
}

/// Where fields are in a header.
mod field {
    use std::ops::Range;

    pub(super) const NAME: Range<usize> = 0..100;
    pub(super) const MODE: Range<usize> = 100..108;
    pub(super) const UID: Range<usize> = 108..116;
    pub(super) const GID: Range<usize> = 116..124;
    pub(super) const SIZE: Range<usize> = 124..136;
    pub(super) const MTIME: Range<usize> = 136..148;
    pub(super) const CHECKSUM: Range<usize> = 148..156;
    pub(super) const TYPE: usize = 156;
    pub(super) const LINK: Range<usize> = 157..257;
    pub(super) const MAGIC: Range<usize> = 257..265;
    pub(super) const USER: Range<usize> = 265..297;
    pub(super) const GROUP: Range<usize> = 297..329;
    pub(super) const MAJOR: Range<usize> = 329..337;
    pub(super) const MINOR: Range<usize> = 337..345;
}

/// The records of one extended header.
#[derive(Debug, Default)]
struct Records(Vec<u8>);

impl Records {
    /// `LENGTH KEY=VALUE\n`, where the length counts its own digits too.
    fn add(&mut self, key: &[u8], value: &[u8]) {
        let rest = key.len() + value.len() + 3;
        let digits = |number: usize| number.checked_ilog10().map_or(1, |log| log as usize + 1);
        let mut len = rest + digits(rest);
        if digits(len) > digits(rest) {
            len = rest + digits(len);
        }
        self.0.extend_from_slice(len.to_string().as_bytes());
        for part in [b" ", key, b"=", value, b"\n"] {
            self.0.extend_from_slice(part);
        }
    }
}

/// A ustar header that is being filled.
struct Header([u8; BLOCK_LEN]);

impl Header {
    fn new(kind: u8) -> Self {
        let mut header = Self([0; BLOCK_LEN]);
        header.0[field::TYPE] = kind;
        header.0[field::MAGIC].copy_from_slice(b"ustar\x0000");
        header
    }

    /// The beginning of a text. Says whether it was all of it.
    fn text(&mut self, at: std::ops::Range<usize>, text: &[u8]) -> bool {
        let len = text.len().min(at.len());
        self.0[at.start..at.start + len].copy_from_slice(&text[..len]);
        len == text.len()
    }

    /// A number in octal digits; in the binary form of GNU tar where there are too few. Says whether it was octal.
    fn number(&mut self, at: std::ops::Range<usize>, number: u64) -> bool {
        let digits = at.len() - 1;
        let octal = format!("{number:0digits$o}");
        if octal.len() == digits {
            self.0[at.start..at.end - 1].copy_from_slice(octal.as_bytes());
            return true;
        }
        let field = &mut self.0[at];
        for (byte, index) in field.iter_mut().rev().zip(0..8) {
            *byte = (number >> (8 * index)) as u8;
        }
        field[0] |= 0x80;
        false
    }

    fn finish(mut self) -> [u8; BLOCK_LEN] {
        self.0[field::CHECKSUM].fill(b' ');
        let sum: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum();
        let text = format!("{sum:06o}\0 ");
        self.0[field::CHECKSUM].copy_from_slice(text.as_bytes());
        self.0
    }
}

impl TarWriter {
    fn put(&mut self, out: &mut dyn Write, bytes: &[u8]) -> Result<()> {
        out.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Begins a member. `size` bytes have to follow.
    pub(super) fn begin(&mut self, out: &mut dyn Write, member: &Member) -> Result<()> {
        let node = &member.node;
        let metadata = &node.metadata;
        let (kind, target): (u8, &[u8]) = match (&member.link, &node.content) {
            (Some(first), _) => (b'1', first),
            (None, Content::Directory { .. }) => (b'5', b""),
            (None, Content::Symlink { target }) => (b'2', target),
            (None, Content::CharDevice { .. }) => (b'3', b""),
            (None, Content::BlockDevice { .. }) => (b'4', b""),
            (None, Content::Fifo) => (b'6', b""),
            // Sockets are never handed over.
            (None, Content::File { .. } | Content::Socket) => (b'0', b""),
        };
        let mut name = member.name.clone();
        if node.is_directory() {
            name.push(b'/');
        }
        let mut header = Header::new(kind);
        let mut records = Records::default();
        let texts: [(&[u8], _, &[u8]); 4] = [
            (b"path", field::NAME, &name),
            (b"linkpath", field::LINK, target),
            (b"uname", field::USER, &metadata.owner.user),
            (b"gname", field::GROUP, &metadata.owner.group),
        ];
        if texts.iter().any(|(_, at, text)| text.len() > at.len() && !is_utf8(text)) {
            records.add(b"hdrcharset", b"BINARY");
        }
        for (key, at, text) in texts {
            // What is no UTF-8 is in the header as it is, if there is room: GNU tar knows no `hdrcharset`, and says so.
            if !header.text(at, text) || !text.is_ascii() && is_utf8(text) {
                records.add(key, text);
            }
        }
        let size = if member.link.is_some() { 0 } else { node.size() };
        for (key, at, number) in [
            (b"uid".as_slice(), field::UID, u64::from(metadata.owner.uid)),
            (b"gid", field::GID, u64::from(metadata.owner.gid)),
            (b"size", field::SIZE, size),
        ] {
            if !header.number(at, number) {
                records.add(key, number.to_string().as_bytes());
            }
        }
        header.number(field::MODE, u64::from(metadata.mode & 0o7777));
        let seconds = u64::try_from(metadata.mtime.seconds).unwrap_or(0);
        // A number beyond the octal digits would be in a form that only some can read; the record says it to all.
        let fits = seconds < 1 << 33;
        header.number(field::MTIME, if fits { seconds } else { 0 });
        if metadata.mtime.nanoseconds != 0 || !fits || metadata.mtime.seconds < 0 {
            records.add(b"mtime", decimal(metadata.mtime).as_bytes());
        }
        if let Content::CharDevice { major, minor } | Content::BlockDevice { major, minor } = node.content {
            header.number(field::MAJOR, major.into());
            header.number(field::MINOR, minor.into());
        }
        attributes(metadata, &mut records);
        if !records.0.is_empty() {
            self.extended(out, &node.name, &records)?;
        }
        self.put(out, &header.finish())?;
        (self.left, self.padding) = (size, padding(size));
        Ok(())
    }

    fn extended(&mut self, out: &mut dyn Write, name: &[u8], records: &Records) -> Result<()> {
        let mut header = Header::new(b'x');
        // Only seen by a program that knows no extended headers.
        let name = [b"PaxHeaders/", name].concat();
        header.text(field::NAME, &name[..name.len().min(NAME_LEN)]);
        header.number(field::MODE, 0o644);
        header.number(field::UID, 0);
        header.number(field::GID, 0);
        header.number(field::SIZE, records.0.len() as u64);
        header.number(field::MTIME, 0);
        self.put(out, &header.finish())?;
        self.put(out, &records.0)?;
        self.put(out, &ZEROS[..padding(records.0.len() as u64)])
    }

    /// Bytes of the member that is open.
    pub(super) fn content(&mut self, out: &mut dyn Write, bytes: &[u8]) -> Result<()> {
        self.left = self.left.saturating_sub(bytes.len() as u64);
        self.put(out, bytes)
    }

    /// Ends the member that is open.
    pub(super) fn end(&mut self, out: &mut dyn Write) -> Result<()> {
        let padding = std::mem::take(&mut self.padding);
        self.put(out, &ZEROS[..padding])
    }

    /// Ends the archive.
    pub(super) fn finish(&mut self, out: &mut dyn Write) -> Result<()> {
        let end = (self.written + 2 * BLOCK_LEN as u64).next_multiple_of(RECORD_LEN);
        while self.written < end {
            self.put(out, &ZEROS)?;
        }
        Ok(())
    }

    /// Sees to it that nobody takes for whole what ends here. A program that reads archives does not miss the blocks at their
    /// end where a member has just ended: so another one begins, an extended header whose records never come.
    pub(super) fn abandon(&mut self, out: &mut dyn Write) -> Result<()> {
        if self.left > 0 {
            return Ok(());
        }
        self.end(out)?;
        let mut header = Header::new(b'x');
        header.text(field::NAME, b"THIS-ARCHIVE-IS-INCOMPLETE");
        header.number(field::MODE, 0o644);
        header.number(field::SIZE, BLOCK_LEN as u64);
        self.put(out, &header.finish())
    }
}

fn is_utf8(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok()
}

fn padding(size: u64) -> usize {
    (size.wrapping_neg() % BLOCK_LEN as u64) as usize
}

/// Seconds with their fraction.
fn decimal(time: Timestamp) -> String {
    let (seconds, nanoseconds) = (i128::from(time.seconds), i128::from(time.nanoseconds));
    let all = seconds * 1_000_000_000 + nanoseconds;
    let (sign, all) = if all < 0 { ("-", -all) } else { ("", all) };
    let text = format!("{sign}{}.{:09}", all / 1_000_000_000, all % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Extended attributes, lists of access rights among them.
fn attributes(metadata: &Metadata, records: &mut Records) {
    for Xattr { name, value } in &metadata.xattrs {
        let rights: Option<(&[u8], _)> = match name.as_slice() {
            b"system.posix_acl_access" => Some((b"SCHILY.acl.access", acl::text(value))),
            b"system.posix_acl_default" => Some((b"SCHILY.acl.default", acl::text(value))),
            _ => None,
        };
        if let Some((key, Some(text))) = rights {
            records.add(key, text.as_bytes());
            continue;
        }
        if name == b"security.selinux" {
            records.add(b"RHT.security.selinux", value.strip_suffix(b"\0").unwrap_or(value));
        }
        // As GNU tar has it: a key ends at the first equals sign.
        let mut key = b"SCHILY.xattr.".to_vec();
        for byte in name {
            match byte {
                b'%' => key.extend_from_slice(b"%25"),
                b'=' => key.extend_from_slice(b"%3D"),
                byte => key.push(*byte),
            }
        }
        records.add(&key, value);
    }
}

const _: () = assert!(field::USER.end - field::USER.start == OWNER_LEN && field::NAME.end == NAME_LEN);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_record_counts_its_own_digits() {
        for len in (0..1200).chain(9_980..10_020) {
            let mut records = Records::default();
            records.add(b"key", &vec![b'x'; len]);
            let text = String::from_utf8_lossy(&records.0).into_owned();
            let said: usize = text.split(' ').next().and_then(|digits| digits.parse().ok()).unwrap_or(0);
            assert_eq!(said, records.0.len(), "a value of {len}");
        }
    }

    #[test]
    fn times_are_written_as_decimal_fractions() {
        for (seconds, nanoseconds, text) in [
            (0, 0, "0"),
            (10, 0, "10"),
            (5, 1, "5.000000001"),
            (5, 500_000_000, "5.5"),
            (-1, 500_000_000, "-0.5"),
            (-2, 999_999_999, "-1.000000001"),
            (-3, 0, "-3"),
            (i64::MAX, 999_999_999, "9223372036854775807.999999999"),
            (i64::MIN, 0, "-9223372036854775808"),
        ] {
            assert_eq!(decimal(Timestamp { seconds, nanoseconds }), text);
        }
    }

    #[test]
    fn numbers_that_do_not_fit_are_binary() {
        let mut header = Header::new(b'0');
        assert!(header.number(field::UID, 0o7_777_777));
        assert_eq!(&header.0[field::UID], b"7777777\0");
        assert!(!header.number(field::UID, 0xffff_fffe));
        assert_eq!(header.0[field::UID], [0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xfe]);
        assert!(!header.number(field::SIZE, u64::MAX));
        assert_eq!(header.0[field::SIZE][..5], [0x80, 0, 0, 0, 0xff]);
    }
}
