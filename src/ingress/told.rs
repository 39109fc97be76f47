//! Telling streams of requests that become no run, without letting whoever sends them work the disk.
//!
//! Refused and repeated requests write nothing of their own. They are counted here, and what was counted is written in one
//! command, at most five times a second: a flood costs a few rows.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::http::StatusCode;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    model::{
        happening::{Happening, Verdict, ingress},
        ids::{ConnectorId, RunId},
    },
    store::{
        Store, StoreError,
        writer::{Command, Tx},
    },
    wire::problem::Problem,
};

/// Sorts of verdicts between two writes; further ones lose their code. Plugins choose codes, and might choose many.
const SORTS: usize = 256;

/// The code of verdicts that lost theirs.
const OTHER: &str = "other";

/// The code of a key that was used for another payload.
const CONFLICT: &str = "idempotency_conflict";

/// How long verdicts gather.
const PAUSE: Duration = Duration::from_millis(200);

/// What connectors did with requests that became no run, since it was last written.
#[derive(Default)]
pub struct Verdicts {
    counts: Mutex<BTreeMap<Sort, Count>>,
    news: Notify,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Sort {
    connector: ConnectorId,
    verdict: Verdict,
    code: Option<String>,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    times: u64,
    /// The run of a duplicate, when all of them were of one.
    run: Option<RunId>,
}

impl Verdicts {
    /// Counts a verdict on a request.
    pub fn note(&self, connector: &ConnectorId, verdict: Verdict, code: Option<&str>, run: Option<RunId>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sort = Sort { connector: connector.clone(), verdict, code: code.map(str::to_owned) };
        if counts.len() >= SORTS && !counts.contains_key(&sort) {
            sort.code = Some(OTHER.to_owned());
        }
        let count = counts.entry(sort).or_insert(Count { times: 0, run });
        count.times += 1;
        count.run = count.run.filter(|_| count.run == run);
        drop(counts);
        self.news.notify_one();
    }

    /// Counts a refusal.
    pub fn note_refused(&self, connector: &ConnectorId, problem: &Problem) {
        let verdict = match problem.status() {
            StatusCode::TOO_MANY_REQUESTS => Verdict::Limited,
            StatusCode::CONFLICT if problem.code() == CONFLICT => Verdict::Conflict,
            status if status.is_server_error() => Verdict::Failed,
            _ => Verdict::Refused,
        };
        self.note(connector, verdict, Some(problem.code()), None);
    }

    /// Writes what was counted, until `stop`.
    pub async fn run(&self, store: Store, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = self.news.notified() => {}
                () = stop.cancelled() => return,
            }
            if let Err(error) = store.write(Tell(self.take())).await {
                tracing::warn!(%error, "verdicts on requests could not be told to streams: {error}");
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    fn take(&self) -> Vec<Happening> {
        let counts = std::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner));
        counts.into_iter().map(|(sort, count)| told(sort, count)).collect()
    }
}

fn told(sort: Sort, count: Count) -> Happening {
    let told = ingress(&sort.connector.to_string(), sort.verdict).with("count", count.times);
    Happening { run: count.run, ..told.with_some("code", sort.code) }
}

struct Tell(Vec<Happening>);

impl Command for Tell {
    type Reply = ();

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<()>, StoreError> {
        batch.iter().flat_map(|tell| &tell.0).for_each(|told| tx.record(told.clone()));
        Ok(vec![(); batch.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn connector() -> ConnectorId {
        ConnectorId { kind: "http".to_owned(), name: "orders".to_owned() }
    }

    #[test]
    fn what_is_alike_is_counted_together() {
        let verdicts = Verdicts::default();
        for code in ["a", "b", "a"] {
            verdicts.note(&connector(), Verdict::Refused, Some(code), None);
        }
        let told: Vec<String> = verdicts.take().iter().map(|told| serde_json::to_string(&told.data).unwrap()).collect();
        assert_eq!(
            told,
            [
                r#"{"code":"a","connector":"http/orders","count":2,"verdict":"refused"}"#,
                r#"{"code":"b","connector":"http/orders","count":1,"verdict":"refused"}"#
            ]
        );
        assert!(verdicts.take().is_empty());
    }

    #[test]
    fn duplicates_name_their_run_when_it_is_one() {
        let (verdicts, clock) = (Verdicts::default(), Clock::system());
        let (one, other) = (clock.run_id(), clock.run_id());
        let duplicates = |runs: &[RunId]| {
            runs.iter().for_each(|run| verdicts.note(&connector(), Verdict::Duplicate, None, Some(*run)));
            verdicts.take().remove(0).run
        };
        assert_eq!(duplicates(&[one, one]), Some(one));
        assert_eq!(duplicates(&[one, other, one]), None);
    }

    #[test]
    fn invented_codes_do_not_fill_the_memory() {
        let verdicts = Verdicts::default();
        (0..10_000).for_each(|n| verdicts.note(&connector(), Verdict::Refused, Some(&format!("code_{n}")), None));
        let told = verdicts.take();
        assert_eq!(told.len(), SORTS + 1);
        assert_eq!(told.iter().filter_map(|told| told.data["count"].as_u64()).sum::<u64>(), 10_000);
    }
}
