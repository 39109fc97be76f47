//! The store's statements on both databases: one text, the same answers.
//!
//! PostgreSQL shows races that SQLite's one writer hides, so the last test lets many writers loose on one server.

#![expect(clippy::unwrap_used, reason = "a test ends where something fails")]

use std::{collections::HashMap, sync::Arc};

use kheish::{
    clock::Clock,
    delivery::{absent::Absent, destinations::NoConnectors, pace::Pacer},
    executor::{Executor, worker::Post},
    ingress::accept::{Accept, Accepted, Entry, Key, Refused},
    metrics::Metrics,
    model::{
        event::SessionKey,
        ids::{ConnectorId, RunId, SessionId},
        run::{RunInput, RunRequest, RunStatus},
        target::ReplyTarget,
    },
    outputs::{
        address::Desk,
        append::{Append, Appended},
        finish::{End, Finish, Finished},
    },
    queue::{
        claim::{Claim, ClaimedRun},
        hold::{Heartbeat, Held},
    },
    sessions::placement::Placement,
    store::{
        Store, StoreError, StoreSettings,
        deliveries::read::{self, DeliveryFilter},
        runs::{self, Fence},
        sql::Query,
        writer::{Command, Tx},
    },
};

mod attempts;
mod cancel;
mod choice;
mod downloads;
mod duties;
mod events;
mod fold;
mod front;
mod gatherings;
mod operate;
mod order;
mod paces;
mod pauses;
mod server;
mod turns;
mod vault;

use attempts::{a_failure_says_whether_another_attempt_may_help, an_attempt_is_over_with_its_lease};
use cancel::a_run_that_waits_or_runs_is_cancelled_once;
use choice::claims_take_their_own_executors_sessions;
use downloads::{
    a_backlog_of_a_paused_connector_is_in_nobody_s_way, files_of_a_paused_connector_wait_but_for_one_probe,
    files_of_many_runs_are_fetched_side_by_side, what_a_former_daemon_fetched_is_due_again,
};
use duties::{
    a_duty_is_one_daemon_s_until_it_lets_go, a_duty_of_a_daemon_that_is_gone_is_had_by_another,
    all_that_a_daemon_has_is_renewed_together, one_daemon_at_a_time_does_it,
    what_was_fetched_by_a_former_owner_is_not_written,
};
use events::{an_event_is_told_of_step_by_step, only_commands_that_succeed_are_told_of};
use front::a_claim_finds_the_oldest_run_that_waits;
use gatherings::{
    a_group_that_is_cancelled_or_full_is_joined_no_more, an_event_joins_a_run_that_waits_or_is_one,
    events_of_a_group_are_one_run_whoever_takes_them,
};
use operate::{
    an_idle_lane_is_left_in_peace_as_long_as_a_busy_one, operators_change_deliveries,
    what_dies_with_its_daemon_again_and_again_is_given_up, what_is_looked_up_goes_first_and_is_fenced,
};
use paces::a_lane_that_waits_for_a_rate_says_until_when;
use pauses::{a_pause_holds_its_lanes_and_no_others, a_probe_that_died_makes_room_and_nothing_else_does};
use server::Server;
use turns::{owners_get_their_turn, owners_keep_to_their_share};
use vault::{daemons_share_secrets_while_keys_are_replaced, secrets_are_kept_sealed};

/// Runs a test on either database.
macro_rules! on_both {
    ($($test:ident),* $(,)?) => {
        mod sqlite { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let folder = tempfile::tempdir().unwrap();
                super::$test(vec![super::sqlite(folder.path()).await]).await;
            }
        )* }
        mod postgres { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let server = super::Server::start();
                super::$test(super::postgres(&server, super::WRITERS).await).await;
            }
        )* }
    };
}

on_both!(
    an_event_is_accepted_once,
    runs_of_a_session_are_claimed_one_by_one_in_order,
    a_late_write_is_refused_by_the_fence,
    a_claim_finds_the_oldest_run_that_waits,
    a_run_that_waits_or_runs_is_cancelled_once,
    claims_take_their_own_executors_sessions,
    outputs_become_one_delivery_for_each_target,
    many_writers_neither_lose_nor_repeat,
    secrets_are_kept_sealed,
    daemons_share_secrets_while_keys_are_replaced,
    only_commands_that_succeed_are_told_of,
    an_event_is_told_of_step_by_step,
    operators_change_deliveries,
    a_lane_that_waits_for_a_rate_says_until_when,
    an_idle_lane_is_left_in_peace_as_long_as_a_busy_one,
    a_failure_says_whether_another_attempt_may_help,
    an_attempt_is_over_with_its_lease,
    what_is_looked_up_goes_first_and_is_fenced,
    what_dies_with_its_daemon_again_and_again_is_given_up,
    a_pause_holds_its_lanes_and_no_others,
    a_probe_that_died_makes_room_and_nothing_else_does,
    owners_keep_to_their_share,
    owners_get_their_turn,
    files_of_many_runs_are_fetched_side_by_side,
    what_a_former_daemon_fetched_is_due_again,
    events_of_a_group_are_one_run_whoever_takes_them,
    an_event_joins_a_run_that_waits_or_is_one,
    a_group_that_is_cancelled_or_full_is_joined_no_more,
    files_of_a_paused_connector_wait_but_for_one_probe,
    a_backlog_of_a_paused_connector_is_in_nobody_s_way,
    a_duty_is_one_daemon_s_until_it_lets_go,
    all_that_a_daemon_has_is_renewed_together,
    a_duty_of_a_daemon_that_is_gone_is_had_by_another,
    what_was_fetched_by_a_former_owner_is_not_written,
    one_daemon_at_a_time_does_it,
);

/// Daemons on one server.
const WRITERS: usize = 6;
/// Sessions of the stress test.
const SESSIONS: usize = 12;
/// Events of each of them.
const EVENTS: usize = 25;

/// A statement by itself.
struct Statement(Query);

impl Command for Statement {
    type Reply = ();

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<()>, StoreError> {
        for statement in batch {
            tx.execute(statement.0.clone()).await?;
        }
        Ok(vec![(); batch.len()])
    }
}

async fn sqlite(folder: &std::path::Path) -> Store {
    Store::open_sqlite(folder, &StoreSettings::default(), Metrics::new().unwrap()).await.unwrap()
}

async fn postgres(server: &Server, writers: usize) -> Vec<Store> {
    let mut stores = Vec::new();
    for _ in 0..writers {
        let metrics = Metrics::new().unwrap();
        stores.push(Store::open_postgres(&server.url(), &StoreSettings::default(), metrics).await.unwrap());
    }
    stores
}

fn event(clock: &Clock, session: &str, key: &str, payload: &str) -> Accept {
    let connector = ConnectorId { kind: "http".to_owned(), name: "orders".to_owned() };
    let placement = Placement::new(&connector, &SessionKey::SessionId(session.to_owned()), Vec::new()).unwrap();
    let mut short = [0; 16];
    short[..key.len()].copy_from_slice(key.as_bytes());
    let mut fingerprint = [0; 32];
    fingerprint[..payload.len()].copy_from_slice(payload.as_bytes());
    let request = RunRequest {
        source_plugin: "http".to_owned(),
        source_kind: "orders".to_owned(),
        actor: None,
        input: vec![RunInput::Text { text: key.to_owned() }],
        metadata: serde_json::from_str("{}").unwrap(),
        reply_targets: vec![target("https://one.example/"), target("https://two.example/")],
    };
    let key = Some(Key { receipt: short, fingerprint });
    let entry = Entry {
        run: clock.run_id(),
        key,
        placement: placement.creating(true),
        request,
        write_back: false,
        executor: None,
        assets: Vec::new(),
        fetch: false,
        gathers: None,
    };
    Accept {
        source: connector.to_string(),
        entries: vec![entry],
        effects: Vec::new(),
        rate: None,
        now_ms: clock.now_ms(),
    }
}

fn target(address: &str) -> ReplyTarget {
    ReplyTarget { plugin: "http".to_owned(), address: address.to_owned() }
}

/// For connectors that are not there, and so have no rates.
fn unpaced() -> Arc<Pacer> {
    Pacer::new(Arc::new(NoConnectors), 100, 0)
}

/// For connectors that are not there, and so cannot be away.
fn nobody_absent() -> Absent {
    Absent::new(Arc::new(NoConnectors), i64::MAX)
}

async fn accept(store: &Store, event: Accept) -> Result<Accepted, Refused> {
    store.write(event).await.unwrap().map(|mut accepted| accepted.remove(0))
}

/// The default executor's post.
fn post(executor: Arc<dyn Executor>) -> Post {
    Post { name: "test".to_owned(), health: Arc::default(), serves: vec![String::new()], concurrent_runs: 64, executor }
}

async fn claim(store: &Store, clock: &Clock, limit: i64) -> Vec<ClaimedRun> {
    store
        .write(Claim {
            owner: "worker:test".to_owned(),
            executors: vec![String::new()],
            limit,
            lease_ms: 60_000,
            now_ms: clock.now_ms(),
        })
        .await
        .unwrap()
}

async fn finish(store: &Store, clock: &Clock, run: &ClaimedRun) -> Finished {
    let fence = Fence { run: run.run.id, epoch: run.run.epoch };
    let end = End::Completed(vec!["said".to_owned().into()]);
    store.write(Finish { fence, end, desk: desk(clock) }).await.unwrap()
}

async fn an_event_is_accepted_once(stores: Vec<Store>) {
    let clock = Clock::system();
    let Ok(Accepted::Fresh(run, before)) = accept(&stores[0], event(&clock, "s", "k", "one")).await else { panic!() };
    assert_eq!((run.seq, before), (1, 0));
    for store in &stores {
        let again = accept(store, event(&clock, "s", "k", "one")).await;
        assert!(matches!(again, Ok(Accepted::Duplicate(id)) if id == run.id), "{again:?}");
        assert!(matches!(accept(store, event(&clock, "s", "k", "two")).await, Err(Refused::Conflict(_))));
    }
    let tally = runs::tally(&stores[0]).await.unwrap();
    assert_eq!(tally.iter().map(|(_, count)| count).sum::<i64>(), 1);
}

async fn runs_of_a_session_are_claimed_one_by_one_in_order(stores: Vec<Store>) {
    let clock = Clock::system();
    let mut expected = Vec::new();
    for key in ["a", "b", "c"] {
        let Ok(Accepted::Fresh(run, _)) = accept(&stores[0], event(&clock, "s", key, "x")).await else { panic!() };
        expected.push(run.id);
    }
    let mut seen: Vec<RunId> = Vec::new();
    for _ in 0..3 {
        let claimed = claim(&stores[0], &clock, 8).await;
        assert_eq!(claimed.len(), 1, "one active run in a session");
        assert!(claim(&stores[0], &clock, 8).await.is_empty());
        seen.push(claimed[0].run.id);
        assert!(matches!(finish(&stores[0], &clock, &claimed[0]).await, Finished::Done(_)));
    }
    assert_eq!(seen, expected);
    assert!(claim(&stores[0], &clock, 8).await.is_empty());
}

async fn a_late_write_is_refused_by_the_fence(stores: Vec<Store>) {
    let clock = Clock::system();
    accept(&stores[0], event(&clock, "s", "k", "x")).await.unwrap();
    let claimed = claim(&stores[0], &clock, 1).await.remove(0);
    let late = Fence { run: claimed.run.id, epoch: claimed.run.epoch - 1 };
    let held = stores[0].write(Heartbeat { fence: late, until_ms: clock.now_ms() + 1 }).await.unwrap();
    assert_eq!(held, Held::Lost);
    let end = End::Completed(vec!["late".to_owned().into()]);
    assert_eq!(stores[0].write(Finish { fence: late, end, desk: desk(&clock) }).await.unwrap(), Finished::Lost);
    assert_eq!(runs::get(&stores[0], claimed.run.id).await.unwrap().unwrap().status, RunStatus::Running);
    assert!(matches!(finish(&stores[0], &clock, &claimed).await, Finished::Done(_)));
}

/// By an output that cannot be read, which SQLite alone can hold.
#[tokio::test]
async fn what_goes_out_whole_is_not_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let (store, clock) = (sqlite(folder.path()).await, Clock::system());
    accept(&store, event(&clock, "s", "k", "x")).await.unwrap();
    let claimed = claim(&store, &clock, 1).await.remove(0);
    let fence = Fence { run: claimed.run.id, epoch: claimed.run.epoch };
    let append = Append { fence, outputs: vec!["said".to_owned().into()], now_ms: clock.now_ms() };
    assert_eq!(store.write(append).await.unwrap(), Appended::Total(1));
    let spoil = Query::new("UPDATE outputs SET content = x'ff'");
    store.write(Statement(spoil)).await.unwrap();
    assert!(matches!(finish(&store, &clock, &claimed).await, Finished::Done(_)));
    let filter = DeliveryFilter { run: Some(claimed.run.id), ..DeliveryFilter::default() };
    assert_eq!(read::ids(&store, &filter, 10).await.unwrap().len(), 4);
}

async fn outputs_become_one_delivery_for_each_target(stores: Vec<Store>) {
    let clock = Clock::system();
    accept(&stores[0], event(&clock, "s", "k", "x")).await.unwrap();
    let claimed = claim(&stores[0], &clock, 1).await.remove(0);
    finish(&stores[0], &clock, &claimed).await;
    // The answer was lost and the worker asks again: nothing is added.
    assert!(matches!(finish(&stores[0], &clock, &claimed).await, Finished::Done(_)));
    let filter = DeliveryFilter { run: Some(claimed.run.id), ..DeliveryFilter::default() };
    let sent = read::list(&stores[0], &filter, 10).await.unwrap();
    assert_eq!(
        sent.iter().map(|delivery| delivery.target.address.as_str()).collect::<Vec<_>>(),
        ["https://one.example/", "https://two.example/"]
    );
}

/// Every writer accepts every event, in an order of its own, while every writer claims and finishes without a pause.
async fn many_writers_neither_lose_nor_repeat(stores: Vec<Store>) {
    let clock = Clock::system();
    let mut senders = tokio::task::JoinSet::new();
    for (writer, store) in stores.iter().cloned().enumerate() {
        let clock = clock.clone();
        senders.spawn(async move { send_all(&store, &clock, writer).await });
    }
    let stores = Arc::new(stores);
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..2 * stores.len() {
        let (stores, clock) = (Arc::clone(&stores), clock.clone());
        workers.spawn(async move { work_until_all_is_done(&stores[worker % stores.len()], &clock).await });
    }
    let fresh: usize = senders.join_all().await.into_iter().sum();
    assert_eq!(fresh, SESSIONS * EVENTS, "each event became one run, whoever accepted it");
    let mut finished: HashMap<RunId, usize> = HashMap::new();
    let mut order: Vec<(SessionId, i64, i64)> = Vec::new();
    for (run, session, epoch, seq) in workers.join_all().await.into_iter().flatten() {
        *finished.entry(run).or_default() += 1;
        order.push((session, epoch, seq));
    }
    assert_eq!(finished.len(), SESSIONS * EVENTS, "no run was lost");
    assert!(finished.values().all(|times| *times == 1), "no run was finished twice");
    order.sort();
    // The epoch tells in which order a session's runs were claimed, whichever worker noted it first.
    assert!(order.windows(2).all(|pair| pair[0].0 != pair[1].0 || pair[0].2 < pair[1].2), "runs kept their order");
}

async fn send_all(store: &Store, clock: &Clock, writer: usize) -> usize {
    let mut sends = tokio::task::JoinSet::new();
    for number in 0..SESSIONS * EVENTS {
        let number = if writer.is_multiple_of(2) { number } else { SESSIONS * EVENTS - 1 - number };
        let (store, clock) = (store.clone(), clock.clone());
        sends.spawn(async move {
            let session = format!("s{}", number % SESSIONS);
            let accepted = accept(&store, event(&clock, &session, &format!("k{number}"), "x")).await;
            usize::from(matches!(accepted.unwrap(), Accepted::Fresh(..)))
        });
    }
    sends.join_all().await.into_iter().sum()
}

async fn work_until_all_is_done(store: &Store, clock: &Clock) -> Vec<(RunId, SessionId, i64, i64)> {
    let mut done = Vec::new();
    loop {
        let claimed = claim(store, clock, 4).await;
        for run in &claimed {
            assert!(
                matches!(finish(store, clock, run).await, Finished::Done(_)),
                "an active run could not be finished"
            );
            done.push((run.run.id, run.run.session.clone(), run.run.epoch, run.run.seq));
        }
        let completed =
            runs::tally(store).await.unwrap().into_iter().find(|(status, _)| *status == RunStatus::Completed);
        if claimed.is_empty() && completed.is_some_and(|(_, count)| count == i64::try_from(SESSIONS * EVENTS).unwrap())
        {
            return done;
        }
    }
}

fn desk(clock: &Clock) -> Desk {
    Desk { clock: clock.clone(), destinations: Arc::new(NoConnectors) }
}
