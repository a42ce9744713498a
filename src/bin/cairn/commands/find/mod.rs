//! `cairn find`.

mod versions;

use crate::args::FindArgs;
use crate::commands::find::versions::Versions;
use crate::commands::snapshots;
use crate::entry;
use crate::exit::{Exit, Failure, Result, chain};
use crate::failover;
use crate::output::{Results, shown};
use crate::record::Beginning;
use crate::run::{Need, Opened, Run};
use crate::values;
use cairn::audit::recorder as audit;
use cairn::engine::browse::Snapshot;
use cairn::engine::find::{Finder, Finding, Pattern, Query};
use cairn::format::node::Node;
use cairn::journal::Unrecorded;
use cairn::progress::Silent;
use cairn::repository::pack_reader::PackReader;
use cairn::repository::view::Damage;
use serde_json::json;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;

/// Looks for entries in snapshots.
pub(crate) fn run(run: &Run, args: &FindArgs) -> Result<Exit> {
    let query = query(args)?;
    let filter = snapshots::filter(&args.filter)?;
    let at = failover::at_site(run, args.site.site.as_deref())?;
    let with_hint =
        |failure| if args.site.site.is_none() { failover::with_replica_hint(run, failure) } else { failure };
    let opened = at.open(Need::Read).map_err(with_hint)?;
    let all = at.snapshots(&opened).map_err(with_hint)?;
    failover::note(run, &opened, &all);
    let chosen = snapshots::choose(run, &opened, &all, &args.snapshot, &filter)?;
    let fields = json!({"snapshots": chosen.len()});
    let record = run.begin(&opened, Beginning { need: audit::Need::Read, operation: "find", purpose: "", fields })?;
    let ended = look(run, args, &opened, &chosen, &query);
    let ended = ended.map(|exit| if all.damaged.is_empty() { exit } else { Exit::Damage });
    record.end(ended, json!({}))
}

fn query(args: &FindArgs) -> Result<Query> {
    let pattern = |text: &std::ffi::OsString| {
        let pattern = Pattern::new(text.as_bytes(), args.ignore_case);
        pattern.map_err(|error| {
            Failure::usage(error.to_string(), "a backslash before *, ?, [ or \\ takes its meaning away")
        })
    };
    if let (Some(oldest), Some(newest)) = (args.oldest, args.newest)
        && oldest > newest
    {
        return Err(Failure::usage("--oldest is later than --newest: nothing can be both", ""));
    }
    if let (Some(min), Some(max)) = (args.min_size, args.max_size)
        && min > max
    {
        return Err(Failure::usage("--min-size is more than --max-size: nothing can be both", ""));
    }
    Ok(Query {
        patterns: args.patterns.iter().map(pattern).collect::<Result<_>>()?,
        kinds: args.kind.iter().map(|kind| kind.0).collect(),
        oldest: args.oldest,
        newest: args.newest,
        size_min: args.min_size,
        size_max: args.max_size,
    })
}

/// How hits are told.
enum Telling {
    /// Lines below the snapshot they are in.
    Lines { long: bool },
    /// One array with an object for each snapshot.
    Array { is_first: bool },
    /// All at the end.
    Versions(Versions),
}

impl Telling {
    fn hit(
        &mut self,
        results: &mut Results<'_>,
        snapshot: &Snapshot,
        count: u64,
        (path, node): (&[u8], &Node),
    ) -> Result<()> {
        match self {
            Self::Lines { long } => {
                if count == 0 {
                    let time = values::time_seconds(snapshot.entries.time);
                    let host = shown(&snapshot.entries.host_name);
                    results.line(&format!("snapshot {} of {time}, {host}:", snapshot.id.short()))?;
                }
                results.line(&if *long { entry::long_line(path, node) } else { shown(path) })
            }
            Self::Array { is_first } => {
                let before = match (count, std::mem::replace(is_first, false)) {
                    (0, true) => format!("[{{\"snapshot\":\"{}\",\"matches\":[", snapshot.id),
                    (0, false) => format!(",{{\"snapshot\":\"{}\",\"matches\":[", snapshot.id),
                    _ => ",".into(),
                };
                let mut row = entry::object(path, node);
                row.as_object_mut().and_then(|row| row.remove("message_type"));
                results.raw(format!("{before}{row}").as_bytes())
            }
            Self::Versions(versions) => versions.add(snapshot, path, node),
        }
    }

    /// The end of a snapshot in which `count` hits were.
    fn leave(&self, results: &mut Results<'_>, count: u64) -> Result<()> {
        match self {
            Self::Array { .. } if count > 0 => results.raw(format!("],\"hits\":{count}}}").as_bytes()),
            _ => Ok(()),
        }
    }

    fn finish(self, results: &mut Results<'_>, json: bool) -> Result<()> {
        match self {
            Self::Lines { .. } => Ok(()),
            Self::Array { is_first: true } => results.line("[]"),
            Self::Array { is_first: false } => results.line("]"),
            Self::Versions(versions) => versions.print(results, json),
        }
    }
}

fn look(run: &Run, args: &FindArgs, opened: &Opened, snapshots: &[Snapshot], query: &Query) -> Result<Exit> {
    let tried = || format!("look through the snapshots of {}", run.named(opened));
    let failed = |error| Failure::from(error).while_trying(tried());
    let view = opened
        .repository
        .load_view_for_reading(Damage::Collect)
        .map_err(|error| Failure::from(error).while_trying(tried()))?;
    let reader = Arc::new(PackReader::new(opened.repository.clone(), Arc::new(view.index)));
    let context = run.context(opened, Arc::new(Silent), Arc::new(Unrecorded));
    let mut finder = Finder::new(&context, reader, query);

    let json = run.output.is_json();
    let mut telling = match (args.versions, json) {
        (true, _) => Telling::Versions(Versions::default()),
        (false, true) => Telling::Array { is_first: true },
        (false, false) => Telling::Lines { long: args.long },
    };
    let mut results = run.output.results();
    let mut damaged = Vec::new();
    let mut ended = Ok(());
    for snapshot in snapshots {
        let mut count = 0;
        let mut failure = None;
        let found = finder.snapshot(snapshot.references.tree, |finding| {
            let told = match finding {
                Finding::Hit(path, node) => {
                    let told = telling.hit(&mut results, snapshot, count, (path, node));
                    count += 1;
                    told
                }
                Finding::Damaged(path, error) => {
                    let text =
                        format!("{}:{}: cannot be looked into: {}", snapshot.id.short(), shown(path), chain(error));
                    damaged.push(text);
                    Ok(())
                }
            };
            failure = told.err();
            failure.is_none()
        });
        ended = failure.map_or_else(|| found.map_err(failed), Err);
        ended = ended.and_then(|()| telling.leave(&mut results, count));
        if ended.is_err() {
            break;
        }
    }
    let ended = ended.and_then(|()| telling.finish(&mut results, json));
    let finished = results.finish();
    for text in &damaged {
        run.output.damage(text);
    }
    ended.and(finished)?;
    Ok(if damaged.is_empty() { Exit::Done } else { Exit::Damage })
}
