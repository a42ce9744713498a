//! Arguments of `cairn dump`.

use super::replica::SiteArgs;
use super::select::{AtArgs, FilterArgs};
use clap::{Args, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// What a directory becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ArchiveArg {
    /// A pax archive, with owners, modes, times to the nanosecond, links, devices and extended attributes
    Tar,
    /// A ZIP archive, not compressed, with files, directories and symbolic links only
    Zip,
}

/// Write a file's content, or a directory as an archive, to standard output
///
/// SNAPSHOT is an id, the unambiguous start of one, latest, or latest~N. Names in an archive are relative to the root of the
/// snapshot, or to the directory that SNAPSHOT:DIR names: `dump latest /etc` has etc/hosts, `dump latest:/etc` has hosts.
///
/// Everything is checked before it is written. At the first damage the dump ends with exit code 22, and an archive is then
/// cut short in a way that tar and unzip complain about; `cairn restore` brings back what is not damaged. The log has a record of every
/// file that was written, as of a restore.
#[derive(Debug, Args)]
pub(crate) struct DumpArgs {
    /// Which snapshot, and which directory or file in it
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    pub(crate) snapshot: OsString,
    /// What to write: a file or directory in the snapshot, or in the directory that is named with it [default: all]
    #[arg(value_name = "PATH")]
    pub(crate) what: Option<PathBuf>,
    /// What a directory becomes
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "tar")]
    pub(crate) archive: ArchiveArg,
    /// Write to this file instead; it appears, or is replaced, when all of it is there
    #[arg(short, long, value_name = "FILE")]
    pub(crate) target: Option<PathBuf>,
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
