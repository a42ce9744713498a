//! Arguments of `cairn find`.

use super::replica::SiteArgs;
use super::select::{AtArgs, FilterArgs};
use crate::values::{parse_size, parse_time};
use cairn::clock::Timestamp;
use cairn::engine::find::Kind;
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use std::ffi::OsString;

/// A type of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KindArg(pub(crate) Kind);

impl ValueEnum for KindArg {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self(Kind::File),
            Self(Kind::Directory),
            Self(Kind::Symlink),
            Self(Kind::Fifo),
            Self(Kind::Device),
            Self(Kind::Socket),
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, alias) = match self.0 {
            Kind::File => ("file", "f"),
            Kind::Directory => ("dir", "d"),
            Kind::Symlink => ("symlink", "l"),
            Kind::Fifo => ("fifo", "p"),
            Kind::Device => ("device", "b"),
            Kind::Socket => ("socket", "s"),
        };
        Some(PossibleValue::new(name).alias(alias))
    }
}

/// Find entries by name or path, over all snapshots
///
/// A pattern with a slash is matched against whole paths, any other against names: * and ? stand for anything but a slash, **
/// for anything, [a-z] and [!a-z] for one character. Quote patterns, or the shell expands them.
#[derive(Debug, Args)]
pub(crate) struct FindArgs {
    /// What to look for; one of them has to match
    #[arg(value_name = "PATTERN", required = true)]
    pub(crate) patterns: Vec<OsString>,
    /// Let letters match in either case (of ASCII)
    #[arg(short, long)]
    pub(crate) ignore_case: bool,
    /// Look into this snapshot only; may be repeated [default: all that --host, --tag and --path allow]
    #[arg(short, long, value_name = "SNAPSHOT")]
    pub(crate) snapshot: Vec<String>,
    /// Entries last changed at this time or later
    #[arg(short = 'O', long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) oldest: Option<Timestamp>,
    /// Entries last changed at this time or before
    #[arg(short = 'N', long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) newest: Option<Timestamp>,
    /// Files of at least this size
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) min_size: Option<u64>,
    /// Files of at most this size
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) max_size: Option<u64>,
    /// Entries of this type only; may be repeated
    #[arg(long = "type", value_enum, value_name = "TYPE", value_delimiter = ',')]
    pub(crate) kind: Vec<KindArg>,
    /// With type and mode, owner, size and time
    #[arg(short, long, conflicts_with = "versions")]
    pub(crate) long: bool,
    /// Show for each path which versions there are, and from which snapshot to which
    #[arg(long)]
    pub(crate) versions: bool,
    #[command(flatten)]
    pub(crate) at: AtArgs,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) site: SiteArgs,
}
