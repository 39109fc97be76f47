//! The repository's own shape: small files that say what they are, and imports that point one way.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use kheish_host_tests::places;

/// The longest file, in lines.
const LINES: usize = 400;

/// Which module of `src` may use which others. Stages come in the order of the flow, and none uses an earlier one, but
/// for the executor, which takes its work from the queue.
const MAY_USE: [(&str, &str); 33] = [
    ("model", ""),
    ("clock", "model"),
    ("secrets", ""),
    ("guard", ""),
    ("lifecycle", ""),
    ("nearest", ""),
    ("places", ""),
    ("metrics", ""),
    ("telemetry", "egress model secrets"),
    ("state_folder", ""),
    ("egress", "clock"),
    ("store", "clock metrics model"),
    ("duties", "clock config store"),
    ("connectors", "clock egress metrics model secrets telemetry"),
    ("vault", "clock model secrets store"),
    (
        "external",
        "clock config connectors delivery duties egress guard ingress metrics model secrets sessions store telemetry wire",
    ),
    ("registry", "clock config connectors delivery ingress metrics model nearest secrets store vault wire"),
    ("retention", "clock metrics store"),
    ("assets", "clock config store"),
    ("wire", "model nearest secrets store"),
    ("ingress", "clock config connectors delivery duties metrics model queue secrets sessions store telemetry wire"),
    ("sessions", "model store"),
    ("queue", "clock model store"),
    ("executor", "clock connectors egress metrics model outputs places queue secrets store telemetry vault wire"),
    ("outputs", "clock delivery metrics model store"),
    ("delivery", "assets clock connectors egress metrics model nearest places secrets store telemetry"),
    ("presence", "clock config connectors delivery model store"),
    // Settings are read where they are used; this names them all.
    ("config", "connectors delivery egress executor model nearest queue retention secrets store telemetry"),
    ("server", "config"),
    (
        "api",
        "assets clock config connectors delivery egress executor ingress lifecycle metrics model nearest outputs queue registry secrets \
         sessions store telemetry vault wire",
    ),
    ("app", "*"),
    ("cli", "*"),
    ("main", "*"),
];

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files = Vec::new();
    for path in entries.filter(|path| !path.ends_with("target")) {
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            files.push(path);
        }
    }
    files
}

/// Every Rust file of the repository, with its text.
fn sources() -> Vec<(PathBuf, String)> {
    let top = places::repository();
    let files =
        ["src", "host-tests", "guest-connectors", "examples"].iter().flat_map(|folder| rust_files(&top.join(folder)));
    let sources: Vec<_> =
        files.map(|path| (path.strip_prefix(&top).unwrap().to_owned(), fs::read_to_string(&path).unwrap())).collect();
    assert!(sources.len() > 50, "the repository was not found from here");
    sources
}

/// Fails with everything that is wrong, not with the first of it.
#[track_caller]
fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn files_are_small_and_open_by_saying_what_they_are() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let (path, lines) = (path.display(), text.lines().count());
        if lines > LINES {
            wrong.push(format!("{path}: {lines} lines, the limit is {LINES}"));
        }
        if !text.starts_with("//! ") {
            wrong.push(format!("{path}: opens without a module doc"));
        }
    }
    assert_none(&wrong);
}

#[test]
fn modules_with_parts_lie_beside_their_folder() {
    let modules = sources().into_iter().filter(|(path, _)| path.ends_with("mod.rs"));
    assert_none(&modules.map(|(path, _)| path.display().to_string()).collect::<Vec<_>>());
}

#[test]
fn imports_point_one_way() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let Some(module) = path.strip_prefix("src").ok().and_then(|path| path.iter().next()?.to_str()) else {
            continue;
        };
        let module = module.trim_end_matches(".rs");
        if module == "lib" || path.ends_with("tests.rs") {
            continue;
        }
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("{}: `{module}` is not in the table", path.display()));
            continue;
        };
        let used = used_modules(&text);
        let foreign = used
            .iter()
            .filter(|name| *name != module && *allowed != "*" && !allowed.split(' ').any(|one| one == *name));
        wrong.extend(foreign.map(|name| format!("{}: `{module}` uses `{name}`", path.display())));
    }
    assert_none(&wrong);
}

/// The modules of this crate that a file names outside of comments and tests.
fn used_modules(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let code: String =
        code.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect();
    code.split("crate::").skip(1).flat_map(first_names).collect()
}

/// The first segment of the path that `text` begins with, or of each path when it begins with a group.
fn first_names(text: &str) -> Vec<String> {
    let Some(group) = text.strip_prefix('{') else { return vec![word(text)] };
    let mut names = Vec::new();
    let (mut depth, mut rest) = (0, group);
    names.push(word(rest.trim_start()));
    while let Some(at) = rest.find(['{', '}', ',']) {
        let (mark, after) = (rest.as_bytes()[at], &rest[at + 1..]);
        match mark {
            b'{' => depth += 1,
            b'}' if depth == 0 => break,
            b'}' => depth -= 1,
            _ if depth == 0 => names.push(word(after.trim_start())),
            _ => {}
        }
        rest = after;
    }
    names.retain(|name| !name.is_empty());
    names
}

fn word(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

#[test]
fn the_reader_of_imports_reads_them() {
    let text = "use crate::{\n    api::{self, problem::Problem},\n    clock::Clock,\n};\nuse crate::model::ids;\n// crate::no\nfn f() { crate::store::x(); }\n#[cfg(test)]\nmod tests { use crate::cli; }";
    let used = used_modules(text);
    assert_eq!(used.iter().map(String::as_str).collect::<Vec<_>>(), ["api", "clock", "model", "store"]);
}
