//! Which modem of a fleet does what next: pure, with the time as an argument.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// What a fleet does beside being connected. A profile presets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Behaviour {
    /// Each modem sends usage so often; `None` for never.
    pub usage_every: Option<Duration>,
    /// Each modem loses its link after so long, from half of it to half as much
    /// again; `None` for never.
    pub link_lasts: Option<Duration>,
    /// The whole fleet loses its links so long after the start, and again after
    /// as long; `None` for only when told.
    pub storm_every: Option<Duration>,
}

/// How a fleet behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// Keep alive alone; a desired state is answered.
    #[default]
    Idle,
    /// Usage from every modem, once a second.
    Chatty,
    /// Links that are lost without a word, each after about 10 s.
    Flapping,
    /// All links lost at once, every 10 s.
    Storm,
}

impl Profile {
    /// Its preset.
    pub fn behaviour(self) -> Behaviour {
        let none = Behaviour::default();
        match self {
            Profile::Idle => none,
            Profile::Chatty => Behaviour { usage_every: Some(Duration::from_secs(1)), ..none },
            Profile::Flapping => Behaviour { link_lasts: Some(Duration::from_secs(10)), ..none },
            Profile::Storm => Behaviour { storm_every: Some(Duration::from_secs(10)), ..none },
        }
    }
}

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Act {
    /// This modem sends usage.
    SendUsage(usize),
    /// This modem loses its link.
    LoseLink(usize),
    /// All lose it.
    Storm,
}

/// Everything that is due, soonest first. Each act is in it once and comes back
/// when it was taken: its size is that of the fleet.
#[derive(Debug)]
pub(super) struct Schedule {
    behaviour: Behaviour,
    due: BinaryHeap<Reverse<(Instant, Act)>>,
    random: StdRng,
}

impl Schedule {
    /// For `modems`, from `now`. Usage of the fleet is spread over its period.
    pub(super) fn new(behaviour: Behaviour, modems: usize, now: Instant, seed: u64) -> Self {
        let mut schedule = Self { behaviour, due: BinaryHeap::new(), random: StdRng::seed_from_u64(seed) };
        for modem in 0..modems {
            if let Some(every) = behaviour.usage_every {
                let first = now + schedule.between(Duration::ZERO, every);
                schedule.due.push(Reverse((first, Act::SendUsage(modem))));
            }
            schedule.arm(Act::LoseLink(modem), now);
        }
        schedule.arm(Act::Storm, now);
        schedule
    }

    /// What is due by now, and due again later.
    pub(super) fn next(&mut self, now: Instant) -> Option<Act> {
        let Reverse((due, act)) = *self.due.peek().filter(|Reverse((due, _))| *due <= now)?;
        self.due.pop();
        // Usage keeps its rhythm, but what a stall of the driver missed is not made up.
        let from = if matches!(act, Act::SendUsage(_)) { due.max(now - self.lateness_max()) } else { now };
        self.arm(act, from);
        Some(act)
    }

    /// When something is due.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((due, _))| *due)
    }

    fn lateness_max(&self) -> Duration {
        self.behaviour.usage_every.unwrap_or_default()
    }

    fn arm(&mut self, act: Act, from: Instant) {
        let wait = match act {
            Act::SendUsage(_) => self.behaviour.usage_every,
            Act::LoseLink(_) => self.behaviour.link_lasts.map(|mean| self.between(mean / 2, mean * 3 / 2)),
            Act::Storm => self.behaviour.storm_every,
        };
        if let Some(wait) = wait {
            self.due.push(Reverse((from + wait, act)));
        }
    }

    fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.random.random_range(us(low)..=us(high)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// What a fleet does up to a time, looked at every 10 ms: (ms, act).
    fn acts(behaviour: Behaviour, modems: usize, until: Duration) -> Vec<(u128, Act)> {
        let begun = crate::clock::now();
        let mut schedule = Schedule::new(behaviour, modems, begun, 7);
        let mut acts = Vec::new();
        let mut now = begun;
        while now < begun + until {
            while let Some(act) = schedule.next(now) {
                acts.push((now.duration_since(begun).as_millis(), act));
            }
            now += Duration::from_millis(10);
        }
        acts
    }

    #[test]
    fn an_idle_fleet_has_nothing_to_do() {
        assert_eq!(acts(Profile::Idle.behaviour(), 1000, 60 * SECOND), []);
    }

    #[test]
    fn chatty_modems_keep_the_rate_and_are_spread() {
        let acts = acts(Profile::Chatty.behaviour(), 100, 10 * SECOND);
        assert!((990..=1000).contains(&acts.len()), "{}", acts.len());
        for modem in 0..100 {
            let of_it = acts.iter().filter(|(_, act)| *act == Act::SendUsage(modem)).count();
            assert!((9..=10).contains(&of_it), "modem {modem}: {of_it}");
        }
        let in_first_tenth = acts.iter().filter(|(at, _)| at % 1000 < 100).count();
        assert!((50..=150).contains(&in_first_tenth), "{in_first_tenth}");
    }

    #[test]
    fn flapping_links_last_from_half_to_half_as_much_again() {
        let acts = acts(Profile::Flapping.behaviour(), 50, 60 * SECOND);
        let mut all = Vec::new();
        for modem in 0..50 {
            let times: Vec<u128> =
                acts.iter().filter(|(_, act)| *act == Act::LoseLink(modem)).map(|(at, _)| *at).collect();
            all.extend(times.windows(2).map(|pair| pair[1] - pair[0]));
        }
        assert!(all.iter().all(|lasted| (4_990..=15_010).contains(lasted)), "{all:?}");
        assert!(all.iter().any(|lasted| *lasted < 8_000) && all.iter().any(|lasted| *lasted > 12_000));
    }

    #[test]
    fn a_storm_is_one_act_for_the_whole_fleet() {
        let acts = acts(Profile::Storm.behaviour(), 1000, 25 * SECOND);
        assert_eq!(acts, [(10_000, Act::Storm), (20_000, Act::Storm)]);
    }

    #[test]
    fn a_stalled_driver_makes_up_for_one_period_at_most() {
        let begun = crate::clock::now();
        let mut schedule = Schedule::new(Profile::Chatty.behaviour(), 1, begun, 7);
        let mut made_up = 0;
        while schedule.next(begun + 100 * SECOND).is_some() {
            made_up += 1;
        }
        assert!(made_up <= 2, "{made_up}");
        assert!(schedule.wake() > Some(begun + 100 * SECOND));
    }
}
