//! What surrounds a backup, check or replication that a profile or a timer starts: hooks, the note of what became of it, and
//! figures for monitoring.
//!
//! A dry run changes nothing, so it has none of this.

use crate::environment::{Environment, OF_HOOKS};
use crate::exit::{Exit, Failure, Result};
use crate::history::{self, End, Subject};
use crate::hooks::{self, Surroundings};
use crate::metrics;
use crate::profile::{HookKind, Profile, Section};
use crate::run::Run;
use crate::signals;
use serde_json::Value;
use std::ffi::OsString;
use std::path::PathBuf;

/// What is known of it before the run.
#[derive(Debug, Default)]
pub(crate) struct Unattended {
    profile: Option<Profile>,
    metrics_file: Option<PathBuf>,
    /// What hooks get of the environment.
    environment: Vec<(OsString, OsString)>,
    /// Whether a hook has started this run.
    in_hook: bool,
}

impl Unattended {
    /// For a run with this profile.
    pub(crate) fn new(profile: Option<Profile>, metrics_file: Option<PathBuf>, environment: &Environment) -> Self {
        let in_hook = environment.get("CAIRN_HOOK").is_some();
        Self { profile, metrics_file, environment: environment.for_hooks(), in_hook }
    }

    /// Does the operation, with what surrounds it.
    pub(crate) fn around(
        &self,
        run: &Run,
        section: Section,
        is_rehearsal: bool,
        operation: impl FnOnce() -> Result<Exit>,
    ) -> Result<Exit> {
        if is_rehearsal {
            return operation();
        }
        let subject = Subject {
            profile: self.profile.as_ref().map(|profile| profile.name.clone()),
            location: run.location().to_string(),
        };
        let begun = history::begin(&run.state, &subject, section.name(), run.clock.now(), &run.output);
        let since = run.clock.elapsed();
        let ended = self.with_hooks(run, section, operation);
        let end = End {
            now: run.clock.now(),
            seconds: run.clock.elapsed().saturating_sub(since).as_secs_f64(),
            ended: &ended,
            summary: run.summary(),
            repository: run.state.known(run.location()).ok().flatten().map(|id| id.to_string()),
        };
        begun.end(end, &run.output);
        if let Some(path) = &self.metrics_file {
            let written = history::all(&run.state).and_then(|mut runs| {
                runs.retain(|other| match &subject.profile {
                    Some(_) => other.subject.profile == subject.profile,
                    None => other.subject == subject,
                });
                metrics::write(path, &metrics::render(&runs))
            });
            // The backup is what counts; that the figures grow old is what monitoring sees.
            if let Err(failure) = written {
                run.output.warn(&failure.message);
            }
        }
        ended
    }

    fn with_hooks(&self, run: &Run, section: Section, operation: impl FnOnce() -> Result<Exit>) -> Result<Exit> {
        let Some(profile) = &self.profile else { return operation() };
        let has_any = HookKind::ALL.into_iter().any(|kind| profile.hook(section, kind).is_some());
        if !has_any {
            return operation();
        }
        if self.in_hook {
            run.output.warn("this run was started by a hook: its own hooks are left out");
            return operation();
        }
        // From here on a signal must not leave a hook behind.
        signals::watch(&run.stop);
        let hook = |kind, told: &[(&str, String)]| self.hook(run, profile, section, kind, told);
        let mut ended = hook(HookKind::Before, &[]).and_then(|()| operation());
        let told = told(&ended, &run.summary());
        let is_done = matches!(ended, Ok(Exit::Done | Exit::Incomplete));
        let second = if is_done { HookKind::After } else { HookKind::Failed };
        for kind in [second, HookKind::Finally] {
            if let Err(failure) = hook(kind, &told) {
                // What went wrong first is what is told; a run that went well has failed now.
                match &ended {
                    Ok(Exit::Done) => ended = Err(failure),
                    _ => run.output.failure(&failure),
                }
            }
        }
        ended
    }

    fn hook(
        &self,
        run: &Run,
        profile: &Profile,
        section: Section,
        kind: HookKind,
        told: &[(&str, String)],
    ) -> Result<()> {
        let Some((hook, _)) = profile.hook(section, kind) else { return Ok(()) };
        let own = [
            ("CAIRN_HOOK", kind.name().to_owned()),
            ("CAIRN_COMMAND", section.name().to_owned()),
            ("CAIRN_PROFILE_NAME", profile.name.clone()),
        ];
        let mut environment = self.environment.clone();
        for (name, value) in own.iter().chain(told) {
            debug_assert!(OF_HOOKS.contains(name));
            environment.push((name.into(), value.into()));
        }
        // Those at the end are there to clean up after an interruption too.
        let stop = Some(&*run.stop).filter(|_| kind == HookKind::Before);
        let with = Surroundings { environment: &environment, output: &run.output, stop, clock: &*run.clock };
        hooks::run(kind.name(), hook, &with)
            .map_err(|failure| Failure { message: format!("profile {}: {}", profile.name, failure.message), ..failure })
    }
}

/// What hooks after the run are told of it.
fn told(ended: &Result<Exit>, summary: &Value) -> Vec<(&'static str, String)> {
    let (exit, error) = match ended {
        Ok(exit) => (*exit, String::new()),
        Err(failure) => (failure.exit, history::cut(&failure.message)),
    };
    let snapshot = summary["snapshot"].as_str().unwrap_or_default().to_owned();
    vec![("CAIRN_EXIT_CODE", (exit as u8).to_string()), ("CAIRN_SNAPSHOT_ID", snapshot), ("CAIRN_ERROR", error)]
}
