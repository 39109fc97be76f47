//! What becomes of events, decided from rows that were read once for the whole batch.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{Accept, Entry, Gathers, Refused};
use crate::{
    ingress::rate::RateLimit,
    model::ids::{RunId, SessionId},
    sessions::placement::Place,
    store::{
        StoreError, assets, bindings,
        gatherings::{self, GroupKey},
        receipts::{self, Receipt, ReceiptKey},
        sessions,
        writer::Tx,
    },
};

/// What an entry will become.
pub(super) enum Fate {
    /// A new run.
    Fresh(Place),
    /// Part of a run that waits for it.
    Joined(RunId, Place),
    /// It was accepted before, as this run.
    Duplicate(RunId),
}

impl Fate {
    /// Of an event that was not known before: the run that it is or joins, and its place.
    pub(super) fn of_new(&self, entry: &Entry) -> Option<(RunId, &Place)> {
        match self {
            Self::Fresh(place) => Some((entry.run, place)),
            Self::Joined(run, place) => Some((*run, place)),
            Self::Duplicate(_) => None,
        }
    }
}

pub(super) type Decision = Result<Vec<Fate>, Refused>;

/// The rows that decisions rest on, and what earlier commands of the batch add to them.
pub(super) struct Known {
    receipts: HashMap<Vec<u8>, Receipt>,
    bindings: HashMap<String, SessionId>,
    sessions: HashSet<SessionId>,
    assets: HashSet<String>,
    /// Runs that further events of their groups can join.
    open: HashMap<(GroupKey, SessionId), Open>,
    /// Rate tokens that were spent for this batch.
    spent: Vec<(Arc<RateLimit>, u64)>,
}

/// A run that waits for further events.
#[derive(Clone, Copy)]
struct Open {
    run: RunId,
    /// How many it has.
    events: usize,
}

impl Known {
    pub(super) async fn read(batch: &[Accept], tx: &mut Tx<'_>) -> Result<Self, StoreError> {
        let entries = || batch.iter().flat_map(|command| &command.entries);
        let keys: Vec<ReceiptKey> = entries().filter_map(|entry| Some(entry.key.as_ref()?.receipt)).collect();
        let receipts = receipts::find_by_keys(tx, &keys).await?;
        let binding_keys: Vec<&str> =
            entries().flat_map(|entry| &entry.placement.binding_keys).map(String::as_str).collect();
        let bindings = bindings::find_by_keys(tx, &binding_keys).await?;
        let asset_ids: Vec<&str> = entries().flat_map(|entry| entry.referenced_assets()).collect();
        let assets = assets::existing(tx, &asset_ids).await?;
        let wary = entries().filter(|entry| !entry.placement.create);
        let wanted: Vec<&SessionId> = wary
            .flat_map(|entry| {
                let bound = entry.placement.binding_keys.iter().filter_map(|key| bindings.get(key));
                bound.chain(&entry.placement.chosen).chain(&entry.placement.natural)
            })
            .collect();
        let sessions = sessions::existing(tx, &wanted).await?;
        let groups: Vec<GroupKey> = entries().filter_map(|entry| Some(entry.gathers?.key)).collect();
        let open = gatherings::open(tx, &groups).await?;
        let open = open.into_iter().map(|(key, session, run, events)| ((key, session), Open { run, events })).collect();
        Ok(Self { receipts, bindings, sessions, assets, open, spent: Vec::new() })
    }

    /// Decides one command and, when all of it is accepted, remembers what it will write.
    pub(super) fn decide(&mut self, command: &Accept) -> Decision {
        let mut fates = Vec::with_capacity(command.entries.len());
        let open = self.open.clone();
        let decided = command.entries.iter().try_for_each(|entry| {
            let fate = self.decide_entry(entry)?;
            self.remember(entry, &fate);
            fates.push(fate);
            Ok(())
        });
        match decided.and_then(|()| self.spend(command, &fates)) {
            Ok(()) => Ok(fates),
            Err(refused) => {
                command.entries.iter().zip(&fates).for_each(|(entry, fate)| self.forget(entry, fate));
                self.open = open;
                Err(refused)
            }
        }
    }

    fn spend(&mut self, command: &Accept, fates: &[Fate]) -> Result<(), Refused> {
        let new = fates.iter().filter(|fate| !matches!(fate, Fate::Duplicate(_))).count() as u64;
        let Some(rate) = command.rate.as_ref().filter(|_| new > 0) else { return Ok(()) };
        rate.try_take(command.now_ms, new).map_err(Refused::TooFast)?;
        self.spent.push((Arc::clone(rate), new));
        Ok(())
    }

    pub(super) fn give_back(&self) {
        self.spent.iter().for_each(|(rate, tokens)| rate.give_back(*tokens));
    }

    fn decide_entry(&self, entry: &Entry) -> Result<Fate, Refused> {
        if let Some(key) = &entry.key
            && let Some(receipt) = self.receipts.get(key.receipt.as_slice())
        {
            let same = receipt.fingerprint == key.fingerprint;
            return if same { Ok(Fate::Duplicate(receipt.run)) } else { Err(Refused::Conflict(receipt.run)) };
        }
        if let Some(missing) = entry.referenced_assets().find(|id| !self.assets.contains(*id)) {
            return Err(Refused::UnknownAsset(missing.to_owned()));
        }
        let place = entry.placement.decide(&self.bindings)?;
        if !entry.placement.create && !self.sessions.contains(&place.session) {
            return Err(Refused::UnknownSession(place.session));
        }
        let open = entry.gathers.and_then(|gathers| self.open.get(&(gathers.key, place.session.clone())));
        Ok(match open {
            Some(open) => Fate::Joined(open.run, place),
            None => Fate::Fresh(place),
        })
    }

    fn remember(&mut self, entry: &Entry, fate: &Fate) {
        let Some((run, place)) = fate.of_new(entry) else { return };
        if let Some(key) = &entry.key {
            let receipt = Receipt { fingerprint: key.fingerprint.to_vec(), run };
            self.receipts.insert(key.receipt.to_vec(), receipt);
        }
        self.bindings.extend(place.newly_bound.iter().map(|key| (key.clone(), place.session.clone())));
        if let Some(gathers) = entry.gathers {
            self.grow(gathers, run, &place.session);
        }
    }

    fn grow(&mut self, Gathers { key, most, .. }: Gathers, run: RunId, session: &SessionId) {
        let group = (key, session.clone());
        let events = self.open.remove(&group).map_or(0, |open| open.events) + 1;
        if events < most {
            self.open.insert(group, Open { run, events });
        }
    }

    fn forget(&mut self, entry: &Entry, fate: &Fate) {
        let Some((_, place)) = fate.of_new(entry) else { return };
        if let Some(key) = &entry.key {
            self.receipts.remove(key.receipt.as_slice());
        }
        place.newly_bound.iter().for_each(|key| drop(self.bindings.remove(key)));
    }
}
