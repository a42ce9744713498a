//! Two entries of one name: what is different about them.

use crate::format::node::{Content, Metadata, Node};

/// What kind of difference it is, as restic marks it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks {
    /// Only on the second side.
    pub added: bool,
    /// Only on the first side.
    pub removed: bool,
    /// Another type.
    pub kind: bool,
    /// Other content: of a file, of a symbolic link its target, of a device its numbers.
    pub content: bool,
    /// Other content of a file that looks untouched: same length, inode and times.
    pub bitrot: bool,
    /// Other metadata.
    pub metadata: bool,
}

/// A difference.
#[derive(Debug)]
pub struct Change<'a> {
    /// Where, relative to what is compared, beginning with a slash.
    pub path: &'a [u8],
    /// The entry on the first side.
    pub before: Option<&'a Node>,
    /// The entry on the second side.
    pub after: Option<&'a Node>,
    /// What is different.
    pub marks: Marks,
}

/// Something about the metadata of an entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// Permissions, setuid, setgid, sticky.
    Mode,
    /// Number or name of the user.
    User,
    /// Number or name of the group.
    Group,
    /// Time of last change of the content.
    Mtime,
    /// Inode flags (`chattr`).
    Flags,
    /// The extended attribute of this name: added, removed or changed.
    Xattr(Vec<u8>),
}

impl Difference {
    /// What is different between the metadata of two entries, of what a restore brings back.
    pub fn between(before: &Metadata, after: &Metadata) -> Vec<Self> {
        let (first, second) = (&before.owner, &after.owner);
        let mut found = Vec::new();
        for (is_different, difference) in [
            (before.mode != after.mode, Self::Mode),
            ((first.uid, &first.user) != (second.uid, &second.user), Self::User),
            ((first.gid, &first.group) != (second.gid, &second.group), Self::Group),
            (before.mtime != after.mtime, Self::Mtime),
            (before.inode_flags != after.inode_flags, Self::Flags),
        ] {
            if is_different {
                found.push(difference);
            }
        }
        if before.xattrs != after.xattrs {
            let only = |list: &Metadata, other: &Metadata| {
                let changed = list.xattrs.iter().filter(|xattr| other.xattrs.binary_search(xattr).is_err());
                changed.map(|xattr| xattr.name.clone()).collect::<Vec<_>>()
            };
            let mut names = [only(before, after), only(after, before)].concat();
            names.sort();
            names.dedup();
            found.extend(names.into_iter().map(Self::Xattr));
        }
        found
    }
}

impl Marks {
    /// Of an entry that is on one side only.
    pub(super) fn lone(is_after: bool) -> Self {
        Self { added: is_after, removed: !is_after, ..Self::default() }
    }

    /// Of two entries of the same name; of directories only what is about themselves.
    pub(super) fn of(before: &Node, after: &Node, with_metadata: bool) -> Self {
        let mut marks = Self::default();
        if std::mem::discriminant(&before.content) != std::mem::discriminant(&after.content) {
            marks.kind = true;
            return marks;
        }
        marks.content = match (&before.content, &after.content) {
            (Content::File { size, body, .. }, Content::File { size: other_size, body: other_body, .. }) => {
                size != other_size || body != other_body
            }
            (Content::Directory { .. }, _) => false,
            (content, other) => content != other,
        };
        let (first, second) = (&before.metadata, &after.metadata);
        if marks.content {
            marks.bitrot = matches!(before.content, Content::File { .. })
                && before.size() == after.size()
                && (first.mtime, first.ctime, first.inode) == (second.mtime, second.ctime, second.inode);
        } else {
            marks.metadata = with_metadata && !Difference::between(first, second).is_empty();
        }
        marks
    }

    /// Whether anything is different.
    pub(super) fn is_any(self) -> bool {
        self != Self::default()
    }
}

impl std::fmt::Display for Marks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = [
            (self.added, "+"),
            (self.removed, "-"),
            (self.kind, "T"),
            (self.content, "M"),
            (self.bitrot, "?"),
            (self.metadata, "U"),
        ];
        let text: String = all.iter().filter(|(is_set, _)| *is_set).map(|(_, letter)| *letter).collect();
        f.pad(&text)
    }
}
