//! `cairn diff`.

use crate::args::DiffArgs;
use crate::commands::snapshots;
use crate::entry::{flags, word};
use crate::exit::{Exit, Failure, Result, chain};
use crate::failover::{self, Found};
use crate::output::{Results, put_path, shown};
use crate::record::Beginning;
use crate::run::{Opened, Run};
use crate::values;
use cairn::audit::recorder::Need;
use cairn::engine::browse::{Snapshot, SnapshotTree};
use cairn::engine::diff::{self, Change, DiffOptions, DiffReport, Difference, Side, Step};
use cairn::format::node::{Metadata, Node};
use cairn::journal::Unrecorded;
use cairn::progress::Silent;
use cairn::repository::pack_reader::PackReader;
use cairn::repository::view::Damage;
use serde_json::{Value, json};
use std::sync::Arc;

/// One side as it was asked for.
struct Asked {
    name: String,
    path: Vec<u8>,
    snapshot: Snapshot,
}

/// Compares two snapshots.
pub(crate) fn run(run: &Run, args: &DiffArgs) -> Result<Exit> {
    let (name, path) = snapshots::split(&args.before)?;
    let (other, other_path) = snapshots::split(&args.after)?;
    let filter = snapshots::filter(&args.filter)?;
    let Found { opened, snapshot, .. } = failover::open_snapshot(run, &name, &filter, args.site.site.as_deref())?;
    let second = run.resolve(&run.snapshots(&opened)?, &other, &filter).cloned().map_err(|error| {
        Failure::from(error).while_trying(format!("find snapshot {other} in {}", run.named(&opened)))
    })?;
    let sides = [Asked { name, path, snapshot }, Asked { name: other, path: other_path, snapshot: second }];
    let fields = json!({"snapshot": sides[0].snapshot.id.to_string(), "other": sides[1].snapshot.id.to_string()});
    let record = run.begin(&opened, Beginning { need: Need::Read, operation: "diff", purpose: "", fields })?;
    let ended = compare(run, args, &opened, &sides);
    record.end(ended, json!({}))
}

fn compare(run: &Run, args: &DiffArgs, opened: &Opened, sides: &[Asked; 2]) -> Result<Exit> {
    let [first, second] = sides;
    let tried = || format!("compare snapshots {} and {} of {}", first.name, second.name, run.named(opened));
    let failed = |error| Failure::from(error).while_trying(tried());
    let view = opened
        .repository
        .load_view_for_reading(Damage::Collect)
        .map_err(|error| Failure::from(error).while_trying(tried()))?;
    let reader = Arc::new(PackReader::new(opened.repository.clone(), Arc::new(view.index)));
    let find = |side: &Asked| SnapshotTree::new(reader.clone(), side.snapshot.references.tree).find(&side.path);
    let found = [find(first).map_err(failed)?, find(second).map_err(failed)?];
    let context = run.context(opened, Arc::new(Silent), Arc::new(Unrecorded));

    let mut results = run.output.results();
    let mut damaged = Vec::new();
    let mut failure: Option<Failure> = None;
    let options = DiffOptions { metadata: args.metadata };
    if !run.output.is_json() {
        let [before, after] = [first, second].map(|side| side.snapshot.line());
        results.line(&format!("comparing {}", shown(before.as_bytes())))?;
        results.line(&format!("      and {}", shown(after.as_bytes())))?;
    }
    let report = diff::run(&context, &reader, (&found[0], &found[1]), options, |step| {
        let written = match step {
            Step::Change(change) => write(&mut results, &change, run.output.is_json()),
            Step::Damaged(path, error) => {
                damaged.push(format!("{}: cannot be compared: {}", shown(path), chain(&error)));
                Ok(())
            }
        };
        failure = written.err();
        failure.is_none()
    });
    let ended = match (failure, report) {
        (Some(failure), _) => Err(failure),
        (None, report) => report.map_err(failed),
    };
    let ended = ended.and_then(|report| say(&mut results, run.output.is_json(), sides, &report));
    let finished = results.finish();
    for text in &damaged {
        run.output.damage(text);
    }
    ended.and(finished)?;
    Ok(if damaged.is_empty() { Exit::Done } else { Exit::Damage })
}

fn write(results: &mut Results<'_>, change: &Change<'_>, json: bool) -> Result<()> {
    let Change { path, before, after, marks } = change;
    let is_directory = |node: &Option<&Node>| node.is_some_and(Node::is_directory);
    let mut path = path.to_vec();
    if is_directory(after) || after.is_none() && is_directory(before) {
        path.push(b'/');
    }
    if json {
        let differences =
            before.zip(*after).map(|(before, after)| Difference::between(&before.metadata, &after.metadata));
        let names = differences.unwrap_or_default().iter().map(name).collect::<Vec<_>>();
        let mut row = json!({
            "message_type": "change",
            "modifier": marks.to_string(),
            "type_before": before.map(|node| word(&node.content)),
            "type_after": after.map(|node| word(&node.content)),
            "size_before": before.map(Node::size),
            "size_after": after.map(Node::size),
            "metadata": names,
        });
        put_path(&mut row, "path", &path);
        return results.line(&row.to_string());
    }
    let size = |node: &Node| values::size(node.size());
    let details = match (*before, *after) {
        (Some(before), Some(after)) if marks.kind => format!("{} -> {}", word(&before.content), word(&after.content)),
        (Some(before), Some(after)) if marks.metadata => {
            let differences = Difference::between(&before.metadata, &after.metadata);
            let texts = differences.iter().map(|difference| told(difference, &before.metadata, &after.metadata));
            texts.collect::<Vec<_>>().join("; ")
        }
        (Some(before), Some(after)) if word(&after.content) == "file" => format!("{} -> {}", size(before), size(after)),
        (Some(node), None) | (None, Some(node)) if word(&node.content) == "file" => size(node),
        _ => String::new(),
    };
    let details = if details.is_empty() { details } else { format!("  ({details})") };
    results.line(&format!("{marks:<5}{}{details}", shown(&path)))
}

/// What is different, for programs.
fn name(difference: &Difference) -> String {
    match difference {
        Difference::Mode => "mode".into(),
        Difference::User => "user".into(),
        Difference::Group => "group".into(),
        Difference::Mtime => "mtime".into(),
        Difference::Flags => "flags".into(),
        Difference::Xattr(name) => format!("xattr {}", String::from_utf8_lossy(name)),
    }
}

/// What is different, for people.
fn told(difference: &Difference, before: &Metadata, after: &Metadata) -> String {
    let both = |what: &str, of: &dyn Fn(&Metadata) -> String| format!("{what} {} -> {}", of(before), of(after));
    let owner = |name: &[u8], number: u32| match name {
        [] => number.to_string(),
        name => format!("{}({number})", shown(name)),
    };
    match difference {
        Difference::Mode => both("mode", &|metadata| format!("{:04o}", metadata.mode)),
        Difference::User => both("user", &|metadata| owner(&metadata.owner.user, metadata.owner.uid)),
        Difference::Group => both("group", &|metadata| owner(&metadata.owner.group, metadata.owner.gid)),
        Difference::Mtime => both("mtime", &|metadata| values::time(metadata.mtime)),
        Difference::Flags => both("flags", &|metadata| match flags(metadata.inode_flags).join(",") {
            none if none.is_empty() => "none".into(),
            flags => flags,
        }),
        Difference::Xattr(name) => {
            let has = |metadata: &Metadata| metadata.xattrs.iter().any(|xattr| xattr.name == *name);
            let how = match (has(before), has(after)) {
                (true, true) => "changed",
                (true, false) => "removed",
                _ => "added",
            };
            format!("{} {how}", shown(name))
        }
    }
}

fn say(results: &mut Results<'_>, json: bool, sides: &[Asked; 2], report: &DiffReport) -> Result<()> {
    let DiffReport { added, removed, .. } = report;
    if json {
        let side = |side: &Side| {
            json!({
                "files": side.files,
                "dirs": side.directories,
                "others": side.others,
                "data_blobs": side.volume.map(|volume| volume.chunks),
                "tree_blobs": side.volume.map(|volume| volume.trees),
                "bytes": side.volume.map(|volume| volume.bytes),
                "file_bytes": side.file_bytes,
            })
        };
        let statistics: Value = json!({
            "message_type": "statistics",
            "source_snapshot": sides[0].snapshot.id.to_string(),
            "target_snapshot": sides[1].snapshot.id.to_string(),
            "changed_files": report.changed_files,
            "changed_metadata": report.changed_metadata,
            "changed_types": report.changed_types,
            "not_compared": report.damaged,
            "added": side(added),
            "removed": side(removed),
        });
        return results.line(&statistics.to_string());
    }
    results.line("")?;
    let files = format!(", {:>5} changed", report.changed_files);
    let types = format!(", {:>5} of another type", report.changed_types);
    for (name, new, gone, more) in [
        ("Files:", added.files, removed.files, files.as_str()),
        ("Directories:", added.directories, removed.directories, ""),
        ("Others:", added.others, removed.others, if report.changed_types > 0 { types.as_str() } else { "" }),
    ] {
        results.line(&format!("{name:<13}{new:>5} new, {gone:>5} removed{more}"))?;
    }
    if report.changed_metadata > 0 {
        results.line(&format!("Metadata:    {:>5} changed", report.changed_metadata))?;
    }
    let (Some(new), Some(gone)) = (added.volume, removed.volume) else {
        return results.line("Chunks:      too many to count; more --memory would help");
    };
    results.line(&format!("Chunks:      {:>5} new, {:>5} removed", new.chunks, gone.chunks))?;
    results.line(&format!("Trees:       {:>5} new, {:>5} removed", new.trees, gone.trees))?;
    results.line(&format!("Added:       {:>10}", values::size(new.bytes)))?;
    results.line(&format!("Removed:     {:>10}", values::size(gone.bytes)))
}
