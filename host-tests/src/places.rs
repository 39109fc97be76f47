//! Where the binary, the compiled guests and the judges' libraries are.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The daemon's binary: `KHEISHD_BIN`, or beside the test's own profile folder.
pub fn binary() -> PathBuf {
    let path = env::var_os("KHEISHD_BIN").map_or_else(|| profile_folder().join("kheishd"), PathBuf::from);
    assert!(path.is_file(), "there is no `{}`: run `cargo build` first, or set KHEISHD_BIN", path.display());
    path
}

/// A binary of these tests that lies beside the test's own profile folder, or beside the program that asks.
pub fn beside(name: &str) -> PathBuf {
    let own = env::current_exe().expect("the path of this program");
    let found = own.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("there is no `{name}` beside `{}`: run `cargo build` first", own.display()))
}

/// A compiled guest by its path below the guests folder, e.g. `plugins/http.wasm`. The folder is `KHEISH_GUESTS`, or
/// `guests` in the target folder.
pub fn guest(file: &str) -> PathBuf {
    let folder = env::var_os("KHEISH_GUESTS").map_or_else(|| target_folder().join("guests"), PathBuf::from);
    let path = folder.join(file);
    assert!(path.is_file(), "there is no `{}`: run `just guests` first, or set KHEISH_GUESTS", path.display());
    path
}

/// The Python that has the judges' libraries: the one beside `KHEISH_SCHEMATHESIS`, or of the path.
pub fn python() -> PathBuf {
    let named = env::var_os("KHEISH_SCHEMATHESIS").map(|program| PathBuf::from(program).with_file_name("python"));
    named.filter(|program| program.is_file()).unwrap_or_else(|| PathBuf::from("python3"))
}

/// The libraries of the judges in Node. The folder around is `KHEISH_JUDGES`, or `judges` in the target folder.
pub fn node_modules() -> PathBuf {
    let folder = env::var_os("KHEISH_JUDGES").map_or_else(|| target_folder().join("judges"), PathBuf::from);
    let path = folder.join("node_modules");
    assert!(path.is_dir(), "there is no `{}`: `just test` installs it, or set KHEISH_JUDGES", path.display());
    path
}

/// The repository's top folder.
pub fn repository() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}

/// A test runs as `<target>/<profile>/deps/<name>`.
fn profile_folder() -> PathBuf {
    let test = env::current_exe().expect("the path of this test");
    test.ancestors().nth(2).expect("a test lies in a profile folder").to_owned()
}

fn target_folder() -> PathBuf {
    let profile = profile_folder();
    profile.parent().expect("a profile folder lies in a target folder").to_owned()
}
