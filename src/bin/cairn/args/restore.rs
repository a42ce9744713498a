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
