//! The `cairn` command: arguments, settings, output and exit codes. What it does is in the library, of which this crate
//! sees only the public interface.

mod ahead;
mod args;
mod commands;
mod entry;
mod environment;
mod exec;
mod exit;
mod failover;
mod history;
mod hooks;
mod metrics;
mod output;
mod past;
mod profile;
mod progress;
mod record;
mod remote;
mod replicas;
mod run;
mod secrets;
mod settings;
mod signals;
mod sites;
mod sources;
mod state;
mod stream;
mod systemd;
mod unattended;
mod values;

fn main() -> std::process::ExitCode {
    exec::main().unwrap_or_else(commands::main)
}
