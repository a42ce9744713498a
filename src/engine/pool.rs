//! Worker threads of an operation: a bounded queue of jobs, a state for each thread, and a way to wait until nothing is
//! left to do. With no threads the caller does every job at once, in the order it submits them.

use crate::engine::context::{EngineError, Result};
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Jobs that may wait for each thread.
const QUEUE_FACTOR: usize = 4;

struct State<J> {
    jobs: VecDeque<J>,
    running: usize,
    closed: bool,
}

struct Shared<J> {
    state: Mutex<State<J>>,
    /// Something was submitted, or the queue was closed.
    submitted: Condvar,
    /// Something was taken or finished.
    moved: Condvar,
    capacity: usize,
}

impl<J> Shared<J> {
    fn lock(&self) -> MutexGuard<'_, State<J>> {
        // The counts are changed in single steps, so they are whole even if a thread died.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(condition: &Condvar, guard: MutexGuard<'a, State<J>>) -> MutexGuard<'a, State<J>> {
        condition.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<J> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                state.running += 1;
                self.moved.notify_all();
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state = Self::wait(&self.submitted, state);
        }
    }

    fn close(&self) {
        self.lock().closed = true;
        self.submitted.notify_all();
    }
}

/// Counts a job as finished even if it panics, so that nobody waits for it for ever.
struct Finished<'a, J>(&'a Shared<J>);

impl<J> Drop for Finished<'_, J> {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
        self.0.moved.notify_all();
    }
}

/// Ends the threads when the body returns, however it does.
struct Closing<'a, J>(&'a Shared<J>);

impl<J> Drop for Closing<'_, J> {
    fn drop(&mut self) {
        self.0.close();
    }
}

type Inline<'a, J> = dyn FnMut(J) + 'a;

enum Mode<'a, J> {
    Threads(&'a Shared<J>),
    Inline(&'a mut Inline<'a, J>),
}

/// Where jobs go.
pub(in crate::engine) struct Pool<'a, J>(Mode<'a, J>);

impl<J> Pool<'_, J> {
    /// Hands a job over; waits while too many are waiting.
    pub(in crate::engine) fn submit(&mut self, job: J) {
        match &mut self.0 {
            Mode::Inline(work) => work(job),
            Mode::Threads(shared) => {
                let mut state = shared.lock();
                while state.jobs.len() >= shared.capacity {
                    state = Shared::wait(&shared.moved, state);
                }
                state.jobs.push_back(job);
                drop(state);
                shared.submitted.notify_one();
            }
        }
    }

    /// Waits until every job is finished.
    pub(in crate::engine) fn wait_idle(&mut self) {
        if let Mode::Threads(shared) = &self.0 {
            let mut state = shared.lock();
            while state.running > 0 || !state.jobs.is_empty() {
                state = Shared::wait(&shared.moved, state);
            }
        }
    }
}

/// Runs `body` with `threads` workers, each with a state of its own; returns when all jobs are finished.
///
/// # Errors
/// What `state` and `body` say; [`EngineError::Worker`] when a thread cannot be started.
pub(in crate::engine) fn run<J, S, R>(
    threads: usize,
    state: impl Fn() -> Result<S>,
    work: impl Fn(&mut S, J) + Sync,
    body: impl FnOnce(&mut Pool<'_, J>) -> Result<R>,
) -> Result<R>
where
    J: Send,
    S: Send,
{
    if threads == 0 {
        let mut state = state()?;
        return body(&mut Pool(Mode::Inline(&mut |job| work(&mut state, job))));
    }
    let states = (0..threads).map(|_| state()).collect::<Result<Vec<S>>>()?;
    let shared = Shared {
        state: Mutex::new(State { jobs: VecDeque::new(), running: 0, closed: false }),
        submitted: Condvar::new(),
        moved: Condvar::new(),
        capacity: threads * QUEUE_FACTOR,
    };
    let (shared, work) = (&shared, &work);
    std::thread::scope(|scope| {
        let closing = Closing(shared);
        for mut state in states {
            let worker = move || {
                while let Some(job) = shared.take() {
                    let _finished = Finished(shared);
                    work(&mut state, job);
                }
            };
            std::thread::Builder::new()
                .name("worker".into())
                .spawn_scoped(scope, worker)
                .map_err(|_| EngineError::Worker("could not be started"))?;
        }
        let result = body(&mut Pool(Mode::Threads(shared)));
        drop(closing);
        result
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn every_job_is_done_before_waiting_ends() {
        for threads in [0, 1, 4] {
            let done = AtomicUsize::new(0);
            let work = |seen: &mut usize, job: usize| {
                *seen += 1;
                done.fetch_add(job, Ordering::SeqCst);
            };
            let after_wait = run(
                threads,
                || Ok(0_usize),
                work,
                |pool| {
                    (1..=100).for_each(|job| pool.submit(job));
                    pool.wait_idle();
                    let after_wait = done.load(Ordering::SeqCst);
                    pool.submit(1);
                    Ok(after_wait)
                },
            )
            .unwrap();
            assert_eq!(after_wait, 5050, "{threads} threads");
            assert_eq!(done.into_inner(), 5051, "{threads} threads: the last job too");
        }
    }

    #[test]
    fn an_error_of_the_body_ends_the_threads() {
        let result: Result<()> = run(2, || Ok(()), |(), _: u32| {}, |_| Err(EngineError::Interrupted));
        assert!(matches!(result, Err(EngineError::Interrupted)));
    }
}
