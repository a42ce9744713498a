//! How many uploads at once: more while it goes well, half as many when the store or the line is overloaded.

use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// At first.
const FIRST: f64 = 2.0;
/// At most.
const MOST: f64 = 8.0;

#[derive(Debug)]
struct State {
    limit: f64,
    running: usize,
    /// Counts the reductions: only one for all that began before it.
    round: u64,
}

/// Additive increase, multiplicative decrease. Until the first decrease the limit grows by one with each success.
#[derive(Debug)]
pub(super) struct Flow {
    state: Mutex<State>,
    changed: Notify,
}

/// Leave to send one request.
#[derive(Debug)]
pub(super) struct Turn<'f> {
    flow: &'f Flow,
    round: u64,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.flow.lock().running -= 1;
        self.flow.changed.notify_waiters();
    }
}

impl Flow {
    /// Nothing is under way.
    pub(super) fn new() -> Self {
        Self { state: Mutex::new(State { limit: FIRST, running: 0, round: 0 }), changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Numbers only: whole at every moment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_turn(&self) -> Option<Turn<'_>> {
        let mut state = self.lock();
        // The first goes always: the limit never falls below one.
        ((state.running as f64) < state.limit.floor().max(1.0)).then(|| {
            state.running += 1;
            Turn { flow: self, round: state.round }
        })
    }

    /// Waits for a turn.
    pub(super) async fn turn(&self) -> Turn<'_> {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Before looking, so that no change is missed in between.
            changed.as_mut().enable();
            if let Some(turn) = self.try_turn() {
                return turn;
            }
            changed.await;
        }
    }
}

impl Turn<'_> {
    /// It went well.
    pub(super) fn went_well(&self) {
        let mut state = self.flow.lock();
        let step = if state.round == 0 { 1.0 } else { 1.0 / state.limit };
        state.limit = (state.limit + step).min(MOST);
    }

    /// It was too much.
    pub(super) fn was_too_much(&self) {
        let mut state = self.flow.lock();
        if state.round == self.round {
            state.limit = (state.limit / 2.0).max(1.0);
            state.round += 1;
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn turns(flow: &Flow) -> Vec<Turn<'_>> {
        std::iter::from_fn(|| flow.try_turn()).collect()
    }

    #[test]
    fn it_grows_to_the_limit_and_halves_once_for_all_that_ran() {
        let flow = Flow::new();
        assert_eq!(turns(&flow).len(), 2);
        for _ in 0..100 {
            flow.try_turn().unwrap().went_well();
        }
        let all = turns(&flow);
        assert_eq!(all.len(), 8);
        all.iter().for_each(Turn::was_too_much);
        drop(all);
        assert_eq!(turns(&flow).len(), 4, "eight failures of one moment count once");
        for _ in 0..10 {
            flow.try_turn().unwrap().was_too_much();
        }
        let one = turns(&flow);
        assert_eq!(one.len(), 1, "never none");
        one[0].went_well();
        drop(one);
        assert_eq!(turns(&flow).len(), 2);
    }

    #[test]
    fn who_waits_gets_the_turn_that_becomes_free() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let flow = std::sync::Arc::new(Flow::new());
        runtime.block_on(async {
            let tasks: Vec<_> = (0..200)
                .map(|_| {
                    let flow = flow.clone();
                    tokio::spawn(async move {
                        let turn = flow.turn().await;
                        tokio::task::yield_now().await;
                        turn.went_well();
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        assert_eq!(flow.lock().running, 0);
    }
}
