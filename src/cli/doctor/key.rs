//! The master key that seals secrets: one source, 32 bytes, for its owner's eyes only. It is looked at and never shown.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use zeroize::Zeroizing;

use super::Check;

const VARIABLE: &str = "KHEISH_AUTH_STORE_MASTER_KEY";
const FILE_VARIABLE: &str = "KHEISH_AUTH_STORE_MASTER_KEY_FILE";

/// Bytes of a key.
const KEY_BYTES: usize = 32;

/// Looks at the key that a daemon on this folder would use.
pub(super) fn look(folder: &Path) -> Check {
    match (env::var_os(VARIABLE), env::var_os(FILE_VARIABLE)) {
        (Some(_), Some(_)) => {
            Check::bad("key", format!("{VARIABLE} and {FILE_VARIABLE} are both set"), "unset one of them")
        }
        (Some(text), None) => {
            let text = Zeroizing::new(text.into_string().unwrap_or_default().into_bytes());
            if is_base64_key(&text) {
                Check::well("key", format!("{VARIABLE} holds a key"))
            } else {
                let remedy = "give base64 of 32 bytes: openssl rand -base64 32";
                Check::bad("key", format!("{VARIABLE} holds no key"), remedy)
            }
        }
        (None, Some(path)) => file(&PathBuf::from(path), true),
        (None, None) => file(&folder.join("master.key"), false),
    }
}

fn file(path: &Path, by_variable: bool) -> Check {
    let shown = path.display();
    let mode = match fs::metadata(path) {
        Ok(found) => found.permissions().mode() & 0o777,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !by_variable => {
            let remedy = "the daemon makes it at its first start; if it was there before, put it back";
            return Check::careful("key", format!("there is no `{shown}`"), remedy);
        }
        Err(error) => {
            let remedy =
                if by_variable { "set the variable to the key's file" } else { "run this as the daemon's user" };
            return Check::bad("key", format!("`{shown}`: {error}"), remedy);
        }
    };
    if mode & 0o077 != 0 {
        let found = format!("`{shown}` has mode {mode:04o}: others can read the key");
        return Check::bad("key", found, format!("chmod 600 {shown}"));
    }
    let bytes = match fs::read(path).map(Zeroizing::new) {
        Ok(bytes) => bytes,
        Err(error) => return Check::bad("key", format!("`{shown}`: {error}"), "run this as the daemon's user"),
    };
    if is_base64_key(&bytes) || (by_variable && bytes.len() == KEY_BYTES) {
        Check::well("key", format!("`{shown}`, mode {mode:04o}"))
    } else {
        Check::bad("key", format!("`{shown}` holds no key of 32 bytes"), "put the right file back from its copy")
    }
}

/// Base64 with or without padding, white space around it left aside.
fn is_base64_key(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    let text = text.strip_suffix(b"=").unwrap_or(text);
    STANDARD_NO_PAD.decode(text).map(Zeroizing::new).is_ok_and(|key| key.len() == KEY_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_base64_of_32_bytes() {
        let [short, right] = [31, 32].map(|count| STANDARD_NO_PAD.encode(vec![7; count]));
        let cases =
            [right.clone(), format!("{right}=\n"), format!(" {right} "), short, format!("{right}!"), String::new()];
        assert_eq!(cases.map(|text| is_base64_key(text.as_bytes())), [true, true, true, false, false, false]);
    }

    #[test]
    fn a_file_that_others_can_read_is_no_good() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        fs::write(&path, STANDARD_NO_PAD.encode([7; 32])).unwrap();
        for (mode, verdict) in [(0o600, super::super::Verdict::Well), (0o640, super::super::Verdict::Bad)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(file(&path, false).verdict, verdict);
        }
    }
}
