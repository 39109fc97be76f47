//! Files: their bytes in a folder of the state folder, each under the SHA-256 of what is in it, and their rows in the store.
//!
//! A file is written under another name, made durable, renamed, and then gets its row: a row never names half a file. A crash
//! between leaves a file without a row, which [`sweep`] removes. From the rename to the row, and from a row's end to the end of
//! its file, one task at a time has its way, so the sweep never removes what an upload has just put there. Runs refer to rows in
//! the transactions that make them, after looking, and rows end in a transaction of their own: one of the two sees the other.

use std::{
    io::{self, SeekFrom},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::body::Bytes;
use cap_std::{
    ambient_authority,
    fs::{Dir, OpenOptions, OpenOptionsExt as _},
};
use futures_util::{Stream, StreamExt as _, stream};
use sha2::{Digest as _, Sha256};
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _},
    sync::Mutex,
};

use crate::config::assets::AssetSettings;

pub mod keep;
pub mod links;
pub mod sweep;

/// Beginning of the names of files that are not whole yet.
const PARTIAL: &str = "partial-";

/// Bytes that are read at once.
const CHUNK: u64 = 64 * 1024;

/// Why bytes were not taken in.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// There are more than `assets.max_bytes`.
    #[error("the file is larger than {0} bytes (assets.max_bytes)")]
    TooLarge(u64),
    /// They ended before their end.
    #[error("the body broke off: {0}")]
    Incomplete(String),
    /// Nothing came for so many milliseconds.
    #[error("no byte of the body came for {0} ms (assets.idle_timeout_ms)")]
    Idle(u64),
    /// The disk refused.
    #[error("the folder of files failed: {0}")]
    Disk(#[from] io::Error),
}

/// The folder of files.
pub struct Assets {
    folder: Arc<Dir>,
    settings: AssetSettings,
    links: Arc<links::Links>,
    partial: AtomicU64,
    /// Held from a file's rename to its row, and from the end of a row to that of its file.
    turn: Mutex<()>,
}

/// A file that is whole and durable, under a name that nobody knows. It goes when this is dropped.
pub struct Received {
    folder: Arc<Dir>,
    /// Its name; empty once it has another one.
    partial: String,
    /// SHA-256 of its bytes, lower-case hexadecimal.
    pub id: String,
    /// How many bytes it has.
    pub size: u64,
}

impl Drop for Received {
    fn drop(&mut self) {
        let name = std::mem::take(&mut self.partial);
        if name.is_empty() {
            return;
        }
        let folder = Arc::clone(&self.folder);
        // A failure leaves it for the next start.
        let remove = move || drop(folder.remove_file(name));
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

impl Assets {
    /// Opens the folder in `state`, makes it where it is missing, and removes what was being written when the daemon ended.
    pub fn open(state: &Path, settings: AssetSettings) -> io::Result<Self> {
        let state = Dir::open_ambient_dir(state, ambient_authority())?;
        state.create_dir_all("assets")?;
        let folder = state.open_dir("assets")?;
        for entry in folder.entries()? {
            let name = entry?.file_name();
            if name.to_string_lossy().starts_with(PARTIAL) {
                folder.remove_file(name)?;
            }
        }
        let links = Arc::new(links::Links::open(&folder, settings.link_life_ms)?);
        Ok(Self { folder: Arc::new(folder), settings, links, partial: AtomicU64::new(0), turn: Mutex::new(()) })
    }

    /// Links to files.
    pub fn links(&self) -> &Arc<links::Links> {
        &self.links
    }

    /// Does what waits for the disk where nobody else has to wait for it.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Dir>) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let folder = Arc::clone(&self.folder);
        tokio::task::spawn_blocking(move || work(&folder)).await.map_err(io::Error::other)?
    }

    /// Takes bytes in, as they come, and counts and hashes them on the way.
    pub async fn receive<E: std::fmt::Display>(
        &self,
        body: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<Received, ReceiveError> {
        let partial = format!("{PARTIAL}{}", self.partial.fetch_add(1, Ordering::Relaxed));
        // Whoever gives up in between drops both, and with them the file.
        let begin = move |folder: &Arc<Dir>| {
            let options = OpenOptions::new().write(true).create_new(true).mode(0o600).clone();
            let file = folder.open_with(&partial, &options)?;
            Ok((file, Received { folder: Arc::clone(folder), partial, id: String::new(), size: 0 }))
        };
        let (file, mut received) = self.on_disk(begin).await?;
        let mut file = File::from_std(file.into_std());
        let mut hash = Sha256::new();
        let mut body = std::pin::pin!(body);
        let idle_ms = self.settings.idle_timeout_ms;
        let patience = Duration::from_millis(idle_ms);
        loop {
            let next = tokio::time::timeout(patience, body.next()).await.map_err(|_| ReceiveError::Idle(idle_ms))?;
            let Some(chunk) = next else { break };
            let chunk = chunk.map_err(|error| ReceiveError::Incomplete(error.to_string()))?;
            received.size += chunk.len() as u64;
            if received.size > self.settings.max_bytes {
                return Err(ReceiveError::TooLarge(self.settings.max_bytes));
            }
            hash.update(&chunk);
            file.write_all(&chunk).await?;
        }
        file.flush().await?;
        file.sync_all().await?;
        received.id = hex::encode(hash.finalize());
        Ok(received)
    }

    /// Gives a file its name, durably.
    async fn publish(&self, mut received: Received) -> io::Result<()> {
        let rename = move |root: &Arc<Dir>| {
            let (folder, path) = place(&received.id);
            root.create_dir_all(folder)?;
            root.rename(&received.partial, root, &path)?;
            received.partial.clear();
            root.open(folder)?.sync_all()?;
            root.open(".")?.sync_all()
        };
        self.on_disk(rename).await
    }

    /// Removes files, which may be gone already.
    async fn remove(&self, ids: Vec<String>) -> io::Result<()> {
        let remove = move |folder: &Arc<Dir>| {
            ids.iter().try_for_each(|id| match folder.remove_file(place(id).1) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            })
        };
        self.on_disk(remove).await
    }

    /// Opens a file. None where it is gone, or has not `size` bytes.
    pub async fn read(&self, id: &str, size: u64) -> io::Result<Option<Reading>> {
        let path = place(id).1;
        let open = move |folder: &Arc<Dir>| {
            let file = match folder.open(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                other => other?,
            };
            Ok((file.metadata()?.len() == size).then_some(file))
        };
        let file = self.on_disk(open).await?;
        Ok(file.map(|file| Reading { file: File::from_std(file.into_std()), id: id.to_owned(), size }))
    }
}

/// The folder of a file and its path. Ids are ours: 64 hexadecimal digits, which rows hold.
fn place(id: &str) -> (&str, String) {
    let (folder, rest) = id.split_at_checked(2).unwrap_or((id, ""));
    (folder, format!("{folder}/{rest}"))
}

/// A file that goes out.
pub struct Reading {
    file: File,
    id: String,
    size: u64,
}

impl Reading {
    /// The bytes from `start` on, so many. A whole file is hashed on its way, and its last piece is held back until the hash is
    /// right: whoever gets all that was promised has what was kept. A part cannot be checked so.
    pub async fn stream(
        mut self,
        start: u64,
        length: u64,
    ) -> io::Result<impl Stream<Item = io::Result<Bytes>> + Send + 'static> {
        self.file.seek(SeekFrom::Start(start)).await?;
        let hash = (length == self.size).then(Sha256::new);
        Ok(stream::try_unfold((self, length, hash), |(mut reading, left, mut hash)| async move {
            if left == 0 {
                return Ok(None);
            }
            let mut chunk = vec![0; usize::try_from(left.min(CHUNK)).unwrap_or(0)];
            reading.file.read_exact(&mut chunk).await?;
            let left = left - chunk.len() as u64;
            if let Some(hash) = &mut hash {
                hash.update(&chunk);
            }
            if left == 0 && hash.take().is_some_and(|hash| hex::encode(hash.finalize()) != reading.id) {
                tracing::error!(asset = %reading.id, "file {} is damaged: its bytes have another hash", reading.id);
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is damaged"));
            }
            Ok(Some((Bytes::from(chunk), (reading, left, hash))))
        }))
    }
}
