//! Two futures at once, on the thread that waits for them.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

/// Waits for both; each goes on while the other waits.
pub(super) async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut first, mut second) = (None, None);
    poll_fn(|cx| {
        if first.is_none()
            && let Poll::Ready(done) = a.as_mut().poll(cx)
        {
            first = Some(done);
        }
        if second.is_none()
            && let Poll::Ready(done) = b.as_mut().poll(cx)
        {
            second = Some(done);
        }
        match (first.take(), second.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (a, b) => {
                (first, second) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[test]
    fn each_goes_on_while_the_other_waits() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for is_swapped in [false, true] {
                let (to_second, from_first) = oneshot::channel();
                let (to_first, from_second) = oneshot::channel();
                // Each needs the other half-way: one after the other neither would end.
                let first = async move {
                    to_second.send(1).unwrap();
                    from_second.await.unwrap()
                };
                let second = async move {
                    to_first.send(2).unwrap();
                    from_first.await.unwrap()
                };
                let done = if is_swapped { both(second, first).await } else { both(first, second).await };
                assert_eq!(done, if is_swapped { (1, 2) } else { (2, 1) });
            }
        });
    }
}
