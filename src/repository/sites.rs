//! What a repository says of where it may be: declarations of its sites, and its policy.
//!
//! Both are numbered and never changed: a new one takes the next number by a conditional create, and the highest counts. Two
//! hosts that take the same number at once cannot both have it; the later one looks again. Where a store cannot refuse to
//! overwrite, the later one silently wins, which `init` warns of.
//!
//! Whoever may delete from the store can take the newest away, and an older one counts again. The state directory remembers
//! the highest policy seen on this host, which notices that.

use crate::clock::Timestamp;
use crate::crypto::sign::Identity;
use crate::format::declaration::{DeclarationRecord, SignedDeclaration};
use crate::format::layout;
use crate::format::policy::PolicyRecord;
use crate::format::sealed::{OBJECT_LEN_MAX, encoded};
use crate::format::wire::FormatError;
use crate::object::ObjectName;
use crate::repository::error::{RepositoryError, Result};
use crate::repository::handle::Repository;
use crate::residency::place::Pin;
use crate::residency::policy::Policy;
use crate::storage::{Fetch, Listed, Published};
use std::collections::BTreeMap;

/// Most declarations, or policies, of a repository that are looked at: far more than anybody makes.
pub const RECORDS_MAX: usize = 10_000;
/// How often the next number is tried for before giving up.
const TRIES_MAX: usize = 16;

/// Declarations of a repository, and what is wrong with those that cannot be read.
#[derive(Debug, Default)]
pub struct Declarations {
    /// The newest of each name that can be read, by name.
    pub newest: BTreeMap<String, DeclarationRecord>,
    /// Objects that could not be used.
    pub damaged: Vec<RepositoryError>,
}

/// Which declarations and policies a repository has, by their names.
#[derive(Debug, Clone, Default)]
pub struct Records {
    declarations: Vec<Listed>,
    policies: Vec<Listed>,
}

fn limited(prefix: &ObjectName, listed: Vec<Listed>) -> Result<Vec<Listed>> {
    if listed.len() > RECORDS_MAX {
        let limit = RECORDS_MAX as u64;
        let source = FormatError::Limit { what: "number of records", value: listed.len() as u64, limit };
        return Err(RepositoryError::damaged(prefix, source));
    }
    Ok(listed)
}

impl Records {
    /// Those that are there now. No key is needed to see them.
    ///
    /// # Errors
    /// What the store says; more of them than are looked at.
    pub fn list(fetch: &dyn Fetch) -> Result<Self> {
        let [declarations, policies] = fetch.list_together([layout::declarations(), layout::policies()])?;
        Self::of(declarations, policies)
    }

    /// Those that were listed: all below [`layout::declarations`] and all below [`layout::policies`].
    ///
    /// # Errors
    /// More of them than are looked at.
    pub fn of(declarations: Vec<Listed>, policies: Vec<Listed>) -> Result<Self> {
        Ok(Self {
            declarations: limited(&layout::declarations(), declarations)?,
            policies: limited(&layout::policies(), policies)?,
        })
    }

    /// The number of the newest declaration of a site.
    pub fn newest_declaration(&self, site: &str) -> Option<u32> {
        let numbers = self.declarations.iter().filter_map(|listed| layout::declaration_parts(&listed.name));
        numbers.filter(|(name, _)| *name == site).map(|(_, number)| number).max()
    }

    /// The number of the newest policy.
    ///
    /// # Errors
    /// A name there that is no policy's.
    fn newest_policy(&self) -> Result<Option<u32>> {
        let number = |listed: &Listed| {
            let wrong = || RepositoryError::damaged(&listed.name, FormatError::WrongId);
            layout::policy_number(&listed.name).ok_or_else(wrong)
        };
        Ok(self.policies.iter().map(number).collect::<Result<Vec<_>>>()?.into_iter().max())
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &ObjectName> {
        self.declarations.iter().chain(&self.policies).map(|listed| &listed.name)
    }
}

/// Reads one declaration, and checks it against its name and both signatures.
///
/// # Errors
/// What the store says; damage.
pub fn read_declaration(repository: &Repository, name: &ObjectName) -> Result<DeclarationRecord> {
    let damaged = |error| RepositoryError::damaged(name, error);
    let bytes = repository.fetch().read(name, OBJECT_LEN_MAX)?;
    let record =
        DeclarationRecord::decode(&bytes, &repository.config.repository, &repository.master).map_err(damaged)?;
    let parts = (record.signed.declaration.name.as_str(), record.number);
    if layout::declaration_parts(name) == Some(parts) { Ok(record) } else { Err(damaged(FormatError::WrongId)) }
}

/// Reads one policy, and checks it against its name and its signature.
///
/// # Errors
/// What the store says; damage.
pub fn read_policy(repository: &Repository, name: &ObjectName) -> Result<PolicyRecord> {
    let damaged = |error| RepositoryError::damaged(name, error);
    let bytes = repository.fetch().read(name, OBJECT_LEN_MAX)?;
    let record = PolicyRecord::decode(&bytes, &repository.config.repository, &repository.master).map_err(damaged)?;
    if layout::policy_number(name) != Some(record.number) {
        return Err(damaged(FormatError::WrongId));
    }
    if record.widened_by.is_empty() && is_wider(repository, &record.policy.pin) {
        return Err(damaged(FormatError::Invalid { what: "a pin that is wider than the configuration's" }));
    }
    Ok(record)
}

/// Reads the declaration or policy of this name.
///
/// # Errors
/// What the store says; damage.
pub fn check(repository: &Repository, name: &ObjectName) -> Result<()> {
    if name.as_str().starts_with("policy/") {
        read_policy(repository, name).map(drop)
    } else {
        read_declaration(repository, name).map(drop)
    }
}

/// The newest declaration of each name. One that is damaged is reported beside the others: an older one of that name does
/// not count in its place.
///
/// # Errors
/// What the store says.
pub fn declarations(repository: &Repository) -> Result<Declarations> {
    let mut found = Declarations::default();
    let mut names: BTreeMap<String, (u32, ObjectName)> = BTreeMap::new();
    for listed in Records::list(repository.fetch())?.declarations {
        match layout::declaration_parts(&listed.name).map(|(site, number)| (site.to_owned(), number)) {
            Some((site, number)) if names.get(&site).is_none_or(|(highest, _)| *highest < number) => {
                names.insert(site, (number, listed.name));
            }
            Some(_) => {}
            None => found.damaged.push(RepositoryError::damaged(&listed.name, FormatError::WrongId)),
        }
    }
    for (site, (_, name)) in names {
        match read_declaration(repository, &name) {
            Ok(record) => drop(found.newest.insert(site, record)),
            Err(error) => found.damaged.push(error),
        }
    }
    Ok(found)
}

/// The newest policy, if any was ever made.
///
/// # Errors
/// What the store says; damage of the newest: an older one does not count in its place.
pub fn policy(repository: &Repository) -> Result<Option<PolicyRecord>> {
    newest_policy(repository, &Records::list(repository.fetch())?)
}

/// The newest policy of those that were listed.
///
/// # Errors
/// As [`policy`].
pub fn newest_policy(repository: &Repository, records: &Records) -> Result<Option<PolicyRecord>> {
    records.newest_policy()?.map(|number| read_policy(repository, &layout::policy(number))).transpose()
}

/// What holds for sending: the newest policy, or the pin that the repository was made with.
///
/// # Errors
/// As [`policy`].
pub fn effective_policy(repository: &Repository) -> Result<Policy> {
    Ok(policy(repository)?.map_or_else(|| Policy::new(repository.config.pin.clone()), |record| record.policy))
}

/// What became of a declaration: its number, either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declared {
    /// It was stored.
    Stored(u32),
    /// The newest of that name said the same.
    Known(u32),
}

/// Stores a declaration, unless the newest of that name says the same.
///
/// # Errors
/// What the store says; [`RepositoryError::Numbers`] when others always were faster.
pub fn publish_declaration(
    repository: &Repository,
    signed: &SignedDeclaration,
    identity: &Identity,
) -> Result<Declared> {
    let site = &signed.declaration.name;
    for _ in 0..TRIES_MAX {
        let last = Records::list(repository.fetch())?.newest_declaration(site);
        // One that cannot be read is replaced by this one.
        if let Some(number) = last
            && let Some(name) = layout::declaration(site, number)
            && let Ok(record) = read_declaration(repository, &name)
            && record.signed == *signed
        {
            return Ok(Declared::Known(number));
        }
        let number = next(last)?;
        let record = DeclarationRecord { number, host: identity.host_key(), signed: signed.clone() };
        let bytes = record
            .encode(&repository.config.repository, &repository.master, identity, repository.random())
            .map_err(RepositoryError::encode("declaration"))?;
        let name = layout::declaration(site, number).ok_or(RepositoryError::Numbers)?;
        if repository.publish()?.put_new(&name, encoded(&bytes))? == Published::Created {
            return Ok(Declared::Stored(number));
        }
    }
    Err(RepositoryError::Numbers)
}

fn next(last: Option<u32>) -> Result<u32> {
    last.unwrap_or(0).checked_add(1).ok_or(RepositoryError::Numbers)
}

/// A policy to be stored.
#[derive(Debug, Clone)]
pub struct NewPolicy<'a> {
    /// The policy it was made from: `None` if there was none. If another was stored since, nothing is.
    pub after: Option<u32>,
    /// When, by this host's clock.
    pub made: Timestamp,
    /// Who answers for a pin that is wider than the configuration's.
    pub widened_by: &'a str,
    /// What is to hold.
    pub policy: &'a Policy,
}

/// Stores a policy. Returns its number.
///
/// # Errors
/// What the store says; [`RepositoryError::Numbers`] when another host stored one meanwhile: it has to be looked at first.
pub fn publish_policy(repository: &Repository, new: &NewPolicy<'_>, identity: &Identity) -> Result<u32> {
    if Records::list(repository.fetch())?.newest_policy()? != new.after {
        return Err(RepositoryError::Numbers);
    }
    let record = PolicyRecord {
        number: next(new.after)?,
        host: identity.host_key(),
        made: new.made,
        widened_by: new.widened_by.to_owned(),
        policy: new.policy.clone(),
    };
    let bytes = record
        .encode(&repository.config.repository, &repository.master, identity, repository.random())
        .map_err(RepositoryError::encode("policy"))?;
    match repository.publish()?.put_new(&layout::policy(record.number), encoded(&bytes))? {
        Published::Created => Ok(record.number),
        Published::Existed => Err(RepositoryError::Numbers),
    }
}

/// Whether a pin needs somebody to answer for it: it is wider than the one the repository was made with.
pub fn is_wider(repository: &Repository, pin: &Pin) -> bool {
    pin.is_wider_than(&repository.config.pin)
}

#[cfg(test)]
mod tests;
