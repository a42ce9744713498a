//! `--at TIME`: a repository as it was at a time, where a bucket keeps versions. Reading only: what is reached this way has no
//! way to create or remove anything. No verdict is asked, as for any other reading.

use crate::exit::{Exit, Failure, Result};
use crate::remote::Remote;
use crate::run::{Reached, Run};
use crate::values;
use cairn::storage::Location;
use std::sync::Arc;

impl Run {
    /// Refuses `--at` for a directory, before anything is looked at.
    ///
    /// # Errors
    /// Exit 2.
    pub(crate) fn refuse_past_of_directory(&self) -> Result<()> {
        match (self.settings.at, self.location()) {
            (Some(_), Location::Local(path)) => Err(Failure::usage(
                format!("--at is for buckets that keep versions, and {} is a directory on this host", path.display()),
                "without --at cairn reads what is there; an older state of a directory is in a snapshot of its file \
                 system, or in a second copy",
            )),
            _ => Ok(()),
        }
    }

    /// A bucket as the settings want it read: as it is, or as it was.
    ///
    /// # Errors
    /// Exit 1 if it keeps no old versions.
    pub(crate) fn reached(&self, remote: Remote) -> Result<Reached> {
        let Some(at) = self.settings.at else { return Ok(remote.into()) };
        let store = remote
            .store_as_of(at)
            .map_err(|failure| failure.while_trying(format!("open the repository at {}", self.place())))?;
        Ok(Reached { store, remote: Some(Arc::new(remote)) })
    }

    /// Where the repository is, and as of when it is read.
    pub(crate) fn place(&self) -> String {
        let at = self.settings.at.map(|at| format!(" as of {}", values::time(at))).unwrap_or_default();
        format!("{}{at}", self.location())
    }

    /// How a command ended, with what can be done if that is because somebody deleted something from a bucket.
    pub(crate) fn reminded_of_the_past(&self, ended: Result<Exit>) -> Result<Exit> {
        const REMINDER: &str = "if it was deleted and the bucket keeps versions, --at TIME reads it as it was";
        if !matches!(self.location(), Location::S3 { .. }) || self.settings.at.is_some() {
            return ended;
        }
        match ended {
            Err(failure) if ["damage", "no-snapshot"].contains(&failure.kind) => {
                let hint = format!("{}. {REMINDER}", failure.hint);
                Err(failure.with_hint(hint))
            }
            Ok(Exit::Damage) => {
                self.output.note(&format!("something is missing or damaged: {REMINDER}"));
                Ok(Exit::Damage)
            }
            ended => ended,
        }
    }

    /// A failure to look at the past, with the permissions that this takes.
    pub(crate) fn explained(&self, failure: Failure) -> Failure {
        if self.settings.at.is_none() || failure.kind != "denied" {
            return failure;
        }
        failure.with_hint("`cairn residency policy SITE/BUCKET --read-only` prints the permissions that this takes")
    }
}
