//! Arguments of the commands that look into a repository.

use super::replica::SiteArgs;
use super::select::{AtArgs, FilterArgs};
use clap::Args;
use std::ffi::OsString;

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
    /// As a drawing, with everything in directories
    #[arg(long, conflicts_with_all = ["long", "recursive"])]
    pub(crate) tree: bool,
    #[command(flatten)]
    pub(crate) at: AtArgs,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) site: SiteArgs,
}
