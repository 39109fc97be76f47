//! The event log: only what commits is told, in order, and no more than is kept.

use kheish::store::{
    Store, StoreError, StoreSettings,
    events::{self, EventFilter, Excerpt},
    sql::Query,
    writer::{Command, Tx},
};

use super::{accept, claim, event, finish};
use kheish::{clock::Clock, model::happening::Happening};

/// Tells that it ran, and then fails where it is told to.
struct Note {
    name: &'static str,
    fails: bool,
}

impl Command for Note {
    type Reply = ();

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<()>, StoreError> {
        for note in batch {
            tx.record(Happening::new(note.name));
            if note.fails {
                tx.execute(Query::new("INSERT INTO bindings (key, session_id) VALUES ('k', NULL)")).await?;
            }
        }
        Ok(vec![(); batch.len()])
    }
}

/// Everything that is kept.
async fn log(store: &Store) -> Excerpt {
    let newest = *store.newest_event().borrow();
    events::read(store, (0, newest), &EventFilter::default(), 10_000).await.unwrap()
}

async fn names(store: &Store) -> Vec<String> {
    log(store).await.events.into_iter().map(|event| event.name).collect()
}

pub(super) async fn only_commands_that_succeed_are_told_of(stores: Vec<Store>) {
    let store = &stores[0];
    let before = names(store).await.len();
    // They wait together, so that they share a transaction, a savepoint, and then have one each.
    let note = |name, fails| store.write(Note { name, fails });
    let ends = futures_util::future::join4(note("a", false), note("b", true), note("c", false), note("d", true)).await;
    assert!(ends.0.is_ok() && ends.1.is_err() && ends.2.is_ok() && ends.3.is_err());
    assert_eq!(names(store).await[before..], ["a", "c"]);
}

pub(super) async fn an_event_is_told_of_step_by_step(stores: Vec<Store>) {
    let (store, clock) = (&stores[0], Clock::system());
    accept(store, event(&clock, "s", "k", "x")).await.unwrap();
    accept(store, event(&clock, "s", "k", "x")).await.unwrap();
    let claimed = claim(store, &clock, 1).await.remove(0);
    finish(store, &clock, &claimed).await;
    finish(store, &clock, &claimed).await;
    let told: Vec<_> = log(store).await.events.into_iter().filter(|event| event.run == Some(claimed.run.id)).collect();
    let names: Vec<&str> = told.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["ingress", "run_updated", "output", "run_updated", "delivery_updated", "delivery_updated"]);
    assert!(told.windows(2).all(|pair| pair[0].id + 1 == pair[1].id), "ids of one start have no gaps");
    assert!(told.iter().all(|event| event.session.as_deref() == Some("s")));
    let filter = EventFilter { run: Some(claimed.run.id), ..EventFilter::default() };
    let some = events::read(store, (told[0].id, told[4].id), &filter, 3).await.unwrap().events;
    assert_eq!(some.iter().map(|event| event.id).collect::<Vec<_>>(), [told[1].id, told[2].id, told[3].id]);
}

#[tokio::test]
async fn the_oldest_are_dropped_and_ids_go_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let settings = StoreSettings { event_history_capacity: 100, ..StoreSettings::default() };
    let mut newest = 0;
    for _ in 0..3 {
        let store =
            Store::open_sqlite(folder.path(), &settings, kheish::metrics::Metrics::new().unwrap()).await.unwrap();
        for _ in 0..4 {
            let notes = (0..60).map(|_| store.write(Note { name: "n", fails: false }));
            futures_util::future::join_all(notes).await;
        }
        let log = log(&store).await;
        assert!((100..164).contains(&log.events.len()), "{} are kept", log.events.len());
        assert_eq!(log.oldest, log.events.first().map(|event| event.id));
        assert!(log.events.windows(2).all(|pair| pair[0].id < pair[1].id));
        let last = log.events.last().unwrap().id;
        assert_eq!(last, *store.newest_event().borrow());
        // Three starts can fall into one second.
        assert!(last >> 32 > newest >> 32, "each start has ids of its own");
        newest = last;
        store.close().await;
    }
}
