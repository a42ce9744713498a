//! `cairn residency …`: where data may go, where it goes, and who said so.

mod declare;
mod list;
mod pin;
mod show;

use crate::args::{PolicyArgs, ResidencyCommand};
use crate::exit::{Exit, Failure, Result};
use crate::remote::Target;
use crate::run::{Opened, Run};
use cairn::repository::sites::{self, NewPolicy};
use cairn::residency::iam::{self, Access};
use cairn::residency::{BucketName, Pin, Policy, ReachableEndpoint};
use cairn::storage::Location;
use serde_json::{Value, json};

/// Runs one of the residency commands.
pub(crate) fn run(run: &mut Run, command: &ResidencyCommand) -> Result<Exit> {
    match command {
        ResidencyCommand::List => list::run(run),
        ResidencyCommand::Show(args) => show::show(run, args),
        ResidencyCommand::Check(args) => show::check(run, args),
        ResidencyCommand::Declare(args) => declare::run(run, args),
        ResidencyCommand::Policy(args) => policy(run, args),
        ResidencyCommand::Pin(args) => pin::run(run, args),
        ResidencyCommand::Except(args) => pin::except(run, args),
    }
}

/// The location of `SITE/BUCKET[/PREFIX]`, with or without `s3://` before it.
fn target(text: &str) -> Result<Location> {
    let rest = text.strip_prefix("s3://").unwrap_or(text);
    let location = Location::parse(&format!("s3://{rest}"))
        .map_err(|error| Failure::usage(error.to_string(), "give SITE/BUCKET"))?;
    Ok(crate::remote::canonical(location))
}

/// Prints the smallest permissions that cairn needs.
fn policy(run: &Run, args: &PolicyArgs) -> Result<Exit> {
    let location = target(&args.target)?;
    // For a place that is none, no policy is printed.
    if let Some(target) = Target::of_location(&location, &run.state)? {
        let declared: Vec<_> = target.declared.iter().map(|signed| signed.declaration.clone()).collect();
        ReachableEndpoint::resolve(&target.candidate, &declared, &Policy::new(Pin::Canada))?;
    }
    let Location::S3 { bucket, prefix, .. } = &location else {
        return Err(Failure::usage(format!("{location} is no bucket"), "give SITE/BUCKET"));
    };
    let access = match (args.read_only, args.lock) {
        (true, _) => Access::Read,
        (false, true) => Access::WriteLocked,
        (false, false) => Access::Write,
    };
    let text = iam::policy(&BucketName::parse(bucket)?, prefix.as_ref().map(cairn::object::ObjectName::as_str), access);
    let mut results = run.output.results();
    if run.output.is_json() {
        let parsed: Value = serde_json::from_str(&text)
            .map_err(|error| Failure::new(Exit::Failed, "failed", format!("the policy is no JSON: {error}"), ""))?;
        results.line(
            &json!({"message_type": "summary", "location": location.to_string(), "policy": parsed}).to_string(),
        )?;
    } else {
        results.line(text.trim_end())?;
    }
    results.finish()?;
    Ok(Exit::Done)
}

/// Stores the declaration that the location names in the repository, unless it is there: `recover` finds it then.
pub(crate) fn publish_declaration(run: &Run, opened: &Opened) -> Result<()> {
    let Some(signed) = opened.remote.as_ref().and_then(|remote| remote.declared.as_ref()) else { return Ok(()) };
    let identity = run.state.identity(&*run.random)?;
    let stored = sites::publish_declaration(&opened.repository, signed, &identity).map_err(|error| {
        let tried = format!("store the declaration of site {} in {}", signed.declaration.name, run.named(opened));
        Failure::from(error).while_trying(tried)
    })?;
    if let Some(number) = stored {
        run.output.info(&format!("declaration {number} of site {} stored", signed.declaration.name));
    }
    Ok(())
}

/// Stores a policy in the repository. Returns its number.
pub(crate) fn publish_policy(
    run: &Run,
    opened: &Opened,
    after: Option<u32>,
    widened_by: &str,
    policy: &Policy,
) -> Result<u32> {
    let identity = run.state.identity(&*run.random)?;
    let new = NewPolicy { after, made: run.clock.now(), widened_by, policy };
    let number = sites::publish_policy(&opened.repository, &new, &identity)
        .map_err(|error| Failure::from(error).while_trying(format!("store a policy in {}", run.named(opened))))?;
    run.record().policy(number.into());
    Ok(number)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn targets_are_locations() {
        for text in ["aws:ca-central-1/backups/web", "s3://aws:ca-central-1/backups/web"] {
            assert_eq!(target(text).unwrap().to_string(), "s3://aws:ca-central-1/backups/web");
        }
        for text in ["", "site", "site/", "/bucket", "s3://site"] {
            assert_eq!(target(text).unwrap_err().exit, Exit::Usage, "{text}");
        }
    }
}
