//! Connectors that their platform has locked out, seen from here: what changes of connectors end, and how it shows.

use std::collections::BTreeMap;

use super::Connectors;
use crate::{
    delivery::pause::{self, Cause},
    model::{ids::ConnectorId, pause::Pause},
    store::{
        StoreError, pauses,
        writer::{Command, Tx},
    },
};

/// Ends pauses of connectors that were given something new.
struct Lift {
    connectors: Vec<(String, Cause)>,
}

impl Command for Lift {
    /// Those that were paused.
    type Reply = Vec<(String, Cause)>;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<Self::Reply>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for Lift { connectors } in batch {
            replies.push(lift_all(tx, connectors).await?);
        }
        Ok(replies)
    }
}

/// Ends the pauses of these connectors in a transaction of the caller's. Says which were paused.
pub(super) async fn lift_all(
    tx: &mut Tx<'_>,
    connectors: &[(String, Cause)],
) -> Result<Vec<(String, Cause)>, StoreError> {
    let mut lifted = Vec::new();
    for (connector, cause) in connectors {
        if pause::lift(tx, connector, *cause).await? {
            lifted.push((connector.clone(), *cause));
        }
    }
    Ok(lifted)
}

/// Says in the log which pauses a commit ended.
pub(super) fn log_lifted(lifted: &[(String, Cause)]) {
    lifted.iter().for_each(|(connector, cause)| pause::log_ended(connector, *cause));
}

impl Connectors {
    /// The connectors that are paused, by `kind/name`.
    pub async fn pauses(&self) -> Result<BTreeMap<String, Pause>, StoreError> {
        pauses::all(&self.store).await
    }

    /// Ends pauses once more, when what is new about these connectors serves. The transaction of the change has ended those of
    /// before; what was sent between the two still went out with what was old, and may have been refused for it.
    pub(super) async fn resume(&self, connectors: impl IntoIterator<Item = &ConnectorId>, cause: Cause) {
        let lifted = async {
            let paused = self.pauses().await?;
            let names = connectors.into_iter().map(ToString::to_string);
            let connectors: Vec<_> = names.filter(|id| paused.contains_key(id)).map(|id| (id, cause)).collect();
            if connectors.is_empty() { Ok(Vec::new()) } else { self.store.write(Lift { connectors }).await }
        };
        match lifted.await {
            Ok(lifted) => log_lifted(&lifted),
            Err(error) => tracing::warn!(%error, "pauses of connectors could not be ended; probes will: {error}"),
        }
    }
}
