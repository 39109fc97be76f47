//! Tokens in files: what counts is what is in the file now.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use kheish_host_tests::host::{Host, HostBuilder};
use serde_json::json;
use tokio::{sync::RwLock, task::JoinSet};

use super::{READER, TokenFiles, anybody};

fn with_files(files: &TokenFiles) -> HostBuilder {
    let builder = Host::builder().plugins(&[]).settings("[auth]\nfailure_limit = 1000000\n");
    builder.env("KHEISH_DAEMON_ADMIN_TOKEN_FILE", &files.text("admin"))
}

#[tokio::test]
async fn the_token_of_the_moment_always_passes_and_the_last_one_never() {
    let files = TokenFiles::new();
    files.put("admin", "token-0000\n");
    let host = with_files(&files).start().await;
    let client = anybody(&host);
    // Whoever reads the lock has the token of the moment until the answer is there.
    let current = Arc::new(RwLock::new("token-0000".to_owned()));
    let (done, passed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let mut load = JoinSet::new();
    for _ in 0..4 {
        let (client, current, done, passed) = (client.clone(), current.clone(), done.clone(), passed.clone());
        load.spawn(async move {
            while !done.load(Ordering::Relaxed) {
                let token = current.read().await;
                client.with_token(&token).get("/v1/plugins").await.expect(200);
                passed.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for round in 1..200 {
        let mut current = current.write().await;
        let (former, token) = (current.clone(), format!("token-{round:04}"));
        if round % 2 == 0 {
            files.put("admin", &token);
        } else {
            files.put(&token, &token);
            files.link("admin", &token);
        }
        current.clone_from(&token);
        client.with_token(&former).get("/v1/plugins").await.problem(401, "auth", "invalid_token");
    }
    done.store(true, Ordering::Relaxed);
    load.join_all().await;
    assert!(passed.load(Ordering::Relaxed) > 100, "the load was no load");
}

#[tokio::test]
async fn while_a_file_is_not_as_it_should_be_nobody_gets_in_by_it() {
    let files = TokenFiles::new();
    files.put("admin", "the-admin");
    let host = with_files(&files).env("KHEISH_DAEMON_READONLY_TOKEN", READER).start().await;
    let client = anybody(&host);
    let admin = client.with_token("the-admin");
    let closed = async |log: &str| {
        let answer = admin.get("/v1/status").await;
        answer.problem(503, "auth", "auth_unavailable");
        assert!(!answer.header("retry-after").is_empty());
        admin.post("/v1/sessions", &json!({})).await.problem(503, "auth", "auth_unavailable");
        client.with_token("other").get("/v1/status").await.problem(503, "auth", "auth_unavailable");
        client.get("/v1/status").await.problem(401, "auth", "missing_token");
        // The other token is where it was.
        client.with_token(READER).get("/v1/status").await.expect(200);
        client.with_token(READER).get("/v1/runtime/secrets").await.problem(403, "auth", "insufficient_access");
        host.logs(log).await;
    };
    files.remove("admin");
    closed("cannot be read").await;
    files.put("admin", " \n");
    closed("is empty").await;
    files.put_with_mode("admin", "the-admin", 0o644);
    closed("chmod 600").await;
    files.link("admin", "nowhere");
    closed("cannot be read").await;
    files.put("admin", "the-admin");
    admin.get("/v1/status").await.expect(200);
    host.logs("the admin token was read anew").await;
    assert_eq!(host.log().matches("no admin token any more").count(), 4, "a change is one line");
    assert!(!host.log().contains("the-admin"));
}

#[tokio::test]
async fn tokens_that_have_become_the_same_are_both_refused() {
    let files = TokenFiles::new();
    files.put("admin", "one");
    files.put("reader", "other");
    let settings = format!("[auth]\nreadonly_token_file = \"{}\"\n", files.text("reader"));
    let host = with_files(&files).settings(&settings).start().await;
    let client = anybody(&host);
    client.with_token("other").get("/v1/status").await.expect(200);
    files.put("reader", "one");
    for token in ["one", "other"] {
        client.with_token(token).get("/v1/status").await.problem(503, "auth", "auth_unavailable");
    }
    host.logs("are the same now").await;
    files.put("reader", "third");
    client.with_token("one").get("/v1/whatever").await.problem(404, "api", "route_not_found");
    client.with_token("third").get("/v1/status").await.expect(200);
    client.with_token("other").get("/v1/status").await.problem(401, "auth", "invalid_token");
}
