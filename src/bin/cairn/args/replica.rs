//! The command line of replicas and copies.

use super::select::FilterArgs;
use crate::values::{Compression, parse_compression, parse_pin};
use cairn::residency::Pin;
use clap::Args;
use std::ffi::OsString;
use std::path::PathBuf;

/// At which of its sites a repository is read.
#[derive(Debug, Args)]
pub(crate) struct SiteArgs {
    /// Read the replica at this site (or location) instead of the repository that --repo names
    #[arg(long, value_name = "SITE")]
    pub(crate) site: Option<String>,
}

/// Bring a replica up to date
///
/// The sealed objects are copied as they are, snapshots last; a run that was cut short goes on where it ended, and nothing
/// is ever removed from the replica. No key is needed, but for a repository whose places were changed since it was made:
/// only a key can read that, or --pin says it.
#[derive(Debug, Args)]
pub(crate) struct ReplicateArgs {
    /// Where the replica is; `cairn init --replica-of` makes one
    #[arg(long, value_name = "LOCATION")]
    pub(crate) to: OsString,
    /// AWS profile with the replica's credentials [default: those of the repository]
    #[arg(long, value_name = "NAME")]
    pub(crate) to_aws_profile: Option<String>,
    /// Where the replica may be [default: what was said when it was made, or what holds for the repository]
    #[arg(long, value_name = "PLACES", value_parser = parse_pin)]
    pub(crate) pin: Option<Pin>,
    /// Let the replica be where --pin says, although the repository may not be there
    #[arg(long, requires = "pin")]
    pub(crate) widen_pin: bool,
    /// Refuse operators with a parent in the United States; one whose parent is not known counts as such
    #[arg(long)]
    pub(crate) deny_us_parent: bool,
}

/// Copy snapshots into an unrelated repository
///
/// Content is opened with the keys of the one and sealed with those of the other; ids change. Snapshots that are there
/// already are not copied again.
#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// Which snapshots [default: all that fit the filter]
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshots: Vec<String>,
    /// Where the other repository is
    #[arg(long, value_name = "LOCATION")]
    pub(crate) to: OsString,
    /// File with its key [default: the one in the state directory]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["to_password_file", "to_password_command"])]
    pub(crate) to_key_file: Option<PathBuf>,
    /// File with its password
    #[arg(long, value_name = "FILE", conflicts_with = "to_password_command")]
    pub(crate) to_password_file: Option<PathBuf>,
    /// Shell command that prints its password
    #[arg(long, value_name = "COMMAND")]
    pub(crate) to_password_command: Option<OsString>,
    /// AWS profile with its credentials [default: those of the repository]
    #[arg(long, value_name = "NAME")]
    pub(crate) to_aws_profile: Option<String>,
    /// off, auto, or a zstd level from 1 to 19
    #[arg(long, value_name = "LEVEL", default_value = "auto", value_parser = parse_compression)]
    pub(crate) compression: Compression,
    /// Copy although data may be in more places there than here
    #[arg(long)]
    pub(crate) widen_pin: bool,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
}
