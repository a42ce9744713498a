//! Arguments of `cairn stats`.

use super::replica::SiteArgs;
use super::select::{AtArgs, FilterArgs};
use cairn::engine::stats::Mode;
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

/// How to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ModeArg(pub(crate) Mode);

impl ValueEnum for ModeArg {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self(Mode::RestoreSize), Self(Mode::FilesByContents), Self(Mode::RawData), Self(Mode::BlobsPerFile)]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, help) = match self.0 {
            Mode::RestoreSize => ("restore-size", "What a restore of each snapshot writes; hard links once"),
            Mode::FilesByContents => ("files-by-contents", "Files of different content"),
            Mode::RawData => ("raw-data", "What is stored, and the ratio of compression"),
            Mode::BlobsPerFile => ("blobs-per-file", "Chunks of files of different content, without what files share"),
        };
        Some(PossibleValue::new(name).help(help))
    }
}

/// Count what is in snapshots
///
/// In every mode but restore-size each content is counted once: a snapshot's line says what it has and those before it had not.
#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    /// Which snapshots [default: all that --host, --tag and --path allow]
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshots: Vec<String>,
    /// How to count
    #[arg(long, value_enum, value_name = "MODE", default_value = "restore-size")]
    pub(crate) mode: ModeArg,
    #[command(flatten)]
    pub(crate) at: AtArgs,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) site: SiteArgs,
}
