//! What `cairn residency show` says about the keeping of what is deleted: who states it, and no more than that.

use crate::output::shown;
use crate::values;
use cairn::residency::Observed;
use cairn::storage::s3::{BucketLock, Protection, Versioning};
use serde_json::{Value, json};

/// For people.
pub(super) fn lines(protection: &Protection) -> [String; 2] {
    let versions = match &protection.versions {
        Observed::Stated(Versioning::Enabled) => {
            "kept, as the store states; --at TIME reads what was deleted".to_owned()
        }
        Observed::Stated(Versioning::Suspended) => {
            "no new ones are kept, as the store states: what is deleted is gone".to_owned()
        }
        Observed::Stated(Versioning::Never) => "none, as the store states: what is deleted is gone".to_owned(),
        other => unverified(other),
    };
    let lock = match &protection.lock {
        Observed::Stated(None) => "off, as the store states".to_owned(),
        Observed::Stated(Some(lock)) => locked(lock),
        other => unverified(other),
    };
    [format!("old versions: {versions}"), format!("object lock: {lock}")]
}

fn locked(lock: &BucketLock) -> String {
    let Some(mode) = &lock.mode else {
        return "on, without a default retention, as the store states: new objects are not locked".to_owned();
    };
    let whose = match mode.as_str() {
        "COMPLIANCE" => ", which nobody can lift",
        "GOVERNANCE" => ", which accounts with a permission of their own can lift",
        _ => "",
    };
    let length = match (lock.days, lock.years) {
        (0, years) => values::count(years.into(), "year", "years"),
        (days, _) => values::count(days.into(), "day", "days"),
    };
    let mode = shown(mode.as_bytes());
    format!("on; the store states that it locks new objects for {length} from their upload ({mode}{whose})")
}

fn unverified<T>(observed: &Observed<T>) -> String {
    let why = match observed {
        Observed::Stated(_) | Observed::NotAsked => "the store was not asked".to_owned(),
        Observed::NotOffered(why) => format!("the store does not answer this question: {why}"),
        Observed::Denied(permission) => format!("the credentials lack {permission}"),
        Observed::Failed(why) => format!("the store gave no answer: {why}"),
    };
    format!("unverified: {}", shown(why.as_bytes()))
}

/// For programs; what is not known is null.
pub(super) fn object(protection: &Protection) -> Value {
    let versions = match &protection.versions {
        Observed::Stated(Versioning::Enabled) => Some("enabled"),
        Observed::Stated(Versioning::Suspended) => Some("suspended"),
        Observed::Stated(Versioning::Never) => Some("never"),
        _ => None,
    };
    let lock = match &protection.lock {
        Observed::Stated(lock) => Some(lock),
        _ => None,
    };
    let retention = lock.and_then(|lock| lock.as_ref()).and_then(|lock| {
        let mode = lock.mode.as_ref()?;
        Some(json!({ "mode": mode, "days": lock.days, "years": lock.years }))
    });
    json!({ "versions": versions, "object_lock": lock.map(Option::is_some), "default_retention": retention })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_stated_is_not_claimed() {
        let nothing = Protection::default();
        assert!(lines(&nothing).iter().all(|line| line.contains("unverified")), "{:?}", lines(&nothing));
        assert_eq!(object(&nothing), json!({"versions": null, "object_lock": null, "default_retention": null}));
        let denied = Observed::Denied("s3:GetBucketVersioning".into());
        assert!(lines(&Protection { versions: denied, ..nothing })[0].contains("lack s3:GetBucketVersioning"));
    }

    #[test]
    fn locks_are_said_with_their_length_and_who_can_lift_them() {
        let lock = |mode: &str, days, years| Protection {
            versions: Observed::Stated(Versioning::Enabled),
            lock: Observed::Stated(Some(BucketLock { mode: Some(mode.into()), days, years })),
        };
        assert!(lines(&lock("GOVERNANCE", 30, 0))[1].contains("30 days"));
        assert!(lines(&lock("COMPLIANCE", 0, 1))[1].contains("1 year from their upload (COMPLIANCE, which nobody"));
        assert_eq!(object(&lock("COMPLIANCE", 0, 7))["default_retention"]["years"], 7);
        let bare = Protection { lock: Observed::Stated(Some(BucketLock::default())), ..lock("", 0, 0) };
        assert!(lines(&bare)[1].contains("not locked"));
        assert_eq!(object(&bare)["object_lock"], true);
        let off = Protection { lock: Observed::Stated(None), ..bare };
        assert_eq!(
            (lines(&off)[1].as_str(), &object(&off)["object_lock"]),
            ("object lock: off, as the store states", &json!(false))
        );
    }
}
