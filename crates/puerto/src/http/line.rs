//! What a listener and its connections know of each other. hyper sets a timer for every head that it waits
//! for and drops it when the head has come; and a connection that waits for the order to stop asks anew
//! with every poll. Both cost each request hundreds of instructions (docs/perf.md). So a connection only
//! notes until when it is patient, and its listener comes by every few seconds.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake};
use std::time::Duration;

use hyper::rt::{Sleep, Timer};
use tokio::time::Instant;

use super::steady::Bell;

/// How often a listener looks for connections whose patience is over.
pub(crate) const ROUND: Duration = Duration::from_secs(5);

/// One connection, as its listener sees it.
pub(crate) struct Line {
    /// Wakes it.
    pub(crate) bell: Arc<Bell>,
    began: Instant,
    /// Milliseconds after it began until which it waits for a head.
    until: AtomicU64,
    hang_up: AtomicBool,
}

impl Line {
    /// No head is waited for.
    const NEVER: u64 = u64::MAX;
    /// The head that is waited for has not come in time.
    const OVER: u64 = 0;

    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            bell: Arc::default(),
            began: Instant::now(),
            until: AtomicU64::new(Self::NEVER),
            hang_up: AtomicBool::new(false),
        })
    }

    /// Whether it was told to finish.
    pub(crate) fn is_told(&self) -> bool {
        self.hang_up.load(Ordering::SeqCst)
    }

    fn tell(&self) {
        self.hang_up.store(true, Ordering::SeqCst);
        self.bell.clone().wake();
    }

    fn look(&self, now: Instant) {
        let until = self.until.load(Ordering::SeqCst);
        let late = until != Self::NEVER && until <= self.millis(now);
        // Meanwhile the head may have come, and the next one may be waited for.
        if late && self.until.compare_exchange(until, Self::OVER, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        {
            self.bell.clone().wake();
        }
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.began).as_millis()).unwrap_or(Self::NEVER)
    }
}

/// Every connection of a listener.
#[derive(Default)]
pub(crate) struct Lines(Vec<Weak<Line>>);

impl Lines {
    /// One more.
    pub(crate) fn add(&mut self, line: &Arc<Line>) {
        self.0.push(Arc::downgrade(line));
    }

    /// Ends those whose head is late, and forgets those that have ended.
    pub(crate) fn look(&mut self) {
        let now = Instant::now();
        self.0.retain(|line| line.upgrade().inspect(|line| line.look(now)).is_some());
    }

    /// Tells all to finish.
    pub(crate) fn tell(&self) {
        self.0.iter().filter_map(Weak::upgrade).for_each(|line| line.tell());
    }
}

/// The timer that hyper gets; it sets one at a time, for the head that it waits for.
pub(crate) struct Patience(pub(crate) Arc<Line>);

#[allow(clippy::disallowed_types, reason = "hyper's own type of instant")]
impl Timer for Patience {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(Waiting::new(self.0.clone(), Instant::now() + duration))
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Waiting::new(self.0.clone(), deadline.into()))
    }
}

struct Waiting {
    line: Arc<Line>,
    until: u64,
    noted: bool,
}

impl Waiting {
    fn new(line: Arc<Line>, until: Instant) -> Self {
        Self { until: line.millis(until).max(Line::OVER + 1), line, noted: false }
    }
}

impl Sleep for Waiting {}

impl Future for Waiting {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        // The connection is polled by its bell, so its waker need not be kept.
        if !std::mem::replace(&mut self.noted, true) {
            self.line.until.store(self.until, Ordering::SeqCst);
        }
        if self.line.until.load(Ordering::SeqCst) == Line::OVER { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.line.until.store(Line::NEVER, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: u64) -> Instant {
        Instant::now() + Duration::from_secs(seconds)
    }

    fn is_over(waiting: &mut Waiting) -> bool {
        Pin::new(waiting).poll(&mut Context::from_waker(std::task::Waker::noop())).is_ready()
    }

    #[test]
    fn patience_ends_when_the_listener_comes_by_after_its_time() {
        let line = Line::new();
        let mut waiting = Waiting::new(line.clone(), after(30));
        assert!(!is_over(&mut waiting));
        line.look(after(29));
        assert!(!is_over(&mut waiting));
        line.look(after(31));
        assert!(is_over(&mut waiting));
    }

    #[test]
    fn a_head_that_came_ends_nothing_later() {
        let line = Line::new();
        let mut first = Waiting::new(line.clone(), after(30));
        assert!(!is_over(&mut first));
        drop(first);
        line.look(after(31));
        let mut second = Waiting::new(line.clone(), after(60));
        assert!(!is_over(&mut second));
    }

    #[test]
    fn connections_that_ended_are_forgotten() {
        let (mut lines, stays) = (Lines::default(), Line::new());
        lines.add(&stays);
        lines.add(&Line::new());
        lines.look();
        assert_eq!(lines.0.len(), 1);
        assert!(!stays.is_told());
        lines.tell();
        assert!(stays.is_told());
    }
}
