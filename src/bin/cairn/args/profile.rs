//! Arguments of profiles: which one, and `cairn profile`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Options of every command, for runs that nobody watches.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct UnattendedArgs {
    /// Take settings from the profile NAME.toml in /etc/cairn or $XDG_CONFIG_HOME/cairn [env: CAIRN_PROFILE]
    #[arg(short = 'P', long, value_name = "NAME", global = true)]
    pub(crate) profile: Option<String>,
    /// After a backup, check or replicate, write its figures to this file, for Prometheus
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) metrics_file: Option<PathBuf>,
}

/// `cairn profile …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ProfileCommand {
    Check(ProfileCheckArgs),
    Show(ProfileShowArgs),
}

/// Say whether profiles are valid: each mistake with its file, line and remedy
///
/// Exit code 2 when one is not. Nothing is opened, and no hook is run.
#[derive(Debug, Args)]
pub(crate) struct ProfileCheckArgs {
    /// Which profiles [default: all]
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
}

/// Show what a profile comes to: each value, and where it is from
///
/// What CAIRN_ variables say goes before it, and is shown so; options of the command line would go before both.
#[derive(Debug, Args)]
pub(crate) struct ProfileShowArgs {
    /// Which profile [default: that of -P or CAIRN_PROFILE]
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
}
