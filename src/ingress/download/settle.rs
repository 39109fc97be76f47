//! The transactions of a file that is fetched: it is taken, and then its end is written into its run.

use crate::{
    model::run::RunInput,
    store::{
        StoreError, assets,
        downloads::{self, Download},
        heads::{self, Line},
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

/// Takes the file that has been due for longest.
pub struct Take {
    /// Connectors that have enough under way.
    pub full: Vec<String>,
    /// Who takes it.
    pub owner: String,
    /// Now, in milliseconds since 1970.
    pub now_ms: i64,
    /// When the lease ends.
    pub until_ms: i64,
}

impl Command for Take {
    type Reply = Option<Download>;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<Option<Download>>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for take in batch {
            replies.push(downloads::claim(tx, &take.full, &take.owner, (take.now_ms, take.until_ms)).await?);
        }
        Ok(replies)
    }
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
            replies.push(downloads::reclaim(tx, reclaim.family, &reclaim.me, reclaim.now_ms).await?);
        }
        Ok(replies)
    }
}

/// Writes how an attempt ended. False when somebody else has the file by now, or nobody waits for it.
pub struct Settle {
    /// What was taken.
    pub download: Download,
    /// How it ended.
    pub fetched: Fetched,
    /// Now, in milliseconds since 1970.
    pub now_ms: i64,
}

impl Command for Settle {
    type Reply = bool;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<bool>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for settle in batch {
            replies.push(settle_one(settle, tx).await?);
        }
        Ok(replies)
    }
}

async fn settle_one(settle: &Settle, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
    let Settle { download, fetched, now_ms } = settle;
    if let Fetched::Later { next_ms, counts } = fetched {
        return downloads::put_off(tx, download, *next_ms, *counts).await;
    }
    // The session is locked before its run, as by a claim.
    heads::lock_of(tx, Line::Sessions, download.run).await?;
    if !downloads::end(tx, download).await? {
        return Ok(false);
    }
    if let Some(mut input) = downloads::input(tx, download.run).await? {
        let part = usize::try_from(download.part).ok().and_then(|part| input.get_mut(part));
        if let Some(part) = part {
            put_in_place(part, download, fetched, tx).await?;
            downloads::set_input(tx, download.run, &input).await?;
        }
    }
    if downloads::left(tx, download.run).await? == 0 {
        downloads::hurry(tx, &download.session, *now_ms).await?;
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
