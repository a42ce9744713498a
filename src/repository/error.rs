//! Errors of a repository: what was done with which object, and why it failed.

use crate::format::wire::FormatError;
use crate::id::{ChunkId, TreeId};
use crate::object::ObjectName;
use crate::storage::StorageError;

/// Result of a repository operation.
pub type Result<T> = std::result::Result<T, RepositoryError>;

/// A failed repository operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepositoryError {
    /// No repository is there.
    #[error("there is no repository at this place")]
    NotThere,
    /// One is there already.
    #[error("a repository is there already ({0})")]
    Exists(String),
    /// Another repository than the one expected.
    #[error("another repository is there: expected {expected}, found {found}")]
    Another {
        /// The id remembered for this place.
        expected: String,
        /// The id found.
        found: String,
    },
    /// More than one configuration.
    #[error("{0} configurations are stored there; a repository has exactly one")]
    ManyConfigs(usize),
    /// No slot opens with this secret.
    #[error("none of the {slots} key slots opens with this {what}")]
    WrongKey {
        /// `key file`, `password`, `recovery key`.
        what: &'static str,
        /// Slots that were tried.
        slots: usize,
    },
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// An object is damaged, or not what it claims to be.
    #[error("object {object} is damaged")]
    Damaged {
        /// Which object.
        object: String,
        /// What is wrong with it.
        #[source]
        source: FormatError,
    },
    /// Something could not be encoded or sealed.
    #[error("cannot encode {what}")]
    Encode {
        /// What.
        what: &'static str,
        /// Why.
        #[source]
        source: FormatError,
    },
    /// A chunk is in no index.
    #[error("chunk {0} is in no index segment")]
    MissingChunk(ChunkId),
    /// A tree is in no index.
    #[error("tree {0} is in no index segment")]
    MissingTree(TreeId),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] crate::crypto::random::RandomError),
    /// A prune generation that this version does not know how to respect.
    #[error("the repository has prune generations, which this version of cairn does not know; use a newer one")]
    Generations,
    /// The session was aborted by somebody else, or its cell was taken.
    #[error("this session's commit cell exists already with other content; nothing was committed")]
    Fenced,
    /// What was written cannot be read back as it was.
    #[error("verification before storing failed: {0}; memory or the compressor may be faulty")]
    Verification(&'static str),
    /// Another host took the next number.
    #[error("another host stored one at the same time")]
    Numbers,
    /// The last or only slot.
    #[error("{0}")]
    Slot(String),
    /// A background thread ended early.
    #[error("a background thread ended early")]
    Thread,
}

impl RepositoryError {
    /// A damaged object.
    pub fn damaged(object: &ObjectName, source: FormatError) -> Self {
        Self::Damaged { object: object.to_string(), source }
    }

    /// An encoding failure.
    pub fn encode(what: &'static str) -> impl Fn(FormatError) -> Self {
        move |source| Self::Encode { what, source }
    }

    /// Whether this is damage in the repository, as opposed to a failure to reach it.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::MissingChunk(_) | Self::MissingTree(_) | Self::ManyConfigs(_) => true,
            Self::Storage(error) => {
                matches!(error.kind, crate::storage::ErrorKind::NotFound | crate::storage::ErrorKind::Truncated)
            }
            _ => false,
        }
    }
}
