//! Between cairn and a command that it runs: `cairn __exec PARENT COMMAND…` is started in its place, asks the kernel to be
//! ended when cairn is, and becomes the command. The request outlives that, and nothing else does: the program that asks has to
//! be the one that was started. Why a command cannot be started goes back through standard input, which is a pipe here.

use crate::environment;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitCode, Stdio};

/// The first argument that leads here. No command of cairn's begins like this.
const SWITCH: &str = "__exec";
/// Exit code of what could not become the command, as shells have it. Nobody relies on it: the reason comes by the pipe.
const NOT_STARTED: u8 = 127;

/// Starts a command that writes to a pipe, reads nothing, has none of cairn's secrets and ends with cairn. To be called on
/// the main thread: the kernel takes the end of the calling thread for the end of the parent. In a process group of its own,
/// if wanted.
///
/// # Errors
/// Why it could not be started, by itself or by what stands in for it.
pub(crate) fn spawn(command: &[OsString], own_group: bool) -> std::io::Result<Child> {
    let (mut report, reporter) = std::io::pipe()?;
    let mut stand_in = Command::new("/proc/self/exe");
    stand_in.arg0("cairn").arg(SWITCH).arg(std::process::id().to_string()).args(command);
    environment::withheld().for_each(|name| {
        stand_in.env_remove(name);
    });
    stand_in.stdin(reporter).stdout(Stdio::piped());
    if own_group {
        stand_in.process_group(0);
    }
    let mut child = stand_in.spawn()?;
    // Our copy of the pipe's other end.
    drop(stand_in);
    let mut errno = Vec::new();
    let read = report.read_to_end(&mut errno);
    let failed = match (read, <[u8; 4]>::try_from(errno.as_slice())) {
        (Ok(0), _) => return Ok(child),
        (Ok(_), Ok(errno)) => std::io::Error::from_raw_os_error(i32::from_le_bytes(errno)),
        (Ok(_), Err(_)) => std::io::Error::other("it ended too early"),
        (Err(error), _) => error,
    };
    let _ = child.kill();
    let _ = child.wait();
    Err(failed)
}

/// Becomes the command, if this process was started for that.
pub(crate) fn main() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != SWITCH {
        return None;
    }
    let (parent, program) = (arguments.next()?, arguments.next()?);
    let Ok(report) = rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3) else {
        return Some(ExitCode::from(NOT_STARTED));
    };
    let asked = set_parent_process_death_signal(Some(Signal::TERM));
    let is_child = getppid().is_some_and(|pid| parent == pid.as_raw_nonzero().to_string().as_str());
    let error = match asked {
        // It has ended already, before the kernel knew that this one is to end with it.
        _ if !is_child => return Some(ExitCode::from(NOT_STARTED)),
        Err(errno) => errno.into(),
        Ok(()) => Command::new(program).args(arguments).stdin(Stdio::null()).exec(),
    };
    let errno = error.raw_os_error().unwrap_or(rustix::io::Errno::INVAL.raw_os_error());
    let _ = File::from(report).write_all(&errno.to_le_bytes());
    Some(ExitCode::from(NOT_STARTED))
}
