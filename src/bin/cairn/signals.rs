//! Signals: the first that asks to end sets a flag, so that the operation stops in order and what is stored is kept; the
//! second ends the process at once.

use crate::exit::Exit;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Once};

/// Has signals set the flag from now on. Before an operation has begun their default, to end, is right: there is nothing to
/// keep, and a shell then restores the terminal that a prompt for a password has changed. Signals that the caller has us
/// ignore (`nohup`, background jobs) stay ignored.
/// Only the first call does anything: a second handler would take the first signal for the second.
pub(crate) fn watch(stop: &Arc<AtomicBool>) {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| register(stop));
}

fn register(stop: &Arc<AtomicBool>) {
    let ignored = ignored_signals();
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        if ignored & (1 << (signal - 1)) != 0 {
            continue;
        }
        // The order matters: the second signal finds the flag that the first has set. Neither can fail for these signals
        // but for lack of memory, and then the default action, to end, is right.
        let _ = signal_hook::flag::register_conditional_shutdown(signal, Exit::Interrupted as i32, stop.clone());
        let _ = signal_hook::flag::register(signal, stop.clone());
    }
}

/// Has signals write a byte to a stream from now on, however many there are: for a run that nothing but its end can cut short.
/// Signals that the caller has us ignore stay ignored.
///
/// # Errors
/// That there is no memory or no descriptor for it.
#[cfg(feature = "mount")]
pub(crate) fn wake(stream: &std::os::unix::net::UnixStream) -> std::io::Result<()> {
    let ignored = ignored_signals();
    for signal in [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| ignored & (1 << (signal - 1)) == 0) {
        signal_hook::low_level::pipe::register(signal, stream.try_clone()?)?;
    }
    Ok(())
}

/// The set of signals that are ignored, bit n - 1 for signal n.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    field.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
}
