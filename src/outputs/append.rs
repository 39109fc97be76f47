//! Outputs before the end of a run.

use std::collections::BTreeSet;

use crate::{
    model::{
        happening,
        output::Output,
        run::{Run, RunStatus},
    },
    store::{
        StoreError, assets,
        outputs::{self, NewOutput},
        runs::{self, Fence},
        writer::{Command, Tx},
    },
};

/// The most outputs that one attempt may say.
pub const MAX_OUTPUTS: i64 = 1_000;

/// Adds outputs to a run that is active under this fence.
#[derive(Clone, Debug)]
pub struct Append {
    /// Which run, under which epoch.
    pub fence: Fence,
    /// What was said.
    pub outputs: Vec<Output>,
    /// When.
    pub now_ms: i64,
}

/// What became of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// They are stored; the attempt has said so many.
    Total(i64),
    /// The lease was lost; nothing was stored.
    Lost,
    /// Somebody asked for the end of the run; nothing was stored.
    Cancelled,
    /// The attempt has said too much; nothing was stored.
    TooMany,
    /// This asset, which was to go out, does not exist; nothing was stored.
    UnknownAsset(String),
}

impl Command for Append {
    type Reply = Appended;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<Appended>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for append in batch {
            replies.push(append_one(append, tx).await?);
        }
        Ok(replies)
    }
}

async fn append_one(append: &Append, tx: &mut Tx<'_>) -> Result<Appended, StoreError> {
    let held = |run: &Run| run.status == RunStatus::Running && run.epoch == append.fence.epoch;
    let Some(run) = runs::find(tx, append.fence.run).await?.filter(held) else {
        return Ok(Appended::Lost);
    };
    if run.cancel_ms.is_some() {
        return Ok(Appended::Cancelled);
    }
    let said = outputs::count(tx, append.fence).await?;
    let total = said + i64::try_from(append.outputs.len()).unwrap_or(i64::MAX - MAX_OUTPUTS);
    if total > MAX_OUTPUTS {
        return Ok(Appended::TooMany);
    }
    let rows = match rows(append, tx).await? {
        Ok(rows) => rows,
        Err(missing) => return Ok(Appended::UnknownAsset(missing)),
    };
    outputs::append(tx, append.fence, said, &rows, append.now_ms).await?;
    for (ordinal, output) in (said..).zip(&append.outputs) {
        tx.record(happening::output(&run, ordinal, output));
    }
    Ok(Appended::Total(total))
}

/// The outputs with what is known of their files, which the run holds from now on. Looking and holding are in one transaction,
/// so that no file is forgotten in between.
async fn rows<'a>(append: &'a Append, tx: &mut Tx<'_>) -> Result<Result<Vec<NewOutput<'a>>, String>, StoreError> {
    let ids: BTreeSet<&str> =
        append.outputs.iter().flat_map(|output| &output.artifacts).map(|file| file.asset_id.as_str()).collect();
    let known = assets::artifacts(tx, &ids.iter().copied().collect::<Vec<_>>()).await?;
    if let Some(missing) = ids.iter().find(|id| !known.contains_key(**id)) {
        return Ok(Err((*missing).to_owned()));
    }
    assets::refer(tx, append.fence.run, ids.into_iter()).await?;
    let rows = append.outputs.iter().map(|output| {
        let resolved = output.artifacts.iter().filter_map(|file| Some(file.resolve(known.get(&file.asset_id)?)));
        NewOutput { content: &output.content, artifacts: resolved.collect() }
    });
    Ok(Ok(rows.collect()))
}
