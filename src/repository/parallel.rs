//! Several requests at once, for stores where each takes long.

use crate::repository::error::{RepositoryError, Result};
use std::thread::{Builder, Scope, ScopedJoinHandle};

/// Applies `read` to all items, `parallel` of them at a time, and hands the results over in order. Where the system gives no
/// thread, the calling one does the work.
///
/// # Errors
/// The first that `take` returns; [`RepositoryError::Thread`] when a thread ends early.
pub(crate) fn for_each<T: Sync, R: Send>(
    items: &[T],
    parallel: usize,
    read: impl Fn(&T) -> R + Sync,
    mut take: impl FnMut(R) -> Result<()>,
) -> Result<()> {
    if parallel <= 1 {
        return items.iter().try_for_each(|item| take(read(item)));
    }
    for group in items.chunks(parallel) {
        let read = &read;
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = group.iter().map(|item| (item, start(scope, move || read(item)))).collect();
            threads
                .into_iter()
                .map(|(item, thread)| match thread {
                    Some(thread) => thread.join().map_err(|_| RepositoryError::Thread),
                    None => Ok(read(item)),
                })
                .collect()
        });
        results.into_iter().try_for_each(|result| take(result?))?;
    }
    Ok(())
}

/// Does both, at the same time where the system gives a thread for it, else one after the other.
///
/// # Errors
/// [`RepositoryError::Thread`] when a thread ends early.
pub(crate) fn both<A, B: Send>(one: impl FnOnce() -> A, other: impl Fn() -> B + Sync) -> Result<(A, B)> {
    std::thread::scope(|scope| {
        let thread = start(scope, &other);
        let one = one();
        let other = match thread {
            Some(thread) => thread.join().map_err(|_| RepositoryError::Thread)?,
            None => other(),
        };
        Ok((one, other))
    })
}

/// A thread, if the system has one to give: a limit on processes is no reason to stop a restore.
fn start<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Option<ScopedJoinHandle<'scope, T>> {
    Builder::new().spawn_scoped(scope, work).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_and_an_error_stops() {
        for parallel in [0, 1, 3, 100] {
            let items: Vec<u32> = (0..50).collect();
            let mut seen = Vec::new();
            let all = for_each(
                &items,
                parallel,
                |n| n * 2,
                |n| {
                    seen.push(n);
                    Ok(())
                },
            );
            assert!(all.is_ok());
            assert_eq!(seen, items.iter().map(|n| n * 2).collect::<Vec<_>>(), "{parallel} at a time");
            let mut taken = 0;
            let stopped = for_each(
                &items,
                parallel,
                |n| *n,
                |n| {
                    taken += 1;
                    if n == 7 { Err(RepositoryError::NotThere) } else { Ok(()) }
                },
            );
            assert!(matches!(stopped, Err(RepositoryError::NotThere)));
            assert_eq!(taken, 8);
        }
    }
}
