//! Which exit codes a command can end with: one table, for the manual pages and for `docs/operations.md`.

use crate::exit::EXIT_TABLE;
use crate::exit::Exit::{
    self, Damage, Done, Failed, Forbidden, Incomplete, Interrupted, LogUnverified, NoLog, NoRepository, Residency,
    Unverified, Usage, WrongKey,
};
use std::fmt::Write as _;

/// Every command.
const ANY: &[Exit] = &[Done, Failed, Usage];
/// What opens a repository.
const OPENS: &[Exit] = &[NoRepository, Forbidden, WrongKey, Damage, Interrupted];
/// What adds to one.
const ADDS: &[Exit] = &[Residency, NoLog, Unverified];
/// What changes who may do what, or judges the log.
const MANAGES: &[Exit] = &[LogUnverified];
/// What goes on when single files fail.
const SKIPS: &[Exit] = &[Incomplete];

/// Commands and what they are, beside [`ANY`]. A command that is not here may be all of it; one with subcommands stands for those
/// that are not here themselves.
const COMMANDS: &[(&str, &[&[Exit]])] = &[
    ("audit", &[OPENS, ADDS, MANAGES]),
    ("backup", &[OPENS, ADDS, SKIPS]),
    ("cat", &[OPENS]),
    ("check", &[OPENS]),
    ("copy", &[OPENS, ADDS]),
    ("diff", &[OPENS]),
    ("dump", &[OPENS, SKIPS]),
    ("find", &[OPENS]),
    ("forget", &[OPENS, ADDS, MANAGES]),
    ("generate", &[]),
    ("init", &[OPENS, ADDS]),
    ("key", &[OPENS, ADDS, MANAGES]),
    ("key list", &[OPENS]),
    ("key test", &[OPENS]),
    ("list", &[OPENS]),
    ("ls", &[OPENS]),
    #[cfg(feature = "mount")]
    ("mount", &[OPENS, SKIPS]),
    ("profile", &[]),
    ("recover", &[OPENS]),
    ("replicate", &[OPENS, ADDS]),
    ("residency", &[OPENS, ADDS, MANAGES]),
    ("restore", &[OPENS, SKIPS]),
    ("schedule", &[]),
    ("snapshots", &[OPENS]),
    ("stats", &[OPENS]),
    ("status", &[SKIPS]),
    ("version", &[]),
];

/// The codes of a command, such as `key list`, in order, with their meanings.
fn codes(command: &str) -> impl Iterator<Item = &'static (Exit, &'static str)> + use<> {
    let named = |name: &str| command == name || command.strip_prefix(name).is_some_and(|rest| rest.starts_with(' '));
    let kinds = COMMANDS.iter().filter(|(name, _)| named(name)).max_by_key(|(name, _)| name.len());
    EXIT_TABLE.iter().filter(move |(exit, _)| {
        ANY.contains(exit) || kinds.is_none_or(|(_, kinds)| kinds.iter().any(|kind| kind.contains(exit)))
    })
}

/// The section of a manual page. `page` is `cairn`, or `cairn-` and the command.
pub(crate) fn section(page: &str) -> String {
    let command = page.strip_prefix("cairn").unwrap_or(page).replace('-', " ");
    let mut section = String::from(".SH \"EXIT STATUS\"\n");
    for (exit, meaning) in codes(command.trim()) {
        let _ = write!(section, ".TP\n\\fB{}\\fR\n{meaning}\n", *exit as u8);
    }
    section
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::args::Cli;
    use clap::CommandFactory as _;

    #[test]
    fn the_longest_name_counts() {
        let numbers = |command| codes(command).map(|(exit, _)| *exit as u8).collect::<Vec<_>>();
        assert_eq!(numbers("version"), [0, 1, 2]);
        assert_eq!(numbers("generate man"), [0, 1, 2]);
        assert_eq!(numbers("restore"), [0, 1, 2, 3, 10, 11, 12, 22, 130]);
        assert_eq!(numbers("key list"), [0, 1, 2, 10, 11, 12, 22, 130]);
        assert_eq!(numbers("key add"), [0, 1, 2, 10, 11, 12, 20, 21, 22, 23, 24, 130]);
        assert_eq!(numbers("").len(), EXIT_TABLE.len());
    }

    /// A command that nobody thought about would show every code.
    #[test]
    fn every_command_has_a_row() {
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = command.get_name();
            assert!(name == "help" || COMMANDS.iter().any(|(row, _)| *row == name), "{name}");
        }
    }

    #[test]
    fn every_row_is_a_command() {
        for &(name, _) in COMMANDS {
            let mut command = &Cli::command();
            for part in name.split(' ') {
                command = command.find_subcommand(part).unwrap_or_else(|| panic!("{name}"));
            }
        }
    }

    /// The table of the documentation is this one.
    #[test]
    fn the_documentation_says_the_same() {
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md")).unwrap();
        for &(name, _) in COMMANDS {
            let numbers: Vec<String> = codes(name).skip(ANY.len()).map(|(exit, _)| (*exit as u8).to_string()).collect();
            let row = format!("| `{name}` | {} |", numbers.join(", ")).replace("|  |", "| |");
            assert!(text.lines().any(|line| line == row), "docs/operations.md has no line {row}");
        }
    }
}
