//! Trees and lists: what a directory holds, and which chunks make a long file. (`docs/format.md`, "Trees and lists".)
//!
//! Each is two byte strings: *references* (ids of trees, lists and chunks: enough to know what is needed) and *entries*
//! (names, metadata, short contents). Entries take their references in order.

use crate::clock::Timestamp;
use crate::format::inode_fields::{self, FLAG_BORN, FLAG_INODE_FLAGS, NANOSECONDS_MAX};
use crate::format::node::{
    Body, Content, ENTRY_NAME_MAX, INLINE_MAX, LINK_TARGET_MAX, Metadata, Node, Owner, XATTR_COUNT_MAX, XATTR_NAME_MAX,
    XATTR_VALUE_MAX, Xattr, is_entry_name,
};
use crate::format::wire::{FormatError, Reader, Result, Writer};
use crate::id::{ChunkId, TreeId};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Most entries in one tree page.
pub const PAGE_ENTRIES_MAX: usize = 8192;
/// Most pages of one directory.
pub const PAGES_MAX: usize = 65_535;
/// Most chunks in one list.
pub const LIST_CHUNKS_MAX: usize = 8192;
/// Most chunks a file refers to directly, without lists.
pub const DIRECT_CHUNKS_MAX: usize = 1024;
/// Most lists of one file.
pub const FILE_LISTS_MAX: usize = 65_535;
const REFERENCES_MAX: u64 = 1 << 20;
const OWNER_NAME_MAX: usize = 256;

const LEAF: u8 = 1;
const PAGES: u8 = 2;
const LIST: u8 = 3;

const FLAG_SPARSE: u8 = 1;
const FLAG_INCONSISTENT: u8 = 2;
const FLAG_XATTRS: u8 = 4;
const FLAG_LINKED: u8 = 8;
const FLAG_INLINE: u8 = 16;
const FLAG_LISTS: u8 = 32;

/// A page of a directory that is too large for one tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Name of its first entry.
    pub first_name: Vec<u8>,
    /// Its tree.
    pub tree: TreeId,
}

/// A decoded tree or list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tree {
    /// Directory entries, sorted by name.
    Leaf(Vec<Node>),
    /// The pages of a large directory, sorted by first name.
    Pages(Vec<Page>),
    /// Part of a long file's chunks.
    List(Vec<ChunkId>),
}

/// An encoded tree: the two parts that are sealed for different recipients.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EncodedTree {
    /// Kind and ids.
    pub references: Vec<u8>,
    /// Names and metadata.
    pub entries: Vec<u8>,
}

/// What a tree needs: the references part, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct References {
    kind: u8,
    /// Trees and lists.
    pub trees: Vec<TreeId>,
    /// Chunks.
    pub chunks: Vec<ChunkId>,
}

fn limit(what: &'static str, value: usize, limit: usize) -> Result<()> {
    if value > limit { Err(FormatError::Limit { what, value: value as u64, limit: limit as u64 }) } else { Ok(()) }
}

fn encode_references(kind: u8, trees: &[TreeId], chunks: &[ChunkId]) -> Vec<u8> {
    let mut w = Writer::new();
    w.u8(kind);
    w.varint(trees.len() as u64);
    trees.iter().for_each(|id| w.raw(id.as_bytes()));
    w.varint(chunks.len() as u64);
    chunks.iter().for_each(|id| w.raw(id.as_bytes()));
    w.into_vec()
}

/// Decodes a references part.
///
/// # Errors
/// [`FormatError`] when it is malformed or refers to more than a tree may.
pub fn decode_references(bytes: &[u8]) -> Result<References> {
    let mut r = Reader::new(bytes, "tree references");
    let kind = r.u8()?;
    let count = r.count(REFERENCES_MAX, 32)?;
    let trees = (0..count).map(|_| r.array().map(TreeId::from_bytes)).collect::<Result<Vec<_>>>()?;
    let count = r.count(REFERENCES_MAX, 32)?;
    let chunks = (0..count).map(|_| r.array().map(ChunkId::from_bytes)).collect::<Result<Vec<_>>>()?;
    r.end()?;
    match kind {
        LEAF | PAGES | LIST => Ok(References { kind, trees, chunks }),
        _ => Err(FormatError::Unknown { what: "tree kind", value: kind.into() }),
    }
}

/// Encodes directory entries, which must be sorted by name.
///
/// # Errors
/// [`FormatError`] when there are too many, they are out of order, or one of them breaks a limit: nothing is written that
/// the decoder would refuse.
pub fn encode_leaf(nodes: &[Node]) -> Result<EncodedTree> {
    limit("number of entries", nodes.len(), PAGE_ENTRIES_MAX)?;
    let mut owners = Vec::new();
    let mut seen = HashMap::new();
    for node in nodes {
        let owner = owner_fields(&node.metadata.owner);
        seen.entry(owner).or_insert_with(|| {
            owners.push(owner);
            owners.len() as u64 - 1
        });
    }
    let mut w = Writer::new();
    w.varint(owners.len() as u64);
    for (uid, gid, user, group) in owners {
        w.varint(uid.into());
        w.varint(gid.into());
        w.bytes(user);
        w.bytes(group);
    }
    w.varint(nodes.len() as u64);
    let (mut trees, mut chunks) = (Vec::new(), Vec::new());
    let mut previous = Previous::default();
    for node in nodes {
        let owner = seen.get(&owner_fields(&node.metadata.owner)).copied().unwrap_or_default();
        encode_node(&mut w, node, owner, &mut previous, &mut trees, &mut chunks)?;
    }
    limit("number of references", trees.len().max(chunks.len()), REFERENCES_MAX as usize)?;
    Ok(EncodedTree { references: encode_references(LEAF, &trees, &chunks), entries: w.into_vec() })
}

/// An owner as it is stored: longer names are cut, so owners that then agree are one.
fn owner_fields(owner: &Owner) -> (u32, u32, &[u8], &[u8]) {
    let cut = |name| <[u8]>::get(name, ..OWNER_NAME_MAX).unwrap_or(name);
    (owner.uid, owner.gid, cut(&owner.user), cut(&owner.group))
}

/// What the next entry is encoded against.
#[derive(Default)]
struct Previous {
    name: Vec<u8>,
    seconds: i64,
    inode: u64,
    any: bool,
    /// How many owners have occurred: they are listed in the order of their first entry.
    owners: usize,
}

impl Previous {
    fn advance(&mut self, name: &[u8], seconds: i64, inode: u64) {
        self.name.clear();
        self.name.extend_from_slice(name);
        self.seconds = seconds;
        self.inode = inode;
        self.any = true;
    }
}

fn encode_node(
    w: &mut Writer,
    node: &Node,
    owner: u64,
    previous: &mut Previous,
    trees: &mut Vec<TreeId>,
    chunks: &mut Vec<ChunkId>,
) -> Result<()> {
    if !is_entry_name(&node.name) || (previous.any && node.name <= previous.name) {
        return Err(FormatError::Invalid { what: "order or form of entry names" });
    }
    let shared = node.name.iter().zip(&previous.name).take_while(|(a, b)| a == b).count();
    w.varint(shared as u64);
    w.bytes(&node.name[shared..]);
    let meta = &node.metadata;
    if meta.mtime.nanoseconds > NANOSECONDS_MAX || meta.ctime.nanoseconds > NANOSECONDS_MAX {
        return Err(FormatError::Invalid { what: "time of an entry" });
    }
    if meta.links > 1 && node.is_directory() {
        return Err(FormatError::Invalid { what: "number of links of a directory" });
    }
    let mut flags = if meta.xattrs.is_empty() { 0 } else { FLAG_XATTRS };
    flags |= if meta.links > 1 { FLAG_LINKED } else { 0 };
    flags |= inode_fields::flags(meta);
    let kind = match &node.content {
        Content::File { sparse, inconsistent, body, .. } => {
            flags |= if *sparse { FLAG_SPARSE } else { 0 } | if *inconsistent { FLAG_INCONSISTENT } else { 0 };
            flags |= match body {
                Body::Inline(_) => FLAG_INLINE,
                Body::Lists(_) => FLAG_LISTS,
                Body::Chunks(_) => 0,
            };
            1
        }
        Content::Directory { .. } => 2,
        Content::Symlink { .. } => 3,
        Content::Fifo => 4,
        Content::CharDevice { .. } => 5,
        Content::BlockDevice { .. } => 6,
        Content::Socket => 7,
    };
    w.u8(kind);
    w.u8(flags);
    w.varint(u64::from(meta.mode & 0o7777));
    w.varint(owner);
    w.signed(meta.mtime.seconds.wrapping_sub(previous.seconds));
    w.varint(meta.mtime.nanoseconds.into());
    w.signed(meta.ctime.seconds.wrapping_sub(meta.mtime.seconds));
    w.varint(meta.ctime.nanoseconds.into());
    w.signed(meta.inode.wrapping_sub(previous.inode).cast_signed());
    if meta.links > 1 {
        w.varint(meta.links.into());
        w.varint(meta.device);
    }
    inode_fields::encode(w, node)?;
    match &node.content {
        Content::File { size, body, .. } => {
            w.varint(*size);
            match body {
                Body::Inline(bytes) if bytes.len() as u64 == *size && bytes.len() <= INLINE_MAX => w.raw(bytes),
                Body::Inline(_) => return Err(FormatError::Invalid { what: "inline content" }),
                Body::Chunks(ids) => {
                    limit("chunks of a file", ids.len(), DIRECT_CHUNKS_MAX)?;
                    w.varint(ids.len() as u64);
                    chunks.extend_from_slice(ids);
                }
                Body::Lists(ids) => {
                    limit("lists of a file", ids.len(), FILE_LISTS_MAX)?;
                    w.varint(ids.len() as u64);
                    trees.extend_from_slice(ids);
                }
            }
        }
        Content::Directory { tree } => trees.push(*tree),
        Content::Symlink { target } => {
            limit("symlink target", target.len(), LINK_TARGET_MAX)?;
            w.bytes(target);
        }
        Content::CharDevice { major, minor } | Content::BlockDevice { major, minor } => {
            w.varint((*major).into());
            w.varint((*minor).into());
        }
        Content::Fifo | Content::Socket => {}
    }
    if !meta.xattrs.is_empty() {
        limit("number of extended attributes", meta.xattrs.len(), XATTR_COUNT_MAX)?;
        w.varint(meta.xattrs.len() as u64);
        let mut before = None;
        for xattr in &meta.xattrs {
            if !xattr_may_follow(before, &xattr.name) {
                return Err(FormatError::Invalid { what: "order or form of extended attributes" });
            }
            before = Some(xattr);
            limit("extended attribute name", xattr.name.len(), XATTR_NAME_MAX)?;
            limit("extended attribute value", xattr.value.len(), XATTR_VALUE_MAX)?;
            w.bytes(&xattr.name);
            w.bytes(&xattr.value);
        }
    }
    previous.advance(&node.name, meta.mtime.seconds, meta.inode);
    Ok(())
}

/// Encodes the pages of a large directory.
///
/// # Errors
/// [`FormatError`] when there are too many or they are out of order.
pub fn encode_pages(pages: &[Page]) -> Result<EncodedTree> {
    limit("number of pages", pages.len(), PAGES_MAX)?;
    let mut w = Writer::new();
    w.varint(pages.len() as u64);
    pages.iter().for_each(|page| w.bytes(&page.first_name));
    let trees = pages.iter().map(|page| page.tree).collect::<Vec<_>>();
    let encoded = EncodedTree { references: encode_references(PAGES, &trees, &[]), entries: w.into_vec() };
    decode(&encoded.references, &encoded.entries)?;
    Ok(encoded)
}

/// Encodes part of a long file's chunks.
///
/// # Errors
/// [`FormatError::Limit`] when there are too many.
pub fn encode_list(chunks: &[ChunkId]) -> Result<EncodedTree> {
    limit("chunks of a list", chunks.len(), LIST_CHUNKS_MAX)?;
    Ok(EncodedTree { references: encode_references(LIST, &[], chunks), entries: Vec::new() })
}

/// Decodes a tree or list from its two parts.
///
/// # Errors
/// [`FormatError`] for anything the encoders would not have written: names out of order or twice, references too few or
/// left over, limits, trailing bytes.
pub fn decode(references: &[u8], entries: &[u8]) -> Result<Tree> {
    let References { kind, trees, chunks } = decode_references(references)?;
    let mut r = Reader::new(entries, "tree entries");
    match kind {
        LEAF => decode_leaf(r, trees, chunks).map(Tree::Leaf),
        PAGES => {
            let count = r.count(PAGES_MAX as u64, 2)?;
            if count != trees.len() || !chunks.is_empty() || count < 2 {
                return Err(r.invalid());
            }
            let mut pages: Vec<Page> = Vec::with_capacity(count);
            for tree in trees {
                let first_name = r.bytes(ENTRY_NAME_MAX)?.to_vec();
                if !is_entry_name(&first_name) || pages.last().is_some_and(|p| p.first_name >= first_name) {
                    return Err(r.invalid());
                }
                pages.push(Page { first_name, tree });
            }
            r.end()?;
            Ok(Tree::Pages(pages))
        }
        _ => {
            r.end()?;
            limit("chunks of a list", chunks.len(), LIST_CHUNKS_MAX)?;
            if trees.is_empty() { Ok(Tree::List(chunks)) } else { Err(FormatError::Invalid { what: "list" }) }
        }
    }
}

fn decode_leaf(mut r: Reader<'_>, trees: Vec<TreeId>, chunks: Vec<ChunkId>) -> Result<Vec<Node>> {
    let count = r.count(PAGE_ENTRIES_MAX as u64, 4)?;
    let number = |r: &mut Reader<'_>| r.bounded(u32::MAX.into()).map(|v| v as u32);
    let mut owners = Vec::with_capacity(count);
    let mut seen = HashSet::with_capacity(count);
    for _ in 0..count {
        let owner = Arc::new(Owner {
            uid: number(&mut r)?,
            gid: number(&mut r)?,
            user: r.bytes(OWNER_NAME_MAX)?.to_vec(),
            group: r.bytes(OWNER_NAME_MAX)?.to_vec(),
        });
        if !seen.insert(Arc::clone(&owner)) {
            return Err(FormatError::Invalid { what: "owners of entries" });
        }
        owners.push(owner);
    }
    let count = r.count(PAGE_ENTRIES_MAX as u64, 10)?;
    let mut nodes = Vec::with_capacity(count);
    let (mut trees, mut chunks) = (trees.into_iter(), chunks.into_iter());
    let mut previous = Previous::default();
    for _ in 0..count {
        nodes.push(decode_node(&mut r, &owners, &mut previous, &mut trees, &mut chunks)?);
    }
    if trees.len() + chunks.len() != 0 {
        return Err(FormatError::Trailing { what: "tree references" });
    }
    if previous.owners != owners.len() {
        return Err(FormatError::Trailing { what: "owners of entries" });
    }
    r.end()?;
    Ok(nodes)
}

fn decode_node(
    r: &mut Reader<'_>,
    owners: &[Arc<Owner>],
    previous: &mut Previous,
    trees: &mut std::vec::IntoIter<TreeId>,
    chunks: &mut std::vec::IntoIter<ChunkId>,
) -> Result<Node> {
    let shared = r.bounded(previous.name.len() as u64)?;
    let suffix = r.bytes(ENTRY_NAME_MAX)?;
    let name = [&previous.name[..shared], suffix].concat();
    // One encoding for every tree: the shared part is as long as it can be, and names strictly ascend.
    let longer = suffix.first().is_some_and(|b| previous.name.get(shared) == Some(b));
    if !is_entry_name(&name) || longer || (previous.any && name <= previous.name) {
        return Err(FormatError::Invalid { what: "order or form of entry names" });
    }
    let (kind, flags) = (r.u8()?, r.u8()?);
    let allowed = match kind {
        1 => u8::MAX,
        2 => FLAG_XATTRS | FLAG_BORN | FLAG_INODE_FLAGS,
        _ => FLAG_XATTRS | FLAG_LINKED | FLAG_BORN,
    };
    if flags & !allowed != 0 {
        return Err(FormatError::Unknown { what: "entry flags", value: flags.into() });
    }
    let mode = r.bounded(0o7777)? as u32;
    let owner = r.bounded(owners.len() as u64)?;
    if owner > previous.owners {
        return Err(FormatError::Invalid { what: "owners of entries" });
    }
    previous.owners = previous.owners.max(owner + 1);
    let owner = Arc::clone(owners.get(owner).ok_or_else(|| r.invalid())?);
    let nanoseconds = |r: &mut Reader<'_>| r.bounded(NANOSECONDS_MAX.into()).map(|v| v as u32);
    let mtime = Timestamp { seconds: previous.seconds.wrapping_add(r.signed()?), nanoseconds: nanoseconds(r)? };
    let ctime = Timestamp { seconds: mtime.seconds.wrapping_add(r.signed()?), nanoseconds: nanoseconds(r)? };
    let inode = previous.inode.wrapping_add(r.signed()?.cast_unsigned());
    let (links, device) = if flags & FLAG_LINKED != 0 {
        let links = r.bounded(u32::MAX.into())? as u32;
        if links < 2 {
            return Err(r.invalid());
        }
        (links, r.varint()?)
    } else {
        (1, 0)
    };
    let (btime, inode_flags) = inode_fields::decode(r, flags, &ctime)?;
    let short = || FormatError::Truncated { what: "tree references" };
    let numbers = |r: &mut Reader<'_>| -> Result<(u32, u32)> {
        Ok((r.bounded(u32::MAX.into())? as u32, r.bounded(u32::MAX.into())? as u32))
    };
    let content = match kind {
        1 => {
            let size = r.varint()?;
            let body = match flags & (FLAG_INLINE | FLAG_LISTS) {
                FLAG_INLINE => {
                    limit("inline content", usize::try_from(size).unwrap_or(usize::MAX), INLINE_MAX)?;
                    Body::Inline(r.take(size as usize)?.to_vec())
                }
                FLAG_LISTS => {
                    let count = r.bounded(FILE_LISTS_MAX as u64)?;
                    Body::Lists(take(trees, count).ok_or_else(short)?)
                }
                0 => {
                    let count = r.bounded(DIRECT_CHUNKS_MAX as u64)?;
                    Body::Chunks(take(chunks, count).ok_or_else(short)?)
                }
                _ => return Err(FormatError::Unknown { what: "entry flags", value: flags.into() }),
            };
            let (sparse, inconsistent) = (flags & FLAG_SPARSE != 0, flags & FLAG_INCONSISTENT != 0);
            Content::File { size, sparse, inconsistent, body }
        }
        2 => Content::Directory { tree: trees.next().ok_or_else(short)? },
        3 => Content::Symlink { target: r.bytes(LINK_TARGET_MAX)?.to_vec() },
        4 => Content::Fifo,
        5 => numbers(r).map(|(major, minor)| Content::CharDevice { major, minor })?,
        6 => numbers(r).map(|(major, minor)| Content::BlockDevice { major, minor })?,
        7 => Content::Socket,
        _ => return Err(FormatError::Unknown { what: "entry type", value: kind.into() }),
    };
    let xattrs = if flags & FLAG_XATTRS != 0 { decode_xattrs(r)? } else { Vec::new() };
    previous.advance(&name, mtime.seconds, inode);
    let metadata = Metadata { mode, owner, mtime, ctime, inode, device, links, btime, inode_flags, xattrs };
    Ok(Node { name, metadata, content })
}

fn take<T>(items: &mut std::vec::IntoIter<T>, count: usize) -> Option<Vec<T>> {
    (items.len() >= count).then(|| items.by_ref().take(count).collect())
}

fn xattr_may_follow(before: Option<&Xattr>, name: &[u8]) -> bool {
    !name.is_empty() && !name.contains(&0) && before.is_none_or(|x| x.name.as_slice() < name)
}

fn decode_xattrs(r: &mut Reader<'_>) -> Result<Vec<Xattr>> {
    let count = r.count(XATTR_COUNT_MAX as u64, 2)?;
    let mut xattrs: Vec<Xattr> = Vec::with_capacity(count);
    for _ in 0..count {
        let name = r.bytes(XATTR_NAME_MAX)?.to_vec();
        let value = r.bytes(XATTR_VALUE_MAX)?.to_vec();
        if !xattr_may_follow(xattrs.last(), &name) {
            return Err(FormatError::Invalid { what: "order or form of extended attributes" });
        }
        xattrs.push(Xattr { name, value });
    }
    if xattrs.is_empty() { Err(r.invalid()) } else { Ok(xattrs) }
}
