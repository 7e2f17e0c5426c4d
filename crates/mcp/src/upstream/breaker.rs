//! Spares callers and a server the calls that would get no answer: after several in a row that got none, further
//! ones are refused at once for a while, and then one of them is the trial.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Calls in a row without an answer, where a server's definition says nothing.
pub(super) const FAILURES: u32 = 5;
/// How long calls are refused before the next trial.
const PAUSE: Duration = Duration::from_secs(10);

/// One server's.
#[derive(Debug)]
pub(super) struct Breaker {
    /// Calls in a row without an answer after which it opens; 0 means never.
    limit: u32,
    began: Instant,
    failures: AtomicU32,
    /// Milliseconds after it began until which calls are refused; 0 while they are not.
    until: AtomicU64,
}

impl Breaker {
    pub(super) fn new(limit: u32) -> Self {
        Self { limit, began: Instant::now(), failures: AtomicU32::new(0), until: AtomicU64::new(0) }
    }

    /// Lets a call through, or answers how long none is. When the time is over one call is the trial, and others
    /// wait for what comes of it.
    pub(super) fn pass(&self) -> Result<(), Duration> {
        let until = self.until.load(Ordering::Relaxed);
        if until == 0 {
            return Ok(());
        }
        let now = self.now();
        if now < until {
            return Err(Duration::from_millis(until - now));
        }
        let next = now + Self::millis(PAUSE);
        match self.until.compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => Ok(()),
            Err(_) => Err(PAUSE),
        }
    }

    /// How long calls are refused from now on.
    pub(super) fn open_for(&self) -> Option<Duration> {
        let until = self.until.load(Ordering::Relaxed);
        (until > 0).then(|| Duration::from_millis(until.saturating_sub(self.now())))
    }

    /// A call was answered, whatever the answer said.
    pub(super) fn answered(&self) {
        // Mostly nothing has failed, and then nothing is written.
        if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.until.store(0, Ordering::Relaxed);
        }
    }

    /// A call got no answer. Answers whether calls are refused because of it.
    pub(super) fn failed(&self) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let opens = self.limit > 0 && failures >= self.limit;
        if opens {
            self.until.store(self.now() + Self::millis(PAUSE), Ordering::Relaxed);
        }
        opens
    }

    /// Calls in a row that got no answer.
    pub(super) fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    fn now(&self) -> u64 {
        Self::millis(self.began.elapsed()) + 1
    }

    fn millis(duration: Duration) -> u64 {
        u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_opens_lets_one_call_try_and_closes_with_an_answer() {
        let breaker = Breaker::new(2);
        assert!(!breaker.failed() && breaker.pass().is_ok());
        breaker.answered();
        assert!(!breaker.failed() && breaker.failed());
        assert!(breaker.pass().is_err_and(|wait| wait <= PAUSE) && breaker.open_for().is_some());
        tokio::time::advance(PAUSE).await;
        assert!(breaker.pass().is_ok(), "the trial");
        assert!(breaker.pass().is_err(), "only one");
        assert!(breaker.failed());
        tokio::time::advance(PAUSE).await;
        assert!(breaker.pass().is_ok());
        breaker.answered();
        assert!(breaker.pass().is_ok() && breaker.open_for().is_none() && breaker.failures() == 0);
    }

    #[test]
    fn it_never_opens_where_it_is_told_so() {
        let breaker = Breaker::new(0);
        assert!((0..100).all(|_| !breaker.failed()) && breaker.pass().is_ok());
    }
}
