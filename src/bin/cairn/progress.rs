//! Progress of an operation: takes its events, counts, and has a thread draw a bar or print status objects; and writes the
//! list of all entries that failed.

use crate::exit::{Failure, Result};
use crate::output::{Output, put_path, shown};
use crate::run::Run;
use crate::state::State;
use crate::values;
use cairn::clock::{Clock, SystemClock};
use cairn::progress::{Event, EventSink};
use serde_json::json;
use std::collections::HashSet;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Failures that are named; the list file has all.
pub(crate) const FAILURES_NAMED: u64 = 20;
/// Narrower or unknown terminals are taken to have so many columns.
const COLUMNS_DEFAULT: usize = 80;
/// The rate is that of about so many seconds.
const RATE_SECONDS: f64 = 10.0;

/// Counts of an operation that runs.
#[derive(Debug)]
pub(crate) struct Progress {
    output: Arc<Output>,
    clock: SystemClock,
    bytes_moved: AtomicU64,
    bytes_done: AtomicU64,
    entries_done: AtomicU64,
    entries_total: AtomicU64,
    bytes_total: AtomicU64,
    failed: AtomicU64,
    attributes_lost: AtomicU64,
    warned: AtomicU64,
    current: Mutex<Vec<u8>>,
    list: Mutex<FailureList>,
    /// Whether to end, and how the thread is told.
    end: (Mutex<bool>, Condvar),
    wants_paths: bool,
}

impl Progress {
    /// Starts counting, and drawing if `fps` says so.
    pub(crate) fn start(output: &Arc<Output>, state: &State, fps: f64) -> Shown {
        let draws = fps > 0.0 && (output.has_bar() || output.is_json());
        let progress = Arc::new(Self {
            output: output.clone(),
            clock: SystemClock::new(),
            bytes_moved: AtomicU64::new(0),
            bytes_done: AtomicU64::new(0),
            entries_done: AtomicU64::new(0),
            entries_total: AtomicU64::new(0),
            bytes_total: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            attributes_lost: AtomicU64::new(0),
            warned: AtomicU64::new(0),
            current: Mutex::new(Vec::new()),
            list: Mutex::new(FailureList { directory: state.clone(), seen: HashSet::new(), open: None, lost: false }),
            end: (Mutex::new(false), Condvar::new()),
            wants_paths: draws || output.verbosity() > 1,
        });
        let period = Duration::try_from_secs_f64(1.0 / fps).unwrap_or(Duration::MAX);
        let thread = draws.then(|| {
            let progress = progress.clone();
            std::thread::Builder::new().name("progress".into()).spawn(move || progress.run(period)).ok()
        });
        Shown { progress, thread: thread.flatten() }
    }

    fn run(&self, period: Duration) {
        let mut rate = Rate::default();
        let mut ended = self.end.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            ended = self.end.1.wait_timeout(ended, period).unwrap_or_else(PoisonError::into_inner).0;
            if *ended {
                break;
            }
            let counts = self.counts();
            rate.update(self.clock.elapsed().as_secs_f64(), counts.bytes_done);
            if self.output.is_json() {
                // Whoever reads the results will notice the same error there.
                let _ = self.output.object(&counts.to_json(self.clock.elapsed()));
            } else {
                let columns =
                    rustix::termios::tcgetwinsize(std::io::stderr()).map_or(0, |size| usize::from(size.ws_col));
                let columns = if columns == 0 { COLUMNS_DEFAULT } else { columns };
                self.output.draw_bar(Some(&counts.bar(rate.per_second, columns)));
            }
        }
    }

    fn counts(&self) -> Counts {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        // An entry counts when it is done, its bytes as they move: the larger of both is how far it is.
        Counts {
            bytes_done: get(&self.bytes_done).max(get(&self.bytes_moved)),
            bytes_total: get(&self.bytes_total),
            entries_done: get(&self.entries_done),
            entries_total: get(&self.entries_total),
            failed: get(&self.failed),
            current: self.current.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

impl EventSink for Progress {
    fn event(&self, event: &Event<'_>) {
        let add = |count: &AtomicU64, by: u64| count.fetch_add(by, Ordering::Relaxed);
        match event {
            Event::EntryStarted { path } if self.wants_paths => {
                let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
                current.clear();
                current.extend_from_slice(path);
                drop(current);
                if self.output.verbosity() > 1 {
                    self.output.detail(&shown(path));
                }
            }
            Event::Bytes { count } => {
                add(&self.bytes_moved, *count);
            }
            Event::EntryDone { size, .. } => {
                add(&self.entries_done, 1);
                add(&self.bytes_done, *size);
            }
            Event::Total { entries, bytes } => {
                self.entries_total.store(*entries, Ordering::Relaxed);
                self.bytes_total.store(*bytes, Ordering::Relaxed);
            }
            Event::EntryFailed { path, message } => {
                let is_new = self.list.lock().unwrap_or_else(PoisonError::into_inner).add(path, message);
                if is_new && add(&self.failed, 1) < FAILURES_NAMED {
                    self.output.entry_failed(path, message);
                }
            }
            Event::EntryPlanned { path, unchanged } => {
                let what = if *unchanged { "would leave" } else { "would restore" };
                self.output.info(&format!("{what} {}", shown(path)));
            }
            Event::EntryRemoved { path, dry_run: true } => self.output.note(&format!("would remove {}", shown(path))),
            Event::EntryRemoved { path, dry_run: false } => self.output.info(&format!("removed {}", shown(path))),
            Event::AttributeLost { path, message } => {
                self.list.lock().unwrap_or_else(PoisonError::into_inner).write(path, message);
                if add(&self.attributes_lost, 1) < FAILURES_NAMED {
                    self.output.warn(&shown(message.as_bytes()));
                }
            }
            Event::Warning { path, message } => {
                let text = if path.is_empty() { String::new() } else { format!("{}: ", shown(path)) };
                let text = format!("{text}{}", shown(message.as_bytes()));
                if add(&self.warned, 1) < FAILURES_NAMED { self.output.warn(&text) } else { self.output.info(&text) }
            }
            Event::SessionOpened { session, adopted_packs } => {
                self.output
                    .info(&format!("session {session} opened, {adopted_packs} packs of interrupted runs taken over"));
            }
            Event::SnapshotCommitted { session, checkpoint: true, .. } => {
                self.output.info(&format!("checkpoint {session} committed"));
            }
            _ => {}
        }
    }
}

/// Progress that is shown until it is dropped or finished.
#[derive(Debug)]
pub(crate) struct Shown {
    progress: Arc<Progress>,
    thread: Option<JoinHandle<()>>,
}

impl Shown {
    /// Where the operation sends its events.
    pub(crate) fn sink(&self) -> Arc<dyn EventSink> {
        self.progress.clone()
    }

    /// Ends the display. If anything failed, says how much, and names the list of all, which gets `name`.
    fn finish(mut self, name: &str) -> Result<Option<PathBuf>> {
        self.stop();
        let (failed, warned) = (&self.progress.failed, &self.progress.warned);
        let (failed, warned) = (failed.load(Ordering::Relaxed), warned.load(Ordering::Relaxed));
        if warned > FAILURES_NAMED {
            self.progress.output.warn(&format!("{} more warnings; -v shows them", warned - FAILURES_NAMED));
        }
        if failed == 0 && self.progress.attributes_lost.load(Ordering::Relaxed) == 0 {
            return Ok(None);
        }
        self.progress.list.lock().unwrap_or_else(PoisonError::into_inner).finish(name)
    }

    fn stop(&mut self) {
        *self.progress.end.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.progress.end.1.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
            if self.progress.output.has_bar() {
                self.progress.output.draw_bar(None);
            }
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The list of all entries that failed, written as they fail.
#[derive(Debug)]
struct FailureList {
    directory: State,
    /// Hashes of the paths that are in it: after a checkpoint the same entry fails again.
    seen: HashSet<[u8; 32]>,
    open: Option<(PathBuf, BufWriter<File>)>,
    lost: bool,
}

impl FailureList {
    /// Returns whether it is the first failure of this path.
    fn add(&mut self, path: &[u8], message: &str) -> bool {
        if !self.seen.insert(*blake3::hash(path).as_bytes()) {
            return false;
        }
        self.write(path, message);
        true
    }

    fn write(&mut self, path: &[u8], message: &str) {
        if self.lost {
            return;
        }
        if self.open.is_none() {
            self.open = self.create();
        }
        let line = format!("{}\t{}\n", shown(path), shown(message.as_bytes()));
        let written = self.open.as_mut().is_some_and(|(_, file)| file.write_all(line.as_bytes()).is_ok());
        self.lost = !written;
    }

    fn create(&self) -> Option<(PathBuf, BufWriter<File>)> {
        let directory = self.directory.directory("failed").ok()?;
        let path = directory.join(format!(".list-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CREATE | rustix::fs::OFlags::EXCL;
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        let file = rustix::fs::open(&path, flags | rustix::fs::OFlags::CLOEXEC, mode).ok()?;
        Some((path, BufWriter::new(File::from(file))))
    }

    /// Gives the list its name. `None` when it could not be kept.
    fn finish(&mut self, name: &str) -> Result<Option<PathBuf>> {
        let Some((temporary, mut file)) = self.open.take() else { return Ok(None) };
        let path = temporary.with_file_name(format!("{name}.txt"));
        let kept = file.flush().and_then(|()| std::fs::rename(&temporary, &path));
        match kept {
            Ok(()) if !self.lost => Ok(Some(path)),
            Ok(()) => Ok(None),
            Err(error) => Err(Failure::io(format!("write the list of failures {}", path.display()), &error)),
        }
    }
}

impl Drop for FailureList {
    fn drop(&mut self) {
        if let Some((temporary, _)) = self.open.take() {
            let _ = std::fs::remove_file(temporary);
        }
    }
}

/// Bytes a second, smoothed.
#[derive(Debug, Default)]
struct Rate {
    at: f64,
    bytes: u64,
    per_second: f64,
}

impl Rate {
    fn update(&mut self, now: f64, bytes: u64) {
        let passed = now - self.at;
        if passed <= 0.0 {
            return;
        }
        let current = bytes.saturating_sub(self.bytes) as f64 / passed;
        // At the start the average of all so far, later of about the last seconds.
        let weight = (passed / now.min(RATE_SECONDS)).clamp(0.0, 1.0);
        self.per_second += (current - self.per_second) * weight;
        (self.at, self.bytes) = (now, bytes);
    }
}

/// Counts at one moment.
#[derive(Debug, Default)]
struct Counts {
    bytes_done: u64,
    bytes_total: u64,
    entries_done: u64,
    entries_total: u64,
    failed: u64,
    current: Vec<u8>,
}

impl Counts {
    fn fraction(&self) -> Option<f64> {
        let known = self.bytes_total > 0 && self.bytes_done <= self.bytes_total;
        known.then(|| self.bytes_done as f64 / self.bytes_total as f64)
    }

    fn to_json(&self, elapsed: Duration) -> serde_json::Value {
        let mut object = json!({
            "message_type": "status",
            "seconds_elapsed": elapsed.as_secs(),
            "files_done": self.entries_done,
            "bytes_done": self.bytes_done,
            "error_count": self.failed,
        });
        if let Some(fraction) = self.fraction() {
            object["percent_done"] = json!(fraction);
            object["total_bytes"] = json!(self.bytes_total);
        }
        if self.entries_total > 0 {
            object["total_files"] = json!(self.entries_total);
        }
        if !self.current.is_empty() {
            put_path(&mut object, "current_file", &self.current);
        }
        object
    }

    /// One line, shorter than the terminal is wide: what fits, the most important first.
    fn bar(&self, per_second: f64, columns: usize) -> String {
        let columns = columns.saturating_sub(1);
        let mut parts = Vec::new();
        if let Some(fraction) = self.fraction() {
            parts.push(format!("{:3.0}%", fraction * 100.0));
        }
        let of =
            if self.fraction().is_some() { format!(" of {}", values::size(self.bytes_total)) } else { String::new() };
        parts.push(format!("{}{of}", values::size(self.bytes_done)));
        if self.failed > 0 {
            parts.push(values::count(self.failed, "error", "errors"));
        }
        parts.push(values::count(self.entries_done, "file", "files"));
        parts.push(format!("{}/s", values::size(per_second as u64)));
        if self.fraction().is_some() && per_second >= 1.0 {
            let left = (self.bytes_total - self.bytes_done) as f64 / per_second;
            parts.push(left_text(left));
        }
        let mut line = String::new();
        for part in parts {
            let gap = if line.is_empty() { 0 } else { 2 };
            if line.len() + gap + part.len() > columns {
                break;
            }
            line.extend(std::iter::repeat_n(' ', gap));
            line.push_str(&part);
        }
        let room = columns.saturating_sub(line.len() + 2);
        if room >= 8 && !self.current.is_empty() {
            line.push_str("  ");
            line.push_str(&end_of(&shown(&self.current), room));
        }
        line
    }
}

fn left_text(seconds: f64) -> String {
    let seconds = seconds.min(359_999.0) as u64;
    match seconds {
        0..3600 => format!("{}:{:02} left", seconds / 60, seconds % 60),
        _ => format!("{}:{:02}:{:02} left", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}

/// The end of a text in so many columns. A character of more than one byte may take two columns, so each counts as two.
fn end_of(text: &str, columns: usize) -> String {
    let width = |c: char| if c.is_ascii() { 1 } else { 2 };
    if text.chars().map(width).sum::<usize>() <= columns {
        return text.to_owned();
    }
    let mut room = columns.saturating_sub(3);
    let mut start = text.len();
    for (at, c) in text.char_indices().rev() {
        let Some(rest) = room.checked_sub(width(c)) else { break };
        (room, start) = (rest, at);
    }
    format!("...{}", &text[start..])
}

/// Ends the display. The list of failures is worth a warning when it cannot be kept, not the result of the operation.
pub(crate) fn finish(run: &Run, shown: Shown, name: &str) -> Option<PathBuf> {
    shown.finish(name).unwrap_or_else(|failure| {
        run.output.warn(&failure.message);
        None
    })
}

/// Tells the user what the list of failures has.
pub(crate) fn say_list(output: &Output, failed: u64, list: Option<&Path>) {
    let named = failed.min(FAILURES_NAMED);
    let text = values::count(failed, "entry failed", "entries failed");
    let named = if failed > named { format!(", {named} of them named above") } else { String::new() };
    match list {
        Some(path) => output.warn(&format!("{text}{named}; all are listed in {}", path.display())),
        None => output.warn(&format!("{text}{named}; the list of all could not be written to the state directory")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fits_whatever_the_width() {
        let counts = Counts {
            bytes_done: 3 << 30,
            bytes_total: 4 << 30,
            entries_done: 123_456,
            entries_total: 200_000,
            failed: 2,
            current: "/home/somebody/ünïcödé/\x1b[2J/a/rather/long/path/to/a/file.txt".into(),
        };
        let bar = counts.bar(100e6, 80);
        assert!(bar.starts_with(" 75%  3.00 GiB of 4.00 GiB  2 errors  123456 files  95.4 MiB/s  0:10 left"), "{bar}");
        for columns in 0..300 {
            let bar = counts.bar(100e6, columns);
            assert!(bar.chars().count() < columns.max(1), "{columns}: {bar}");
            assert!(!bar.contains('\x1b'));
        }
        assert!(counts.bar(100e6, 200).ends_with("a/file.txt"));
        let unknown = Counts { bytes_total: 0, failed: 0, ..counts }.bar(0.0, 60);
        assert!(unknown.starts_with("3.00 GiB  123456 files  0 B/s"), "{unknown}");
    }

    #[test]
    fn the_rate_settles() {
        let mut rate = Rate::default();
        for second in 1..=60 {
            rate.update(f64::from(second), u64::from(second as u32) * 1000);
        }
        assert!((rate.per_second - 1000.0).abs() < 1.0, "{rate:?}");
    }
}
