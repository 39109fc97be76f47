//! Plugin files: whole ones, other versions of the same, and broken ones.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use crate::places;

/// Puts a plugin into a folder as an installer does: written beside, then moved into place.
pub fn install(bytes: &[u8], path: &Path) {
    let beside = path.with_extension("part");
    fs::write(&beside, bytes).expect("a plugin is written");
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o644)).expect("a plugin's mode is set");
    fs::rename(&beside, path).expect("a plugin is moved into place");
}

/// The bytes of a compiled guest.
pub fn bytes(guest: &str) -> Vec<u8> {
    fs::read(places::guest(guest)).expect("a guest can be read")
}

/// The same guest with a custom section at its end: it behaves alike and has another digest.
pub fn version(guest: &str, number: u8) -> Vec<u8> {
    let name = b"version";
    let mut bytes = bytes(guest);
    let length = u8::try_from(name.len()).expect("a short name");
    // Section 0, its size, the length of its name, the name, and one byte of content.
    bytes.extend([0, length + 2, length]);
    bytes.extend(name);
    bytes.push(number);
    bytes
}

/// The smallest core module.
pub const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";
