//! Arguments of `cairn mount`.

use super::replica::SiteArgs;
use super::select::{AtArgs, FilterArgs};
use clap::Args;
use std::ffi::OsString;
use std::path::PathBuf;

/// Show snapshots as directories, read-only, until it is unmounted
///
/// Without SNAPSHOT, MOUNTPOINT gets the directories ids/ID, snapshots/TIME, hosts/HOST/TIME and tags/TAG/TIME, each of the
/// last three with a link `latest`; --host, --tag and --path say which snapshots are shown. With SNAPSHOT, it shows that one
/// alone, or a directory of it. What is shown is what was there when it was mounted. Needs FUSE; who is not root needs
/// fusermount3 (package fuse3) too. It runs until `umount MOUNTPOINT`, Ctrl-C or SIGTERM. Every file that is opened is
/// recorded in the log, once.
#[derive(Debug, Args)]
pub(crate) struct MountArgs {
    /// Directory to mount on
    #[arg(value_name = "MOUNTPOINT")]
    pub(crate) mountpoint: PathBuf,
    /// Show this snapshot, or this directory of it, and nothing else
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    pub(crate) snapshot: Option<OsString>,
    /// Let other users in, within what owners and modes allow them; who is not root needs `user_allow_other` in
    /// /etc/fuse.conf
    #[arg(long)]
    pub(crate) allow_other: bool,
    /// Do not hold anybody against owners and modes: whoever may enter may read everything
    #[arg(long)]
    pub(crate) no_default_permissions: bool,
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
