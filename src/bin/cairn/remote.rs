//! A repository behind a network: from the location to a store that can be read, and through the residency gate to one that
//! can be written. Reading never waits for a verdict; sending needs one made in this run, under the repository's policy.

use crate::ahead::Ahead;
use crate::exit::{Failure, Result};
use crate::output::Output;
use crate::settings::Settings;
use crate::sites;
use crate::state::State;
use crate::values::time_seconds;
use cairn::clock::{Clock, Timestamp};
use cairn::format::declaration::SignedDeclaration;
use cairn::id::{LogId, SlotId, hex};
use cairn::object::ObjectName;
use cairn::residency::table;
use cairn::residency::{
    BucketName, CanadianEndpoint, Class, Declaration, EndpointCandidate, Finding, Origin, Outcome, Pin, Policy,
    ReachableEndpoint, Refusal, RefusalKind, ResidentBucket, Sending, Verdict,
};
use cairn::storage::s3::{
    CANNOT_BE_IGNORED, CreateMode, CredentialSource, Protection, S3Options, S3Sender, S3Storage, Timeouts, Traffic,
};
use cairn::storage::{ErrorKind, Location, Publish, Store};
use serde_json::{Value, json};
use std::sync::Arc;

/// A bucket that can be read.
#[derive(Debug)]
pub(crate) struct Remote {
    candidate: EndpointCandidate,
    endpoint: ReachableEndpoint,
    bucket: BucketName,
    storage: S3Storage,
    /// The declaration that the location names, if it does.
    pub(crate) declared: Option<SignedDeclaration>,
    /// What was asked of it before it is needed.
    pub(crate) ahead: Ahead,
}

/// A bucket that was judged in this run.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    /// What is known about the endpoint.
    pub(crate) endpoint: CanadianEndpoint,
    /// What was found out.
    pub(crate) verdict: Verdict,
}

/// The location in its one spelling: a host of the table that stands for a site is named by the site's id.
pub(crate) fn canonical(location: Location) -> Location {
    let Location::S3 { site, bucket, prefix } = location else { return location };
    // Hosts, ids and names are the same in any case of letters.
    let site = site.to_ascii_lowercase();
    let id = Origin::parse(&site).ok().filter(|_| site.contains('.')).and_then(|origin| {
        let sites = table::sites();
        let found = sites.iter().find(|row| row.origin == origin)?;
        // Other hosts of the site (dual stack, FIPS) are other ways to it, and stay what they are.
        let is_first = sites.iter().find(|row| row.id == found.id).is_some_and(|first| first.origin == origin);
        Some(if is_first { found.id.clone() } else { origin.authority() })
    });
    Location::S3 { site: id.unwrap_or(site), bucket, prefix }
}

/// How a store is reached, whatever the bucket.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    /// What was named.
    pub(crate) candidate: EndpointCandidate,
    /// The bucket.
    pub(crate) bucket: &'a str,
    /// What the names of objects start with.
    pub(crate) prefix: Option<&'a ObjectName>,
    /// The declaration that was named.
    pub(crate) declared: Option<SignedDeclaration>,
}

impl<'a> Target<'a> {
    /// What a location names; `None` for a local one.
    pub(crate) fn of_location(location: &'a Location, state: &State) -> Result<Option<Self>> {
        let Location::S3 { site, bucket, prefix } = location else { return Ok(None) };
        let candidate = EndpointCandidate::of_site(site)?;
        let declared = sites::load(state, site)?;
        if declared.is_none() && cairn::format::layout::is_site_name(site) {
            return Err(undeclared(site));
        }
        Ok(Some(Self { candidate, bucket, prefix: prefix.as_ref(), declared }))
    }
}

impl Remote {
    /// Makes a store that can be read. Nothing is asked of it yet. What is there to be sent to is admitted `under` a policy
    /// first: a place that is refused by its name alone is refused before credentials are looked for.
    ///
    /// # Errors
    /// Exit 20 for what names no place on a network, or no bucket; 2 for a setting that cannot be ignored.
    pub(crate) fn reach(
        target: Target<'_>,
        settings: &Settings,
        create: CreateMode,
        under: Option<&Policy>,
    ) -> Result<Self> {
        if settings.has_partition {
            return Err(Failure::usage(
                format!(
                    "{CANNOT_BE_IGNORED} is set: it gives regions other places, and the S3 client cannot be told to ignore it"
                ),
                "unset it",
            ));
        }
        let Target { candidate, bucket, prefix, declared } = target;
        let bucket = BucketName::parse(bucket)?;
        let endpoint = ReachableEndpoint::resolve(&candidate, &said(&declared), &Policy::new(Pin::Canada))?;
        if let Some(policy) = under {
            CanadianEndpoint::admit(&candidate, &said(&declared), policy)?;
        }
        let usual = Timeouts::default();
        let options = S3Options {
            timeouts: Timeouts { first_contact: settings.first_contact.unwrap_or(usual.first_contact), ..usual },
            ca_pem: settings.ca_pem.clone(),
            upload_limit: settings.limits[0],
            download_limit: settings.limits[1],
            create,
            credentials: CredentialSource::Chain { profile: settings.aws_profile.clone() },
            ..S3Options::default()
        };
        let storage = S3Storage::reach(&endpoint, &bucket, prefix, &options)?;
        Ok(Self { candidate, endpoint, bucket, storage, declared, ahead: Ahead::default() })
    }

    /// Asks now what a run that writes needs to know of it, this log included. Nobody waits for the answers.
    pub(crate) fn ask_ahead(&self, clock: &dyn Clock, log: Option<LogId>) {
        self.ahead.ask(&self.storage, clock, log);
    }

    /// What can be done with it without a verdict: reading and removing.
    pub(crate) fn store(&self) -> Store {
        self.storage.clone().into()
    }

    /// The same as it was at a time, for reading only.
    ///
    /// # Errors
    /// Exit 1 if the store states that it keeps no old versions.
    pub(crate) fn store_as_of(&self, time: Timestamp) -> Result<Store> {
        Ok(Store::new(Arc::new(self.storage.as_of(time)?), None, None))
    }

    /// What the store states about keeping what is deleted.
    pub(crate) fn protection(&self) -> Protection {
        self.storage.protection()
    }

    /// Who was contacted so far.
    pub(crate) fn traffic(&self) -> Traffic {
        self.storage.traffic()
    }

    /// Where it is reached.
    pub(crate) fn endpoint(&self) -> &ReachableEndpoint {
        &self.endpoint
    }

    /// Refuses a bucket that is not there. cairn makes none: its region is chosen when it is made, by its owner.
    ///
    /// # Errors
    /// Exit 10 for that. Whatever else the store says is for the checks to say.
    pub(crate) fn expect_bucket(&self) -> Result<()> {
        match self.storage.check_bucket() {
            Err(error) if error.kind == ErrorKind::StoreMissing => Err(Failure::from(error).with_hint(format!(
                "make the bucket {} first, in the region of your choice, with the tools of its operator",
                self.bucket
            ))),
            _ => Ok(()),
        }
    }

    /// Says in one line that nothing would be sent, if so.
    pub(crate) fn warn_if_refused(&self, output: &Output) {
        if let Err(refusal) = self.endpoint.sending() {
            output.warn(&format!("{refusal}: nothing is sent there; reading goes on"));
        }
    }

    /// The endpoint to send to under a policy, before anything is asked of it.
    ///
    /// # Errors
    /// The refusal.
    pub(crate) fn admit(&self, policy: &Policy) -> std::result::Result<CanadianEndpoint, Refusal> {
        CanadianEndpoint::admit(&self.candidate, &said(&self.declared), policy)
    }

    /// Asks the store and judges what it says.
    ///
    /// # Errors
    /// The refusal of an endpoint that nothing needs to be asked of.
    pub(crate) fn judge(&self, policy: &Policy, clock: &dyn Clock) -> Result<(Judged, Option<ResidentBucket>)> {
        let endpoint = self.admit(policy)?;
        // A verdict is as old as what it rests on.
        let asked = || (clock.now(), self.storage.observe());
        let (now, mut observations) = self.ahead.observed().unwrap_or_else(asked);
        // Other answers may have hinted at another place meanwhile.
        observations.hints = self.storage.hints();
        let (verdict, resident) = ResidentBucket::judge(&endpoint, &self.bucket, &observations, policy, now);
        Ok((Judged { endpoint, verdict }, resident))
    }

    /// Opens sending, under this policy.
    ///
    /// # Errors
    /// The refusal (exit 20), or that a required check could not be made now (exit 23).
    pub(crate) fn sender(
        &self,
        policy: &Policy,
        clock: &Arc<dyn Clock>,
        record: &Record<'_>,
    ) -> Result<(S3Sender, Judged)> {
        let (judged, resident) = self.judge(policy, &**clock)?;
        record.verdict(&judged.verdict);
        let Some(resident) = resident else { return Err(stopped(&judged.verdict).into()) };
        let sender = self.storage.sender(resident, clock.clone())?;
        Ok((sender, judged))
    }
}

fn said(declared: &Option<SignedDeclaration>) -> Vec<Declaration> {
    declared.iter().map(|signed| signed.declaration.clone()).collect()
}

/// Why a verdict stops sending.
pub(crate) fn stopped(verdict: &Verdict) -> Refusal {
    verdict.refusal().unwrap_or_else(|| Refusal {
        kind: RefusalKind::NotNow,
        what: format!("bucket {} at {}", verdict.bucket, verdict.site),
        why: "the checks came to nothing".into(),
        remedy: "Run `cairn residency check`.".into(),
    })
}

/// What is remembered of a location in the state directory; that it cannot be written is no reason to stop.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    /// The state directory.
    pub(crate) state: &'a State,
    /// Where to say that it cannot be written.
    pub(crate) output: &'a Output,
    /// The location.
    pub(crate) location: &'a Location,
}

impl Record<'_> {
    fn set(&self, key: &str, value: Value) {
        if let Err(failure) = self.state.set_remote(self.location, key, value) {
            self.output.info(&failure.message);
        }
    }

    /// The last verdict.
    pub(crate) fn verdict(&self, verdict: &Verdict) {
        self.set("verdict", object(verdict));
    }

    /// How objects are created there.
    pub(crate) fn create_mode(&self, mode: CreateMode) {
        let word = match mode {
            CreateMode::Unknown => return,
            CreateMode::Conditional => "conditional",
            CreateMode::Window => "window",
        };
        self.set("create", word.into());
    }

    /// The key slot that opened what is there.
    pub(crate) fn slot(&self, slot: SlotId) {
        self.set("slot", slot.to_string().into());
    }

    /// The key slot that opened what is there the last time.
    pub(crate) fn known_slot(&self) -> Option<SlotId> {
        SlotId::from_hex(self.state.remote(self.location)["slot"].as_str()?).ok()
    }

    /// The newest declaration of the site that is in the repository.
    pub(crate) fn declared(&self, number: u32, signed: &SignedDeclaration) {
        self.set("declared", json!({"number": number, "signature": hex(&signed.signature)}));
    }

    /// Whether the declaration of this number in the repository is known to be this one. One that is stored never changes.
    pub(crate) fn has_declared(&self, number: u32, signed: &SignedDeclaration) -> bool {
        let known = &self.state.remote(self.location)["declared"];
        known["number"] == number && known["signature"] == hex(&signed.signature)
    }

    /// How objects are created there, if it was ever found out.
    pub(crate) fn known_create_mode(&self) -> CreateMode {
        match self.state.remote(self.location)["create"].as_str() {
            Some("conditional") => CreateMode::Conditional,
            Some("window") => CreateMode::Window,
            _ => CreateMode::Unknown,
        }
    }

    /// The highest policy that was seen there.
    pub(crate) fn known_policy(&self) -> u64 {
        self.state.remote(self.location)["policy"].as_u64().unwrap_or(0)
    }

    /// Remembers a policy.
    pub(crate) fn policy(&self, number: u64) {
        if number > self.known_policy() {
            self.set("policy", number.into());
        }
    }

    /// Names the settings that are ignored, unless it was the same ones the last time.
    pub(crate) fn say_ignored(&self, ignored: &[String]) {
        let value = Value::from(ignored.to_vec());
        let known = self.state.remote(self.location)["ignored"].clone();
        if known == value || (ignored.is_empty() && known.is_null()) {
            return;
        }
        if !ignored.is_empty() {
            self.output.note(&format!(
                "{} set and ignored: where data goes is decided by --repo alone, and no proxy is between",
                ignored.join(", ")
            ));
        }
        self.set("ignored", value);
    }
}

/// What a verdict says of sending, in one word.
pub(crate) fn word(sending: Sending) -> &'static str {
    match sending {
        Sending::Allowed => "allowed",
        Sending::Refused => "refused",
        Sending::NotNow => "not-now",
    }
}

/// A verdict for programs.
pub(crate) fn object(verdict: &Verdict) -> Value {
    let hash = hex(&verdict.table.hash);
    json!({
        "site": verdict.site,
        "bucket": verdict.bucket.to_string(),
        "pin": verdict.pin.to_string(),
        "sending": word(verdict.sending()),
        "decided": time_seconds(verdict.decided),
        "expires": time_seconds(verdict.expires),
        "table_compiled": verdict.table.compiled,
        "table_hash": hash,
        "findings": verdict.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

fn finding(finding: &Finding) -> Value {
    json!({
        "check": finding.check.name(),
        "outcome": finding.outcome.name(),
        "required": finding.required,
        "said": finding.said,
        "remedy": finding.remedy,
        "excepted": finding.excepted.as_ref().map(|exception| json!({
            "reason": exception.reason,
            "signed_by": exception.signed_by,
            "expires": time_seconds(exception.expires),
        })),
    })
}

/// Where data goes, and who says so, in one line.
pub(crate) fn place_line(judged: &Judged) -> String {
    let site = judged.endpoint.site();
    let source = match (&site.class, &site.declaration) {
        (Class::Declare, Some(declaration)) => {
            let date = time_seconds(declaration.declared);
            let date = date.split('T').next().unwrap_or_default();
            format!("declared by {} on {date}", declaration.signed_by)
        }
        _ => format!("stated by the operator: {}", site.evidence),
    };
    format!("data goes to {} at {}: {}, {} ({source})", judged.verdict.bucket, site.id, site.place, site.operator.name)
}

/// What the checks came to, in one line.
pub(crate) fn checks_line(verdict: &Verdict) -> String {
    let named = |outcome| {
        let names: Vec<&str> =
            verdict.findings.iter().filter(|f| f.outcome == outcome).map(|f| f.check.name()).collect();
        match names.len() {
            0 => "0".to_owned(),
            count => format!("{count} ({})", names.join(", ")),
        }
    };
    format!(
        "checks: {} passed, {} unverified, {} failed",
        verdict.findings.iter().filter(|f| f.outcome == Outcome::Passed).count(),
        named(Outcome::Unverified),
        named(Outcome::Failed),
    )
}

/// A sender as a store's way to create.
pub(crate) fn publisher(sender: S3Sender) -> Arc<dyn Publish> {
    Arc::new(sender)
}

/// The error of a declaration that a location names and nobody made.
fn undeclared(name: &str) -> Failure {
    Refusal {
        kind: RefusalKind::Unknown,
        what: format!("site {name}"),
        why: "it is neither in the table of sites nor declared on this host".into(),
        remedy: format!("`cairn residency list` shows the sites; `cairn residency declare {name} …` declares one."),
    }
    .into()
}
