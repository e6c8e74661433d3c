//! Which numbers were seen, compactly: ranges without holes take two numbers.

use serde::{Deserialize, Serialize};

/// A set of numbers kept as ascending, disjoint, non-touching ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberSet {
    ranges: Vec<(u64, u64)>,
}

impl NumberSet {
    /// Of ranges that it gave; `None` where they do not ascend, or touch.
    pub(super) fn of(ranges: Vec<(u64, u64)>) -> Option<Self> {
        let apart = ranges.windows(2).all(|pair| pair[0].1.checked_add(1).is_some_and(|after| after < pair[1].0));
        apart.then_some(Self { ranges })
    }

    /// Its ranges, first and last number of each.
    pub(super) fn ranges(&self) -> &[(u64, u64)] {
        &self.ranges
    }

    /// Whether `number` is in it.
    pub fn contains(&self, number: u64) -> bool {
        match self.ranges.last() {
            None => false,
            Some(&(first, last)) if number >= first => number <= last,
            Some(_) => {
                let after = self.ranges.partition_point(|&(first, _)| first <= number);
                after > 0 && self.ranges[after - 1].1 >= number
            }
        }
    }

    /// The highest number in it.
    pub fn highest(&self) -> Option<u64> {
        self.ranges.last().map(|&(_, last)| last)
    }

    /// Adds a number; `false` when it was there. Past `ranges_max` ranges the
    /// lowest hole is closed: a number from it counts as seen from then on,
    /// because counting it twice would be worse than missing it.
    pub fn insert(&mut self, number: u64, ranges_max: usize) -> bool {
        if self.contains(number) {
            return false;
        }
        let after = self.ranges.partition_point(|&(first, _)| first <= number);
        let joins_lower = after > 0 && self.ranges[after - 1].1 + 1 == number;
        let joins_upper = self.ranges.get(after).is_some_and(|&(first, _)| number + 1 == first);
        match (joins_lower, joins_upper) {
            (true, true) => {
                self.ranges[after - 1].1 = self.ranges[after].1;
                self.ranges.remove(after);
            }
            (true, false) => self.ranges[after - 1].1 = number,
            (false, true) => self.ranges[after].0 = number,
            (false, false) => self.ranges.insert(after, (number, number)),
        }
        while self.ranges.len() > ranges_max.max(1) {
            self.ranges[0].1 = self.ranges[1].1;
            self.ranges.remove(1);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(numbers: &[u64], ranges_max: usize) -> NumberSet {
        let mut set = NumberSet::default();
        for &n in numbers {
            set.insert(n, ranges_max);
        }
        set
    }

    #[test]
    fn numbers_in_any_order_become_ranges() {
        for (numbers, ranges) in [
            (vec![0, 1, 2], vec![(0, 2)]),
            (vec![2, 0, 1], vec![(0, 2)]),
            (vec![5, 0, 6, 1], vec![(0, 1), (5, 6)]),
            (vec![3, 3, 3], vec![(3, 3)]),
            (vec![u64::MAX, 0], vec![(0, 0), (u64::MAX, u64::MAX)]),
        ] {
            assert_eq!(set(&numbers, 8).ranges, ranges, "{numbers:?}");
        }
    }

    #[test]
    fn past_the_limit_the_lowest_hole_closes() {
        let set = set(&[0, 10, 20, 30], 3);
        assert_eq!(set.ranges, vec![(0, 10), (20, 20), (30, 30)]);
        assert!(set.contains(5));
        assert!(!set.contains(25));
        assert_eq!(set.highest(), Some(30));
    }

    #[test]
    fn a_second_insert_says_that_it_was_there() {
        let mut set = set(&[1, 2, 9], 8);
        assert!(!set.insert(2, 8));
        assert!(set.insert(3, 8));
        assert!(!set.contains(4));
    }
}
