//! A token in a file, read anew when the file changes.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::Read,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use rustix::fs::OFlags;

use super::tokens::{Digest, digest};
use crate::secrets::{Secret, mask};

/// Size of a token file, in bytes. A head with a longer token would be refused anyway.
const MAX_BYTES: u64 = 4096;

/// How long after a change, in milliseconds, another one may leave the same stamp: file systems count time in steps.
const STEP_MS: i64 = 3000;

/// The file, and what was found in it.
#[derive(Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
    role: &'static str,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    /// What the file looked like; none when that says nothing about what is in it now.
    stamp: Option<Stamp>,
    token: Result<Digest, String>,
}

/// What tells one state of a file from another. A link that leads to another file gives that file's.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl TokenFile {
    /// Reads the file for the first time. An error is a sentence that names it.
    pub(super) fn open(path: &Path, role: &'static str, now_ms: i64) -> Result<Self, String> {
        let (stamp, token) = read(path)?;
        let seen = Seen { stamp: stamp.settled(now_ms), token: Ok(digest(token.expose())) };
        Ok(Self { path: path.to_owned(), role, seen: Mutex::new(seen) })
    }

    /// The token as it stands, or nothing while the file holds none. The system is asked on each call, which costs a
    /// microsecond; that a changed token counts from the moment of its change is worth it.
    pub(super) fn digest(&self, now_ms: i64) -> Option<Digest> {
        let stamp = fs::metadata(&self.path).ok().map(|metadata| Stamp::of(&metadata));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if stamp.is_none() || stamp != seen.stamp {
            self.read_anew(&mut seen, now_ms);
        }
        seen.token.as_ref().ok().copied()
    }

    fn read_anew(&self, seen: &mut Seen, now_ms: i64) {
        let (stamp, token) = match read(&self.path) {
            Ok((stamp, token)) => (stamp.settled(now_ms), Ok(digest(token.expose()))),
            Err(sentence) => (None, Err(sentence)),
        };
        // Each change is one line, however many requests find it.
        if token != seen.token {
            match &token {
                Ok(_) => tracing::info!("the {} token was read anew from `{}`", self.role, self.path.display()),
                Err(sentence) => tracing::error!("there is no {} token any more: {sentence}", self.role),
            }
        }
        *seen = Seen { stamp, token };
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// The stamp, unless the file changed so lately that a further change could leave the same one.
    fn settled(self, now_ms: i64) -> Option<Self> {
        let latest_ms = self.modified.0.max(self.changed.0).saturating_mul(1000);
        (latest_ms.saturating_add(STEP_MS) < now_ms).then_some(self)
    }
}

fn read(path: &Path) -> Result<(Stamp, Secret), String> {
    let shown = path.display();
    let cannot = |error| format!("token file `{shown}` cannot be read: {error}");
    // Without waiting: opening a pipe would wait for somebody who writes.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(cannot)?;
    // The stamp is that of the file that is read, also when another one took its name meanwhile.
    let metadata = file.metadata().map_err(cannot)?;
    if !metadata.is_file() {
        return Err(format!("token file `{shown}` is no file"));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(format!("others can read the token file `{shown}`: chmod 600 `{shown}`"));
    }
    let token = token(file).map_err(cannot)?;
    check(token.expose()).map_err(|what| format!("token file `{shown}` {what}"))?;
    Ok((Stamp::of(&metadata), token))
}

fn token(file: File) -> std::io::Result<Secret> {
    let mut bytes = Vec::with_capacity(MAX_BYTES as usize + 1);
    let read = file.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    // Held from here on by something that wipes it.
    let whole = Secret::new(bytes);
    read?;
    let token = Secret::new(whole.expose().trim_ascii());
    mask::remember(&token);
    Ok(token)
}

/// Whether a token can be sent in a header at all. The error says what it is instead.
pub(super) fn check(token: &[u8]) -> Result<(), String> {
    if token.is_empty() {
        return Err("is empty: give a token".to_owned());
    }
    if token.len() as u64 > MAX_BYTES {
        return Err(format!("holds more than {MAX_BYTES} bytes: give a shorter token"));
    }
    if token.iter().any(u8::is_ascii_control) {
        return Err(
            "holds more than one line, or control characters, which no header can carry: give one token".to_owned()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const NOW_MS: i64 = 4_000_000_000_000;

    fn write(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    #[test]
    fn a_change_that_leaves_size_and_second_alone_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        write(&path, "first\n");
        // A clock that says that the file has just been written: its stamp proves nothing.
        let file = TokenFile::open(&path, "admin", 0).unwrap();
        file.seen.lock().unwrap().token = Ok(digest(b"planted"));
        for (before, text) in [("first", "other"), ("other", "third")] {
            assert_eq!(file.digest(0), Some(digest(before.as_bytes())), "a young file is read each time");
            write(&path, text);
            assert_eq!(file.digest(0), Some(digest(text.as_bytes())));
        }
    }

    #[test]
    fn a_file_that_does_not_change_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        write(&path, "first");
        let file = TokenFile::open(&path, "admin", NOW_MS).unwrap();
        file.seen.lock().unwrap().token = Ok(digest(b"planted"));
        assert_eq!(file.digest(NOW_MS), Some(digest(b"planted")));
        fs::rename(&path, folder.path().join("old")).unwrap();
        assert_eq!(file.digest(NOW_MS), None);
        fs::rename(folder.path().join("old"), &path).unwrap();
        assert_eq!(file.digest(NOW_MS), Some(digest(b"first")));
    }

    #[test]
    fn what_is_no_token_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for (text, word) in [(" \n", "empty"), ("a\nb", "one line"), (&"x".repeat(4097), "4096")] {
            write(&path, text);
            let error = TokenFile::open(&path, "admin", 0).unwrap_err();
            assert!(error.contains(word) && error.contains("token`"), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(TokenFile::open(&path, "admin", 0).unwrap_err().contains("chmod 600"));
        assert!(TokenFile::open(folder.path(), "admin", 0).unwrap_err().contains("no file"));
    }
}
