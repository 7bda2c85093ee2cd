//! A process: an execution environment of a function, with a clock of its own, which may be killed and frozen.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use aws_smithy_async::rt::sleep::{AsyncSleep, Sleep};
use aws_smithy_async::time::TimeSource;
use jiff::{SignedDuration, Timestamp};
use testing::Clock;
use tokio::time::{Instant, sleep_until};

use crate::aws::lambda::Function;

/// A process. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Process(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    number: u32,
    function: Function,
    clock: Clock,
    /// How far its clock is ahead of the true time.
    skew: SignedDuration,
    is_dead: AtomicBool,
    frozen: Mutex<Frozen>,
}

#[derive(Debug, Default)]
struct Frozen {
    until: Option<Instant>,
    /// How long it was frozen so far, in all.
    total: Duration,
    waker: Option<Waker>,
}

impl Process {
    /// `number` is its own in a run.
    pub fn new(number: u32, function: Function, clock: Clock, skew: SignedDuration) -> Self {
        let (is_dead, frozen) = (AtomicBool::new(false), Mutex::default());
        Self(Arc::new(Inner { number, function, clock, skew, is_dead, frozen }))
    }

    pub fn number(&self) -> u32 {
        self.0.number
    }

    pub fn function(&self) -> Function {
        self.0.function
    }

    /// What its wall clock shows.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now() + self.0.skew
    }

    /// Ends it: whatever it was doing is dropped.
    pub fn kill(&self) {
        self.0.is_dead.store(true, Ordering::Relaxed);
        if let Some(waker) = self.frozen().waker.take() {
            waker.wake();
        }
    }

    pub fn is_dead(&self) -> bool {
        self.0.is_dead.load(Ordering::Relaxed)
    }

    /// Freezes it for this long from now on.
    pub fn freeze(&self, time: Duration) {
        let mut frozen = self.frozen();
        let until = Instant::now() + time;
        let from = frozen.until.unwrap_or_else(Instant::now);
        if until > from {
            frozen.total += until - from;
            frozen.until = Some(until);
        }
    }

    /// When it goes on, if it is frozen.
    pub fn thaws_at(&self) -> Option<Instant> {
        self.frozen().until.filter(|until| *until > Instant::now())
    }

    /// Runs work of the process. `None` if the process is killed before the work is done.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        let mut thaw = pin!(sleep_until(Instant::now()));
        poll_fn(|context| {
            if self.is_dead() {
                return Poll::Ready(None);
            }
            if let Some(until) = self.frozen_until(context) {
                thaw.as_mut().reset(until);
                if thaw.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                self.frozen().until = None;
            }
            let result = work.as_mut().poll(context);
            match result {
                _ if self.is_dead() => Poll::Ready(None),
                Poll::Ready(result) => Poll::Ready(Some(result)),
                Poll::Pending => {
                    if let Some(until) = self.frozen_until(context) {
                        thaw.as_mut().reset(until);
                        let _ = thaw.as_mut().poll(context);
                    }
                    Poll::Pending
                }
            }
        })
        .await
    }

    fn frozen_until(&self, context: &Context<'_>) -> Option<Instant> {
        let mut frozen = self.frozen();
        frozen.waker = Some(context.waker().clone());
        frozen.until
    }

    fn frozen(&self) -> MutexGuard<'_, Frozen> {
        self.0.frozen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TimeSource for Process {
    fn now(&self) -> SystemTime {
        let since = Process::now(self).duration_since(Timestamp::UNIX_EPOCH);
        SystemTime::UNIX_EPOCH + since.unsigned_abs()
    }
}

/// The timers of the SDK's clients. They stand still while the process is frozen, as Lambda's do.
impl AsyncSleep for Process {
    fn sleep(&self, time: Duration) -> Sleep {
        let process = self.clone();
        let (began, frozen) = (Instant::now(), self.frozen().total);
        Sleep::new(async move {
            loop {
                let end = began + time + (process.frozen().total - frozen);
                if Instant::now() >= end {
                    return;
                }
                sleep_until(end).await;
            }
        })
    }
}
