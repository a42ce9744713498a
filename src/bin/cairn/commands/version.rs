//! `cairn version`.

use crate::exit::{Exit, Result};
use crate::output::Output;
use serde_json::json;

/// Prints the versions.
pub(crate) fn run(output: &Output) -> Result<Exit> {
    let version = env!("CARGO_PKG_VERSION");
    let format = cairn::format::envelope::VERSION;
    output.text(&format!("cairn {version}, repository format {format}"))?;
    output.object(&json!({"message_type": "summary", "version": version, "format_version": format}))?;
    Ok(Exit::Done)
}
