//! Gathers what several notifications ask of the store at the same time into one call.
//!
//! None waits for others on purpose: while one call is under way, the next one gathers. So a notification alone is as fast as
//! before, and the busier the batch, the fewer calls.

use std::sync::{Mutex, MutexGuard, PoisonError};

use store::StoreError;
use store::deliveries::MAX_TOGETHER;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::oneshot::{self, Sender};

/// What becomes of one request.
type Outcome<O> = Result<O, StoreError>;

/// Requests that wait for the next call, each with where its result goes.
type Waiting<I, O> = Vec<(I, Sender<Outcome<O>>)>;

/// Calls for requests of one kind, one call at a time.
#[derive(Debug)]
pub(super) struct Gather<I, O> {
    waiting: Mutex<Waiting<I, O>>,
    /// Held by the one who makes a call.
    calling: tokio::sync::Mutex<()>,
}

impl<I, O> Default for Gather<I, O> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), calling: tokio::sync::Mutex::default() }
    }
}

impl<I, O> Gather<I, O> {
    /// The result of a request. `call` makes one call for several of them, and returns their results in the same order.
    ///
    /// # Errors
    /// The request's own; or that the call which had it ended without a result: it panicked.
    pub(super) async fn ask(&self, request: I, call: impl AsyncFn(Vec<I>) -> Vec<Outcome<O>>) -> Outcome<O> {
        let (send, mut result) = oneshot::channel();
        self.waiting().push((request, send));
        loop {
            // In the order in which they came.
            let _calling = self.calling.lock().await;
            match result.try_recv() {
                Ok(result) => return result,
                Err(TryRecvError::Closed) => return Err(abandoned()),
                Err(TryRecvError::Empty) => {}
            }
            // All others that are ready now come first, and join.
            tokio::task::yield_now().await;
            let next: Waiting<I, O> = {
                let mut waiting = self.waiting();
                let count = waiting.len().min(MAX_TOGETHER);
                waiting.drain(..count).collect()
            };
            let (requests, results): (Vec<_>, Vec<_>) = next.into_iter().unzip();
            for (to, result) in results.into_iter().zip(call(requests).await) {
                // The one who asked may have been dropped.
                let _ = to.send(result);
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<I, O>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn abandoned() -> StoreError {
    StoreError::Unavailable {
        operation: "BatchExecuteStatement",
        table: "Deliveries".to_owned(),
        reason: "the call panicked; whether it took effect is not known".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;
    use std::time::Duration;

    use futures::FutureExt;
    use futures::future::{join, join_all};

    use super::*;

    /// Asks for all of these at the same time; a call takes a second. Returns the calls.
    async fn calls(requests: impl IntoIterator<Item = u32>) -> Vec<Vec<u32>> {
        let (gather, calls) = (Gather::default(), Mutex::new(Vec::new()));
        let call = async |requests: Vec<u32>| {
            tokio::time::sleep(Duration::from_secs(1)).await;
            calls.lock().unwrap().push(requests.clone());
            requests.into_iter().map(|request| Ok(request * 10)).collect()
        };
        let asked = requests.into_iter().map(async |request| (request, gather.ask(request, call).await.unwrap()));
        for (request, result) in join_all(asked).await {
            assert_eq!(result, request * 10);
        }
        calls.into_inner().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn requests_at_the_same_time_share_calls_of_25_and_each_gets_its_own_result() {
        assert_eq!(calls([7]).await, [[7]]);
        assert_eq!(calls(0..10).await, [(0..10).collect::<Vec<_>>()]);
        let sizes: Vec<_> = calls(0..60).await.iter().map(Vec::len).collect();
        assert_eq!(sizes, [25, 25, 10]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_during_a_call_is_gathered_for_the_next() {
        let (gather, calls) = (Gather::default(), Mutex::new(Vec::new()));
        let call = async |requests: Vec<u32>| {
            tokio::time::sleep(Duration::from_secs(1)).await;
            calls.lock().unwrap().push(requests.clone());
            requests.into_iter().map(Ok).collect()
        };
        let asked = (0..6).map(async |request| {
            tokio::time::sleep(Duration::from_millis(u64::from(request) * 300)).await;
            gather.ask(request, call).await.unwrap()
        });
        join_all(asked).await;
        assert_eq!(calls.into_inner().unwrap(), [vec![0], vec![1, 2, 3], vec![4, 5]]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_panics_leaves_no_one_waiting() {
        let gather: Gather<u32, u32> = Gather::default();
        let call = async |requests: Vec<u32>| {
            assert!(!requests.contains(&1), "as a bug would");
            requests.into_iter().map(Ok).collect()
        };
        let ask = |request| AssertUnwindSafe(gather.ask(request, call)).catch_unwind();
        let (first, second) = join(ask(1), ask(2)).await;
        assert!(first.is_err());
        assert!(second.unwrap().unwrap_err().to_string().contains("not known"));
        assert_eq!(gather.ask(3, call).await.unwrap(), 3);
    }
}
