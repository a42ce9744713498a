//! The command line of `cairn residency`.

use crate::values::{parse_pin, parse_time};
use cairn::clock::Timestamp;
use cairn::residency::{Check, Pin};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// `cairn residency …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ResidencyCommand {
    /// List the sites that data may be sent to: those that are built in, and those declared on this host
    List,
    Show(ShowArgs),
    Check(TargetArgs),
    Declare(Box<DeclareArgs>),
    Policy(PolicyArgs),
    Pin(PinArgs),
    Except(ExceptArgs),
}

/// Show where the repository is, what was found out about it, and a notice about it
///
/// Makes the checks first, as a backup does. What the environment sets and cairn ignores is named, never shown.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Language of the notice
    #[arg(long, value_enum, value_name = "LANGUAGE", default_value = "en")]
    pub(crate) language: LanguageArg,
}

/// A language of notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LanguageArg {
    /// English
    En,
    /// French
    Fr,
}

/// Make the checks that come before sending, and print what each one found
///
/// Exit code 0: data would be sent. 20: refused. 23: a required check could not be made now. Nothing is sent.
#[derive(Debug, Args)]
pub(crate) struct TargetArgs {
    /// The bucket [default: that of --repo]
    #[arg(value_name = "SITE/BUCKET")]
    pub(crate) target: Option<String>,
}

/// Print the smallest permissions that cairn needs on a bucket, as an IAM policy
#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {
    /// The bucket, and the prefix of the repository in it
    #[arg(value_name = "SITE/BUCKET[/PREFIX]")]
    pub(crate) target: String,
    /// For restores and checks only
    #[arg(long, conflicts_with = "lock")]
    pub(crate) read_only: bool,
    /// With a retention set on new objects (object lock)
    #[arg(long)]
    pub(crate) lock: bool,
}

/// Yes or no, for those who want to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum YesNo {
    /// Yes
    Yes,
    /// No
    No,
}

impl YesNo {
    /// Whether it is yes.
    pub(crate) fn is_yes(self) -> bool {
        self == Self::Yes
    }
}

/// Declare a site of your own: a store whose place nothing remote can prove
///
/// What you state is signed with this host's identity key, kept in the state directory, stored in every repository that
/// is used through it, and shown in every report. Afterwards s3://NAME/BUCKET names it. The site of a table row and a host
/// on the list of refused ones cannot be declared.
#[derive(Debug, Args)]
pub(crate) struct DeclareArgs {
    /// The name it gets: a letter, then letters, digits and hyphens
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Where it is reached: https://HOST[:PORT], or http:// for a host you trust the way to
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: String,
    /// The region that requests are signed for, which the store is expected to state
    #[arg(long, value_name = "REGION")]
    pub(crate) region: String,
    /// Who operates it
    #[arg(long, value_name = "NAME")]
    pub(crate) operator: String,
    /// Civic address of the machines
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) address: String,
    /// City
    #[arg(long, value_name = "CITY")]
    pub(crate) city: String,
    /// Province or territory, such as QC
    #[arg(long, value_name = "PROVINCE")]
    pub(crate) province: String,
    /// Who states all this
    #[arg(long, value_name = "NAME")]
    pub(crate) signed_by: String,
    /// Whose law the operator answers to
    #[arg(long, value_name = "JURISDICTION", default_value = "CA")]
    pub(crate) jurisdiction: String,
    /// Whether the operator's ultimate parent is in the United States [default: not known, which counts as yes where such
    /// parents are denied]
    #[arg(long, value_enum, value_name = "YES|NO")]
    pub(crate) us_parent: Option<YesNo>,
    /// The bucket stands in the host name (BUCKET.HOST), not in the path
    #[arg(long)]
    pub(crate) virtual_host: bool,
    /// What the operator does with copies
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) replicates_to: String,
    /// Replace a declaration of this name
    #[arg(long)]
    pub(crate) replace: bool,
}

/// Show, narrow or widen the places where the repository's data may be
#[derive(Debug, Args)]
pub(crate) struct PinArgs {
    /// Only these from now on; they have to lie within the present ones
    #[arg(long, value_name = "PLACES", value_parser = parse_pin, conflicts_with = "widen")]
    pub(crate) narrow: Option<Pin>,
    /// These from now on; needs a name
    #[arg(long, value_name = "PLACES", value_parser = parse_pin, requires = "signed_by")]
    pub(crate) widen: Option<Pin>,
    /// Whether operators with a parent in the United States are denied
    #[arg(long, value_enum, value_name = "YES|NO")]
    pub(crate) deny_us_parent: Option<YesNo>,
    /// Who answers for this
    #[arg(long, value_name = "NAME")]
    pub(crate) signed_by: Option<String>,
}

/// Go on although one check of one site could not be made, until a date
///
/// An exception never covers an endpoint that is refused or unknown, the pin, the operator's parent, a redirect, or a check
/// that succeeded and showed another place.
#[derive(Debug, Args)]
pub(crate) struct ExceptArgs {
    /// The check, by its name in `cairn residency check`
    #[arg(long, value_name = "CHECK", value_parser = parse_check)]
    pub(crate) check: Check,
    /// Id of the site
    #[arg(long, value_name = "SITE")]
    pub(crate) site: String,
    /// Why it is acceptable
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Who says so
    #[arg(long, value_name = "NAME")]
    pub(crate) signed_by: String,
    /// When it ends, RFC 3339 or YYYY-MM-DD
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) expires: Timestamp,
}

fn parse_check(text: &str) -> Result<Check, String> {
    let names = || Check::ALL.map(Check::name).join(", ");
    Check::parse(text).ok_or_else(|| format!("{text:?} is no check: it is one of {}", names()))
}

/// The store to recover from, on a machine that knows none.
#[derive(Debug, Args)]
pub(crate) struct RecoverStoreArgs {
    /// Where the bucket is reached: https://HOST[:PORT]; read from only
    #[arg(long, value_name = "URL", requires = "bucket")]
    pub(crate) endpoint: Option<String>,
    /// The bucket
    #[arg(long, value_name = "BUCKET", requires = "endpoint")]
    pub(crate) bucket: Option<String>,
    /// What the names of the repository's objects start with
    #[arg(long, value_name = "PREFIX", requires = "endpoint")]
    pub(crate) prefix: Option<String>,
    /// The region that requests are signed for, if the endpoint asks for one
    #[arg(long, value_name = "REGION", requires = "endpoint")]
    pub(crate) region: Option<String>,
}

/// What holds for every connection; options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct NetworkArgs {
    /// File with certificates (PEM) to trust instead of the system's
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) cacert: Option<PathBuf>,
    /// Send no more than this many bytes a second, with K, M or G
    #[arg(long, value_name = "RATE", global = true, value_parser = crate::values::parse_rate)]
    pub(crate) limit_upload: Option<u64>,
    /// Receive no more than this many bytes a second, with K, M or G
    #[arg(long, value_name = "RATE", global = true, value_parser = crate::values::parse_rate)]
    pub(crate) limit_download: Option<u64>,
}
