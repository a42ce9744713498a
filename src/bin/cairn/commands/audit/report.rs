//! The report of a bundle: one page of HTML without anything from elsewhere, in English and French. Colour carries no meaning
//! of its own, and nothing is claimed that the log does not say.

use super::gather::Gathered;
use super::show::{RECOVERED, Row, TRANSMITTED};
use super::verify::Custody;
use super::witness::{self, Overdue};
use super::words::{ENGLISH, FRENCH, Words};
use crate::run::Run;
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

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#111;\
background:#fff}table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}th,td{border:1px solid #888;padding:.3rem .5rem;\
text-align:left;vertical-align:top;white-space:nowrap}td:last-child,td.w{white-space:normal;overflow-wrap:anywhere;width:99%}\
th{background:#eee}caption{text-align:left;font-weight:bold}\
nav a{margin-right:1rem}section{margin-bottom:3rem}.n{text-align:right}";

fn escaped(text: &str) -> String {
    let shown = crate::output::shown(text.as_bytes());
    shown.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The beginnings of runs.
type Begun<'a> = BTreeMap<&'a str, &'a Row>;

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
    let begun: Begun<'_> =
        rows.iter().filter(|row| row.text("type") == "run.started").map(|row| (row.text("run"), row)).collect();
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
            "<section lang=\"{0}\" id=\"{0}\"><h1>{1}</h1><p>{2}</p><p>{3} {4}; {made}</p>",
            words.code, words.title, words.intro, words.repository, gathered.repository
        );
        logs_table(&mut page, words, gathered, logs);
        let about = |types: &[&str]| rows.iter().filter(|row| types.contains(&row.text("type"))).collect::<Vec<_>>();
        events(&mut page, words, &begun, words.sent, &about(&TRANSMITTED));
        events(&mut page, words, &begun, words.back, &about(&RECOVERED));
        events(&mut page, words, &begun, words.places, &about(&["residency.checked"]));
        holders(&mut page, words, &begun, custody, &about(&["key.added", "key.removal"]));
        let is_gap = |row: &&Row| {
            let kind = row.text("type");
            row.text("res") != "ok" || kind == "log.opened" || kind.starts_with("residency.refused")
        };
        events(&mut page, words, &begun, words.gaps, &rows.iter().filter(is_gap).collect::<Vec<_>>());
        for witness in &overdue {
            let _ = write!(page, "<p>{}</p>", escaped(&overdue_text(words, witness)));
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
            "<tr><th scope=\"row\">{id}</th><td>{}</td><td>{} {}</td><td>{receipts} {}</td><td>{state}",
            escaped(host),
            log.leaves.len(),
            words.leaves,
            words.receipts,
        );
        for finding in &log.findings {
            let _ = write!(page, "<br>{}: {}", finding.fault.word(), escaped(&finding.what));
        }
        page.push_str("</td></tr>");
    }
    page.push_str("</table>");
}

fn events(page: &mut String, words: &Words, begun: &Begun<'_>, title: &str, rows: &[&Row]) {
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
        let bytes = row.said["bytes"].as_u64().map(|count| words.bytes(count)).unwrap_or_default();
        let _ = write!(
            page,
            "<tr><td>{}</td><td title=\"{}\">{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{bytes}</td><td>{}</td></tr>",
            escaped(&readable(row.text("t"))),
            escaped(row.text("type")),
            escaped(&words.of(row.text("type"))),
            escaped(&words.of(row.text("res"))),
            number(["files_count", "files"]),
            escaped(&details(words, row, begun.get(row.text("run")).copied())),
        );
    }
    page.push_str("</table>");
}

/// What is worth reading of a leaf and of the run that it is part of, and where it is.
fn details(words: &Words, row: &Row, begun: Option<&Row>) -> String {
    let own =
        ["op", "purpose", "snapshot", "site", "endpoint", "place", "kind", "slot", "reason", "err", "closed_by", "ref"];
    let of_run = begun.filter(|_| row.text("op").is_empty() && row.text("type") != "log.opened");
    let of_run = of_run.into_iter().flat_map(|begun| ["op", "purpose"].map(|field| (field, &begun.said[field])));
    let mut parts = Vec::new();
    for (field, value) in of_run.chain(own.map(|field| (field, &row.said[field]))) {
        match value {
            Value::String(text) => parts.push(format!("{} {}", words.of(field), words.of(text))),
            Value::Number(number) => parts.push(format!("{} {number}", words.of(field))),
            _ => {}
        }
    }
    if let Some(checks) = row.said["checks"].as_object() {
        let all = checks.iter().map(|(name, value)| format!("{name} {}", value.as_str().unwrap_or("?")));
        parts.push(all.collect::<Vec<_>>().join(", "));
    }
    let [leaf, of] = words.leaf_of;
    parts.push(format!("{leaf} {} {of} {}", row.number, row.log.short()));
    parts.join("; ")
}

/// A time as people read it: to the second.
fn readable(time: &str) -> String {
    match time.split_once('T') {
        Some((day, clock)) if clock.len() >= 8 && clock.is_char_boundary(8) => format!("{day} {}", &clock[..8]),
        _ => time.to_owned(),
    }
}

fn overdue_text(words: &Words, witness: &Overdue) -> String {
    match witness.days {
        Some(days) => {
            let [who, since, unit] = words.not_signed_for;
            format!("{who} {} {since} {days} {unit}", witness.name)
        }
        None => format!("{} {} {}", words.never_signed[0], witness.name, words.never_signed[1]),
    }
}

/// Custody follows from the slots there are and the recoveries on record; it is never claimed.
fn holders(page: &mut String, words: &Words, begun: &Begun<'_>, custody: Option<&Custody>, changes: &[&Row]) {
    let _ = write!(page, "<h2>{}</h2>", words.custody);
    match custody {
        None => {
            let _ = write!(page, "<p>{}</p>", words.no_key);
        }
        Some(custody) => {
            page.push_str("<ul>");
            for slot in &custody.slots {
                let holder = if slot.holder.trim().is_empty() { words.not_stated } else { &slot.holder };
                let _ = write!(
                    page,
                    "<li>{} {}: {}</li>",
                    escaped(&words.of(&slot.kind)),
                    escaped(&slot.id),
                    escaped(holder)
                );
            }
            page.push_str("</ul>");
        }
    }
    if !changes.is_empty() {
        events(page, words, begun, words.changes, changes);
    }
}
