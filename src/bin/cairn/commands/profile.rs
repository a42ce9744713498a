//! `cairn profile`: whether profiles are valid, and what one comes to.

use crate::args::{GlobalArgs, ProfileCheckArgs, ProfileCommand};
use crate::environment::Environment;
use crate::exit::{Exit, Failure, Result};
use crate::output::{Output, shown};
use crate::profile::{Call, Directories, HookKind, KEYS, Key, Profile, Section, Value, check_name, load};
use crate::settings::Settings;
use crate::values;
use serde_json::{Value as Json, json};

/// Runs one of the commands.
pub(crate) fn run(
    command: &ProfileCommand,
    global: &GlobalArgs,
    settings: &Settings,
    (environment, output): (&Environment, &Output),
) -> Result<Exit> {
    let directories = Directories::new(environment)?;
    match command {
        ProfileCommand::Check(args) => check(args, global, &directories, output),
        ProfileCommand::Show(args) => {
            let named = args.name.as_ref().or(global.unattended.profile.as_ref());
            let Some(name) = named.map(String::as_str).or(environment.own_text("CAIRN_PROFILE")?) else {
                return Err(Failure::usage(
                    "no profile is named",
                    "`cairn profile show NAME`; `cairn profile check` lists them",
                ));
            };
            show(&load(&directories, name)?, settings, (environment, output))
        }
    }
}

fn check(args: &ProfileCheckArgs, global: &GlobalArgs, directories: &Directories, output: &Output) -> Result<Exit> {
    let mut names = args.names.clone();
    names.extend(global.unattended.profile.clone());
    if names.is_empty() {
        names = directories.names()?;
    }
    if names.is_empty() {
        output.note(&format!("there is no profile in {}", directories.shown()));
    }
    let mut rows = Vec::new();
    let mut lines = Vec::new();
    for name in &names {
        check_name(name)?;
        let (files, problems) = match load(directories, name) {
            Ok(profile) => (profile.files, Vec::new()),
            Err(invalid) => (invalid.files, invalid.problems),
        };
        let shown_files = files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>();
        match problems.len() as u64 {
            0 => lines.push(format!("{name}: ok ({})", shown_files.join(", "))),
            count => lines.push(format!("{name}: {}", values::count(count, "mistake", "mistakes"))),
        }
        for (origin, problem) in &problems {
            lines.push(format!("  {origin}: {} ({})", problem.what, problem.remedy));
        }
        let problem = |(origin, problem): &(crate::profile::Origin, crate::profile::Problem)| {
            let line = Some(origin.line).filter(|line| *line > 0);
            json!({"file": origin.file.to_string_lossy(), "line": line, "what": problem.what, "remedy": problem.remedy})
        };
        rows.push(json!({
            "profile": name,
            "valid": problems.is_empty(),
            "files": shown_files,
            "problems": problems.iter().map(problem).collect::<Vec<_>>(),
        }));
    }
    let is_valid = rows.iter().all(|row| row["valid"] == true);
    let mut results = output.results();
    if output.is_json() {
        results.line(&Json::from(rows).to_string())?;
    } else {
        for line in lines {
            results.line(&shown(line.as_bytes()))?;
        }
    }
    results.finish()?;
    Ok(if is_valid { Exit::Done } else { Exit::Usage })
}

/// Where a value is from.
enum Source<'a> {
    Profile(&'a crate::profile::Origin),
    Variable(&'static str),
    Default,
}

fn show(profile: &Profile, settings: &Settings, (environment, output): (&Environment, &Output)) -> Result<Exit> {
    let mut rows = Vec::new();
    let mut lines = Vec::new();
    let files: Vec<_> = profile.files.iter().map(|file| file.display().to_string()).collect();
    lines.push(format!("profile {}: {}", profile.name, files.join(", ")));
    let mut heading = Section::Top;
    for key in KEYS {
        let Some((value, source)) = effective(key, profile, settings, environment) else { continue };
        if key.section != heading {
            heading = key.section;
            lines.push(format!("[{}]", heading.name()));
        }
        let (text, json) = match &value {
            Value::Flag(flag) => (flag.to_string(), json!(flag)),
            Value::Texts(texts) if texts.len() == 1 => (texts[0].clone(), json!(texts[0])),
            Value::Texts(texts) => (texts.join(", "), json!(texts)),
        };
        let (from, source) = match source {
            Source::Profile(origin) => {
                let file = origin.file.to_string_lossy();
                (origin.to_string(), json!({"from": "profile", "file": file, "line": origin.line}))
            }
            Source::Variable(name) => (name.to_owned(), json!({"from": "environment", "variable": name})),
            Source::Default => ("default".to_owned(), json!({"from": "default"})),
        };
        lines.push(format!("  {:<20} {text}  ({from})", key.name));
        rows.push(json!({"section": key.section.name(), "key": key.name, "value": json, "source": source}));
    }
    let mut hooks = Vec::new();
    for section in Section::TABLES {
        for kind in HookKind::ALL {
            let Some((hook, origin)) = profile.hook(section, kind) else { continue };
            let (text, call) = match &hook.call {
                Call::Shell(line) => (line.clone(), json!(line)),
                Call::Program(words) => (format!("{words:?}"), json!(words)),
                Call::Nothing => continue,
            };
            if hooks.last().is_none_or(|last: &Json| last["command"] != section.name()) {
                lines.push(format!("[{}.hooks]", section.name()));
            }
            let timeout = humantime::format_duration(hook.timeout);
            lines.push(format!("  {:<20} {text}  (at most {timeout}; {origin})", kind.name()));
            hooks.push(json!({
                "command": section.name(),
                "hook": kind.name(),
                "run": call,
                "timeout_s": hook.timeout.as_secs(),
                "source": {"from": "profile", "file": origin.file.to_string_lossy(), "line": origin.line},
            }));
        }
    }
    output.object(&json!({
        "message_type": "summary",
        "profile": profile.name,
        "files": files,
        "settings": rows,
        "hooks": hooks,
    }))?;
    for line in lines {
        output.text(&shown(line.as_bytes()))?;
    }
    Ok(Exit::Done)
}

/// What counts of a key, and why; `None` where nothing is said and the default is nothing.
fn effective<'a>(
    key: &Key,
    profile: &'a Profile,
    settings: &Settings,
    environment: &Environment,
) -> Option<(Value, Source<'a>)> {
    let text = |text: String| Value::Texts(vec![text]);
    if let Some(name) = key.variables.iter().find(|name| environment.get(name).is_some()) {
        // The variable of this key, or of one that excludes it.
        let own = format!("CAIRN_{}", key.name.to_ascii_uppercase().replace('-', "_"));
        let value = environment.get(name).filter(|_| **name == own)?.to_string_lossy().into_owned();
        return Some((text(value), Source::Variable(name)));
    }
    if let Some((value, origin)) = profile.get(key) {
        return Some((value.clone(), Source::Profile(origin)));
    }
    let default = match (key.section, key.name) {
        (Section::Top, "repository") => settings.location.to_string(),
        (Section::Top, "state-dir") => settings.state_dir.display().to_string(),
        (Section::Top, "cache-dir") => settings.cache_dir.as_ref()?.display().to_string(),
        (Section::Top, "memory") => values::size(settings.memory_bytes),
        _ => return None,
    };
    Some((text(default), Source::Default))
}
