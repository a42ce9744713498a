//! Reading every pack, several at a time.

use crate::engine::check::report::{CheckReport, Lost};
use crate::engine::context::{Context, EngineError, Result};
use crate::progress::Event;
use crate::repository::RepositoryError;
use crate::repository::pack_check::PackCheck;
use crate::repository::pack_reader::{PackReader, ReadBuffers};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

type Found = (usize, std::result::Result<PackCheck, RepositoryError>);

/// Takes packs one after the other until none is left.
fn work(cx: &Context, reader: &PackReader, next: &AtomicUsize, found: &Mutex<Vec<Found>>) -> Result<()> {
    let mut buffers = ReadBuffers::new()?;
    while !cx.is_stopped() {
        let number = next.fetch_add(1, Relaxed);
        if number >= reader.index().packs().len() {
            break;
        }
        let mut tick = |count| cx.event(&Event::Bytes { count });
        let result = reader.check_pack(number, &mut buffers, &mut tick);
        found.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
    }
    Ok(())
}

/// Reads and checks every pack of the index.
pub(super) fn read(cx: &Context, reader: &PackReader, report: &mut CheckReport, lost: &mut Lost) -> Result<()> {
    let (entries, bytes) = (report.counts.packs, report.counts.pack_bytes);
    cx.event(&Event::Total { entries, bytes });
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    if cx.workers == 0 {
        work(cx, reader, &next, &found)?;
    } else {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..cx.workers).map(|_| scope.spawn(|| work(cx, reader, &next, &found))).collect();
            threads.into_iter().try_for_each(|t| t.join().unwrap_or(Err(EngineError::Worker("ended early"))))
        })?;
    }
    if cx.is_stopped() {
        return Err(EngineError::Interrupted);
    }
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(number, _)| *number);
    for (number, result) in found {
        let pack = &reader.index().packs()[number];
        let name = reader.pack_name(pack);
        let blobs = reader.blobs_of(number);
        match result {
            Ok(check) => {
                report.counts.blobs += check.blobs;
                report.counts.chunks += check.chunks;
                report.counts.plain_bytes += check.plain_bytes;
                for problem in check.problems {
                    report.damage(&RepositoryError::damaged(&name, problem));
                }
                lost.blobs.extend(check.bad_blobs.iter().map(|place| (blobs.start + place) as u32));
            }
            // One unreadable pack does not end the check: the others may be what saves the day.
            Err(error) => {
                report.damage(&error);
                lost.blobs.extend(blobs.map(|blob| blob as u32));
            }
        }
    }
    Ok(())
}
