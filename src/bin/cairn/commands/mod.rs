//! The commands, and the frame around them: prepare the process, read arguments and settings, run, and end with a code.

mod audit;
mod backup;
mod cat;
mod check;
mod complete;
mod copy;
mod diff;
mod dump;
mod exit_status;
mod find;
mod forget;
mod generate;
mod init;
mod key;
mod list;
mod ls;
#[cfg(feature = "mount")]
mod mount;
mod profile;
mod recover;
mod replicate;
mod residency;
mod restore;
mod schedule;
mod snapshots;
mod stats;
mod status;
mod version;

use crate::args::{Cli, Command};
use crate::environment::Environment;
use crate::exit::{Exit, Failure, Result};
use crate::output::Output;
use crate::profile::Section;
use crate::run::Run;
use crate::settings::{Settings, absolute, parse_location};
use crate::unattended::Unattended;
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
    let (arguments, profile) = match crate::profile::arguments(std::env::args_os().collect(), &environment) {
        Ok(joined) => joined,
        Err(failure) => {
            Output::new(wants_json(), false, 0, &environment).failure(&failure);
            return ExitCode::from(failure.exit as u8);
        }
    };
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(bad_arguments(&error, &environment) as u8),
    };
    let output = Arc::new(Output::new(cli.global.json, cli.global.quiet, cli.global.verbose, &environment));
    if let Some(note) = environment.restic_note() {
        output.note(&note);
    }
    let ended = (|| {
        let settings = Settings::new(&cli.global, &environment)?;
        match &cli.command {
            Command::Profile(command) => {
                return profile::run(command, &cli.global, &settings, (&environment, &output));
            }
            Command::Schedule(command) => {
                return schedule::run(command, &cli.global, &settings, (&environment, &output));
            }
            Command::Status(args) => {
                return status::run(args, &cli.global, &settings, (&environment, &output));
            }
            Command::Version => return version::run(&output),
            Command::Generate(command) => return generate::run(command, &output),
            _ => {}
        }
        let metrics_file = cli.global.unattended.metrics_file.as_deref().map(absolute).transpose()?;
        dispatch(cli.command, settings, &Unattended::new(profile, metrics_file, &environment), &output)
    })();
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

fn dispatch(command: Command, mut settings: Settings, with: &Unattended, output: &Arc<Output>) -> Result<Exit> {
    settings.at = command.at();
    let mut run = Run::new(settings, output.clone());
    let operation = command.name();
    let destination = command.destination().and_then(|to| parse_location(to).ok());
    let ended = match command {
        Command::Init(args) => match &args.replica_of {
            Some(of) => replicate::init(&run, &args, of),
            None => init::run(&run, &args),
        },
        Command::Backup(args) => with.around(&run, Section::Backup, args.dry_run, || backup::run(&run, &args)),
        Command::Restore(args) => restore::run(&run, &args),
        Command::Dump(args) => dump::run(&run, &args),
        Command::Snapshots(args) => snapshots::run(&run, &args),
        Command::Ls(args) => ls::run(&run, &args),
        #[cfg(feature = "mount")]
        Command::Mount(args) => mount::run(&run, &args),
        Command::Find(args) => find::run(&run, &args),
        Command::Diff(args) => diff::run(&run, &args),
        Command::Stats(args) => stats::run(&run, &args),
        Command::Forget(args) => forget::run(&run, &args),
        Command::List(args) => list::run(&run, &args),
        Command::Cat(args) => cat::run(&run, &args),
        Command::Check(args) => with.around(&run, Section::Check, false, || check::run(&run, &args)),
        Command::Replicate(args) => with.around(&run, Section::Replicate, false, || replicate::run(&run, &args)),
        Command::Copy(args) => copy::run(&run, &args),
        Command::Key(command) => key::run(&run, &command),
        Command::Recover(args) => recover::run(&mut run, &args),
        Command::Residency(command) => residency::run(&mut run, &command),
        Command::Audit(command) => audit::run(&run, &command),
        Command::Version | Command::Generate(_) | Command::Profile(_) | Command::Schedule(_) | Command::Status(_) => {
            Ok(Exit::Done)
        }
    };
    if let Err(failure) = &ended {
        run.record_refusal(operation, destination.as_ref(), failure);
    }
    run.reminded_of_the_past(ended)
}

/// Whether JSON was asked for, where the arguments could not be parsed.
fn wants_json() -> bool {
    std::env::args_os().take_while(|arg| arg != "--").any(|arg| arg == "--json")
}

/// Shows help where it was asked for, and says what is wrong with the arguments otherwise.
fn bad_arguments(error: &clap::Error, environment: &Environment) -> Exit {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // Broken pipes included, there is nobody to tell.
        let _ = error.print();
        return Exit::Done;
    }
    if wants_json() {
        let rendered = error.render().to_string();
        let (message, rest) = rendered.split_once("\n\n").unwrap_or((&rendered, ""));
        let message = message.strip_prefix("error: ").unwrap_or(message).trim();
        Output::new(true, false, 0, environment).failure(&Failure::usage(message, rest.trim()));
    } else {
        let _ = error.print();
    }
    Exit::Usage
}
