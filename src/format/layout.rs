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

/// Prefix of declarations of sites.
pub fn declarations() -> ObjectName {
    name("sites".into())
}

/// The `number`-th declaration of a site of this name; `None` for what is no site's name.
pub fn declaration(site: &str, number: u32) -> Option<ObjectName> {
    is_site_name(site).then(|| name(format!("sites/{site}-{number}")))
}

/// Site and number of a declaration's name.
pub fn declaration_parts(name: &ObjectName) -> Option<(&str, u32)> {
    let (site, number) = name.as_str().strip_prefix("sites/")?.rsplit_once('-')?;
    Some((site, parse_number(number)?)).filter(|(site, _)| is_site_name(site))
}

/// Whether a declared site may have this name.
pub fn is_site_name(text: &str) -> bool {
    let rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    text.len() <= SITE_NAME_MAX && text.starts_with(|c: char| c.is_ascii_lowercase()) && text.bytes().all(rest)
}

/// Longest name of a declared site, in bytes.
pub const SITE_NAME_MAX: usize = 63;

/// Prefix of policies.
pub fn policies() -> ObjectName {
    name("policy".into())
}

/// The `number`-th policy.
pub fn policy(number: u32) -> ObjectName {
    name(format!("policy/{number}"))
}

/// Number of a policy's name.
pub fn policy_number(name: &ObjectName) -> Option<u32> {
    name.as_str().strip_prefix("policy/").and_then(parse_number)
}

/// A number from 1, in decimal, in its one spelling.
fn parse_number(text: &str) -> Option<u32> {
    text.parse::<u32>().ok().filter(|number| *number > 0 && number.to_string() == text)
}

/// Whether an object is worth keeping in a cache: meta packs and segments, which every run reads, and whose names are the
/// hashes of their bytes.
pub fn is_cacheable(name: &ObjectName) -> bool {
    let mut parts = name.as_str().split('/');
    parts.next() == Some("d") && parts.nth(1).is_some_and(|class| class == "meta" || class == "index")
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

    /// A snapshot's forget record.
    pub fn forget(&self, id: &SessionId) -> ObjectName {
        self.under(&format!("forget/{id}"))
    }

    /// Prefix of prune generations.
    pub fn generations(&self) -> ObjectName {
        self.under("gen")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_names_have_one_spelling() {
        for (site, number) in [("a", 1), ("a-1", 12), ("garage-toronto", u32::MAX), ("a-", 2)] {
            let name = declaration(site, number);
            assert_eq!(name.as_ref().and_then(declaration_parts), Some((site, number)), "{site}");
        }
        for site in ["", "1a", "-a", "A", "a.b", "a/b", &"a".repeat(SITE_NAME_MAX + 1)] {
            assert_eq!(declaration(site, 1), None, "{site}");
        }
        assert_eq!(policy_number(&policy(7)), Some(7));
        for text in ["sites/a", "sites/a-0", "sites/a-01", "sites/a-4294967296", "sites/-1", "sites/b/a-1", "policy/1"]
        {
            assert_eq!(ObjectName::new(text).ok().as_ref().and_then(declaration_parts), None, "{text}");
        }
        for text in ["policy/0", "policy/01", "policy/x", "sites/a-1", "policy/1/2"] {
            assert_eq!(ObjectName::new(text).ok().as_ref().and_then(policy_number), None, "{text}");
        }
    }
}
