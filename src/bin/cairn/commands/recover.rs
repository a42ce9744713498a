//! `cairn recover`: back to a repository with nothing but the recovery key. Works where the repository can only be read.

use crate::args::{RecoverArgs, RecoverStoreArgs};
use crate::exit::{Exit, Failure, Result, chain};
use crate::record::Beginning;
use crate::remote::{Remote, Target, canonical};
use crate::run::{Need, Opened, Reached, Run};
use crate::secrets;
use crate::sites;
use crate::values;
use cairn::audit::recorder as audit;
use cairn::format::key_slot::SlotKind;
use cairn::object::ObjectName;
use cairn::repository::sites as repository_sites;
use cairn::residency::{EndpointCandidate, Origin};
use cairn::storage::Location;
use cairn::storage::s3::CreateMode;
use serde_json::json;

/// Unlocks, installs the key, and says what to do next.
pub(crate) fn run(run: &mut Run, args: &RecoverArgs) -> Result<Exit> {
    let recovery = secrets::read_key_file(&args.recovery_key_file, &run.output)?;
    if recovery.kind() != SlotKind::Recovery {
        let message = format!("{} holds a key, but no recovery key", args.recovery_key_file.display());
        return Err(Failure::usage(
            message,
            "a recovery key starts with cairn-recovery1; a key file is for --key-file",
        ));
    }
    let (reached, found) = match explicit(run, &args.store)? {
        Some(reached) => run.find_in(reached)?.ok_or_else(|| run.missing())?,
        None => run.find_existing(Need::Read)?,
    };
    // Whoever holds the recovery key decides what is here: another repository than before is remembered from now on.
    let mut opened = run.open_with(reached, &found, &recovery, Need::Read)?;
    let beginning = Beginning { need: audit::Need::Read, operation: "recover", purpose: "", fields: json!({}) };
    run.begin(&opened, beginning)?.end(Ok(Exit::Done), json!({"key": "recovery"}))?;
    let installed_sites = install_sites(run, &opened)?;
    if let Some(location) = args.store.endpoint.as_ref().and_then(|_| named_location(run, &opened)) {
        run.settings.location = location.clone();
        opened.location = location;
        run.remember(&opened);
    }
    let all = run.snapshots(&opened)?;
    if !all.damaged.is_empty() {
        let count = values::count(all.damaged.len() as u64, "snapshot", "snapshots");
        run.output.warn(&format!("{count} cannot be read; `cairn check` says more"));
    }

    let key_file = secrets::key_file(run.state.path(), &opened.id());
    let installed = if key_file.exists() {
        false
    } else {
        run.state.directory("keys")?;
        secrets::write_new(&key_file, &recovery)?;
        true
    };
    let latest = all.all().last();
    let lines = [
        format!("the recovery key opens {}", run.named(&opened)),
        match installed {
            true => format!("it is installed as this machine's key: {}", key_file.display()),
            false => format!("this machine has a key already: {}", key_file.display()),
        },
        match latest {
            Some(snapshot) => {
                let count = values::count(all.all().len() as u64, "snapshot", "snapshots");
                format!("{count}, the last one: {}", snapshot.line())
            }
            None => "it holds no snapshot".to_owned(),
        },
    ];
    for line in &lines {
        run.output.text(line)?;
    }
    for name in &installed_sites {
        run.output
            .text(&format!("declaration of site {name} installed: {}", sites::path(&run.state, name).display()))?;
    }
    let location = quoted(&run.location().to_string());
    let at = run.settings.at.map(|at| format!(" --at {}", values::time(at))).unwrap_or_default();
    let mut next = vec![format!("cairn snapshots --repo {location}{at}")];
    if let Some(snapshot) = latest {
        next.push(format!("cairn restore {} --repo {location}{at} --target DIR", snapshot.id.short()));
    }
    run.output.text("next:")?;
    for command in &next {
        run.output.text(&format!("  {command}"))?;
    }
    run.output.object(&json!({
        "message_type": "summary",
        "repository_id": opened.id().to_string(),
        "repository": run.location().to_string(),
        "key_file": key_file.to_string_lossy(),
        "key_file_installed": installed,
        "snapshots": all.all().len(),
        "latest_snapshot_id": latest.map(|snapshot| snapshot.id.to_string()),
        "next": next,
        "sites_installed": installed_sites,
    }))?;
    Ok(if all.damaged.is_empty() { Exit::Done } else { Exit::Damage })
}

/// The bucket that the arguments name by its URL; from now on it is where the repository is.
fn explicit(run: &mut Run, args: &RecoverStoreArgs) -> Result<Option<Reached>> {
    let (Some(endpoint), Some(bucket)) = (&args.endpoint, &args.bucket) else { return Ok(None) };
    let prefix = match args.prefix.as_deref().map(|prefix| prefix.trim_end_matches('/')).filter(|p| !p.is_empty()) {
        None => None,
        Some(text) => Some(ObjectName::new(text).map_err(|error| {
            let hint = "a prefix is made of parts of a-z 0-9 - _ . that start with no dot";
            Failure::usage(format!("--prefix: {error}"), hint)
        })?),
    };
    let origin = Origin::parse(endpoint)?;
    let mut candidate = EndpointCandidate::of_origin(origin.clone());
    if let Some(region) = &args.region {
        candidate = candidate.with_signing_region(region);
    }
    let target = Target { candidate, bucket, prefix: prefix.as_ref(), declared: None };
    let remote = Remote::reach(target, &run.settings, CreateMode::Unknown, None)?;
    run.settings.location =
        canonical(Location::S3 { site: origin.authority(), bucket: bucket.clone(), prefix: prefix.clone() });
    run.reached(remote).map(Some)
}

/// Installs the declarations that are kept in the repository. What this machine has under such a name already is kept.
fn install_sites(run: &Run, opened: &Opened) -> Result<Vec<String>> {
    let found = repository_sites::declarations(&opened.repository).map_err(|error| {
        Failure::from(error).while_trying(format!("read the declarations in {}", run.named(opened)))
    })?;
    for error in &found.damaged {
        run.output.warn(&chain(error));
    }
    let mut installed = Vec::new();
    for (name, record) in &found.newest {
        match sites::load(&run.state, name) {
            Ok(None) => {
                sites::save(&run.state, &record.signed)?;
                installed.push(name.clone());
            }
            Ok(Some(here)) if here == record.signed => {}
            _ => {
                let path = sites::path(&run.state, name);
                let path = path.display();
                run.output.warn(&format!("the repository has another declaration of site {name}; {path} is kept"));
            }
        }
    }
    Ok(installed)
}

/// The location that names the bucket from now on: by a declared site with this endpoint, if there is one.
fn named_location(run: &Run, opened: &Opened) -> Option<Location> {
    let origin = opened.remote.as_ref()?.endpoint().origin();
    let Location::S3 { bucket, prefix, .. } = run.location().clone() else { return None };
    let (declared, _) = sites::load_all(&run.state);
    let site = declared.into_iter().find(|signed| signed.declaration.origin == *origin)?.declaration.name;
    Some(Location::S3 { site, bucket, prefix })
}

/// A word for a shell.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("/srv/backup-1"), "/srv/backup-1");
        assert_eq!(quoted("/a b's"), "'/a b'\\''s'");
    }
}
