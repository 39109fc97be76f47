//! Workspaces with bot tokens of their own: by file and by API, and what becomes of one that Slack refuses.

mod list;

use kheish_host_tests::{
    host::{Host, HostBuilder, SLACK},
    slack::{App, SIGNING_SECRET, TOKEN, WebApi},
    wait::eventually,
};
use serde_json::{Value, json};

use super::{QUICK, app, support};

/// The token of the bot in workspace `T2`, whose channel is `C2`.
const OTHER: &str = "xoxb-223456789012-ThisIsTheBotTokenOfAnotherOne";

/// Where the connector of these tests is.
const PLACE: &str = "/v1/runtime/connectors/slack/support";

/// A double with two workspaces.
async fn two() -> WebApi {
    let api = WebApi::start().await;
    api.workspace("T2", OTHER, "C2");
    api
}

/// A daemon that waits for a refused workspace no longer than this test.
fn builder() -> HostBuilder {
    let settings = QUICK.replace("[delivery]\n", "[delivery]\nmax_retry_after_ms = 50\n");
    Host::builder().plugins(&[SLACK]).settings(&settings)
}

/// `slack/support` in a file, with these lines of its own and no token but those of workspaces.
fn table(api: &WebApi, lines: &str) -> String {
    let line = format!("bot_token = \"{TOKEN}\"\n");
    support(&api.url(), lines).replacen(&line, "", 1)
}

/// The same as the body of a change.
fn fields(api: &WebApi, tokens: &Value) -> Value {
    json!({
        "signing_secret": {"value": SIGNING_SECRET}, "api_base_url": api.url(), "allow_private_network": true,
        "session_policy": {"create_if_missing": true}, "team_bot_tokens": tokens,
    })
}

/// Entries of both workspaces.
fn both() -> Value {
    json!([
        {"team_id": "T1", "bot_token": {"value": TOKEN}},
        {"team_id": "T2", "bot_token": {"value": OTHER}},
    ])
}

fn slot(team: &str) -> String {
    format!("connectors.slack.support.team_bot_tokens.{team}.bot_token")
}

/// An event of somebody who says something in a channel of a workspace.
fn message(api: &WebApi, (team, channel): (&str, &str), members: &Value) -> Value {
    let mut members = members.clone();
    members["channel"] = channel.into();
    let mut message = App::message(&api.says(channel, "question"), &members);
    message["team_id"] = team.into();
    message["authorizations"][0]["team_id"] = team.into();
    message
}

/// Somebody asks in a channel of a workspace, and a worker answers. Gives the run.
async fn answer(host: &Host, api: &WebApi, place: (&str, &str), text: &str) -> String {
    let accepted = app(host).event(&message(api, place, &json!({}))).await.expect(200);
    let worker = host.worker("w");
    let claimed = worker.take().await;
    assert_eq!(claimed.run, accepted.text("/run_id"));
    worker.finish(&claimed, &[text]).await.expect(200);
    claimed.run
}

#[tokio::test]
async fn each_workspace_is_answered_with_the_token_that_the_file_names() {
    let api = two().await;
    let lines = format!(
        "[[connectors.team_bot_tokens]]\nteam_id = \"T1\"\nbot_token = \"{TOKEN}\"\n\
         [[connectors.team_bot_tokens]]\nteam_id = \"T2\"\nbot_token_env = \"TOKEN_OF_T2\"\n"
    );
    let host = builder().connectors(table(&api, &lines)).env("TOKEN_OF_T2", OTHER).start().await;
    for (place, text) in [(("T1", "C1"), "to the first"), (("T2", "C2"), "to the other")] {
        let run = answer(&host, &api, place, text).await;
        host.deliveries_when(&run, 1, "delivered").await;
        assert_eq!(api.texts(place.1), [text]);
    }
    let view = host.get(PLACE).await.expect(200).json;
    let shown = json!([
        {"team_id": "T1", "bot_token": {"configured": true, "source": "inline"}},
        {"team_id": "T2", "bot_token": {"configured": true, "source": "env", "env": "TOKEN_OF_T2"}},
    ]);
    assert_eq!((&view["team_bot_tokens"], &view["bot_token"]), (&shown, &json!({"configured": false})));
    for token in [TOKEN, OTHER] {
        assert!(!view.to_string().contains(token) && !host.log().contains(token), "{view}");
    }
}

#[tokio::test]
async fn a_workspace_without_an_entry_is_answered_with_the_token_of_all() {
    let api = two().await;
    let lines = format!("team_bot_tokens = [{{ team_id = \"T2\", bot_token = \"{OTHER}\" }}]");
    let host = builder().connectors(support(&api.url(), &lines)).start().await;
    for (place, text) in [(("T1", "C1"), "to the first"), (("T2", "C2"), "to the other")] {
        let run = answer(&host, &api, place, text).await;
        host.deliveries_when(&run, 1, "delivered").await;
        assert_eq!(api.texts(place.1), [text]);
    }
}

#[tokio::test]
async fn a_refused_token_of_one_workspace_holds_up_no_other_until_it_is_rotated() {
    let api = two().await;
    let host = builder().start().await;
    host.put(PLACE, &fields(&api, &both())).await.expect(201);
    let rotated = "xoxb-223456789012-ThisIsTheNextTokenOfTheOther";
    api.rotate("T2", rotated);
    let waiting = answer(&host, &api, ("T2", "C2"), "later").await;
    // More often than there are attempts: none of these counts.
    api.when_called("chat.postMessage", 5).await;
    // Between two attempts: it is tried again all the time.
    let delivery = eventually("the delivery waits", async || {
        let delivery = host.run(&waiting).await["deliveries"][0].clone();
        (delivery["status"] == "retrying" && delivery["last_error"]["code"] == "invalid_auth").then_some(delivery)
    })
    .await;
    assert!(delivery.to_string().contains("team_bot_tokens.T2.bot_token"), "{delivery}");
    let run = answer(&host, &api, ("T1", "C1"), "at once").await;
    host.deliveries_when(&run, 1, "delivered").await;
    let status = host.get(PLACE).await.json["status"].clone();
    assert!(status.get("paused").is_none(), "{status}");
    let secret =
        json!({"slot_id": slot("T2"), "provider": "generic", "mode": "opaque_secret", "state": {"value": rotated}});
    host.post("/v1/runtime/secrets", &secret).await.expect(200);
    host.deliveries_when(&waiting, 1, "delivered").await;
    assert_eq!((api.texts("C2"), api.texts("C1")), (vec!["later".to_owned()], vec!["at once".to_owned()]));
}

#[tokio::test]
async fn a_file_is_fetched_with_the_token_of_its_workspace() {
    let api = two().await;
    let host = builder().start().await;
    host.put(PLACE, &fields(&api, &both())).await.expect(201);
    for (team, channel) in [("T1", "C1"), ("T2", "C2")] {
        let bytes = format!("the file of {team}");
        let file = api.keep_in(team, ("a.txt", "text/plain"), bytes.clone());
        app(&host).event(&message(&api, (team, channel), &json!({"files": [file]}))).await.expect(200);
        let worker = host.worker("w");
        let claimed = worker.take().await;
        let input = host.run(&claimed.run).await["input"].clone();
        let asset = input.as_array().into_iter().flatten().find_map(|part| part["asset_id"].as_str());
        let path = format!("/v1/assets/{}/raw", asset.unwrap_or_else(|| panic!("no asset in {input}")));
        assert_eq!(String::from_utf8_lossy(&host.get(&path).await.expect(200).body), bytes);
        worker.finish(&claimed, &["read"]).await.expect(200);
    }
}

#[tokio::test]
async fn a_changed_file_changes_the_tokens() {
    let api = two().await;
    let entry = |token: &str| format!("team_bot_tokens = [{{ team_id = \"T2\", bot_token = \"{token}\" }}]");
    let host = builder().connectors(table(&api, &entry(OTHER))).start().await;
    let rotated = "xoxb-223456789012-ThisIsTheNextTokenOfTheOther";
    api.rotate("T2", rotated);
    let run = answer(&host, &api, ("T2", "C2"), "later").await;
    api.when_called("chat.postMessage", 1).await;
    std::fs::write(host.connectors_path(), table(&api, &entry(rotated))).unwrap();
    host.deliveries_when(&run, 1, "delivered").await;
    let twice = format!("{}[[connectors.team_bot_tokens]]\nteam_id = \"T2\"\nbot_token = \"x\"\n", table(&api, ""));
    let twice = twice + "[[connectors.team_bot_tokens]]\nteam_id = \"T2\"\nbot_token_env = \"X\"\n";
    std::fs::write(host.connectors_path(), twice).unwrap();
    eventually("the status says what is wrong", async || {
        let errors = host.get("/v1/status").await.json["connectors_file"]["errors"].to_string();
        (errors.contains("`T2` has an entry already") && errors.contains("team_bot_tokens")).then_some(())
    })
    .await;
}
