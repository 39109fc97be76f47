//! The state folder: there, private, writable, with room, and held by one daemon.

use std::{
    fs::{self, File, TryLockError},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use super::{Check, disk, key};

/// Free bytes below which the folder is about to be full, and below which it is as good as.
const FEW_BYTES: u64 = 1 << 30;
const NO_BYTES: u64 = 64 << 20;

/// Looks at the folder and at what is in it.
pub(super) fn look(folder: &Path, checks: &mut Vec<Check>) {
    let shown = folder.display();
    let mode = match fs::metadata(folder) {
        Ok(found) if found.is_dir() => found.permissions().mode() & 0o777,
        Ok(_) => {
            checks.push(Check::bad("folder", format!("`{shown}` is no folder"), "give another --state-root"));
            return;
        }
        Err(error) => {
            let remedy = "the daemon makes it at its first start; give --state-root if it lies elsewhere";
            checks.push(Check::careful("folder", format!("`{shown}` cannot be looked at: {error}"), remedy));
            checks.push(key::look(folder));
            return;
        }
    };
    checks.push(if mode & 0o077 == 0 {
        Check::well("folder", format!("`{shown}`, mode {mode:04o}"))
    } else {
        let found = format!("`{shown}` has mode {mode:04o}: others can look into it");
        Check::bad("folder", found, format!("chmod 700 {shown}"))
    });
    checks.push(lock(folder));
    checks.push(space(folder));
    checks.push(key::look(folder));
    checks.push(disk::look(folder));
}

/// Whether a daemon holds the folder. Its lock is tried for an instant, which a daemon that starts in that very instant would
/// take for another daemon.
fn lock(folder: &Path) -> Check {
    let file = match File::open(folder.join("kheishd.lock")) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Check::well("lock", "no daemon has used the folder yet");
        }
        Err(error) => {
            let remedy = "run this as the daemon's user";
            return Check::bad("lock", format!("the lock file cannot be opened: {error}"), remedy);
        }
    };
    match file.try_lock_shared() {
        Ok(()) => Check::well("lock", "no daemon holds the folder"),
        Err(TryLockError::WouldBlock) => Check::well("lock", "a daemon holds the folder"),
        Err(TryLockError::Error(error)) => {
            Check::bad("lock", format!("the folder cannot be locked: {error}"), "use a file system with locks")
        }
    }
}

fn space(folder: &Path) -> Check {
    let found = match rustix::fs::statvfs(folder) {
        Ok(found) => found,
        Err(error) => return Check::careful("space", format!("free space is not known: {error}"), "look with df"),
    };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let told = format!("{} MiB free", free >> 20);
    if free < NO_BYTES {
        return Check::bad("space", told, "make room: writes are about to fail");
    }
    if free < FEW_BYTES {
        return Check::careful("space", told, "make room, or move the state folder");
    }
    Check::well("space", told)
}
