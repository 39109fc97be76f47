//! Files at Telegram: they have an id, and a path for whoever asks.

use bytes::Bytes;
use serde_json::{Value, json};

use super::state::No;

/// The largest file that a bot gets, in bytes.
const DOWNLOAD_BYTES: usize = 20 * 1024 * 1024;

#[derive(Debug)]
struct Kept {
    id: String,
    unique: String,
    path: String,
    bytes: Option<Bytes>,
    size: usize,
}

/// The files.
#[derive(Debug, Default)]
pub(super) struct Files(Vec<Kept>);

impl Files {
    /// Keeps one, and gives its object.
    pub(super) fn keep(&mut self, name: &str, bytes: Bytes) -> Value {
        let number = self.0.len() + 1;
        let extension = name.rsplit_once('.').map_or("bin", |(_, extension)| extension);
        let kept = Kept {
            id: format!("AgACAgIAAxkBAAM{number}"),
            unique: format!("AQAD{number}"),
            path: format!("documents/file_{number}.{extension}"),
            size: bytes.len(),
            bytes: Some(bytes),
        };
        let object = json!({
            "file_id": kept.id, "file_unique_id": kept.unique, "file_size": kept.size, "file_name": name,
            "width": 90, "height": 60, "duration": 1,
        });
        self.0.push(kept);
        object
    }

    pub(super) fn lose(&mut self, id: &str) {
        self.0.iter_mut().filter(|kept| kept.id == id).for_each(|kept| kept.bytes = None);
    }

    /// `getFile`.
    pub(super) fn find(&self, id: &str) -> Result<Value, No> {
        let Some(kept) = self.0.iter().find(|kept| kept.id == id) else {
            return Err(No::bad("invalid file_id"));
        };
        if kept.size > DOWNLOAD_BYTES {
            return Err(No::bad("file is too big"));
        }
        Ok(json!({
            "file_id": kept.id, "file_unique_id": kept.unique, "file_size": kept.size, "file_path": kept.path,
        }))
    }

    /// The bytes at a path.
    pub(super) fn at(&self, path: &str) -> Option<Bytes> {
        self.0.iter().find(|kept| kept.path == path)?.bytes.clone()
    }
}
