//! What a store states about one bucket in this run. Asked here, judged in `residency`.
//!
//! Four kinds of answer are kept apart, because only the first is evidence: it *stated* something; it does not offer the
//! question (501, 405, an empty or unreadable 200); it denied it to these credentials; it did not answer at all.

use crate::residency::{Destination, Observations, Observed};
use crate::storage::s3::connection::Connection;
use crate::storage::s3::error::{Attempt, Cause, Failure};
use crate::storage::s3::guard::GuardStop;
use crate::storage::s3::retry::until_done;
use crate::storage::s3::together::both;
use crate::storage::s3::xml;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_bucket_lifecycle_configuration::GetBucketLifecycleConfigurationOutput;
use aws_sdk_s3::types::{ExpirationStatus, LifecycleRule, ReplicationRuleStatus};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use std::error::Error;
use std::time::Duration;

/// How long each question may take with all its repetitions.
const PATIENCE: Duration = Duration::from_secs(60);
/// An account that nobody has: a store that accepts it as owner does not look.
const NOBODY: &str = "000000000000";

/// A question about the bucket's settings.
pub(super) struct Question {
    /// How the request names it.
    pub(super) query: &'static str,
    /// Root elements that the answer may have.
    pub(super) roots: &'static [&'static str],
    /// Whether the answer is read as it comes, without the SDK's parser.
    pub(super) is_read_raw: bool,
    /// The permission it needs.
    pub(super) permission: &'static str,
    /// Code of the answer that there is no such setting.
    pub(super) none: &'static [&'static str],
}

const LOCATION: Question = Question {
    query: "location",
    roots: &["LocationConstraint"],
    is_read_raw: true,
    permission: "s3:GetBucketLocation",
    none: &[],
};
const REPLICATION: Question = Question {
    query: "replication",
    roots: &["ReplicationConfiguration"],
    is_read_raw: false,
    permission: "s3:GetReplicationConfiguration",
    none: &["ReplicationConfigurationNotFoundError"],
};
const ACCELERATION: Question = Question {
    query: "accelerate",
    // The second is what an emulation of AWS sends.
    roots: &["AccelerateConfiguration", "GetBucketAccelerateConfigurationResponse"],
    is_read_raw: true,
    permission: "s3:GetAccelerateConfiguration",
    none: &[],
};
const LIFECYCLE: Question = Question {
    query: "lifecycle",
    roots: &["LifecycleConfiguration"],
    is_read_raw: false,
    permission: "s3:GetLifecycleConfiguration",
    none: &["NoSuchLifecycleConfiguration"],
};
const LOGGING: Question = Question {
    query: "logging",
    roots: &["BucketLoggingStatus"],
    is_read_raw: false,
    permission: "s3:GetBucketLogging",
    none: &[],
};

/// Asks everything. No question depends on the answer to another, so all are asked at once.
pub(super) async fn observe(connection: &Connection) -> Observations {
    let bucket = connection.bucket.as_str();
    let whose = both(region_of(connection, bucket), owner(connection));
    let elsewhere = both(replication(connection), logging(connection));
    let kept = both(acceleration(connection), lifecycle(connection));
    let ((whose, location), (elsewhere, kept)) = both(both(whose, location(connection)), both(elsewhere, kept)).await;
    let ((region_header, owner), (replication, logging)) = (whose, elsewhere);
    let (acceleration, (lifecycle, expiration)) = kept;
    // When all answers are there: each of them may be a hint.
    let hints = connection.guard.hints();
    Observations { region_header, location, owner, replication, acceleration, lifecycle, expiration, logging, hints }
}

async fn location(connection: &Connection) -> Observed<String> {
    let request = || {
        let request = connection.client.get_bucket_location().bucket(connection.bucket.as_str());
        request.set_expected_bucket_owner(connection.owner()).send()
    };
    // Read from the answer itself: the SDK cannot tell an empty constraint from one that it does not know.
    let location = |(_, body): (_, Option<Vec<u8>>)| body.and_then(|body| location_text(&body)).unwrap_or_default();
    map(connection.ask(&LOCATION, request).await, location)
}

async fn replication(connection: &Connection) -> Observed<Vec<Destination>> {
    let request = || {
        let request = connection.client.get_bucket_replication().bucket(connection.bucket.as_str());
        request.set_expected_bucket_owner(connection.owner()).send()
    };
    let rules = match connection.ask(&REPLICATION, request).await {
        Observed::Stated((output, _)) => output.and_then(|output| output.replication_configuration),
        other => return map(other, |_| Vec::new()),
    };
    let mut destinations = Vec::new();
    for rule in rules.map(|rules| rules.rules).unwrap_or_default() {
        if *rule.status() == ReplicationRuleStatus::Disabled {
            continue;
        }
        let named = rule.destination().map(|d| d.bucket().to_owned()).unwrap_or_default();
        destinations.push(destination(connection, named).await);
    }
    Observed::Stated(destinations)
}

async fn acceleration(connection: &Connection) -> Observed<bool> {
    let request = || {
        let request = connection.client.get_bucket_accelerate_configuration().bucket(connection.bucket.as_str());
        request.set_expected_bucket_owner(connection.owner()).send()
    };
    map(connection.ask(&ACCELERATION, request).await, |(_, body)| {
        let status = body.as_deref().and_then(|body| xml::first(body, "Status")).unwrap_or_default();
        !["", "Suspended"].contains(&status)
    })
}

async fn lifecycle(connection: &Connection) -> (Observed<Vec<String>>, Option<bool>) {
    let request = || {
        let request = connection.client.get_bucket_lifecycle_configuration().bucket(connection.bucket.as_str());
        request.set_expected_bucket_owner(connection.owner()).send()
    };
    lifecycle_words(connection.ask(&LIFECYCLE, request).await)
}

async fn logging(connection: &Connection) -> Observed<Option<Destination>> {
    let request = || {
        let request = connection.client.get_bucket_logging().bucket(connection.bucket.as_str());
        request.set_expected_bucket_owner(connection.owner()).send()
    };
    match connection.ask(&LOGGING, request).await {
        Observed::Stated((output, _)) => match output.and_then(|output| output.logging_enabled) {
            Some(target) => Observed::Stated(Some(destination(connection, target.target_bucket).await)),
            None => Observed::Stated(None),
        },
        other => map(other, |_| None),
    }
}

/// What was stated, as something else.
pub(super) fn map<T, U>(observed: Observed<T>, change: impl FnOnce(T) -> U) -> Observed<U> {
    match observed {
        Observed::Stated(value) => Observed::Stated(change(value)),
        Observed::NotOffered(why) => Observed::NotOffered(why),
        Observed::Denied(why) => Observed::Denied(why),
        Observed::Failed(why) => Observed::Failed(why),
        Observed::NotAsked => Observed::NotAsked,
    }
}

/// The parsed answer and the answer as it came; both `None` if the store stated that there is no such setting.
pub(super) type Answer<T> = Observed<(Option<T>, Option<Vec<u8>>)>;

impl Connection {
    async fn patiently<T, E, F>(&self, request: impl Fn() -> F) -> Attempt<T>
    where
        E: ProvideErrorMetadata + Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let mut timeouts = self.options.timeouts.clone();
        timeouts.total = timeouts.total.min(PATIENCE);
        let attempt = || async { request().await.map_err(|error| Failure::of(&error)) };
        until_done(&timeouts, || self.guard.has_answered(), |d, t| self.note(d, t), attempt).await
    }

    /// Asks a question.
    pub(super) async fn ask<T, E, F>(&self, question: &Question, request: impl Fn() -> F) -> Answer<T>
    where
        E: ProvideErrorMetadata + Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        // An answer that cannot be parsed is an answer, and no reason to ask again.
        let asked = || async {
            match request().await {
                Ok(output) => Ok(Ok(output)),
                Err(error) if error.raw_response().is_some_and(|answer| answer.status().is_success()) => {
                    Ok(Err(Failure::of(&error).text))
                }
                Err(error) => Err(error),
            }
        };
        let result = self.patiently(asked).await;
        let kept = self.guard.take_kept(question.query).unwrap_or_default();
        match result {
            Ok(parsed) if xml::root(&kept).is_some_and(|root| question.roots.contains(&root)) => match parsed {
                Ok(output) => Observed::Stated((Some(output), Some(kept))),
                Err(_) if question.is_read_raw => Observed::Stated((None, Some(kept))),
                Err(why) => Observed::NotOffered(why),
            },
            Ok(_) => Observed::NotOffered(unreadable(&kept)),
            Err(failure) => without(question, &failure),
        }
    }
}

fn unreadable(body: &[u8]) -> String {
    match xml::root(body) {
        _ if body.iter().all(u8::is_ascii_whitespace) => "the store answered 200 with nothing in it".to_owned(),
        Some(root) => format!("the store answered 200 with another document, {root}"),
        None => "the store answered 200 with something unreadable".to_owned(),
    }
}

/// What a failed question says.
fn without<T>(question: &Question, failure: &Failure) -> Answer<T> {
    match &failure.cause {
        Cause::Status(404) if failure.has_code(question.none) => Observed::Stated((None, None)),
        Cause::Status(404) if failure.is_no_bucket() => Observed::Failed("there is no such bucket".to_owned()),
        Cause::Status(401 | 403) => Observed::Denied(question.permission.to_owned()),
        Cause::Status(501) => Observed::NotOffered(failure.text.clone()),
        Cause::Status(status) if (400..500).contains(status) && *status != 429 => {
            Observed::NotOffered(failure.text.clone())
        }
        _ => Observed::Failed(failure.text.clone()),
    }
}

/// Text of a location constraint, also of the form that wraps one element of this name into another.
fn location_text(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let inner = text.rsplit_once("LocationConstraint")?.0.rsplit_once("</")?.0;
    let inner = inner.trim_end().strip_suffix("</LocationConstraint>").unwrap_or(inner);
    Some(inner.rsplit('>').next()?.trim().to_owned())
}

/// Region of a bucket by the header that S3 sends even with a denial or a redirect.
async fn region_of(connection: &Connection, bucket: &str) -> Observed<String> {
    let is_own = bucket == connection.bucket.as_str();
    let owner = connection.owner().filter(|_| is_own);
    let request = || connection.client.head_bucket().bucket(bucket).set_expected_bucket_owner(owner.clone()).send();
    match connection.patiently(request).await {
        Ok(answer) => match answer.bucket_region().filter(|region| !region.is_empty()) {
            Some(region) => Observed::Stated(region.to_owned()),
            None => Observed::NotOffered("the store sends no x-amz-bucket-region".to_owned()),
        },
        Err(failure) => region_by_failure(failure),
    }
}

fn region_by_failure(failure: Failure) -> Observed<String> {
    let (stop, mut told) = match &failure.cause {
        Cause::Guard(stop) => (Some(&**stop), None),
        _ => (None, failure.region.clone()),
    };
    if let Some(GuardStop::Redirect { region, .. }) = stop {
        told.clone_from(region);
    }
    match (told.filter(|region| !region.is_empty()), &failure.cause) {
        (Some(region), _) => Observed::Stated(region),
        (None, Cause::Status(401 | 403)) => Observed::Denied("s3:ListBucket".to_owned()),
        (None, Cause::Status(404)) => Observed::NotOffered("there is no such bucket at this endpoint".to_owned()),
        (None, Cause::Status(status)) if (400..500).contains(status) && *status != 429 => {
            Observed::NotOffered(failure.text)
        }
        (None, Cause::Status(501)) => Observed::NotOffered(failure.text),
        // It would have to be asked at another host.
        (None, _) if matches!(stop, Some(GuardStop::ForeignHost { .. })) => Observed::NotOffered(failure.text),
        (None, _) => Observed::Failed(failure.text),
    }
}

/// Where copies or logs go, with the region that this endpoint states for it. Nobody else is asked.
async fn destination(connection: &Connection, named: String) -> Destination {
    let bucket = named.rsplit(":::").next().unwrap_or(&named).to_owned();
    let is_plain = !bucket.is_empty() && !bucket.contains([':', '/']);
    let region = if is_plain {
        region_of(connection, &bucket).await
    } else {
        Observed::NotOffered("its name is no bucket's".to_owned())
    };
    Destination { bucket: named, region }
}

/// Whether the bucket belongs to the expected account, if there is one.
async fn owner(connection: &Connection) -> Observed<bool> {
    let Some(expected) = connection.owner() else { return Observed::NotAsked };
    let bucket = connection.bucket.as_str();
    let head = |owner: Option<String>| {
        connection.patiently(move || {
            connection.client.head_bucket().bucket(bucket).set_expected_bucket_owner(owner.clone()).send()
        })
    };
    match (head(Some(expected)).await, head(Some(NOBODY.to_owned())).await) {
        (Ok(_), Ok(_)) => Observed::NotOffered("the store accepts any account as the owner".to_owned()),
        (Ok(_), Err(failure)) if failure.is_status(403) => Observed::Stated(true),
        (Ok(_), Err(failure)) => Observed::Failed(failure.text),
        (Err(failure), _) if failure.is_status(403) => match head(None).await {
            Ok(_) => Observed::Stated(false),
            Err(_) => Observed::Denied("s3:ListBucket".to_owned()),
        },
        (Err(failure), _) => Observed::Failed(failure.text),
    }
}

/// Rules that move or delete objects, in words, and whether one deletes current ones.
fn lifecycle_words(answer: Answer<GetBucketLifecycleConfigurationOutput>) -> (Observed<Vec<String>>, Option<bool>) {
    let rules = match answer {
        Observed::Stated((output, _)) => output.and_then(|output| output.rules).unwrap_or_default(),
        other => return (map(other, |_| Vec::new()), None),
    };
    let active: Vec<&LifecycleRule> = rules.iter().filter(|rule| *rule.status() == ExpirationStatus::Enabled).collect();
    let expires = active.iter().any(|rule| {
        rule.expiration().is_some_and(|expiration| expiration.days().is_some() || expiration.date().is_some())
    });
    (Observed::Stated(active.into_iter().flat_map(rule_words).collect()), Some(expires))
}

fn rule_words(rule: &LifecycleRule) -> Vec<String> {
    let id = rule.id().unwrap_or("without a name");
    let when = |days: Option<i32>| days.map_or_else(|| "on a date".to_owned(), |days| format!("after {days} days"));
    let mut words = Vec::new();
    if let Some(expiration) = rule.expiration()
        && (expiration.days().is_some() || expiration.date().is_some())
    {
        words.push(format!("rule {id}: deletes objects {}", when(expiration.days())));
    }
    for transition in rule.transitions() {
        let class = transition.storage_class().map_or("another class", |class| class.as_str());
        words.push(format!("rule {id}: moves objects to {class} {}", when(transition.days())));
    }
    if let Some(old) = rule.noncurrent_version_expiration() {
        words.push(format!("rule {id}: deletes old versions {}", when(old.noncurrent_days())));
    }
    for transition in rule.noncurrent_version_transitions() {
        let class = transition.storage_class().map_or("another class", |class| class.as_str());
        words.push(format!("rule {id}: moves old versions to {class} {}", when(transition.noncurrent_days())));
    }
    words
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use aws_sdk_s3::types::{LifecycleExpiration, NoncurrentVersionExpiration, Transition, TransitionStorageClass};

    fn status(status: u16, code: &str) -> Failure {
        Failure { code: Some(code.to_owned()), ..Failure::new(Cause::Status(status), format!("{status} {code}")) }
    }

    fn kind<T>(observed: &Observed<T>) -> &'static str {
        match observed {
            Observed::Stated(_) => "stated",
            Observed::NotOffered(_) => "not offered",
            Observed::Denied(_) => "denied",
            Observed::Failed(_) => "failed",
            Observed::NotAsked => "not asked",
        }
    }

    #[test]
    fn what_is_missing_is_stated_only_by_its_own_code() {
        for (failure, expected) in [
            (status(404, "ReplicationConfigurationNotFoundError"), "stated"),
            (status(404, "NoSuchLifecycleConfiguration"), "not offered"),
            (status(404, "NoSuchBucket"), "failed"),
            (status(404, ""), "not offered"),
            (status(403, "AccessDenied"), "denied"),
            (status(401, ""), "denied"),
            (status(501, "NotImplemented"), "not offered"),
            (status(405, "MethodNotAllowed"), "not offered"),
            (status(400, "InvalidRequest"), "not offered"),
            (status(500, "InternalError"), "failed"),
            (status(503, "SlowDown"), "failed"),
            (status(429, ""), "failed"),
            (Failure::new(Cause::Timeout, ""), "failed"),
            (Failure::new(Cause::Connection, ""), "failed"),
        ] {
            let answer: Answer<()> = without(&REPLICATION, &failure);
            assert_eq!(kind(&answer), expected, "{}", failure.text);
            if let Observed::Denied(permission) = answer {
                assert_eq!(permission, "s3:GetReplicationConfiguration");
            }
        }
    }

    #[test]
    fn answers_that_say_nothing_are_named() {
        assert_eq!(unreadable(b""), "the store answered 200 with nothing in it");
        assert_eq!(unreadable(b" \r\n"), "the store answered 200 with nothing in it");
        assert!(unreadable(b"<ListBucketResult/>").contains("ListBucketResult"));
        assert!(unreadable(b"{}").contains("unreadable"));
    }

    #[test]
    fn locations_are_read_as_they_come() {
        for (body, expected) in [
            ("<LocationConstraint xmlns='x'>ca-central-1</LocationConstraint>", Some("ca-central-1")),
            ("<LocationConstraint>\n ca-west-1\n</LocationConstraint>\n", Some("ca-west-1")),
            ("<LocationConstraint xmlns='x'></LocationConstraint>", Some("")),
            ("<LocationConstraint><LocationConstraint>EU</LocationConstraint></LocationConstraint>", Some("EU")),
            ("<LocationConstraint xmlns='x'/>", None),
        ] {
            assert_eq!(location_text(body.as_bytes()).as_deref(), expected, "{body}");
        }
        assert_eq!(location_text(b"\xff"), None);
    }

    #[test]
    fn the_region_of_a_refused_bucket_is_still_stated() {
        let away = GuardStop::Redirect { status: 301, location: None, region: Some("us-east-1".into()) };
        let failure = Failure::new(Cause::Guard(Box::new(away)), "301");
        assert_eq!(region_by_failure(failure), Observed::Stated("us-east-1".into()));
        let denied = Failure { region: Some("ca-west-1".into()), ..status(403, "") };
        assert_eq!(region_by_failure(denied), Observed::Stated("ca-west-1".into()));
        for (failure, expected) in [
            (status(403, ""), "denied"),
            (status(404, ""), "not offered"),
            (status(400, ""), "not offered"),
            (status(501, ""), "not offered"),
            (status(500, ""), "failed"),
            (Failure::new(Cause::Timeout, ""), "failed"),
        ] {
            assert_eq!(kind(&region_by_failure(failure.clone())), expected, "{}", failure.text);
        }
    }

    #[test]
    fn rules_are_put_into_words() {
        let rule = |id: &str, status| LifecycleRule::builder().id(id).status(status);
        let moves = Transition::builder().days(30).storage_class(TransitionStorageClass::Glacier).build();
        let deletes = LifecycleExpiration::builder().days(90).build();
        let old = NoncurrentVersionExpiration::builder().noncurrent_days(5).build();
        let rules = [
            rule("a", ExpirationStatus::Enabled).transitions(moves).noncurrent_version_expiration(old).build().unwrap(),
            rule("off", ExpirationStatus::Disabled).expiration(deletes.clone()).build().unwrap(),
        ];
        let answer = |rules: &[LifecycleRule]| {
            let output = GetBucketLifecycleConfigurationOutput::builder().set_rules(Some(rules.to_vec())).build();
            lifecycle_words(Observed::Stated((Some(output), None)))
        };
        let expected = ["rule a: moves objects to GLACIER after 30 days", "rule a: deletes old versions after 5 days"];
        assert_eq!(answer(&rules), (Observed::Stated(expected.map(str::to_owned).to_vec()), Some(false)));
        let current = rule("b", ExpirationStatus::Enabled).expiration(deletes).build().unwrap();
        let (words, expires) = answer(&[current]);
        assert_eq!(
            (words, expires),
            (Observed::Stated(vec!["rule b: deletes objects after 90 days".into()]), Some(true))
        );
        assert_eq!(lifecycle_words(Observed::Stated((None, None))), (Observed::Stated(Vec::new()), Some(false)));
        assert_eq!(lifecycle_words(Observed::Denied("x".into())), (Observed::Denied("x".into()), None));
    }
}
