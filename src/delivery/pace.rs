//! Rates that platforms keep, kept from this side: what a kind's manifest says, the host waits for by itself, so that being
//! refused is the exception.
//!
//! A lane whose next part may not leave yet is put off before it is leased, until its turn: no attempt, no worker and no other
//! lane is lost to it. Once a part was sent, its lane is ready when the next one may go. Only memory knows of this: a daemon
//! that starts begins with gates that have rested.

pub mod gates;

use std::{
    collections::BTreeSet,
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;

use self::gates::{Gate, Gates};
use super::{destinations::Destinations, targets};
use crate::{
    connectors::manifest::PaceRule,
    model::{ids::ConnectorId, target::ReplyTarget},
};

/// Says when the next part of a lane may leave.
pub struct Pacer {
    destinations: Arc<dyn Destinations>,
    percent: u32,
    /// Gates and lanes are known by hashes, which nobody outside can make collide.
    hasher: RandomState,
    gates: Mutex<Gates>,
    /// When lanes that were put off are ready, in milliseconds since 1970.
    due: Mutex<BTreeSet<i64>>,
}

impl fmt::Debug for Pacer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pacer").field("percent", &self.percent).finish_non_exhaustive()
    }
}

impl Pacer {
    /// Rates are so many percent of what kinds say; with 0 there are none. So many places are given at a time.
    pub fn new(destinations: Arc<dyn Destinations>, percent: u32, most_places: usize) -> Arc<Self> {
        Arc::new(Self {
            destinations,
            percent,
            hasher: RandomState::new(),
            gates: Mutex::new(Gates::new(most_places)),
            due: Mutex::default(),
        })
    }

    /// Whether lanes of this owner have a rate.
    pub fn paces(&self, owner: &str) -> bool {
        let connector = owner.split_once('/').filter(|(kind, _)| self.percent > 0 && !kind.ends_with(':'));
        connector.is_some_and(|(kind, name)| {
            let id = ConnectorId { kind: kind.to_owned(), name: name.to_owned() };
            self.destinations.find(&id).is_some_and(|(plugin, _)| !plugin.manifest().delivery.pace.is_empty())
        })
    }

    /// Lets the next part of a lane go, which is counted, or says when the lane is to come again; that is later than now.
    /// Milliseconds since 1970.
    pub fn ask(&self, lane: &str, target: &ReplyTarget, now_ms: i64) -> Option<i64> {
        let way = self.way(target);
        if way.is_empty() {
            return None;
        }
        let ready_us = lock(&self.gates).ask(self.hasher.hash_one(lane), &way, now_ms * 1_000)?;
        Some(self.comes_at(ready_us))
    }

    /// When the next part to a target may go, as things stand; none is now, or that there is no rate. Milliseconds since 1970.
    pub fn next_ms(&self, target: &ReplyTarget, now_ms: i64) -> Option<i64> {
        let way = self.way(target);
        if way.is_empty() {
            return None;
        }
        let open_us = lock(&self.gates).open_us(&way, now_ms * 1_000)?;
        Some(self.comes_at(open_us))
    }

    /// The platform says that nothing more may go there until then. It is believed for the narrowest rule: what others wait
    /// for, they are told themselves.
    pub fn hold(&self, target: &ReplyTarget, until_ms: i64, now_ms: i64) {
        if let Some(gate) = self.way(target).first() {
            lock(&self.gates).shut_until(gate, until_ms * 1_000, now_ms * 1_000);
        }
    }

    /// When the next of the lanes that were put off is ready, after what was asked for with [`Self::passed`].
    pub fn due_ms(&self) -> Option<i64> {
        lock(&self.due).first().copied()
    }

    /// Lanes that are ready by now are about to be looked for.
    pub fn passed(&self, now_ms: i64) {
        let mut due = lock(&self.due);
        while due.first().is_some_and(|first| *first <= now_ms) {
            due.pop_first();
        }
    }

    fn comes_at(&self, ready_us: i64) -> i64 {
        // Not a moment too soon.
        let ready_ms = (ready_us + 999) / 1_000;
        lock(&self.due).insert(ready_ms);
        ready_ms
    }

    /// The gates of a target, the narrowest first.
    fn way(&self, target: &ReplyTarget) -> Vec<Gate> {
        if self.percent == 0 || target.plugin == "http" {
            return Vec::new();
        }
        let Ok((id, route)) = targets::split(target) else { return Vec::new() };
        let Some((plugin, _)) = self.destinations.find(&id) else { return Vec::new() };
        let rules = &plugin.manifest().delivery.pace;
        if rules.is_empty() {
            return Vec::new();
        }
        let route: Value = serde_json::from_str(&route).unwrap_or_default();
        let gate = |(index, rule): (usize, &PaceRule)| {
            let place = rule.place(&route)?;
            let id = self.hasher.hash_one((&id, index, rule, place));
            Some(Gate { id, step_us: rule.step_us(self.percent), burst: rule.burst })
        };
        rules.iter().enumerate().filter_map(gate).collect()
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
