//! How a run ends: the exit codes, and failures that say what was tried, on what, why it failed and what to do next.

use cairn::engine::EngineError;
use cairn::format::wire::FormatError;
use cairn::fs::FsError;
use cairn::repository::RepositoryError;
use cairn::residency::{Refusal, RefusalKind};
use cairn::storage::{ErrorKind, StorageError};
use std::error::Error;
use std::fmt::Display;

/// The exit codes, as promised to scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done, complete.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// The command line, or a setting, was wrong.
    Usage = 2,
    /// Done, but some files could not be read or written.
    Incomplete = 3,
    /// No repository there.
    NoRepository = 10,
    /// Another operation forbids this one now.
    Forbidden = 11,
    /// Wrong key or password, or none.
    WrongKey = 12,
    /// Residency refused.
    Residency = 20,
    /// The log could not be written.
    NoLog = 21,
    /// Damage found.
    Damage = 22,
    /// A required residency check could not be made now.
    Unverified = 23,
    /// The log does not verify.
    LogUnverified = 24,
    /// Interrupted.
    Interrupted = 130,
}

/// The table for the manual pages.
pub(crate) const EXIT_TABLE: [(Exit, &str); 13] = [
    (Exit::Done, "done, complete"),
    (Exit::Failed, "failed"),
    (Exit::Usage, "the command line or a setting was wrong"),
    (
        Exit::Incomplete,
        "the snapshot was made or the restore done, but some files could not be read or written: the first 20 are named, \
         all are in a list file. Files that vanished meanwhile are a note, not a 3",
    ),
    (Exit::NoRepository, "no repository there, or not the one that was there before"),
    (Exit::Forbidden, "another operation forbids this one now"),
    (Exit::WrongKey, "wrong key or password, or none"),
    (Exit::Residency, "residency refused: nothing was sent to an unverified place"),
    (
        Exit::NoLog,
        "the log could be written neither on this host nor in the repository; nothing was sent. What only reads is never \
         stopped by that",
    ),
    (Exit::Damage, "damage found"),
    (Exit::Unverified, "a required residency check could not be made now; nothing was sent"),
    (Exit::LogUnverified, "the log does not verify"),
    (Exit::Interrupted, "interrupted; what was uploaded is kept and reused"),
];

/// A run that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// The same for programs, finer.
    pub(crate) kind: &'static str,
    /// What was tried, on what, and why it failed.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) hint: String,
}

/// Result of a step of a command.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// The kind that means: whoever read our output went away. Nothing is printed for it.
const BROKEN_PIPE: &str = "broken-pipe";

impl Failure {
    /// A failure.
    pub(crate) fn new(exit: Exit, kind: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit, kind, message: message.into(), hint: hint.into() }
    }

    /// A wrong command line or setting.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message, hint)
    }

    /// An operating-system error while `tried`.
    pub(crate) fn io(tried: impl Display, error: &std::io::Error) -> Self {
        let hint = match error.kind() {
            std::io::ErrorKind::PermissionDenied => "check who owns it and its mode, or run as another user",
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => "make room and try again",
            std::io::ErrorKind::NotFound => "check the path",
            _ => "",
        };
        Self::new(Exit::Failed, "io", format!("cannot {tried}: {error}"), hint)
    }

    /// Standard output cannot be written.
    pub(crate) fn stdout(error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::new(Exit::Done, BROKEN_PIPE, "standard output was closed", "")
        } else {
            Self::io("write to standard output", error)
        }
    }

    /// Whether nobody reads the output any more.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        self.kind == BROKEN_PIPE
    }

    /// Puts what was tried before the reason.
    pub(crate) fn while_trying(mut self, tried: impl Display) -> Self {
        self.message = format!("cannot {tried}: {}", self.message);
        self
    }

    /// Replaces what to do next.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    fn because(error: &dyn Error, (exit, kind, hint): (Exit, &'static str, &str)) -> Self {
        Self::new(exit, kind, chain(error), hint)
    }
}

/// An error and its causes, each once.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

type Class = (Exit, &'static str, &'static str);

const TRY_CHECK: &str =
    "run `cairn check` to see how far the damage goes; snapshots that it does not name can be restored";

fn of_storage(error: &StorageError) -> Class {
    match error.kind {
        ErrorKind::StoreMissing => {
            (Exit::NoRepository, "no-repository", "check the location, and that the disk is mounted")
        }
        ErrorKind::NotFound => (Exit::Damage, "damage", TRY_CHECK),
        ErrorKind::Truncated | ErrorKind::TooLarge => (Exit::Damage, "damage", TRY_CHECK),
        ErrorKind::NoSpace => (
            Exit::Failed,
            "no-space",
            "make room in the repository's file system and run the same command again: what was stored is reused",
        ),
        ErrorKind::Denied => (Exit::Failed, "denied", "check who owns the repository, or run as another user"),
        ErrorKind::ReadOnly => {
            (Exit::Failed, "read-only", "the repository can only be read here; mount it for writing")
        }
        ErrorKind::Refused => (
            Exit::Residency,
            "residency-refused",
            "`cairn residency check` makes the checks again and says what each one found",
        ),
        ErrorKind::NotNow => {
            (Exit::Unverified, "residency-unverified", "try again later; `cairn residency check` says what is missing")
        }
        ErrorKind::NoVersions => (
            Exit::Failed,
            "no-versions",
            "what was deleted there is gone, unless there is a second copy; without --at cairn reads what is there now",
        ),
        ErrorKind::Transient => (Exit::Failed, "transient", "try again"),
        _ => (Exit::Failed, "storage", ""),
    }
}

fn of_repository(error: &RepositoryError) -> Class {
    use RepositoryError as E;
    match error {
        E::NotThere => (
            Exit::NoRepository,
            "no-repository",
            "check the location, and that the disk is mounted; `cairn init` or `cairn backup --init` makes a new repository",
        ),
        E::Another { .. } => (
            Exit::NoRepository,
            "repository-gone",
            "the repository that was here is gone or was replaced; check what is mounted there",
        ),
        E::Exists(_) => (Exit::Failed, "exists", "use it, or choose another place"),
        E::WrongKey { .. } => (
            Exit::WrongKey,
            "wrong-key",
            "check which key belongs to this repository; if all are lost but the recovery key: `cairn recover --recovery-key-file FILE`",
        ),
        E::Storage(error) => of_storage(error),
        E::Generations | E::Fenced => {
            (Exit::Forbidden, "forbidden", "run the command again; use a newer cairn if it says so")
        }
        E::Numbers => (Exit::Forbidden, "forbidden", "look at what the other host stored, then run the command again"),
        E::Slot(_) => (Exit::Failed, "key-slot", "`cairn key list` shows the keys"),
        E::Verification(_) => (Exit::Failed, "verification", "nothing wrong was stored; test this machine's memory"),
        E::Damaged { source: FormatError::Unknown { .. }, .. } => {
            (Exit::Failed, "newer-format", "a newer version of cairn wrote this; use that version")
        }
        error if error.is_damage() => (Exit::Damage, "damage", TRY_CHECK),
        _ => (Exit::Failed, "failed", ""),
    }
}

fn of_engine(error: &EngineError) -> Class {
    use EngineError as E;
    match error {
        E::Repository(error) => of_repository(error),
        E::Fs(FsError::Pattern { .. } | FsError::BadName { .. }) => (Exit::Usage, "usage", "correct the pattern"),
        E::Fs(_) => (Exit::Failed, "files", "check the path and who may read or write it"),
        E::NoSnapshot(_) => {
            (Exit::Failed, "no-snapshot", "`cairn snapshots` lists all; `latest` means this host's, see --host")
        }
        E::AmbiguousSnapshot { .. } => {
            (Exit::Failed, "ambiguous-snapshot", "give more digits, or --host, --tag or --path")
        }
        E::Content { source, .. } => of_repository(source),
        E::NotDumped { .. } => (Exit::Failed, "not-dumped", "`cairn restore` brings back everything else"),
        E::Output(_) => (Exit::Failed, "output", "make room, or write it elsewhere; what was written is not whole"),
        E::NoPath(_) => (Exit::Failed, "no-path", "`cairn ls SNAPSHOT:DIR` shows what is in a directory"),
        E::SuspiciousSource { .. } => (
            Exit::Failed,
            "suspicious-source",
            "is something not mounted? If this is right, say so with --allow-empty-source",
        ),
        E::Stream(_) => (
            Exit::Failed,
            "stream-failed",
            "what it says itself stands above; correct it and run the same command again: what was uploaded is kept and reused",
        ),
        E::NothingToDo => (Exit::Failed, "nothing-to-do", "check the paths and excludes"),
        E::Interrupted => {
            (Exit::Interrupted, "interrupted", "what was uploaded is kept and reused: run the same command again")
        }
        E::Journal(_) => (
            Exit::NoLog,
            "log-not-written",
            "make the state directory writable, or name another with --state-dir; what was uploaded is kept and reused",
        ),
        E::Setting(_) => (Exit::Usage, "usage", ""),
        _ => (Exit::Failed, "failed", ""),
    }
}

/// Nothing was sent, and what would have to be different.
impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let (exit, kind) = match refusal.kind {
            RefusalKind::NotNow => (Exit::Unverified, "residency-unverified"),
            _ => (Exit::Residency, "residency-refused"),
        };
        Self::new(exit, kind, refusal.to_string(), refusal.remedy)
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::because(&error, of_storage(&error))
    }
}

impl From<RepositoryError> for Failure {
    fn from(error: RepositoryError) -> Self {
        Self::because(&error, of_repository(&error))
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let mut failure = Self::because(&error, of_engine(&error));
        if let EngineError::AmbiguousSnapshot { candidates, .. } = &error {
            for candidate in candidates {
                failure.message.push_str("\n  ");
                failure.message.push_str(candidate);
            }
        }
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_chain_is_said_once() {
        let damaged = RepositoryError::Damaged { object: "p/ab".into(), source: FormatError::WrongId };
        let failure = Failure::from(EngineError::from(damaged)).while_trying("restore latest");
        assert_eq!(failure.exit, Exit::Damage);
        assert_eq!(failure.message, "cannot restore latest: object p/ab is damaged: content does not match its id");
    }

    #[test]
    fn the_table_has_every_code_once() {
        let codes: Vec<u8> = EXIT_TABLE.iter().map(|(exit, _)| *exit as u8).collect();
        assert_eq!(codes, [0, 1, 2, 3, 10, 11, 12, 20, 21, 22, 23, 24, 130]);
    }
}
