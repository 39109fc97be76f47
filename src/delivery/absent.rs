//! Connectors whose other side is not there. What leads to them waits before it is taken up: no attempt, no worker and no other
//! lane is lost to it. It says what it waits for, and streams are told when that changes. Whoever finds the other side there
//! again wakes these lanes ([`Return`]), so that waits may be long.

use std::{collections::HashMap, fmt, sync::Arc};

use serde_json::json;

use super::{destinations::Destinations, take::Take, targets};
use crate::{
    connectors::health::Absence,
    model::{happening::delivery_updated, ids::ConnectorId, run::RunError},
    secrets::mask::mask,
    store::{
        StoreError,
        deliveries::waiting::{self, Head},
        turns::{self, Ready},
        writer::{Command, Tx},
    },
};

/// Lanes that one claim tells that another daemon is to send what is in them: the longest-ready ones.
const TOLD: usize = 16;

/// Knows which connectors cannot be sent to.
#[derive(Clone)]
pub struct Absent {
    destinations: Arc<dyn Destinations>,
    give_up_after_ms: i64,
}

impl fmt::Debug for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Absent").field("give_up_after_ms", &self.give_up_after_ms).finish_non_exhaustive()
    }
}

impl Absent {
    /// Nothing waits longer than so many milliseconds after its run ended; then it is given up.
    pub fn new(destinations: Arc<dyn Destinations>, give_up_after_ms: i64) -> Self {
        Self { destinations, give_up_after_ms }
    }

    /// Asks each owner once.
    pub(super) fn ask(&self) -> Asked<'_> {
        Asked { absent: self, answers: HashMap::new() }
    }

    fn absence(&self, owner: &str) -> Option<Absence> {
        let (kind, name) = owner.split_once('/').filter(|_| targets::is_connector(owner))?;
        let id = ConnectorId { kind: kind.to_owned(), name: name.to_owned() };
        let (plugin, context) = self.destinations.find(&id)?;
        plugin.absence(&context)
    }
}

/// What owners of lanes have said in one claim.
pub(super) struct Asked<'a> {
    absent: &'a Absent,
    answers: HashMap<String, Option<Absence>>,
}

impl Asked<'_> {
    /// Why nothing can be sent to an owner.
    pub(super) fn of(&mut self, owner: &str) -> Option<&Absence> {
        if !self.answers.contains_key(owner) {
            self.answers.insert(owner.to_owned(), self.absent.absence(owner));
        }
        self.answers.get(owner).and_then(Option::as_ref)
    }

    /// Lanes that are left to another daemon, and the others.
    pub(super) fn part(&mut self, lanes: Vec<Ready>) -> (Vec<Ready>, Vec<Ready>) {
        lanes.into_iter().partition(|lane| self.of(&lane.owner).is_some_and(|absence| absence.elsewhere))
    }

    /// Has those of these lanes wait that cannot go. Gives the others, and how many wait.
    pub(super) async fn hold(
        &mut self,
        take: &Take,
        lanes: Vec<Ready>,
        tx: &mut Tx<'_>,
    ) -> Result<(Vec<Ready>, usize), StoreError> {
        let (mut may_go, mut waiting) = (Vec::with_capacity(lanes.len()), 0);
        for lane in lanes {
            let times = (take.now_ms, self.absent.give_up_after_ms);
            let waits = match self.of(&lane.owner) {
                Some(absence) => hold(tx, &lane, absence, times).await?,
                None => false,
            };
            if waits {
                waiting += 1;
            } else {
                may_go.push(lane);
            }
        }
        Ok((may_go, waiting))
    }

    /// Lanes that another daemon is to send from stay as they are; where they wait for long the first of them say so.
    pub(super) async fn tell(&mut self, take: &Take, lanes: &[Ready], tx: &mut Tx<'_>) -> Result<(), StoreError> {
        for lane in lanes.iter().take(TOLD) {
            let Some(absence) = self.of(&lane.owner) else { continue };
            let Some(head) = waiting::head(tx, &lane.id).await? else { continue };
            let long = head.due_ms.saturating_add(absence.wait_ms) <= take.now_ms;
            if long && head.code.as_deref() != Some(absence.code) {
                wait(tx, &head, absence, None).await?;
            }
        }
        Ok(())
    }
}

/// False where the lane's next part has waited for too long: then it goes, and is given up where it still cannot.
async fn hold(
    tx: &mut Tx<'_>,
    lane: &Ready,
    absence: &Absence,
    (now_ms, give_up_after_ms): (i64, i64),
) -> Result<bool, StoreError> {
    let Some(head) = waiting::head(tx, &lane.id).await? else { return Ok(false) };
    let give_up_ms = head.created_ms.saturating_add(give_up_after_ms);
    if give_up_ms <= now_ms {
        return Ok(false);
    }
    let until_ms = now_ms.saturating_add(absence.wait_ms).min(give_up_ms);
    turns::put_off(tx, &lane.id, until_ms).await?;
    wait(tx, &head, absence, Some(until_ms)).await?;
    Ok(true)
}

async fn wait(tx: &mut Tx<'_>, head: &Head, absence: &Absence, until_ms: Option<i64>) -> Result<(), StoreError> {
    let Absence { code, reason, .. } = absence;
    let reason = mask(reason);
    waiting::wait(tx, head, until_ms.unwrap_or(head.due_ms), (code, &reason)).await?;
    if head.code.as_deref() != Some(*code) {
        let error = RunError { code: (*code).to_owned(), detail: reason.into_owned() };
        let told = delivery_updated(head.now()).with_some("part", (head.parts > 1).then_some(head.part));
        tx.record(told.with_some("next_attempt_at_ms", until_ms).with("error", json!(error)));
    }
    Ok(())
}

/// The other side of a connector is there again: what waited for it goes.
#[derive(Clone, Debug)]
pub struct Return {
    /// The connector.
    pub connector: ConnectorId,
    /// What was waited for.
    pub codes: &'static [&'static str],
    /// When, in milliseconds since 1970.
    pub now_ms: i64,
}

impl Command for Return {
    type Reply = ();

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<()>, StoreError> {
        for Self { connector, codes, now_ms } in batch {
            waiting::end(tx, &connector.to_string(), codes, *now_ms).await?;
        }
        tx.wake_deliveries();
        Ok(vec![(); batch.len()])
    }
}
