//! The `cairn` command: arguments, settings, output and exit codes. What it does is in the library, of which this crate
//! sees only the public interface.

mod args;
mod commands;
mod exit;
mod output;
mod progress;
mod run;
mod secrets;
mod settings;
mod signals;
mod sources;
mod state;
mod values;

fn main() -> std::process::ExitCode {
    commands::main()
}
