//! `cairn snapshots`, and how other commands find the snapshot that a text names.

use crate::args::{FilterArgs, SnapshotsArgs};
use crate::exit::{Exit, Failure, Result};
use crate::failover;
use crate::output::shown;
use crate::run::{Need, Opened, Run};
use crate::{sources, values};
use cairn::engine::browse::{Snapshot, SnapshotFilter, Snapshots};
use cairn::id::SessionId;
use serde_json::{Value, json};
use std::os::unix::ffi::OsStrExt as _;

/// Lists snapshots.
pub(crate) fn run(run: &Run, args: &SnapshotsArgs) -> Result<Exit> {
    let filter = filter(&args.filter)?;
    let at = failover::at_site(run, args.site.site.as_deref())?;
    let with_hint =
        |failure| if args.site.site.is_none() { failover::with_replica_hint(run, failure) } else { failure };
    let opened = at.open(Need::Read).map_err(with_hint)?;
    let snapshots = at.snapshots(&opened).map_err(with_hint)?;
    failover::note(run, &opened, &snapshots);
    let rows: Vec<&Snapshot> = snapshots.matching(&filter).collect();
    let exit = if snapshots.damaged.is_empty() { Exit::Done } else { Exit::Damage };
    let mut results = run.output.results();
    if run.output.is_json() {
        results.line(&Value::from(rows.into_iter().map(object).collect::<Vec<_>>()).to_string())?;
        results.finish()?;
        return Ok(exit);
    }
    if !rows.is_empty() {
        let host_width = rows.iter().map(|row| shown(&row.entries.host_name).chars().count()).max().unwrap_or(0).max(4);
        let tags_width =
            rows.iter().map(|row| joined(&row.entries.tags, ",").chars().count()).max().unwrap_or(0).max(4);
        results.line(&format!(
            "{:<8}  {:<20}  {:<host_width$}  {:<tags_width$}  {:>8}  PATHS",
            "ID", "TIME", "HOST", "TAGS", "SIZE"
        ))?;
        for row in &rows {
            let entries = &row.entries;
            let text = format!(
                "{}  {:<20}  {:<host_width$}  {:<tags_width$}  {:>8}  {}",
                row.id.short(),
                values::time_seconds(entries.time),
                shown(&entries.host_name),
                joined(&entries.tags, ","),
                values::size(entries.statistics.total_bytes),
                joined(&entries.paths, " "),
            );
            results.line(&text)?;
        }
    }
    let all = snapshots.all().len();
    let of_all = if all == rows.len() { String::new() } else { format!(" of {all}") };
    let noun = if rows.len() == 1 && of_all.is_empty() { "snapshot" } else { "snapshots" };
    results.line(&format!("{}{of_all} {noun} in {}", rows.len(), run.named(&opened)))?;
    results.finish()?;
    Ok(exit)
}

fn joined(list: &[Vec<u8>], separator: &str) -> String {
    list.iter().map(|item| shown(item)).collect::<Vec<_>>().join(separator)
}

/// The filter that the arguments describe.
pub(crate) fn filter(args: &FilterArgs) -> Result<SnapshotFilter> {
    let paths =
        args.path.iter().map(|path| sources::absolute_path(path).map(|path| path.as_os_str().as_bytes().to_vec()));
    let tags: Vec<Vec<u8>> = args.tag.iter().filter(|tag| !tag.is_empty()).map(|tag| tag.as_bytes().to_vec()).collect();
    Ok(SnapshotFilter {
        hosts: args.host.iter().map(|host| host.as_bytes().to_vec()).collect(),
        tags: if tags.is_empty() { Vec::new() } else { vec![tags] },
        paths: paths.collect::<Result<_>>()?,
    })
}

/// The id of the snapshot that a text names.
pub(crate) fn resolve(run: &Run, opened: &Opened, text: &str, filter: &SnapshotFilter) -> Result<SessionId> {
    run.resolve(&run.snapshots(opened)?, text, filter)
        .map(|snapshot| snapshot.id)
        .map_err(|error| Failure::from(error).while_trying(format!("find snapshot {text} in {}", run.named(opened))))
}

/// The snapshots that are named, else those that the filter allows; the oldest first.
pub(crate) fn choose(
    run: &Run,
    opened: &Opened,
    all: &Snapshots,
    names: &[String],
    filter: &SnapshotFilter,
) -> Result<Vec<Snapshot>> {
    if names.is_empty() {
        return Ok(all.matching(filter).cloned().collect());
    }
    let named = |name: &String| {
        run.resolve(all, name, filter).cloned().map_err(|error| {
            Failure::from(error).while_trying(format!("find snapshot {name} in {}", run.named(opened)))
        })
    };
    let mut chosen = names.iter().map(named).collect::<Result<Vec<_>>>()?;
    chosen.sort_by_key(|snapshot| (snapshot.entries.time, snapshot.id));
    chosen.dedup_by_key(|snapshot| snapshot.id);
    Ok(chosen)
}

/// A snapshot's row for programs.
pub(crate) fn object(snapshot: &Snapshot) -> Value {
    let entries = &snapshot.entries;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let list = |list: &[Vec<u8>]| list.iter().map(|item| text(item)).collect::<Vec<_>>();
    json!({
        "id": snapshot.id.to_string(),
        "short_id": snapshot.id.short(),
        "time": values::time(entries.time),
        "host": text(&entries.host_name),
        "paths": list(&entries.paths),
        "tags": list(&entries.tags),
        "username": text(&entries.user_name),
        "total_files": entries.statistics.total_files,
        "total_bytes": entries.statistics.total_bytes,
        "program_version": text(&entries.program_version),
        "parent": snapshot.references.parent.map(|id| id.to_string()),
        "files_failed": entries.statistics.failed,
        "excludes": list(&entries.excludes),
        "purpose": text(&entries.purpose),
    })
}

/// Splits `SNAPSHOT[:PATH]`.
pub(crate) fn split(text: &std::ffi::OsStr) -> Result<(String, Vec<u8>)> {
    let bytes = text.as_bytes();
    let (name, path) = match bytes.iter().position(|byte| *byte == b':') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &b""[..]),
    };
    let bad = || Failure::usage(format!("{:?} is not SNAPSHOT or SNAPSHOT:PATH", text.to_string_lossy()), "");
    let name = std::str::from_utf8(name).map_err(|_| bad())?;
    if name.is_empty() {
        return Err(bad());
    }
    Ok((name.to_owned(), path.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_and_a_path_in_it() {
        for (text, name, path) in [
            ("latest", "latest", ""),
            ("ab12:/etc", "ab12", "/etc"),
            ("latest~1:/a:b", "latest~1", "/a:b"),
            ("x:", "x", ""),
        ] {
            assert_eq!(split(text.as_ref()), Ok((name.to_owned(), path.as_bytes().to_vec())));
        }
        assert!(split(":/etc".as_ref()).is_err() && split("".as_ref()).is_err());
    }
}
