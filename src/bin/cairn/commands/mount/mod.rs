//! `cairn mount`: shows snapshots until somebody unmounts them.
//!
//! The process stays in the foreground. A signal unmounts; where files are still open, what they are open in is detached, so
//! that no dead mount is left behind, and whoever reads on gets an error. When somebody else unmounts, the run is over.

mod fuse;
mod point;

use crate::args::MountArgs;
use crate::commands::snapshots;
use crate::exit::{Exit, Failure, Result, chain};
use crate::failover::{self, Found};
use crate::output::shown;
use crate::record::{Beginning, Record};
use crate::run::{Need, Opened, Run};
use crate::{output, signals, values};
use cairn::audit::recorder;
use cairn::engine::browse::Snapshot;
use cairn::engine::mount::{MountOptions, MountView, Totals};
use cairn::progress::{Event, EventSink};
use cairn::repository::pack_reader::PackReader;
use cairn::repository::view::Damage;
use fuse::Adapter;
use fuser::{BackgroundSession, Config, INodeNo, MountOption, Session, SessionACL};
use rustix::mount::UnmountFlags;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Threads that take requests for names and directories, at least and at most.
const THREADS_MIN: usize = 4;
const THREADS_MAX: usize = 16;
/// How long the kernel may take to let go after a signal, before it is left to do so on its own.
const PATIENCE: Duration = Duration::from_secs(2);
/// What cannot be read is named up to this many times; then it is only counted.
const FAILURES_NAMED: u64 = 1000;

/// Says what cannot be read, as it happens.
#[derive(Debug)]
struct Sink {
    output: Arc<output::Output>,
    said: AtomicU64,
}

impl EventSink for Sink {
    fn event(&self, event: &Event<'_>) {
        let number = self.said.fetch_add(1, Relaxed);
        match event {
            _ if number > FAILURES_NAMED => {}
            _ if number == FAILURES_NAMED => self.output.warn("there is more that cannot be read; it is only counted"),
            Event::EntryFailed { path, message } => self.output.entry_failed(path, message),
            Event::Warning { path, message } => {
                self.output.warn(&format!("{}: {}", shown(path), shown(message.as_bytes())));
            }
            _ => {}
        }
    }
}

/// What is to be shown.
struct Shown {
    opened: Opened,
    snapshots: Vec<Snapshot>,
    /// The directory of the only one.
    path: Option<Vec<u8>>,
    first_site_failed: Option<String>,
    /// Whether there may be snapshots that are not shown, because they cannot be read.
    is_incomplete: bool,
}

/// Mounts, and waits until it is over.
pub(crate) fn run(run: &Run, args: &MountArgs) -> Result<Exit> {
    let mountpoint = point::check(run, &args.mountpoint)?;
    let shown = select(run, args)?;
    let only = shown.path.as_ref().and_then(|_| shown.snapshots.first()).map(|snapshot| snapshot.id.to_string());
    let beginning = Beginning {
        need: recorder::Need::Read,
        operation: "mount",
        purpose: &args.purpose,
        fields: json!({
            "snapshot": only,
            "snapshots": shown.snapshots.len(),
            "replica": Some(true).filter(|_| shown.first_site_failed.is_some()),
        }),
    };
    let record = run.begin(&shown.opened, beginning)?.beside(&mountpoint);
    let scope = shown.path.as_ref().filter(|path| !path.is_empty());
    let scope = scope.and_then(|path| record.token(&String::from_utf8_lossy(path)));
    let mut fields = json!({"scope_token": scope});
    let ended = serve(run, args, &mountpoint, &shown, &record, &mut fields);
    record.end(ended, fields)
}

fn select(run: &Run, args: &MountArgs) -> Result<Shown> {
    let filter = snapshots::filter(&args.filter)?;
    let site = args.site.site.as_deref();
    if let Some(name) = &args.snapshot {
        let (name, path) = snapshots::split(name)?;
        let Found { opened, snapshot, first_site_failed, may_be_older } =
            failover::open_snapshot(run, &name, &filter, site)?;
        let (snapshots, path, is_incomplete) = (vec![snapshot], Some(path), may_be_older);
        return Ok(Shown { opened, snapshots, path, first_site_failed, is_incomplete });
    }
    let at = failover::at_site(run, site)?;
    let with_hint = |failure| if site.is_none() { failover::with_replica_hint(run, failure) } else { failure };
    let opened = at.open(Need::Read).map_err(with_hint)?;
    let all = at.snapshots(&opened).map_err(with_hint)?;
    failover::note(run, &opened, &all);
    let snapshots: Vec<Snapshot> = all.matching(&filter).cloned().collect();
    if snapshots.is_empty() {
        let which = if all.all().is_empty() { "there are none" } else { "none fits the options" };
        run.output.warn(&format!("no snapshot of {} is shown: {which}", run.named(&opened)));
    }
    let is_incomplete = !all.damaged.is_empty();
    Ok(Shown { opened, snapshots, path: None, first_site_failed: None, is_incomplete })
}

fn make_view(run: &Run, shown: &Shown, record: &Record) -> Result<MountView> {
    let tried = |failure: Failure| failure.while_trying(format!("show {}", run.named(&shown.opened)));
    let repository = &shown.opened.repository;
    let view = repository.load_view_for_reading(Damage::Collect).map_err(|error| tried(error.into()))?;
    for error in &view.damaged {
        // Perhaps nothing of it is needed; if it is, that will be named.
        run.output.warn(&chain(error));
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    MountView::new(MountOptions {
        reader: Arc::new(PackReader::new(repository.clone(), Arc::new(view.index))),
        snapshots: shown.snapshots.clone(),
        path: shown.path.clone(),
        owner: (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw()),
        journal: record.journal(),
        sink: Arc::new(Sink { output: run.output.clone(), said: AtomicU64::new(0) }),
        memory_bytes: run.settings.memory_bytes,
        threads: cores.max(repository.fetch().request_cost().parallel).max(2),
    })
    .map_err(|error| tried(error.into()))
}

fn config(args: &MountArgs, threads: usize) -> Config {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName("cairn".into()),
        MountOption::Subtype("cairn".into()),
        MountOption::RO,
        MountOption::NoAtime,
        MountOption::NoDev,
        MountOption::NoSuid,
    ];
    if !args.no_default_permissions {
        config.mount_options.push(MountOption::DefaultPermissions);
    }
    config.acl = if args.allow_other { SessionACL::All } else { SessionACL::Owner };
    config.n_threads = Some(threads);
    config
}

fn serve(
    run: &Run,
    args: &MountArgs,
    mountpoint: &Path,
    shown: &Shown,
    record: &Record,
    fields: &mut Value,
) -> Result<Exit> {
    let begun = run.clock.elapsed();
    let view = Arc::new(make_view(run, shown, record)?);
    let broken = |error: std::io::Error| Failure::io("prepare to mount", &error);
    let (mut wakes, waker) = UnixStream::pair().map_err(broken)?;
    let adapter = Adapter::new(view.clone(), waker.try_clone().map_err(broken)?, !args.no_default_permissions);
    let parallel = shown.opened.repository.fetch().request_cost().parallel.clamp(THREADS_MIN, THREADS_MAX);
    // Before there is a mount that could be left behind.
    signals::wake(&waker).map_err(broken)?;
    let session = Session::new(adapter, mountpoint, &config(args, parallel))
        .map_err(|error| point::explain(mountpoint, &error))?;
    let notifier = session.notifier();
    let background = session.spawn().map_err(broken)?;
    let mount = point::mount_id(mountpoint);
    let names = view.names().clone();
    let thin_out = move || {
        while let Some(crowd) = names.crowd() {
            for (parent, name) in crowd {
                // What is in use stays, and what is gone already is no error.
                let _ = notifier.inval_entry(INodeNo(parent.0), OsStr::from_bytes(&name));
            }
        }
    };
    std::thread::Builder::new().name("thin-out".into()).spawn(thin_out).map_err(broken)?;

    // Whoever reads files need not read what is printed.
    say_mounted(run, shown, mountpoint)
        .or_else(|failure| if failure.is_broken_pipe() { Ok(()) } else { Err(failure) })?;
    let mut byte = [0];
    // An error would be a broken descriptor: then to end is right, too.
    let _ = wakes.read_exact(&mut byte);
    let ended = if byte == *b"e" { was_ended(background, mountpoint, mount) } else { end(run, background, mountpoint) };
    view.names().close();
    let totals = view.names().totals();
    for (name, count) in [("files", totals.files_opened), ("files_failed", totals.failed), ("bytes", totals.bytes_read)]
    {
        fields[name] = count.into();
    }
    ended?;
    match say_ended(run, shown, mountpoint, totals, run.clock.elapsed().saturating_sub(begun)) {
        Err(failure) if !failure.is_broken_pipe() => Err(failure),
        _ if totals.damaged > 0 || shown.is_incomplete => Ok(Exit::Damage),
        _ if totals.failed > 0 => Ok(Exit::Incomplete),
        _ => Ok(Exit::Done),
    }
}

/// Unmounts after a signal.
fn end(run: &Run, background: BackgroundSession, mountpoint: &Path) -> Result<()> {
    let (say, said) = std::sync::mpsc::channel();
    let unmount = move || drop(say.send(background.umount_and_join()));
    let thread = std::thread::Builder::new().name("unmount".into()).spawn(unmount);
    let in_use = || {
        let text = format!(
            "{} is in use; it is gone from there, and what is open in it cannot be read any more",
            mountpoint.display()
        );
        run.output.note(&text);
    };
    match thread.map(|_| said.recv_timeout(PATIENCE)) {
        Ok(Ok(Ok(()))) => Ok(()),
        // Gone from the tree of files, and waiting for those who have it open: they wait no longer than this process lives.
        Ok(Err(_)) => {
            in_use();
            Ok(())
        }
        Ok(Ok(Err(_))) | Err(_) => {
            in_use();
            detach(mountpoint)
        }
    }
}

/// Takes it out of the tree of files although somebody is in it.
fn detach(mountpoint: &Path) -> Result<()> {
    rustix::mount::unmount(mountpoint, UnmountFlags::DETACH).map_err(|error| {
        Failure::io(format!("unmount {}", mountpoint.display()), &error.into())
            .with_hint(format!("`umount -l {}` takes it away", mountpoint.display()))
    })
}

/// The kernel asks for nothing more: somebody else has unmounted it.
fn was_ended(background: BackgroundSession, mountpoint: &Path, mount: Option<u64>) -> Result<()> {
    // It would unmount whatever is at the mount point now.
    std::mem::forget(background);
    if mount.is_none_or(|id| !point::is_mounted(id)) {
        return Ok(());
    }
    detach(mountpoint)?;
    let message = format!("the kernel has ended the connection to the mount on {}", mountpoint.display());
    Err(Failure::new(Exit::Failed, "mount-lost", message, "mount it again; `dmesg` may say more"))
}

fn say_mounted(run: &Run, shown: &Shown, mountpoint: &Path) -> Result<()> {
    let count = values::count(shown.snapshots.len() as u64, "snapshot", "snapshots");
    let mountpoint = mountpoint.display();
    let unmount = if rustix::process::getuid().is_root() { "umount" } else { "fusermount3 -u" };
    run.output.object(&json!({
        "message_type": "mounted",
        "mountpoint": mountpoint.to_string(),
        "snapshots": shown.snapshots.len(),
        "repository_id": shown.opened.id().to_string(),
    }))?;
    let text =
        format!("{count} of {} on {mountpoint}; `{unmount} {mountpoint}` or Ctrl-C ends it", run.named(&shown.opened));
    run.output.text(&text)
}

fn say_ended(run: &Run, shown: &Shown, mountpoint: &Path, totals: Totals, duration: Duration) -> Result<()> {
    run.output.object(&json!({
        "message_type": "summary",
        "mountpoint": mountpoint.to_string_lossy(),
        "snapshots": shown.snapshots.len(),
        "files_opened": totals.files_opened,
        "bytes_read": totals.bytes_read,
        "entries_failed": totals.failed,
        "entries_damaged": totals.damaged,
        "total_duration_s": duration.as_secs_f64(),
        "repository_id": shown.opened.id().to_string(),
        "repository": shown.opened.location.to_string(),
        "first_site_failed": shown.first_site_failed,
    }))?;
    run.output.text(&format!(
        "unmounted {}: {} opened, {} read, {} failed",
        mountpoint.display(),
        values::count(totals.files_opened, "file", "files"),
        values::size(totals.bytes_read),
        totals.failed,
    ))
}
