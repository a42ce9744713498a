//! `cairn residency show` and `check`: the checks, made now, and what they came to.

use crate::args::{LanguageArg, ShowArgs, TargetArgs};
use crate::commands::residency::permissions::target;
use crate::commands::residency::protection;
use crate::exit::{Exit, Failure, Result};
use crate::output::shown;
use crate::remote::{self, Judged, Remote, place_line};
use crate::run::{Need, Run};
use crate::values::time_seconds;
use cairn::residency::notice::{Language, notice};
use cairn::residency::{Finding, Pin, Policy, Sending, Verdict};
use cairn::storage::Location;
use serde_json::json;

/// Makes the checks and says what each one found.
pub(crate) fn check(run: &mut Run, args: &TargetArgs) -> Result<Exit> {
    let policy = match &args.target {
        Some(text) => {
            run.settings.location = target(text)?;
            Policy::new(Pin::Canada)
        }
        None => policy_of_repository(run)?,
    };
    let tried = || format!("check {}", run.location());
    let Some(remote) = run.reach(Some(&policy))? else {
        return Err(Failure::usage(
            format!("{} is a directory on this host: there is no network to check", run.location()),
            "give SITE/BUCKET, or name a repository with --repo s3://SITE/BUCKET",
        ));
    };
    let judged = match remote.judge(&policy, &*run.clock) {
        Ok((judged, _)) => judged,
        Err(failure) => return Err(failure.while_trying(tried())),
    };
    run.record().verdict(&judged.verdict);
    say(run, &judged)?;
    match judged.verdict.sending() {
        Sending::Allowed => Ok(Exit::Done),
        _ => Err(Failure::from(remote::stopped(&judged.verdict)).while_trying(format!("send to {}", run.location()))),
    }
}

/// The policy of the repository that is named; without one that can be opened, what a new one would get.
fn policy_of_repository(run: &Run) -> Result<Policy> {
    if let Location::Local(_) = run.location() {
        return Ok(Policy::new(Pin::Canada));
    }
    match run.open(Need::Read) {
        Ok(opened) => run.policy(&opened),
        Err(failure) if matches!(failure.exit, Exit::NoRepository | Exit::WrongKey) => {
            run.output.note(&format!("held against all of Canada: {}", failure.message));
            Ok(Policy::new(Pin::Canada))
        }
        Err(failure) => Err(failure),
    }
}

fn say(run: &Run, judged: &Judged) -> Result<()> {
    let Judged { verdict, .. } = judged;
    run.output.text(&place_line(judged))?;
    run.output.text(&format!(
        "held against {}, table of {}, at {}",
        verdict.pin,
        verdict.table.compiled,
        time_seconds(verdict.decided)
    ))?;
    for finding in &verdict.findings {
        run.output.text(&finding_line(finding))?;
    }
    run.output.text(&sending_line(verdict))?;
    let mut object = remote::object(verdict);
    object["message_type"] = "summary".into();
    object["repository"] = run.location().to_string().into();
    run.output.object(&object)
}

fn finding_line(finding: &Finding) -> String {
    let required = if finding.required { "required" } else { "evidence" };
    let said = shown(finding.said.as_bytes());
    let mut line = format!("{:<13} {:<10} {required}  {said}", finding.check.name(), finding.outcome.name());
    if let Some(exception) = &finding.excepted {
        line.push_str(&format!(
            " (excepted until {} by {}: {})",
            time_seconds(exception.expires),
            shown(exception.signed_by.as_bytes()),
            shown(exception.reason.as_bytes())
        ));
    } else if !finding.remedy.is_empty() {
        line.push_str(&format!("\n{:<25} -> {}", "", shown(finding.remedy.as_bytes())));
    }
    line
}

fn sending_line(verdict: &Verdict) -> String {
    let word = match verdict.sending() {
        Sending::Allowed => format!("data would be sent; this counts until {}", time_seconds(verdict.expires)),
        Sending::Refused => "nothing is sent: a check failed".to_owned(),
        Sending::NotNow => "nothing is sent now: a required check could not be made".to_owned(),
    };
    format!("verdict: {word}")
}

/// Shows where the repository is, what is known about that, and a notice.
pub(crate) fn show(run: &Run, args: &ShowArgs) -> Result<Exit> {
    let ignored = &run.settings.ignored;
    let Some(remote) = run.reach(None)? else {
        run.output.text(&format!("{} is a directory on this host: nothing is sent over a network", run.location()))?;
        run.output.object(&json!({
            "message_type": "summary", "repository": run.location().to_string(), "network": false, "ignored": ignored,
        }))?;
        return Ok(Exit::Done);
    };
    let policy = policy_of_repository(run)?;
    let last = run.state.remote(run.location())["verdict"].clone();
    let judged = remote.judge(&policy, &*run.clock).map(|(judged, _)| judged);
    judged.iter().for_each(|judged| run.record().verdict(&judged.verdict));
    head(run, &remote, &policy)?;
    match last["decided"].as_str() {
        Some(decided) => {
            let sending = last["sending"].as_str().unwrap_or("?");
            run.output.text(&format!(
                "verdict before this one: {}, {}",
                shown(sending.as_bytes()),
                shown(decided.as_bytes())
            ))?;
        }
        None => run.output.text("verdict before this one: none")?,
    }
    let names = if ignored.is_empty() { "none".to_owned() } else { ignored.join(", ") };
    run.output.text(&format!("set in the environment and ignored: {names}"))?;
    let kept = remote.protection();
    for line in protection::lines(&kept) {
        run.output.text(&line)?;
    }
    let language = match args.language {
        LanguageArg::En => Language::English,
        LanguageArg::Fr => Language::French,
    };
    let mut object = json!({
        "message_type": "summary",
        "repository": run.location().to_string(),
        "network": true,
        "endpoint": remote.endpoint().origin().to_string(),
        "pin": policy.pin.to_string(),
        "deny_us_parent": policy.deny_us_parent,
        "ignored": ignored,
        "before": last,
        "protection": protection::object(&kept),
    });
    match judged {
        Ok(judged) => {
            run.output.text(&place_line(&judged))?;
            run.output.text(&sending_line(&judged.verdict))?;
            let text = notice(judged.endpoint.site(), &judged.verdict, &policy, language);
            run.output.text(&format!("\n{}", text.trim_end()))?;
            object["verdict"] = remote::object(&judged.verdict);
            object["notice"] = text.into();
        }
        Err(failure) => {
            run.output.text(&format!("verdict: nothing is sent: {}", failure.message))?;
            object["refusal"] = failure.message.into();
        }
    }
    run.output.object(&object)?;
    Ok(Exit::Done)
}

fn head(run: &Run, remote: &Remote, policy: &Policy) -> Result<()> {
    run.output.text(&format!("{}: reached at {}", run.location(), remote.endpoint().origin()))?;
    let parents = if policy.deny_us_parent { ", operators with a parent in the United States denied" } else { "" };
    run.output.text(&format!("data may be in: {}{parents}", policy.pin))?;
    if let Some(signed) = &remote.declared {
        let d = &signed.declaration;
        let copies = if d.replicates_to.is_empty() { "not stated" } else { &d.replicates_to };
        run.output.text(&shown(
            format!(
                "declared by {} on {}: {}, {} ({}), operated by {} under the law of {}; copies: {copies}",
                d.signed_by,
                time_seconds(d.declared),
                d.address,
                d.city,
                d.province,
                d.operator,
                d.jurisdiction
            )
            .as_bytes(),
        ))?;
    }
    Ok(())
}
