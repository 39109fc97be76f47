//! Which executor a session has, and who claims it.

use kheish::{clock::Clock, queue::claim::Claim, store::Store};

use super::{Accepted, accept, event};

async fn claimed(store: &Store, clock: &Clock, executors: &[&str], limit: i64) -> Vec<String> {
    let executors = executors.iter().map(|name| (*name).to_owned()).collect();
    let claim = Claim { owner: "worker:test".to_owned(), executors, limit, lease_ms: 60_000, now_ms: clock.now_ms() };
    let runs = store.write(claim).await.unwrap();
    runs.into_iter().map(|claimed| format!("{}@{}", claimed.run.session, claimed.run.executor)).collect()
}

pub(crate) async fn claims_take_their_own_executors_sessions(stores: Vec<Store>) {
    let clock = Clock::system();
    let store = &stores[0];
    for (session, executor) in [("a", Some("far")), ("b", None), ("c", Some("near")), ("a", Some("near"))] {
        let mut event = event(&clock, session, session, "one");
        event.entries[0].executor = executor.map(str::to_owned);
        event.entries[0].key = None;
        let Ok(Accepted::Fresh(run, _)) = accept(store, event).await else { panic!("it is new") };
        let first = if session == "a" { "far" } else { executor.unwrap_or_default() };
        assert_eq!(run.executor, first, "the first event of a session chooses");
    }
    assert_eq!(claimed(store, &clock, &["other"], 9).await, Vec::<String>::new());
    assert_eq!(claimed(store, &clock, &["far"], 9).await.len(), 1);
    let both = claimed(store, &clock, &["", "near"], 1).await;
    let rest = claimed(store, &clock, &["", "near"], 9).await;
    let mut executors: Vec<&str> = both.iter().chain(&rest).filter_map(|text| Some(text.split_once('@')?.1)).collect();
    executors.sort_unstable();
    assert_eq!((both.len(), executors), (1, vec!["", "near"]), "the limit counts for all of them together");
}
