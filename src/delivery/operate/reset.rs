//! Backpressure: open breakers are closed and pauses lifted, because somebody mended what was broken.

use crate::{
    model::happening::Happening,
    store::{
        StoreError, lanes,
        writer::{Command, Tx},
    },
};

/// Closes breakers and lifts pauses.
#[derive(Clone, Debug)]
pub struct Reset {
    /// Only that lane.
    pub lane: Option<String>,
    /// Only what belongs to this plugin.
    pub plugin: Option<String>,
    /// Looks and changes nothing.
    pub dry_run: bool,
    /// When, in milliseconds since 1970.
    pub now_ms: i64,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Lanes whose breaker was open.
    pub lanes: Vec<String>,
    /// Connectors that were paused.
    pub connectors: Vec<String>,
}

impl Command for Reset {
    type Reply = Found;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<Found>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for reset in batch {
            replies.push(reset_some(reset, tx).await?);
        }
        Ok(replies)
    }
}

async fn reset_some(reset: &Reset, tx: &mut Tx<'_>) -> Result<Found, StoreError> {
    let of_plugin = |name: &str, separator: char| match &reset.plugin {
        Some(plugin) => name.split_once(separator).is_some_and(|(kind, _)| kind == plugin),
        None => true,
    };
    let mut found = Found::default();
    for lane in lanes::open(tx).await? {
        if reset.lane.as_ref().is_none_or(|wanted| *wanted == lane) && of_plugin(&lane, ':') {
            found.lanes.push(lane);
        }
    }
    // A pause is the connector's, so a lane alone lifts none.
    if reset.lane.is_none() {
        let paused = lanes::paused(tx).await?;
        found.connectors = paused.into_iter().filter(|connector| of_plugin(connector, '/')).collect();
    }
    if !reset.dry_run {
        for lane in &found.lanes {
            lanes::close(tx, lane, reset.now_ms).await?;
        }
        for connector in &found.connectors {
            lanes::resume(tx, connector, reset.now_ms).await?;
        }
        tx.record(Happening::new("runtime_updated").with("change", "delivery_backpressure_reset"));
        tx.wake_deliveries();
    }
    Ok(found)
}
