//! Declared sites of this host: `sites/NAME.json` in the state directory, what was stated about a store and the signature
//! of the host it was stated on. Whatever uses one checks that signature first: a file that was altered is an error that
//! names it, and never a place.

use crate::exit::{Exit, Failure, Result};
use crate::state::{State, replace};
use crate::values::{parse_time, time_seconds, unhex};
use cairn::format::declaration::SignedDeclaration;
use cairn::format::layout::is_site_name;
use cairn::id::{HostKey, hex};
use cairn::residency::{Addressing, Declaration, Origin, Province};
use serde_json::{Value, json};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

/// Longest file, in bytes: the certificates, escaped, and some.
const FILE_LEN_MAX: u64 = 512 << 10;

/// The file of a site.
pub(crate) fn path(state: &State, name: &str) -> PathBuf {
    state.path().join("sites").join(format!("{name}.json"))
}

/// The declaration of this name; `None` if there is none.
///
/// # Errors
/// Exit 20 for one that was altered, since nothing may be sent or read by it.
pub(crate) fn load(state: &State, name: &str) -> Result<Option<SignedDeclaration>> {
    if !is_site_name(name) {
        return Ok(None);
    }
    let path = path(state, name);
    match read(&path) {
        Ok(bytes) => decode(&path, name, &bytes).map(Some),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(Failure::io(format!("read {}", path.display()), &error)),
    }
}

/// All declarations by name, and why others cannot be used.
pub(crate) fn load_all(state: &State) -> (Vec<SignedDeclaration>, Vec<Failure>) {
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    let directory = state.path().join("sites");
    let listing = match std::fs::read_dir(&directory) {
        Ok(listing) => listing,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return (found, failures);
        }
        Err(error) => return (found, vec![Failure::io(format!("list {}", directory.display()), &error)]),
    };
    let mut names: Vec<String> =
        listing.filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".json")?.to_owned())).collect();
    names.sort();
    for name in names {
        match load(state, &name) {
            Ok(signed) => found.extend(signed),
            Err(failure) => failures.push(failure),
        }
    }
    (found, failures)
}

/// Stores a declaration in the place of the one of that name.
pub(crate) fn save(state: &State, signed: &SignedDeclaration) -> Result<PathBuf> {
    state.directory("sites")?;
    let path = path(state, &signed.declaration.name);
    let text = format!("{:#}\n", object(signed));
    // Read back as it will be read: what cannot be verified later is noticed now.
    decode(&path, &signed.declaration.name, text.as_bytes())?;
    replace(&path, &text)?;
    Ok(path)
}

/// A declaration for programs and files.
pub(crate) fn object(signed: &SignedDeclaration) -> Value {
    let d = &signed.declaration;
    json!({
        "name": d.name,
        "endpoint": d.origin.to_string(),
        "region": d.signing_region,
        "addressing": match d.addressing {
            Addressing::Path => "path",
            Addressing::VirtualHost => "virtual-host",
        },
        "operator": d.operator,
        "jurisdiction": d.jurisdiction,
        "us_parent": d.us_parent,
        "address": d.address,
        "city": d.city,
        "province": d.province.as_str(),
        "replicates_to": d.replicates_to,
        "ca_pem": d.ca_pem,
        "declared": time_seconds(d.declared),
        "signed_by": d.signed_by,
        "host_key": signed.host.to_string(),
        "signature": hex(&signed.signature),
    })
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(FILE_LEN_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The declaration that a file holds, if it is what was signed.
fn decode(path: &Path, name: &str, bytes: &[u8]) -> Result<SignedDeclaration> {
    let altered = |why: &str| {
        Failure::new(
            Exit::Residency,
            "residency-refused",
            format!("cannot use the declaration of site {name} in {}: {why}", path.display()),
            format!("declare the site again: `cairn residency declare {name} --replace …`"),
        )
    };
    let value: Value = serde_json::from_slice(bytes).map_err(|_| altered("it is damaged"))?;
    let signed = parse(&value).ok_or_else(|| altered("a field is missing or is not what it should be"))?;
    if signed.declaration.name != name {
        return Err(altered("it is the declaration of another site"));
    }
    match signed.verify() {
        Ok(()) => Ok(signed),
        Err(_) => Err(altered("it was altered since it was signed")),
    }
}

fn parse(value: &Value) -> Option<SignedDeclaration> {
    let text = |key: &str| value[key].as_str().map(str::to_owned);
    let declaration = Declaration {
        name: text("name")?,
        origin: Origin::parse(value["endpoint"].as_str()?).ok()?,
        signing_region: text("region")?,
        addressing: match value["addressing"].as_str()? {
            "path" => Addressing::Path,
            "virtual-host" => Addressing::VirtualHost,
            _ => return None,
        },
        operator: text("operator")?,
        jurisdiction: text("jurisdiction")?,
        us_parent: match &value["us_parent"] {
            Value::Null => None,
            Value::Bool(answer) => Some(*answer),
            _ => return None,
        },
        address: text("address")?,
        city: text("city")?,
        province: Province::parse(value["province"].as_str()?)?,
        replicates_to: text("replicates_to")?,
        ca_pem: text("ca_pem")?,
        declared: parse_time(value["declared"].as_str()?).ok()?,
        signed_by: text("signed_by")?,
    };
    Some(SignedDeclaration {
        declaration,
        host: HostKey::from_hex(value["host_key"].as_str()?).ok()?,
        signature: unhex(value["signature"].as_str()?)?.try_into().ok()?,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use cairn::clock::Timestamp;
    use cairn::crypto::secret::Secret;
    use cairn::crypto::sign::Identity;
    use std::os::unix::fs::PermissionsExt as _;

    fn signed(name: &str) -> SignedDeclaration {
        let declaration = Declaration {
            name: name.into(),
            origin: Origin::parse("http://127.0.0.1:3900").unwrap(),
            signing_region: "garage".into(),
            addressing: Addressing::Path,
            operator: "Coopérative \"X\"".into(),
            jurisdiction: "CA".into(),
            us_parent: None,
            address: "1, rue Principale".into(),
            city: "Gatineau".into(),
            province: Province::parse("QC").unwrap(),
            replicates_to: String::new(),
            ca_pem: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into(),
            declared: Timestamp { seconds: 1_700_000_000, nanoseconds: 0 },
            signed_by: "A. Roy".into(),
        };
        SignedDeclaration::sign(declaration, &Identity::from_seed(&Secret::new([1; 32]))).unwrap()
    }

    #[test]
    fn a_declaration_comes_back_and_any_change_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::new(dir.path());
        assert_eq!((load(&state, "one").unwrap(), load_all(&state).0), (None, Vec::new()));
        let path = save(&state, &signed("one")).unwrap();
        save(&state, &signed("two")).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(load(&state, "one").unwrap(), Some(signed("one")));
        assert_eq!(load_all(&state).0, [signed("one"), signed("two")]);

        let text = std::fs::read_to_string(&path).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        for key in value.as_object().unwrap().keys() {
            let mut altered = value.clone();
            altered[key] = match &value[key] {
                Value::String(old) => old.replacen(['1', 'a', 'A', 'r'], "Q", 1).into(),
                _ => true.into(),
            };
            if altered[key] == value[key] {
                altered[key] = "x".into();
            }
            std::fs::write(&path, altered.to_string()).unwrap();
            let failure = load(&state, "one").unwrap_err();
            assert_eq!(failure.exit, Exit::Residency, "{key}");
            assert!(failure.message.contains("one.json"), "{failure:?}");
            altered.as_object_mut().unwrap().remove(key);
            std::fs::write(&path, altered.to_string()).unwrap();
            // What is missing is an error too, but for the one answer that may be unknown.
            assert!(load(&state, "one").is_err() || key == "us_parent", "{key}");
        }
        // Another site's declaration under this name.
        std::fs::copy(super::path(&state, "two"), &path).unwrap();
        assert!(load(&state, "one").unwrap_err().message.contains("another site"));
        let (found, failures) = load_all(&state);
        assert_eq!((found.len(), failures.len()), (1, 1));
        for name in ["../one", "", "A"] {
            assert_eq!(load(&state, name).unwrap(), None, "{name}");
        }
    }
}
