//! A declared site: a store whose place nothing remote can prove, and what a person stated about it by name.
//!
//! How a declaration is encoded and signed is the business of `format`; here is what it says and which ones are refused.

use crate::clock::Timestamp;
use crate::residency::origin::{Addressing, Origin};
use crate::residency::place::Province;
use crate::residency::refusal::{Refusal, RefusalKind};
use crate::residency::table::lookup::{self, Known};
use crate::residency::table::row::Class;

/// Longest name of a declared site, in bytes.
pub const NAME_MAX: usize = 63;
/// Longest signing region, in bytes.
pub const REGION_MAX: usize = 64;
/// Longest operator, jurisdiction, address, city or signer, in bytes.
pub const TEXT_MAX: usize = 256;
/// Longest account of what happens to copies, in bytes.
pub const COPIES_MAX: usize = 1024;
/// Most bytes of certificates.
pub const CA_PEM_MAX: usize = 65_536;

/// What a person stated about a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// The name that stands for the site in `s3://NAME/BUCKET`: a letter, then letters, digits and hyphens, in lower case.
    pub name: String,
    /// Where it is reached.
    pub origin: Origin,
    /// The region that requests are signed for, which the store is expected to state.
    pub signing_region: String,
    /// How a bucket is named in requests.
    pub addressing: Addressing,
    /// Who operates it.
    pub operator: String,
    /// Whose law the operator answers to.
    pub jurisdiction: String,
    /// Whether the operator's ultimate parent is in the United States, if known.
    pub us_parent: Option<bool>,
    /// Civic address of the machines.
    pub address: String,
    /// City.
    pub city: String,
    /// Province or territory.
    pub province: Province,
    /// What the operator does with copies; empty if nothing is known.
    pub replicates_to: String,
    /// Certificates to trust for this site alone, PEM; empty for the usual ones.
    pub ca_pem: String,
    /// When it was stated.
    pub declared: Timestamp,
    /// Who stated it.
    pub signed_by: String,
}

impl Declaration {
    /// Checks every limit, and that the host may be declared at all: nobody can declare what the table knows or refuses.
    ///
    /// # Errors
    /// [`RefusalKind::Refused`], naming the first field that is wrong.
    pub fn check(&self) -> Result<(), Refusal> {
        match self.field_problem().or_else(|| self.host_problem()) {
            None => Ok(()),
            Some(why) => Err(Refusal::new(
                RefusalKind::Refused,
                format!("declared site {:?}", self.name),
                why,
                "Declare the site again (cairn residency declare) with this put right.",
            )),
        }
    }

    fn field_problem(&self) -> Option<String> {
        if !is_name(&self.name) {
            return Some(format!("its name is not a letter and then at most {} of a-z, 0-9, hyphen", NAME_MAX - 1));
        }
        let region = self.signing_region.as_bytes();
        let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if !(1..=REGION_MAX).contains(&region.len()) || !region.iter().all(plain) {
            return Some(format!("its signing region is not 1 to {REGION_MAX} letters, digits, hyphens and dots"));
        }
        let texts = [
            ("operator", &self.operator, 1..=TEXT_MAX),
            ("jurisdiction", &self.jurisdiction, 1..=TEXT_MAX),
            ("address", &self.address, 1..=TEXT_MAX),
            ("city", &self.city, 1..=TEXT_MAX),
            ("signer", &self.signed_by, 1..=TEXT_MAX),
            ("account of copies", &self.replicates_to, 0..=COPIES_MAX),
        ];
        for (field, text, lens) in texts {
            if text.trim() != text || text.chars().any(char::is_control) {
                return Some(format!("its {field} begins or ends with white space or contains control characters"));
            }
            if !lens.contains(&text.len()) {
                return Some(format!("its {field} has {} bytes, not {} to {}", text.len(), lens.start(), lens.end()));
            }
        }
        if self.ca_pem.len() > CA_PEM_MAX {
            return Some(format!("its certificates have more than {CA_PEM_MAX} bytes"));
        }
        let pem = self.ca_pem.as_str();
        if !pem.is_empty() && (!pem.is_ascii() || !pem.contains("-----BEGIN CERTIFICATE-----")) {
            return Some("its certificates are not PEM".into());
        }
        if pem.contains("PRIVATE KEY") {
            return Some("its certificates contain a private key, which belongs on the server alone".into());
        }
        None
    }

    fn host_problem(&self) -> Option<String> {
        let origin = &self.origin;
        if origin.is_punycode() {
            return Some("its host is an internationalised name, which can look like another".into());
        }
        if origin.is_address() && self.addressing == Addressing::VirtualHost {
            return Some("its host is an address, so buckets cannot be named in the host".into());
        }
        match lookup::host(origin.host()) {
            Known::Nothing => None,
            Known::Refused(refused) => Some(format!("its host is always refused: {}", refused.reason)),
            Known::Row(row) if row.class == Class::Declare && row.off.is_none() => {
                let contradicts = !row.province.is_empty() && row.province != self.province.as_str();
                contradicts.then(|| format!("the table knows its host in {} ({})", row.city, row.province))
            }
            Known::Row(row) => Some(format!("the table knows its host: it is {}", row.id())),
            Known::Bucket(row) => Some(format!("its host contains a bucket of {}", row.id())),
            Known::Operator(domain) => Some(format!(
                "hosts below {domain} are used only if the table lists them, and it does not list this one"
            )),
        }
    }
}

/// Whether a text has the form of a declared site's name.
pub(crate) fn is_name(text: &str) -> bool {
    let plain = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-');
    text.len() <= NAME_MAX && text.starts_with(|c: char| c.is_ascii_lowercase()) && text.bytes().all(plain)
}
