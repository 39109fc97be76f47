//! Which deliveries a run's outputs become: one for each output and reply target, in as many parts as the target wants.

use std::{collections::HashMap, sync::Arc};

use super::finish::Finish;
use crate::{
    clock::Clock,
    delivery::{
        destinations::Destinations,
        parts::{Part, Shape},
        targets,
    },
    model::{
        delivery::DeliveryStatus,
        happening::{DeliveryNow, delivery_updated},
        run::Run,
        target::ReplyTarget,
    },
    store::{
        StoreError,
        deliveries::{self, NewDelivery},
        heads::{self, Added, Line},
        outputs,
        writer::Tx,
    },
};

/// What deliveries are made with.
#[derive(Clone)]
pub struct Desk {
    /// Where time and new ids come from.
    pub clock: Clock,
    /// The connectors, which say how long a part may be.
    pub destinations: Arc<dyn Destinations>,
}

/// One place that the outputs go to.
struct Goal<'r> {
    target: &'r ReplyTarget,
    lane: String,
    owner: String,
    /// The parts of each output.
    parts: Vec<Vec<Part>>,
}

/// Writes the deliveries of a run that has said so many outputs, behind what waits in their lanes.
pub(super) async fn address(finish: &Finish, run: &Run, outputs: i64, tx: &mut Tx<'_>) -> Result<(), StoreError> {
    if outputs == 0 || run.request.reply_targets.is_empty() {
        return Ok(());
    }
    let Desk { clock, destinations } = &finish.desk;
    let now_ms = clock.now_ms();
    let goals = goals((finish, run, outputs), &**destinations, tx).await?;
    let mut next = extend(&goals, now_ms, tx).await?;
    let mut rows = Vec::new();
    for ordinal in 0..outputs {
        for goal in &goals {
            let parts = usize::try_from(ordinal).ok().and_then(|ordinal| goal.parts.get(ordinal));
            let parts = parts.ok_or(StoreError::Damaged("an output that was counted is not there"))?;
            let seq = next.entry(&goal.lane).or_default();
            let (id, lane, target) = (clock.delivery_id(), goal.lane.as_str(), goal.target);
            for (part, content) in (0..).zip(parts) {
                let (text, artifact) = (content.text.as_deref(), content.artifact.as_deref());
                let of = parts.len();
                rows.push(NewDelivery { id, run, ordinal, target, lane, seq: *seq, part, of, text, artifact });
                *seq += 1;
            }
        }
    }
    deliveries::insert(tx, &rows, now_ms).await?;
    rows.iter().filter(|row| row.part == 0).for_each(|row| tx.record(delivery_updated(pending(row))));
    tx.wake_deliveries();
    Ok(())
}

async fn goals<'r>(
    (finish, run, outputs): (&Finish, &'r Run, i64),
    destinations: &dyn Destinations,
    tx: &mut Tx<'_>,
) -> Result<Vec<Goal<'r>>, StoreError> {
    let shapes: Vec<(&ReplyTarget, Shape)> =
        run.request.reply_targets.iter().map(|target| (target, Shape::of(target, destinations))).collect();
    let said = if shapes.iter().all(|(_, shape)| *shape == Shape::Whole) {
        // What goes out whole is cut without a look at it.
        (0..outputs).map(|_| Default::default()).collect()
    } else {
        outputs::said(tx, finish.fence).await?
    };
    let goals = shapes.into_iter().map(|(target, shape)| {
        let parts = said.iter().map(|(text, artifacts)| shape.cut(text, artifacts)).collect();
        Goal { target, lane: target.lane(), owner: targets::owner(target), parts }
    });
    Ok(goals.collect())
}

/// Makes room in the lanes, and says at which place each goes on.
async fn extend<'g>(goals: &'g [Goal<'_>], now_ms: i64, tx: &mut Tx<'_>) -> Result<HashMap<&'g str, i64>, StoreError> {
    let mut added: HashMap<&str, Added<'_>> = HashMap::new();
    for goal in goals {
        let (id, owner) = (goal.lane.as_str(), Some(goal.owner.as_str()));
        let room = added.entry(id).or_insert(Added { id, count: 0, owner });
        room.count += goal.parts.iter().map(|parts| i64::try_from(parts.len()).unwrap_or(i64::MAX)).sum::<i64>();
    }
    let mut added: Vec<Added<'_>> = added.into_values().collect();
    added.sort_unstable_by_key(|room| room.id);
    let tails = heads::grow(tx, Line::Lanes, &added, now_ms).await?;
    let mut next = HashMap::new();
    for room in added {
        let tail = tails.get(room.id).ok_or(StoreError::Damaged("a lane that was extended is not there"))?;
        next.insert(room.id, tail.last_seq - room.count + 1);
    }
    Ok(next)
}

fn pending<'a>(row: &NewDelivery<'a>) -> DeliveryNow<'a> {
    DeliveryNow {
        id: row.id,
        run: row.run.id,
        session: &row.run.session,
        plugin: &row.target.plugin,
        status: DeliveryStatus::Pending,
        attempts: 0,
    }
}
