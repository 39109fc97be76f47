//! Backpressure: open breakers are closed and pauses lifted, because somebody mended what was broken.

use crate::{
    delivery::pause::{self, Cause},
    model::happening::Happening,
    store::{
        StoreError, lanes, pauses,
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
    /// Only what belongs to this connector, `kind/name`.
    pub connector: Option<String>,
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
    let of_connector = |owner: &str| reset.connector.as_ref().is_none_or(|wanted| wanted == owner);
    let mut found = Found::default();
    for (lane, owner) in lanes::open(tx).await? {
        let wanted = reset.lane.as_ref().is_none_or(|wanted| *wanted == lane);
        if wanted && of_plugin(&lane, ':') && of_connector(&owner) {
            found.lanes.push(lane);
        }
    }
    // A pause is the connector's, so a lane alone lifts none.
    if reset.lane.is_none() {
        let paused = pauses::standing(tx).await?.into_iter().map(|pause| pause.connector);
        found.connectors = paused.filter(|name| of_plugin(name, '/') && of_connector(name)).collect();
    }
    if !reset.dry_run {
        for lane in &found.lanes {
            lanes::close(tx, lane, reset.now_ms).await?;
        }
        for connector in &found.connectors {
            pause::lift(tx, connector, Cause::Operator).await?;
        }
        tx.record(Happening::new("runtime_updated").with("change", "delivery_backpressure_reset"));
        tx.wake_deliveries();
    }
    Ok(found)
}
