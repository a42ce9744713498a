//! The system calls whose order makes the local store's promises, one function each, so that tests can record the order
//! and let any one of them fail.

use rustix::fd::AsFd;
use rustix::fs::{AtFlags, Mode};
use rustix::io::Result;

/// What was done, in the terms of the promise: names are object names, directories are relative to the root.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code, reason = "only tests look at the steps"))]
pub(super) enum Step<'a> {
    /// The bytes of this object were forced to the disk.
    SyncFile(&'a str),
    /// The entries of this directory were forced to the disk.
    SyncDir(&'a str),
    /// This directory was made.
    MakeDir(&'a str),
    /// This object became visible.
    Link(&'a str),
    /// This object was removed.
    Unlink(&'a str),
}

/// Forces an object's bytes and length to the disk.
pub(super) fn sync_file(file: impl AsFd, name: &str) -> Result<()> {
    trace::step(&Step::SyncFile(name))?;
    rustix::fs::fdatasync(file)
}

/// Forces a directory's entries to the disk.
pub(super) fn sync_dir(dir: impl AsFd, path: &str) -> Result<()> {
    trace::step(&Step::SyncDir(path))?;
    rustix::fs::fsync(dir)
}

/// Makes a directory that only its owner can look into.
pub(super) fn make_dir(parent: impl AsFd, part: &str, path: &str) -> Result<()> {
    trace::step(&Step::MakeDir(path))?;
    rustix::fs::mkdirat(parent, part, Mode::RWXU)
}

/// Gives a file a second name; fails with `EEXIST` when that name is taken, whatever takes it.
pub(super) fn link(from: (impl AsFd, &str), to: (impl AsFd, &str), name: &str) -> Result<()> {
    trace::step(&Step::Link(name))?;
    rustix::fs::linkat(from.0, from.1, to.0, to.1, AtFlags::empty())
}

/// Removes an object's name.
pub(super) fn unlink(parent: impl AsFd, part: &str, name: &str) -> Result<()> {
    trace::step(&Step::Unlink(name))?;
    rustix::fs::unlinkat(parent, part, AtFlags::empty())
}

#[cfg(not(test))]
mod trace {
    pub(super) fn step(_: &super::Step<'_>) -> rustix::io::Result<()> {
        Ok(())
    }
}

/// Records the calling thread's steps and fails the chosen one.
#[cfg(test)]
pub(super) mod trace {
    use super::Step;
    use rustix::io::{Errno, Result};
    use std::cell::RefCell;

    #[derive(Default)]
    struct Trace {
        steps: Vec<Step<'static>>,
        fail_at: Option<usize>,
    }

    thread_local! {
        static TRACE: RefCell<Trace> = RefCell::default();
    }

    pub(super) fn step(step: &Step<'_>) -> Result<()> {
        // Tests leak a few short names; that keeps `Step` free of allocation where it is only passed along.
        fn keep(text: &str) -> &'static str {
            String::leak(text.to_owned())
        }
        TRACE.with_borrow_mut(|trace| {
            trace.steps.push(match *step {
                Step::SyncFile(name) => Step::SyncFile(keep(name)),
                Step::SyncDir(path) => Step::SyncDir(keep(path)),
                Step::MakeDir(path) => Step::MakeDir(keep(path)),
                Step::Link(name) => Step::Link(keep(name)),
                Step::Unlink(name) => Step::Unlink(keep(name)),
            });
            if trace.fail_at == Some(trace.steps.len() - 1) { Err(Errno::IO) } else { Ok(()) }
        })
    }

    /// Forgets the recorded steps and lets the step with this number, counted from 0, fail with `EIO`.
    pub(in super::super) fn start(fail_at: Option<usize>) {
        TRACE.with_borrow_mut(|trace| *trace = Trace { steps: Vec::new(), fail_at });
    }

    /// The steps since [`start`].
    pub(in super::super) fn steps() -> Vec<Step<'static>> {
        TRACE.with_borrow(|trace| trace.steps.clone())
    }
}
