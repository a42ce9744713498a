//! `cairn residency …`: where data may go, where it goes, and who said so.

mod declare;
mod list;
mod permissions;
mod pin;
mod protection;
mod publish;
mod show;

pub(crate) use publish::{publish_declaration, publish_policy};

use crate::args::ResidencyCommand;
use crate::exit::{Exit, Result};
use crate::run::Run;

/// Runs one of the residency commands.
pub(crate) fn run(run: &mut Run, command: &ResidencyCommand) -> Result<Exit> {
    match command {
        ResidencyCommand::List => list::run(run),
        ResidencyCommand::Show(args) => show::show(run, args),
        ResidencyCommand::Check(args) => show::check(run, args),
        ResidencyCommand::Declare(args) => declare::run(run, args),
        ResidencyCommand::Policy(args) => permissions::run(run, args),
        ResidencyCommand::Pin(args) => pin::run(run, args),
        ResidencyCommand::Except(args) => pin::except(run, args),
    }
}
