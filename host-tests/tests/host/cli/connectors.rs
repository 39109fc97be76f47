//! `connectors`, one at a time, against a daemon that answers by script.

use serde_json::json;

use super::{answer, problem, scripted};

#[tokio::test]
async fn a_connector_is_put_with_its_revision_and_names_are_encoded() {
    let view =
        json!({ "kind": "http", "name": "a b", "source": "daemon", "revision": 4, "status": { "state": "running" } });
    let (daemon, cli) = scripted(move |request| match request.query.as_str() {
        "dry_run=true" => {
            let mut view = view.clone();
            view["changed"] = true.into();
            answer(200, &view)
        }
        _ => answer(201, &view),
    })
    .await;
    let put = ["connectors", "put", "http", "a b", "--json", r#"{"actor_id":null}"#];
    cli.run(&[&put[..], &["--if-match", "3"]].concat())
        .await
        .expect(0)
        .says(&["http/a b created: revision 4, running"]);
    cli.run(&[&put[..], &["--dry-run"]].concat()).await.expect(0).says(&["would be changed"]);
    let seen = daemon.received_at("/v1/runtime/connectors/http/a%20b");
    assert_eq!(seen.len(), 2);
    assert_eq!((seen[0].method.as_str(), &seen[0].body), ("PUT", &json!({ "actor_id": null })));
    assert_eq!(seen[0].headers.get("if-match").map(|value| value.as_bytes()), Some(&b"\"3\""[..]));
    cli.run(&["connectors", "put", "http", "a", "--json", "{"]).await.expect(2).says(&["--json is not JSON"]);
    cli.run(&["connectors", "put", "http", "a"]).await.expect(2);
}

#[tokio::test]
async fn a_refusal_names_every_field() {
    let errors = [("/hmac_secret", "there is no secret `x`"), ("/rate", "unknown field")];
    let (_daemon, cli) = scripted(move |_| problem(400, "invalid_connector", "2 fields are wrong", &errors)).await;
    let ran = cli.stdin("{}").run(&["connectors", "put", "http", "a", "--file", "-"]).await.expect(4);
    assert_eq!(ran.stdout, "");
    let expected = "kheishd: 2 fields are wrong\n  /hmac_secret: there is no secret `x`\n  /rate: unknown field\n  code: invalid_connector\n";
    assert_eq!(ran.stderr, expected);
}

#[tokio::test]
async fn deleting_wants_a_yes_and_tells_what_went_with_it() {
    let removed = json!({ "accepted": true, "sessions": [
        { "session_id": "room", "removed": [{ "plugin": "slack", "address": "{}" }] } ] });
    let (daemon, cli) = scripted(move |_| answer(200, &removed)).await;
    cli.run(&["connectors", "delete", "slack", "a"]).await.expect(2).says(&["--yes"]);
    assert!(daemon.received().is_empty());
    cli.run(&["connectors", "delete", "slack", "a", "--yes"])
        .await
        .expect(0)
        .says(&["session room: 1 reply targets removed"]);
}

#[tokio::test]
async fn reply_targets_are_a_list_of_their_own() {
    let targets = json!([{ "plugin": "slack", "address": "{\"connector\":\"a\"}" }]);
    let shown = json!({ "reply_targets": targets, "notice": "slack/b is gone" });
    let (daemon, cli) = scripted(move |_| answer(200, &shown)).await;
    let get = cli.run(&["sessions", "reply-targets", "get", "a/b"]).await.expect(0);
    get.says(&["slack", "{\"connector\":\"a\"}", "slack/b is gone"]);
    cli.run(&["sessions", "reply-targets", "set", "a/b", "--json", &targets.to_string()]).await.expect(0);
    cli.run(&["sessions", "reply-targets", "clear", "a/b"]).await.expect(0);
    let seen = daemon.received_at("/v1/sessions/a%2Fb/reply-targets");
    assert_eq!(seen.iter().map(|one| one.method.as_str()).collect::<Vec<_>>(), ["GET", "PUT", "DELETE"]);
    assert_eq!(seen[1].body, json!({ "reply_targets": targets }));
}

#[tokio::test]
async fn what_is_no_daemon_is_not_believed() {
    let (_daemon, cli) = scripted(|request| match request.path.as_str() {
        "/v1/status" => kheish_host_tests::receiver::Reply::Body(200, "text/html", "<html>".to_owned()),
        _ => kheish_host_tests::receiver::Reply::With(302, "location", "http://127.0.0.1:1/".to_owned()),
    })
    .await;
    cli.run(&["status"]).await.expect(1).says(&["is no kheishd"]);
    cli.run(&["plugins", "list"]).await.expect(1).says(&["redirects are not followed"]);
}

#[tokio::test]
async fn no_proxy_stands_before_a_daemon_on_this_machine() {
    let (proxy, _cli) = scripted(|_| problem(502, "bad_gateway", "the proxy was asked", &[])).await;
    let (_daemon, cli) = scripted(|_| answer(200, &json!([]))).await;
    let cli = cli.env("http_proxy", &proxy.url("")).env("HTTP_PROXY", &proxy.url("")).env("ALL_PROXY", &proxy.url(""));
    cli.run(&["plugins", "list"]).await.expect(0);
    assert!(proxy.received().is_empty());
}

#[tokio::test]
async fn a_terminal_is_given_no_orders_from_elsewhere() {
    let view = json!([{ "kind": "http", "name": "a", "source": "daemon", "revision": 1,
                        "status": { "state": "failed", "last_error": { "errors": [{ "detail": "bad\u{1b}[2Jthing" }] } } }]);
    let (_daemon, cli) = scripted(move |_| answer(200, &view)).await;
    let ran = cli.run(&["connectors", "list"]).await.expect(0);
    ran.says(&["http/a", "failed", "bad\\u{1b}[2Jthing"]);
    assert!(!ran.stdout.contains('\u{1b}'));
}

#[tokio::test]
async fn a_kind_shows_its_settings_and_secrets() {
    let kind = json!({ "kind": "http", "version": "1.0.0", "description": "Webhooks", "file": "http.wasm", "digest": "ab",
                       "does": ["delivers", "polls"], "settings": { "properties": { "actor_id": { "type": "string", "default": "http-webhook" } } },
                       "secrets": { "hmac_secret": { "description": "signs requests", "required": false } } });
    let (_daemon, cli) = scripted(move |_| answer(200, &kind)).await;
    let ran = cli.run(&["connectors", "kinds", "http"]).await.expect(0);
    ran.says(&["Webhooks", "actor_id", "http-webhook", "hmac_secret", "signs requests", "does: delivers, polls"]);
}
