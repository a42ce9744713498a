//! The report of a bundle: one page of HTML without anything from elsewhere, in English and French. Colour carries no meaning
//! of its own, and nothing is claimed that the log does not say.

use super::gather::Gathered;
use super::show::{RECOVERED, Row, TRANSMITTED};
use super::verify::Custody;
use super::witness;
use crate::run::Run;
use crate::values;
use cairn::audit::leaf::{base64, time_text};
use cairn::audit::verify::{Verified, parse_time};
use cairn::clock::Timestamp;
use cairn::id::LogId;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What the report is about.
pub(super) struct Period {
    /// Its beginning.
    pub(super) from: Option<Timestamp>,
    /// Its end.
    pub(super) to: Option<Timestamp>,
}

impl Period {
    fn holds(&self, text: &str) -> bool {
        let Some(millis) = parse_time(text) else { return true };
        let at = |time: Timestamp| time.seconds.saturating_mul(1000);
        self.from.is_none_or(|from| at(from) <= millis) && self.to.is_none_or(|to| millis < at(to))
    }
}

/// The texts of one language.
struct Words {
    code: &'static str,
    title: &'static str,
    intro: &'static str,
    logs: &'static str,
    sent: &'static str,
    back: &'static str,
    places: &'static str,
    custody: &'static str,
    gaps: &'static str,
    glossary: &'static str,
    none: &'static str,
    not_stated: &'static str,
    no_key: &'static str,
    headings: [&'static str; 6],
    ok: &'static str,
    faults: &'static str,
    terms: &'static [(&'static str, &'static str)],
}

const ENGLISH: Words = Words {
    code: "en",
    title: "What was sent and what was recovered",
    intro: "Made from the signed log of the backup client. Everything below is as reported by the host that signed it; \
            statements about places are as stated by the operators of the storage. This report supports, and does not replace, \
            the judgement of whoever is accountable. Check the log with verify.py and the key that was enrolled.",
    logs: "Logs",
    sent: "Sent",
    back: "Recovered",
    places: "Where it went, as stated by the storage operators",
    custody: "Who can read it",
    gaps: "Gaps, refusals, and what is not acknowledged",
    glossary: "Glossary",
    none: "Nothing in this period.",
    not_stated: "not stated",
    no_key: "Not known: the report was made without a key of the repository.",
    headings: ["Time (UTC)", "Event", "Result", "Files", "Bytes", "Details"],
    ok: "verifies",
    faults: "DOES NOT VERIFY",
    terms: &[
        ("leaf", "one event in the log; its exact bytes are signed"),
        ("checkpoint", "a signed statement of how long the log is and what is in it"),
        (
            "receipt",
            "somebody else's signature: received, and consistent with what was seen before; not: confirmed as true",
        ),
        ("token", "stands for a name; only who holds the repository's key can tell which"),
        (
            "partial",
            "the run did a part of what it was asked to, or ended without a word and was closed by the next one",
        ),
    ],
};

const FRENCH: Words = Words {
    code: "fr",
    title: "Ce qui a été transmis et ce qui a été récupéré",
    intro: "Établi à partir du journal signé du client de sauvegarde. Tout ce qui suit est tel que rapporté par l'hôte qui l'a \
            signé; les indications de lieu sont telles que déclarées par les exploitants du stockage. Ce rapport appuie, sans le \
            remplacer, le jugement de la personne responsable. Vérifiez le journal avec verify.py et la clé inscrite.",
    logs: "Journaux",
    sent: "Transmis",
    back: "Récupéré",
    places: "Où cela est allé, tel que déclaré par les exploitants du stockage",
    custody: "Qui peut le lire",
    gaps: "Lacunes, refus et ce dont il n'a pas été accusé réception",
    glossary: "Glossaire",
    none: "Rien pendant cette période.",
    not_stated: "non indiqué",
    no_key: "Inconnu : le rapport a été établi sans clé du dépôt.",
    headings: ["Heure (UTC)", "Événement", "Résultat", "Fichiers", "Octets", "Détails"],
    ok: "se vérifie",
    faults: "NE SE VÉRIFIE PAS",
    terms: &[
        ("leaf (feuille)", "un événement du journal; ses octets exacts sont signés"),
        ("checkpoint (point de contrôle)", "une déclaration signée de la longueur et du contenu du journal"),
        (
            "receipt (reçu)",
            "la signature d'un tiers : reçu, et cohérent avec ce qui avait été vu; non pas : confirmé comme vrai",
        ),
        ("token (jeton)", "tient lieu d'un nom; seul qui détient la clé du dépôt peut dire lequel"),
        (
            "partial (partiel)",
            "l'exécution a fait une partie du travail, ou s'est arrêtée sans rien dire et a été close par la suivante",
        ),
    ],
};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#111;\
background:#fff}table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}th,td{border:1px solid #888;padding:.3rem .5rem;\
text-align:left;vertical-align:top;overflow-wrap:anywhere}th{background:#eee}caption{text-align:left;font-weight:bold}\
nav a{margin-right:1rem}section{margin-bottom:3rem}.n{text-align:right}";

fn escaped(text: &str) -> String {
    let shown = crate::output::shown(text.as_bytes());
    shown.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The page.
pub(super) fn html(
    run: &Run,
    gathered: &Gathered,
    logs: &BTreeMap<LogId, Verified>,
    period: &Period,
    custody: Option<&Custody>,
) -> String {
    let mut rows = Vec::new();
    for (id, log) in logs {
        for (number, (leaf, hash)) in log.leaves.iter().zip(&log.hashes).enumerate() {
            let Ok(said) = serde_json::from_slice::<Value>(leaf) else { continue };
            let row = Row { log: *id, number, hash: base64(hash), said, line: leaf.clone() };
            // Somebody is not to learn of it from a report.
            if period.holds(row.text("t")) && row.text("visibility") != "restricted" {
                rows.push(row);
            }
        }
    }
    rows.sort_by(|a, b| (a.text("t"), a.log, a.number).cmp(&(b.text("t"), b.log, b.number)));
    let overdue = witness::overdue(run, &gathered.logs, run.clock.now());
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>cairn {}</title><style>{STYLE}</style></head><body>\n\
         <nav><a href=\"#en\">English</a><a href=\"#fr\" lang=\"fr\">Français</a></nav>\n",
        gathered.repository.short()
    );
    for words in [&ENGLISH, &FRENCH] {
        let made = time_text(run.clock.now());
        let _ = write!(
            page,
            "<section lang=\"{0}\" id=\"{0}\"><h1>{1}</h1><p>{2}</p><p>repository {3}; {made}</p>",
            words.code, words.title, words.intro, gathered.repository
        );
        logs_table(&mut page, words, gathered, logs);
        let about = |types: &[&str]| rows.iter().filter(|row| types.contains(&row.text("type"))).collect::<Vec<_>>();
        events(&mut page, words, words.sent, &about(&TRANSMITTED));
        events(&mut page, words, words.back, &about(&RECOVERED));
        events(&mut page, words, words.places, &about(&["residency.checked"]));
        holders(&mut page, words, custody, &about(&["key.added", "key.removal"]));
        let is_gap = |row: &&Row| {
            let kind = row.text("type");
            row.text("res") != "ok" || kind == "log.opened" || kind.starts_with("residency.refused")
        };
        events(&mut page, words, words.gaps, &rows.iter().filter(is_gap).collect::<Vec<_>>());
        for text in &overdue {
            let _ = write!(page, "<p>{}</p>", escaped(text));
        }
        let _ = write!(page, "<h2>{}</h2><dl>", words.glossary);
        for (term, text) in words.terms {
            let _ = write!(page, "<dt>{term}</dt><dd>{text}</dd>");
        }
        page.push_str("</dl></section>\n");
    }
    page.push_str("</body></html>\n");
    page
}

fn logs_table(page: &mut String, words: &Words, gathered: &Gathered, logs: &BTreeMap<LogId, Verified>) {
    let _ = write!(page, "<h2>{}</h2><table>", words.logs);
    for (id, log) in logs {
        let host = log.endorsement.as_ref().map_or("?", |endorsement| endorsement.host.name());
        let receipts = gathered.logs.get(id).map_or(0, |evidence| evidence.receipts.len());
        let state = if log.findings.is_empty() { words.ok } else { words.faults };
        let _ = write!(
            page,
            "<tr><th scope=\"row\">{id}</th><td>{}</td><td>{} leaves</td><td>{receipts} receipts</td><td>{state}",
            escaped(host),
            log.leaves.len()
        );
        for finding in &log.findings {
            let _ = write!(page, "<br>{}: {}", finding.fault.word(), escaped(&finding.what));
        }
        page.push_str("</td></tr>");
    }
    page.push_str("</table>");
}

fn events(page: &mut String, words: &Words, title: &str, rows: &[&Row]) {
    let _ = write!(page, "<h2>{title}</h2>");
    if rows.is_empty() {
        let _ = write!(page, "<p>{}</p>", words.none);
        return;
    }
    page.push_str("<table><tr>");
    for heading in words.headings {
        let _ = write!(page, "<th scope=\"col\">{heading}</th>");
    }
    page.push_str("</tr>");
    for row in rows {
        let number = |names: [&str; 2]| {
            let value = names.iter().find_map(|name| row.said[*name].as_u64());
            value.map_or_else(String::new, |number| number.to_string())
        };
        let bytes = row.said["bytes"].as_u64().map(values::size).unwrap_or_default();
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{bytes}</td><td>{}</td></tr>",
            escaped(row.text("t")),
            escaped(row.text("type")),
            escaped(row.text("res")),
            number(["files_count", "files"]),
            escaped(&details(row)),
        );
    }
    page.push_str("</table>");
}

/// What is worth reading of a leaf, and where it is.
fn details(row: &Row) -> String {
    let mut parts = Vec::new();
    for field in
        ["op", "purpose", "snapshot", "site", "endpoint", "place", "kind", "slot", "reason", "err", "closed_by", "ref"]
    {
        match &row.said[field] {
            Value::String(text) => parts.push(format!("{field} {text}")),
            Value::Number(number) => parts.push(format!("{field} {number}")),
            _ => {}
        }
    }
    if let Some(checks) = row.said["checks"].as_object() {
        let all = checks.iter().map(|(name, value)| format!("{name} {}", value.as_str().unwrap_or("?")));
        parts.push(all.collect::<Vec<_>>().join(", "));
    }
    parts.push(format!("leaf {} of {}", row.number, row.log.short()));
    parts.join("; ")
}

/// Custody follows from the slots there are and the recoveries on record; it is never claimed.
fn holders(page: &mut String, words: &Words, custody: Option<&Custody>, changes: &[&Row]) {
    let _ = write!(page, "<h2>{}</h2>", words.custody);
    match custody {
        None => {
            let _ = write!(page, "<p>{}</p>", words.no_key);
        }
        Some(custody) => {
            page.push_str("<ul>");
            for slot in &custody.slots {
                let holder = if slot.holder.trim().is_empty() { words.not_stated } else { &slot.holder };
                let _ = write!(page, "<li>{} {}: {}</li>", escaped(&slot.kind), escaped(&slot.id), escaped(holder));
            }
            page.push_str("</ul>");
        }
    }
    if !changes.is_empty() {
        events(page, words, "", changes);
    }
}
