use std::io;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, JoinHandle};

/// Items made and not yet taken, beside the one in the making and the one in use.
const WAITING_MAX: usize = 2;

/// An iterator that works on a thread of its own, ahead of whoever takes its items.
///
/// Items come in their order. Dropping it ends the thread, once the item in the making is done.
pub(super) struct Ahead<T> {
    items: Option<Receiver<T>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Ahead<T> {
    /// Starts to work.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(items: impl Iterator<Item = T> + Send + 'static) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let work = move || {
            // Ends early when nobody takes items any longer.
            for item in items {
                if sender.send(item).is_err() {
                    return;
                }
            }
        };
        let thread = Builder::new().name("decode".to_owned()).spawn(work)?;
        Ok(Self { items: Some(receiver), thread: Some(thread) })
    }
}

impl<T> Iterator for Ahead<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        if let Ok(item) = self.items.as_ref()?.recv() {
            return Some(item);
        }
        self.items = None;
        // A thread that panicked must not look like the end of the items.
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
        None
    }
}

impl<T> Drop for Ahead<T> {
    fn drop(&mut self) {
        // The receiver first: a thread that waits for room in the channel then finds that it is gone.
        self.items = None;
        if let Some(thread) = self.thread.take() {
            // Its panic, if any, was told by the thread itself; nobody waits for its items.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Every item comes, in order, and then nothing, however often one asks.
    #[test]
    fn in_order() {
        let mut ahead = Ahead::start(0..100).unwrap();
        assert!(ahead.by_ref().eq(0..100));
        assert_eq!((ahead.next(), ahead.next()), (None, None));
    }

    /// Work is ahead by no more than the bound, and ends with the iterator: nothing runs on afterwards.
    #[test]
    fn bounded_and_ended_by_drop() {
        let (made, token) = (Arc::new(AtomicUsize::new(0)), Arc::new(()));
        let (count, held) = (Arc::clone(&made), Arc::clone(&token));
        let endless = std::iter::repeat_with(move || {
            let _ = &held;
            count.fetch_add(1, Ordering::SeqCst)
        });
        let mut ahead = Ahead::start(endless).unwrap();
        assert_eq!((ahead.next(), ahead.next()), (Some(0), Some(1)));
        drop(ahead);
        assert_eq!(Arc::strong_count(&token), 1, "the thread and what it held are gone");
        assert!(made.load(Ordering::SeqCst) <= 2 + WAITING_MAX + 1);
    }

    /// A panic over there is a panic here, not an early end.
    #[test]
    #[should_panic(expected = "over there")]
    fn panics_are_passed_on() {
        let items = (0..2).map(|i| if i == 1 { panic!("over there") } else { i });
        assert_eq!(Ahead::start(items).unwrap().count(), 1);
    }
}
