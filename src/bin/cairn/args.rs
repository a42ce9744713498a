//! The command line: names, flags and their help. The manual pages and completions are made from the same definitions.
//!
//! What a value means beyond its own text (which repository, which key) is decided in `settings.rs`.

mod audit;
mod replica;
mod residency;

pub(crate) use audit::{
    AuditCommand, AuditShowArgs, BundleArgs, CosignArgs, DeliverArgs, ExportArgs, ExportFormat, ProveArgs, RecordArgs,
    RecordKind, VerifyArgs, WitnessCommand,
};
pub(crate) use replica::{CopyArgs, ReplicateArgs, SiteArgs};
pub(crate) use residency::{
    DeclareArgs, ExceptArgs, LanguageArg, NetworkArgs, PinArgs, PolicyArgs, RecoverStoreArgs, ResidencyCommand,
    ShowArgs, TargetArgs, YesNo,
};

use crate::values::{Compression, parse_compression, parse_pin, parse_size, parse_time};
use cairn::clock::Timestamp;
use cairn::residency::place::Pin;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// Encrypted, deduplicating backup for servers whose data has to stay in Canada.
#[derive(Debug, Parser)]
#[command(name = "cairn", version, propagate_version = false, max_term_width = 100)]
#[command(after_long_help = "\
Every option can be given before or after the command. What is set in the environment (CAIRN_REPOSITORY, CAIRN_KEY_FILE,
CAIRN_PASSWORD_FILE, CAIRN_PASSWORD_COMMAND, CAIRN_PASSWORD, CAIRN_STATE_DIR, CAIRN_CACHE_DIR, CAIRN_MEMORY,
CAIRN_PROGRESS_FPS) gives way to the command line; a CAIRN_ variable of any other name is an error.")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// Where the repository is: PATH, file:PATH or s3://SITE/BUCKET[/PREFIX] [env: CAIRN_REPOSITORY]
    #[arg(short, long = "repo", visible_alias = "repository", value_name = "LOCATION", global = true)]
    pub(crate) repository: Option<OsString>,
    /// File with the key [env: CAIRN_KEY_FILE]
    #[arg(long, value_name = "FILE", global = true, conflicts_with_all = ["password_file", "password_command"])]
    pub(crate) key_file: Option<PathBuf>,
    /// File with the password [env: CAIRN_PASSWORD_FILE]
    #[arg(long, value_name = "FILE", global = true, conflicts_with = "password_command")]
    pub(crate) password_file: Option<PathBuf>,
    /// Shell command that prints the password [env: CAIRN_PASSWORD_COMMAND]
    #[arg(long, value_name = "COMMAND", global = true)]
    pub(crate) password_command: Option<OsString>,
    /// Directory of the local cache [env: CAIRN_CACHE_DIR]
    #[arg(long, value_name = "DIR", global = true, conflicts_with = "no_cache")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// Keep no local cache
    #[arg(long, global = true)]
    pub(crate) no_cache: bool,
    /// Directory of key files, this host's identity and what is known of repositories [env: CAIRN_STATE_DIR]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) state_dir: Option<PathBuf>,
    /// Memory that buffers may take, with K, M or G [default: the smaller of 512M and an eighth of all] [env: CAIRN_MEMORY]
    #[arg(long, value_name = "SIZE", global = true, value_parser = parse_size)]
    pub(crate) memory: Option<u64>,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    /// Print JSON: one object a line, lists as one array; errors as objects on standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print results, warnings and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Print more; twice: every entry
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    /// Show no progress
    #[arg(long, global = true)]
    pub(crate) no_progress: bool,
}

/// When to read a repository as of.
#[derive(Debug, Args)]
pub(crate) struct AtArgs {
    /// Read the repository as it was at this time, by the store's clock: what was deleted since is there. For buckets that
    /// keep versions
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) at: Option<Timestamp>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(InitArgs),
    Backup(Box<BackupArgs>),
    Restore(Box<RestoreArgs>),
    Snapshots(SnapshotsArgs),
    Ls(LsArgs),
    Check(CheckArgs),
    Replicate(ReplicateArgs),
    Copy(Box<CopyArgs>),
    /// Manage the keys that open the repository
    #[command(subcommand)]
    Key(KeyCommand),
    Recover(RecoverArgs),
    /// Where data may go, and where it goes
    #[command(subcommand)]
    Residency(ResidencyCommand),
    /// The signed log of what was sent and what was recovered
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Print the version of cairn and of the repository format
    Version,
    /// Write manual pages or shell completions
    #[command(subcommand)]
    Generate(GenerateCommand),
}

impl Command {
    /// What the log calls it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Init(_) => "init",
            Self::Backup(_) => "backup",
            Self::Restore(_) => "restore",
            Self::Snapshots(_) => "snapshots",
            Self::Ls(_) => "ls",
            Self::Check(_) => "check",
            Self::Replicate(_) => "replicate",
            Self::Copy(_) => "copy",
            Self::Key(_) => "key",
            Self::Recover(_) => "recover",
            Self::Residency(_) => "residency",
            Self::Audit(_) => "audit",
            Self::Version => "version",
            Self::Generate(_) => "generate",
        }
    }

    /// Where it sends to, if that is not the repository.
    pub(crate) fn destination(&self) -> Option<&OsString> {
        match self {
            Self::Replicate(args) => Some(&args.to),
            Self::Copy(args) => Some(&args.to),
            _ => None,
        }
    }

    /// When the repository is to be read as of.
    pub(crate) fn at(&self) -> Option<Timestamp> {
        match self {
            Self::Restore(args) => args.at.at,
            Self::Snapshots(args) => args.at.at,
            Self::Ls(args) => args.at.at,
            Self::Check(args) => args.at.at,
            Self::Recover(args) => args.at.at,
            _ => None,
        }
    }
}

/// Create a repository; refuses if one is there
///
/// The key goes to keys/REPOSITORY-ID.key in the state directory, or to --key-file, which is created if it does not exist;
/// with a password, there is no key file. The recovery key is shown once on the terminal; without a terminal it is written
/// to a file beside the key file. Keep it somewhere else than on this machine.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Where the data may be: CA, or provinces such as QC,ON [default: CA; of a replica: what holds for the repository]
    #[arg(long, value_name = "PLACES", value_parser = parse_pin)]
    pub(crate) pin: Option<Pin>,
    /// Average size of the pieces that files are cut into: a power of two from 4K to 4M, fixed for ever
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) chunk_size: Option<u64>,
    /// Refuse operators with a parent in the United States; one whose parent is not known counts as such
    #[arg(long)]
    pub(crate) deny_us_parent: bool,
    /// Make a replica of this repository: the same keys open it, and `cairn replicate` brings it up to date
    #[arg(long, value_name = "LOCATION", conflicts_with = "chunk_size")]
    pub(crate) replica_of: Option<OsString>,
    /// AWS profile with the credentials of that repository [default: as for --repo]
    #[arg(long, value_name = "NAME", requires = "replica_of")]
    pub(crate) from_aws_profile: Option<String>,
    /// Let the replica be where --pin says, although the repository may not be there
    #[arg(long, requires_all = ["replica_of", "pin"])]
    pub(crate) widen_pin: bool,
}

/// Back up files and directories
///
/// A file that cannot be read is counted and named, and the exit code is 3; the snapshot holds everything else.
/// cairn's own repository, cache and state are never backed up.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// What to back up
    #[arg(value_name = "PATH", required_unless_present_any = ["files_from", "files_from0"])]
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

/// What to do about files that exist already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Overwrite {
    /// Replace whatever differs or cannot be told to be equal
    Always,
    /// Replace if size or time differ
    IfChanged,
    /// Replace if the snapshot's is newer
    IfNewer,
    /// Leave what is there
    Never,
}

/// Restore a snapshot, or a part of it
///
/// SNAPSHOT is an id, the unambiguous start of one, latest, or latest~N (the N-th before it). Without PATH, everything is
/// restored below the target under its full path; of a directory PATH the entries go into the target, and a single file
/// goes into it under its name. What is in the target only is never removed.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// What to restore
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    pub(crate) snapshot: OsString,
    /// Directory to restore into; created if it does not exist
    #[arg(short, long, value_name = "DIR", required = true)]
    pub(crate) target: PathBuf,
    /// Restore only what matches; may be repeated
    #[arg(short, long, value_name = "PATTERN")]
    pub(crate) include: Vec<String>,
    /// Do not restore what matches; may be repeated
    #[arg(short, long, value_name = "PATTERN")]
    pub(crate) exclude: Vec<String>,
    /// What to do about files that exist already
    #[arg(long, value_enum, value_name = "WHEN", default_value = "always")]
    pub(crate) overwrite: Overwrite,
    /// Report what would be done, and write nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Read back and compare what was written
    #[arg(long)]
    pub(crate) verify: bool,
    /// Make holes of runs of zeros
    #[arg(long)]
    pub(crate) sparse: bool,
    /// Do not restore owners and groups
    #[arg(long)]
    pub(crate) no_owner: bool,
    /// Why this is done, for the record
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) purpose: String,
    #[command(flatten)]
    pub(crate) at: AtArgs,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) site: SiteArgs,
}

/// Which snapshots `latest` and lists look at.
#[derive(Debug, Args)]
pub(crate) struct FilterArgs {
    /// Snapshots of this host [for latest: this host's]
    #[arg(short = 'H', long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// Snapshots with all of these tags, separated by commas
    #[arg(long, value_name = "TAGS", value_delimiter = ',')]
    pub(crate) tag: Vec<String>,
    /// Snapshots that hold this path; may be repeated
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Vec<PathBuf>,
}

/// List snapshots
#[derive(Debug, Args)]
pub(crate) struct SnapshotsArgs {
    #[command(flatten)]
    pub(crate) at: AtArgs,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) site: SiteArgs,
}

/// List what is in a snapshot
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// Which snapshot, and which directory in it
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    pub(crate) snapshot: OsString,
    /// With type and mode, owner, size and time
    #[arg(short, long)]
    pub(crate) long: bool,
    /// With everything in directories
    #[arg(long)]
    pub(crate) recursive: bool,
    #[command(flatten)]
    pub(crate) at: AtArgs,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) site: SiteArgs,
}

/// Look for damage; exit code 22 when there is any
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Read and verify all data, not only what describes it
    #[arg(long)]
    pub(crate) read_data: bool,
    #[command(flatten)]
    pub(crate) at: AtArgs,
    /// Why this is done, for the record
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) purpose: String,
    #[command(flatten)]
    pub(crate) site: SiteArgs,
}

/// `cairn key …`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    Add(KeyAddArgs),
    /// List keys; the one in use is marked
    List,
    /// Remove a key
    Remove {
        /// Its id, or the unambiguous start of it
        #[arg(value_name = "ID")]
        id: String,
    },
    Passwd(KeyPasswdArgs),
    /// Say which key slot the key at hand opens
    Test,
}

/// What may be made instead of a key file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// May do everything
    Owner,
    /// May back up (not in this version)
    Writer,
    /// May back up and prune (not in this version)
    Manager,
    /// May restore (not in this version)
    Reader,
}

/// Add a key: a new key file, a password, or a recovery key
#[derive(Debug, Args)]
pub(crate) struct KeyAddArgs {
    /// Write the new key file here; it must not exist
    #[arg(long, value_name = "FILE", required_unless_present_any = ["new_password_file", "new_password", "recovery"])]
    pub(crate) output: Option<PathBuf>,
    /// Add the password in this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["output", "new_password", "recovery"])]
    pub(crate) new_password_file: Option<PathBuf>,
    /// Ask for a new password on the terminal
    #[arg(long, conflicts_with_all = ["output", "recovery"])]
    pub(crate) new_password: bool,
    /// Make a recovery key; it is shown on the terminal unless --output says otherwise
    #[arg(long)]
    pub(crate) recovery: bool,
    /// What its holder may do
    #[arg(long, value_enum, default_value = "owner")]
    pub(crate) role: Role,
    #[command(flatten)]
    pub(crate) notes: NoteArgs,
}

/// What is written down about a key.
#[derive(Debug, Args)]
pub(crate) struct NoteArgs {
    /// Host it is for [default: this one]
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// Who holds it [default: the user who runs this]
    #[arg(long, value_name = "NAME")]
    pub(crate) holder: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) purpose: String,
    /// When it should be removed, RFC 3339 or YYYY-MM-DD
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) expires: Option<Timestamp>,
}

/// Replace the password in use by another
#[derive(Debug, Args)]
pub(crate) struct KeyPasswdArgs {
    /// File with the new password [default: ask on the terminal]
    #[arg(long, value_name = "FILE")]
    pub(crate) new_password_file: Option<PathBuf>,
}

/// Get back to a repository with nothing but the recovery key
///
/// Proves that the recovery key opens the repository and its last snapshot, installs it as this machine's key file unless
/// there is one, and prints the commands that restore. With --endpoint it reads from a bucket that this machine knows
/// nothing of, and installs the declarations of sites that are kept in the repository.
#[derive(Debug, Args)]
pub(crate) struct RecoverArgs {
    /// File with the recovery key; - is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) recovery_key_file: PathBuf,
    #[command(flatten)]
    pub(crate) at: AtArgs,
    #[command(flatten)]
    pub(crate) store: RecoverStoreArgs,
}

/// `cairn generate …`.
#[derive(Debug, Subcommand)]
pub(crate) enum GenerateCommand {
    /// Write the manual pages, one a command
    Man {
        /// Directory to write them to
        #[arg(long, value_name = "DIR")]
        output: PathBuf,
    },
    /// Print completions for a shell
    Completions {
        /// Which shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}
