//! Runs a profile's hooks: commands of the administrator around a run, each with a time limit.
//!
//! A hook gets a process group of its own, which is ended as a whole when its time is over; nothing on standard input; and an
//! environment of names that are known to hold no secrets. What it prints goes to standard error, line by line; under
//! `--quiet` only if it fails.

use crate::exit::{Exit, Failure, Result};
use crate::output::{Output, shown};
use crate::profile::{Call, Hook};
use cairn::clock::Clock;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{ErrorKind, PipeReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often it is looked whether a hook has ended, in milliseconds.
const LOOK_EVERY_MS: u32 = 50;
/// How long a hook that is told to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// Longest line, in bytes; a longer one is cut into several.
const LINE_MAX: usize = 4096;
/// Lines that are kept under `--quiet`.
const LINES_KEPT: usize = 100;

/// What a hook is run with.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    /// All of its environment.
    pub(crate) environment: &'a [(OsString, OsString)],
    /// Where its output goes.
    pub(crate) output: &'a Output,
    /// Ends it early, if it is one that may be.
    pub(crate) stop: Option<&'a AtomicBool>,
    /// Time.
    pub(crate) clock: &'a dyn Clock,
}

/// Runs a hook to its end.
///
/// # Errors
/// Exit 1 if it could not be started, failed, or took too long; exit 130 if the run was interrupted meanwhile.
pub(crate) fn run(name: &str, hook: &Hook, with: &Surroundings<'_>) -> Result<()> {
    let failed = |why: String| {
        let hint = "correct the hook in the profile, or what it calls; `cairn profile show` says where it stands";
        Failure::new(Exit::Failed, "hook-failed", format!("hook {name:?} failed: {why}"), hint)
    };
    let mut command = match &hook.call {
        Call::Nothing => return Ok(()),
        Call::Shell(line) => {
            let mut command = Command::new("/bin/sh");
            command.arg("-c").arg(line);
            command
        }
        Call::Program(words) => {
            let mut command = Command::new(words.first().map_or("", String::as_str));
            command.args(&words[1..]);
            command
        }
    };
    command.env_clear().envs(with.environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).process_group(0);
    let (reader, writer) = std::io::pipe().map_err(|error| failed(error.to_string()))?;
    rustix::fs::fcntl_setfl(&reader, OFlags::NONBLOCK).map_err(|error| failed(error.to_string()))?;
    command.stdout(writer.try_clone().map_err(|error| failed(error.to_string()))?).stderr(writer);
    let child = command.spawn().map_err(|error| failed(format!("it cannot be started: {error}")))?;
    // What is left of the pipe's other end here would keep it open.
    drop(command);
    let mut lines = Lines { name, output: with.output, part: Vec::new(), kept: VecDeque::new() };
    let ended = wait(child, reader, hook.timeout, with, &mut lines).map_err(|error| failed(error.to_string()))?;
    let result = match ended {
        Ended::Itself(status) if status.success() => return Ok(()),
        Ended::Itself(status) => Err(failed(format!("it ended with {status}"))),
        Ended::TooLate => {
            Err(failed(format!("it took longer than {} and was ended", humantime::format_duration(hook.timeout))))
        }
        Ended::Interrupted => {
            Err(Failure::new(Exit::Interrupted, "interrupted", format!("interrupted in hook {name:?}"), ""))
        }
    };
    lines.tell_kept();
    result
}

enum Ended {
    Itself(ExitStatus),
    TooLate,
    Interrupted,
}

fn wait(
    mut child: Child,
    reader: PipeReader,
    timeout: Duration,
    with: &Surroundings<'_>,
    lines: &mut Lines<'_>,
) -> std::io::Result<Ended> {
    let begun = with.clock.elapsed();
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let signal = |signal| group.map(|group| kill_process_group(group, signal));
    let mut reader = Some(reader);
    let mut told: Option<(Duration, Ended)> = None;
    loop {
        pause(reader.as_ref());
        if reader.as_mut().is_some_and(|reader| lines.take(reader)) {
            reader = None;
        }
        if let Some(status) = child.try_wait()? {
            // Whatever it left running may hold the pipe open: what is there by now is all that is waited for.
            let _ = reader.as_mut().map(|reader| lines.take(reader));
            lines.end();
            let Some((_, why)) = told else { return Ok(Ended::Itself(status)) };
            let _ = signal(Signal::KILL);
            return Ok(why);
        }
        let now = with.clock.elapsed();
        match &told {
            None => {
                let is_stopped = with.stop.is_some_and(|stop| stop.load(Ordering::Relaxed));
                let why = if is_stopped { Ended::Interrupted } else { Ended::TooLate };
                if is_stopped || now.saturating_sub(begun) >= timeout {
                    let _ = signal(Signal::TERM);
                    told = Some((now, why));
                }
            }
            Some((since, _)) if now.saturating_sub(*since) >= GRACE => {
                let _ = signal(Signal::KILL);
            }
            Some(_) => {}
        }
    }
}

/// Waits for output, but not for long.
fn pause(reader: Option<&PipeReader>) {
    let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(LOOK_EVERY_MS) * 1_000_000 };
    // That a signal cuts it short does no harm.
    let _ = match reader {
        Some(reader) => poll(&mut [PollFd::new(reader, PollFlags::IN)], Some(&timeout)),
        None => poll(&mut [], Some(&timeout)),
    };
}

/// The output of a hook.
struct Lines<'a> {
    name: &'a str,
    output: &'a Output,
    part: Vec<u8>,
    kept: VecDeque<String>,
}

impl Lines<'_> {
    /// Takes what is there; says whether that was the end.
    fn take(&mut self, reader: &mut PipeReader) -> bool {
        let mut buffer = [0; LINE_MAX];
        // So much and no more, or a hook that never stops printing would never be looked at.
        for _ in 0..64 {
            match reader.read(&mut buffer) {
                Ok(0) => return true,
                Ok(count) => self.add(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return error.kind() != ErrorKind::WouldBlock,
            }
        }
        false
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte != b'\n' {
                self.part.push(*byte);
            }
            if *byte == b'\n' || self.part.len() >= LINE_MAX {
                self.tell();
            }
        }
    }

    fn tell(&mut self) {
        let line = shown(&std::mem::take(&mut self.part));
        if !self.output.is_quiet() {
            return self.output.hook(self.name, &line);
        }
        if self.kept.len() >= LINES_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(line);
    }

    fn end(&mut self) {
        if !self.part.is_empty() {
            self.tell();
        }
    }

    /// What was held back is of interest after all.
    fn tell_kept(&mut self) {
        for line in std::mem::take(&mut self.kept) {
            self.output.hook(self.name, &line);
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use cairn::clock::SystemClock;

    fn run_call(call: Call, timeout: Duration, stop: bool) -> Result<()> {
        let environment = [("PATH".into(), "/usr/bin:/bin".into()), ("CAIRN_HOOK".into(), "before".into())];
        let (output, stop, clock) = (Output::silent(), AtomicBool::new(stop), SystemClock::new());
        let with = Surroundings { environment: &environment, output: &output, stop: Some(&stop), clock: &clock };
        run("before", &Hook { call, timeout }, &with)
    }

    fn sh(line: &str) -> Result<()> {
        run_call(Call::Shell(line.to_owned()), Duration::from_secs(300), false)
    }

    #[test]
    fn a_hook_succeeds_or_says_how_it_failed() {
        sh("test \"$CAIRN_HOOK\" = before && test -z \"$HOME\" && ! read -r line").unwrap();
        // More than a pipe holds, and a line without an end.
        sh("head -c 300000 /dev/zero; printf x; printf y >&2").unwrap();
        for (line, why) in
            [("exit 7", "exit status: 7"), ("kill -9 $$", "signal: 9"), ("/nowhere/at/all", "exit status: 127")]
        {
            let failure = sh(line).unwrap_err();
            assert_eq!((failure.exit, failure.kind), (Exit::Failed, "hook-failed"));
            assert!(failure.message.contains(why), "{failure:?}");
        }
        let words = ["/usr/bin/test", "$CAIRN_HOOK", "=", "$CAIRN_HOOK"].map(str::to_owned).to_vec();
        run_call(Call::Program(words), Duration::from_secs(300), false).unwrap();
        let missing = run_call(Call::Program(vec!["/nowhere/at/all".to_owned()]), Duration::from_secs(300), false);
        assert!(missing.unwrap_err().message.contains("cannot be started"));
        run_call(Call::Nothing, Duration::from_secs(300), false).unwrap();
    }

    /// What it left in the background neither delays the run nor is taken for the hook.
    #[test]
    fn the_background_is_not_waited_for() {
        sh("sleep 300 & echo started").unwrap();
    }

    #[test]
    fn the_whole_group_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        for (timeout, stop, exit) in
            [(Duration::from_millis(300), false, Exit::Failed), (Duration::from_secs(300), true, Exit::Interrupted)]
        {
            let line = format!("sleep 1000 & echo $! >{}; wait", pid.display());
            let call = Call::Shell(if stop { "sleep 1000".to_owned() } else { line });
            assert_eq!(run_call(call, timeout, stop).unwrap_err().exit, exit);
        }
        // A process that is dead has no entry, or that of a zombie until somebody reaps it.
        let pid = std::fs::read_to_string(&pid).unwrap_or_default();
        let status = || std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        while !pid.trim().is_empty() && !status().is_empty() && !status().contains(") Z") {
            std::thread::yield_now();
        }
    }
}
