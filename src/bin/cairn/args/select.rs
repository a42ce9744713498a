//! Arguments that say which snapshots are meant, shared by the commands that read.

use crate::values::parse_time;
use cairn::clock::Timestamp;
use clap::Args;
use std::path::PathBuf;

/// When to read a repository as of.
#[derive(Debug, Args)]
pub(crate) struct AtArgs {
    /// Read the repository as it was at this time, by the store's clock: what was deleted since is there. For buckets that
    /// keep versions
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) at: Option<Timestamp>,
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
