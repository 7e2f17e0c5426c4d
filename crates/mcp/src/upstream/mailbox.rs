//! What comes back for one request, on its way from the task that reads a pipe to the call that waits: at
//! most one answer, and before it what else belongs to the request. One allocation for each request; a channel
//! for each of the two makes several.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use puerto_core::{Error, Result};

use crate::frame::Frame;

/// Where the call reads.
#[derive(Debug)]
pub(super) struct Mailbox(Arc<Shared>);

/// Where the reader of the pipe puts in. Dropped, it tells the call that nothing more comes.
#[derive(Debug)]
pub(super) struct Slot(Arc<Shared>);

/// One message.
#[derive(Debug)]
pub(super) enum Mail {
    /// A notification or a question.
    Before(Frame),
    /// The last: the answer, or why there is none.
    Answer(Result<Frame>),
}

#[derive(Debug, Default)]
struct Shared(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    before: VecDeque<Frame>,
    answer: Option<Result<Frame>>,
    closed: bool,
    waker: Option<Waker>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let answer = change(&mut state);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        answer
    }
}

/// A mailbox and its slot.
pub(super) fn mailbox() -> (Slot, Mailbox) {
    let shared = Arc::new(Shared::default());
    (Slot(shared.clone()), Mailbox(shared))
}

impl Slot {
    /// Puts in a message that comes before the answer; nothing happens where so many lie there already, or
    /// nobody waits any more. Answers whether it was put in.
    pub(super) fn before(&self, frame: Frame, most: usize) -> bool {
        let waits = Arc::strong_count(&self.0) > 1;
        self.0.change(|state| {
            let room = waits && state.before.len() < most;
            if room {
                state.before.push_back(frame);
            }
            room
        })
    }

    /// Puts in the answer.
    pub(super) fn answer(self, frame: Frame) {
        // Dropping the slot wakes whoever waits.
        self.0.state().answer = Some(Ok(frame));
    }

    /// Says why there is no answer.
    pub(super) fn fail(self, error: Error) {
        self.0.state().answer = Some(Err(error));
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.change(|state| state.closed = true);
    }
}

impl Mailbox {
    /// The next message; nothing where the slot is gone and all was read.
    pub(super) async fn next(&mut self) -> Option<Mail> {
        poll_fn(|cx| {
            let mut state = self.0.state();
            if let Some(frame) = state.before.pop_front() {
                return Poll::Ready(Some(Mail::Before(frame)));
            }
            if let Some(answer) = state.answer.take() {
                return Poll::Ready(Some(Mail::Answer(answer)));
            }
            if state.closed {
                return Poll::Ready(None);
            }
            if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                state.waker = Some(cx.waker().clone());
            }
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn frame(number: usize) -> Frame {
        Frame::parse(Bytes::from(format!(r#"{{"jsonrpc":"2.0","id":{number},"result":{{}}}}"#))).unwrap()
    }

    fn number(mail: Option<Mail>) -> Option<(String, bool)> {
        let (frame, last) = match mail? {
            Mail::Before(frame) => (frame, false),
            Mail::Answer(answer) => (answer.unwrap(), true),
        };
        Some((String::from_utf8_lossy(&frame.raw(frame.id)).into_owned(), last))
    }

    #[tokio::test]
    async fn messages_come_in_order_and_the_answer_is_never_too_many() {
        let (slot, mut mailbox) = mailbox();
        assert!(slot.before(frame(1), 2) && slot.before(frame(2), 2) && !slot.before(frame(3), 2));
        slot.answer(frame(4));
        assert_eq!(number(mailbox.next().await), Some(("1".into(), false)));
        assert_eq!(number(mailbox.next().await), Some(("2".into(), false)));
        assert_eq!(number(mailbox.next().await), Some(("4".into(), true)));
        assert!(mailbox.next().await.is_none());
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_what_comes_and_by_the_end() {
        let (slot, mut mailbox) = mailbox();
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let reads = tokio::spawn(async move {
            begun.send(()).unwrap();
            let first = number(mailbox.next().await);
            (first, mailbox.next().await.is_none())
        });
        has_begun.await.unwrap();
        tokio::task::yield_now().await;
        assert!(slot.before(frame(1), 1));
        tokio::task::yield_now().await;
        drop(slot);
        assert_eq!(reads.await.unwrap(), (Some(("1".into(), false)), true));
    }

    #[test]
    fn nothing_is_kept_for_a_call_that_has_gone() {
        let (slot, mailbox) = mailbox();
        drop(mailbox);
        assert!(!slot.before(frame(1), 1));
        slot.answer(frame(2));
    }
}
