//! Which key is taken, from where, and when there is none.

use std::os::unix::fs::symlink;

use super::*;

/// 32 bytes in base64.
const TEXT: &str = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";

fn from_variable(text: &str) -> Result<MasterKey, MasterKeyError> {
    let source = MasterKeySource::from_values(Some(text.into()), None)?;
    source.load(Path::new("/nowhere"), None)
}

fn from_file(path: &Path) -> Result<MasterKey, MasterKeyError> {
    MasterKeySource::from_values(None, Some(path.into()))?.load(Path::new("/nowhere"), None)
}

fn write(path: &Path, bytes: &[u8], mode: u32) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_key_is_read_as_base64_or_as_it_is() {
    let bytes: Vec<u8> = (1..=32).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    for text in [TEXT, TEXT.trim_end_matches('='), &format!(" {TEXT}\r\n")] {
        assert_eq!(from_variable(text).unwrap().expose(), bytes, "{text:?}");
        write(&path, text.as_bytes(), 0o600);
        assert_eq!(from_file(&path).unwrap().expose(), bytes, "{text:?}");
    }
    write(&path, &bytes, 0o400);
    assert_eq!(from_file(&path).unwrap().expose(), bytes);
}

#[test]
fn what_is_no_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let longer = format!("AA{TEXT}");
    for text in ["", " ", "AQID", &TEXT[..40], longer.as_str(), "x".repeat(2000).as_str(), &TEXT.replace('A', "-")] {
        let sentence = from_variable(text).unwrap_err().to_string();
        assert!(sentence.starts_with("the master key in KHEISH_AUTH_STORE_MASTER_KEY is neither"), "{sentence}");
        assert!(text.trim().is_empty() || !sentence.contains(text), "{sentence}");
        write(&path, text.as_bytes(), 0o600);
        assert!(matches!(from_file(&path), Err(MasterKeyError::NotAKey { .. })), "{text:?}");
    }
    // 32 bytes as they are cannot be told from text in a variable.
    assert!(matches!(from_variable(&"x".repeat(32)), Err(MasterKeyError::NotAKey { .. })));
    let both = MasterKeySource::from_values(Some(TEXT.into()), Some("/nowhere".into()));
    assert!(matches!(both, Err(MasterKeyError::Both)));
    assert!(matches!(MasterKeySource::from_values(None, None), Ok(MasterKeySource::StateFolder)));
    let missing = from_file(&folder.path().join("missing")).unwrap_err().to_string();
    assert!(missing.contains("missing`: cannot open it: No such file"), "{missing}");
}

#[test]
fn a_file_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("key"), folder.path().join("link"));
    symlink(&path, &link).unwrap();
    for mode in [0o644, 0o640, 0o604, 0o620, 0o601] {
        write(&path, TEXT.as_bytes(), mode);
        let sentence = from_file(&link).unwrap_err().to_string();
        assert!(sentence.contains(&format!("(mode {mode:03o}): chmod 600 `")), "{sentence}");
    }
    write(&path, TEXT.as_bytes(), 0o600);
    // The link itself is open to all, as links are.
    assert!(from_file(&link).is_ok());
    write(&folder.path().join(FILE), TEXT.as_bytes(), 0o644);
    let refused = MasterKeySource::StateFolder.load(folder.path(), None);
    assert!(matches!(refused, Err(MasterKeyError::Exposed { .. })));
}

#[test]
fn the_state_folder_gets_a_key_at_the_first_start() {
    let folder = tempfile::tempdir().unwrap();
    // Left behind by a start that was cut short.
    write(&folder.path().join(NEXT_FILE), b"", 0o600);
    let first = MasterKeySource::StateFolder.load(folder.path(), None).unwrap();
    let path = folder.path().join(FILE);
    assert_eq!(names(folder.path()), [FILE]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(from_variable(&fs::read_to_string(&path).unwrap()).unwrap().id(), first.id());
    for sealed_under in [None, Some(first.id())] {
        assert_eq!(MasterKeySource::StateFolder.load(folder.path(), sealed_under).unwrap().id(), first.id());
    }
}

#[test]
fn no_key_is_made_where_one_is_needed_or_something_is_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let expected = MasterKey::random().unwrap().id();
    let missing = MasterKeySource::StateFolder.load(folder.path(), Some(expected)).unwrap_err();
    assert!(matches!(missing, MasterKeyError::Missing { .. }), "{missing}");
    assert!(missing.to_string().contains("put it back") && missing.to_string().contains(&expected.to_string()));
    assert_eq!(names(folder.path()), [""; 0]);
    let path = folder.path().join(FILE);
    symlink(folder.path().join("elsewhere"), &path).unwrap();
    for sealed_under in [None, Some(expected)] {
        let dangling = MasterKeySource::StateFolder.load(folder.path(), sealed_under);
        assert!(matches!(dangling, Err(MasterKeyError::Io { .. })));
    }
    fs::remove_file(&path).unwrap();
    for (text, wrong) in [("", "is neither"), (TEXT, "are sealed under master key")] {
        write(&path, text.as_bytes(), 0o600);
        let error = MasterKeySource::StateFolder.load(folder.path(), Some(expected)).unwrap_err().to_string();
        assert!(error.contains(wrong), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    assert_eq!(names(folder.path()), [FILE]);
    let given = MasterKeySource::from_values(Some(TEXT.into()), None).unwrap();
    assert!(matches!(given.load(folder.path(), Some(expected)), Err(MasterKeyError::Other { .. })));
}

#[test]
fn a_replacement_ends_the_way_the_store_says() {
    let folder = tempfile::tempdir().unwrap();
    let source = MasterKeySource::StateFolder;
    let former = source.load(folder.path(), None).unwrap();
    let next = MasterKey::random().unwrap();
    write_next(folder.path(), &next).unwrap();
    // The store still depends on the former one.
    assert_eq!(source.load(folder.path(), Some(former.id())).unwrap().id(), former.id());
    assert_eq!(names(folder.path()), [FILE]);
    // It depends on the next one.
    write_next(folder.path(), &next).unwrap();
    assert_eq!(fs::metadata(folder.path().join(NEXT_FILE)).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(source.load(folder.path(), Some(next.id())).unwrap().id(), next.id());
    assert_eq!(names(folder.path()), [FILE]);
    assert_eq!(source.load(folder.path(), Some(next.id())).unwrap().id(), next.id());
    assert!(matches!(source.load(folder.path(), Some(former.id())), Err(MasterKeyError::Other { .. })));
}
