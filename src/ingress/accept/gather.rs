//! Events of one group, which become one run: the first begins it, the others join it while it waits.

use std::collections::BTreeMap;

use serde_json::{Map, Value, value::RawValue};

use super::{Accept, Entry, Fate, Gathers, New, files};
use crate::{
    model::ids::{RunId, SessionId},
    store::{
        StoreError, downloads,
        gatherings::{self, Gathering},
        heads::{self, Line},
        runs,
        writer::Tx,
    },
};

/// Where the metadata of a run has that of the events that joined it.
const JOINED: &str = "event_joined";

/// Locks the sessions of runs that are joined, before anything else of theirs, as a claim does.
pub(super) async fn lock(new: &[New<'_>], tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let joined = new.iter().filter(|(entry, run, _)| entry.run != *run);
    let sessions: BTreeMap<&str, RunId> = joined.map(|(_, run, place)| (place.session.as_str(), *run)).collect();
    for run in sessions.into_values() {
        heads::lock_of(tx, Line::Sessions, run).await?;
    }
    Ok(())
}

/// Writes what events add to their groups, in order: a group that is full gives way to the next one of its name.
pub(super) async fn write(command: &Accept, fates: &[Fate], tx: &mut Tx<'_>) -> Result<(), StoreError> {
    for (entry, fate) in command.entries.iter().zip(fates) {
        let Some(gathers) = &entry.gathers else { continue };
        match fate {
            Fate::Fresh(place) => begin(entry, gathers, (&place.session, command.now_ms), tx).await?,
            Fate::Joined(run, place) => join(command, (entry, gathers), (*run, &place.session), tx).await?,
            Fate::Duplicate(_) => {}
        }
    }
    Ok(())
}

async fn begin(
    entry: &Entry,
    gathers: &Gathers,
    (session, now_ms): (&SessionId, i64),
    tx: &mut Tx<'_>,
) -> Result<(), StoreError> {
    let last_ms = now_ms.saturating_add(gathers.longest_ms);
    let gathering = Gathering {
        run: entry.run,
        due_ms: due_ms(gathers, now_ms, last_ms, 1),
        last_ms,
        members: vec![(gathers.position, entry.request.input.len())],
    };
    gatherings::insert(tx, &gathering, session, Some(gathers.key).filter(|_| gathers.most > 1)).await
}

async fn join(
    command: &Accept,
    (entry, gathers): (&Entry, &Gathers),
    (run, session): (RunId, &SessionId),
    tx: &mut Tx<'_>,
) -> Result<(), StoreError> {
    let now_ms = command.now_ms;
    // A claim may have come first, in another daemon.
    let Some(mut gathering) = gatherings::find(tx, run).await? else { return Err(StoreError::Outrun) };
    let Some(mut input) = runs::queued_input(tx, run).await? else { return Err(StoreError::Outrun) };
    let Some(metadata) = runs::queued_metadata(tx, run).await? else { return Err(StoreError::Outrun) };
    let files = files::awaited(entry, input.len(), (run, session), &command.source);
    downloads::insert(tx, &files, now_ms).await?;
    input.extend(entry.request.input.iter().cloned());
    runs::set_queued_input(tx, run, &input).await?;
    runs::set_queued_metadata(tx, run, &joined(&metadata, &entry.request.metadata)?).await?;
    gathering.members.push((gathers.position, entry.request.input.len()));
    let events = gathering.members.len();
    gathering.due_ms = due_ms(gathers, now_ms, gathering.last_ms, events);
    let full = events >= gathers.most;
    gatherings::update(tx, &gathering, full).await?;
    if full {
        heads::hurry(tx, session.as_str(), now_ms).await?;
    }
    Ok(())
}

/// When nothing more is waited for.
fn due_ms(gathers: &Gathers, now_ms: i64, last_ms: i64, events: usize) -> i64 {
    if events >= gathers.most { now_ms } else { now_ms.saturating_add(gathers.wait_ms).min(last_ms) }
}

/// The metadata of a run with that of one more event.
fn joined(metadata: &str, added: &RawValue) -> Result<String, StoreError> {
    let damaged = |_| StoreError::Damaged("a run's metadata is not a JSON object");
    let mut metadata: Map<String, Value> = serde_json::from_str(metadata).map_err(damaged)?;
    let added: Value = serde_json::from_str(added.get()).map_err(damaged)?;
    match metadata.entry(JOINED).or_insert_with(|| Value::Array(Vec::new())) {
        Value::Array(others) => others.push(added),
        other => *other = Value::Array(vec![added]),
    }
    serde_json::to_string(&metadata).map_err(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_event_speaks_and_the_others_follow() {
        let raw = |text: &str| serde_json::from_str::<Box<RawValue>>(text).unwrap();
        let two = joined(r#"{"a":1}"#, &raw(r#"{"b":2}"#)).unwrap();
        assert_eq!(two, r#"{"a":1,"event_joined":[{"b":2}]}"#);
        assert_eq!(joined(&two, &raw("{}")).unwrap(), r#"{"a":1,"event_joined":[{"b":2},{}]}"#);
    }

    #[test]
    fn a_run_waits_for_the_next_event_but_not_for_ever_and_not_when_it_is_full() {
        let gathers = Gathers { key: [0; 16], position: 1, wait_ms: 100, longest_ms: 1_000, most: 3 };
        assert_eq!(due_ms(&gathers, 5, 1_005, 1), 105);
        assert_eq!(due_ms(&gathers, 950, 1_005, 2), 1_005);
        assert_eq!(due_ms(&gathers, 950, 1_005, 3), 950);
    }
}
