//! The commands, and the frame around them: prepare the process, read arguments and settings, run, and end with a code.

mod audit;
mod backup;
mod check;
mod complete;
mod copy;
mod exit_status;
mod generate;
mod init;
mod key;
mod ls;
mod recover;
mod replicate;
mod residency;
mod restore;
mod snapshots;
mod version;

use crate::args::{Cli, Command};
use crate::environment::Environment;
use crate::exit::{Exit, Failure, Result};
use crate::output::Output;
use crate::run::Run;
use crate::settings::{Settings, parse_location};
use clap::Parser as _;
use clap::error::ErrorKind;
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use std::process::ExitCode;
use std::sync::Arc;

/// Runs the command that the arguments name.
pub(crate) fn main() -> ExitCode {
    prepare_process();
    let environment = Environment::of_process();
    if let Some(code) = complete::main(&environment) {
        return code;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(bad_arguments(&error, &environment) as u8),
    };
    let output = Arc::new(Output::new(cli.global.json, cli.global.quiet, cli.global.verbose, &environment));
    if let Some(note) = environment.restic_note() {
        output.note(&note);
    }
    let ended = Settings::new(&cli.global, &environment).and_then(|settings| dispatch(cli.command, settings, &output));
    let exit = ended.unwrap_or_else(|failure| {
        output.failure(&failure);
        failure.exit
    });
    ExitCode::from(exit as u8)
}

/// No core dumps and no debuggers of the same user, since keys are in memory; as many open files as are allowed. Where the
/// system refuses, the run goes on as without.
fn prepare_process() {
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let _ = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

fn dispatch(command: Command, mut settings: Settings, output: &Arc<Output>) -> Result<Exit> {
    match command {
        Command::Version => return version::run(output),
        Command::Generate(command) => return generate::run(&command, output),
        _ => {}
    }
    settings.at = command.at();
    let mut run = Run::new(settings, output.clone());
    let operation = command.name();
    let destination = command.destination().and_then(|to| parse_location(to).ok());
    let ended = match command {
        Command::Init(args) => match &args.replica_of {
            Some(of) => replicate::init(&run, &args, of),
            None => init::run(&run, &args),
        },
        Command::Backup(args) => backup::run(&run, &args),
        Command::Restore(args) => restore::run(&run, &args),
        Command::Snapshots(args) => snapshots::run(&run, &args),
        Command::Ls(args) => ls::run(&run, &args),
        Command::Check(args) => check::run(&run, &args),
        Command::Replicate(args) => replicate::run(&run, &args),
        Command::Copy(args) => copy::run(&run, &args),
        Command::Key(command) => key::run(&run, &command),
        Command::Recover(args) => recover::run(&mut run, &args),
        Command::Residency(command) => residency::run(&mut run, &command),
        Command::Audit(command) => audit::run(&run, &command),
        Command::Version | Command::Generate(_) => Ok(Exit::Done),
    };
    if let Err(failure) = &ended {
        run.record_refusal(operation, destination.as_ref(), failure);
    }
    run.reminded_of_the_past(ended)
}

/// Shows help where it was asked for, and says what is wrong with the arguments otherwise.
fn bad_arguments(error: &clap::Error, environment: &Environment) -> Exit {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // Broken pipes included, there is nobody to tell.
        let _ = error.print();
        return Exit::Done;
    }
    // The arguments could not be parsed, and JSON was asked for or not.
    let json = std::env::args_os().take_while(|arg| arg != "--").any(|arg| arg == "--json");
    if json {
        let rendered = error.render().to_string();
        let (message, rest) = rendered.split_once("\n\n").unwrap_or((&rendered, ""));
        let message = message.strip_prefix("error: ").unwrap_or(message).trim();
        Output::new(true, false, 0, environment).failure(&Failure::usage(message, rest.trim()));
    } else {
        let _ = error.print();
    }
    Exit::Usage
}
