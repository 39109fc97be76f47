//! Outputs before the end of a run.

use std::collections::{BTreeSet, HashMap};

use crate::{
    model::{
        artifact::Artifact,
        happening,
        ids::RunId,
        output::Output,
        run::{Run, RunRequest, RunStatus},
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
    let known = match files(&append.outputs, &run.request, tx).await? {
        Ok(known) => known,
        Err(missing) => return Ok(Appended::UnknownAsset(missing)),
    };
    let rows = hold(append.fence.run, &append.outputs, &known, tx).await?;
    outputs::append(tx, append.fence, said, &rows, append.now_ms).await?;
    for (ordinal, output) in (said..).zip(&append.outputs) {
        tx.record(happening::output(&run, ordinal, output));
    }
    Ok(Appended::Total(total))
}

/// What is known of the files of outputs, which have the names that the run's event gave them; or a file that does not exist.
/// Looking and holding ([`hold`]) are in one transaction, so that no file is forgotten in between.
pub(super) async fn files(
    said: &[Output],
    request: &RunRequest,
    tx: &mut Tx<'_>,
) -> Result<Result<HashMap<String, Artifact>, String>, StoreError> {
    let ids: BTreeSet<&str> = ids(said).collect();
    let mut known = assets::artifacts(tx, &ids.iter().copied().collect::<Vec<_>>()).await?;
    known.values_mut().for_each(|kept| *kept = request.file(&kept.asset_id).resolve(kept));
    let missing = ids.into_iter().find(|id| !known.contains_key(*id)).map(str::to_owned);
    Ok(missing.map_or(Ok(known), Err))
}

/// The outputs as they are stored; the run holds their files from now on.
pub(super) async fn hold<'a>(
    run: RunId,
    said: &'a [Output],
    known: &HashMap<String, Artifact>,
    tx: &mut Tx<'_>,
) -> Result<Vec<NewOutput<'a>>, StoreError> {
    assets::refer(tx, run, ids(said).collect::<BTreeSet<_>>().into_iter()).await?;
    let rows = said.iter().map(|output| {
        let resolved = output.artifacts.iter().filter_map(|file| Some(file.resolve(known.get(&file.asset_id)?)));
        NewOutput { content: &output.content, artifacts: resolved.collect() }
    });
    Ok(rows.collect())
}

fn ids(said: &[Output]) -> impl Iterator<Item = &str> {
    said.iter().flat_map(|output| &output.artifacts).map(|file| file.asset_id.as_str())
}
