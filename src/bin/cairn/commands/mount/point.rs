//! The mount point: whether it can be one, and why mounting failed.

use crate::exit::{Exit, Failure, Result};
use crate::run::Run;
use cairn::storage::Location;
use rustix::fs::{AtFlags, CWD, StatxFlags};
use std::fs::File;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

const DEVICE: &str = "/dev/fuse";

fn refused(path: &Path, kind: &'static str, why: impl std::fmt::Display, hint: impl Into<String>) -> Failure {
    Failure::new(Exit::Failed, kind, format!("cannot mount on {}: {why}", path.display()), hint)
}

fn dead(path: &Path) -> Failure {
    let shown = path.display();
    let hint = format!("unmount it first: `umount {shown}`, or `fusermount3 -u {shown}`");
    refused(path, "dead-mount", "something is mounted there whose process has ended", hint)
}

/// The mount point's full path.
///
/// # Errors
/// Exit 1 if it cannot be one, exit 2 if mounting there would hide what the mount itself needs.
pub(super) fn check(run: &Run, given: &Path) -> Result<PathBuf> {
    let shown = given.display();
    let found = given.metadata().and_then(|metadata| Ok((metadata, given.canonicalize()?)));
    let (metadata, path) = found.map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            refused(given, "no-mount-point", "there is no such directory", format!("create it: `mkdir {shown}`"))
        }
        ErrorKind::NotConnected => dead(given),
        _ => refused(given, "no-mount-point", &error, "choose a directory that you may enter"),
    })?;
    if !metadata.is_dir() {
        return Err(refused(given, "no-mount-point", "it is not a directory", "name a directory"));
    }
    let settings = &run.settings;
    let location = match run.location() {
        Location::Local(path) => Some(("the repository", path.as_path())),
        Location::S3 { .. } => None,
    };
    let state = Some(("the state directory", settings.state_dir.as_path()));
    let cache = settings.cache_dir.as_deref().map(|path| ("the cache", path));
    for (what, own) in [location, state, cache].into_iter().flatten() {
        // What does not exist yet is found by where it would be.
        if own.canonicalize().unwrap_or_else(|_| own.to_owned()).starts_with(&path) {
            return Err(Failure::usage(
                format!("cannot mount on {shown}: {what} is there, at {}, and would be hidden", own.display()),
                "mount on an empty directory",
            ));
        }
    }
    // Of a mount whose process has ended, the kernel may still know what the directory is like, but not what is in it.
    match path.read_dir().map(|mut entries| entries.next().is_some()) {
        Err(error) if error.kind() == ErrorKind::NotConnected => return Err(dead(given)),
        Ok(true) => run.output.note(&format!("{shown} is not empty; what is in it is hidden until it is unmounted")),
        Ok(false) | Err(_) => {}
    }
    Ok(path)
}

/// What it means that mounting failed.
pub(super) fn explain(path: &Path, error: &Error) -> Failure {
    let device = File::options().read(true).write(true).open(DEVICE);
    match (&device, error.kind()) {
        (Err(missing), _) if missing.kind() == ErrorKind::NotFound => refused(
            path,
            "no-fuse",
            format_args!("{DEVICE} is missing"),
            "load the kernel's module: `modprobe fuse`; a container has to be given the device",
        ),
        (Err(other), _) => refused(
            path,
            "no-fuse",
            format_args!("{DEVICE} cannot be opened: {other}"),
            "its mode should be 0666; or run as root. A container has to be given the device",
        ),
        (Ok(_), ErrorKind::PermissionDenied) if error.to_string().contains("user_allow_other") => refused(
            path,
            "mount-refused",
            "--allow-other is for root alone on this host",
            "put the line user_allow_other into /etc/fuse.conf, or leave --allow-other out",
        ),
        (Ok(_), ErrorKind::PermissionDenied | ErrorKind::NotFound) => match File::open(path) {
            Err(closed) => refused(
                path,
                "mount-refused",
                format_args!("it cannot be opened: {closed}"),
                "mount on a directory of your own",
            ),
            Ok(_) => refused(
                path,
                "no-fusermount",
                format_args!(
                    "this user may not mount, and fusermount3, which mounts for others, cannot be started: {error}"
                ),
                "install the package fuse3, or run as root",
            ),
        },
        _ => refused(
            path,
            "mount-refused",
            error.to_string().trim(),
            "mount on a directory of your own; root may mount everywhere but in a container without that right",
        ),
    }
}

/// Which mount is at the path.
pub(super) fn mount_id(path: &Path) -> Option<u64> {
    let found = rustix::fs::statx(CWD, path, AtFlags::STATX_DONT_SYNC, StatxFlags::MNT_ID).ok()?;
    (found.stx_mask & StatxFlags::MNT_ID.bits() != 0).then_some(found.stx_mnt_id)
}

/// Whether a mount is still there.
pub(super) fn is_mounted(id: u64) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').next().and_then(|first| first.parse().ok()) == Some(id))
}
