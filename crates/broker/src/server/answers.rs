//! The answers of one connection, in the order of its requests.
//!
//! All that are awaited make progress at once: a flush that a produce request waits for is not held up by a long poll in
//! front of it. But what is finished and cannot be sent yet takes memory, so there is a bound on that: beyond it only
//! the answer whose turn it is goes on.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::connection::{Handled, ResponseChunks, Waiting};

/// The most requests of one connection that may wait for their answers.
const MAX_WAITING: usize = 128;

/// Bytes of finished answers behind one that is not, beyond which no others are worked on.
const MAX_READY_BYTES: usize = 8 << 20;

enum Slot {
    Waiting(Waiting),
    Done(Done),
}

/// An answer that can be given.
pub(crate) enum Done {
    Send(ResponseChunks),
    Silent,
    Close(String),
}

/// Answers, the oldest request's first.
#[derive(Default)]
pub(crate) struct Answers {
    slots: VecDeque<Slot>,
    /// Bytes of those that are done.
    ready_bytes: usize,
}

impl Answers {
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Bytes of answers that are done and wait for their turn.
    pub(crate) fn ready_bytes(&self) -> usize {
        self.ready_bytes
    }

    /// Whether no further request should be taken for now.
    pub(crate) fn is_full(&self) -> bool {
        self.slots.len() >= MAX_WAITING || self.ready_bytes >= MAX_READY_BYTES
    }

    /// Adds what the newest request led to.
    pub(crate) fn push(&mut self, handled: Handled) {
        let slot = match handled {
            Handled::Later(waiting) => Slot::Waiting(waiting),
            Handled::Now(chunks) => self.done(Done::Send(chunks)),
            Handled::Silent => self.done(Done::Silent),
            Handled::Close(reason) => self.done(Done::Close(reason)),
        };
        self.slots.push_back(slot);
    }

    /// Works on what is awaited, and gives the next answer when its turn has come. Pending while there is none.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Done> {
        for at in 0..self.slots.len() {
            if at > 0 && self.ready_bytes >= MAX_READY_BYTES {
                break;
            }
            let Some(Slot::Waiting(waiting)) = self.slots.get_mut(at) else { continue };
            let mut polled = waiting.as_mut().poll(cx);
            while let Poll::Ready(Handled::Later(mut further)) = polled {
                polled = further.as_mut().poll(cx);
                if polled.is_pending() {
                    *waiting = further;
                    break;
                }
            }
            let done = match polled {
                Poll::Ready(Handled::Now(chunks)) => Done::Send(chunks),
                Poll::Ready(Handled::Silent) => Done::Silent,
                Poll::Ready(Handled::Close(reason)) => Done::Close(reason),
                Poll::Ready(Handled::Later(_)) | Poll::Pending => continue,
            };
            let slot = self.done(done);
            if let Some(place) = self.slots.get_mut(at) {
                *place = slot;
            }
        }
        self.pop_done().map_or(Poll::Pending, Poll::Ready)
    }

    /// The next answer, if it is done already.
    pub(crate) fn pop_done(&mut self) -> Option<Done> {
        match self.slots.pop_front()? {
            Slot::Done(done) => {
                self.ready_bytes -= size(&done);
                Some(done)
            }
            waiting @ Slot::Waiting(_) => {
                self.slots.push_front(waiting);
                None
            }
        }
    }

    fn done(&mut self, done: Done) -> Slot {
        self.ready_bytes += size(&done);
        Slot::Done(done)
    }
}

fn size(done: &Done) -> usize {
    match done {
        Done::Send(chunks) => chunks.iter().map(Bytes::len).sum(),
        Done::Silent | Done::Close(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn, ready};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn answer(size: usize) -> Handled {
        Handled::Now(vec![Bytes::from(vec![0; size])])
    }

    fn next(answers: &mut Answers) -> Poll<Done> {
        answers.poll_next(&mut Context::from_waker(std::task::Waker::noop()))
    }

    #[test]
    fn an_answer_behind_one_that_is_awaited_is_worked_on_and_keeps_its_place() {
        let mut answers = Answers::default();
        let polls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&polls);
        let mut released = false;
        answers.push(Handled::Later(Box::pin(poll_fn(move |_| {
            if std::mem::replace(&mut released, true) { Poll::Ready(answer(1)) } else { Poll::Pending }
        }))));
        answers.push(Handled::Later(Box::pin(poll_fn(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Poll::Ready(answer(2))
        }))));
        assert!(next(&mut answers).is_pending());
        assert_eq!(polls.load(Ordering::Relaxed), 1, "the second is done, and waits for the first");
        assert!(matches!(next(&mut answers), Poll::Ready(Done::Send(chunks)) if chunks[0].len() == 1));
        assert!(matches!(next(&mut answers), Poll::Ready(Done::Send(chunks)) if chunks[0].len() == 2));
        assert!(answers.is_empty());
    }

    #[test]
    fn finished_answers_that_cannot_be_sent_are_bounded_in_bytes() {
        let mut answers = Answers::default();
        answers.push(Handled::Later(Box::pin(pending())));
        for _ in 0..10 {
            answers.push(Handled::Later(Box::pin(ready(answer(MAX_READY_BYTES / 2)))));
        }
        assert!(next(&mut answers).is_pending());
        assert_eq!(answers.ready_bytes, MAX_READY_BYTES);
        assert!(answers.is_full());
    }

    #[test]
    fn an_answer_that_turns_into_another_wait_is_awaited_further() {
        let mut answers = Answers::default();
        answers.push(Handled::Later(Box::pin(ready(Handled::Later(Box::pin(ready(answer(3))))))));
        assert!(matches!(next(&mut answers), Poll::Ready(Done::Send(chunks)) if chunks[0].len() == 3));
    }
}
