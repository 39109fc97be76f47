//! What a claim finds at the head of a session: its oldest run, or what that run waits for.

use crate::{
    model::run::{Run, RunInput},
    store::{
        StoreError, downloads,
        gatherings::{self, Gathering, Member},
        heads::Claimed,
        runs,
        writer::Tx,
    },
};

/// When a session whose oldest run waits for files is looked at again if nothing makes it ready before, in milliseconds.
const FILES_RECHECK_MS: i64 = 60_000;

/// What a claim finds.
pub(super) enum Found {
    /// The run, which is taken.
    Run(Box<Run>),
    /// One that waits until then, or less.
    Waits(i64),
    /// Nothing.
    Nothing,
}

/// Takes the oldest run of a session that the caller has just claimed. The wait for further events ends here, once it is over
/// and every file is there: nothing else needs to know.
pub(super) async fn take(tx: &mut Tx<'_>, head: &Claimed, now_ms: i64) -> Result<Found, StoreError> {
    if let Some(run) = runs::take_front(tx, &head.id, head.epoch, now_ms).await? {
        return Ok(Found::Run(Box::new(run)));
    }
    match gatherings::of_front(tx, &head.id).await? {
        Some(gathering) if gathering.due_ms > now_ms => {
            tx.wake_runs_after(gathering.due_ms - now_ms);
            return Ok(Found::Waits(gathering.due_ms));
        }
        Some(gathering) if downloads::left(tx, gathering.run).await? == 0 => {
            close(tx, &gathering).await?;
            let run = runs::take_front(tx, &head.id, head.epoch, now_ms).await?;
            return Ok(run.map_or(Found::Nothing, |run| Found::Run(Box::new(run))));
        }
        _ => {}
    }
    let waits = downloads::any_in(tx, &head.id).await?;
    Ok(if waits { Found::Waits(now_ms.saturating_add(FILES_RECHECK_MS)) } else { Found::Nothing })
}

/// Ends the wait for further events, and puts the input of those that came into their order. Not before: while files are
/// fetched each has its place in the input.
async fn close(tx: &mut Tx<'_>, gathering: &Gathering) -> Result<(), StoreError> {
    if !gathering.members.is_sorted_by_key(|(position, _)| *position)
        && let Some(input) = runs::queued_input(tx, gathering.run).await?
    {
        runs::set_queued_input(tx, gathering.run, &in_order(input, &gathering.members)).await?;
    }
    gatherings::end(tx, gathering.run).await?;
    Ok(())
}

/// The parts of events, which stand as the events came, in the order of the events' positions.
fn in_order(input: Vec<RunInput>, members: &[Member]) -> Vec<RunInput> {
    let mut parts = input.into_iter();
    let mut events: Vec<(u64, Vec<RunInput>)> =
        members.iter().map(|(position, count)| (*position, parts.by_ref().take(*count).collect())).collect();
    events.sort_by_key(|(position, _)| *position);
    events.into_iter().flat_map(|(_, own)| own).chain(parts).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(text: String) -> RunInput {
        RunInput::Text { text }
    }

    proptest! {
        #[test]
        fn parts_follow_their_events(members in prop::collection::vec((0_u64..5, 0_usize..4), 0..6)) {
            let own = |event: usize, count: usize| (0..count).map(move |part| text(format!("{event}.{part}")));
            let arrived = members.iter().enumerate().flat_map(|(event, (_, count))| own(event, *count)).collect();
            let mut order: Vec<usize> = (0..members.len()).collect();
            order.sort_by_key(|event| members[*event].0);
            let expected: Vec<RunInput> = order.into_iter().flat_map(|event| own(event, members[event].1)).collect();
            prop_assert_eq!(in_order(arrived, &members), expected);
        }
    }
}
