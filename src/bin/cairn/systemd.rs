//! What systemd is asked and told, through its own tools. Where it does not run, nothing of this is tried.

use crate::exit::{Exit, Failure, Result};
use crate::values::parse_time;
use cairn::clock::Timestamp;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

/// Which of its managers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manager {
    /// The system's.
    System,
    /// The one of this user.
    User,
}

impl Manager {
    /// The one that runs this user's timers.
    pub(crate) fn of_user() -> Self {
        if rustix::process::geteuid().is_root() { Self::System } else { Self::User }
    }
}

/// Whether systemd runs this host, as its own `sd_booted` finds out.
pub(crate) fn is_here() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

fn command(program: &str, manager: Manager) -> Command {
    let mut command = Command::new(program);
    if manager == Manager::User {
        command.arg("--user");
    }
    command
        .env("SYSTEMD_COLORS", "0")
        .env("SYSTEMD_PAGER", "")
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .stdin(Stdio::null());
    command
}

/// Has `systemctl` do something.
///
/// # Errors
/// Exit 1 with what it says.
pub(crate) fn systemctl(manager: Manager, arguments: &[&str]) -> Result<()> {
    let line = format!("systemctl {}", arguments.join(" "));
    let output = command("systemctl", manager)
        .args(arguments)
        .output()
        .map_err(|error| Failure::io(format!("run {line}"), &error))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let message = format!("{line} failed: {}", said.trim());
    Err(Failure::new(Exit::Failed, "systemd", message, "`systemctl status` and the journal say more"))
}

/// What is known of a timer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Timer {
    /// Whether it starts with the system.
    pub(crate) is_enabled: bool,
    /// Whether it waits for its time now.
    pub(crate) is_active: bool,
    /// When it elapses next, if it is known.
    pub(crate) next: Option<Timestamp>,
}

/// Asks for a timer; `None` if there is none of this name, or nobody who could be asked.
pub(crate) fn timer(manager: Manager, unit: &str) -> Option<Timer> {
    let properties = "--property=LoadState,ActiveState,UnitFileState,NextElapseUSecRealtime";
    let output = command("systemctl", manager).args(["show", properties, unit]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then(|| parse_timer(&text)).flatten()
}

fn parse_timer(text: &str) -> Option<Timer> {
    let get = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    if get("LoadState") != Some("loaded") {
        return None;
    }
    // `Tue 2026-11-24 00:20:46 UTC`, or empty.
    let next = get("NextElapseUSecRealtime").and_then(|value| {
        let words: Vec<&str> = value.split_whitespace().collect();
        let [_, date, time, "UTC"] = words[..] else { return None };
        parse_time(&format!("{date} {time}")).ok()
    });
    Some(Timer {
        is_enabled: get("UnitFileState").is_some_and(|state| state.starts_with("enabled")),
        is_active: get("ActiveState") == Some("active"),
        next,
    })
}

/// Refuses a calendar expression that systemd would not take. Where its tool is not installed, only what could do harm in a
/// unit's file is refused.
///
/// # Errors
/// Exit 2.
pub(crate) fn check_calendar(expression: &str) -> Result<()> {
    let hint = "for example daily, \"03:00\", or \"Mon..Fri 22:30\"; man systemd.time has all forms";
    let wrong = |why: &str| Failure::usage(format!("{expression:?} is no calendar expression: {why}"), hint);
    if expression.trim().is_empty() || expression.chars().any(char::is_control) || expression.starts_with('-') {
        return Err(wrong("it is empty, or begins with - or has a line end"));
    }
    let tool = Command::new("systemd-analyze")
        .args([OsStr::new("calendar"), OsStr::new(expression)])
        .stdin(Stdio::null())
        .output();
    match tool {
        Ok(output) if !output.status.success() => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(wrong(said.lines().next().unwrap_or("systemd-analyze refuses it").trim()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemctl_says_of_a_timer() {
        let text = "NextElapseUSecRealtime=Mon 2025-11-24 16:00:00 UTC\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\n";
        let next = Some(Timestamp { seconds: 1_764_000_000, nanoseconds: 0 });
        assert_eq!(parse_timer(text), Some(Timer { is_enabled: true, is_active: true, next }));
        let text = "NextElapseUSecRealtime=\nLoadState=loaded\nActiveState=inactive\nUnitFileState=disabled\n";
        assert_eq!(parse_timer(text), Some(Timer { is_enabled: false, is_active: false, next: None }));
        assert_eq!(parse_timer("LoadState=not-found\nActiveState=inactive\n"), None);
    }

    #[test]
    fn calendars_that_could_never_be() {
        for bad in ["", " ", "--help", "daily\n[Service]"] {
            assert_eq!(check_calendar(bad).map_err(|failure| failure.exit), Err(Exit::Usage), "{bad:?}");
        }
        assert!(check_calendar("daily").is_ok());
    }
}
