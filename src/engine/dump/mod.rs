//! Dump: a file's content, or a directory as an archive, given out in order to whatever can be written to.
//!
//! What is given out cannot be taken back, so the first thing that cannot be read ends it: whoever wants what is left
//! restores. An archive that is cut short does not look whole (see [`tar`] and [`zip`]); the content of a file that is cut
//! short can only be told by the exit code, and by its length.

mod acl;
mod giving;
mod links;
mod member;
mod stream;
mod tar;
#[cfg(test)]
mod tests;
mod zip;

use crate::engine::browse::{Found, Snapshot, SnapshotTree, Step};
use crate::engine::context::{Context, EngineError, Result, chain};
use crate::engine::dump::giving::{Counts, Form, Giving};
use crate::engine::dump::links::Links;
use crate::engine::dump::member::Member;
use crate::engine::dump::stream::{Fetcher, Stream, lossy};
use crate::engine::dump::tar::TarWriter;
use crate::engine::dump::zip::ZipWriter;
use crate::engine::pool;
use crate::format::node::{Body, Content, Node};
use crate::id::SessionId;
use crate::progress::Event;
use crate::repository::pack_reader::{PackReader, ReadBuffers};
use crate::repository::view::Damage;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// What a directory is given out as.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Archive {
    /// A pax archive: everything a snapshot holds but sockets.
    #[default]
    Tar,
    /// A ZIP archive, not compressed: files, directories and symbolic links.
    Zip,
}

/// What to dump.
#[derive(Debug, Clone, Default)]
pub struct DumpOptions {
    /// The directory that names in an archive are relative to: an absolute path in the snapshot; empty is the root.
    pub base: Vec<u8>,
    /// What, within `base`; empty is all of it.
    pub path: Vec<u8>,
    /// What a directory becomes.
    pub archive: Archive,
    /// Whether archives are refused: for a terminal.
    pub no_archive: bool,
    /// Why, for the record.
    pub purpose: String,
}

/// What a dump came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpReport {
    /// Which snapshot.
    pub snapshot: SessionId,
    /// The archive; `None` for the content of one file.
    pub archive: Option<Archive>,
    /// Regular files, further names included.
    pub files: u64,
    /// Of these, further names.
    pub hard_links: u64,
    /// Directories.
    pub directories: u64,
    /// Symbolic links, pipes, devices.
    pub others: u64,
    /// Bytes of content of the files, further names not.
    pub bytes: u64,
    /// Sockets, which no archive can hold.
    pub sockets_skipped: u64,
    /// Pipes and devices that a ZIP archive cannot hold.
    pub left_out: u64,
    /// How long it took.
    pub duration: Duration,
}

/// Gives out what is at a path.
///
/// # Errors
/// [`EngineError::NoPath`]; [`EngineError::NotDumped`]; the first thing that cannot be read; [`EngineError::Output`]. What was
/// given out until then is not whole, and an archive shows it.
pub fn run(cx: &Context, snapshot: &Snapshot, options: &DumpOptions, out: &mut dyn Write) -> Result<DumpReport> {
    let begun = cx.clock.elapsed();
    let repository = cx.repository.config().repository.to_string();
    cx.event(&Event::RunStarted { operation: "dump", repository, purpose: &options.purpose });
    let mut counts = Counts::default();
    let dumped = dump(cx, snapshot, options, out, &mut counts);
    // Whole or not: this much was taken out of the repository.
    cx.event(&Event::ContentRecovered {
        snapshot: snapshot.id.to_string(),
        files: counts.files,
        bytes: counts.bytes,
        failed: u64::from(dumped.is_err()),
    });
    cx.event(&Event::RunEnded { operation: "dump", complete: dumped.is_ok() });
    dumped.map(|dumped| DumpReport {
        snapshot: snapshot.id,
        archive: dumped.archive,
        files: counts.files,
        hard_links: counts.hard_links,
        directories: counts.directories,
        others: counts.others,
        bytes: counts.bytes,
        sockets_skipped: dumped.sockets_skipped,
        left_out: dumped.left_out,
        duration: cx.clock.elapsed().saturating_sub(begun),
    })
}

/// What was dumped, besides what was counted.
struct Dumped {
    archive: Option<Archive>,
    sockets_skipped: u64,
    left_out: u64,
}

/// A path with single slashes, one at its beginning and none at its end; empty for the root.
fn normal(path: &[u8]) -> Vec<u8> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).flat_map(|name| [b"/", name].concat()).collect()
}

fn dump(
    cx: &Context,
    snapshot: &Snapshot,
    options: &DumpOptions,
    out: &mut dyn Write,
    counts: &mut Counts,
) -> Result<Dumped> {
    let view = cx.repository.load_view_for_reading(Damage::Collect)?;
    for error in &view.damaged {
        // Perhaps nothing of it is needed; if it is, that will end the dump.
        cx.event(&Event::Warning { path: b"", message: &chain(error) });
    }
    let reader = Arc::new(PackReader::new(Arc::clone(&cx.repository), Arc::new(view.index)));
    let tree = SnapshotTree::new(Arc::clone(&reader), snapshot.references.tree);
    let base = normal(&options.base);
    let path = [base.clone(), normal(&options.path)].concat();
    let found = tree.find(&path)?;
    let not_dumped = |what| EngineError::NotDumped { path: lossy(&path), what };
    let archive = match &found {
        Found::Node(node) => match node.content {
            Content::File { .. } => None,
            Content::Directory { .. } => Some(options.archive),
            Content::Symlink { .. } => return Err(not_dumped("a symbolic link")),
            _ => return Err(not_dumped("neither a file nor a directory")),
        },
        Found::Root(_) => Some(options.archive),
    };
    if options.no_archive && archive.is_some() {
        return Err(EngineError::Setting(format!(
            "{} is a directory: its archive is nothing for a terminal",
            lossy(&path)
        )));
    }
    let form = match archive {
        None => Form::Content,
        Some(Archive::Tar) => Form::Tar(TarWriter::default()),
        Some(Archive::Zip) => Form::Zip(ZipWriter::default()),
    };
    tell_total(cx, snapshot, &found);
    let fetcher = Fetcher { cx, reader: &reader, is_lost: AtomicBool::new(false) };
    let giving = Giving::new(cx, out, form);
    let mut dumped = Dumped { archive, sockets_skipped: 0, left_out: 0 };
    let ended = pool::run(
        cx.readers(),
        || Ok(ReadBuffers::new()?),
        |buffers: &mut ReadBuffers, job| fetcher.fetch(buffers, &job),
        |pool| {
            let mut stream = Stream::new(&fetcher, pool, giving)?;
            let mut walk =
                Walk { cx, stream: &mut stream, links: Links::default(), base_len: base.len(), dumped: &mut dumped };
            let walked = walk.all(&tree, &path, found);
            let (mut giving, ended) = stream.finish(walked);
            let ended = ended.and_then(|()| giving.finish());
            if ended.is_err() {
                giving.abandon();
            }
            *counts = giving.counts;
            Ok(ended)
        },
    )?;
    ended.map(|()| dumped)
}

/// How much there is to do, where that is known.
fn tell_total(cx: &Context, snapshot: &Snapshot, found: &Found) {
    let statistics = &snapshot.entries.statistics;
    let (entries, bytes) = match found {
        Found::Root(_) => (statistics.total_files, statistics.total_bytes),
        Found::Node(node) if !node.is_directory() => (1, node.size()),
        Found::Node(_) => return,
    };
    cx.event(&Event::Total { entries, bytes });
}

struct Walk<'a, 's, 'p, 'o> {
    cx: &'a Context,
    stream: &'a mut Stream<'s, 'p, 'o>,
    links: Links,
    /// Length of the path that is no part of names in the archive.
    base_len: usize,
    dumped: &'a mut Dumped,
}

impl Walk<'_, '_, '_, '_> {
    fn all(&mut self, tree: &SnapshotTree, path: &[u8], found: Found) -> Result<()> {
        let root = found.tree();
        // The directory that names are relative to is no member itself.
        if let Found::Node(node) = found
            && (root.is_none() || path.len() > self.base_len)
        {
            self.one(path, *node)?;
        }
        let Some(root) = root else { return Ok(()) };
        let mut walk = tree.walk(path, root)?;
        while let Some(step) = walk.next() {
            if self.cx.is_stopped() {
                return Err(EngineError::Interrupted);
            }
            match step {
                Step::Enter(node) | Step::Entry(node) => self.one(walk.path(), node)?,
                Step::Leave => {}
                Step::Damaged(source) => return Err(EngineError::Content { path: lossy(walk.path()), source }),
            }
        }
        Ok(())
    }

    fn one(&mut self, path: &[u8], mut node: Node) -> Result<()> {
        let is_zip = self.dumped.archive == Some(Archive::Zip);
        match node.content {
            Content::Socket => {
                self.dumped.sockets_skipped += 1;
                let message = "sockets are in no archive: their servers make them";
                self.cx.event(&Event::Warning { path, message });
                return Ok(());
            }
            Content::Fifo | Content::CharDevice { .. } | Content::BlockDevice { .. } if is_zip => {
                self.dumped.left_out += 1;
                let message = "a zip archive cannot hold pipes and devices: use tar";
                self.cx.event(&Event::EntryFailed { path, message });
                return Ok(());
            }
            _ => {}
        }
        let name = path.get(self.base_len + 1..).unwrap_or_default().to_vec();
        let body = match &mut node.content {
            Content::File { body, .. } => Some(std::mem::replace(body, Body::Inline(Vec::new()))),
            _ => None,
        };
        let content = body.as_ref().map_or([0; 32], Body::digest);
        let link =
            if self.dumped.archive == Some(Archive::Tar) { self.links.first(&node, &content, &name) } else { None };
        let body = body.filter(|_| link.is_none());
        self.stream.member(Member { path: path.to_vec(), name, node, content, link }, body)
    }
}
