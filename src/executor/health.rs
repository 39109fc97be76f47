//! How executors fare: which could not be reached, and when workers last asked for runs.
//!
//! It is about what this process has seen since its start, and kept in memory.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
};

use serde::Serialize;
use utoipa::ToSchema;

use super::attempt::Failure;

/// What the codes of failures end with that are the executor's, whatever the run says.
const ITS_OWN: [&str; 4] = ["_unavailable", "_misconfigured", "_denied", "_unauthorized"];

/// Codes that say nothing of the executor.
const OURS: [&str; 3] = ["store_failed", "lease_lost", "cancelled"];

/// Why an executor has no answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ExecutorTrouble)]
pub struct Trouble {
    /// When it began, in milliseconds since 1970.
    pub since_at_ms: i64,
    /// Attempts that have failed since, of all runs.
    pub failures: u64,
    /// What went wrong last, for programs.
    pub code: String,
    /// The same for people.
    pub detail: String,
}

/// How one executor fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fares {
    /// Why it has no answers; none once it has had one.
    pub trouble: Option<Trouble>,
    /// When a worker last asked for its runs, in milliseconds since 1970.
    pub asked_at_ms: Option<i64>,
}

/// How all executors fare, by name. Shared.
#[derive(Debug, Default)]
pub struct Health(RwLock<BTreeMap<String, Fares>>);

impl Health {
    /// Takes down how an attempt ended.
    pub fn attempted<T>(&self, name: &str, answer: &Result<T, Failure>, now_ms: i64) {
        let error = match answer {
            Err(failure) if OURS.contains(&failure.error.code.as_str()) => return,
            Err(failure) => Some(&failure.error).filter(|error| ITS_OWN.iter().any(|end| error.code.ends_with(end))),
            Ok(_) => None,
        };
        self.change(name, |fares| {
            let former = fares.trouble.take();
            fares.trouble = error.map(|error| Trouble {
                since_at_ms: former.as_ref().map_or(now_ms, |trouble| trouble.since_at_ms),
                failures: former.map_or(0, |trouble| trouble.failures) + 1,
                code: error.code.clone(),
                detail: error.detail.clone(),
            });
        });
    }

    /// A worker has asked for runs.
    pub fn asked(&self, name: &str, now_ms: i64) {
        self.change(name, |fares| fares.asked_at_ms = Some(now_ms));
    }

    /// How an executor fares.
    pub fn of(&self, name: &str) -> Fares {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned().unwrap_or_default()
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Fares)) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match known.get_mut(name) {
            Some(fares) => change(fares),
            None => change(known.entry(name.to_owned()).or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_lasts_until_there_is_an_answer() {
        let health = Health::default();
        let failed = |code: &str, now_ms| {
            let answer: Result<(), Failure> = Err(Failure::passing(code, "why".to_owned()));
            health.attempted("far", &answer, now_ms);
            health.of("far").trouble.map(|trouble| (trouble.since_at_ms, trouble.failures, trouble.code))
        };
        assert_eq!(failed("push_unavailable", 5), Some((5, 1, "push_unavailable".to_owned())));
        assert_eq!(failed("push_denied", 6), Some((5, 2, "push_denied".to_owned())));
        assert_eq!(
            failed("store_failed", 7),
            Some((5, 2, "push_denied".to_owned())),
            "it says nothing of the executor"
        );
        assert_eq!(failed("push_answer_invalid", 8), None, "it is there, whatever it answers");
        failed("push_unavailable", 9);
        health.attempted("far", &Ok(()), 10);
        assert_eq!(health.of("far"), Fares::default());
        health.asked("far", 11);
        assert_eq!((health.of("far").asked_at_ms, health.of("near")), (Some(11), Fares::default()));
    }
}
