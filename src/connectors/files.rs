//! The host's files as requests of guests use them: by id, with the bytes streamed past the guest.

use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;

/// Bytes of a file as they come; an error says in a sentence why no more do.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, String>> + Send>>;

/// A file that goes out.
pub struct OpenFile {
    /// What its first sender said that it is.
    pub media_type: String,
    /// How many bytes it has.
    pub size: u64,
    /// All of them.
    pub bytes: ByteStream,
}

/// Why a file was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// It has more bytes than a file may have; a sentence.
    #[error("{0}")]
    TooLarge(String),
    /// Its bytes ended before their end, or did not come; a sentence.
    #[error("{0}")]
    Incomplete(String),
    /// The host could not keep it.
    #[error("the file could not be kept: {0}")]
    Host(#[source] anyhow::Error),
}

/// Where files are kept.
#[async_trait]
pub trait Files: Send + Sync {
    /// Opens a file; none where there is none of this id.
    async fn open(&self, id: &str) -> anyhow::Result<Option<OpenFile>>;

    /// Takes a file in, durably, and names it.
    async fn take_in(&self, name: String, media_type: String, bytes: ByteStream) -> Result<String, NotTaken>;
}
