//! When messages may leave, at rates that many lanes may share. Pure.
//!
//! A gate that has rested lets a burst through and then one message each step (GCRA). Who finds it shut gets a place: the
//! moment at which its turn comes, behind everybody who got one before. So each lane asks about twice for a message, however
//! many wait, and none overtakes. A message passes all of its gates at once, or none.

use std::collections::HashMap;

/// How often what has become useless is forgotten, in microseconds.
const SWEEP_US: i64 = 10_000_000;

/// How long a place is kept for who does not come, in microseconds: its connector was paused, or its delivery closed.
const LATE_US: i64 = 60_000_000;

/// A clock that is set back by more than this has everything begin anew, in microseconds: nobody waits for the old one.
const SET_BACK_US: i64 = 1_000_000;

/// A gate on the way of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Which; messages that share it have the same.
    pub id: u64,
    /// Microseconds from one message to the next.
    pub step_us: i64,
    /// How many may pass at once after a rest.
    pub burst: u32,
}

impl Gate {
    /// How far ahead of its time a message may be.
    fn slack_us(&self) -> i64 {
        (i64::from(self.burst) - 1).saturating_mul(self.step_us)
    }
}

/// How far ahead of the clock a gate is, in microseconds since 1970.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    /// With what has passed.
    spent_us: i64,
    /// With what has passed or has a place. Never less.
    promised_us: i64,
}

/// All gates that have not rested, and who waits before them.
#[derive(Debug)]
pub struct Gates {
    levels: HashMap<u64, Level>,
    /// By lane and gate.
    places: HashMap<(u64, u64), i64>,
    most_places: usize,
    now_us: i64,
    swept_us: i64,
}

impl Gates {
    /// All have rested. So many places are given at a time; who gets none asks again when those before it have passed.
    pub fn new(most_places: usize) -> Self {
        Self { levels: HashMap::new(), places: HashMap::new(), most_places, now_us: 0, swept_us: 0 }
    }

    /// Lets the next message of a lane through all of these, or says when it is to ask again. It waits before one gate at a
    /// time, the first that is shut: whoever waits for a chat takes nothing from the other chats of the bot.
    pub fn ask(&mut self, lane: u64, gates: &[Gate], now_us: i64) -> Option<i64> {
        self.tick(now_us);
        let until_us = gates.iter().find_map(|gate| self.shut(lane, gate, now_us));
        if until_us.is_none() {
            gates.iter().for_each(|gate| self.pass(lane, gate, now_us));
        }
        until_us
    }

    /// When the next message that asks could pass all of these, as things stand; none is now. It gets no place by that.
    pub fn open_us(&mut self, gates: &[Gate], now_us: i64) -> Option<i64> {
        self.tick(now_us);
        gates.iter().map(|gate| self.level(gate).promised_us - gate.slack_us()).max().filter(|open| *open > now_us)
    }

    /// Shuts a gate until then, because the platform says so. Nothing is saved up meanwhile.
    pub fn shut_until(&mut self, gate: &Gate, until_us: i64, now_us: i64) {
        self.tick(now_us);
        let level = self.levels.entry(gate.id).or_default();
        level.spent_us = level.spent_us.max(until_us.saturating_add(gate.slack_us()));
        level.promised_us = level.promised_us.max(level.spent_us);
    }

    /// Until when this gate is shut for a lane, which gets a place where it has none.
    fn shut(&mut self, lane: u64, gate: &Gate, now_us: i64) -> Option<i64> {
        let (level, key) = (self.level(gate), (lane, gate.id));
        let place = self.places.get(&key).copied();
        match place {
            Some(place) if place > now_us => return Some(place),
            Some(_) if level.spent_us - gate.slack_us() <= now_us => return None,
            None if level.promised_us - gate.slack_us() <= now_us => return None,
            // Who comes so late that others have used what was its own is behind them.
            _ => {}
        }
        let next = level.promised_us - gate.slack_us();
        if place.is_some() || self.places.len() < self.most_places {
            self.places.insert(key, next);
            self.levels.insert(gate.id, Level { promised_us: level.promised_us + gate.step_us, ..level });
        }
        Some(next)
    }

    fn pass(&mut self, lane: u64, gate: &Gate, now_us: i64) {
        let place = self.places.remove(&(lane, gate.id));
        let level = self.levels.entry(gate.id).or_default();
        // Who comes a little late for its place does not put off those behind it.
        let at_us = place.map_or(now_us, |place| place.max(now_us - gate.step_us));
        level.spent_us = level.spent_us.max(at_us) + gate.step_us;
        level.promised_us = match place {
            Some(_) => level.promised_us.max(level.spent_us),
            None => level.promised_us.max(at_us) + gate.step_us,
        };
    }

    fn level(&self, gate: &Gate) -> Level {
        self.levels.get(&gate.id).copied().unwrap_or_default()
    }

    fn tick(&mut self, now_us: i64) {
        if now_us < self.now_us - SET_BACK_US {
            *self = Self::new(self.most_places);
        }
        self.now_us = self.now_us.max(now_us);
        if now_us >= self.swept_us + SWEEP_US {
            self.swept_us = now_us;
            // Those that have rested are as those that nobody knows.
            self.levels.retain(|_, level| level.promised_us > now_us);
            self.places.retain(|_, place| *place > now_us - LATE_US);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cmp::Reverse, collections::BinaryHeap};

    use proptest::prelude::*;

    use super::*;

    const START: i64 = 1_700_000_000_000_000;

    fn gate(id: u64, step_us: i64, burst: u32) -> Gate {
        Gate { id, step_us, burst }
    }

    /// A lane with so many messages from this moment on, before these gates; it comes so late when it was told a moment.
    struct Lane {
        from: i64,
        messages: usize,
        gates: Vec<Gate>,
        late: i64,
    }

    /// Who passed when, and how often anybody asked.
    fn run(most_places: usize, lanes: &[Lane]) -> (Vec<(i64, usize)>, usize) {
        let (mut all, mut passed, mut asked) = (Gates::new(most_places), Vec::new(), 0);
        let mut agenda: BinaryHeap<Reverse<(i64, usize)>> =
            lanes.iter().enumerate().map(|(number, lane)| Reverse((START + lane.from, number))).collect();
        let mut left: Vec<usize> = lanes.iter().map(|lane| lane.messages).collect();
        while let Some(Reverse((now, number))) = agenda.pop() {
            let lane = &lanes[number];
            asked += 1;
            match all.ask(number as u64, &lane.gates, now) {
                Some(until) => {
                    assert!(until > now, "it is told a moment that is over");
                    agenda.push(Reverse((until + lane.late, number)));
                }
                None => {
                    passed.push((now - START, number));
                    left[number] -= 1;
                    let next = all.open_us(&lane.gates, now).unwrap_or(now);
                    if left[number] > 0 {
                        agenda.push(Reverse((next + lane.late, number)));
                    }
                }
            }
            assert!(all.places.len() <= most_places);
        }
        (passed, asked)
    }

    /// The most that passed within so many microseconds, of what these lanes sent.
    fn densest(passed: &[(i64, usize)], window: i64, of: impl Fn(usize) -> bool) -> i64 {
        let times: Vec<i64> = passed.iter().filter(|(_, lane)| of(*lane)).map(|(at, _)| *at).collect();
        let within = |first: &i64| times.iter().filter(|at| **at >= *first && **at < first + window).count();
        times.iter().map(within).max().unwrap_or(0) as i64
    }

    #[test]
    fn after_a_rest_there_is_a_burst_and_then_one_each_step() {
        let lane = Lane { from: 0, messages: 6, gates: vec![gate(1, 1_000, 3)], late: 0 };
        let (passed, asked) = run(10, &[lane]);
        let times: Vec<i64> = passed.iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [0, 0, 0, 1_000, 2_000, 3_000]);
        assert_eq!(asked, 6, "a lane that is told when its next message may go asks once for each");
    }

    #[test]
    fn a_thousand_threads_of_a_channel_go_in_the_order_in_which_they_came() {
        let lanes: Vec<Lane> = (0..1_000)
            .map(|number| Lane { from: number, messages: 1, gates: vec![gate(1, 1_000_000, 3)], late: 50_000 })
            .collect();
        let (passed, asked) = run(10_000, &lanes);
        assert!(passed.iter().map(|(_, lane)| *lane).eq(0..1_000));
        assert!(asked < 2_000, "{asked}");
        assert!(passed.last().unwrap().0 < 998_000_000, "nothing of the rate was lost");
    }

    #[test]
    fn a_chat_that_has_much_to_say_leaves_the_bot_to_others() {
        let bot = gate(0, 33_000, 1);
        let mut lanes: Vec<Lane> =
            (0..50).map(|_| Lane { from: 0, messages: 1, gates: vec![gate(1, 1_000_000, 1), bot], late: 0 }).collect();
        lanes.extend((2..12).map(|chat| Lane {
            from: 100_000,
            messages: 1,
            gates: vec![gate(chat, 1_000_000, 1), bot],
            late: 0,
        }));
        let (passed, _) = run(10_000, &lanes);
        let last = passed.iter().filter(|(_, lane)| *lane >= 50).map(|(at, _)| *at).max().unwrap();
        assert!(last < 500_000, "ten others were through after {last} µs");
    }

    #[test]
    fn who_has_much_takes_turns_with_who_has_little() {
        let lane = |from, messages| Lane { from, messages, gates: vec![gate(1, 1_000, 1)], late: 1 };
        let (passed, _) = run(10, &[lane(0, 100), lane(50_000, 1), lane(50_000, 1)]);
        for small in [1, 2] {
            let at = passed.iter().find(|(_, lane)| *lane == small).unwrap().0;
            assert!(at <= 54_100, "{at}");
        }
    }

    #[test]
    fn a_platform_that_asks_for_a_wait_shuts_the_gate_for_all_lanes() {
        let (mut all, channel) = (Gates::new(10), gate(1, 1_000, 3));
        assert_eq!(all.ask(1, &[channel], START), None);
        all.shut_until(&channel, START + 30_000, START);
        assert_eq!(all.ask(2, &[channel], START + 1), Some(START + 30_000));
        assert_eq!(all.ask(3, &[channel], START + 1), Some(START + 31_000));
        assert_eq!(all.ask(2, &[channel], START + 30_000), None);
        assert_eq!(all.ask(4, &[channel], START + 30_000), Some(START + 32_000), "nothing was saved up");
    }

    #[test]
    fn what_has_rested_and_who_never_came_are_forgotten() {
        let mut all = Gates::new(10);
        for id in 0..100 {
            all.ask(id, &[gate(id, 1_000, 1)], START);
        }
        assert_eq!(all.ask(7, &[gate(1, 1_000, 1)], START), Some(START + 1_000));
        assert_eq!((all.levels.len(), all.places.len()), (100, 1));
        all.ask(7, &[gate(200, 1_000, 1)], START + 2 * LATE_US);
        assert_eq!((all.levels.len(), all.places.len()), (1, 0));
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_nobody_waiting() {
        let mut all = Gates::new(10);
        assert_eq!(all.ask(1, &[gate(1, 1_000_000, 1)], START), None);
        assert_eq!(all.ask(1, &[gate(1, 1_000_000, 1)], START - 3_600_000_000), None);
    }

    proptest! {
        #[test]
        fn no_rate_is_exceeded_nobody_is_forgotten_and_places_are_bounded(
            most_places in 1_usize..20,
            lanes in prop::collection::vec((0_i64..50_000, 1_usize..6, 0_u64..3, 0_i64..5_000), 1..40),
        ) {
            let (bot, chat) = (gate(100, 700, 4), |id| gate(id, 3_000, 2));
            let lanes: Vec<Lane> = lanes.into_iter().map(|(from, messages, id, late)|
                Lane { from, messages, gates: vec![chat(id), bot], late }).collect();
            let (passed, _) = run(most_places, &lanes);
            prop_assert_eq!(passed.len(), lanes.iter().map(|lane| lane.messages).sum::<usize>());
            for window in [1, 1_000, 3_000, 10_000, 100_000] {
                // One more than a burst, for who came late.
                let most = |gate: Gate| window / gate.step_us + i64::from(gate.burst) + 1;
                prop_assert!(densest(&passed, window, |_| true) <= most(bot), "{} µs of all", window);
                for id in 0..3 {
                    let dense = densest(&passed, window, |lane| lanes[lane].gates[0].id == id);
                    prop_assert!(dense <= most(chat(id)), "{} µs of chat {}", window, id);
                }
            }
        }

        #[test]
        fn who_comes_in_time_is_served_in_order_and_nothing_of_the_rate_is_lost(
            arrivals in prop::collection::vec(0_i64..20_000, 1..60),
            burst in 1_u32..5,
        ) {
            let mut arrivals = arrivals;
            arrivals.sort_unstable();
            let lanes: Vec<Lane> = arrivals.iter()
                .map(|from| Lane { from: *from, messages: 1, gates: vec![gate(1, 1_000, burst)], late: 0 }).collect();
            let (passed, asked) = run(1_000, &lanes);
            prop_assert!(passed.iter().map(|(_, lane)| *lane).eq(0..lanes.len()), "{:?}", passed);
            prop_assert!(asked <= 2 * lanes.len());
            // As a queue that is served as soon as its rate allows.
            let mut full_at = i64::MIN / 2;
            for ((at, _), from) in passed.iter().zip(&arrivals) {
                let due = (full_at - i64::from(burst - 1) * 1_000).max(*from);
                prop_assert_eq!(*at, due);
                full_at = full_at.max(due) + 1_000;
            }
        }
    }
}
