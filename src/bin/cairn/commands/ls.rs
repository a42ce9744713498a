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
use cairn::engine::browse::{Snapshot, SnapshotTree};
use cairn::format::node::Node;
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
    let view =
        opened.repository.load_view(Damage::Collect).map_err(|error| Failure::from(error).while_trying(tried()))?;
    let reader = PackReader::new(opened.repository.clone(), Arc::new(view.index));
    let tree = SnapshotTree::new(Arc::new(reader), snapshot.references.tree);

    signals::watch(&run.stop);
    let mut results = run.output.results();
    let mut damaged = Vec::new();
    let mut failure = None;
    let walked = tree.for_each(path, args.recursive, |path, entry| {
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
    let finished = results.finish();
    walked.map_err(|error| Failure::from(error).while_trying(tried()))?;
    for text in &damaged {
        run.output.warn(text);
    }
    match failure {
        Some(failure) => Err(failure),
        None => finished.map(|()| if damaged.is_empty() { Exit::Done } else { Exit::Damage }),
    }
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
