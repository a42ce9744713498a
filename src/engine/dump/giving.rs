//! What is given out, and the books about it: content alone or an archive, with a record of every file whose content left.

use crate::engine::context::{Context, EngineError, Result};
use crate::engine::dump::member::Member;
use crate::engine::dump::tar::TarWriter;
use crate::engine::dump::zip::ZipWriter;
use crate::format::node::Content;
use crate::journal::{FileEvent, FileRecord};
use crate::progress::Event;
use std::io::Write;

/// In which form.
#[derive(Debug)]
pub(super) enum Form {
    /// The content of one file.
    Content,
    Tar(TarWriter),
    Zip(ZipWriter),
}

/// What was given out.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) files: u64,
    pub(super) hard_links: u64,
    pub(super) directories: u64,
    pub(super) others: u64,
    pub(super) bytes: u64,
}

/// The member that is open.
#[derive(Debug)]
struct Open {
    path: Vec<u8>,
    content: [u8; 32],
    size: u64,
    given: u64,
    is_file: bool,
    is_directory: bool,
    is_link: bool,
}

/// Gives out.
pub(super) struct Giving<'o> {
    cx: &'o Context,
    out: &'o mut dyn Write,
    form: Form,
    open: Option<Open>,
    pub(super) counts: Counts,
}

impl std::fmt::Debug for Giving<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Giving").field("form", &self.form).field("counts", &self.counts).finish_non_exhaustive()
    }
}

impl<'o> Giving<'o> {
    pub(super) fn new(cx: &'o Context, out: &'o mut dyn Write, form: Form) -> Self {
        Self { cx, out, form, open: None, counts: Counts::default() }
    }

    /// Path of the member that is open.
    pub(super) fn path(&self) -> &[u8] {
        self.open.as_ref().map_or(b"", |open| &open.path)
    }

    pub(super) fn begin(&mut self, member: Member) -> Result<()> {
        self.cx.event(&Event::EntryStarted { path: &member.path });
        let begun = match &mut self.form {
            Form::Content => Ok(()),
            Form::Tar(tar) => tar.begin(self.out, &member),
            Form::Zip(zip) => zip.begin(self.out, &member),
        };
        let node = &member.node;
        self.open = Some(Open {
            content: member.content,
            size: node.size(),
            given: 0,
            is_file: matches!(node.content, Content::File { .. }),
            is_directory: node.is_directory(),
            is_link: member.link.is_some(),
            path: member.path,
        });
        begun.map_err(EngineError::Output)
    }

    pub(super) fn content(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(open) = &mut self.open {
            // Before it leaves: what fails on the way may have left in part.
            open.given += bytes.len() as u64;
        }
        let written = match &mut self.form {
            Form::Content => self.out.write_all(bytes),
            Form::Tar(tar) => tar.content(self.out, bytes),
            Form::Zip(zip) => zip.content(self.out, bytes),
        };
        written.map_err(EngineError::Output)?;
        self.counts.bytes += bytes.len() as u64;
        self.cx.event(&Event::Bytes { count: bytes.len() as u64 });
        Ok(())
    }

    pub(super) fn end(&mut self) -> Result<()> {
        let ended = match &mut self.form {
            Form::Content => Ok(()),
            Form::Tar(tar) => tar.end(self.out),
            Form::Zip(zip) => zip.end(self.out),
        };
        ended.map_err(EngineError::Output)?;
        let Some(open) = self.open.take() else { return Ok(()) };
        match (open.is_file, open.is_directory) {
            (true, _) => {
                self.counts.files += 1;
                let content = Some(&open.content);
                self.record(FileEvent::Recovered, &open.path, open.size, content);
                self.cx.event(&Event::EntryDone { size: open.size, unchanged: false });
            }
            (_, true) => self.counts.directories += 1,
            _ => self.counts.others += 1,
        }
        self.counts.hard_links += u64::from(open.is_link);
        Ok(())
    }

    /// A record that cannot be kept is no reason to stop, as in a restore.
    fn record(&self, event: FileEvent, path: &[u8], size: u64, content: Option<&[u8; 32]>) {
        let _ = self.cx.journal.file(&FileRecord { event, path, size, content });
    }

    /// Ends what is given out.
    pub(super) fn finish(&mut self) -> Result<()> {
        let finished = match &mut self.form {
            Form::Content => Ok(()),
            Form::Tar(tar) => tar.finish(self.out),
            Form::Zip(zip) => zip.finish(self.out),
        };
        finished.and_then(|()| self.out.flush()).map_err(EngineError::Output)
    }

    /// Leaves what is given out as it is, and not to be taken for whole. What has left of the open file has been recovered:
    /// a record without a content says that it was a part.
    pub(super) fn abandon(&mut self) {
        if let Some(open) = self.open.take().filter(|open| open.is_file) {
            let event = if open.given > 0 { FileEvent::Recovered } else { FileEvent::NotRecovered };
            self.record(event, &open.path, open.given, None);
        }
        if let Form::Tar(tar) = &mut self.form {
            // It may be that nothing can be written any more.
            let _ = tar.abandon(self.out);
        }
        let _ = self.out.flush();
    }
}
