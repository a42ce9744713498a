//! Arguments of `cairn restore`.

use super::replica::SiteArgs;
use super::select::{AtArgs, FilterArgs};
use clap::{Args, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

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
/// goes into it under its name. What is in the target only stays, unless --delete is given.
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
    /// As --include, ignoring case
    #[arg(long, value_name = "PATTERN")]
    pub(crate) iinclude: Vec<String>,
    /// File with a pattern to include a line
    #[arg(long, value_name = "FILE")]
    pub(crate) include_file: Vec<PathBuf>,
    /// Do not restore what matches, even if it is included; may be repeated
    #[arg(short, long, value_name = "PATTERN")]
    pub(crate) exclude: Vec<String>,
    /// As --exclude, ignoring case
    #[arg(long, value_name = "PATTERN")]
    pub(crate) iexclude: Vec<String>,
    /// File with a pattern to exclude a line
    #[arg(long, value_name = "FILE")]
    pub(crate) exclude_file: Vec<PathBuf>,
    /// What to do about files that exist already
    #[arg(long, value_enum, value_name = "WHEN", default_value = "always")]
    pub(crate) overwrite: Overwrite,
    /// Change files where they are, reading them back and writing only what differs, instead of replacing them. An
    /// interruption leaves a file half-way; running it again completes it
    #[arg(long)]
    pub(crate) in_place: bool,
    /// Remove what is in the target and not in the snapshot, below the paths that were backed up; what is excluded, or not
    /// included, stays. With -n, says what would be removed
    #[arg(long)]
    pub(crate) delete: bool,
    /// Report what would be done, and write nothing; with -v, for each entry
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
    /// Restore owners and groups by their names, and by their numbers where this host has no such name
    #[arg(long, conflicts_with = "no_owner")]
    pub(crate) ownership_by_name: bool,
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
