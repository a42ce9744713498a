//! `cairn residency policy`: the smallest permissions that are enough, as an IAM policy; and how a bucket is named in arguments.

use crate::args::PolicyArgs;
use crate::exit::{Exit, Failure, Result};
use crate::remote::Target;
use crate::run::Run;
use cairn::residency::iam::{self, Access};
use cairn::residency::{BucketName, Pin, Policy, ReachableEndpoint};
use cairn::storage::Location;
use serde_json::{Value, json};

/// The location of `SITE/BUCKET[/PREFIX]`, with or without `s3://` before it.
pub(super) fn target(text: &str) -> Result<Location> {
    let rest = text.strip_prefix("s3://").unwrap_or(text);
    let location = Location::parse(&format!("s3://{rest}"))
        .map_err(|error| Failure::usage(error.to_string(), "give SITE/BUCKET"))?;
    Ok(crate::remote::canonical(location))
}

/// Prints the smallest permissions that cairn needs.
pub(super) fn run(run: &Run, args: &PolicyArgs) -> Result<Exit> {
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
