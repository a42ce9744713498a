//! `cairn recover`: back to a repository with nothing but the recovery key. Works where the repository can only be read.

use crate::args::RecoverArgs;
use crate::commands::snapshots;
use crate::exit::{Exit, Failure, Result};
use crate::run::{Need, Run};
use crate::secrets;
use crate::values;
use cairn::format::key_slot::SlotKind;
use serde_json::json;

/// Unlocks, installs the key, and says what to do next.
pub(crate) fn run(run: &Run, args: &RecoverArgs) -> Result<Exit> {
    let recovery = secrets::read_key_file(&args.recovery_key_file, &run.output)?;
    if recovery.kind() != SlotKind::Recovery {
        let message = format!("{} holds a key, but no recovery key", args.recovery_key_file.display());
        return Err(Failure::usage(
            message,
            "a recovery key starts with cairn-recovery1; a key file is for --key-file",
        ));
    }
    let (store, config) = run.find_existing()?;
    // Whoever holds the recovery key decides what is here: another repository than before is remembered from now on.
    let opened = run.open_with(store, &config, &recovery, Need::Read)?;
    let all = snapshots::load(run, &opened)?;
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
    let location = quoted(&run.location().to_string());
    let mut next = vec![format!("cairn snapshots --repo {location}")];
    if let Some(snapshot) = latest {
        next.push(format!("cairn restore {} --repo {location} --target DIR", snapshot.id.short()));
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
    }))?;
    Ok(if all.damaged.is_empty() { Exit::Done } else { Exit::Damage })
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
