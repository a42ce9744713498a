//! Arguments of `cairn audit`.

use crate::values;
use cairn::clock::Timestamp;
use clap::{Args, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// What can be asked of the log.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Show what was done
    Show(AuditShowArgs),
    /// Check that the logs are what their hosts wrote, whole and in one history; needs no key
    ///
    /// With a key at hand, every snapshot is held against the log too. Ends with 24 if something is wrong.
    Verify(VerifyArgs),
    /// Print the log's events in a form that other programs read
    Export(ExportArgs),
    /// Print the enrolment string: the key that everything in this host's logs leads back to
    Identity,
    /// Who signs receipts, and with which key
    #[command(subcommand)]
    Witness(WitnessCommand),
    /// Copy the logs to where somebody else reads them
    Deliver(DeliverArgs),
    /// Sign receipts for what verifies and goes on from what was signed last; needs no key of the repository
    Cosign(CosignArgs),
    /// Print the proof that one file was transmitted or recovered; it tells nothing about other files
    Prove(ProveArgs),
    /// Put an act of people on record: a disclosure, a complaint, an access request …
    Record(RecordArgs),
    /// Begin a new log that says that the one before does not verify, so that removals are allowed again
    Acknowledge,
    /// Write evidence that needs nothing of cairn: logs, checkpoints, keys, verify.py, a report in English and French
    Bundle(BundleArgs),
}

/// Arguments of `audit show`.
#[derive(Debug, Args)]
pub(crate) struct AuditShowArgs {
    /// Only what was sent
    #[arg(long, conflicts_with = "recovered")]
    pub(crate) transmitted: bool,
    /// Only what was recovered
    #[arg(long)]
    pub(crate) recovered: bool,
}

/// Arguments of `audit verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The enrolment string of a host, from the contract's annex or from whoever cosigns; once for each host that writes to the
    /// repository. Without it, this host's own key
    #[arg(long, value_name = "ENROLMENT")]
    pub(crate) key: Vec<String>,
}

/// What an export looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// The leaves themselves, each with its log, number and hash
    Jsonl,
    /// RFC 4180
    Csv,
    /// RFC 5424
    Syslog,
}

/// Arguments of `audit export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// What it looks like
    #[arg(long, value_name = "FORMAT", default_value = "jsonl")]
    pub(crate) format: ExportFormat,
}

/// Witnesses.
#[derive(Debug, Subcommand)]
pub(crate) enum WitnessCommand {
    /// Remember a witness by its key, as `cairn audit witness identity` prints it there
    Add {
        /// What to call it here
        name: String,
        /// Its key: NAME+ID+KEY
        key: String,
    },
    /// Show the witnesses
    List,
    /// Print the key that this host signs receipts with
    Identity,
}

/// Arguments of `audit deliver`.
#[derive(Debug, Args)]
pub(crate) struct DeliverArgs {
    /// Where to: a location as for --repo
    #[arg(long, value_name = "LOCATION")]
    pub(crate) to: OsString,
}

/// Arguments of `audit cosign`.
#[derive(Debug, Args)]
pub(crate) struct CosignArgs {
    /// Every repository directly below this directory, a line for each
    #[arg(long, value_name = "DIR")]
    pub(crate) all: Option<PathBuf>,
}

/// Arguments of `audit prove`.
#[derive(Debug, Args)]
pub(crate) struct ProveArgs {
    /// Absolute path of the file
    pub(crate) path: OsString,
    /// Only a transmission or a recovery of this snapshot
    #[arg(long, value_name = "SNAPSHOT")]
    pub(crate) snapshot: Option<String>,
    /// Prove that it was recovered; without this, that it was transmitted
    #[arg(long)]
    pub(crate) recovered: bool,
}

/// Arguments of `audit record`.
#[derive(Debug, Args)]
pub(crate) struct RecordArgs {
    /// What it is
    #[arg(value_name = "TYPE")]
    pub(crate) kind: RecordKind,
    /// A reference that tells nothing to others: a ticket number
    #[arg(long = "ref", value_name = "REF")]
    pub(crate) reference: String,
    /// A file with the details; its SHA-256 goes into the log, and it itself stays where it is
    #[arg(long, value_name = "FILE")]
    pub(crate) sealed_file: Option<PathBuf>,
    /// Leave it out of reports
    #[arg(long)]
    pub(crate) restricted: bool,
}

/// Acts of people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RecordKind {
    /// A sign of life
    Heartbeat,
    /// Data was disclosed to a third party
    Disclosure,
    /// A request for access came in
    AccessOpened,
    /// It was answered
    AccessAnswered,
    /// A complaint came in
    Complaint,
    /// Something may be a breach of safeguards
    IncidentSuspected,
    /// It was decided whether it is one
    BreachRecorded,
    /// A contract or instruction is in force
    Instruction,
    /// This client ends
    Retired,
}

/// Arguments of `audit bundle`.
#[derive(Debug, Args)]
pub(crate) struct BundleArgs {
    /// A directory to be made
    #[arg(long, value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// The report begins here; the log is always whole
    #[arg(long, value_name = "TIME", value_parser = values::parse_time)]
    pub(crate) from: Option<Timestamp>,
    /// The report ends here
    #[arg(long, value_name = "TIME", value_parser = values::parse_time)]
    pub(crate) to: Option<Timestamp>,
}
