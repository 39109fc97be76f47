//! What changes of connectors write, each in one transaction with everything that belongs to it.

use super::{
    change::SessionLoss,
    definition::Definition,
    entry::{Entry, State},
    pauses::lift_all,
};
use crate::{
    delivery::{
        pause::{self, Cause},
        targets,
    },
    model::{
        happening::{Happening, connector_updated, session_updated},
        ids::ConnectorId,
        secret::SecretStatus,
    },
    store::{
        StoreError,
        connectors::{self, StoredConnector},
        key_values, session_targets,
        writer::{Command, Tx},
    },
    vault::{self, ToSeal},
};

/// Writes a connector, the secrets that came with it, and forgets those that it no longer names.
pub(super) struct Save {
    pub(super) row: StoredConnector,
    pub(super) seals: Vec<ToSeal>,
    pub(super) unsealed: Vec<String>,
    pub(super) told: Happening,
    /// Connectors that are given something new by this: a pause of theirs ends.
    pub(super) renewed: Vec<(String, Cause)>,
    pub(super) now_ms: i64,
}

impl Command for Save {
    /// The connectors that were paused.
    type Reply = Vec<(String, Cause)>;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<Self::Reply>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for save in batch {
            vault::write(tx, &save.seals, save.now_ms).await?;
            connectors::save(tx, &save.row, save.now_ms).await?;
            delete_secrets(tx, &save.unsealed).await?;
            tx.record(save.told.clone());
            replies.push(lift_all(tx, &save.renewed).await?);
        }
        Ok(replies)
    }
}

/// Writes a secret, and ends pauses of connectors that rest on it.
pub(super) struct StoreSecret {
    pub(super) seal: ToSeal,
    pub(super) users: Vec<(String, Cause)>,
    pub(super) now_ms: i64,
}

impl Command for StoreSecret {
    /// How the secret stands, and the connectors that were paused.
    type Reply = (SecretStatus, Vec<(String, Cause)>);

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<Self::Reply>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for StoreSecret { seal, users, now_ms } in batch {
            let mut written = vault::write(tx, std::slice::from_ref(seal), *now_ms).await?;
            let status = written.pop().ok_or(StoreError::Damaged("a secret that was written has no status"))?;
            replies.push((status, lift_all(tx, users).await?));
        }
        Ok(replies)
    }
}

/// Forgets a connector: its row, its pause, the secrets that were made for it, and default targets of sessions that named it.
pub(super) struct Remove {
    pub(super) id: ConnectorId,
    /// The revision that goes.
    pub(super) revision: i64,
    /// Whether its durable state goes too: a connector that was taken out of a file may come back.
    pub(super) state: bool,
    pub(super) unsealed: Vec<String>,
    pub(super) now_ms: i64,
}

impl Command for Remove {
    type Reply = Vec<SessionLoss>;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<Self::Reply>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for remove in batch {
            connectors::delete(tx, &remove.id).await?;
            if remove.state {
                key_values::delete_all(tx, &remove.id.to_string()).await?;
            }
            delete_secrets(tx, &remove.unsealed).await?;
            pause::lift(tx, &remove.id.to_string(), Cause::Deleted).await?;
            replies.push(take_out_of_sessions(remove, tx).await?);
            tx.record(connector_updated(&remove.id.to_string(), "deleted", remove.revision));
        }
        Ok(replies)
    }
}

async fn delete_secrets(tx: &mut Tx<'_>, names: &[String]) -> Result<(), StoreError> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    vault::delete(tx, &names).await.map(drop)
}

/// Each session loses the targets that are gone, and no other.
async fn take_out_of_sessions(remove: &Remove, tx: &mut Tx<'_>) -> Result<Vec<SessionLoss>, StoreError> {
    let mut lost = Vec::new();
    for (session, mut list) in session_targets::mentioning(tx, &remove.id.name).await? {
        let leads_there = |target: &_| targets::refers_to(target).as_ref() == Some(&remove.id);
        let removed: Vec<_> = list.targets.iter().filter(|target| leads_there(target)).cloned().collect();
        if removed.is_empty() {
            continue;
        }
        list.targets.retain(|target| !leads_there(target));
        let left = list.targets.len();
        list.notice = Some(format!(
            "connector `{}` was deleted; {} of its targets were taken out, {left} are left",
            remove.id,
            removed.len()
        ));
        session_targets::set(tx, &session, &list, remove.now_ms).await?;
        tx.record(
            session_updated(&session, "reply_targets_removed")
                .with("connector", remove.id.to_string())
                .with_some("notice", list.notice),
        );
        lost.push(SessionLoss { session, removed });
    }
    Ok(lost)
}

/// Tells of changes that nothing else of the store takes part in.
pub(super) struct Tell {
    pub(super) events: Vec<Happening>,
}

impl Command for Tell {
    type Reply = ();

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<()>, StoreError> {
        batch.iter().flat_map(|tell| &tell.events).for_each(|event| tx.record(event.clone()));
        Ok(vec![(); batch.len()])
    }
}

impl Entry {
    /// The event of a change that came from elsewhere.
    pub(super) fn told(&self, cause: &'static str) -> Happening {
        let Definition { id, revision, .. } = &*self.definition;
        let broken = self.last_error.iter().flat_map(|failure| &failure.broken);
        connector_updated(&id.to_string(), "reconciled", *revision)
            .with("cause", cause)
            .with("state", self.state().name())
            .with("errors", broken.map(ToString::to_string).collect::<Vec<_>>())
    }
}

impl State {
    /// The word for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Outdated => "outdated",
            Self::Failed => "failed",
        }
    }
}
