//! The file system without a kernel: what is shown is what is in the snapshots, whatever is damaged, evicted, or read at the
//! same time.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests say their seed")]

use super::{Attributes, FileKind, Ino, MountError, MountOptions, MountView};
use crate::clock::Timestamp;
use crate::crypto::random::{OsRandom, Randomness, SeededRandom};
use crate::engine::browse::Snapshot;
use crate::engine::testing::{Builder, create, file, node};
use crate::engine::{Context, EngineError};
use crate::format::node::{Body, Content, Node, Xattr};
use crate::format::tree;
use crate::id::{ChunkId, TreeId};
use crate::journal::{Anchor, FileEvent, FileRecord, Journal, JournalError, Prepared};
use crate::progress::{Event, EventSink};
use crate::repository::pack_reader::PackReader;
use crate::repository::view::Damage;
use crate::storage::MemoryStorage;
use std::collections::BTreeSet;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

/// Remembers what it is told, a line each.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<String>>);

impl Told {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl EventSink for Told {
    fn event(&self, event: &Event<'_>) {
        let (kind, path) = match event {
            Event::EntryFailed { path, .. } => ("failed", path),
            Event::Warning { path, .. } => ("warning", path),
            _ => return,
        };
        self.0.lock().unwrap().push(format!("{kind} {}", String::from_utf8_lossy(path)));
    }
}

impl Journal for Told {
    fn file(&self, record: &FileRecord<'_>) -> Result<(), JournalError> {
        let event = if record.event == FileEvent::Recovered { "recovered" } else { "not recovered" };
        self.0.lock().unwrap().push(format!("{event} {} {}", String::from_utf8_lossy(record.path), record.size));
        Ok(())
    }

    fn prepared(&self, _: &Prepared<'_>) -> Result<Option<Anchor>, JournalError> {
        Ok(None)
    }

    fn committed(&self, _: &crate::id::SessionId, _: &[u8; 32]) {}
}

/// A mount, and what it said.
struct Mounted {
    view: MountView,
    events: Arc<Told>,
    records: Arc<Told>,
}

fn try_mount(
    cx: &Context,
    snapshots: &[Snapshot],
    path: Option<&str>,
    (memory_bytes, threads): (u64, usize),
) -> Result<Mounted, EngineError> {
    let index = cx.repository.load_view(Damage::Collect).unwrap().index;
    let (events, records) = (Arc::<Told>::default(), Arc::<Told>::default());
    let view = MountView::new(MountOptions {
        reader: Arc::new(PackReader::new(Arc::clone(&cx.repository), Arc::new(index))),
        snapshots: snapshots.to_vec(),
        path: path.map(|path| path.as_bytes().to_vec()),
        owner: (7, 8),
        journal: records.clone(),
        sink: events.clone(),
        memory_bytes,
        threads,
    })?;
    Ok(Mounted { view, events, records })
}

fn mount(cx: &Context, snapshots: &[Snapshot], path: Option<&str>) -> Mounted {
    try_mount(cx, snapshots, path, (64 << 20, 0)).unwrap()
}

impl Mounted {
    /// What is at a path below the mount point; references are not given back.
    fn at(&self, path: &str) -> Result<Attributes, MountError> {
        let names = path.split('/').filter(|name| !name.is_empty());
        names.fold(self.view.names().attributes(Ino::ROOT), |at, name| {
            self.view.names().lookup(at?.ino, name.as_bytes())
        })
    }

    fn read_at(&self, path: &str, offset: u64, len: u64) -> Result<Vec<u8>, MountError> {
        let handle = self.view.files().open(self.at(path)?.ino)?;
        let (say, said) = channel();
        self.view.files().read(handle, offset, len, move |bytes| say.send(bytes).unwrap());
        let bytes = said.recv().unwrap();
        self.view.files().release(handle);
        bytes
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, MountError> {
        self.read_at(path, 0, 1 << 20)
    }

    /// Names of a directory without dots, so many at a time; and how the listing ended.
    fn list(&self, path: &str, at_a_time: usize, remember: bool) -> (Vec<String>, Result<(), MountError>) {
        let ino = self.at(path).unwrap().ino;
        let (mut names, mut position) = (Vec::new(), 0);
        loop {
            let mut left = at_a_time;
            let listed = self.view.names().list(ino, position, remember, |entry| {
                if left == 0 {
                    return false;
                }
                left -= 1;
                position = entry.next;
                if entry.attributes.is_some() {
                    names.push(String::from_utf8(entry.name.to_vec()).unwrap());
                }
                true
            });
            if listed.is_err() || left == at_a_time {
                return (names, listed);
            }
        }
    }
}

fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    SeededRandom::new(seed).fill(&mut bytes).unwrap();
    bytes
}

fn directory(name: &str, tree: TreeId) -> Node {
    node(name, Content::Directory { tree })
}

/// A file of chunks of odd lengths, with all of its content.
fn chunks(builder: &mut Builder, seed: u64, count: usize) -> (Vec<ChunkId>, Vec<u8>) {
    let contents: Vec<Vec<u8>> = (0..count).map(|n| bytes(seed + n as u64, 1000 + 997 * (n % 7))).collect();
    let mut ids = Vec::new();
    for group in contents.chunks(5) {
        ids.extend(builder.blob(&group.iter().map(Vec::as_slice).collect::<Vec<_>>()));
    }
    (ids, contents.concat())
}

#[test]
fn snapshots_are_found_by_id_time_host_and_tag() {
    let cx = create(&MemoryStorage::new(), 0);
    let mut builder = Builder::new(&cx);
    let root = builder.leaf(&[file("f", 1, Body::Inline(b"x".to_vec()))]);
    let one = builder.commit(root);
    let made = |id: u8, seconds, host: &str, tags: &[&str]| {
        let mut snapshot = one.clone();
        snapshot.id = crate::id::SessionId::from_bytes(
            [[id; 4], [0; 4], [0; 4], [seconds as u8; 4]].concat().try_into().unwrap(),
        );
        snapshot.entries.time = Timestamp { seconds, nanoseconds: 5 };
        snapshot.entries.host_name = host.into();
        snapshot.entries.tags = tags.iter().map(|tag| tag.as_bytes().to_vec()).collect();
        snapshot
    };
    let all = [
        made(0xaa, 0, "web/1", &["daily"]),
        made(0xbb, 60, "..", &["daily", "daily"]),
        made(0xbb, 61, "web_1", &["latest", ""]),
        made(0xcc, 61, "web_1", &["daily"]),
    ];
    let mounted = mount(&cx, &all, None);
    let list = |path| {
        let (names, ended) = mounted.list(path, 2, false);
        assert_eq!(ended, Ok(()));
        names.join(" ")
    };
    assert_eq!(list("/"), "hosts ids snapshots tags");
    let (early, late) = ("1970-01-01T00:00:00Z", "1970-01-01T00:01:01Z");
    assert_eq!(list("ids"), format!("aaaaaaaa bbbbbbbb {} cccccccc", all[2].id));
    assert_eq!(list("snapshots"), format!("{early} 1970-01-01T00:01:00Z {late} {late}-1 latest"));
    assert_eq!(list("hosts"), "__ web_1");
    assert_eq!(list("hosts/web_1"), format!("{early} {late} {late}-1 latest"));
    assert_eq!(list("tags"), "_ daily latest_");
    assert_eq!(list("tags/daily"), format!("{early} 1970-01-01T00:01:00Z {late} latest"));
    let link = mounted.at("hosts/web_1/latest").unwrap();
    assert_eq!((link.kind, link.mode, link.size), (FileKind::Symlink, 0o777, 22));
    assert_eq!(mounted.view.names().link_target(link.ino).unwrap(), format!("{late}-1").into_bytes());
    for path in ["ids/aaaaaaaa/f".to_owned(), format!("snapshots/{late}-1/f"), "hosts/__/1970-01-01T00:01:00Z/f".into()]
    {
        assert_eq!(mounted.read(&path).unwrap(), b"x", "{path}");
    }
    let top = mounted.at("snapshots/1970-01-01T00:01:00Z").unwrap();
    assert_eq!((top.kind, top.mode, (top.uid, top.gid), top.mtime.seconds), (FileKind::Directory, 0o555, (7, 8), 60));
    assert_eq!(mounted.at("/").unwrap().mtime.seconds, 61);
    for (path, error) in [
        ("nothing", MountError::NoEntry),
        ("ids/aaaaaaaa/g", MountError::NoEntry),
        ("ids/aaaaaaaa/f/g", MountError::NotDirectory),
        ("snapshots/latest/f", MountError::NotDirectory),
    ] {
        assert_eq!(mounted.at(path).unwrap_err(), error, "{path}");
    }
    let none = mount(&cx, &[], None);
    assert_eq!(none.list("/", 9, false).0, ["hosts", "ids", "snapshots", "tags"]);
    assert_eq!(none.list("snapshots", 9, false).0, Vec::<String>::new());
}

#[test]
fn entries_say_all_that_the_snapshot_knows() {
    let cx = create(&MemoryStorage::new(), 0);
    let mut builder = Builder::new(&cx);
    let mut plain = file("plain", 1, Body::Inline(b"x".to_vec()));
    plain.metadata.mode = 0o6751;
    plain.metadata.mtime = Timestamp { seconds: -5_000_000_000, nanoseconds: 999_999_999 };
    let xattr = |name: &str| Xattr { name: name.into(), value: format!("value of {name}").into_bytes() };
    plain.metadata.xattrs = ["security.capability", "trusted.t", "user.u"].map(xattr).to_vec();
    let mut twin = plain.clone();
    for (node, name) in [(&mut plain, "plain"), (&mut twin, "twin")] {
        node.name = name.into();
        (node.metadata.links, node.metadata.inode, node.metadata.device) = (2, 44, 3);
    }
    let others = [
        node("block", Content::BlockDevice { major: 259, minor: 70_000 }),
        node("char", Content::CharDevice { major: 1, minor: 3 }),
        node("fifo", Content::Fifo),
        node("link", Content::Symlink { target: b"to/\xff".to_vec() }),
    ];
    let inner = builder.leaf(&[plain.clone(), twin]);
    let mut nodes = others.to_vec();
    nodes.insert(2, directory("dir", inner));
    nodes.push(node("socket", Content::Socket));
    let root = builder.leaf(&nodes);
    let snapshot = builder.commit(root);
    let mounted = mount(&cx, std::slice::from_ref(&snapshot), Some("/"));
    let names = mounted.view.names();
    let kinds: Vec<_> =
        ["block", "char", "dir", "fifo", "link", "socket"].map(|n| mounted.at(n).unwrap().kind).to_vec();
    use FileKind::{BlockDevice, CharDevice, Directory, Fifo, Socket, Symlink};
    assert_eq!(kinds, [BlockDevice, CharDevice, Directory, Fifo, Symlink, Socket]);
    assert_eq!((mounted.at("block").unwrap().device, mounted.at("char").unwrap().device), ((259, 70_000), (1, 3)));
    assert_eq!(names.link_target(mounted.at("link").unwrap().ino).unwrap(), b"to/\xff");
    assert_eq!(names.link_target(mounted.at("fifo").unwrap().ino), Err(MountError::NotLink));
    let (one, two) = (mounted.at("dir/plain").unwrap(), mounted.at("dir/twin").unwrap());
    assert_eq!(one, two, "one file under two names");
    assert_eq!((one.mode, one.links, one.mtime, one.size), (0o6751, 2, plain.metadata.mtime, 1));
    let listed = |is_root| String::from_utf8(names.attribute_names(one.ino, is_root).unwrap()).unwrap();
    assert_eq!(listed(true), "security.capability\0trusted.t\0user.u\0");
    assert_eq!(listed(false), "security.capability\0user.u\0");
    assert_eq!(names.attribute(one.ino, b"user.u").unwrap(), b"value of user.u");
    assert_eq!(names.attribute(one.ino, b"user.v"), Err(MountError::NoAttribute));
    assert_eq!(names.attribute_names(Ino::ROOT, true).unwrap(), b"");

    // The second name is no second file.
    assert_eq!((mounted.read("dir/plain").unwrap(), mounted.read("dir/twin").unwrap()), (b"x".to_vec(), b"x".to_vec()));
    assert_eq!(mounted.records.take(), ["recovered /dir/plain 1"]);

    // A directory of it, with what the snapshot says of that; and what is no directory.
    let part = mount(&cx, std::slice::from_ref(&snapshot), Some("dir//"));
    assert_eq!(part.list("/", 1, false).0, ["plain", "twin"]);
    assert_eq!((part.at("/").unwrap().mode, part.at("/").unwrap().ino), (0o755, Ino::ROOT));
    part.read("twin").unwrap();
    assert_eq!(part.records.take(), ["recovered /dir/twin 1"], "the path is the one in the snapshot");
    let try_path = |path| try_mount(&cx, std::slice::from_ref(&snapshot), Some(path), (1 << 20, 0));
    assert!(matches!(try_path("/dir/plain").err(), Some(EngineError::Setting(_))));
    assert!(matches!(try_path("/none").err(), Some(EngineError::NoPath(_))));
}

/// Pages of `count` names each, and the tree of the directory that has them.
fn paged(builder: &mut Builder, pages: usize, count: usize) -> (Vec<String>, TreeId, Vec<tree::Page>) {
    let names: Vec<String> = (0..pages * count).map(|n| format!("f{n:05}")).collect();
    let mut made = Vec::new();
    for page in names.chunks(count) {
        let nodes: Vec<_> = page.iter().map(|n| file(n, 6, Body::Inline(n.clone().into_bytes()))).collect();
        made.push(tree::Page { first_name: page[0].clone().into_bytes(), tree: builder.leaf(&nodes) });
    }
    let tree = builder.encoded(&tree::encode_pages(&made).unwrap());
    (names, tree, made)
}

#[test]
fn large_directories_are_listed_in_parts_and_forgotten() {
    let cx = create(&MemoryStorage::new(), 0);
    let mut builder = Builder::new(&cx);
    let (names, large, _) = paged(&mut builder, 12, 70);
    let empty = builder.leaf(&[]);
    let root = builder.leaf(&[directory("empty", empty), directory("large", large)]);
    let snapshot = builder.commit(root);
    // Next to no memory: nothing that was read is kept for long.
    let mounted = try_mount(&cx, &[snapshot], Some(""), (1 << 16, 0)).unwrap();
    for at_a_time in [1, 3, 69, 70, 71, 1000] {
        for remember in [false, true] {
            let (listed, ended) = mounted.list("large", at_a_time, remember);
            assert_eq!((&listed, ended), (&names, Ok(())), "{at_a_time}");
        }
    }
    assert_eq!(mounted.list("empty", 1, true), (Vec::new(), Ok(())));
    for name in [&names[0], &names[69], &names[70], &names[839]] {
        assert_eq!(mounted.read(&format!("large/{name}")).unwrap(), name.as_bytes());
    }
    assert_eq!(mounted.at("large/f0"), Err(MountError::NoEntry));
    assert_eq!(mounted.view.names().inode_count(), 842);
    let large = mounted.at("large").unwrap().ino;
    for name in &names {
        mounted.view.names().forget(Ino::of_name(large, name.as_bytes()), 100);
    }
    mounted.view.names().forget(large, 100);
    mounted.view.names().forget(mounted.at("empty").unwrap().ino, 100);
    assert_eq!(mounted.view.names().inode_count(), 0);
    assert_eq!(mounted.view.names().attributes(large), Err(MountError::Stale));
}

#[test]
fn damage_of_a_page_spares_the_others_and_no_listing_looks_whole() {
    let cx = create(&MemoryStorage::new(), 0);
    let mut builder = Builder::new(&cx);
    let (names, good, pages) = paged(&mut builder, 3, 10);
    let root = builder.leaf(&[directory("good", good)]);
    builder.commit(root);
    let (missing, lying) = (TreeId::from_bytes([9; 32]), pages[2].tree);
    for (bad, what) in [(0, missing), (1, missing), (2, missing), (1, lying)] {
        let mut builder = Builder::new(&cx);
        let mut pages = pages.clone();
        pages[bad].tree = what;
        let large = builder.encoded(&tree::encode_pages(&pages).unwrap());
        let root = builder.leaf(&[directory("bad", missing), directory("good", good), directory("large", large)]);
        let snapshot = builder.commit(root);
        let mounted = mount(&cx, &[snapshot], Some(""));
        let expected: Vec<_> =
            names.iter().enumerate().filter(|(n, _)| n / 10 != bad).map(|(_, n)| n.clone()).collect();
        for at_a_time in [1, 4, 100] {
            let (listed, ended) = mounted.list("large", at_a_time, false);
            assert_eq!((&listed, ended), (&expected, Err(MountError::Unreadable)), "page {bad}, {at_a_time} at a time");
        }
        for (n, name) in names.iter().enumerate() {
            let found = mounted.at(&format!("large/{name}"));
            assert_eq!(found.is_ok(), n / 10 != bad, "{name}: {found:?}");
        }
        assert_eq!(mounted.list("bad", 5, false), (Vec::new(), Err(MountError::Unreadable)));
        assert_eq!(mounted.list("good", 5, false), (names.clone(), Ok(())));
        assert_eq!(mounted.events.take(), ["failed /large", "failed /bad"], "each once");
        assert_eq!(mounted.view.names().totals().damaged, 2);
    }
}

#[test]
fn contents_are_read_at_any_offset_by_many_threads_with_any_memory() {
    let seed = u64::from_le_bytes(<dyn Randomness>::bytes(&OsRandom).unwrap());
    println!("seed {seed}");
    let cx = create(&MemoryStorage::new(), 0);
    let mut builder = Builder::new(&cx);
    let (direct, direct_bytes) = chunks(&mut builder, 1, 40);
    let (mut listed, mut lists, mut listed_bytes) = (Vec::new(), Vec::new(), Vec::new());
    for part in 0..9 {
        let (ids, content) = chunks(&mut builder, 1000 * part, 5 + part as usize);
        lists.push(builder.encoded(&tree::encode_list(&ids).unwrap()));
        listed_bytes.extend(content);
        listed.extend(ids);
    }
    let nodes = [
        file("direct", direct_bytes.len() as u64, Body::Chunks(direct)),
        file("empty", 0, Body::Inline(Vec::new())),
        file("inline", 5, Body::Inline(b"inner".to_vec())),
        file("listed", listed_bytes.len() as u64, Body::Lists(lists)),
    ];
    let root = builder.leaf(&nodes);
    let snapshot = builder.commit(root);
    let contents = [("direct", &direct_bytes), ("listed", &listed_bytes)];
    for (memory, threads) in [(64 << 20, 0), (1 << 10, 0), (64 << 20, 3), (1 << 10, 3)] {
        let mounted = try_mount(&cx, std::slice::from_ref(&snapshot), Some(""), (memory, threads)).unwrap();
        assert_eq!((mounted.read("empty").unwrap(), mounted.read("inline").unwrap()), (Vec::new(), b"inner".to_vec()));
        assert_eq!(mounted.read_at("inline", 2, 2).unwrap(), b"ne");
        std::thread::scope(|scope| {
            for reader in 0..4 {
                let (mounted, contents) = (&mounted, &contents);
                scope.spawn(move || {
                    let random: &dyn Randomness = &SeededRandom::new(seed + reader);
                    let number = |limit: usize| u64::from_le_bytes(random.bytes().unwrap()) as usize % limit;
                    for _ in 0..60 {
                        let (name, content) = contents[number(2)];
                        let (offset, len) = (number(content.len() + 100), number(20_000));
                        let end = content.len().min(offset + len);
                        let expected = content.get(offset..end).unwrap_or_default();
                        let found = mounted.read_at(name, offset as u64, len as u64).unwrap();
                        assert_eq!(found, expected, "{name} {offset} {len}");
                    }
                });
            }
            // And one who reads from the first byte to the last, read ahead for.
            let handle = mounted.view.files().open(mounted.at("listed").unwrap().ino).unwrap();
            let mut found = Vec::new();
            while found.len() < listed_bytes.len() {
                let (say, said) = channel();
                mounted.view.files().read(handle, found.len() as u64, 4096, move |bytes| say.send(bytes).unwrap());
                found.extend(said.recv().unwrap().unwrap());
            }
            assert_eq!(found, listed_bytes);
        });
        assert_eq!(mounted.events.take(), Vec::<String>::new());
    }
}

#[test]
fn a_chunk_that_cannot_be_had_fails_its_file_alone_and_is_said_once() {
    let cx = create(&MemoryStorage::new(), 0);
    let mut builder = Builder::new(&cx);
    let (good, content) = chunks(&mut builder, 1, 10);
    let mut bad = good.clone();
    bad[4] = ChunkId::from_bytes([5; 32]);
    let size = content.len() as u64;
    let before: usize = (0..4).map(|n| 1000 + 997 * (n % 7)).sum();
    let root = builder.leaf(&[
        file("bad", size, Body::Chunks(bad)),
        file("good", size, Body::Chunks(good.clone())),
        file("longer", size + 1, Body::Chunks(good)),
        file("no-list", size, Body::Lists(vec![TreeId::from_bytes([6; 32])])),
    ]);
    let snapshot = builder.commit(root);
    let mounted = mount(&cx, &[snapshot], Some(""));
    let unreadable = Err(MountError::Unreadable);
    assert_eq!(mounted.read_at("bad", 0, before as u64).unwrap(), content[..before], "what is before it can be read");
    assert_eq!(mounted.read_at("bad", before as u64, 1), unreadable);
    assert_eq!(mounted.read("bad"), unreadable);
    assert_eq!(mounted.read("good").unwrap(), content);
    assert_eq!(mounted.read("longer"), unreadable);
    assert_eq!(mounted.read_at("longer", 0, size).unwrap(), content);
    assert_eq!(mounted.read("no-list"), unreadable);
    assert_eq!(mounted.events.take(), ["failed /bad", "failed /longer", "failed /no-list"]);
    let records: BTreeSet<String> = mounted.records.take().into_iter().collect();
    let opened = ["bad", "good", "no-list"].map(|name| format!("recovered /{name} {size}"));
    let failed = ["bad", "longer", "no-list"].map(|name| format!("not recovered /{name} 0"));
    let longer = format!("recovered /longer {}", size + 1);
    assert_eq!(records, opened.into_iter().chain(failed).chain([longer]).collect());
    let totals = mounted.view.names().totals();
    assert_eq!((totals.files_opened, totals.failed, totals.damaged), (4, 3, 3));
    assert_eq!(totals.bytes_read, before as u64 + 2 * size);
}
