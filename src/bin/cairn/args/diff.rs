//! Arguments of `cairn diff`.

use super::replica::SiteArgs;
use super::select::{AtArgs, FilterArgs};
use clap::Args;
use std::ffi::OsString;

/// Show what is different between two snapshots, or directories in them
///
/// Each line begins with a mark, as restic's do: + added, - removed, M content changed, T another type, U metadata changed (with
/// --metadata). M? is a file whose content changed while its length, inode and times did not.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The earlier one
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    pub(crate) before: OsString,
    /// The later one
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    pub(crate) after: OsString,
    /// Show entries too of which only mode, owner, time or extended attributes changed
    #[arg(long)]
    pub(crate) metadata: bool,
    #[command(flatten)]
    pub(crate) at: AtArgs,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) site: SiteArgs,
}
