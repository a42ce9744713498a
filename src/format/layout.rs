//! Where objects are: kind and id to name, and back. (`docs/format.md`, "Layout".)

use crate::format::pack::PackKind;
use crate::id::{DatasetId, PackId, RepositoryId, SegmentId, SessionId, SlotId};
use crate::object::ObjectName;

fn name(text: String) -> ObjectName {
    ObjectName::new(text).expect("hexadecimal ids and fixed words make valid names")
}

/// Prefix of configurations.
pub fn configs() -> ObjectName {
    name("config".into())
}

/// A configuration.
pub fn config(id: &RepositoryId) -> ObjectName {
    name(format!("config/{id}"))
}

/// Prefix of key slots.
pub fn key_slots() -> ObjectName {
    name("keys/slots".into())
}

/// A key slot.
pub fn key_slot(id: &SlotId) -> ObjectName {
    name(format!("keys/slots/{id}"))
}

/// Prefix of wrapped dataset roots.
pub fn dataset_roots() -> ObjectName {
    name("keys/datasets".into())
}

/// A dataset's wrapped root.
pub fn dataset_root(id: &DatasetId, epoch: u32) -> ObjectName {
    name(format!("keys/datasets/{id}-{epoch}"))
}

/// The names of one dataset's objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatasetLayout(pub DatasetId);

impl DatasetLayout {
    fn under(&self, rest: &str) -> ObjectName {
        name(format!("d/{}/{rest}", self.0))
    }

    /// Prefix of packs of a kind.
    pub fn packs(&self, kind: PackKind) -> ObjectName {
        self.under(match kind {
            PackKind::Data => "packs",
            PackKind::Meta => "meta",
        })
    }

    /// A pack; one level of 256 folders keeps local directories small.
    pub fn pack(&self, kind: PackKind, id: &PackId) -> ObjectName {
        let hex = id.to_string();
        name(format!("{}/{}/{hex}", self.packs(kind), &hex[..2]))
    }

    /// Prefix of index segments.
    pub fn segments(&self) -> ObjectName {
        self.under("index")
    }

    /// An index segment.
    pub fn segment(&self, id: &SegmentId) -> ObjectName {
        self.under(&format!("index/{id}"))
    }

    /// Prefix of sessions.
    pub fn sessions(&self) -> ObjectName {
        self.under("sessions")
    }

    /// A session.
    pub fn session(&self, id: &SessionId) -> ObjectName {
        self.under(&format!("sessions/{id}"))
    }

    /// Prefix of commit cells.
    pub fn cells(&self) -> ObjectName {
        self.under("snapshots")
    }

    /// A session's commit cell.
    pub fn cell(&self, id: &SessionId) -> ObjectName {
        self.under(&format!("snapshots/{id}"))
    }

    /// Prefix of forget records.
    pub fn forgets(&self) -> ObjectName {
        self.under("forget")
    }

    /// Prefix of prune generations.
    pub fn generations(&self) -> ObjectName {
        self.under("gen")
    }
}
