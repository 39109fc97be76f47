//! `secrets` against a daemon that answers by script: where values come from, and where they never show.

use kheish_host_tests::cli::Cli;
use serde_json::{Value, json};

use super::{answer, problem, scripted};

fn status() -> Value {
    json!({ "slot_id": "shop/orders.token", "provider": "generic", "mode": "opaque_secret", "version": 2,
            "created_at_ms": 0, "updated_at_ms": 0, "used_by": ["http/orders"] })
}

#[tokio::test]
async fn a_value_comes_from_a_variable_a_file_or_standard_input() {
    let (daemon, cli) = scripted(|_| answer(200, &status())).await;
    let base = daemon.url("");
    let set = ["secrets", "set", "shop/orders.token"];
    let file = cli.file("value", "from-a-file\n");
    let by_file = cli.run(&[&set[..], &["--from-file", file.to_str().unwrap()]].concat()).await.expect(0);
    by_file.says(&["shop/orders.token set, version 2"]);
    let by_env = Cli::at(&base).env("VALUE", "from-a-variable");
    by_env.run(&[&set[..], &["--from-env", "VALUE"]].concat()).await.expect(0);
    Cli::at(&base).stdin("from-a-pipe\r\n").run(&[&set[..], &["--stdin"]].concat()).await.expect(0);
    let bodies: Vec<Value> = daemon.received().into_iter().map(|request| request.body).collect();
    let expected = ["from-a-file", "from-a-variable", "from-a-pipe"].map(|value| {
        json!({ "slot_id": "shop/orders.token", "provider": "generic", "mode": "opaque_secret", "state": { "value": value } })
    });
    assert_eq!(bodies, expected);
}

#[tokio::test]
async fn without_a_value_nothing_is_sent() {
    let (daemon, cli) = scripted(|_| answer(200, &status())).await;
    let set = ["secrets", "set", "a"];
    cli.run(&[&set[..], &["--from-env", "NOT_SET"]].concat()).await.expect(2).says(&["NOT_SET"]);
    cli.run(&[&set[..], &["--stdin"]].concat()).await.expect(2).says(&["blank"]);
    cli.run(&[&set[..], &["--from-file", "nowhere"]].concat()).await.expect(2);
    cli.run(&[&set[..], &["--stdin", "--from-env", "A"]].concat()).await.expect(2);
    cli.run(&["secrets", "set", "a", "value-as-argument"]).await.expect(2);
    assert!(daemon.received().is_empty());
}

#[tokio::test]
async fn references_are_encoded_and_listed_with_their_users() {
    let (daemon, cli) = scripted(|request| match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/v1/runtime/secrets") => answer(200, &json!([status()])),
        ("GET", "/v1/runtime/secrets/shop%2Forders.token") => answer(200, &status()),
        ("DELETE", "/v1/runtime/secrets/shop%2Forders.token") => {
            problem(409, "secret_in_use", "http/orders uses it", &[])
        }
        ("POST", "/v1/runtime/secret-keys/rotate") => {
            answer(200, &json!({ "data_key": 3, "secrets": 12, "master_key_replaced": true }))
        }
        _ => problem(404, "secret_not_found", "there is no such secret", &[]),
    })
    .await;
    cli.run(&["secrets", "list"]).await.expect(0).says(&["shop/orders.token", "http/orders"]);
    cli.run(&["secrets", "get", "shop/orders.token"]).await.expect(0).says(&["version", "2"]);
    cli.run(&["secrets", "get", "other"]).await.expect(3).says(&["code: secret_not_found"]);
    cli.run(&["secrets", "delete", "shop/orders.token"]).await.expect(2).says(&["--yes"]);
    cli.run(&["secrets", "delete", "shop/orders.token", "--yes"]).await.expect(4).says(&["http/orders uses it"]);
    cli.run(&["secrets", "rotate-keys"]).await.expect(0).says(&["12 secrets", "data key 3", "master key was replaced"]);
    assert_eq!(daemon.received_at("/v1/runtime/secrets/shop%2Forders.token").len(), 2);
}
