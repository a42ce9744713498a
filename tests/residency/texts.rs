//! The texts that people and operators get: the notice in both languages, and the permissions.

use crate::cases::{NOW, declarations, judge, observe};
use cairn::residency::iam::{self, Access};
use cairn::residency::notice::{Language, notice};
use cairn::residency::{
    BucketName, CanadianEndpoint, Check, EndpointCandidate, Exception, Observations, Pin, Policy, table,
};
use serde_json::Value;
use std::collections::BTreeSet;

/// Words that would claim more than anybody can know.
const FORBIDDEN: [&str; 8] =
    ["guarant", "garanti", "is in canada", "est au canada", "sont au canada", "are in canada", "certifi", "prouve que"];

fn texts(site: &str, policy: &Policy, answers: &[(&str, &str)]) -> [String; 2] {
    let mut seen = Observations::default();
    answers.iter().for_each(|(key, value)| observe(&mut seen, key, value));
    let candidate = EndpointCandidate::of_site(site).unwrap();
    let endpoint = CanadianEndpoint::admit(&candidate, &declarations(), policy).unwrap();
    let (verdict, _) = judge(site, policy, &seen);
    [Language::English, Language::French].map(|language| notice(endpoint.site(), &verdict, policy, language))
}

fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
}

#[test]
fn both_languages_state_place_operator_law_checks_and_limits() {
    let policy = Policy::new(Pin::parse("QC,ON").unwrap());
    let answers = [("location", "ca-central-1"), ("replication", "none"), ("lifecycle", "!403")];
    let [english, french] = texts("aws:ca-central-1", &policy, &answers);
    assert_says(
        &english,
        &[
            "at 2026-09-21 14:13:20 UTC.",
            "- Site: aws:ca-central-1 (https://s3.ca-central-1.amazonaws.com)",
            "- Place: Montréal area (QC)",
            "- Places that the owner allows: ON, QC",
            "- Operator: Amazon Web Services",
            "- The operator answers to the law of: US",
            "- Parent company in the United States: yes",
            "not confirmed",
            "- Bucket: backups",
            "- Location stated by the store: passed",
            "- Replication to other buckets: passed",
            "- Rules that move or delete objects: not verified",
            "At that time data could be sent.",
            "Authorities of another country",
            "What cairn cannot see",
            "copies that the operator makes",
            "the route of packets",
            "lawful access",
            "sizes, times and the number of objects",
        ],
    );
    assert_says(
        &french,
        &[
            "le 2026-09-21 14:13:20 UTC.",
            "- Site\u{a0}: aws:ca-central-1 (https://s3.ca-central-1.amazonaws.com)",
            "- Lieu\u{a0}: Montréal area (QC)",
            "- Lieux que le propriétaire permet\u{a0}: ON, QC",
            "- Exploitant\u{a0}: Amazon Web Services",
            "- L'exploitant relève du droit de\u{a0}: US",
            "- Société mère aux États-Unis\u{a0}: oui",
            "- Emplacement indiqué par le service\u{a0}: conforme",
            "- Règles qui déplacent ou suppriment des objets\u{a0}: non vérifié",
            "À ce moment, des données pouvaient être envoyées.",
            "Les autorités d'un autre pays",
            "Ce que cairn ne peut pas voir",
            "copies que fait l'exploitant",
            "le trajet des paquets",
            "l'accès légal",
            "tailles, les heures et le nombre d'objets",
        ],
    );
    assert_ne!(english, french);
    let shape = |text: &str| text.lines().map(|line| (line.is_empty(), line.starts_with("- "))).collect::<Vec<_>>();
    assert_eq!(shape(&english), shape(&french), "one language says more than the other");
}

#[test]
fn a_declared_site_is_said_to_be_declared() {
    let [english, french] = texts("garage", &Policy::new(Pin::Canada), &[]);
    assert_says(
        &english,
        &[
            "- Declared by: A. Tremblay",
            "- Declared on: 2026-05-28",
            "- Address: 1, rue Principale",
            "nothing is declared about copies",
            "it rests on the declaration",
            "- Encrypted connection, certificate checked: not verified",
            "The connection itself is not encrypted",
            "anywhere in Canada",
        ],
    );
    assert_says(&french, &["- Déclaré par\u{a0}: A. Tremblay", "il repose sur la déclaration", "n'est pas chiffrée"]);
    assert!(!english.contains("Authorities of another country"), "a Canadian operator without such a parent");
}

#[test]
fn refusals_and_exceptions_are_part_of_the_notice() {
    let [english, french] = texts("aws:ca-central-1", &Policy::new(Pin::Canada), &[("location", "us-east-1")]);
    assert_says(&english, &["- Location stated by the store: failed", "cairn refused to send data there"]);
    assert_says(&french, &["non conforme", "cairn refusait d'y envoyer des données"]);
    let site = "gcs:northamerica-northeast1";
    let [english, french] = texts(site, &Policy::new(Pin::Canada), &[]);
    assert_says(&english, &["a required check could not be made", "the store has to state it"]);
    assert_says(&french, &["une vérification obligatoire était impossible"]);
    let exception = Exception {
        site: site.into(),
        check: Check::Location,
        reason: "confirmed by letter".into(),
        signed_by: "M. Singh".into(),
        expires: cairn::clock::Timestamp { seconds: NOW.seconds + 86_400, ..NOW },
    };
    let policy = Policy { exceptions: vec![exception], deny_us_parent: false, ..Policy::new(Pin::Canada) };
    let [english, french] = texts(site, &policy, &[]);
    assert_says(&english, &["not verified; allowed by M. Singh until 2026-09-22: confirmed by letter"]);
    assert_says(&french, &["non vérifié; permis par M. Singh jusqu'au 2026-09-22: confirmed by letter"]);
    let policy = Policy { deny_us_parent: true, ..Policy::new(Pin::Canada) };
    let [english, french] = texts("ovhcloud:bhs", &policy, &[]);
    assert_says(&english, &["excludes operators whose parent", "none known"]);
    assert_says(&french, &["exclut les exploitants", "aucune connue"]);
}

#[test]
fn nothing_claims_more_than_is_known() {
    let policy = Policy::new(Pin::Canada);
    let ids: BTreeSet<String> = table::sites().into_iter().map(|site| site.id).collect();
    let declared = ["garage", "hoster", "arbutus"].map(str::to_owned);
    for id in ids.into_iter().filter(|id| !id.starts_with("hyperstack")).chain(declared) {
        let (verdict, _) = judge(&id, &policy, &Observations::default());
        let mut all = texts(&id, &policy, &[("location", "us-east-2"), ("hint", "301")]).to_vec();
        all.extend(verdict.findings.iter().flat_map(|finding| [finding.said.clone(), finding.remedy.clone()]));
        for text in all {
            let lower = text.to_lowercase();
            for word in FORBIDDEN {
                // A certificate is checked, nothing is certified.
                let lower = lower.replace("certificate", "").replace("certificat", "");
                assert!(!lower.contains(word), "{word:?} in {text}");
            }
        }
    }
}

fn actions(policy: &Value) -> BTreeSet<String> {
    let statements = policy["Statement"].as_array().unwrap();
    let lists = statements.iter().flat_map(|statement| statement["Action"].as_array().unwrap());
    lists.map(|action| action.as_str().unwrap().to_owned()).collect()
}

fn parsed(prefix: Option<&str>, access: Access) -> Value {
    serde_json::from_str(&iam::policy(&BucketName::parse("backups").unwrap(), prefix, access)).unwrap()
}

#[test]
fn permissions_are_as_small_as_they_can_be() {
    let write = parsed(None, Access::Write);
    assert_eq!(write["Version"], "2012-10-17");
    let statements = write["Statement"].as_array().unwrap();
    assert_eq!(statements.len(), 2);
    assert_eq!(statements[0]["Resource"], "arn:aws:s3:::backups");
    assert_eq!(statements[1]["Resource"], "arn:aws:s3:::backups/*");
    assert_eq!(statements[1]["Action"], serde_json::json!(["s3:GetObject", "s3:PutObject"]));
    for check in Check::ALL {
        assert!(check.action().is_none_or(|action| actions(&write).contains(action)), "{check}");
    }
    let read = parsed(None, Access::Read);
    let locked = parsed(None, Access::WriteLocked);
    assert!(actions(&locked).is_superset(&actions(&write)) && actions(&locked).contains("s3:PutObjectRetention"));
    assert!(actions(&read).contains("s3:GetObjectVersion"));
    for (policy, writes) in [(&write, true), (&locked, true), (&read, false)] {
        let all = actions(policy);
        assert!(
            !all.iter().any(|action| action.contains("Delete") || action.contains('*') || action.contains("Bypass"))
        );
        assert_eq!(all.iter().any(|action| action.contains("Put")), writes);
        for statement in policy["Statement"].as_array().unwrap() {
            assert_eq!(statement["Effect"], "Allow");
            let keys: Vec<&str> = statement.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(keys.len(), 4, "{keys:?}");
        }
    }
}

#[test]
fn a_prefix_narrows_and_cannot_widen() {
    let resource =
        |prefix| parsed(Some(prefix), Access::Write)["Statement"][1]["Resource"].as_str().unwrap().to_owned();
    assert_eq!(resource("host-a"), "arn:aws:s3:::backups/host-a/*");
    assert_eq!(resource("a/b"), "arn:aws:s3:::backups/a/b/*");
    assert_eq!(resource("*"), "arn:aws:s3:::backups/${*}/*");
    assert_eq!(resource("${aws:username}?"), "arn:aws:s3:::backups/${$}{aws:username}${?}/*");
    assert_eq!(resource("\"\\\n"), "arn:aws:s3:::backups/\"\\\n/*");
}
