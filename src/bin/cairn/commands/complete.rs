//! `cairn __complete WORD…`: what may stand in place of the last word of a command line, for the shells' completions. Only
//! where that is a snapshot: the rest they know from the definitions of the arguments.
//!
//! It must never get in the way of whoever presses a key: it asks nothing, runs no command, goes over no network, writes
//! nothing, and says nothing when it fails. So it looks at local repositories only, and only with a key file. It shows what
//! `cairn snapshots` shows; names of files in a snapshot are shown by commands that keep a record of it.

use crate::args::Cli;
use crate::environment::Environment;
use crate::output::{Output, shown};
use crate::secrets;
use crate::settings::{SecretSource, Settings};
use crate::values;
use cairn::crypto::random::OsRandom;
use cairn::engine::browse::{Snapshot, Snapshots};
use cairn::repository::Access;
use cairn::repository::open::{identify, open_identified};
use cairn::storage::Location;
use clap::{Arg, Command, CommandFactory as _, Parser as _};
use std::ffi::{OsStr, OsString};
use std::process::ExitCode;
use std::sync::Arc;

/// The first argument that leads here.
const SWITCH: &str = "__complete";
/// Candidates at most: the newest snapshots.
const CANDIDATES_MAX: usize = 200;

/// Completes, if that is what the process was started for.
pub(crate) fn main(environment: &Environment) -> Option<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    if words.next()? != SWITCH {
        return None;
    }
    let words: Vec<OsString> = words.collect();
    let output = Output::silent();
    if let Some(word) = words.last().and_then(|word| word.to_str())
        && is_snapshot(&words)
        && let Some(snapshots) = snapshots(&words, environment)
    {
        let mut results = output.results();
        for (candidate, note) in candidates(&snapshots, word) {
            if results.line(&format!("{candidate}\t{note}")).is_err() {
                break;
            }
        }
        let _ = results.finish();
    }
    Some(ExitCode::SUCCESS)
}

/// Whether an argument is a snapshot.
fn takes_snapshot(arg: &Arg) -> bool {
    arg.get_value_names().is_some_and(|names| names.iter().any(|name| name.starts_with("SNAPSHOT")))
}

/// The option that a word is, if it takes its value from the next word.
fn option<'a>(command: &'a Command, word: &OsStr) -> Option<&'a Arg> {
    let word = word.to_str()?;
    let name = word.strip_prefix("--");
    let is_named = |arg: &&Arg| match name {
        Some(name) => arg.get_long_and_visible_aliases().is_some_and(|names| names.contains(&name)),
        None => arg.get_short().is_some_and(|short| word.strip_prefix('-') == Some(short.to_string().as_str())),
    };
    command.get_arguments().find(|arg| is_named(arg) && arg.get_action().takes_values())
}

/// Whether the last word stands where a snapshot is named.
fn is_snapshot(words: &[OsString]) -> bool {
    let mut root = Cli::command();
    root.build();
    let (mut command, mut of_option, mut positional, mut is_command) = (&root, None, 0, true);
    let Some((_, before)) = words.split_last() else { return false };
    for word in before {
        if of_option.take().is_some() {
            continue;
        }
        if word.as_encoded_bytes().starts_with(b"-") {
            of_option = option(command, word);
        } else if let Some(inner) = command.find_subcommand(word).filter(|_| is_command) {
            command = inner;
        } else {
            (positional, is_command) = (positional + 1, false);
        }
    }
    match of_option {
        Some(arg) => takes_snapshot(arg),
        None => {
            let mut places = command.get_positionals();
            // Of the last there may be any number.
            let is_many = |arg: &&Arg| arg.get_num_args().is_some_and(|count| count.max_values() > 1);
            let last = command.get_positionals().last().filter(is_many);
            places.nth(positional).or(last).is_some_and(takes_snapshot)
        }
    }
}

/// The snapshots of the repository that the command line names, if that costs nobody anything.
fn snapshots(words: &[OsString], environment: &Environment) -> Option<Vec<Snapshot>> {
    let root = Cli::command();
    let globals = ["--repo", "-r", "--repository", "--key-file", "--state-dir", "--profile", "-P"];
    let mut line = vec![OsString::from("cairn")];
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        if globals.contains(&&*text) && option(&root, word).is_some() {
            line.extend([word.clone(), words.next()?.clone()]);
        } else if globals.iter().any(|global| global.starts_with("--") && text.starts_with(&format!("{global}="))) {
            line.push(word.clone());
        }
    }
    line.push("version".into());
    let (line, _) = crate::profile::arguments(line, environment).ok()?;
    let settings = Settings::new(&Cli::try_parse_from(line).ok()?.global, environment).ok()?;
    let Location::Local(_) = &settings.location else { return None };
    let silent = match &settings.secret {
        None => true,
        // Anything else could wait for somebody.
        Some(SecretSource::KeyFile(path)) => std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file()),
        Some(_) => false,
    };
    let store = cairn::storage::connect(&settings.location).ok()?;
    if !silent || store.network_file_system().is_some() {
        return None;
    }
    let config = identify(&**store.fetch()).ok()?;
    if !secrets::is_at_hand(&settings, &config.repository()) {
        return None;
    }
    let unlock = secrets::unlock(&settings, &config.repository(), &Output::silent()).ok()?;
    let access = Access { fetch: store.fetch().clone(), publish: None };
    let repository = open_identified(access, &config, &unlock, Arc::new(OsRandom)).ok()?;
    Some(Snapshots::load(&repository).ok()?.all().to_vec())
}

/// Candidates with a note each, the newest first.
fn candidates(snapshots: &[Snapshot], word: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    if let Some((id, path)) = word.split_once(':') {
        let named =
            snapshots.iter().rev().find(|s| id == "latest" || (!id.is_empty() && s.id.to_string().starts_with(id)));
        for stored in named.iter().flat_map(|snapshot| &snapshot.entries.paths) {
            // What a shell would have to quote, and what a terminal would obey, is left to be typed.
            if let Ok(stored) = std::str::from_utf8(stored)
                && stored.starts_with(path)
                && stored.chars().all(|c| c.is_alphanumeric() || "/._-+@,=%".contains(c))
            {
                found.push((format!("{id}:{stored}"), "backed up path".to_owned()));
            }
        }
        return found;
    }
    if "latest".starts_with(word) && !snapshots.is_empty() {
        found.push(("latest".to_owned(), "this host's newest".to_owned()));
    }
    for snapshot in snapshots.iter().rev().take(CANDIDATES_MAX) {
        let (id, short) = (snapshot.id.to_string(), snapshot.id.short());
        if id.starts_with(word) {
            let paths: Vec<String> = snapshot.entries.paths.iter().map(|path| shown(path)).collect();
            let (time, host) = (values::time_seconds(snapshot.entries.time), shown(&snapshot.entries.host_name));
            found.push((
                if word.len() > short.len() { id } else { short },
                format!("{time} {host} {}", paths.join(" ")),
            ));
        }
    }
    found
}

/// What is added to a shell's script, so that it asks here.
pub(crate) fn script(shell: clap_complete::Shell) -> &'static str {
    match shell {
        clap_complete::Shell::Bash => BASH,
        clap_complete::Shell::Fish => FISH,
        clap_complete::Shell::Zsh => ZSH,
        _ => "",
    }
}

/// What is added to the script that clap makes for bash. The words are taken from the line: bash splits them at colons.
const BASH: &str = r#"
_cairn_snapshots() {
    _cairn "$@"
    local line=${COMP_LINE:0:COMP_POINT} words word found
    IFS=$' \t' read -ra words <<<"$line"
    [[ $line != *[[:space:]] ]] || words+=('')
    word=${words[-1]}
    [[ $word != -* ]] || return 0
    mapfile -t found < <("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)
    ((${#found[@]})) || return 0
    found=("${found[@]%%$'\t'*}")
    [[ $word != *:* ]] || found=("${found[@]#"${word%"${word##*:}"}"}")
    COMPREPLY=("${found[@]}")
}
complete -F _cairn_snapshots -o nosort -o bashdefault -o default cairn
"#;

/// For fish, whose candidates carry their notes.
const FISH: &str = r#"
function __cairn_snapshots
    set -l words (commandline -opc)
    set -e words[1]
    command cairn __complete $words (commandline -ct) 2>/dev/null
end
complete -c cairn -f -a '(__cairn_snapshots)' -n 'count (__cairn_snapshots) >/dev/null'
"#;

/// For zsh: takes the place of the function that is registered, and falls back on it.
const ZSH: &str = r#"
_cairn_snapshots() {
    local -a found
    local line
    for line in "${(@f)$(command cairn __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        [[ -z $line ]] || found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    done
    if ((${#found})); then
        _describe -V snapshot found
    else
        _cairn "$@"
    fi
}
compdef _cairn_snapshots cairn
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_snapshot_is_known_from_the_definitions() {
        let is = |line: &str| is_snapshot(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        for line in
            ["restore ", "restore --target x ", "restore --target x lat", "-r /x ls ", "ls --long ", "backup --parent "]
        {
            assert!(is(line), "{line}");
        }
        for line in [
            "",
            "res",
            "restore x ",
            "restore --target ",
            "ls -r ",
            "backup ",
            "backup --parent x ",
            "snapshots ",
            "key ",
        ] {
            assert!(!is(line), "{line}");
        }
    }
}
