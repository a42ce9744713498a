//! `cairn ls`.

use crate::args::LsArgs;
use crate::commands::snapshots;
use crate::entry;
use crate::exit::{Exit, Failure, Result, chain};
use crate::failover::{self, Found};
use crate::output::{Results, shown};
use crate::record::Beginning;
use crate::run::{Opened, Run};
use crate::signals;
use cairn::audit::recorder::Need;
use cairn::engine::browse::{Snapshot, SnapshotTree, Step};
use cairn::format::node::{Content, Node};
use cairn::repository::pack_reader::PackReader;
use cairn::repository::view::Damage;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Lists what is in a snapshot.
pub(crate) fn run(run: &Run, args: &LsArgs) -> Result<Exit> {
    let (name, path) = snapshots::split(&args.snapshot)?;
    let filter = snapshots::filter(&args.filter)?;
    let Found { opened, snapshot, .. } = failover::open_snapshot(run, &name, &filter, args.site.site.as_deref())?;
    let fields = json!({"snapshot": snapshot.id.to_string()});
    let record = run.begin(&opened, Beginning { need: Need::Read, operation: "ls", purpose: "", fields })?;
    let ended = list(run, args, (&name, &path), &opened, &snapshot);
    record.end(ended, json!({}))
}

fn list(run: &Run, args: &LsArgs, (name, path): (&str, &[u8]), opened: &Opened, snapshot: &Snapshot) -> Result<Exit> {
    let tried = || format!("list snapshot {name} of {}", run.named(opened));
    let view = opened
        .repository
        .load_view_for_reading(Damage::Collect)
        .map_err(|error| Failure::from(error).while_trying(tried()))?;
    let reader = PackReader::new(opened.repository.clone(), Arc::new(view.index));
    let tree = SnapshotTree::new(Arc::new(reader), snapshot.references.tree);

    signals::watch(&run.stop);
    let mut results = run.output.results();
    let mut damaged = Vec::new();
    let mut failure = None;
    if args.tree && !run.output.is_json() {
        let drawn = draw(run, &tree, path, &mut results, &mut damaged);
        return end(run, drawn.map_err(|error| Failure::from(error).while_trying(tried()))?, results, &damaged);
    }
    let walked = tree.for_each(path, args.recursive || args.tree, |path, entry| {
        if run.stop.load(Ordering::Relaxed) {
            failure = Some(Failure::from(cairn::engine::EngineError::Interrupted));
            return false;
        }
        let written = match entry {
            Ok(node) => write(&mut results, path, node, args, run.output.is_json()),
            Err(error) => {
                damaged.push(format!("{}: {}", shown(path), chain(error)));
                Ok(())
            }
        };
        failure = written.err();
        failure.is_none()
    });
    walked.map_err(|error| Failure::from(error).while_trying(tried()))?;
    end(run, failure, results, &damaged)
}

fn end(run: &Run, failure: Option<Failure>, results: Results<'_>, damaged: &[String]) -> Result<Exit> {
    let finished = results.finish();
    for text in damaged {
        run.output.warn(text);
    }
    match failure {
        Some(failure) => Err(failure),
        None => finished.map(|()| if damaged.is_empty() { Exit::Done } else { Exit::Damage }),
    }
}

/// Draws what is at a path. What ends it early, but for what cannot be found, comes back as a value.
fn draw(
    run: &Run,
    tree: &SnapshotTree,
    path: &[u8],
    results: &mut Results<'_>,
    damaged: &mut Vec<String>,
) -> cairn::engine::context::Result<Option<Failure>> {
    let found = tree.find(path)?;
    let top = if path.is_empty() { b"/".as_slice() } else { path };
    if let Err(failure) = results.line(&shown(top)) {
        return Ok(Some(failure));
    }
    let Some(root) = found.tree() else { return Ok(None) };
    let mut walk = tree.walk(path, root)?;
    // Of each directory one is in, whether it is the last of its own.
    let mut rails: Vec<bool> = Vec::new();
    while let Some(step) = walk.next() {
        if run.stop.load(Ordering::Relaxed) {
            return Ok(Some(Failure::from(cairn::engine::EngineError::Interrupted)));
        }
        let text = match &step {
            Step::Enter(node) => format!("{}/", shown(&node.name)),
            Step::Entry(node) => match &node.content {
                Content::Symlink { target } => format!("{} -> {}", shown(&node.name), shown(target)),
                _ => shown(&node.name),
            },
            Step::Leave => {
                rails.pop();
                continue;
            }
            Step::Damaged(error) => {
                damaged.push(format!("{}: {}", shown(walk.path()), chain(error)));
                "(what comes here cannot be read)".into()
            }
        };
        let is_last = walk.is_last();
        let before: String = rails.iter().map(|is_last| if *is_last { "    " } else { "│   " }).collect();
        let branch = if is_last { "└── " } else { "├── " };
        if let Err(failure) = results.line(&format!("{before}{branch}{text}")) {
            return Ok(Some(failure));
        }
        if matches!(step, Step::Enter(_)) {
            rails.push(is_last);
        }
    }
    Ok(None)
}

fn write(results: &mut Results<'_>, path: &[u8], node: &Node, args: &LsArgs, json: bool) -> Result<()> {
    if json {
        return results.line(&entry::object(path, node).to_string());
    }
    if !args.long {
        return results.line(&shown(path));
    }
    results.line(&entry::long_line(path, node))
}
