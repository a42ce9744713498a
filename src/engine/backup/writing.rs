//! A session with everything that content goes through on its way to the store. Backup and copy fill it, each in its way.

use crate::crypto::sign::Identity;
use crate::engine::backup::store::Store;
use crate::engine::context::{Context, Result};
use crate::format::cell::{CellEntries, Outcome};
use crate::format::pack::PackKind;
use crate::id::{SessionId, TreeId};
use crate::journal::Prepared;
use crate::progress::Event;
use crate::repository::claims::Claims;
use crate::repository::index::Index;
use crate::repository::pack_writer::{PackSize, PackWriter};
use crate::repository::publisher::{Published, Publisher};
use crate::repository::session::{Commit, OpenSession};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Who writes, and how.
#[derive(Debug)]
pub(in crate::engine) struct Author<'a> {
    /// Signs the session's objects.
    pub(in crate::engine) identity: &'a Arc<Identity>,
    /// The host it runs on.
    pub(in crate::engine) host_name: &'a [u8],
    /// Sizes of data and meta packs, if not the usual ones.
    pub(in crate::engine) pack_sizes: Option<[PackSize; 2]>,
    /// Whether nothing is to be stored.
    pub(in crate::engine) dry_run: bool,
}

/// A session under way.
#[derive(Debug)]
pub(in crate::engine) struct Writing {
    /// The session; its view's index is [`Writing::known`].
    pub(in crate::engine) session: OpenSession,
    /// What was committed when it began.
    pub(in crate::engine) known: Arc<Index>,
    /// Where content goes.
    pub(in crate::engine) store: Store,
    publisher: Arc<Publisher>,
}

/// What a cell says beside the session's own facts.
#[derive(Debug)]
pub(in crate::engine) struct Outcomes {
    pub(in crate::engine) outcome: Outcome,
    pub(in crate::engine) tree: TreeId,
    pub(in crate::engine) parent: Option<SessionId>,
    pub(in crate::engine) entries: CellEntries,
}

impl Writing {
    /// Begins a session.
    ///
    /// # Errors
    /// As [`OpenSession::begin`].
    pub(in crate::engine) fn begin(cx: &Context, author: &Author<'_>) -> Result<Self> {
        let repository = &cx.repository;
        let mut session =
            OpenSession::begin(repository, author.identity, author.host_name, &*cx.clock, author.dry_run)?;
        let adopted_packs = session.adopted.len() as u64;
        cx.event(&Event::SessionOpened { session: session.id.to_string(), adopted_packs });
        let known = Arc::new(std::mem::take(&mut session.view.index));
        let mut adopted = Index::default();
        session.adopted.iter().for_each(|pack| adopted.add(pack));
        adopted.finish();

        let threaded = cx.workers > 0;
        let sink = Arc::clone(&cx.sink);
        let publisher = Arc::new(Publisher::new(Arc::clone(repository), sink, threaded, &session.adopted)?);
        let writer = |kind: PackKind| {
            let size = match (author.pack_sizes, kind) {
                (Some([data, _]), PackKind::Data) => data,
                (Some([_, meta]), PackKind::Meta) => meta,
                (None, kind) => PackSize::default_for(kind, repository.fetch().request_cost()),
            };
            let identity = Arc::clone(author.identity);
            PackWriter::new(Arc::clone(repository), identity, Arc::clone(&publisher), kind, session.id, size)
        };
        let claims = Claims::new(Arc::clone(&known), adopted);
        let (data, meta) = (writer(PackKind::Data), writer(PackKind::Meta));
        let store = Store::new(Arc::clone(repository), claims, data, meta, author.dry_run)?;
        Ok(Self { session, known, store, publisher })
    }

    /// Makes everything durable that was added. To be called however the work ended: what is durable without a cell is taken
    /// over by the next run.
    ///
    /// # Errors
    /// What the store says.
    pub(in crate::engine) fn finish(&self) -> Result<Published> {
        let flushed = self.store.flush();
        let published = self.publisher.finish();
        flushed?;
        Ok(published?)
    }

    /// New chunks, known chunks, plaintext bytes added.
    pub(in crate::engine) fn added(&self) -> [u64; 3] {
        let added = &self.store.added;
        [&added.chunks_new, &added.chunks_known, &added.plain_bytes].map(|count| count.load(Relaxed))
    }
}

/// Commits what a session published.
///
/// # Errors
/// As [`OpenSession::commit`].
pub(in crate::engine) fn commit(
    cx: &Context,
    session: &OpenSession,
    published: &Published,
    outcomes: Outcomes,
) -> Result<SessionId> {
    let id = session.id.to_string();
    let mut names = blake3::Hasher::new();
    for name in &published.objects {
        names.update(name.as_str().as_bytes());
        names.update(b"\n");
    }
    cx.event(&Event::SnapshotPrepared {
        session: id.clone(),
        objects_root: *names.finalize().as_bytes(),
        objects: published.objects.len() as u64,
        tree: *outcomes.tree.as_bytes(),
    });
    let Outcomes { outcome, tree, parent, entries } = outcomes;
    let checkpoint = outcome == Outcome::Checkpoint;
    let (objects, bytes) = (&published.objects[..], published.bytes);
    let log = cx.journal.prepared(&Prepared { session: &session.id, checkpoint, objects, bytes })?;
    let cell = session.commit(&Commit { outcome, tree, parent, segments: published.segments.clone(), entries, log })?;
    cx.journal.committed(&session.id, &cell);
    cx.event(&Event::SnapshotCommitted { session: id, cell, checkpoint });
    Ok(session.id)
}
