//! Threads that read contents: what somebody waits for first, then what may be wanted soon.

use crate::repository::pack_reader::ReadBuffers;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Reads that may wait; more are done by whoever asks.
const READS_MAX: usize = 1024;
/// Reads ahead that may wait; more are left out.
const AHEAD_MAX: usize = 64;

/// Something to do with a thread's buffers.
pub(super) type Job = Box<dyn FnOnce(&mut ReadBuffers) + Send>;

#[derive(Default)]
struct State {
    reads: VecDeque<Job>,
    ahead: VecDeque<Job>,
    /// Threads that read ahead.
    running_ahead: usize,
    is_closed: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// One thread is always left for what is waited for.
    ahead_max: usize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Changed in single steps.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job, and whether it is one ahead.
    fn next(&self) -> Option<(Job, bool)> {
        let mut state = self.lock();
        loop {
            if state.is_closed {
                return None;
            }
            if let Some(job) = state.reads.pop_front() {
                return Some((job, false));
            }
            if state.running_ahead < self.ahead_max
                && let Some(job) = state.ahead.pop_front()
            {
                state.running_ahead += 1;
                return Some((job, true));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn run(&self, mut buffers: ReadBuffers) {
        while let Some((job, is_ahead)) = self.next() {
            job(&mut buffers);
            if is_ahead {
                self.lock().running_ahead -= 1;
                self.changed.notify_one();
            }
        }
    }
}

/// The threads; dropping ends them, and what still waits is dropped.
pub(super) struct Reads {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Reads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reads({} threads)", self.threads.len())
    }
}

impl Reads {
    /// Starts as many threads as there are buffers; fewer if the system refuses some. With none, every job is given back.
    pub(super) fn start(buffers: Vec<ReadBuffers>) -> Self {
        let ahead_max = buffers.len().saturating_sub(1);
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), ahead_max });
        let spawn = |(number, buffers): (usize, ReadBuffers)| {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name(format!("read-{number}")).spawn(move || shared.run(buffers)).ok()
        };
        let threads = buffers.into_iter().enumerate().map_while(spawn).collect();
        Self { shared, threads }
    }

    /// Has a thread do what somebody waits for. Where none can, the job comes back.
    pub(super) fn read(&self, job: Job) -> Result<(), Job> {
        let mut state = self.shared.lock();
        if self.threads.is_empty() || state.reads.len() >= READS_MAX {
            return Err(job);
        }
        state.reads.push_back(job);
        self.shared.changed.notify_one();
        Ok(())
    }

    /// Has a thread do something that nobody waits for, if there is room.
    pub(super) fn ahead(&self, job: Job) {
        let mut state = self.shared.lock();
        if self.threads.len() > 1 && state.ahead.len() < AHEAD_MAX {
            state.ahead.push_back(job);
            self.shared.changed.notify_one();
        }
    }
}

impl Drop for Reads {
    fn drop(&mut self) {
        let left = {
            let mut state = self.shared.lock();
            state.is_closed = true;
            (std::mem::take(&mut state.reads), std::mem::take(&mut state.ahead))
        };
        self.shared.changed.notify_all();
        drop(left);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    fn buffers(count: usize) -> Vec<ReadBuffers> {
        (0..count).map(|_| ReadBuffers::new().unwrap()).collect()
    }

    #[test]
    fn what_is_waited_for_comes_first_and_one_thread_is_left_for_it() {
        let reads = Reads::start(buffers(2));
        let (release, blocked) = channel::<()>();
        let (began, has_begun) = channel();
        let (say, said) = channel();
        reads.ahead(Box::new(move |_| {
            began.send(()).unwrap();
            let _ = blocked.recv();
        }));
        has_begun.recv().unwrap();
        // The other thread would be free for a second one ahead.
        let later = say.clone();
        reads.ahead(Box::new(move |_| later.send("ahead").unwrap()));
        assert!(reads.read(Box::new(move |_| say.send("read").unwrap())).is_ok());
        assert_eq!(said.recv().unwrap(), "read");
        assert!(said.try_recv().is_err());
        release.send(()).unwrap();
        assert_eq!(said.recv().unwrap(), "ahead");
    }

    #[test]
    fn without_threads_jobs_come_back_and_with_too_many_too() {
        let none = Reads::start(Vec::new());
        assert!(none.read(Box::new(|_| ())).is_err());
        let reads = Reads::start(buffers(1));
        let (release, blocked) = channel::<()>();
        let (began, has_begun) = channel();
        let first: Job = Box::new(move |_| {
            began.send(()).unwrap();
            let _ = blocked.recv();
        });
        assert!(reads.read(first).is_ok());
        has_begun.recv().unwrap();
        for _ in 0..READS_MAX {
            assert!(reads.read(Box::new(|_| ())).is_ok());
        }
        assert!(reads.read(Box::new(|_| ())).is_err());
        drop(release);
    }
}
