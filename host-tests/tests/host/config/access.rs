//! Doors that would be open by mistake, and tokens that cannot be meant so.

use std::{fs, os::unix::fs::PermissionsExt};

use kheish_host_tests::host::Host;
use tempfile::TempDir;

use super::{assert_refused, builder};

const TOKEN: &str = "token-of-the-operator";
const ADMIN: &str = "KHEISH_DAEMON_ADMIN_TOKEN";
const ADMIN_FILE: &str = "KHEISH_DAEMON_ADMIN_TOKEN_FILE";
const READ_ONLY: &str = "KHEISH_DAEMON_READONLY_TOKEN";

/// A folder with a token file of this mode, and the file's path.
fn token_file(text: &str, mode: u32) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    let path = path.to_string_lossy().into_owned();
    (folder, path)
}

#[tokio::test]
async fn beyond_this_machine_a_token_is_needed() {
    for address in ["0.0.0.0:0", "[::]:0"] {
        let ended = builder().listen(address).run_to_end().await;
        assert_refused(&ended, &[address, ADMIN, ADMIN_FILE, "127.0.0.1"]);
        let reader = builder().listen(address).env(READ_ONLY, TOKEN).run_to_end().await;
        assert_refused(&reader, &[address, ADMIN]);
        let none = builder().listen(address).token(TOKEN).flag("--http-auth-mode", "none").run_to_end().await;
        assert_refused(&none, &[address, "--http-auth-mode none"]);
    }
    let host = builder().listen("0.0.0.0:0").token(TOKEN).start().await;
    host.get("/v1/status").await.expect(200);
}

#[tokio::test]
async fn modes() {
    let bearer = builder().flag("--http-auth-mode", "bearer");
    assert_refused(&bearer.clone().run_to_end().await, &["bearer", ADMIN]);
    bearer.token(TOKEN).start().await.get("/v1/status").await.expect(200);
    for builder in [builder().env("KHEISH_HTTP_AUTH_MODE", "bearer"), builder().settings("[auth]\nmode = \"bearer\"\n")]
    {
        assert_refused(&builder.run_to_end().await, &["bearer", ADMIN]);
    }
    let none = builder().flag("--http-auth-mode", "none").env(ADMIN, TOKEN).start().await;
    none.get("/v1/status").await.expect(200);
    none.logs("nobody is asked for them").await;
    let auto = builder().env(ADMIN, TOKEN).start().await;
    auto.get("/v1/status").await.problem(401, "auth", "missing_token");
}

#[tokio::test]
async fn tokens_that_cannot_be_meant_so() {
    let (_folder, file) = token_file(TOKEN, 0o600);
    for variable in [ADMIN, READ_ONLY] {
        let file_variable = format!("{variable}_FILE");
        let builder = || if variable == ADMIN { builder() } else { builder().token("another") };
        assert_refused(&builder().env(variable, "  ").run_to_end().await, &[variable, "empty"]);
        assert_refused(&builder().env(&file_variable, "").run_to_end().await, &[&file_variable, "empty"]);
        let both = builder().env(variable, TOKEN).env(&file_variable, &file).run_to_end().await;
        assert_refused(&both, &[variable, &file_variable, "both"]);
        let missing = builder().env(&file_variable, "/nowhere/token").run_to_end().await;
        assert_refused(&missing, &["/nowhere/token"]);
        for (text, mode, word) in [
            (TOKEN, 0o640, "chmod 600"),
            (TOKEN, 0o604, "chmod 600"),
            ("\n", 0o600, "empty"),
            ("a\nb", 0o600, "one line"),
        ] {
            let (_folder, file) = token_file(text, mode);
            assert_refused(&builder().env(&file_variable, &file).run_to_end().await, &[&file, word]);
        }
    }
    let same = builder().token(TOKEN).env(&format!("{READ_ONLY}_FILE"), &file).run_to_end().await;
    assert_refused(&same, &["the same"]);
    assert!(!same.stderr.contains(TOKEN), "{}", same.stderr);
    let alone = builder().env(READ_ONLY, TOKEN).run_to_end().await;
    assert_refused(&alone, &["read-only", ADMIN]);
}

#[tokio::test]
async fn a_file_of_the_settings_gives_way_to_a_variable() {
    let (_folder, file) = token_file(&format!("{TOKEN}\n"), 0o600);
    let settings = format!("[auth]\nadmin_token_file = \"{file}\"\n");
    let host = builder().settings(&settings).start().await;
    host.client().with_token(TOKEN).get("/v1/status").await.expect(200);
    let host = builder().settings(&settings).token("by-variable").start().await;
    host.get("/v1/status").await.expect(200);
    host.client().with_token(TOKEN).get("/v1/status").await.problem(401, "auth", "invalid_token");
}

#[tokio::test]
async fn origins_that_are_none_and_everything_else_at_once() {
    for origin in ["https://app.example", "http://localhost/", "localhost:3000", "*", ""] {
        let ended = builder().flag("--http-cors-allow-origin", origin).run_to_end().await;
        assert_refused(&ended, &[&format!("`{origin}`"), "http://localhost:3000"]);
    }
    let ended = Host::builder()
        .listen("0.0.0.0:0")
        .flag("--http-cors-allow-origin", "http://a.example,http://b.example")
        .connectors("[[http_connectors]]\nname = \"a:b\"\n")
        .run_to_end()
        .await;
    assert_refused(&ended, &["0.0.0.0:0", "http://a.example", "http://b.example", "connectors.toml:2"]);
}
