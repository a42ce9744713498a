//! Arguments of `cairn backup`.

use crate::values::{Compression, parse_compression, parse_size, parse_time};
use cairn::clock::Timestamp;
use clap::Args;
use std::ffi::OsString;
use std::path::PathBuf;

/// Back up files and directories
///
/// A file that cannot be read is counted and named, and the exit code is 3; the snapshot holds everything else.
/// cairn's own repository, cache and state are never backed up.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// What to back up; with --stdin-from-command, the command and its arguments: put them last, after --
    #[arg(value_name = "PATH", required_unless_present_any = ["files_from", "files_from0", "stdin"])]
    pub(crate) paths: Vec<PathBuf>,
    /// Create the repository first, where this machine has never known one
    #[arg(long)]
    pub(crate) init: bool,
    /// off, auto, or a zstd level from 1 to 19
    #[arg(long, value_name = "LEVEL", default_value = "auto", value_parser = parse_compression)]
    pub(crate) compression: Compression,
    /// Take a file as unchanged even if its change time (ctime) differs
    #[arg(long)]
    pub(crate) ignore_ctime: bool,
    /// Take a file as unchanged even if its inode number differs
    #[arg(long)]
    pub(crate) ignore_inode: bool,
    /// Time of the snapshot, RFC 3339 or "YYYY-MM-DD hh:mm:ss" in UTC [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) time: Option<Timestamp>,
    /// Tags of the snapshot, separated by commas; may be repeated
    #[arg(long, value_name = "TAGS", value_delimiter = ',')]
    pub(crate) tag: Vec<String>,
    /// Host name of the snapshot [default: this host's]
    #[arg(short = 'H', long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// Leave out what matches, as in .gitignore; may be repeated
    #[arg(short = 'e', long, value_name = "PATTERN")]
    pub(crate) exclude: Vec<String>,
    /// As --exclude, ignoring case
    #[arg(long, value_name = "PATTERN")]
    pub(crate) iexclude: Vec<String>,
    /// File with a pattern a line
    #[arg(long, value_name = "FILE")]
    pub(crate) exclude_file: Vec<PathBuf>,
    /// Leave out the content of directories with a CACHEDIR.TAG
    #[arg(long)]
    pub(crate) exclude_caches: bool,
    /// Leave out the content of directories that hold a file of this name (that starts with HEADER)
    #[arg(long, value_name = "NAME[:HEADER]")]
    pub(crate) exclude_if_present: Vec<OsString>,
    /// Leave out files of more than this size
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) exclude_larger_than: Option<u64>,
    /// Stay on the file system of each PATH
    #[arg(short = 'x', long)]
    pub(crate) one_file_system: bool,
    /// Take paths from this file, one a line; - is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) files_from: Vec<PathBuf>,
    /// Take paths from this file, each ended by a zero byte; - is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) files_from0: Vec<PathBuf>,
    /// Store the one PATH, and what is in it, under this path in the snapshot; excludes go by where it is
    #[arg(long, value_name = "PATH", conflicts_with_all = ["files_from", "files_from0"])]
    pub(crate) as_path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) stream: StreamArgs,
    /// Snapshot to compare with [default: this host's last one of the same paths]
    #[arg(long, value_name = "SNAPSHOT", conflicts_with = "force")]
    pub(crate) parent: Option<String>,
    /// Read every file again
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Report what would be stored, and make no snapshot
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Make no snapshot if it would equal the one before
    #[arg(long)]
    pub(crate) skip_if_unchanged: bool,
    /// Go on when a PATH is missing, or empty although the last snapshot has entries there
    #[arg(long)]
    pub(crate) allow_empty_source: bool,
    /// Why this is done, for the record
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) purpose: String,
}

/// A stream instead of paths.
#[derive(Debug, Args)]
pub(crate) struct StreamArgs {
    /// Back up what is read from standard input, as one file
    #[arg(long, conflicts_with_all = FOR_PATHS, conflicts_with = "paths")]
    pub(crate) stdin: bool,
    /// Run the command that is given instead of PATH, and back up what it writes to standard output, as one file. If it fails,
    /// no snapshot is made
    #[arg(long, conflicts_with_all = FOR_PATHS, conflicts_with = "stdin")]
    pub(crate) stdin_from_command: bool,
    /// Name or path of that file in the snapshot [default: stdin]
    #[arg(long, value_name = "NAME")]
    pub(crate) stdin_filename: Option<PathBuf>,
}

/// What says something of files that are found by walking, and nothing of a stream.
pub(crate) const FOR_PATHS: [&str; 12] = [
    "as_path",
    "exclude",
    "iexclude",
    "exclude_file",
    "exclude_caches",
    "exclude_if_present",
    "exclude_larger_than",
    "one_file_system",
    "files_from",
    "files_from0",
    "ignore_ctime",
    "ignore_inode",
];
