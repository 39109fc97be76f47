//! The list of tokens as the API takes, keeps, shows and refuses it.

use kheish_host_tests::{
    cli::Cli,
    host::Host,
    slack::{TOKEN, WebApi},
};
use serde_json::{Value, json};

use super::{OTHER, PLACE, both, builder, fields, slot, two};

/// A daemon with the connector, its view, and the double.
async fn made() -> (Host, Value, WebApi) {
    let (api, host) = (two().await, builder().start().await);
    let view = host.put(PLACE, &fields(&api, &both())).await.expect(201).json;
    (host, view, api)
}

async fn put(host: &Host, tokens: Value) -> Value {
    host.put(PLACE, &json!({ "team_bot_tokens": tokens })).await.expect(200).json
}

/// The names of all secrets that are stored.
async fn stored(host: &Host) -> Vec<String> {
    let list = host.get("/v1/runtime/secrets").await.expect(200);
    list.items().iter().map(|secret| secret["slot_id"].as_str().unwrap_or_default().to_owned()).collect()
}

fn shown(team: &str) -> Value {
    let token = json!({"configured": true, "source": "secret_ref", "secret_ref": slot(team)});
    json!({"team_id": team, "bot_token": token})
}

#[tokio::test]
async fn values_are_stored_under_their_workspace_and_never_come_out() {
    let (host, view, _api) = made().await;
    assert_eq!(view["team_bot_tokens"], json!([shown("T1"), shown("T2")]));
    let signing = "connectors.slack.support.signing_secret".to_owned();
    assert_eq!(stored(&host).await, [signing, slot("T1"), slot("T2")]);
    let kind = host.get("/v1/runtime/kinds/slack").await.expect(200);
    assert_eq!(kind.json["secret_lists"]["team_bot_tokens"]["key"], "team_id");
    for answer in [host.get(PLACE).await, host.get("/v1/runtime/secrets").await, kind, host.get("/v1/status").await] {
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(!body.contains(TOKEN) && !body.contains(OTHER), "{body}");
    }
    let used = host.delete(&format!("/v1/runtime/secrets/{}", slot("T2"))).await;
    assert!(used.problem(409, "secrets", "secret_in_use").contains("slack/support"));
    host.delete(PLACE).await.expect(200);
    assert!(stored(&host).await.is_empty(), "its own secrets go with it");
}

#[tokio::test]
async fn what_a_change_does_not_say_stays() {
    let (host, view, _api) = made().await;
    let same = host.put(PLACE, &json!({ "link_previews": false, "team_bot_tokens": null })).await.expect(200).json;
    assert_eq!(same["team_bot_tokens"], view["team_bot_tokens"]);
    let one = put(&host, json!([{"team_id": "T2"}])).await;
    assert_eq!(one["team_bot_tokens"], json!([shown("T2")]));
    assert!(!stored(&host).await.contains(&slot("T1")), "what it no longer names is gone");
    let both = put(&host, json!([{"team_id": "T2"}, {"team_id": "T3", "bot_token": {"value": TOKEN}}])).await;
    assert_eq!(both["team_bot_tokens"], json!([shown("T2"), shown("T3")]));
    let moved = put(&host, json!([{"team_id": "T3", "bot_token": {"value": OTHER, "secret_ref": "mine"}}])).await;
    assert_eq!(moved["team_bot_tokens"][0]["bot_token"]["secret_ref"], "mine");
    assert_eq!(stored(&host).await, ["connectors.slack.support.signing_secret", "mine"]);
}

#[tokio::test]
async fn an_empty_list_clears_it_where_nothing_is_to_be_answered() {
    let (host, _view, _api) = made().await;
    let refused = host.put(PLACE, &json!({ "team_bot_tokens": [] })).await;
    assert!(refused.problem(400, "connectors", "invalid_connector").contains("`bot_token` or `team_bot_tokens`"));
    assert_eq!(refused.json["errors"][0]["pointer"], "/include_self_output");
    let cleared = json!({ "team_bot_tokens": [], "include_self_output": false });
    let view = host.put(PLACE, &cleared).await.expect(200).json;
    assert!(view.get("team_bot_tokens").is_none(), "{view}");
    assert_eq!(stored(&host).await, ["connectors.slack.support.signing_secret"]);
    let token = json!({ "bot_token": {"value": TOKEN}, "include_self_output": true });
    host.put(PLACE, &token).await.expect(200);
}

#[tokio::test]
async fn what_was_exported_can_be_applied_again() {
    let (host, view, _api) = made().await;
    let mut exported = view.clone();
    for observed in ["status", "revision", "source", "created", "changed"] {
        exported.as_object_mut().unwrap().remove(observed);
    }
    let again = host.put(PLACE, &exported).await.expect(200).json;
    assert_eq!((&again["changed"], &again["revision"]), (&json!(false), &view["revision"]), "{again}");
    let lines = |team: &str| {
        format!(
            "[[slack_connectors.team_bot_tokens]]\nteam_id = \"{team}\"\nbot_token_secret_ref = \"{}\"\n",
            slot(team)
        )
    };
    let api_base_url = view["api_base_url"].as_str().unwrap();
    let file = format!(
        "[[slack_connectors]]\nname = \"support\"\napi_base_url = \"{api_base_url}\"\nallow_private_network = true\n\
         signing_secret_secret_ref = \"connectors.slack.support.signing_secret\"\n\
         session_policy = {{ create_if_missing = true }}\n{}{}",
        lines("T1"),
        lines("T2")
    );
    let cli = Cli::of(&host);
    let path = cli.file("connectors.toml", &file);
    let apply = ["connectors", "apply", "-f", path.to_str().unwrap()];
    cli.run(&[&apply[..], &["--check"]].concat()).await.expect(0).says(&["slack/support unchanged"]);
    cli.file("connectors.toml", &file.replace(&lines("T1"), ""));
    cli.run(&[&apply[..], &["--yes"]].concat()).await.expect(0).says(&["slack/support changed", "\"team_id\": \"T1\""]);
    assert_eq!(host.get(PLACE).await.json["team_bot_tokens"], json!([shown("T2")]));
    cli.file("connectors.toml", &(file + &lines("T2")));
    let refused = cli.run(&[&apply[..], &["--yes"]].concat()).await;
    assert_ne!(refused.code, Some(0));
    refused.says(&["connectors.toml:7: slack/support: /team_bot_tokens/2/team_id: `T2` has an entry already"]);
    cli.run(&["connectors", "kinds", "slack"]).await.expect(0).says(&["team_bot_tokens: team_id, bot_token"]);
}

#[tokio::test]
async fn mistakes_are_refused_at_their_place() {
    let (host, view, _api) = made().await;
    let value = json!({"value": OTHER});
    for (tokens, pointers) in [
        (json!({"T1": "x"}), vec!["/team_bot_tokens"]),
        (json!(["T1"]), vec!["/team_bot_tokens/0"]),
        (json!([{"team_id": "T1"}, {"team_id": "T1", "bot_token": value}]), vec!["/team_bot_tokens/1/team_id"]),
        (json!([{"team_id": "T.1", "bot_token": value}]), vec!["/team_bot_tokens/0/team_id"]),
        (json!([{"team_id": "acme", "bot_token": value}]), vec![""]),
        (
            json!([{"team_id": "T9"}, {"team_id": "T2", "bot_token": {}}]),
            vec!["/team_bot_tokens/0/bot_token", "/team_bot_tokens/1/bot_token"],
        ),
        (json!([{"team_id": "T1", "bot_token": OTHER}]), vec!["/team_bot_tokens/0/bot_token"]),
        (json!([{"team_id": "T1", "bot_token": {"value": "v", "env": "E"}}]), vec!["/team_bot_tokens/0/bot_token"]),
        (
            json!([{"team_id": "T1"}, {"team_id": "T2", "bot_token": {"env": "NO_SUCH_VARIABLE_HERE"}}]),
            vec!["/team_bot_tokens/1/bot_token"],
        ),
        (json!([{"team_id": "T1", "bot_tokn": value}]), vec!["/team_bot_tokens/0/bot_tokn"]),
    ] {
        let refused = host.put(PLACE, &json!({ "team_bot_tokens": tokens })).await;
        refused.problem(400, "connectors", "invalid_connector");
        let errors = refused.json["errors"].as_array().cloned().unwrap_or_default();
        let found: Vec<&str> = errors.iter().filter_map(|error| error["pointer"].as_str()).collect();
        assert_eq!(found, pointers, "{tokens}: {}", refused.json);
    }
    let blank = json!({ "team_bot_tokens": [{"team_id": "T1", "bot_token": {"value": " "}}] });
    host.put(PLACE, &blank).await.problem_of(400, "connectors");
    let missing = json!({ "team_bot_tokens": [{"team_id": "T1", "bot_token": {"secret_ref": "nobody"}}] });
    let refused = host.put(PLACE, &missing).await;
    refused.problem(404, "connectors", "secret_not_found");
    assert_eq!(refused.json["errors"][0]["pointer"], "/team_bot_tokens/0/bot_token");
    let other = format!("{PLACE}.team_bot_tokens.T1");
    let named =
        host.put(&other, &json!({ "bot_token": {"value": OTHER}, "allow_unauthenticated_ingress": true })).await;
    assert_eq!((named.status, &named.json["errors"][0]["pointer"]), (400, &json!("/name")), "{}", named.json);
    let now = host.get(PLACE).await.json;
    assert_eq!((&now["team_bot_tokens"], &now["revision"]), (&view["team_bot_tokens"], &view["revision"]));
}
