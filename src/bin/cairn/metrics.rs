//! Figures of the last runs in the text format of Prometheus, for the textfile collector of its node exporter.
//!
//! The file has all kinds of runs of a profile, whichever of them writes it, and is replaced as a whole: a reader sees the old
//! one or the new one. Mode 0644, since another user reads it.

use crate::exit::{Failure, Result};
use crate::history::LastRun;
use crate::secrets::sync_parent;
use cairn::clock::Timestamp;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

type Read = fn(&LastRun) -> Option<f64>;

fn seconds(time: Option<Timestamp>) -> Option<f64> {
    time.map(|time| time.seconds as f64)
}

/// Name, help and value of each.
const FIGURES: [(&str, &str, Read); 9] = [
    ("cairn_last_run_timestamp_seconds", "When the last run ended.", |run| seconds(run.time("last", "ended"))),
    ("cairn_last_run_duration_seconds", "How long it took.", |run| run.record["last"]["seconds"].as_f64()),
    ("cairn_last_run_exit_code", "Its exit code; 0 is done and complete.", |run| run.exit().map(|exit| exit as f64)),
    ("cairn_last_success_timestamp_seconds", "When a run last ended with exit code 0.", |run| {
        seconds(run.time("success", "ended"))
    }),
    ("cairn_last_snapshot_timestamp_seconds", "When the last snapshot was made.", |run| {
        seconds(run.time("snapshot", "time"))
    }),
    ("cairn_last_run_files", "Files it looked at.", |run| run.record["last"]["summary"]["files"].as_f64()),
    ("cairn_last_run_bytes", "Bytes it looked at.", |run| run.record["last"]["summary"]["bytes"].as_f64()),
    ("cairn_last_run_stored_bytes", "Bytes it added to the repository.", |run| {
        run.record["last"]["summary"]["stored_bytes"].as_f64()
    }),
    ("cairn_last_run_errors", "Files that could not be read, or problems that were found.", |run| {
        run.record["last"]["summary"]["errors"].as_f64()
    }),
];

/// The text for these runs.
pub(crate) fn render(runs: &[LastRun]) -> String {
    let mut text = String::new();
    for (name, help, read) in FIGURES {
        let mut lines = String::new();
        for run in runs {
            let labels = [
                ("profile", run.subject.profile.as_deref().unwrap_or_default()),
                ("operation", run.operation.as_str()),
                ("repository", run.subject.location.as_str()),
            ];
            let labels = labels.map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).join(",");
            if let Some(value) = read(run) {
                let _ = writeln!(lines, "{name}{{{labels}}} {value}");
            }
        }
        if !lines.is_empty() {
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{lines}");
        }
    }
    text
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Replaces the file.
///
/// # Errors
/// What the file system says.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    let failed = |error: &std::io::Error| Failure::io(format!("write metrics to {}", path.display()), error);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // The collector reads names that end with `.prom`, so never this one.
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let written = (|| {
        let _ = std::fs::remove_file(&temporary);
        let mut file: File = File::options().write(true).create_new(true).mode(0o644).open(&temporary)?;
        // Whatever the mask of this process is.
        file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        sync_parent(path)
    })();
    written.map_err(|error| {
        let _ = std::fs::remove_file(&temporary);
        failed(&error)
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::history::Subject;
    use serde_json::json;

    #[test]
    fn what_a_collector_reads() {
        let run = |profile: &str, operation: &str, record| LastRun {
            subject: Subject { profile: Some(profile.to_owned()), location: "/a \"b\"\\".to_owned() },
            operation: operation.to_owned(),
            record,
            is_running: false,
        };
        let record = json!({
            "last": {"ended": "2026-01-31T12:00:00Z", "exit": 3, "seconds": 1.5,
                     "summary": {"files": 7, "bytes": 1_099_511_627_776_u64, "stored_bytes": 2, "errors": 1}},
            "success": {"ended": "2026-01-30T12:00:00Z"}, "snapshot": {"id": "x", "time": "2026-01-31T12:00:00Z"},
        });
        let text = render(&[run("web", "backup", record), run("web", "check", json!({"last": {"exit": 0}}))]);
        let labels = r#"{profile="web",operation="backup",repository="/a \"b\"\\"}"#;
        for line in [
            "# TYPE cairn_last_run_exit_code gauge".to_owned(),
            format!("cairn_last_run_timestamp_seconds{labels} 1769860800"),
            format!("cairn_last_run_duration_seconds{labels} 1.5"),
            format!("cairn_last_run_exit_code{labels} 3"),
            format!("cairn_last_success_timestamp_seconds{labels} 1769774400"),
            format!("cairn_last_run_bytes{labels} 1099511627776"),
            r#"cairn_last_run_exit_code{profile="web",operation="check",repository="/a \"b\"\\"} 0"#.to_owned(),
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
        assert_eq!(text.matches("# HELP").count(), 9);
    }

    #[test]
    fn the_file_is_replaced_whole_and_anybody_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cairn.prom");
        write(&path, "a\n").unwrap();
        write(&path, "b\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "b\n");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o644);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        let failure = write(&dir.path().join("missing/cairn.prom"), "c\n").unwrap_err();
        assert!(failure.message.contains("missing/cairn.prom"), "{failure:?}");
    }
}
