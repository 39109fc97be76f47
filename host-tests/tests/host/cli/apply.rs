//! `connectors apply` against a small daemon in memory that keeps connectors as the real one does.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use kheish_host_tests::{
    cli::Cli,
    receiver::{Received, Receiver, Reply},
};
use serde_json::{Map, Value, json};

use super::{answer, problem, scripted};

const FILE: &str = "[[http_connectors]]\nname = \"orders\"\nhmac_secret = \"very-secret\"\nactor_id = \"shop\"\n\n\
                    [[http_connectors]]\nname = \"bills\"\nbearer_token_env = \"BILLS\"\n";

/// Connectors by name; all of kind `http`.
type Kept = Arc<Mutex<BTreeMap<String, Value>>>;

fn daemon(kept: &Kept, request: &Received) -> Reply {
    let mut kept = kept.lock().unwrap();
    let missing = || problem(404, "connector_not_found", "there is no such connector", &[]);
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/v1/runtime/kinds/http") => {
            answer(200, &json!({ "secrets": { "hmac_secret": {}, "bearer_token": {} } }))
        }
        ("GET", "/v1/runtime/connectors") => answer(200, &json!(kept.values().collect::<Vec<_>>())),
        (method, path) => match (method, path.strip_prefix("/v1/runtime/connectors/http/")) {
            ("GET", Some(name)) => kept.get(name).map_or_else(missing, |view| answer(200, view)),
            // Whose name is longer refers to the shorter one.
            ("DELETE", Some(name)) if kept.keys().any(|other| other.len() > name.len() && other.starts_with(name)) => {
                problem(409, "connector_in_use", "another one refers to it", &[])
            }
            ("DELETE", Some(name)) => {
                kept.remove(name).map_or_else(missing, |_| answer(200, &json!({ "accepted": true })))
            }
            ("PUT", Some(name)) => put(&mut kept, name, request),
            _ => problem(404, "kind_not_found", "there is no such kind", &[]),
        },
    }
}

fn put(kept: &mut BTreeMap<String, Value>, name: &str, request: &Received) -> Reply {
    let before = kept.get(name).cloned();
    if before.as_ref().is_some_and(|view| view["source"] == "file") {
        return problem(409, "file_backed", "the connectors file has it", &[]);
    }
    if request.body["actor_id"] == "nobody" {
        return problem(400, "invalid_connector", "1 field is wrong", &[("/actor_id", "nobody is nobody")]);
    }
    let mut view = before.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
    for (field, value) in request.body.as_object().cloned().unwrap_or_default() {
        merge(&mut view, field, value);
    }
    let was = before.as_ref().and_then(|view| view["revision"].as_u64()).unwrap_or_default();
    let same = before.as_ref().and_then(Value::as_object) == Some(&view);
    let fixed = json!({ "kind": "http", "name": name, "source": "daemon", "status": { "state": "running" } });
    view.extend(fixed.as_object().cloned().unwrap_or_default());
    view.insert("revision".to_owned(), (was + u64::from(!same)).into());
    let mut view = Value::from(view);
    if request.query == "dry_run=true" {
        view["changed"] = (!same).into();
        view["created"] = before.is_none().into();
        return answer(200, &view);
    }
    kept.insert(name.to_owned(), view.clone());
    answer(if before.is_none() { 201 } else { 200 }, &view)
}

fn merge(view: &mut Map<String, Value>, field: String, value: Value) {
    let secret = ["hmac_secret", "bearer_token"].contains(&field.as_str());
    let value = match value {
        Value::Null => {
            view.remove(&field);
            return;
        }
        Value::Object(object) if secret => match object.iter().next() {
            None => json!({ "configured": false }),
            Some((way, _)) if way == "value" => json!({ "configured": true, "source": "inline" }),
            Some((way, name)) => json!({ "configured": true, "source": way, way: name }),
        },
        other => other,
    };
    view.insert(field, value);
}

async fn start(names: &[(&str, &str)]) -> (Kept, Receiver, Cli) {
    let kept = Kept::default();
    for (name, source) in names {
        let view =
            json!({ "kind": "http", "name": name, "source": source, "revision": 1, "status": { "state": "running" } });
        kept.lock().unwrap().insert((*name).to_owned(), view);
    }
    let of_daemon = Arc::clone(&kept);
    let (receiver, cli) = scripted(move |request| daemon(&of_daemon, request)).await;
    cli.file("connectors.toml", FILE);
    (kept, receiver, cli)
}

const APPLY: [&str; 4] = ["connectors", "apply", "-f", "connectors.toml"];

fn writes(daemon: &Receiver) -> Vec<String> {
    let real = daemon.received().into_iter().filter(|request| request.method != "GET" && request.query.is_empty());
    real.map(|request| format!("{} {}", request.method, request.path.rsplit('/').next().unwrap_or_default())).collect()
}

#[tokio::test]
async fn what_would_change_is_shown_then_done_then_nothing_is_left_to_do() {
    let (kept, daemon, cli) = start(&[]).await;
    let check = cli.run(&[&APPLY[..], &["--check"]].concat()).await.expect(6);
    check.says(&["+++ http/orders (as in the file)", "+  \"actor_id\": \"shop\"", "http/bills would be created"]);
    cli.run(&[&APPLY[..], &["--dry-run"]].concat()).await.expect(0);
    // Nobody is here to say yes.
    cli.run(&APPLY).await.expect(2).says(&["--yes"]);
    assert_eq!(writes(&daemon), Vec::<String>::new());
    let ran = cli.run(&[&APPLY[..], &["--yes"]].concat()).await.expect(0);
    ran.says(&["http/orders created: revision 1, running", "http/bills created"]);
    assert!(!ran.stdout.contains("very-secret") && !ran.stderr.contains("very-secret"));
    assert_eq!(writes(&daemon), ["PUT orders", "PUT bills"]);
    assert_eq!(
        kept.lock().unwrap()["bills"]["bearer_token"],
        json!({ "configured": true, "source": "env", "env": "BILLS" })
    );
    cli.run(&[&APPLY[..], &["--check"]].concat()).await.expect(0).says(&["http/orders unchanged"]);
}

#[tokio::test]
async fn the_file_is_all_there_is() {
    let (kept, daemon, cli) = start(&[]).await;
    cli.run(&[&APPLY[..], &["--yes"]].concat()).await.expect(0);
    cli.file("connectors.toml", "[[connectors]]\nkind = \"http\"\nname = \"orders\"\nfixed_session_id = \"room\"\n");
    let ran = cli.run(&[&APPLY[..], &["--yes", "--output", "json"]].concat()).await.expect(0).json();
    assert_eq!((&ran["applied"], &ran["connectors"][0]["action"]), (&json!(true), &json!("changed")));
    let orders = kept.lock().unwrap()["orders"].clone();
    assert_eq!((&orders["actor_id"], &orders["fixed_session_id"]), (&Value::Null, &json!("room")));
    assert_eq!(orders["hmac_secret"], json!({ "configured": false }));
    // Only if it is still what was shown.
    let puts = daemon.received_at("/v1/runtime/connectors/http/orders").into_iter().filter(|one| one.method == "PUT");
    let last = puts.last().unwrap();
    assert_eq!(last.headers["if-match"], "\"1\"");
    assert!(kept.lock().unwrap().contains_key("bills"));
}

#[tokio::test]
async fn one_mistake_and_nothing_is_applied() {
    let (_kept, daemon, cli) = start(&[("bills", "file")]).await;
    cli.file("connectors.toml", &FILE.replace("\"shop\"", "\"nobody\""));
    let ran = cli.run(&[&APPLY[..], &["--yes"]].concat()).await.expect(4);
    ran.says(&[
        "connectors.toml:4: http/orders: /actor_id: nobody is nobody",
        "connectors.toml:6: http/bills: the connectors file has it",
    ]);
    cli.file("connectors.toml", "[[http_connectors]]\nname = \"a\"\nhmac_secret = \"x\"\nhmac_secret_env = \"Y\"\n[[connectors]]\nkind = \"odd\"\nname = \"b\"\n");
    cli.run(&[&APPLY[..], &["--yes"]].concat()).await.expect(2).says(&[
        "connectors.toml:4",
        "not both",
        "connectors.toml:6",
        "no such kind",
    ]);
    cli.file("connectors.toml", "[[http_conectors]]\nname = 1\n");
    cli.run(&APPLY).await.expect(2).says(&["connectors.toml:1", "no such table"]);
    assert_eq!(writes(&daemon), Vec::<String>::new());
}

#[tokio::test]
async fn pruning_takes_only_what_the_daemon_keeps_itself() {
    let (kept, daemon, cli) = start(&[("old", "daemon"), ("fixed", "file")]).await;
    cli.run(&[&APPLY[..], &["--yes"]].concat()).await.expect(0);
    let ran = cli.run(&[&APPLY[..], &["--prune", "--yes"]].concat()).await.expect(0);
    ran.says(&["+++ http/old (deleted)", "http/old deleted"]);
    assert_eq!(kept.lock().unwrap().keys().collect::<Vec<_>>(), ["bills", "fixed", "orders"]);
    assert_eq!(writes(&daemon).last().map(String::as_str), Some("DELETE old"));
}

#[tokio::test]
async fn what_refers_to_another_goes_first() {
    let (kept, daemon, cli) = start(&[("a", "daemon"), ("ab", "daemon"), ("abc", "daemon"), ("b", "file")]).await;
    cli.file("connectors.toml", "");
    cli.run(&[&APPLY[..], &["--prune", "--yes"]].concat()).await.expect(0).says(&["http/a deleted"]);
    assert_eq!(kept.lock().unwrap().keys().collect::<Vec<_>>(), ["b"]);
    // What is refused for good is told, and does not go on for ever.
    for (name, source) in [("b", "daemon"), ("bb", "file")] {
        let view = json!({ "kind": "http", "name": name, "source": source, "revision": 1 });
        kept.lock().unwrap().insert(name.to_owned(), view);
    }
    cli.run(&[&APPLY[..], &["--prune", "--yes"]].concat())
        .await
        .expect(4)
        .says(&["http/b failed", "another one refers"]);
    assert_eq!(writes(&daemon).last().map(String::as_str), Some("DELETE b"));
}

#[tokio::test]
async fn what_came_out_otherwise_is_told() {
    let kept = Kept::default();
    let of_daemon = Arc::clone(&kept);
    let (_receiver, cli) = scripted(move |request| {
        let reply = daemon(&of_daemon, request);
        // Somebody else is at work between the change and the look at it.
        if let Some(orders) = of_daemon.lock().unwrap().get_mut("orders") {
            orders["actor_id"] = "somebody".into();
        }
        reply
    })
    .await;
    cli.file("connectors.toml", FILE);
    let ran = cli.run(&[&APPLY[..], &["--yes"]].concat()).await.expect(1);
    ran.says(&[
        "http/orders is not what was planned:",
        "-  \"actor_id\": \"shop\"",
        "+  \"actor_id\": \"somebody\"",
        "http/bills created",
    ]);
}
