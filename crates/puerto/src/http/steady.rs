//! A future that is polled again at once when it wakes itself. hyper's connections do so for every body that
//! is read; a runtime puts such a task at the end of its queue and wakes another thread to look for it,
//! which costs more than the work (docs/perf.md).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// Polls in a row; after them other tasks have their turn.
const AGAIN: usize = 8;

/// The future, with the waker that it sees.
pub(crate) struct Steady<F> {
    future: Pin<Box<F>>,
    bell: Arc<Bell>,
    waker: Waker,
}

/// Wakes a [`Steady`] future. A ring while it is being polled makes it be polled once more.
#[derive(Default)]
pub(crate) struct Bell {
    task: AtomicWaker,
    polling: AtomicBool,
    rung: AtomicBool,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::SeqCst);
        if !self.polling.load(Ordering::SeqCst) {
            self.task.wake();
        }
    }
}

impl<F> Steady<F> {
    /// The future, and the bell that others may ring.
    pub(crate) fn new(future: F, bell: Arc<Bell>) -> Self {
        Self { future: Box::pin(future), waker: bell.clone().into(), bell }
    }

    /// The future itself.
    pub(crate) fn get(&mut self) -> Pin<&mut F> {
        self.future.as_mut()
    }
}

impl<F: Future> Future for Steady<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Self { future, bell, waker } = &mut *self;
        bell.task.register(cx.waker());
        bell.polling.store(true, Ordering::SeqCst);
        for _ in 0..AGAIN {
            bell.rung.store(false, Ordering::SeqCst);
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(waker)) {
                return Poll::Ready(output);
            }
            if !bell.rung.load(Ordering::SeqCst) {
                break;
            }
        }
        bell.polling.store(false, Ordering::SeqCst);
        // Somebody rang after the last look and saw it polling, or it rings without end.
        if bell.rung.load(Ordering::SeqCst) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::sync::atomic::AtomicUsize;

    /// A waker that counts.
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn polls(wakes_itself: usize) -> (bool, usize, usize) {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let mut polled = 0;
        let ready = {
            let future = poll_fn(|cx| {
                polled += 1;
                if polled > wakes_itself {
                    return Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            });
            let mut steady = Steady::new(future, Arc::default());
            let waker = count.clone().into();
            Pin::new(&mut steady).poll(&mut Context::from_waker(&waker)).is_ready()
        };
        (ready, polled, count.0.load(Ordering::SeqCst))
    }

    #[test]
    fn what_wakes_itself_goes_on_without_its_task() {
        assert_eq!(polls(3), (true, 4, 0));
    }

    #[test]
    fn what_wakes_itself_without_end_lets_others_have_their_turn() {
        assert_eq!(polls(100), (false, AGAIN, 1));
    }

    #[test]
    fn a_wake_from_elsewhere_reaches_the_task() {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let bell = Arc::<Bell>::default();
        let mut steady = Steady::new(std::future::pending::<()>(), bell.clone());
        let waker = count.clone().into();
        assert!(Pin::new(&mut steady).poll(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
        bell.wake();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    }
}
