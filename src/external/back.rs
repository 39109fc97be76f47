//! Sidecars that were away and are there again: what waits for them is woken.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{External, watch::AWAY};
use crate::{delivery::absent::Return, model::ids::ConnectorId};

/// Whose deliveries are to be woken.
#[derive(Default)]
pub(super) struct Back {
    who: Mutex<BTreeSet<ConnectorId>>,
    news: Notify,
}

impl Back {
    /// Nothing has to wait for this one any more.
    pub(super) fn note(&self, connector: ConnectorId) {
        self.who.lock().unwrap_or_else(PoisonError::into_inner).insert(connector);
        self.news.notify_one();
    }

    async fn next(&self) -> ConnectorId {
        loop {
            let news = self.news.notified();
            if let Some(connector) = self.take() {
                return connector;
            }
            news.await;
        }
    }

    pub(super) fn take(&self) -> Option<ConnectorId> {
        self.who.lock().unwrap_or_else(PoisonError::into_inner).pop_first()
    }
}

/// Wakes what waits for sidecars as they come back, until `stop`.
pub async fn run(external: Arc<External>, stop: CancellationToken) {
    loop {
        let connector = tokio::select! {
            connector = external.fleet.back.next() => connector,
            () = stop.cancelled() => return,
        };
        let back = Return { connector: connector.clone(), codes: &AWAY, now_ms: external.clock.now_ms() };
        if let Err(error) = external.store.write(back).await {
            tracing::warn!(%connector, %error, "what waits for {connector} could not be woken and goes later: {error}");
        }
    }
}
