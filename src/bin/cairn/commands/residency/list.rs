//! `cairn residency list`: the table that is built in, and what was declared on this host.

use crate::exit::{Exit, Result};
use crate::output::{shown, wrapped};
use crate::run::Run;
use crate::sites;
use crate::values::time_seconds;
use cairn::residency::table::row::{Grade, Row};
use cairn::residency::{Declaration, table};
use serde_json::{Value, json};

/// Lists the sites.
pub(crate) fn run(run: &Run) -> Result<Exit> {
    let (declared, failures) = sites::load_all(&run.state);
    for failure in &failures {
        run.output.warn(&failure.message);
    }
    let mut results = run.output.results();
    if run.output.is_json() {
        let rows = table::rows().map(row_object);
        let declared = declared.iter().map(|signed| {
            let mut object = sites::object(signed);
            object["id"] = object["name"].clone();
            object["class"] = "declare".into();
            object["declared_by"] = signed.host.to_string().into();
            object
        });
        results.line(&Value::from(rows.chain(declared).collect::<Vec<_>>()).to_string())?;
        results.finish()?;
        return Ok(Exit::Done);
    }
    let mut lines: Vec<[String; 7]> =
        table::rows().map(row_line).chain(declared.iter().map(|signed| declared_line(&signed.declaration))).collect();
    let head = ["ID", "PLACE", "CLASS", "OPERATOR", "LAW", "US PARENT", "SOURCE"].map(str::to_owned);
    let width =
        |column: usize| lines.iter().chain([&head]).map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let total = widths.iter().map(|width| width + 2).sum::<usize>() - 2;
    if let Some(columns) = run.output.columns().filter(|columns| *columns < total) {
        for [id, place, class, operator, law, parent, source] in &lines {
            let details = format!("  {operator}; law: {law}; parent in the United States: {parent}; {source}");
            results.line(&wrapped(&format!("{id:<36}  {class:<7}  {place}"), columns))?;
            results.line(&wrapped(&details, columns))?;
        }
        lines.clear();
    } else {
        lines.insert(0, head);
    }
    for line in &lines {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        results.line(cells.join("  ").trim_end())?;
    }
    results.line(&format!(
        "{} sites built in (table of {}), {} declared on this host. Places are what operators state.",
        table::rows().count(),
        table::version().compiled,
        declared.len()
    ))?;
    results.finish()?;
    Ok(Exit::Done)
}

fn grade(grade: Grade) -> &'static str {
    match grade {
        Grade::Primary => "primary",
        Grade::Tool => "tool",
        Grade::Public => "public",
    }
}

fn answer(known: Option<bool>) -> &'static str {
    match known {
        Some(true) => "yes",
        Some(false) => "no",
        None => "unknown",
    }
}

fn row_line(row: &Row) -> [String; 7] {
    let province = if row.province.is_empty() { "province unknown" } else { row.province };
    let class = if row.off.is_some() { "off".to_owned() } else { row.class.name().to_owned() };
    [
        row.id(),
        format!("{} ({province})", row.city),
        class,
        row.operator.to_owned(),
        row.jurisdiction.to_owned(),
        answer(row.us_parent).to_owned(),
        grade(row.grade).to_owned(),
    ]
}

fn declared_line(declaration: &Declaration) -> [String; 7] {
    let d = declaration;
    let date = time_seconds(d.declared);
    [
        d.name.clone(),
        shown(format!("{} ({})", d.city, d.province).as_bytes()),
        "declare".to_owned(),
        shown(d.operator.as_bytes()),
        shown(d.jurisdiction.as_bytes()),
        answer(d.us_parent).to_owned(),
        shown(format!("declared by {} on {}", d.signed_by, date.split('T').next().unwrap_or_default()).as_bytes()),
    ]
}

fn row_object(row: &Row) -> Value {
    json!({
        "id": row.id(),
        "endpoint": row.hosts.first().map(|host| format!("https://{host}")),
        "hosts": row.hosts,
        "region": row.region,
        "city": row.city,
        "province": (!row.province.is_empty()).then_some(row.province),
        "class": row.class.name(),
        "off": row.off,
        "operator": row.operator,
        "jurisdiction": row.jurisdiction,
        "us_parent": row.us_parent,
        "grade": grade(row.grade),
        "evidence": row.evidence,
    })
}
