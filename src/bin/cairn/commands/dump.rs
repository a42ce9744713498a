//! `cairn dump`.

use crate::args::{ArchiveArg, DumpArgs};
use crate::commands::snapshots;
use crate::exit::{Exit, Failure, Result};
use crate::failover::{self, Found};
use crate::progress::{Progress, finish, say_list};
use crate::record::{Beginning, Record};
use crate::run::Run;
use crate::settings::absolute;
use crate::values;
use cairn::audit::recorder::Need;
use cairn::engine::EngineError;
use cairn::engine::dump::{self, Archive, DumpOptions, DumpReport};
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Bytes that are collected before they are written.
const BUFFER_LEN: usize = 1 << 17;

/// Gives out what is at a path.
pub(crate) fn run(run: &Run, args: &DumpArgs) -> Result<Exit> {
    let (name, inside) = snapshots::split(&args.snapshot)?;
    let filter = snapshots::filter(&args.filter)?;
    let (base, path) = match &args.what {
        Some(path) => (inside, path.as_os_str().as_bytes().to_vec()),
        None => (inside, Vec::new()),
    };
    let target = args.target.as_deref().map(checked_target).transpose()?;
    let options = DumpOptions {
        base,
        path,
        archive: match args.archive {
            ArchiveArg::Tar => Archive::Tar,
            ArchiveArg::Zip => Archive::Zip,
        },
        no_archive: target.is_none() && run.output.is_terminal(),
        purpose: args.purpose.clone(),
    };
    let found = failover::open_snapshot(run, &name, &filter, args.site.site.as_deref())?;
    let beginning = Beginning {
        need: Need::Read,
        operation: "dump",
        purpose: &args.purpose,
        fields: json!({
            "snapshot": found.snapshot.id.to_string(),
            "replica": Some(true).filter(|_| found.first_site_failed.is_some()),
        }),
    };
    let mut record = run.begin(&found.opened, beginning)?;
    if let Some(target) = &target {
        record = record.beside(target);
    }
    let whole = [&options.base[..], b"/", &options.path].concat();
    let scope = record.token(&String::from_utf8_lossy(&whole)).filter(|_| whole.iter().any(|byte| *byte != b'/'));
    let mut fields = json!({"scope_token": scope});
    let ended = give_out(run, args, (&options, target.as_deref()), &found, &record, &mut fields);
    record.end(ended, fields)
}

/// The absolute target, if a file can be put there.
fn checked_target(path: &Path) -> Result<PathBuf> {
    let target = absolute(path)?;
    let hint = "name a file that is to be made or replaced; without --target the content goes to standard output";
    let refused = |what: &str| Failure::usage(format!("--target {}: {what}", path.display()), hint);
    match target.symlink_metadata() {
        // A rename would put a file in place of a device or a link.
        Ok(metadata) if !metadata.is_file() => Err(refused("it is there and is no regular file")),
        Ok(_) => Ok(target),
        Err(error) if error.kind() == ErrorKind::NotFound && target.file_name().is_some() => Ok(target),
        Err(error) => Err(refused(&error.to_string())),
    }
}

/// A file that is not under its name until it is whole, and is removed if it never is.
struct NewTarget {
    temporary: PathBuf,
    target: PathBuf,
    is_whole: bool,
}

impl NewTarget {
    fn create(target: &Path) -> Result<(Self, File)> {
        let mut name = std::ffi::OsString::from(".");
        name.push(target.file_name().unwrap_or_default());
        name.push(format!(".cairn-{}", std::process::id()));
        let temporary = target.with_file_name(name);
        // Nobody else is to read what only its owner could in the snapshot.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
        let file = file.map_err(|error| Failure::io(format!("create {}", temporary.display()), &error))?;
        Ok((Self { temporary, target: target.to_owned(), is_whole: false }, file))
    }

    /// Puts it under its name, durably.
    fn finish(mut self, file: &File) -> Result<()> {
        let folder = self.target.parent().unwrap_or(Path::new("/"));
        let put = file
            .sync_all()
            .and_then(|()| std::fs::rename(&self.temporary, &self.target))
            .inspect(|()| self.is_whole = true)
            .and_then(|()| File::open(folder)?.sync_all());
        put.map_err(|error| Failure::io(format!("write {}", self.target.display()), &error))
    }
}

impl Drop for NewTarget {
    fn drop(&mut self) {
        if !self.is_whole {
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

fn give_out(
    run: &Run,
    args: &DumpArgs,
    (options, target): (&DumpOptions, Option<&Path>),
    found: &Found,
    record: &Record,
    fields: &mut Value,
) -> Result<Exit> {
    let Found { opened, snapshot, may_be_older, .. } = found;
    let what = args.what.as_ref().map_or(String::new(), |path| format!(" {}", path.display()));
    let to = target.map_or("standard output".into(), |target| target.display().to_string());
    let tried = || format!("dump {}{what} of {} to {to}", args.snapshot.display(), run.named(opened));
    // Standard output is for the content alone: no bar is drawn over it, and no status stands in it.
    let is_in_the_way = target.is_none() && (run.output.is_terminal() || run.output.is_json());
    let fps = if is_in_the_way { 0.0 } else { run.settings.fps };
    let progress = Progress::start(&run.output, &run.state, fps);
    let context = run.context(opened, progress.sink(), record.journal());
    let result = match target {
        Some(target) => {
            let (new, file) = NewTarget::create(target).map_err(|failure| failure.while_trying(tried()))?;
            let mut out = BufWriter::with_capacity(BUFFER_LEN, file);
            let result = dump::run(&context, snapshot, options, &mut out);
            result.map_err(Failure::from).and_then(|report| new.finish(out.get_ref()).map(|()| report))
        }
        None => {
            let mut out = BufWriter::with_capacity(BUFFER_LEN, std::io::stdout().lock());
            let result = dump::run(&context, snapshot, options, &mut out as &mut dyn Write);
            result.map_err(of_standard_output)
        }
    };
    let report = match result {
        Ok(report) => report,
        Err(failure) => {
            drop(progress);
            let failure = failure.while_trying(tried());
            return Err(match failure.kind {
                "interrupted" | "transient" => failure.with_hint("what was written is not whole; run the same command again"),
                "damage" => failure.with_hint(
                    "what was written is not whole: `cairn restore` brings back what is not damaged; `cairn check` says how far the damage goes",
                ),
                _ => failure,
            });
        }
    };
    for (name, count) in [("files", report.files), ("files_failed", report.left_out), ("bytes", report.bytes)] {
        fields[name] = count.into();
    }
    let list = finish(run, progress, &format!("dump-{}-{}", snapshot.id, std::process::id()));
    if report.left_out > 0 {
        say_list(&run.output, report.left_out, list.as_deref());
    }
    say(run, found, &report, target, list.as_deref())?;
    Ok(if *may_be_older {
        Exit::Damage
    } else if report.left_out > 0 {
        Exit::Incomplete
    } else {
        Exit::Done
    })
}

/// A dump to nobody is not done, unlike a list that nobody wants the end of.
fn of_standard_output(error: EngineError) -> Failure {
    match error {
        EngineError::Output(error) if error.kind() == ErrorKind::BrokenPipe => Failure::new(
            Exit::Failed,
            "output-closed",
            "whoever reads standard output went away before the end",
            "what was written is not whole; look at the program that reads it",
        ),
        EngineError::Output(error) => Failure::stdout(&error),
        error => error.into(),
    }
}

/// Standard output has the content, so what came of it goes where it is not in the way.
fn say(run: &Run, found: &Found, report: &DumpReport, target: Option<&Path>, list: Option<&Path>) -> Result<()> {
    let form = match report.archive {
        None => "file",
        Some(Archive::Tar) => "tar",
        Some(Archive::Zip) => "zip",
    };
    let summary = json!({
        "message_type": "summary",
        "snapshot_id": report.snapshot.to_string(),
        "format": form,
        "files_dumped": report.files,
        "hard_links": report.hard_links,
        "dirs_dumped": report.directories,
        "others_dumped": report.others,
        "bytes_dumped": report.bytes,
        "sockets_skipped": report.sockets_skipped,
        "files_failed": report.left_out,
        "failed_list": list.map(Path::to_string_lossy),
        "total_duration_s": report.duration.as_secs_f64(),
        "repository_id": found.opened.id().to_string(),
        "repository": found.opened.location.to_string(),
        "target": target.map(Path::to_string_lossy),
        "first_site_failed": found.first_site_failed,
    });
    let text = format!(
        "snapshot {} dumped as {form}: {}, {}, {} in {}",
        report.snapshot.short(),
        values::count(report.files, "file", "files"),
        values::count(report.directories, "directory", "directories"),
        values::size(report.bytes),
        values::duration(report.duration),
    );
    match target {
        Some(target) => {
            run.output.object(&summary)?;
            run.output.text(&format!("{text}; {}", target.display()))
        }
        None if run.output.is_json() => {
            run.output.object_aside(&summary);
            Ok(())
        }
        None => {
            run.output.info(&text);
            Ok(())
        }
    }
}
