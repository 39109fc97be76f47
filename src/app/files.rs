//! The folder of files, for requests that guests make.

use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use crate::{
    assets::{Assets, ReceiveError},
    clock::Clock,
    connectors::files::{ByteStream, Files, NotTaken, OpenFile},
    model::artifact::{clean_media_type, clean_name},
    store::{Store, assets},
};

/// Files in the folder and in rows.
#[derive(Clone)]
pub(super) struct KeptFiles {
    pub(super) assets: Arc<Assets>,
    pub(super) store: Store,
    pub(super) clock: Clock,
}

#[async_trait]
impl Files for KeptFiles {
    async fn open(&self, id: &str) -> anyhow::Result<Option<OpenFile>> {
        let Some(asset) = assets::find(&self.store, id).await? else { return Ok(None) };
        let size = u64::try_from(asset.size).unwrap_or(0);
        let bytes: ByteStream = if asset.in_folder {
            let Some(file) = self.assets.read(id, size).await? else { return Ok(None) };
            Box::pin(file.stream(0, size).await?.map(|piece| piece.map_err(|error| error.to_string())))
        } else {
            let Some(data) = assets::data(&self.store, id).await? else { return Ok(None) };
            Box::pin(stream::iter([Ok(Bytes::from(data))]))
        };
        Ok(Some(OpenFile { media_type: asset.media_type, size, bytes }))
    }

    async fn take_in(&self, name: String, media_type: String, bytes: ByteStream) -> Result<String, NotTaken> {
        let received = self.assets.receive(bytes).await.map_err(|error| match error {
            ReceiveError::TooLarge(_) => NotTaken::TooLarge(error.to_string()),
            ReceiveError::Incomplete(_) | ReceiveError::Idle(_) => NotTaken::Incomplete(error.to_string()),
            ReceiveError::Disk(error) => NotTaken::Host(error.into()),
        })?;
        let id = received.id.clone();
        let (name, media_type) = (Some(clean_name(&name)), clean_media_type(&media_type).to_owned());
        let own = self.clone();
        // It has a name already or will have one: whoever gives up in between must not leave it half kept.
        let kept =
            tokio::spawn(async move { own.assets.keep((&own.store, &own.clock), received, name, media_type).await });
        kept.await.context("keeping a file").map_err(NotTaken::Host)?.map_err(|error| NotTaken::Host(error.into()))?;
        Ok(id)
    }
}
