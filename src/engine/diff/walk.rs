//! The walk through two directories side by side: no recursion, and no memory in proportion to what is compared.

use crate::engine::browse::{DEPTH_MAX, DirReader, Found};
use crate::engine::context::{Context, EngineError, Result};
use crate::engine::diff::contents::Contents;
use crate::engine::diff::pair::{Change, Marks};
use crate::engine::diff::report::{DiffOptions, DiffReport, Step};
use crate::format::node::{Content, Node};
use crate::format::wire::FormatError;
use crate::id::TreeId;
use crate::repository::RepositoryError;
use crate::repository::pack_reader::{PackReader, ReadBuffers};
use std::cmp::Ordering;

/// Encoded bytes of trees that are held decoded at the same time, besides the pair one is in.
const HELD_MAX: u64 = 4 << 20;

/// One side of a directory.
#[derive(Debug, Default)]
struct Half {
    dir: Option<DirReader>,
    /// The next entry, where it was taken and waits for the other side.
    head: Option<Node>,
}

impl Half {
    fn new(tree: Option<TreeId>) -> Self {
        Self { dir: tree.map(DirReader::new), head: None }
    }

    /// Sees to it that the next entry is there, if there is one.
    fn fill(&mut self, reader: &PackReader, buffers: &mut ReadBuffers) -> std::result::Result<(), RepositoryError> {
        if let (None, Some(dir)) = (&self.head, &mut self.dir) {
            self.head = dir.next(reader, buffers).transpose()?;
        }
        Ok(())
    }

    fn held(&self) -> u64 {
        self.dir.as_ref().map_or(0, DirReader::held)
    }

    /// Lets go of what is in memory; it is read again when it is needed.
    fn release(&mut self) {
        if let Some(dir) = &mut self.dir {
            if self.head.take().is_some() {
                dir.put_back();
            }
            dir.release();
        }
    }
}

#[derive(Debug)]
struct Frame {
    halves: [Half; 2],
    path_len: usize,
}

/// Compares.
pub(super) struct Walk<'a, 'v> {
    cx: &'a Context,
    reader: &'a PackReader,
    options: DiffOptions,
    contents: Contents<'a>,
    visit: &'v mut dyn FnMut(Step<'_>) -> bool,
    buffers: ReadBuffers,
    frames: Vec<Frame>,
    path: Vec<u8>,
    report: DiffReport,
    /// Nobody wants to know more.
    is_over: bool,
}

impl<'a, 'v> Walk<'a, 'v> {
    pub(super) fn new(
        cx: &'a Context,
        reader: &'a PackReader,
        options: DiffOptions,
        contents: Contents<'a>,
        visit: &'v mut dyn FnMut(Step<'_>) -> bool,
    ) -> Result<Self> {
        let (buffers, report) = (ReadBuffers::new()?, DiffReport::default());
        let (frames, path) = (Vec::new(), Vec::new());
        Ok(Self { cx, reader, options, contents, visit, buffers, frames, path, report, is_over: false })
    }

    pub(super) fn run(mut self, before: &Found, after: &Found) -> Result<DiffReport> {
        match (before.tree(), after.tree()) {
            (Some(first), Some(second)) => self.push([Some(first), Some(second)]),
            _ => {
                let node = |found: &Found| match found {
                    Found::Node(node) => Some((**node).clone()),
                    // The root is only compared with what is no directory: something of another type.
                    Found::Root(_) => None,
                };
                let nodes = [node(before), node(after)];
                let name = nodes.iter().flatten().map(|node| node.name.clone()).next_back().unwrap_or_default();
                self.path = [b"/", &name[..]].concat();
                self.one(nodes);
            }
        }
        while !self.is_over && !self.frames.is_empty() {
            if self.cx.is_stopped() {
                return Err(EngineError::Interrupted);
            }
            self.next();
        }
        let [removed, added] = self.contents.finish();
        (self.report.removed.volume, self.report.added.volume) = (removed, added);
        Ok(self.report)
    }

    fn tell(&mut self, step: Step<'_>) {
        if !self.is_over {
            self.is_over = !(self.visit)(step);
        }
    }

    fn damaged(&mut self, error: RepositoryError) {
        self.report.damaged += 1;
        let path = self.path.clone();
        self.tell(Step::Damaged(&path, error));
    }

    /// Goes into a directory, or two that differ.
    fn push(&mut self, trees: [Option<TreeId>; 2]) {
        if trees[0] == trees[1] {
            return;
        }
        for (side, tree) in trees.iter().enumerate() {
            if let Some(tree) = tree {
                self.contents.tree(side, tree);
            }
        }
        if self.frames.len() >= DEPTH_MAX {
            let source = FormatError::Invalid { what: "depth of the directory" };
            self.damaged(RepositoryError::Damaged { object: "tree".into(), source });
            return;
        }
        let mut held: u64 = self.frames.iter().flat_map(|frame| &frame.halves).map(Half::held).sum();
        for frame in &mut self.frames {
            if held <= HELD_MAX {
                break;
            }
            held -= frame.halves.iter().map(Half::held).sum::<u64>();
            frame.halves.iter_mut().for_each(Half::release);
        }
        self.frames.push(Frame { halves: trees.map(Half::new), path_len: self.path.len() });
    }

    /// Takes the next entry, or pair of entries.
    fn next(&mut self) {
        let Some(frame) = self.frames.last_mut() else { return };
        self.path.truncate(frame.path_len);
        for half in &mut frame.halves {
            if let Err(error) = half.fill(self.reader, &mut self.buffers) {
                // Without all of both sides nobody can tell what is missing on which.
                self.frames.pop();
                self.damaged(error);
                return;
            }
        }
        let [first, second] = &mut frame.halves;
        let order = match (&first.head, &second.head) {
            (None, None) => {
                self.frames.pop();
                return;
            }
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.name.cmp(&b.name),
        };
        let before = if order == Ordering::Greater { None } else { first.head.take() };
        let after = if order == Ordering::Less { None } else { second.head.take() };
        if let Some(node) = before.as_ref().or(after.as_ref()) {
            self.path.push(b'/');
            self.path.extend_from_slice(&node.name);
        }
        self.one([before, after]);
    }

    /// Compares two entries of one name, or tells of one.
    fn one(&mut self, nodes: [Option<Node>; 2]) {
        let marks = match &nodes {
            [Some(before), Some(after)] => Marks::of(before, after, self.options.metadata),
            [before, _] => Marks::lone(before.is_none()),
        };
        let [before, after] = [nodes[0].as_ref(), nodes[1].as_ref()];
        self.count(marks, before, after);
        if marks.is_any() {
            let path = self.path.clone();
            self.tell(Step::Change(Change { path: &path, before, after, marks }));
        }
        if marks.is_any() && !marks.metadata {
            for (side, node, other) in [(0, before, after), (1, after, before)] {
                let Some(node) = node else { continue };
                if let Err(error) = self.contents.file(side, node, other, &mut self.buffers) {
                    self.damaged(error);
                }
            }
        }
        let tree = |node: Option<&Node>| match node.map(|node| &node.content) {
            Some(Content::Directory { tree }) => Some(*tree),
            _ => None,
        };
        self.push([tree(before), tree(after)]);
    }

    fn count(&mut self, marks: Marks, before: Option<&Node>, after: Option<&Node>) {
        let report = &mut self.report;
        report.changed_types += u64::from(marks.kind);
        report.changed_metadata += u64::from(marks.metadata);
        let is_file = |node: Option<&Node>| node.is_some_and(|node| matches!(node.content, Content::File { .. }));
        report.changed_files += u64::from(marks.content && is_file(before));
        let sides = [
            (before, marks.removed || marks.kind, &mut report.removed),
            (after, marks.added || marks.kind, &mut report.added),
        ];
        for (node, counts, side) in sides {
            let Some(node) = node.filter(|_| counts) else { continue };
            match node.content {
                Content::File { size, .. } => {
                    side.files += 1;
                    side.file_bytes = side.file_bytes.saturating_add(size);
                }
                Content::Directory { .. } => side.directories += 1,
                _ => side.others += 1,
            }
        }
    }
}
