//! `cairn audit show` and `export`: what the leaves say, for people and for programs.

use super::gather::gather;
use crate::args::{AuditShowArgs, ExportArgs, ExportFormat};
use crate::exit::{Exit, Result};
use crate::output::{Results, shown};
use crate::run::Run;
use crate::values;
use cairn::audit::leaf::base64;
use cairn::id::LogId;
use serde_json::{Value, json};

/// One leaf.
pub(super) struct Row {
    /// Its log.
    pub(super) log: LogId,
    /// Its number there.
    pub(super) number: usize,
    /// Its hash, base64.
    pub(super) hash: String,
    /// What it says.
    pub(super) said: Value,
    /// Its bytes.
    pub(super) line: Vec<u8>,
}

impl Row {
    /// A field as text; empty if it is not there.
    pub(super) fn text(&self, field: &str) -> &str {
        self.said[field].as_str().unwrap_or_default()
    }

    fn is_about(&self, types: &[&str]) -> bool {
        types.contains(&self.text("type"))
    }

    /// What is beside the common fields.
    fn details(&self) -> String {
        let common = ["v", "t", "run", "type", "res"];
        let fields = self.said.as_object().into_iter().flatten().filter(|(name, _)| !common.contains(&name.as_str()));
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        fields.map(|(name, value)| format!("{name}={}", text(value))).collect::<Vec<_>>().join(" ")
    }
}

/// Leaves that tell of content being sent.
pub(super) const TRANSMITTED: [&str; 2] = ["snapshot.prepared", "snapshot.committed"];
/// Leaves that tell of content being recovered.
pub(super) const RECOVERED: [&str; 1] = ["content.recovered"];

/// All leaves of all logs by time, and how many faults there are.
pub(super) fn rows(run: &Run) -> Result<(Vec<Row>, usize)> {
    let logs = gather(run)?.verify(&[]);
    let faults = logs.values().map(|log| log.findings.len()).sum();
    let mut rows = Vec::new();
    for (id, log) in &logs {
        for (number, (leaf, hash)) in log.leaves.iter().zip(&log.hashes).enumerate() {
            let Ok(said) = serde_json::from_slice(leaf) else { continue };
            rows.push(Row { log: *id, number, hash: base64(hash), said, line: leaf.clone() });
        }
    }
    rows.sort_by(|a, b| (a.text("t"), a.log, a.number).cmp(&(b.text("t"), b.log, b.number)));
    Ok((rows, faults))
}

fn warn_of(run: &Run, faults: usize) -> Exit {
    if faults == 0 {
        return Exit::Done;
    }
    let faults = values::count(faults as u64, "fault", "faults");
    run.output.warn(&format!("the log does not verify ({faults}): `cairn audit verify` says more"));
    Exit::LogUnverified
}

/// Shows what was done.
pub(super) fn show(run: &Run, args: &AuditShowArgs) -> Result<Exit> {
    let (mut rows, faults) = rows(run)?;
    if args.transmitted {
        rows.retain(|row| row.is_about(&TRANSMITTED));
    }
    if args.recovered {
        rows.retain(|row| row.is_about(&RECOVERED));
    }
    let mut results = run.output.results();
    if run.output.is_json() {
        let all: Vec<Value> = rows.iter().map(object).collect();
        results.line(&Value::from(all).to_string())?;
        results.finish()?;
        return Ok(warn_of(run, faults));
    }
    for row in &rows {
        let time = row.text("t").get(..19).unwrap_or_default();
        let line = format!("{time}Z  {:<7}  {:<19}  {}", row.text("res"), row.text("type"), row.details());
        results.line(shown(line.as_bytes()).trim_end())?;
    }
    results.finish()?;
    Ok(warn_of(run, faults))
}

fn object(row: &Row) -> Value {
    json!({"log": row.log.to_string(), "leaf": row.number, "leaf_hash": row.hash, "event": row.said})
}

/// Prints all leaves.
pub(super) fn export(run: &Run, args: &ExportArgs) -> Result<Exit> {
    let (rows, faults) = rows(run)?;
    let mut results = run.output.results();
    match args.format {
        ExportFormat::Jsonl => rows.iter().try_for_each(|row| results.line(&object(row).to_string()))?,
        ExportFormat::Csv => csv(&mut results, &rows)?,
        ExportFormat::Syslog => rows.iter().try_for_each(|row| results.line(&syslog(row)))?,
    }
    results.finish()?;
    Ok(warn_of(run, faults))
}

/// A field of RFC 4180. What a spreadsheet would take for a formula is text.
fn quoted(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

fn csv(results: &mut Results<'_>, rows: &[Row]) -> Result<()> {
    results.raw(b"time,log,leaf,leaf_hash,run,type,result,op,purpose,snapshot,files,bytes,details\r\n")?;
    for row in rows {
        let number = |names: [&str; 2]| {
            let value = names.iter().find_map(|name| row.said[*name].as_u64());
            value.map_or_else(String::new, |number| number.to_string())
        };
        let fields = [
            quoted(row.text("t")),
            quoted(&row.log.to_string()),
            row.number.to_string(),
            quoted(&row.hash),
            quoted(row.text("run")),
            quoted(row.text("type")),
            quoted(row.text("res")),
            quoted(row.text("op")),
            quoted(row.text("purpose")),
            quoted(row.text("snapshot")),
            number(["files_count", "files"]),
            number(["bytes", "bytes_stored"]),
            quoted(&String::from_utf8_lossy(&row.line)),
        ];
        results.raw(fields.join(",").as_bytes())?;
        results.raw(b"\r\n")?;
    }
    Ok(())
}

/// A message of RFC 5424: facility "log audit" (13), notice or, for what did not end well, warning. The number 32473 stands for
/// enterprises without one (RFC 5612).
fn syslog(row: &Row) -> String {
    let priority = 13 * 8 + if row.text("res") == "ok" { 5 } else { 4 };
    let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace(']', "\\]");
    let pairs = [
        ("log", row.log.to_string()),
        ("leaf", row.number.to_string()),
        ("hash", row.hash.clone()),
        ("run", row.text("run").to_owned()),
        ("res", row.text("res").to_owned()),
    ];
    let data: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    let name = row.text("type").replace(|c: char| !c.is_ascii_graphic(), "_");
    let message = String::from_utf8_lossy(&row.line);
    format!("<{priority}>1 {} - cairn - {name} [cairn@32473 {}] {message}", row.text("t"), data.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        let said =
            json!({"v": 1, "t": "2026-11-22T10:00:00.000Z", "type": "run.started", "res": "fail", "op": "=a\"b"});
        Row { log: LogId::from_bytes([1; 16]), number: 7, hash: "h]=".into(), line: said.to_string().into(), said }
    }

    #[test]
    fn fields_cannot_break_out_of_their_format() {
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
        assert_eq!(quoted("=1+1"), "\"'=1+1\"");
        let line = syslog(&row());
        assert!(
            line.starts_with("<108>1 2026-11-22T10:00:00.000Z - cairn - run.started [cairn@32473 log=\""),
            "{line}"
        );
        assert!(line.contains("hash=\"h\\]=\""), "{line}");
        assert_eq!(row().details(), "op==a\"b");
    }
}
