//! The table as a whole: its rows, what is refused, the sites it makes, its version.

use crate::residency::site::Site;
use crate::residency::table::lookup;
use crate::residency::table::refused::{OPERATOR_DOMAINS, REFUSED, RefusedHosts};
use crate::residency::table::row::{COMPILED, Row};
use std::sync::LazyLock;

/// When the table's facts were read, and what they hash to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TableVersion {
    /// Date, `YYYY-MM-DD`.
    pub compiled: &'static str,
    /// BLAKE3 of a canonical rendering of every row and every refusal.
    pub hash: [u8; 32],
}

/// Every row, those that are switched off too.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    lookup::all()
}

/// Every group of hosts that is always refused.
pub fn refused() -> impl Iterator<Item = &'static RefusedHosts> {
    REFUSED.iter()
}

/// One site for every exact host of a row that is not switched off; the first one of a row is what its id stands for. Rows that have
/// only patterns make none.
pub fn sites() -> Vec<Site> {
    let rows = rows().filter(|row| row.off.is_none());
    rows.flat_map(|row| row.hosts.iter().filter_map(|host| Site::of_row(row, host))).collect()
}

/// The table's version.
pub fn version() -> TableVersion {
    static HASH: LazyLock<[u8; 32]> = LazyLock::new(|| hash(rows(), refused(), OPERATOR_DOMAINS));
    TableVersion { compiled: COMPILED, hash: *HASH }
}

/// Every fact with its length before it, so that no two tables have one rendering.
fn hash<'a, 'b>(
    rows: impl Iterator<Item = &'a Row>,
    refused: impl Iterator<Item = &'b RefusedHosts>,
    domains: &[&str],
) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    let mut list = |texts: &[&str]| {
        hasher.update(&(texts.len() as u64).to_le_bytes());
        for text in texts {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
    };
    list(&["cairn residency table", COMPILED]);
    for row in rows {
        let answers: Vec<&str> = row.answers.iter().map(|check| check.name()).collect();
        let us_parent = row.us_parent.map_or("unknown", |yes| if yes { "yes" } else { "no" });
        list(&["row", row.provider, row.region, row.city, row.province, row.class.name()]);
        list(row.off.as_slice());
        list(row.hosts);
        list(row.patterns);
        list(row.bucket_patterns);
        list(row.location_codes);
        list(&answers);
        list(&[row.addressing.name(), row.operator, row.jurisdiction, us_parent, row.grade.name(), row.evidence]);
        list(row.breakers);
    }
    for refused in refused {
        list(&["refused", refused.name, refused.reason]);
        list(refused.patterns);
    }
    list(&["domains"]);
    list(domains);
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_is_in_the_hash() {
        let row = *lookup::id("aws:ca-west-1").expect("a row of the table");
        let of = |row: &Row| hash([row].into_iter(), refused(), &[]);
        let changes: [fn(&mut Row); 9] = [
            |row| row.region = "ca-west-2",
            |row| row.city = "Edmonton",
            |row| row.province = "QC",
            |row| row.class = crate::residency::table::row::Class::Verify,
            |row| row.off = Some("off"),
            |row| row.hosts = &row.hosts[1..],
            |row| row.us_parent = None,
            |row| row.operator = "",
            |row| row.answers = &[],
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut changed = row;
            change(&mut changed);
            assert_ne!(of(&changed), of(&row), "change {number}");
        }
        assert_ne!(hash(rows(), refused(), &[]), hash(rows(), refused().skip(1), &[]));
        assert_ne!(hash(rows(), refused(), &[]), hash(rows(), refused(), &["a"]));
    }
}
