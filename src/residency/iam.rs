//! The smallest permissions that a host needs on a bucket, as an IAM policy.

use crate::residency::bucket::BucketName;
use crate::residency::check::Check;

/// What a host does with a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Make backups: create and read objects, and answer the residency checks. Nothing is deleted.
    Write,
    /// The same, with a retention set on every new object (object lock).
    WriteLocked,
    /// Read back only, older versions too.
    Read,
}

/// The IAM policy, as JSON in readable form, for a repository in a bucket or below a prefix of it. No variant allows
/// deletion.
///
/// Listing is allowed for the whole bucket even if there is a prefix: HeadBucket needs the same permission and has no
/// prefix, so a condition on the prefix would take it away. Contents are allowed below the prefix only.
pub fn policy(bucket: &BucketName, prefix: Option<&str>, access: Access) -> String {
    let mut about_bucket: Vec<&str> = match access {
        Access::Write | Access::WriteLocked => Check::ALL.into_iter().filter_map(Check::action).collect(),
        Access::Read => vec!["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketVersions"],
    };
    about_bucket.extend(["s3:GetBucketObjectLockConfiguration", "s3:GetBucketVersioning"]);
    let mut about_objects = vec!["s3:GetObject"];
    match access {
        Access::Write => about_objects.push("s3:PutObject"),
        Access::WriteLocked => about_objects.extend(["s3:GetObjectRetention", "s3:PutObject", "s3:PutObjectRetention"]),
        Access::Read => about_objects.push("s3:GetObjectVersion"),
    }
    for actions in [&mut about_bucket, &mut about_objects] {
        actions.sort_unstable();
        actions.dedup();
    }
    let below = prefix.map_or_else(|| "*".to_owned(), |prefix| format!("{}/*", literally(prefix)));
    let statements = [
        statement("CairnBucket", &about_bucket, &format!("arn:aws:s3:::{bucket}")),
        statement("CairnObjects", &about_objects, &format!("arn:aws:s3:::{bucket}/{below}")),
    ];
    format!("{{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n{}\n  ]\n}}\n", statements.join(",\n"))
}

fn statement(sid: &str, actions: &[&str], resource: &str) -> String {
    let actions: Vec<String> = actions.iter().map(|action| format!("        {}", text(action))).collect();
    format!(
        "    {{\n      \"Sid\": {},\n      \"Effect\": \"Allow\",\n      \"Action\": [\n{}\n      ],\n      \"Resource\": {}\n    }}",
        text(sid),
        actions.join(",\n"),
        text(resource)
    )
}

/// A prefix whose wildcards and variables stand for themselves, so that it cannot widen the policy.
fn literally(prefix: &str) -> String {
    prefix.replace('$', "${$}").replace('*', "${*}").replace('?', "${?}")
}

/// A text of JSON (RFC 8259, 7).
fn text(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if u32::from(c) < 0x20 => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
