//! Finding a host or an id in the table. Every text has exactly one answer.

use crate::residency::table::pattern;
use crate::residency::table::pinned::PINNED;
use crate::residency::table::refused::{OPERATOR_DOMAINS, REFUSED, RefusedHosts};
use crate::residency::table::row::Row;
use crate::residency::table::special::{DECLARE, OFF, VERIFY};

/// What the table knows about a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// It is always refused.
    Refused(&'static RefusedHosts),
    /// It is a row's host.
    Row(&'static Row),
    /// It contains a bucket or an access point of this row.
    Bucket(&'static Row),
    /// It is below a domain whose hosts only the table may vouch for, and not in the table.
    Operator(&'static str),
    /// Nothing.
    Nothing,
}

/// Every row, those that are switched off too.
pub(crate) fn all() -> impl Iterator<Item = &'static Row> {
    [PINNED, VERIFY, DECLARE, OFF].into_iter().flatten()
}

/// What the table knows about a host, in lower case and without a trailing dot. The refused ones come first.
pub(crate) fn host(host: &str) -> Known {
    let fits = |patterns: &[&str]| patterns.iter().any(|pattern| pattern::matches(pattern, host));
    if let Some(refused) = REFUSED.iter().find(|refused| fits(refused.patterns)) {
        return Known::Refused(refused);
    }
    if let Some(row) = all().find(|row| row.hosts.contains(&host) || fits(row.patterns)) {
        return Known::Row(row);
    }
    if let Some(row) = all().find(|row| fits(row.bucket_patterns)) {
        return Known::Bucket(row);
    }
    let below = |domain: &&str| host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    OPERATOR_DOMAINS.iter().copied().find(below).map_or(Known::Nothing, Known::Operator)
}

/// The row with this id, `PROVIDER:REGION`, letter case aside.
pub(crate) fn id(id: &str) -> Option<&'static Row> {
    let (provider, region) = id.split_once(':')?;
    all().find(|row| row.provider.eq_ignore_ascii_case(provider) && row.region.eq_ignore_ascii_case(region))
}
