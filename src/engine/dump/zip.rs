//! Archives in the ZIP format (PKWARE's APPNOTE.TXT 6.3): members as they are, not compressed, with 64-bit sizes where they are
//! needed. Modes, symbolic links, owners and times are those of Info-ZIP; what the format has no place for is left out by whoever
//! calls: devices, pipes, extended attributes.
//!
//! A member's checksum stands before it as long as it is short, and after it otherwise: the archive is written from front to
//! back. Without the directory at its end no program takes an archive for whole.

use crate::clock::Timestamp;
use crate::engine::dump::member::Member;
use crate::format::node::Content;
use std::io::{Error, Result, Write};

/// Bytes of a member that are held until its checksum is known.
const HELD_MAX: usize = 1 << 20;
/// Bytes of the directory that are held until the end: enough for two million members with names of usual length.
const DIRECTORY_MAX: usize = 256 << 20;
const MAX_32: u64 = u32::MAX as u64;
const MAX_16: u64 = u16::MAX as u64;

const LOCAL: u32 = 0x0403_4b50;
const DESCRIPTOR: u32 = 0x0807_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;

const FLAG_DESCRIPTOR: u16 = 1 << 3;
const FLAG_UTF8: u16 = 1 << 11;
/// Needed to extract: 2.0 for directories, 4.5 for 64-bit sizes.
const VERSION: u16 = 20;
const VERSION_64: u16 = 45;
/// Made on Unix.
const MADE_BY: u16 = 3 << 8 | VERSION_64;

/// The checksum of ZIP (CRC-32 of IEEE 802.3), eight bytes at a time.
#[derive(Debug, Clone, Copy)]
struct Crc(u32);

static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { 0xedb8_8320 ^ value >> 1 } else { value >> 1 };
            bit += 1;
        }
        tables[0][index] = value;
        index += 1;
    }
    index = 0;
    while index < 256 {
        let mut table = 1;
        while table < 8 {
            let before = tables[table - 1][index];
            tables[table][index] = before >> 8 ^ tables[0][(before & 0xff) as usize];
            table += 1;
        }
        index += 1;
    }
    tables
}

impl Crc {
    const NEW: Self = Self(u32::MAX);

    fn update(&mut self, bytes: &[u8]) {
        let (eights, rest) = bytes.as_chunks::<8>();
        let mut crc = self.0;
        for eight in eights {
            let word = u64::from_le_bytes(*eight) ^ u64::from(crc);
            crc = (0..8).fold(0, |sum, at| sum ^ TABLES[7 - at][(word >> (8 * at) & 0xff) as usize]);
        }
        self.0 = rest.iter().fold(crc, |crc, byte| TABLES[0][((crc ^ u32::from(*byte)) & 0xff) as usize] ^ crc >> 8);
    }

    fn finish(self) -> u32 {
        !self.0
    }
}

/// The member that is open.
#[derive(Debug)]
struct Open {
    name: Vec<u8>,
    flags: u16,
    /// As MS-DOS has it: time, then date.
    time: [u16; 2],
    attributes: u32,
    extra: Vec<u8>,
    size: u64,
    crc: Crc,
    offset: u64,
    /// Content whose header is not written yet; `None` once it is.
    held: Option<Vec<u8>>,
}

/// Writes one archive.
#[derive(Debug, Default)]
pub(super) struct ZipWriter {
    written: u64,
    open: Option<Open>,
    directory: Vec<u8>,
    members: u64,
}

fn put16(bytes: &mut Vec<u8>, numbers: &[u16]) {
    numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
}

fn put32(bytes: &mut Vec<u8>, numbers: &[u32]) {
    numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
}

fn put64(bytes: &mut Vec<u8>, numbers: &[u64]) {
    numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
}

/// A number where there are 32 bits for it; all ones say that it is elsewhere.
fn low32(number: u64) -> u32 {
    number.min(MAX_32) as u32
}

fn low16(number: u64) -> u16 {
    number.min(MAX_16) as u16
}

impl Open {
    fn is_large(&self) -> bool {
        self.size >= MAX_32
    }

    fn version(&self) -> u16 {
        if self.is_large() { VERSION_64 } else { VERSION }
    }

    /// The header before a member. With a checksum that comes after it, that is 0 here.
    fn header(&self, crc: u32) -> Vec<u8> {
        let mut extra = Vec::new();
        if self.is_large() {
            put16(&mut extra, &[1, 16]);
            put64(&mut extra, &[self.size, self.size]);
        }
        extra.extend_from_slice(&self.extra);
        let mut bytes = Vec::with_capacity(30 + self.name.len() + extra.len());
        put32(&mut bytes, &[LOCAL]);
        put16(&mut bytes, &[self.version(), self.flags, 0, self.time[0], self.time[1]]);
        put32(&mut bytes, &[crc, low32(self.size), low32(self.size)]);
        put16(&mut bytes, &[self.name.len() as u16, extra.len() as u16]);
        bytes.extend_from_slice(&self.name);
        bytes.extend_from_slice(&extra);
        bytes
    }

    /// The member's entry in the directory.
    fn entry(&self) -> Vec<u8> {
        let mut large = Vec::new();
        if self.is_large() {
            put64(&mut large, &[self.size, self.size]);
        }
        if self.offset >= MAX_32 {
            put64(&mut large, &[self.offset]);
        }
        let mut extra = Vec::new();
        if !large.is_empty() {
            put16(&mut extra, &[1, large.len() as u16]);
            extra.extend_from_slice(&large);
        }
        extra.extend_from_slice(&self.extra);
        let version = if large.is_empty() { VERSION } else { VERSION_64 };
        let mut bytes = Vec::with_capacity(46 + self.name.len() + extra.len());
        put32(&mut bytes, &[CENTRAL]);
        put16(&mut bytes, &[MADE_BY, version, self.flags, 0, self.time[0], self.time[1]]);
        put32(&mut bytes, &[self.crc.finish(), low32(self.size), low32(self.size)]);
        put16(&mut bytes, &[self.name.len() as u16, extra.len() as u16, 0, 0, 0]);
        put32(&mut bytes, &[self.attributes, low32(self.offset)]);
        bytes.extend_from_slice(&self.name);
        bytes.extend_from_slice(&extra);
        bytes
    }
}

impl ZipWriter {
    fn put(&mut self, out: &mut dyn Write, bytes: &[u8]) -> Result<()> {
        out.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Begins a member: a file, a directory or a symbolic link. Of a file its size in bytes has to follow.
    pub(super) fn begin(&mut self, out: &mut dyn Write, member: &Member) -> Result<()> {
        let (node, metadata) = (&member.node, &member.node.metadata);
        let mut name = member.name.clone();
        let (kind, size): (u32, u64) = match &node.content {
            Content::Directory { .. } => {
                name.push(b'/');
                (0o040_000, 0)
            }
            Content::Symlink { target } => (0o120_000, target.len() as u64),
            _ => (0o100_000, node.size()),
        };
        if name.len() as u64 > MAX_16 {
            return Err(Error::other("a path is too long for a zip archive: use tar"));
        }
        let is_directory = u32::from(node.is_directory()) * 0x10;
        let mut open = Open {
            flags: if std::str::from_utf8(&name).is_ok() { FLAG_UTF8 } else { 0 },
            name,
            time: dos_time(metadata.mtime),
            attributes: (kind | metadata.mode & 0o7777) << 16 | is_directory,
            extra: extra(metadata.mtime, metadata.owner.uid, metadata.owner.gid),
            size,
            crc: Crc::NEW,
            offset: self.written,
            held: Some(Vec::new()),
        };
        if size > HELD_MAX as u64 {
            open.flags |= FLAG_DESCRIPTOR;
            open.held = None;
            self.put(out, &open.header(0))?;
        }
        self.open = Some(open);
        match &node.content {
            Content::Symlink { target } => self.content(out, target),
            _ => Ok(()),
        }
    }

    /// Bytes of the member that is open.
    pub(super) fn content(&mut self, out: &mut dyn Write, bytes: &[u8]) -> Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.crc.update(bytes);
        match &mut open.held {
            Some(held) => {
                held.extend_from_slice(bytes);
                Ok(())
            }
            None => self.put(out, bytes),
        }
    }

    /// Ends the member that is open.
    pub(super) fn end(&mut self, out: &mut dyn Write) -> Result<()> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        let crc = open.crc.finish();
        match open.held.take() {
            Some(held) => {
                self.put(out, &open.header(crc))?;
                self.put(out, &held)?;
            }
            None => {
                let mut bytes = Vec::new();
                put32(&mut bytes, &[DESCRIPTOR, crc]);
                if open.is_large() {
                    put64(&mut bytes, &[open.size, open.size]);
                } else {
                    put32(&mut bytes, &[low32(open.size), low32(open.size)]);
                }
                self.put(out, &bytes)?;
            }
        }
        self.directory.extend(open.entry());
        self.members += 1;
        if self.directory.len() > DIRECTORY_MAX {
            return Err(Error::other("there are too many entries for a zip archive: use tar"));
        }
        Ok(())
    }

    /// Ends the archive: its directory, and where that is.
    pub(super) fn finish(&mut self, out: &mut dyn Write) -> Result<()> {
        let (directory, offset) = (std::mem::take(&mut self.directory), self.written);
        let len = directory.len() as u64;
        self.put(out, &directory)?;
        let mut bytes = Vec::new();
        if self.members >= MAX_16 || offset >= MAX_32 || len >= MAX_32 {
            let end = self.written;
            put32(&mut bytes, &[END_64]);
            put64(&mut bytes, &[44]);
            put16(&mut bytes, &[MADE_BY, VERSION_64]);
            put32(&mut bytes, &[0, 0]);
            put64(&mut bytes, &[self.members, self.members, len, offset]);
            put32(&mut bytes, &[LOCATOR_64, 0]);
            put64(&mut bytes, &[end]);
            put32(&mut bytes, &[1]);
        }
        put32(&mut bytes, &[END]);
        put16(&mut bytes, &[0, 0, low16(self.members), low16(self.members)]);
        put32(&mut bytes, &[low32(len), low32(offset)]);
        put16(&mut bytes, &[0]);
        self.put(out, &bytes)
    }
}

/// The extra fields of Info-ZIP: the time in UTC, where 32 bits can say it, and the numbers of the owner.
fn extra(time: Timestamp, uid: u32, gid: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(seconds) = i32::try_from(time.seconds) {
        put16(&mut bytes, &[0x5455, 5]);
        bytes.push(1);
        bytes.extend_from_slice(&seconds.to_le_bytes());
    }
    put16(&mut bytes, &[0x7875, 11]);
    bytes.extend_from_slice(&[1, 4]);
    put32(&mut bytes, &[uid]);
    bytes.push(4);
    put32(&mut bytes, &[gid]);
    bytes
}

/// Time and date of MS-DOS, in UTC: two seconds exactly, from 1980 to 2107.
fn dos_time(time: Timestamp) -> [u16; 2] {
    const FIRST: i64 = 315_532_800;
    const LAST: i64 = 4_354_819_199;
    let seconds = time.seconds.clamp(FIRST, LAST);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days to a date, with years that begin in March (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let date = ((year - 1980) << 9) | (month << 5) | day;
    let time = ((second / 3600) << 11) | ((second / 60 % 60) << 5) | (second % 60 / 2);
    [time as u16, date as u16]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_standard_one_however_it_is_cut() {
        let mut crc = Crc::NEW;
        crc.update(b"123456789");
        assert_eq!(crc.finish(), 0xcbf4_3926);
        let bytes: Vec<u8> = (0..1000_u32).map(|n| (n * 7) as u8).collect();
        let mut whole = Crc::NEW;
        whole.update(&bytes);
        for step in [1, 3, 8, 13] {
            let mut cut = Crc::NEW;
            bytes.chunks(step).for_each(|part| cut.update(part));
            assert_eq!(cut.finish(), whole.finish(), "in steps of {step}");
        }
        assert_eq!(Crc::NEW.finish(), 0);
    }

    #[test]
    fn dates_of_ms_dos() {
        let parts = |seconds| {
            let [time, date] = dos_time(Timestamp { seconds, nanoseconds: 0 });
            (1980 + (date >> 9), date >> 5 & 15, date & 31, time >> 11, time >> 5 & 63, (time & 31) * 2)
        };
        assert_eq!(parts(951_782_400 + 3_723), (2000, 2, 29, 1, 2, 2));
        assert_eq!(parts(1_767_225_599), (2025, 12, 31, 23, 59, 58));
        assert_eq!(parts(-5), (1980, 1, 1, 0, 0, 0));
        assert_eq!(parts(i64::MAX), (2107, 12, 31, 23, 59, 58));
    }
}
