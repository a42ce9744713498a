//! Arguments of `cairn status`.

use clap::Args;
use std::time::Duration;

/// Show on one screen what became of the last runs on this machine
///
/// Each profile, and each repository that was used without one: the last run of each kind, the last snapshot, the next timer,
/// and what the log has not passed on yet. No repository is opened. Exit code 1 if the newest run of a kind failed, a profile
/// is not valid or a backup is older than --max-age says; 3 if the worst is a backup that left files out; 0 otherwise.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Also fail if a profile's last complete backup is older than this, such as 26h or 8d
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) max_age: Option<Duration>,
}
