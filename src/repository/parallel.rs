//! Several requests at once, for stores where each takes long.

use crate::repository::error::{RepositoryError, Result};

/// Applies `read` to all items, `parallel` of them at a time, and hands the results over in order.
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
            let threads: Vec<_> = group.iter().map(|item| scope.spawn(move || read(item))).collect();
            threads.into_iter().map(|thread| thread.join().map_err(|_| RepositoryError::Thread)).collect()
        });
        results.into_iter().try_for_each(|result| take(result?))?;
    }
    Ok(())
}

/// Does both, at the same time.
///
/// # Errors
/// [`RepositoryError::Thread`] when a thread ends early.
pub(crate) fn both<A, B: Send>(one: impl FnOnce() -> A, other: impl FnOnce() -> B + Send) -> Result<(A, B)> {
    std::thread::scope(|scope| {
        let other = scope.spawn(other);
        let one = one();
        Ok((one, other.join().map_err(|_| RepositoryError::Thread)?))
    })
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
