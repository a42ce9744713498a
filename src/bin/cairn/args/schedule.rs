//! Arguments of `cairn schedule`.

use clap::{Args, Subcommand};

/// `cairn schedule …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    Install(InstallArgs),
    /// Show the timers of profiles: when they ran, when they run next
    Status(ManagerArgs),
    Remove(RemoveArgs),
}

/// Which systemd.
#[derive(Debug, Args)]
pub(crate) struct ManagerArgs {
    /// Use the systemd of this user, not the system's [default: as for whoever is not root]
    #[arg(long)]
    pub(crate) user: bool,
}

/// Have systemd back a profile up and check its repository at certain times
///
/// Names the profile with -P. Writes unit files where the package has installed none, a drop-in with the times and with the
/// directories that may be written, and starts the timers. Times are calendar expressions of systemd, such as daily, 02:30 or
/// "Sun 04:00". What is missed while the machine is off is made up for. Without --backup and --check: a backup daily and a
/// check weekly.
#[derive(Debug, Args)]
pub(crate) struct InstallArgs {
    /// When to back up
    #[arg(long, value_name = "CALENDAR")]
    pub(crate) backup: Option<String>,
    /// When to check
    #[arg(long, value_name = "CALENDAR")]
    pub(crate) check: Option<String>,
    #[command(flatten)]
    pub(crate) manager: ManagerArgs,
    /// Print what would be written and run
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

/// Stop a profile's timers, and remove what `schedule install` wrote for it
#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    #[command(flatten)]
    pub(crate) manager: ManagerArgs,
    /// Print what would be removed
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}
