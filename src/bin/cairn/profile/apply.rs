//! Joins a profile with what was typed: command line before environment before profile before default.
//!
//! What was typed is read twice. The first reading only looks for the profile's name and for what was said at all, and
//! forgives everything; the second, with the profile's arguments among the others, is the one that counts.

use crate::args::{Cli, FOR_PATHS};
use crate::environment::Environment;
use crate::exit::Result;
use crate::profile::effective::{Profile, load};
use crate::profile::find::Directories;
use crate::profile::keys::{KEYS, Key, Section};
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory as _};
use std::ffi::OsString;

/// Commands that read profiles themselves.
const ABOUT_PROFILES: [&str; 3] = ["profile", "schedule", "status"];

/// The arguments with those of the profile that was named, and the profile.
///
/// # Errors
/// Exit 2 for a profile that is not there or not valid.
pub(crate) fn arguments(typed: Vec<OsString>, environment: &Environment) -> Result<(Vec<OsString>, Option<Profile>)> {
    // What asks for help, and what cannot be understood at all, is for the second reading.
    let Ok(matches) = Cli::command().ignore_errors(true).try_get_matches_from(&typed) else {
        return Ok((typed, None));
    };
    let Some((command, own)) = matches.subcommand().filter(|(command, _)| !ABOUT_PROFILES.contains(command)) else {
        return Ok((typed, None));
    };
    let named = matches.try_get_one::<String>("profile").ok().flatten().cloned();
    let Some(name) = named.or(environment.own_text("CAIRN_PROFILE")?.map(str::to_owned)) else {
        return Ok((typed, None));
    };
    let profile = load(&Directories::new(environment)?, &name)?;
    let mut added = Vec::new();
    for key in KEYS {
        let matches = match key.section {
            Section::Top => &matches,
            section if section.name() == command => own,
            _ => continue,
        };
        if let Some((value, _)) = profile.get(key)
            && !is_typed(key, matches)
            && !is_in_environment(key, environment)
        {
            added.extend(key.arguments(value).into_iter().map(OsString::from));
        }
    }
    // What follows `--` are no options.
    let at = typed.iter().position(|argument| argument == "--").unwrap_or(typed.len());
    let (before, after) = typed.split_at(at);
    let all = before.iter().cloned().chain(added).chain(after.iter().cloned()).collect();
    Ok((all, Some(profile)))
}

/// Whether a variable goes before the key.
pub(crate) fn is_in_environment(key: &Key, environment: &Environment) -> bool {
    key.variables.iter().any(|name| environment.get(name).is_some())
}

/// Whether the command line says this, or what excludes it.
fn is_typed(key: &Key, matches: &ArgMatches) -> bool {
    let group = KEYS.iter().filter(|other| other.section == key.section && other.group == key.group);
    let rivals = group.filter(|other| !other.group.is_empty()).map(Key::id);
    let more: &[&str] = match key.name {
        "quiet" => &["verbose"],
        "paths" => &["stdin", "stdin_from_command"],
        // Those of a profile are about its paths.
        "files-from" | "files-from0" => &["stdin", "stdin_from_command", "as_path"],
        name if key.section == Section::Backup && FOR_PATHS.contains(&name.replace('-', "_").as_str()) => {
            &["stdin", "stdin_from_command"]
        }
        _ => &[],
    };
    let mut ids = rivals.chain(more.iter().map(|id| (*id).to_owned())).chain([key.id()]);
    ids.any(|id| {
        matches!(matches.try_contains_id(&id), Ok(true)) && matches.value_source(&id) == Some(ValueSource::CommandLine)
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::exit::Exit;
    use std::collections::BTreeMap;

    const PROFILE: &str = "repository = \"/profile\"\nkey-file = \"/key\"\nmemory = \"64M\"\nquiet = true\n[backup]\n\
                           paths = [\"/a\", \"/b\"]\nexclude = \"x\"\none-file-system = true\n[check]\nread-data = true\n";

    fn joined(typed: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("cairn");
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("web.toml"), PROFILE).unwrap();
        let mut environment: BTreeMap<OsString, OsString> =
            variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        environment.insert("XDG_CONFIG_HOME".into(), home.path().into());
        let typed = ["cairn"].iter().chain(typed).map(OsString::from).collect();
        let (all, _) = arguments(typed, &Environment::new(environment)).unwrap();
        all.into_iter().skip(1).map(|argument| argument.into_string().unwrap()).collect()
    }

    #[test]
    fn the_profile_says_what_nobody_else_does() {
        let all = ["--repository=/profile", "--key-file=/key", "--memory=64M", "--quiet"];
        let own = ["/a", "/b", "--exclude=x", "--one-file-system"];
        let expected = [&["backup", "-P", "web"][..], &all, &own].concat();
        assert_eq!(joined(&["backup", "-P", "web"], &[]), expected);
        let expected = [&["snapshots", "--json", "--profile=web"][..], &all].concat();
        assert_eq!(joined(&["snapshots", "--json", "--profile=web"], &[]), expected);
        let expected = [&["-P", "web", "check"][..], &all, &["--read-data"]].concat();
        assert_eq!(joined(&["-P", "web", "check"], &[]), expected);
        assert_eq!(joined(&["check"], &[("CAIRN_PROFILE", "web")])[1..], expected[3..]);
        // What is wrong stays, and is told by the reading that counts.
        assert_eq!(joined(&["check", "--nonsense"], &[]), ["check", "--nonsense"]);
        assert_eq!(joined(&["profile", "check", "-P", "web"], &[]), ["profile", "check", "-P", "web"]);
    }

    #[test]
    fn what_was_typed_goes_first() {
        let typed = ["backup", "-P", "web", "/c", "-e", "y", "--password-file", "p", "-v", "--", "/d"];
        let expected = ["backup", "-P", "web", "/c", "-e", "y", "--password-file", "p", "-v"];
        let expected =
            [&expected[..], &["--repository=/profile", "--memory=64M", "--one-file-system", "--", "/d"]].concat();
        assert_eq!(joined(&typed, &[]), expected);
    }

    #[test]
    fn the_environment_goes_before_the_profile() {
        let variables = [("CAIRN_REPOSITORY", "/r"), ("CAIRN_PASSWORD", "x"), ("CAIRN_MEMORY", "32M")];
        assert_eq!(joined(&["snapshots", "-P", "web"], &variables), ["snapshots", "-P", "web", "--quiet"]);
    }

    #[test]
    fn a_profile_that_is_not_there() {
        let environment = Environment::new([("XDG_CONFIG_HOME".into(), "/nowhere".into())].into());
        let typed = ["cairn", "check", "-P", "web"].iter().map(OsString::from).collect();
        let failure = arguments(typed, &environment).unwrap_err();
        assert_eq!((failure.exit, failure.kind), (Exit::Usage, "profile"));
        assert!(failure.message.contains("/nowhere/cairn"), "{}", failure.message);
    }
}
