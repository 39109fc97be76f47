//! Operators' commands and the real daemon together: a file applied, an event followed, secrets changed.

use kheish_host_tests::{
    cli::Cli,
    host::{HTTP, Host, OUTBOX},
};

/// One connector sends its answers to another one that the same file makes after it.
const FILE: &str = r#"
[[http_connectors]]
name = "orders"
bearer_token = "a-token-of-orders"
hmac_secret_secret_ref = "shop/orders key"
session_policy = { create_if_missing = true }
default_reply_targets = [{ plugin = "outbox", address = '{"connector":"out","answer":"ok"}' }]

[[connectors]]
kind = "outbox"
name = "out"
allow_unauthenticated_ingress = true
"#;

#[tokio::test]
async fn a_file_is_applied_tried_out_and_taken_back() {
    let host = Host::builder().executor("echo").plugins(&[HTTP, OUTBOX]).start().await;
    let cli = Cli::of(&host);
    let file = cli.file("connectors.toml", FILE);
    let apply = ["connectors", "apply", "-f", file.to_str().unwrap()];
    let with = |flags: &[&'static str]| [&apply[..], flags].concat();
    cli.run(&with(&["--yes"])).await.expect(3).says(&["shop/orders key", "nothing was changed"]);
    let stdin = Cli::of(&host).stdin("a-key-of-orders");
    stdin.run(&["secrets", "set", "shop/orders key", "--stdin"]).await.expect(0);
    cli.run(&with(&["--check"])).await.expect(6).says(&["http/orders would be created", "outbox/out would be created"]);
    assert_eq!(host.get("/v1/runtime/connectors").await.items().len(), 0);
    let done = cli.run(&with(&["--yes"])).await.expect(0);
    done.says(&["http/orders created", "outbox/out created", "running"]);
    assert!(!done.stdout.contains("a-token-of-orders"), "{}", done.stdout);
    cli.run(&with(&["--check"])).await.expect(0).says(&["http/orders unchanged", "outbox/out unchanged"]);
    cli.run(&["connectors", "list"]).await.expect(0).says(&["http/orders", "outbox/out", "running"]);
    let tried = cli.run(&["connectors", "test", "http", "orders", "--text", "Hello"]).await.expect(0);
    tried.says(&["x-kheish-signature", "receipt accepted", "completed", "Hello", "delivered"]);
    cli.run(&["secrets", "list"]).await.expect(0).says(&["shop/orders key", "http/orders"]);
    cli.run(&["secrets", "rotate-keys"]).await.expect(0).says(&["2 secrets"]);
    cli.run(&["connectors", "test", "http", "orders"]).await.expect(0);
    cli.run(&["connectors", "delete", "outbox", "out", "--yes"]).await.expect(4).says(&["http/orders"]);
    cli.run(&["secrets", "delete", "shop/orders key", "--yes"]).await.expect(4).says(&["http/orders"]);
    let fewer = cli.file("fewer.toml", "");
    let prune = ["connectors", "apply", "-f", fewer.to_str().unwrap(), "--prune", "--yes"];
    cli.run(&prune).await.expect(0).says(&["http/orders deleted", "outbox/out deleted"]);
    cli.run(&["secrets", "delete", "shop/orders key", "--yes"]).await.expect(0);
    cli.run(&["connectors", "get", "http", "orders"]).await.expect(3);
    cli.run(&["doctor", "--state-root", host.state_folder().to_str().unwrap()]).await.expect(0);
}
