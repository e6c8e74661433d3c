//! What other tasks leave for a connection's task.
//!
//! It grows as far as its senders let it: each of them counts what it has
//! outstanding. Empty, it holds nothing, so an idle connection costs little; the
//! owner takes everything that waits at once.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// One owner takes, everybody sends.
#[derive(Debug)]
pub struct Mailbox<T> {
    state: Mutex<State<T>>,
    arrived: Notify,
}

#[derive(Debug)]
struct State<T> {
    waiting: Vec<T>,
    closed: bool,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Self { state: Mutex::new(State { waiting: Vec::new(), closed: false }), arrived: Notify::new() }
    }
}

impl<T> Mailbox<T> {
    /// Leaves something; gives it back where the owner has gone.
    pub fn send(&self, item: T) -> Result<(), T> {
        let mut state = self.lock();
        if state.closed {
            return Err(item);
        }
        let first = state.waiting.is_empty();
        state.waiting.push(item);
        drop(state);
        if first {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Waits until something is there. Only the owner may wait.
    pub async fn ready(&self) {
        while self.lock().waiting.is_empty() {
            self.arrived.notified().await;
        }
    }

    /// Everything that waits, oldest first.
    pub fn take(&self) -> Vec<T> {
        std::mem::take(&mut self.lock().waiting)
    }

    /// The owner goes: what waits is dropped, nothing more is taken in.
    pub fn close(&self) {
        let dropped = {
            let mut state = self.lock();
            state.closed = true;
            std::mem::take(&mut state.waiting)
        };
        drop(dropped);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Mailbox;

    #[tokio::test]
    async fn everything_sent_is_taken_in_order() {
        let mailbox = Arc::new(Mailbox::default());
        let sender = Arc::clone(&mailbox);
        let sending = tokio::spawn(async move {
            for number in 0..10_000 {
                sender.send(number).unwrap();
                if number % 100 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        });
        let mut taken = Vec::new();
        while taken.len() < 10_000 {
            mailbox.ready().await;
            taken.extend(mailbox.take());
        }
        sending.await.unwrap();
        assert!(taken.iter().copied().eq(0..10_000));
    }

    #[test]
    fn a_closed_mailbox_gives_back_what_is_sent() {
        let mailbox = Mailbox::default();
        mailbox.send(1).unwrap();
        mailbox.close();
        assert_eq!(mailbox.send(2), Err(2));
        assert!(mailbox.take().is_empty());
    }
}
