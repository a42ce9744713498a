//! `cairn status`: what became of the last runs, on one screen. It reads the state directory and asks systemd; a repository
//! that is out of reach has no part in it.

use crate::args::{GlobalArgs, StatusArgs};
use crate::environment::Environment;
use crate::exit::{Exit, Failure, Result};
use crate::history::{self, LastRun, Subject};
use crate::output::{Output, shown};
use crate::profile::{Directories, Section, load};
use crate::settings::Settings;
use crate::state::State;
use crate::systemd::{self, Manager};
use crate::values;
use cairn::audit::log::Log;
use cairn::audit::runs;
use cairn::clock::{Clock as _, SystemClock, Timestamp};
use cairn::id::RepositoryId;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// Operations that timers start.
const TIMED: [&str; 2] = ["backup", "check"];

/// One profile, or one repository that was used without.
struct Row {
    subject: Subject,
    state: State,
    /// Why the profile cannot be used.
    invalid: Option<Failure>,
    runs: Vec<LastRun>,
}

/// Shows it.
pub(crate) fn run(
    args: &StatusArgs,
    global: &GlobalArgs,
    settings: &Settings,
    (environment, output): (&Environment, &Output),
) -> Result<Exit> {
    let only = global.unattended.profile.as_deref().or(environment.own_text("CAIRN_PROFILE")?);
    let rows = rows(only, settings, &Directories::new(environment)?)?;
    let now = SystemClock::new().now();
    let (mut objects, mut lines) = (Vec::new(), Vec::new());
    for row in &rows {
        let object = object(row, args.max_age, now);
        lines.extend(text(&object));
        objects.push(object);
    }
    let exit = match () {
        () if objects.iter().any(|object| object["state"] == "failed") => Exit::Failed,
        () if objects.iter().any(|object| object["state"] == "incomplete") => Exit::Incomplete,
        () => Exit::Done,
    };
    if rows.is_empty() {
        lines.push("nothing has run here yet, and there is no profile".to_owned());
    }
    let mut results = output.results();
    if output.is_json() {
        results.line(&Value::from(objects).to_string())?;
    } else {
        for line in lines {
            results.line(&shown(line.as_bytes()))?;
        }
    }
    results.finish()?;
    Ok(exit)
}

fn rows(only: Option<&str>, settings: &Settings, directories: &Directories) -> Result<Vec<Row>> {
    let names = match only {
        Some(name) => vec![name.to_owned()],
        None => directories.names()?,
    };
    let mut rows = Vec::new();
    for name in names {
        let (invalid, state_dir, location) = match load(directories, &name) {
            Ok(profile) => {
                let state_dir = profile.text(Section::Top, "state-dir").map(PathBuf::from);
                (None, state_dir, profile.text(Section::Top, "repository").map(str::to_owned))
            }
            Err(invalid) => (Some(Failure::from(invalid)), None, None),
        };
        let state = State::new(&state_dir.unwrap_or_else(|| settings.state_dir.clone()));
        let location = location.unwrap_or_else(|| settings.location.to_string());
        rows.push(Row { subject: Subject { profile: Some(name), location }, state, invalid, runs: Vec::new() });
    }
    let mut states: Vec<State> = rows.iter().map(|row| row.state.clone()).collect();
    states.push(State::new(&settings.state_dir));
    states.dedup_by(|a, b| a.path() == b.path());
    for state in states {
        for run in history::all(&state)? {
            let same = |row: &&mut Row| match &run.subject.profile {
                Some(name) => row.subject.profile.as_ref() == Some(name) && row.state.path() == state.path(),
                None => row.subject == run.subject && row.state.path() == state.path(),
            };
            if let Some(row) = rows.iter_mut().find(same) {
                if !row.runs.iter().any(|known| known.operation == run.operation) {
                    row.runs.push(run);
                }
            } else if only.is_none() && run.subject.profile.is_none() {
                // The runs of a profile that is gone say nothing about what should run.
                let (subject, state) = (run.subject.clone(), state.clone());
                rows.push(Row { subject, state, invalid: None, runs: vec![run] });
            }
        }
    }
    Ok(rows)
}

fn age(now: Timestamp, then: Timestamp) -> u64 {
    u64::try_from(now.seconds.saturating_sub(then.seconds)).unwrap_or(0)
}

fn object(row: &Row, max_age: Option<Duration>, now: Timestamp) -> Value {
    let time = |time: Option<Timestamp>| time.map(values::time_seconds);
    let mut problems: Vec<String> = row.invalid.iter().map(|failure| failure.message.clone()).collect();
    let mut operations = Vec::new();
    let mut state = if row.invalid.is_some() { "failed" } else { "ok" };
    for run in &row.runs {
        let exit = run.exit();
        let outcome = match exit {
            None => "running",
            Some(0) => "ok",
            Some(3) => "incomplete",
            Some(_) => "failed",
        };
        state = match (state, outcome) {
            (_, "failed") | ("failed", _) => "failed",
            (_, "incomplete") | ("incomplete", _) => "incomplete",
            _ => "ok",
        };
        let at = run.time("last", "ended").or_else(|| run.time("last", "begun"));
        let last = &run.record["last"];
        let message = if run.was_killed() {
            json!("it was ended before it could say how it went: killed, or the machine went down")
        } else {
            last["message"].clone()
        };
        operations.push(json!({
            "operation": run.operation,
            "outcome": outcome,
            "exit": exit,
            "kind": last["kind"],
            "message": message,
            "begun": time(run.time("last", "begun")),
            "ended": time(run.time("last", "ended")),
            "age_s": at.map(|at| age(now, at)),
            "duration_s": last["seconds"],
            "last_success": time(run.time("success", "ended")),
        }));
    }
    let backup = row.runs.iter().find(|run| run.operation == "backup");
    let snapshot = backup.and_then(|run| Some((run.record["snapshot"]["id"].as_str()?, run.time("snapshot", "time")?)));
    if let (Some(max), true) = (max_age, row.subject.profile.is_some() || backup.is_some()) {
        let success = backup.and_then(|run| run.time("success", "ended"));
        if success.is_none_or(|success| age(now, success) > max.as_secs()) {
            state = "failed";
            let max = humantime::format_duration(max);
            problems.push(format!("no complete backup in the last {max}"));
        }
    }
    let log = row.runs.iter().find_map(|run| run.record["repository"].as_str()).and_then(|id| log(&row.state, id));
    if log.as_ref().is_some_and(|log| !log["damage"].is_null()) {
        state = "failed";
    }
    json!({
        "profile": row.subject.profile,
        "repository": row.runs.iter().map(|run| &run.record["repository"]).find(|id| id.is_string()),
        "location": row.subject.location,
        "state": state,
        "problems": problems,
        "operations": operations,
        "snapshot": snapshot.map(|(id, at)| json!({"id": id, "time": values::time_seconds(at), "age_s": age(now, at)})),
        "timers": timers(row.subject.profile.as_deref(), now),
        "log": log,
    })
}

fn timers(profile: Option<&str>, now: Timestamp) -> Vec<Value> {
    let Some(profile) = profile.filter(|_| systemd::is_here()) else { return Vec::new() };
    let timed = TIMED.into_iter().filter_map(|operation| {
        let timer = systemd::timer(Manager::of_user(), &format!("cairn-{operation}@{profile}.timer"))?;
        let next = timer.next.filter(|_| timer.is_active);
        (timer.is_enabled || timer.is_active).then(|| {
            json!({
                "operation": operation,
                "enabled": timer.is_enabled,
                "active": timer.is_active,
                "next": next.map(values::time_seconds),
                "next_in_s": next.map(|next| age(next, now)),
            })
        })
    });
    timed.collect()
}

/// What the log of a repository on this host has not passed on.
fn log(state: &State, repository: &str) -> Option<Value> {
    let id = RepositoryId::from_hex(repository).ok()?;
    let folder = state.path().join("audit").join(id.to_string());
    let (size, published, damage) = match Log::open(&folder) {
        Ok(None) => return None,
        Ok(Some(log)) => (log.size(), runs::published(&folder, &log.id()).unwrap_or(0), None),
        Err(error) => (0, 0, Some(crate::exit::chain(&error))),
    };
    let waiting =
        std::fs::read_dir(folder.join("files")).map_or(0, |entries| entries.filter_map(std::io::Result::ok).count());
    Some(json!({
        "records": size,
        "records_unsent": size.saturating_sub(published),
        "file_lists_unsent": waiting,
        "runs_unclosed": runs::dead(&folder).len(),
        "damage": damage,
    }))
}

/// A row for people.
fn text(row: &Value) -> Vec<String> {
    let string = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let repository = match row["repository"].as_str().and_then(|id| id.get(..8)) {
        Some(short) => format!("repository {short} at {}", string(&row["location"])),
        None => format!("repository at {}", string(&row["location"])),
    };
    let mut lines = vec![match row["profile"].as_str() {
        Some(name) => format!("{name}: {repository}"),
        None => repository,
    }];
    let mut add = |label: &str, text: String| lines.push(format!("  {label:<9} {text}"));
    for problem in row["problems"].as_array().into_iter().flatten() {
        add("PROBLEM", string(problem));
    }
    let operations = row["operations"].as_array().cloned().unwrap_or_default();
    let has_backup = operations.iter().any(|operation| operation["operation"] == "backup");
    if row["profile"].is_string() && !has_backup {
        add("backup", "never ran".to_owned());
    }
    for operation in &operations {
        let at = operation["age_s"].as_u64().map(ago).unwrap_or_default();
        let took = operation["duration_s"].as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let took = took.map(|took| format!(", took {}", values::duration(took))).unwrap_or_default();
        let what = match (operation["outcome"].as_str(), operation["exit"].as_u64()) {
            (Some("running"), _) => format!("running, begun {at} ago"),
            (Some("ok"), _) => format!("ok, {at} ago{took}"),
            (Some("incomplete"), _) => format!("INCOMPLETE (exit 3), {at} ago{took}"),
            (_, exit) => format!("FAILED (exit {}), {at} ago{took}", exit.unwrap_or(1)),
        };
        add(&string(&operation["operation"]), what);
        let message = string(&operation["message"]);
        for line in message.lines().take(3) {
            add("", line.trim().to_owned());
        }
        if let (true, Some(success)) = (operation["exit"] != 0, operation["last_success"].as_str()) {
            add("", format!("last complete one: {success}"));
        }
    }
    if let Some(id) = row["snapshot"]["id"].as_str() {
        let at = row["snapshot"]["age_s"].as_u64().map(ago).unwrap_or_default();
        add("snapshot", format!("{}, {at} ago ({})", id.get(..8).unwrap_or(id), string(&row["snapshot"]["time"])));
    }
    for timer in row["timers"].as_array().into_iter().flatten() {
        let next = match timer["next_in_s"].as_u64() {
            Some(seconds) => format!("in {} ({})", ago(seconds), string(&timer["next"])),
            None if timer["active"] == true => "when the present run is over".to_owned(),
            None => "NOT STARTED: enabled, and waiting for nothing".to_owned(),
        };
        add("timer", format!("{} {next}", string(&timer["operation"])));
    }
    let log = &row["log"];
    if let Some(damage) = log["damage"].as_str() {
        add("LOG", format!("does not verify: {damage}"));
    }
    let counts = [
        ("records_unsent", "record is", "records are"),
        ("file_lists_unsent", "list of files is", "lists of files are"),
    ];
    for (field, one, many) in counts {
        if let Some(number) = log[field].as_u64().filter(|number| *number > 0) {
            add("log", format!("{} not in the repository yet", values::count(number, one, many)));
        }
    }
    lines
}

/// A span of time, coarsely.
fn ago(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => values::count(seconds / 86_400, "day", "days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (seconds, expected) in [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172_800, "2 days")] {
            assert_eq!(ago(seconds), expected);
        }
    }
}
