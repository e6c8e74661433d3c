//! What a connection has taken and not acknowledged yet, in its order of arrival.
//!
//! Messages become durable in any order; MQTT wants their PUBACKs in the order of
//! the messages (MQTT 5 section 4.6). Where one cannot be taken, or could not be
//! made durable, the window ends in front of it: what came before is still
//! acknowledged, and what came after waits for the next connection, on which the
//! broker sends it again. So each connection moves on by at least what fits.

use std::collections::VecDeque;

/// Messages under tags that rise by one.
#[derive(Debug)]
pub struct Window<T> {
    first: u64,
    waiting: VecDeque<Waiting<T>>,
    bytes: usize,
    bytes_max: usize,
    /// The tag that the window ends in front of.
    end: Option<u64>,
}

#[derive(Debug)]
struct Waiting<T> {
    item: T,
    bytes: usize,
    durable: bool,
}

impl<T> Window<T> {
    /// Empty; holds `bytes_max` bytes at most.
    pub fn new(bytes_max: usize) -> Self {
        Self { first: 0, waiting: VecDeque::new(), bytes: 0, bytes_max, end: None }
    }

    /// Takes a message in and gives its tag; `None` behind the window's end,
    /// which a message that does not fit becomes.
    pub fn admit(&mut self, item: T, bytes: usize) -> Option<u64> {
        let tag = self.next_tag();
        if self.end.is_none() && self.bytes.saturating_add(bytes) > self.bytes_max {
            self.end = Some(tag);
        }
        if self.end.is_some() {
            return None;
        }
        self.bytes += bytes;
        self.waiting.push_back(Waiting { item, bytes, durable: false });
        Some(tag)
    }

    /// The message under `tag` is durable, or never will be on this connection.
    pub fn settle(&mut self, tag: u64, durable: bool) {
        if !durable {
            self.end = Some(self.end.map_or(tag, |end| end.min(tag)));
            return;
        }
        let place = tag.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        if let Some(waiting) = place.and_then(|place| self.waiting.get_mut(place)) {
            waiting.durable = true;
        }
    }

    /// The next message that may be acknowledged.
    pub fn pop(&mut self) -> Option<T> {
        if self.end.is_some_and(|end| end <= self.first) || !self.waiting.front()?.durable {
            return None;
        }
        let waiting = self.waiting.pop_front()?;
        self.first += 1;
        self.bytes -= waiting.bytes;
        Some(waiting.item)
    }

    /// Whether everything in front of the end is acknowledged.
    pub fn is_at_end(&self) -> bool {
        self.end.is_some_and(|end| end <= self.first)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Payload bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The tag of the next message: how many were taken so far.
    pub fn next_tag(&self) -> u64 {
        self.first + self.waiting.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acknowledged(window: &mut Window<&'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| window.pop()).collect()
    }

    #[test]
    fn acknowledges_in_the_order_of_arrival() {
        let mut window = Window::new(100);
        for item in ["a", "b", "c"] {
            window.admit(item, 10).unwrap();
        }
        window.settle(2, true);
        window.settle(1, true);
        assert_eq!(acknowledged(&mut window), Vec::<&str>::new());
        window.settle(0, true);
        assert_eq!(acknowledged(&mut window), ["a", "b", "c"]);
        assert_eq!((window.bytes(), window.is_empty(), window.is_at_end()), (0, true, false));
    }

    #[test]
    fn a_failure_ends_the_window_in_front_of_it() {
        let mut window = Window::new(100);
        for item in ["a", "b", "c", "d"] {
            window.admit(item, 10).unwrap();
        }
        window.settle(3, false);
        window.settle(1, false);
        window.settle(2, true);
        assert!(!window.is_at_end() && window.admit("e", 1).is_none());
        window.settle(0, true);
        assert_eq!(acknowledged(&mut window), ["a"]);
        assert!(window.is_at_end());
    }

    #[test]
    fn what_does_not_fit_waits_for_the_next_connection() {
        let mut window = Window::new(25);
        assert_eq!(window.admit("a", 20), Some(0));
        assert_eq!(window.admit("b", 20), None);
        assert_eq!(window.admit("small", 1), None, "what follows it would be out of order");
        window.settle(0, true);
        assert_eq!(acknowledged(&mut window), ["a"]);
        assert!(window.is_at_end());
    }

    #[test]
    fn a_tag_of_nothing_changes_nothing() {
        let mut window = Window::new(25);
        window.admit("a", 1).unwrap();
        window.settle(0, true);
        assert_eq!(acknowledged(&mut window), ["a"]);
        window.settle(0, true);
        window.settle(7, true);
        assert!(window.is_empty() && !window.is_at_end());
    }
}
