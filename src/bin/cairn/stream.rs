//! Streams that are backed up: standard input, and what a command writes. Reading waits in short steps, so that a signal ends
//! it; a command that is not read to its end is ended and waited for.

use crate::args::StreamArgs;
use crate::exec;
use crate::exit::{Failure, Result};
use crate::settings::{SecretSource, Settings};
use cairn::fs::{SourceStream, StreamError, StreamSource};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};
use std::ffi::OsString;
use std::fs::File;
use std::io::IsTerminal as _;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Component, Path, PathBuf};
use std::process::{Child, ChildStdout, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Name of the file when none is given.
const NAME_DEFAULT: &str = "stdin";
/// A signal that another thread took is noticed after this, in nanoseconds.
const LOOK_EVERY_NS: i64 = 100_000_000;
/// How often an ended child is looked for.
const WAIT_STEP: Duration = Duration::from_millis(10);
/// So many steps a command has to end by itself after it was asked to (5 s).
const GRACE_STEPS: u32 = 500;

/// Where the stream stands in the snapshot, if one is to be backed up, and what it is read from.
///
/// # Errors
/// Exit 2 for a name that cannot be one, and for a standard input that is something else already.
pub(crate) fn of(
    args: &StreamArgs,
    command: &[PathBuf],
    settings: &Settings,
    stop: &Arc<AtomicBool>,
) -> Result<Option<(PathBuf, Box<dyn StreamSource>)>> {
    if !args.stdin && !args.stdin_from_command {
        return match args.stdin_filename {
            Some(_) => Err(Failure::usage(
                "--stdin-filename names a stream, and there is none",
                "add --stdin or --stdin-from-command",
            )),
            None => Ok(None),
        };
    }
    let stored = stored(args.stdin_filename.as_deref().unwrap_or(Path::new(NAME_DEFAULT)))?;
    if args.stdin_from_command {
        let command = command.iter().map(|word| word.clone().into_os_string()).collect();
        return Ok(Some((stored, Box::new(CommandSource { command, stop: stop.clone() }))));
    }
    if let Some(SecretSource::KeyFile(path) | SecretSource::PasswordFile(path)) = &settings.secret
        && path == Path::new("-")
    {
        return Err(Failure::usage("standard input cannot be both the secret and what is backed up", ""));
    }
    if std::io::stdin().is_terminal() {
        return Err(Failure::usage(
            "standard input is a terminal",
            "pipe something into cairn, or let it run the command: --stdin-from-command -- COMMAND",
        ));
    }
    Ok(Some((stored, Box::new(StdinSource { stop: stop.clone() }))))
}

/// A name or path as an absolute path; there is no directory that it could be relative to but the root.
fn stored(name: &Path) -> Result<PathBuf> {
    let absolute: PathBuf = Path::new("/").join(name).components().collect();
    let plain = absolute.components().skip(1).all(|part| matches!(part, Component::Normal(_)));
    if plain && absolute.file_name().is_some() {
        return Ok(absolute);
    }
    let hint = "give a name such as database.dump, or a path without `.` and `..`";
    Err(Failure::usage(format!("--stdin-filename {}: this cannot be the path of a file", name.display()), hint))
}

/// How a command is named: without its arguments, which may hold passwords.
pub(crate) fn named(command: &[PathBuf]) -> String {
    command.first().map_or_else(String::new, |program| format!("the output of {}", program.display()))
}

/// Reads what there is, waiting for it and for the signal to stop.
fn read(from: impl AsFd, buffer: &mut [u8], stop: &AtomicBool, what: &str) -> std::result::Result<usize, StreamError> {
    let failed = |errno: Errno| StreamError::Read { what: what.to_owned(), source: errno.into() };
    let step = Timespec { tv_sec: 0, tv_nsec: LOOK_EVERY_NS };
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(StreamError::Interrupted);
        }
        match poll(&mut [PollFd::new(&from, PollFlags::IN)], Some(&step)) {
            Ok(0) | Err(Errno::INTR) => continue,
            Ok(_) => {}
            Err(errno) => return Err(failed(errno)),
        }
        match rustix::io::read(&from, &mut *buffer) {
            Err(Errno::INTR | Errno::AGAIN) => {}
            result => return result.map_err(failed),
        }
    }
}

/// Standard input.
#[derive(Debug)]
struct StdinSource {
    stop: Arc<AtomicBool>,
}

#[derive(Debug)]
struct StdinStream {
    stop: Arc<AtomicBool>,
}

impl StreamSource for StdinSource {
    fn open(&self) -> std::result::Result<Box<dyn SourceStream>, StreamError> {
        Ok(Box::new(StdinStream { stop: self.stop.clone() }))
    }
}

impl SourceStream for StdinStream {
    fn read(&mut self, buffer: &mut [u8]) -> std::result::Result<usize, StreamError> {
        read(std::io::stdin(), buffer, &self.stop, "standard input")
    }

    fn finish(&mut self) -> std::result::Result<(), StreamError> {
        Ok(())
    }
}

/// A command.
#[derive(Debug)]
struct CommandSource {
    command: Vec<OsString>,
    stop: Arc<AtomicBool>,
}

impl StreamSource for CommandSource {
    fn open(&self) -> std::result::Result<Box<dyn SourceStream>, StreamError> {
        let program = self.command.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
        let what = format!("the command {program}");
        // Where there is a terminal the command belongs to it as cairn does: it may ask for a password, and Ctrl-C reaches both.
        let own_group = File::open("/dev/tty").is_err();
        let mut child = exec::spawn(&self.command, own_group)
            .map_err(|source| StreamError::Start { what: what.clone(), source })?;
        let output = child.stdout.take();
        Ok(Box::new(CommandStream { child, output, own_group, ended: false, what, stop: self.stop.clone() }))
    }
}

#[derive(Debug)]
struct CommandStream {
    child: Child,
    output: Option<ChildStdout>,
    own_group: bool,
    ended: bool,
    what: String,
    stop: Arc<AtomicBool>,
}

impl SourceStream for CommandStream {
    fn read(&mut self, buffer: &mut [u8]) -> std::result::Result<usize, StreamError> {
        match &self.output {
            Some(output) => read(output, buffer, &self.stop, &self.what),
            None => Ok(0),
        }
    }

    fn finish(&mut self) -> std::result::Result<(), StreamError> {
        self.output = None;
        let failed = |source| StreamError::Read { what: self.what.clone(), source };
        let status = loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(StreamError::Interrupted);
            }
            match self.child.try_wait().map_err(failed)? {
                Some(status) => break status,
                None => std::thread::sleep(WAIT_STEP),
            }
        };
        self.ended = true;
        if status.success() {
            return Ok(());
        }
        // Ctrl-C on a terminal reaches the command too.
        if self.stop.load(Ordering::Relaxed) {
            return Err(StreamError::Interrupted);
        }
        Err(StreamError::Failed { what: self.what.clone(), how: how(status) })
    }
}

fn how(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("ended with exit status {code}"),
        None if status.signal().is_some() => format!("was killed by {status}").replacen("signal: ", "signal ", 1),
        None => status.to_string(),
    }
}

impl CommandStream {
    /// Signals the command, and in a group of its own whatever it has started.
    fn signal(&self, signal: Signal) {
        let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) else { return };
        let _ = if self.own_group { kill_process_group(pid, signal) } else { kill_process(pid, signal) };
    }

    /// Whether it has ended. It stays to be waited for, so that its number cannot be another's meanwhile.
    fn has_ended(&self) -> bool {
        let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) else { return true };
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(pid), look), Ok(None) | Err(Errno::INTR))
    }
}

/// A command whose output nobody wants is asked to end, and ended if it does not.
impl Drop for CommandStream {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        self.output = None;
        self.signal(Signal::TERM);
        for _ in 0..GRACE_STEPS {
            if self.has_ended() {
                break;
            }
            std::thread::sleep(WAIT_STEP);
        }
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn names_become_paths() {
        for (name, expected) in [("stdin", "/stdin"), ("a/b.sql", "/a/b.sql"), ("/a//b", "/a/b"), ("a/./b", "/a/b")] {
            assert_eq!(stored(Path::new(name)).unwrap(), Path::new(expected));
        }
        for name in ["", "/", ".", "..", "../a", "a/../b"] {
            assert!(stored(Path::new(name)).is_err(), "{name}");
        }
    }

    #[test]
    fn ends_are_told_in_words() {
        assert_eq!(how(ExitStatus::from_raw(3 << 8)), "ended with exit status 3");
        assert_eq!(how(ExitStatus::from_raw(9)), "was killed by signal 9 (SIGKILL)");
    }
}
