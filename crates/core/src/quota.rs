//! Quotas of a tenant, counted on parsed calls: a batch of ten is ten, an HTTP request that is no call is none.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::code::Code;
use crate::def::QuotasDef;
use crate::error::{Error, Result, Retry};

/// Live counters of one tenant. They outlive a swap of the view, so a reload resets nothing.
#[derive(Debug)]
pub struct Quota {
    concurrent_max: usize,
    concurrent: Option<Arc<Semaphore>>,
    rate: Option<Rate>,
}

/// Held while a call runs; gives its place back when dropped.
#[derive(Debug)]
pub struct Place(#[allow(dead_code, reason = "held for its drop")] Option<OwnedSemaphorePermit>);

impl Quota {
    /// Counters for these limits; 0 means none.
    pub fn new(def: &QuotasDef) -> Self {
        let concurrent_max = def.max_concurrent_requests as usize;
        Self {
            concurrent_max,
            concurrent: (concurrent_max > 0).then(|| Arc::new(Semaphore::new(concurrent_max))),
            rate: (def.requests_per_minute > 0).then(|| Rate::per_minute(def.requests_per_minute)),
        }
    }

    /// Takes a place for one call, or says which quota is spent and when to come back.
    pub fn take(&self) -> Result<Place> {
        if let Some(wait) = self.rate.as_ref().and_then(Rate::take) {
            let text = format!(
                "quota requests_per_minute of this tenant is spent; try again in {} s",
                seconds_up(wait)
            );
            return Err(Error::caller(Code::QuotaExceeded, text).retry(Retry::After(wait)));
        }
        let Some(concurrent) = &self.concurrent else { return Ok(Place(None)) };
        concurrent.clone().try_acquire_owned().map(|permit| Place(Some(permit))).map_err(|_| {
            let text = format!(
                "quota max_concurrent_requests of this tenant is reached: {} calls are running; try again when one has ended",
                self.concurrent_max
            );
            Error::caller(Code::QuotaExceeded, text).retry(Retry::After(Duration::from_secs(1)))
        })
    }

    /// Calls running now, where they are counted.
    pub fn running(&self) -> Option<usize> {
        self.concurrent.as_ref().map(|s| self.concurrent_max - s.available_permits())
    }
}

/// Whole seconds, rounded up: what a `Retry-After` can say.
pub fn seconds_up(wait: Duration) -> u64 {
    wait.as_millis().div_ceil(1000) as u64
}

/// The generic cell rate algorithm: an allowance of a minute's calls that refills evenly.
#[derive(Debug)]
struct Rate {
    period: Duration,
    burst: Duration,
    // Nothing awaits while it is held.
    next: Mutex<Option<Instant>>,
}

impl Rate {
    fn per_minute(calls: u32) -> Self {
        let minute = Duration::from_secs(60);
        let period = minute / calls;
        Self { period, burst: minute.saturating_sub(period), next: Mutex::new(None) }
    }

    /// Takes one, or says how long to wait.
    fn take(&self) -> Option<Duration> {
        let now = Instant::now();
        let mut next = self.next.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let due = next.unwrap_or(now).max(now);
        let wait = due.duration_since(now).saturating_sub(self.burst);
        if wait.is_zero() {
            *next = Some(due + self.period);
            None
        } else {
            Some(wait)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_minute_holds_as_many_calls_as_the_quota() {
        let quota = Quota::new(&QuotasDef { requests_per_minute: 3, ..QuotasDef::default() });
        for _ in 0..3 {
            quota.take().unwrap();
        }
        let error = quota.take().unwrap_err();
        assert_eq!(
            (error.code(), error.retry_hint()),
            (Code::QuotaExceeded, Retry::After(Duration::from_secs(20)))
        );
        tokio::time::advance(Duration::from_secs(20)).await;
        quota.take().unwrap();
        assert!(quota.take().is_err());
    }

    #[test]
    fn a_place_comes_back_when_its_call_ends() {
        let quota = Quota::new(&QuotasDef { max_concurrent_requests: 1, ..QuotasDef::default() });
        let place = quota.take().unwrap();
        assert_eq!(quota.take().unwrap_err().code(), Code::QuotaExceeded);
        drop(place);
        quota.take().unwrap();
    }

    #[test]
    fn zero_means_none() {
        let none = QuotasDef { max_concurrent_requests: 0, requests_per_minute: 0, ..QuotasDef::default() };
        let quota = Quota::new(&none);
        let _places: Vec<_> = (0..10_000).map(|_| quota.take().unwrap()).collect();
    }
}
