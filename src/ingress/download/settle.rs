//! The transactions of a file that is fetched: it is taken, and then its end is written into its run.

use crate::{
    delivery::pause::{self, Change, Lock},
    model::run::RunInput,
    store::{
        StoreError, assets,
        downloads::{self, Download},
        heads::{self, Line},
        pauses::{self, Standing},
        runs,
        writer::{Command, Tx},
    },
};

/// How an attempt to fetch a file ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// It is an asset.
    Asset(String),
    /// It will not come.
    Unavailable {
        /// Stable, for programs.
        code: String,
        /// A sentence, for people.
        reason: String,
    },
    /// Another try may succeed.
    Later {
        /// When, in milliseconds since 1970.
        next_ms: i64,
        /// Whether this attempt counts.
        counts: bool,
    },
}

/// What an attempt says about the lock of its connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// What follows for its pause.
    pub lock: Lock,
    /// Why it failed, for programs and for people; empty when it did not.
    pub why: (String, String),
}

/// Takes the file that has been due for longest. Files of a paused connector wait, but for one at a time, the probe.
pub struct Take {
    /// The connectors whose files may be taken, in the order in which they are looked for.
    pub due: Vec<String>,
    /// Who takes it.
    pub owner: String,
    /// Now, in milliseconds since 1970.
    pub now_ms: i64,
    /// When the lease ends.
    pub until_ms: i64,
    /// For how long a run waits for its files, in milliseconds.
    pub give_up_after_ms: i64,
}

impl Command for Take {
    type Reply = Option<Download>;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<Option<Download>>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for take in batch {
            replies.push(take_one(take, tx).await?);
        }
        Ok(replies)
    }
}

async fn take_one(take: &Take, tx: &mut Tx<'_>) -> Result<Option<Download>, StoreError> {
    let pauses = pauses::standing(tx).await?;
    for pause in pauses.iter().filter(|pause| take.due.contains(&pause.connector)) {
        if let Some(taken) = take_paused(take, pause, tx).await? {
            return Ok(Some(taken));
        }
    }
    let is_paused = |connector: &str| pauses.iter().any(|pause| pause.connector == connector);
    for connector in take.due.iter().filter(|connector| !is_paused(connector)) {
        // Another daemon may have been faster.
        if let Some(due) = downloads::first(tx, connector, take.now_ms).await? {
            return downloads::take(tx, due, &take.owner, take.until_ms).await;
        }
    }
    Ok(None)
}

/// A file of a paused connector: one whose run has waited long enough, or the probe.
async fn take_paused(take: &Take, pause: &Standing, tx: &mut Tx<'_>) -> Result<Option<Download>, StoreError> {
    let (connector, since_ms) = (&pause.connector, take.now_ms.saturating_sub(take.give_up_after_ms));
    if let Some(due) = downloads::late(tx, connector, (since_ms, take.now_ms)).await? {
        let taken = downloads::take(tx, due, &take.owner, take.until_ms).await?;
        let refused = Some((pause.code.clone(), pause.reason.clone()));
        return Ok(taken.map(|download| Download { refused, ..download }));
    }
    if pause.probe_ms > take.now_ms {
        return Ok(None);
    }
    let Some(due) = downloads::first(tx, connector, take.now_ms).await? else { return Ok(None) };
    if !pauses::hold_probe(tx, pause, take.until_ms).await? {
        return Ok(None);
    }
    let taken = downloads::take(tx, due, &take.owner, take.until_ms).await?;
    Ok(taken.map(|download| Download { probe: Some(pause.failed), ..download }))
}

/// Makes due what former processes were fetching.
pub struct Reclaim {
    /// What the names of such owners begin with.
    pub family: &'static str,
    /// The owner that is alive.
    pub me: String,
    /// Now, in milliseconds since 1970.
    pub now_ms: i64,
}

impl Command for Reclaim {
    type Reply = u64;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<u64>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for reclaim in batch {
            pauses::release_fetching(tx, reclaim.family, &reclaim.me, reclaim.now_ms).await?;
            replies.push(downloads::reclaim(tx, reclaim.family, &reclaim.me, reclaim.now_ms).await?);
        }
        Ok(replies)
    }
}

/// Writes how an attempt ended.
pub struct Settle {
    /// What was taken.
    pub download: Download,
    /// How it ended.
    pub fetched: Fetched,
    /// What it says about the lock of its connector.
    pub said: Option<Said>,
    /// Now, in milliseconds since 1970.
    pub now_ms: i64,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// False when somebody else has the file by now, or nobody waits for it: then nothing is written about it.
    pub written: bool,
    /// A pause of the connector began or ended with it.
    pub change: Option<Change>,
}

impl Command for Settle {
    type Reply = Settled;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<Settled>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for settle in batch {
            let written = settle_one(settle, tx).await?;
            replies.push(Settled { written, change: record(settle, tx).await? });
        }
        Ok(replies)
    }
}

/// Also when nobody waits for the file any more: what the platform said is true all the same.
async fn record(settle: &Settle, tx: &mut Tx<'_>) -> Result<Option<Change>, StoreError> {
    let Some(Said { lock, why: (code, reason) }) = &settle.said else { return Ok(None) };
    let connector = (settle.download.connector.as_str(), settle.download.probe.is_some());
    pause::record(tx, connector, lock, (code, reason), settle.now_ms).await
}

async fn settle_one(settle: &Settle, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
    let Settle { download, fetched, now_ms, .. } = settle;
    if let Fetched::Later { next_ms, counts } = fetched {
        return downloads::put_off(tx, download, *next_ms, *counts).await;
    }
    // The session is locked before its run, as by a claim.
    heads::lock_of(tx, Line::Sessions, download.run).await?;
    if !downloads::end(tx, download).await? {
        return Ok(false);
    }
    if let Some(mut input) = runs::queued_input(tx, download.run).await? {
        let part = usize::try_from(download.part).ok().and_then(|part| input.get_mut(part));
        if let Some(part) = part {
            put_in_place(part, download, fetched, tx).await?;
            runs::set_queued_input(tx, download.run, &input).await?;
        }
    }
    if downloads::left(tx, download.run).await? == 0 {
        heads::hurry(tx, &download.session, *now_ms).await?;
    }
    Ok(true)
}

/// Puts into the input what became of a file.
async fn put_in_place(
    part: &mut RunInput,
    download: &Download,
    fetched: &Fetched,
    tx: &mut Tx<'_>,
) -> Result<(), StoreError> {
    let RunInput::RemoteFile(file) = part else { return Ok(()) };
    let missing = |code: &str, reason: &str| RunInput::UnavailableFile {
        name: file.name.clone(),
        media_type: file.media_type.clone(),
        size: file.size,
        code: code.to_owned(),
        reason: reason.to_owned(),
    };
    *part = match fetched {
        Fetched::Asset(id) if assets::existing(tx, &[id]).await?.is_empty() => {
            missing("asset_not_found", "the connector named a file that the host does not have")
        }
        Fetched::Asset(id) => {
            assets::refer(tx, download.run, [id.as_str()].into_iter()).await?;
            RunInput::Asset {
                asset_id: id.clone(),
                file_name: Some(file.name.clone()),
                media_type: file.media_type.clone(),
            }
        }
        Fetched::Unavailable { code, reason } => missing(code, reason),
        Fetched::Later { .. } => return Ok(()),
    };
    Ok(())
}
