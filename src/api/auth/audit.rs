//! The audit file: who was refused, and what was changed. It holds no token, no header and no query.
//!
//! Requests hand their row to a thread and go on. When the thread cannot keep up rows are counted instead, and the count
//! is written as soon as it can.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write},
    net::IpAddr,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};

use serde::Serialize;
use tokio::sync::oneshot;

use crate::clock::Clock;

/// Rows that wait to be written; a row is some 200 bytes.
const WAITING: usize = 4096;

/// How long the end of the daemon waits for rows that are not written yet.
const SETTLE: Duration = Duration::from_secs(1);

/// Takes rows. Cheap to clone; clones write to one file.
#[derive(Clone)]
pub struct Audit {
    entries: SyncSender<Entry>,
    lost: Arc<AtomicU64>,
    clock: Clock,
}

enum Entry {
    Row(String),
    Settle(oneshot::Sender<()>),
}

/// What happened.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Event {
    /// What kind of thing.
    pub(super) event: &'static str,
    /// Why, where it is a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'static str>,
    /// The method of a change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) method: Option<String>,
    /// The path of a change, without the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<String>,
    /// Who made a change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<&'static str>,
    /// The answer to a change; absent when the caller was gone before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
    /// What a change was about, where its path does not say it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) about: Vec<String>,
    /// Rows that could not be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) count: Option<u64>,
    /// Where it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remote: Option<IpAddr>,
}

#[derive(Serialize)]
struct Row<'a> {
    at_ms: i64,
    #[serde(flatten)]
    event: &'a Event,
}

impl Audit {
    /// Opens `control-plane-auth/audit.jsonl` in the state folder, for its owner only. A file that has grown to `bytes`
    /// becomes `audit.jsonl.1`, in place of the one before it.
    pub fn open(state: &Path, bytes: u64, clock: Clock) -> io::Result<Self> {
        let folder = state.join("control-plane-auth");
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
        let lost = Arc::new(AtomicU64::new(0));
        let mut writer = Writer::open(folder.join("audit.jsonl"), bytes)?;
        let (entries, waiting) = sync_channel(WAITING);
        let counted = (Arc::clone(&lost), clock.clone());
        std::thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run(&waiting, &counted))?;
        Ok(Self { entries, lost, clock })
    }

    /// Hands over a row. Never waits.
    pub(super) fn record(&self, event: &Event) {
        let sent = row(event, &self.clock).is_some_and(|row| self.entries.try_send(Entry::Row(row)).is_ok());
        if !sent && self.lost.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!("the audit file cannot keep up; rows are counted instead of written");
        }
    }

    /// Hands over a row about something that is done beside the control plane. Never waits.
    pub fn note(&self, event: &'static str, reason: Option<&'static str>, about: &[&str]) {
        let about = about.iter().map(|what| (*what).to_owned()).collect();
        self.record(&Event { event, reason, about, ..Event::default() });
    }

    /// Waits until what was handed over is in the file, a second at most.
    pub async fn settle(&self) {
        let (done, settled) = oneshot::channel();
        if self.entries.try_send(Entry::Settle(done)).is_ok() {
            tokio::time::timeout(SETTLE, settled).await.ok();
        }
    }
}

fn row(event: &Event, clock: &Clock) -> Option<String> {
    let mut row = serde_json::to_string(&Row { at_ms: clock.now_ms(), event }).ok()?;
    row.push('\n');
    Some(row)
}

/// The file, in the hands of its thread.
struct Writer {
    path: PathBuf,
    file: File,
    size: u64,
    limit: u64,
    failing: bool,
}

impl Writer {
    fn open(path: PathBuf, limit: u64) -> io::Result<Self> {
        let (file, size) = open(&path)?;
        Ok(Self { path, file, size, limit, failing: false })
    }

    fn run(&mut self, entries: &Receiver<Entry>, (lost, clock): &(Arc<AtomicU64>, Clock)) {
        for entry in entries {
            let missing = lost.swap(0, Ordering::Relaxed);
            if missing > 0 {
                let event = Event { event: "rows_lost", count: Some(missing), ..Event::default() };
                let written = row(&event, clock).is_some_and(|row| self.write(&row));
                lost.fetch_add(if written { 0 } else { missing }, Ordering::Relaxed);
            }
            match entry {
                Entry::Row(row) if self.write(&row) => {}
                Entry::Row(_) => drop(lost.fetch_add(1, Ordering::Relaxed)),
                // Whoever asked may have stopped waiting.
                Entry::Settle(done) => done.send(()).unwrap_or_default(),
            }
        }
    }

    /// Whether the row is in the file. The first failure of a row of them is logged.
    fn write(&mut self, row: &str) -> bool {
        let result = self.try_write(row);
        if let Err(error) = &result
            && !self.failing
        {
            tracing::error!(%error, "the audit file `{}` cannot be written: {error}", self.path.display());
        }
        self.failing = result.is_err();
        result.is_ok()
    }

    fn try_write(&mut self, row: &str) -> io::Result<()> {
        // Somebody cleaned up: what is written from now on shall be found.
        if self.file.metadata()?.nlink() == 0 {
            (self.file, self.size) = open(&self.path)?;
        }
        if self.size > 0 && self.size + row.len() as u64 > self.limit {
            fs::rename(&self.path, self.path.with_extension("jsonl.1"))?;
            (self.file, self.size) = open(&self.path)?;
        }
        if self.failing && self.size > 0 {
            // A part of a row may be there: it ends here.
            self.file.write_all(b"\n")?;
        }
        self.file.write_all(row.as_bytes())?;
        self.size += row.len() as u64;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn rows_that_were_not_written_are_counted() {
        let (entries, waiting) = sync_channel(1);
        let audit = Audit { entries, lost: Arc::default(), clock: Clock::system() };
        let event = Event { event: "auth_failure", ..Event::default() };
        for _ in 0..5 {
            audit.record(&event);
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let mut writer = Writer::open(path.clone(), 1_000_000).unwrap();
        let counted = (Arc::clone(&audit.lost), audit.clock.clone());
        drop(audit);
        writer.run(&waiting, &counted);
        let text = fs::read_to_string(path).unwrap();
        assert!(text.contains(r#""event":"rows_lost","count":4"#), "{text}");
        assert!(text.contains("auth_failure"), "{text}");
    }

    #[test]
    fn a_file_that_was_removed_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let mut writer = Writer::open(path.clone(), 1_000_000).unwrap();
        assert!(writer.write("one\n"));
        fs::remove_file(&path).unwrap();
        assert!(writer.write("two\n"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(!writer.write("lost\n"));
        fs::remove_dir(&path).unwrap();
        assert!(writer.write("three\n"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
    }
}
