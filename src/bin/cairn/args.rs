//! The command line: names, flags and their help. The manual pages and completions are made from the same definitions.
//!
//! What a value means beyond its own text (which repository, which key) is decided in `settings.rs`.

mod audit;
mod backup;
mod diff;
mod dump;
mod find;
mod forget;
mod key;
mod look;
#[cfg(feature = "mount")]
mod mount;
mod objects;
mod profile;
mod replica;
mod residency;
mod restore;
mod schedule;
mod select;
mod stats;
mod status;
mod subset;

pub(crate) use audit::{
    AuditCommand, AuditShowArgs, BundleArgs, CosignArgs, DeliverArgs, ExportArgs, ExportFormat, ProveArgs, RecordArgs,
    RecordKind, VerifyArgs, WitnessCommand,
};
pub(crate) use backup::{BackupArgs, FOR_PATHS, StreamArgs};
pub(crate) use diff::DiffArgs;
pub(crate) use dump::{ArchiveArg, DumpArgs};
pub(crate) use find::FindArgs;
pub(crate) use forget::ForgetArgs;
pub(crate) use key::{KeyAddArgs, KeyCommand, KeyPasswdArgs, NoteArgs, Role};
pub(crate) use look::{LsArgs, SnapshotsArgs};
#[cfg(feature = "mount")]
pub(crate) use mount::MountArgs;
pub(crate) use objects::{CatArgs, CatKind, ListArgs, ListKind};
pub(crate) use profile::{ProfileCheckArgs, ProfileCommand, UnattendedArgs};
pub(crate) use replica::{CopyArgs, ReplicateArgs, SiteArgs};
pub(crate) use residency::{
    DeclareArgs, ExceptArgs, LanguageArg, NetworkArgs, PinArgs, PolicyArgs, RecoverStoreArgs, ResidencyCommand,
    ShowArgs, TargetArgs, YesNo,
};
pub(crate) use restore::{Overwrite, RestoreArgs};
pub(crate) use schedule::{InstallArgs, ManagerArgs, RemoveArgs, ScheduleCommand};
pub(crate) use select::{AtArgs, FilterArgs};
pub(crate) use stats::{ModeArg, StatsArgs};
pub(crate) use status::StatusArgs;
pub(crate) use subset::{Part, SubsetArgs};

use crate::values::{parse_pin, parse_size};
use cairn::clock::Timestamp;
use cairn::residency::place::Pin;
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

/// Encrypted, deduplicating backup for servers whose data has to stay in Canada.
#[derive(Debug, Parser)]
#[command(name = "cairn", version, propagate_version = false, max_term_width = 100)]
#[command(after_long_help = "\
Every option can be given before or after the command. What is set in the environment (CAIRN_REPOSITORY, CAIRN_KEY_FILE,
CAIRN_PASSWORD_FILE, CAIRN_PASSWORD_COMMAND, CAIRN_PASSWORD, CAIRN_STATE_DIR, CAIRN_CACHE_DIR, CAIRN_MEMORY,
CAIRN_PROFILE, CAIRN_PROGRESS_FPS) gives way to the command line; a CAIRN_ variable of any other name is an error.")]
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
    #[command(flatten)]
    pub(crate) unattended: UnattendedArgs,
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

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(InitArgs),
    Backup(Box<BackupArgs>),
    Restore(Box<RestoreArgs>),
    Dump(Box<DumpArgs>),
    Snapshots(SnapshotsArgs),
    Ls(LsArgs),
    #[cfg(feature = "mount")]
    Mount(Box<MountArgs>),
    Find(Box<FindArgs>),
    Diff(Box<DiffArgs>),
    Stats(Box<StatsArgs>),
    Forget(Box<ForgetArgs>),
    List(ListArgs),
    Cat(Box<CatArgs>),
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
    Status(StatusArgs),
    /// Profiles: settings and arguments of runs that nobody watches
    #[command(subcommand)]
    Profile(ProfileCommand),
    /// Timers of systemd that run a profile's backups and checks
    #[command(subcommand)]
    Schedule(ScheduleCommand),
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
            Self::Dump(_) => "dump",
            Self::Snapshots(_) => "snapshots",
            Self::Ls(_) => "ls",
            #[cfg(feature = "mount")]
            Self::Mount(_) => "mount",
            Self::Find(_) => "find",
            Self::Diff(_) => "diff",
            Self::Stats(_) => "stats",
            Self::Forget(_) => "forget",
            Self::List(_) => "list",
            Self::Cat(_) => "cat",
            Self::Check(_) => "check",
            Self::Replicate(_) => "replicate",
            Self::Copy(_) => "copy",
            Self::Key(_) => "key",
            Self::Recover(_) => "recover",
            Self::Residency(_) => "residency",
            Self::Audit(_) => "audit",
            Self::Status(_) => "status",
            Self::Profile(_) => "profile",
            Self::Schedule(_) => "schedule",
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
            Self::Dump(args) => args.at.at,
            Self::Snapshots(args) => args.at.at,
            Self::Ls(args) => args.at.at,
            #[cfg(feature = "mount")]
            Self::Mount(args) => args.at.at,
            Self::Find(args) => args.at.at,
            Self::Diff(args) => args.at.at,
            Self::Stats(args) => args.at.at,
            Self::List(args) => args.at.at,
            Self::Cat(args) => args.at.at,
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

/// Look for damage; exit code 22 when there is any
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Read and verify all data, not only what describes it
    #[arg(long)]
    pub(crate) read_data: bool,
    #[command(flatten)]
    pub(crate) subset: SubsetArgs,
    #[command(flatten)]
    pub(crate) at: AtArgs,
    /// Why this is done, for the record
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) purpose: String,
    #[command(flatten)]
    pub(crate) site: SiteArgs,
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
