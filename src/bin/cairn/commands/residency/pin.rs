//! `cairn residency pin` and `except`: the repository's policy, of which the newest counts.

use crate::args::{ExceptArgs, PinArgs, YesNo};
use crate::commands::residency::publish::publish_policy;
use crate::exit::{Exit, Failure, Result};
use crate::output::shown;
use crate::record::Beginning;
use crate::run::{Need, Opened, Run};
use crate::values::time_seconds;
use cairn::audit::recorder as audit;
use cairn::format::policy::{EXCEPTIONS_MAX, PolicyRecord};
use cairn::repository::sites;
use cairn::residency::{Exception, Policy};
use serde_json::{Value, json};

/// The policy that counts, and what it was made from.
struct Current {
    record: Option<PolicyRecord>,
    policy: Policy,
}

impl Current {
    fn load(run: &Run, opened: &Opened) -> Result<Self> {
        let record = sites::policy(&opened.repository)
            .map_err(|error| Failure::from(error).while_trying(format!("read the policy of {}", run.named(opened))))?;
        let pin = || Policy::new(opened.repository.config().pin.clone());
        let policy = record.as_ref().map_or_else(pin, |record| record.policy.clone());
        Ok(Self { record, policy })
    }

    fn number(&self) -> Option<u32> {
        self.record.as_ref().map(|record| record.number)
    }

    fn widened_by(&self) -> &str {
        self.record.as_ref().map_or("", |record| &record.widened_by)
    }
}

/// Shows the pin, or stores another one.
pub(crate) fn run(run: &Run, args: &PinArgs) -> Result<Exit> {
    let opened = run.open(Need::Read)?;
    let current = Current::load(run, &opened)?;
    if args.narrow.is_none() && args.widen.is_none() && args.deny_us_parent.is_none() {
        say(run, &opened, &current.policy, current.number(), current.widened_by())?;
        return Ok(Exit::Done);
    }
    let mut policy = current.policy.clone();
    let mut widened_by = current.widened_by().to_owned();
    if let Some(pin) = &args.narrow {
        if pin.is_wider_than(&policy.pin) {
            return Err(Failure::usage(
                format!("--narrow: {pin} is not within {}", policy.pin),
                "a wider pin needs --widen and --signed-by",
            ));
        }
        policy.pin = pin.clone();
    }
    if let Some(pin) = &args.widen {
        if !pin.is_wider_than(&policy.pin) {
            let hint = "give --narrow to allow less";
            return Err(Failure::usage(format!("--widen: {pin} is within {} already", policy.pin), hint));
        }
        policy.pin = pin.clone();
    }
    if let Some(name) = args.signed_by.as_deref().filter(|_| args.widen.is_some()) {
        if name.trim().is_empty() {
            return Err(Failure::usage("--signed-by is empty", "name who answers for the wider pin"));
        }
        widened_by = name.to_owned();
    }
    if !sites::is_wider(&opened.repository, &policy.pin) {
        widened_by.clear();
    }
    let denied = args.deny_us_parent.map(YesNo::is_yes);
    if denied == Some(false) && policy.deny_us_parent && args.signed_by.is_none() {
        return Err(Failure::usage(
            "--deny-us-parent no allows what was denied",
            "name who answers for that with --signed-by",
        ));
    }
    policy.deny_us_parent = denied.unwrap_or(policy.deny_us_parent);
    let under = if args.widen.is_some() || denied == Some(false) { &policy } else { &current.policy };
    store(run, opened, &current, &widened_by, &policy, under)
}

/// Stores an exception.
pub(crate) fn except(run: &Run, args: &ExceptArgs) -> Result<Exit> {
    if args.expires <= run.clock.now() {
        let message = format!("--expires: {} has passed", time_seconds(args.expires));
        return Err(Failure::usage(message, "give a time to come"));
    }
    for (flag, text) in [("--reason", &args.reason), ("--signed-by", &args.signed_by)] {
        if text.trim().is_empty() {
            return Err(Failure::usage(format!("{flag} is empty"), "an exception needs a reason and a name"));
        }
    }
    let opened = run.open(Need::Read)?;
    let current = Current::load(run, &opened)?;
    let mut policy = current.policy.clone();
    // Those that have ended are of no use any more, and the one of this check and site is replaced.
    let now = run.clock.now();
    policy.exceptions.retain(|e| e.expires > now && !(e.site == args.site && e.check == args.check));
    policy.exceptions.push(Exception {
        site: args.site.clone(),
        check: args.check,
        reason: args.reason.clone(),
        signed_by: args.signed_by.clone(),
        expires: args.expires,
    });
    if policy.exceptions.len() > EXCEPTIONS_MAX {
        let message = format!("there are {EXCEPTIONS_MAX} exceptions already");
        return Err(Failure::new(Exit::Failed, "failed", message, "wait for one to end"));
    }
    let widened_by = current.widened_by().to_owned();
    store(run, opened, &current, &widened_by, &policy, &policy)
}

/// Stores a policy. It is itself sent: under the policy before it, or under itself if it is there to allow that.
fn store(
    run: &Run,
    opened: Opened,
    current: &Current,
    widened_by: &str,
    policy: &Policy,
    under: &Policy,
) -> Result<Exit> {
    if *policy == current.policy {
        say(run, &opened, policy, current.number(), widened_by)?;
        return Ok(Exit::Done);
    }
    let opened = run.allow_writing(opened, Some(under))?;
    let fields = json!({
        "pin": policy.pin.to_string(),
        "deny_us_parent": policy.deny_us_parent,
        "exceptions": policy.exceptions.len(),
        "widened": policy.pin.is_wider_than(&current.policy.pin),
    });
    let beginning = Beginning { need: audit::Need::Manage, operation: "residency pin", purpose: "", fields };
    let record = run.begin(&opened, beginning)?;
    let stored = publish_policy(run, &opened, current.number(), widened_by, policy);
    let fields = json!({"policy": stored.as_ref().ok()});
    record.end(stored.as_ref().map(|_| Exit::Done).map_err(Clone::clone), fields)?;
    let number = stored?;
    if let Some(Err(refusal)) = opened.remote.as_ref().map(|remote| remote.admit(policy)) {
        run.output.warn(&format!("nothing more will be sent to where this repository is: {refusal}"));
    }
    say(run, &opened, policy, Some(number), widened_by)?;
    Ok(Exit::Done)
}

fn say(run: &Run, opened: &Opened, policy: &Policy, number: Option<u32>, widened_by: &str) -> Result<()> {
    let made_with = &opened.repository.config().pin;
    let origin = match number {
        None => "as it was made with".to_owned(),
        Some(number) if widened_by.is_empty() => format!("policy {number}, made with {made_with}"),
        Some(number) => {
            format!("policy {number}, made with {made_with}, widened by {}", shown(widened_by.as_bytes()))
        }
    };
    run.output.text(&format!("data of {} may be in: {} ({origin})", run.named(opened), policy.pin))?;
    let parents = if policy.deny_us_parent { "denied, unknown ones too" } else { "allowed" };
    run.output.text(&format!("operators with a parent in the United States: {parents}"))?;
    for exception in &policy.exceptions {
        run.output.text(&format!(
            "exception until {}: {} at {}, by {}: {}",
            time_seconds(exception.expires),
            exception.check,
            shown(exception.site.as_bytes()),
            shown(exception.signed_by.as_bytes()),
            shown(exception.reason.as_bytes())
        ))?;
    }
    run.output.object(&json!({
        "message_type": "summary",
        "repository_id": opened.id().to_string(),
        "repository": run.location().to_string(),
        "pin": policy.pin.to_string(),
        "made_with": made_with.to_string(),
        "deny_us_parent": policy.deny_us_parent,
        "policy": number,
        "widened_by": (!widened_by.is_empty()).then_some(widened_by),
        "exceptions": policy.exceptions.iter().map(exception).collect::<Vec<_>>(),
    }))
}

fn exception(exception: &Exception) -> Value {
    json!({
        "site": exception.site,
        "check": exception.check.name(),
        "reason": exception.reason,
        "signed_by": exception.signed_by,
        "expires": time_seconds(exception.expires),
    })
}
