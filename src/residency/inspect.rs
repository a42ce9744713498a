//! Each check applied to what is known about a site and what the store said. Rules that hold for all of them:
//!
//! * Only a statement counts. A question that was not answered is unverified, whatever the reason.
//! * A statement that shows another place fails in every class, whether or not the check is required.
//! * A store of its own software states a code, not a place: there a code can contradict the declaration, never prove it.

use crate::clock::Timestamp;
use crate::residency::check::{Check, Outcome};
use crate::residency::date;
use crate::residency::finding::{Finding, Judged, quoted};
use crate::residency::observe::{Destination, Observations, Observed};
use crate::residency::origin::Scheme;
use crate::residency::place::{Pin, Place, Province};
use crate::residency::policy::{Exception, Policy};
use crate::residency::site::Site;
use crate::residency::table::lookup;
use crate::residency::table::row::{COMPILED, Class};

/// What an S3 store means that states no location (a missing or an empty constraint).
const REGION_EMPTY: &str = "us-east-1";

/// Every check, in order.
pub(crate) fn inspect(site: &Site, seen: &Observations, policy: &Policy, now: Timestamp) -> Vec<Finding> {
    let finding = |check| {
        let judged = judge(check, site, seen, policy);
        // Whoever named an owner wants it checked.
        let asked = check == Check::Owner && seen.owner != Observed::NotAsked;
        let required = asked || site.required.contains(&check);
        let excepted = exception(check, judged.outcome, required, site, policy, now);
        Finding { check, outcome: judged.outcome, required, said: judged.said, remedy: judged.remedy, excepted }
    };
    Check::ALL.into_iter().map(finding).collect()
}

fn judge(check: Check, site: &Site, seen: &Observations, policy: &Policy) -> Judged {
    match check {
        Check::Endpoint => endpoint(site),
        Check::Pin => pin(site, &policy.pin),
        Check::Parent => parent(site, policy),
        Check::Tls => tls(site),
        Check::RegionHeader => code(check, site, &seen.region_header),
        Check::Location => code(check, site, &seen.location),
        Check::Owner => owner(&seen.owner),
        Check::Replication => replication(site, &policy.pin, &seen.replication),
        Check::Acceleration => acceleration(&seen.acceleration),
        Check::Lifecycle => lifecycle(&seen.lifecycle, seen.expiration),
        Check::Logging => logging(site, &policy.pin, &seen.logging),
        Check::Hint => hint(&seen.hints),
    }
}

/// The exception that covers a check which did not pass. What shows where data would go, and what the owner decides by other means, is
/// never covered.
fn exception(
    check: Check,
    outcome: Outcome,
    required: bool,
    site: &Site,
    policy: &Policy,
    now: Timestamp,
) -> Option<Exception> {
    let coverable = match outcome {
        Outcome::Passed => false,
        Outcome::Unverified => {
            required && !matches!(check, Check::Endpoint | Check::Pin | Check::Parent | Check::Tls | Check::Hint)
        }
        Outcome::Failed => matches!(check, Check::Lifecycle | Check::Logging),
    };
    let fits =
        |exception: &&Exception| exception.site == site.id && exception.check == check && now < exception.expires;
    policy.exceptions.iter().filter(|_| coverable).find(fits).cloned()
}

fn endpoint(site: &Site) -> Judged {
    match &site.declaration {
        None => Judged::passed(format!(
            "the table of {COMPILED} lists {} in {}; {}",
            site.origin.host(),
            site.place,
            site.evidence
        )),
        Some(declared) => Judged::passed(format!(
            "declared by {} on {}: {}, {}",
            declared.signed_by,
            date::day(declared.declared),
            declared.address,
            site.place
        )),
    }
}

fn pin(site: &Site, pin: &Pin) -> Judged {
    if pin.allows(site.place.province) {
        Judged::passed(format!("{} is inside {pin}", site.place))
    } else {
        Judged::failed(
            format!("{} is not inside {pin}", site.place),
            "Choose a site inside the pin (cairn residency list), or let the owner widen the pin.",
        )
    }
}

fn parent(site: &Site, policy: &Policy) -> Judged {
    let law = format!("the operator {} answers to the law of {}", site.operator.name, site.operator.jurisdiction);
    let parent = match site.operator.us_parent {
        Some(true) => "its parent is in the United States",
        Some(false) => "no parent in the United States is known",
        None => "it is unknown whether its parent is in the United States",
    };
    if policy.deny_us_parent && site.operator.us_parent != Some(false) {
        let remedy = "Choose a site of another operator (cairn residency list), or let the owner change the policy.";
        return Judged::failed(format!("{law}, {parent}, and the owner's policy excludes that"), remedy);
    }
    Judged::passed(format!("{law}; {parent}"))
}

fn tls(site: &Site) -> Judged {
    match (site.origin.scheme(), site.ca_pem().is_empty()) {
        (Scheme::Https, true) => Judged::passed("every connection checks the host's certificate"),
        (Scheme::Https, false) => {
            Judged::passed("every connection checks the host's certificate against those declared for this site alone")
        }
        (Scheme::Http, _) => Judged::unverified(
            "plain http, as declared: nobody checks which host answers",
            "Declare the site again with https.",
        ),
    }
}

/// Whether a stated code is one of the site's, letter case aside.
fn is_own(site: &Site, code: &str) -> bool {
    site.location_codes.iter().any(|own| own.eq_ignore_ascii_case(code))
}

fn code(check: Check, site: &Site, observed: &Observed<String>) -> Judged {
    let Observed::Stated(stated) = observed else { return Judged::unanswered(check, observed) };
    let meant = if stated.is_empty() { REGION_EMPTY } else { stated };
    if is_own(site, meant) {
        return Judged::passed(match site.class {
            Class::Declare => {
                format!("the store states {}, as declared; a code of its own is not a place", quoted(meant))
            }
            Class::Pinned | Class::Verify => format!("the store states {}", quoted(meant)),
        });
    }
    if stated.is_empty() && !site.answers.contains(&check) {
        return Judged::unverified(
            "the store's answer is empty, and it is not known what this operator means by that",
            "Ask the operator in which region the bucket is.",
        );
    }
    let said = if stated.is_empty() {
        format!("the store states no location, which means {REGION_EMPTY}")
    } else {
        format!("the store states {}", quoted(stated))
    };
    let remedy = match site.class {
        Class::Declare => {
            "Find out why the store states another region than declared; declare the site again if it moved."
        }
        Class::Pinned | Class::Verify => "Choose a bucket at the site; what this one holds can still be read.",
    };
    Judged::failed(format!("{said}, which is none of {}", site.location_codes.join(", ")), remedy)
}

fn owner(observed: &Observed<bool>) -> Judged {
    match observed {
        Observed::Stated(true) => Judged::passed("the store accepts the expected account as owner"),
        Observed::Stated(false) => Judged::failed(
            "the bucket belongs to another account than expected",
            "Find out who owns the bucket: a deleted bucket's name can be taken by anybody.",
        ),
        other => Judged::unanswered(Check::Owner, other),
    }
}

/// Where a code of this site's operator is, if that is in Canada as far as the table or the declaration says.
fn place_of(site: &Site, code: &str) -> Option<Place> {
    if is_own(site, code) {
        return Some(site.place.clone());
    }
    let (provider, _) = site.id.split_once(':').filter(|_| site.declaration.is_none())?;
    let row = lookup::all().find(|row| {
        row.provider == provider
            && row.off.is_none()
            && row.location_codes.iter().chain([&row.region]).any(|own| own.eq_ignore_ascii_case(code))
    })?;
    Some(Place { city: row.city.to_owned(), province: Province::parse(row.province) })
}

/// What is known about where a destination is.
enum Whither {
    /// Inside the pin, in words.
    Inside(String),
    /// Not inside, in words.
    Outside(String),
    /// The store did not state it, in words.
    Unknown(String),
}

fn whither(site: &Site, pin: &Pin, destination: &Destination) -> Whither {
    let bucket = quoted(&destination.bucket);
    let Observed::Stated(region) = &destination.region else {
        return Whither::Unknown(format!("bucket {bucket}, whose region the store did not state"));
    };
    let region = if region.is_empty() { REGION_EMPTY } else { region };
    match place_of(site, region) {
        Some(place) if pin.allows(place.province) => Whither::Inside(format!("bucket {bucket} in {place}")),
        Some(place) => Whither::Outside(format!("bucket {bucket} in {place}, outside {pin}")),
        None => Whither::Outside(format!("bucket {bucket} in {}", quoted(region))),
    }
}

fn replication(site: &Site, pin: &Pin, observed: &Observed<Vec<Destination>>) -> Judged {
    let Observed::Stated(destinations) = observed else { return Judged::unanswered(Check::Replication, observed) };
    if destinations.is_empty() {
        return Judged::passed("the store states no replication rule");
    }
    let mut inside = Vec::new();
    for destination in destinations {
        match whither(site, pin, destination) {
            Whither::Inside(words) => inside.push(words),
            Whither::Outside(words) | Whither::Unknown(words) => {
                let remedy =
                    "Remove the replication rule, or choose another bucket; what this one holds can still be read.";
                return Judged::failed(format!("the store copies new objects to {words}"), remedy);
            }
        }
    }
    Judged::passed(format!("the store copies new objects to {}", inside.join(", ")))
}

fn acceleration(observed: &Observed<bool>) -> Judged {
    match observed {
        Observed::Stated(false) => Judged::passed("the store states that transfer acceleration is off"),
        Observed::Stated(true) => Judged::failed(
            "transfer acceleration is on, which lets data enter at any edge of the operator's network",
            "Suspend transfer acceleration of the bucket.",
        ),
        other => Judged::unanswered(Check::Acceleration, other),
    }
}

fn lifecycle(observed: &Observed<Vec<String>>, expiration: Option<bool>) -> Judged {
    let Observed::Stated(rules) = observed else { return Judged::unanswered(Check::Lifecycle, observed) };
    let rules: Vec<String> = rules.iter().map(|rule| quoted(rule)).collect();
    let words = rules.join(", ");
    match (rules.is_empty(), expiration) {
        (_, Some(true)) => Judged::failed(
            format!("a lifecycle rule deletes current objects, and so the backup: {words}"),
            "Remove the expiration rule from the bucket.",
        ),
        (true, _) => Judged::passed("the store states no lifecycle rule"),
        (false, Some(false)) => {
            Judged::passed(format!("the store states rules that delete no current object: {words}"))
        }
        (false, None) => Judged::unverified(
            format!("the store states rules that are not understood: {words}"),
            "Make sure that no rule deletes current objects.",
        ),
    }
}

fn logging(site: &Site, pin: &Pin, observed: &Observed<Option<Destination>>) -> Judged {
    let Observed::Stated(target) = observed else { return Judged::unanswered(Check::Logging, observed) };
    let Some(target) = target else { return Judged::passed("the store states that it delivers no access log") };
    let remedy = "Deliver access logs to a bucket at the site, or switch them off.";
    match whither(site, pin, target) {
        Whither::Inside(words) => Judged::passed(format!("the store delivers access logs to {words}")),
        Whither::Outside(words) => Judged::failed(format!("the store delivers access logs to {words}"), remedy),
        Whither::Unknown(words) => Judged::unverified(format!("the store delivers access logs to {words}"), remedy),
    }
}

fn hint(hints: &[String]) -> Judged {
    if hints.is_empty() {
        return Judged::passed("no redirect, region hint or foreign host was observed");
    }
    let words: Vec<String> = hints.iter().map(|hint| quoted(hint)).collect();
    Judged::failed(
        format!("the store pointed elsewhere: {}", words.join(", ")),
        "Name the bucket at its own site; cairn follows no redirect and no region hint.",
    )
}
