//! `cairn generate`: manual pages and completions, made from the definitions that parse the command line.

use crate::args::{Cli, GenerateCommand};
use crate::commands::{complete, exit_status};
use crate::exit::{Exit, Failure, Result};
use crate::output::Output;
use crate::values;
use clap::CommandFactory as _;
use serde_json::json;
use std::path::Path;

/// Makes what is asked for.
pub(crate) fn run(command: &GenerateCommand, output: &Output) -> Result<Exit> {
    match command {
        GenerateCommand::Man { output: directory } => man(directory, output),
        GenerateCommand::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "cairn", &mut script);
            script.extend_from_slice(complete::script(*shell).as_bytes());
            let mut results = output.results();
            results.raw(&script)?;
            results.finish()?;
            Ok(Exit::Done)
        }
    }
}

fn man(directory: &Path, output: &Output) -> Result<Exit> {
    std::fs::create_dir_all(directory)
        .map_err(|error| Failure::io(format!("create directory {}", directory.display()), &error))?;
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut pages = 0;
    write_pages(&command, directory, &mut pages)?;
    output.text(&format!(
        "{} written to {}",
        values::count(pages, "manual page", "manual pages"),
        directory.display()
    ))?;
    output.object(&json!({"message_type": "summary", "pages": pages, "directory": directory.to_string_lossy()}))?;
    Ok(Exit::Done)
}

fn write_pages(command: &clap::Command, directory: &Path, pages: &mut u64) -> Result<()> {
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        write_pages(subcommand, directory, pages)?;
    }
    let page = clap_mangen::Man::new(command.clone());
    let path = directory.join(page.get_filename());
    let written = render(&page, command).and_then(|text| std::fs::write(&path, text));
    *pages += 1;
    written.map_err(|error| Failure::io(format!("write {}", path.display()), &error))
}

fn render(page: &clap_mangen::Man, command: &clap::Command) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    if command.has_subcommands() {
        page.render_subcommands_section(&mut text)?;
    }
    if command.get_after_long_help().is_some() {
        page.render_extra_section(&mut text)?;
    }
    text.extend_from_slice(exit_status::section(command.get_display_name().unwrap_or(command.get_name())).as_bytes());
    Ok(text)
}
