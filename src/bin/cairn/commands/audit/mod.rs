//! `cairn audit …`: the log of what was done, for both sides.

mod bundle;
mod gather;
mod prove;
mod record;
mod report;
mod show;
mod verify;
mod witness;
mod words;

use crate::args::AuditCommand;
use crate::exit::{Exit, Result};
use crate::run::Run;

/// Runs one of the audit commands.
pub(crate) fn run(run: &Run, command: &AuditCommand) -> Result<Exit> {
    match command {
        AuditCommand::Show(args) => show::show(run, args),
        AuditCommand::Verify(args) => verify::run(run, args),
        AuditCommand::Export(args) => show::export(run, args),
        AuditCommand::Identity => record::identity(run),
        AuditCommand::Witness(command) => witness::run(run, command),
        AuditCommand::Deliver(args) => witness::deliver(run, args),
        AuditCommand::Cosign(args) => witness::cosign(run, args),
        AuditCommand::Prove(args) => prove::run(run, args),
        AuditCommand::Record(args) => record::record(run, args),
        AuditCommand::Acknowledge => record::acknowledge(run),
        AuditCommand::Bundle(args) => bundle::run(run, args),
    }
}
