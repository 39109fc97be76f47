//! Connectors made and changed through the API.

use kheish_host_tests::{client::answer, host::Host, raw, wait::eventually};
use reqwest::Method;
use serde_json::{Value, json};

use super::{fields, path, pointers, takes};

#[tokio::test]
async fn a_connector_serves_when_its_maker_hears_of_it_and_after_a_restart() {
    let mut host = Host::builder().start().await;
    let made = host.put_http("orders", &fields("token-one")).await.expect(201);
    assert_eq!((made.header("etag"), &made.json["created"]), ("\"1\"", &json!(true)));
    assert_eq!(takes(&host, "orders", "token-one", "k1").await, 200);
    host.restart().await;
    assert_eq!(takes(&host, "orders", "token-one", "k2").await, 200);
    let view = host.get(&path("orders")).await.expect(200);
    assert_eq!((&view.json["source"], &view.json["status"]["state"]), (&json!("daemon"), &json!("running")));
    assert_eq!(view.json["status"]["running"]["revision"], 1);
}

#[tokio::test]
async fn fields_that_are_absent_stay_and_null_resets() {
    let host = Host::builder().start().await;
    let mut first = fields("token-one");
    first["actor_id"] = json!("shop");
    first["ingress_events_per_second"] = json!(7);
    host.put_http("orders", &first).await.expect(201);
    let change = json!({ "actor_id": "till", "bearer_token": null });
    let changed = host.put_http("orders", &change).await.expect(200).json;
    assert_eq!((&changed["actor_id"], &changed["ingress_events_per_second"]), (&json!("till"), &json!(7)));
    assert_eq!(
        (&changed["revision"], &changed["changed"], &changed["created"]),
        (&json!(2), &json!(true), &json!(false))
    );
    assert_eq!(takes(&host, "orders", "token-one", "k1").await, 200);
    let reset = host.put_http("orders", &json!({ "actor_id": null })).await.expect(200).json;
    assert!(reset.get("actor_id").is_none(), "{reset}");
    let again = host.put_http("orders", &json!({ "actor_id": null })).await.expect(200).json;
    assert_eq!((&again["revision"], &again["changed"]), (&json!(3), &json!(false)));
}

#[tokio::test]
async fn every_broken_rule_is_reported_at_once_and_nothing_changes() {
    let host = Host::builder().start().await;
    let body = json!({
        "bearer_tokem": { "value": "x" },
        "signature_max_age_secs": 0,
        "session_policy": { "create_if_mising": true },
        "default_reply_targets": [{ "plugin": "http", "address": "https://example.com/" }, { "plugin": "pigeon", "address": "coop" }],
        "ingress_events_per_second": 0,
        "hmac_secret": { "env": "NO_SUCH_VARIABLE_HERE" },
    });
    let refused = host.put_http("orders", &body).await;
    let detail = refused.problem(400, "connectors", "invalid_connector");
    let mut found = pointers(&refused.json);
    found.sort_unstable();
    let expected = [
        "/bearer_tokem",
        "/hmac_secret",
        "/ingress_events_per_second",
        "/session_policy/create_if_mising",
        "/signature_max_age_secs",
    ];
    for pointer in expected {
        assert!(found.contains(&pointer), "{pointer} is missing in {found:?}");
    }
    assert!(detail.contains("did you mean `bearer_token`?"), "{detail}");
    host.get(&path("orders")).await.problem(404, "connectors", "connector_not_found");
    // Targets are judged where the rest is right.
    let targets =
        json!({ "bearer_token": { "value": "token-one" }, "default_reply_targets": body["default_reply_targets"] });
    let refused = host.put_http("orders", &targets).await;
    refused.problem(400, "connectors", "invalid_connector");
    assert_eq!(pointers(&refused.json), ["/default_reply_targets/1"]);
    assert_eq!(host.get("/v1/runtime/secrets").await.expect(200).items().len(), 0);
}

#[tokio::test]
async fn the_plugins_own_rules_are_asked_too() {
    let host = Host::builder().start().await;
    let body = json!({ "bearer_token": { "value": "token-one" }, "require_hmac_signature": true });
    let refused = host.put_http("orders", &body).await;
    assert!(refused.problem(400, "connectors", "invalid_connector").contains("hmac_secret"));
    let open = host.put_http("orders", &json!({})).await;
    assert!(open.problem(400, "connectors", "invalid_connector").contains("allow_unauthenticated_ingress"));
}

#[tokio::test]
async fn kinds_and_names_that_cannot_be() {
    let host = Host::builder().start().await;
    let unknown = host.put("/v1/runtime/connectors/pigeon/coop", &json!({})).await;
    assert!(unknown.problem(400, "connectors", "unknown_kind").contains("http"));
    host.get("/v1/runtime/connectors/pigeon/coop").await.problem(400, "connectors", "unknown_kind");
    host.put_http("a:b", &fields("token-one")).await.problem(400, "connectors", "invalid_connector");
    host.put_http(&"x".repeat(65), &fields("token-one")).await.problem(400, "connectors", "invalid_connector");
    let mut other = fields("token-one");
    other["name"] = json!("others");
    let refused = host.put_http("orders", &other).await;
    refused.problem(400, "connectors", "invalid_connector");
    assert_eq!(pointers(&refused.json), ["/name"]);
    // A name that another tool keeps for itself is a name like any other.
    host.put_http("metrics", &fields("token-one")).await.expect(201);
    assert_eq!(takes(&host, "metrics", "token-one", "k1").await, 200);
    let mut long = fields("token-one");
    long["actor_id"] = json!("x".repeat(256 * 1024));
    host.put_http("orders", &long).await.problem(400, "connectors", "invalid_connector");
    for body in [json!([]), json!("x"), Value::Null] {
        host.put_http("orders", &body).await.problem_of(400, "api");
    }
}

#[tokio::test]
async fn a_dry_run_shows_what_would_be_and_changes_nothing() {
    let host = Host::builder().start().await;
    let dry = format!("{}?dry_run=true", path("orders"));
    let planned = host.put(&dry, &fields("token-one")).await.expect(200).json;
    assert_eq!(
        (&planned["created"], &planned["changed"], &planned["revision"]),
        (&json!(true), &json!(true), &json!(1))
    );
    host.get(&path("orders")).await.problem(404, "connectors", "connector_not_found");
    assert_eq!(host.get("/v1/runtime/secrets").await.expect(200).items().len(), 0);
    host.put_http("orders", &fields("token-one")).await.expect(201);
    let planned = host.put(&dry, &json!({ "actor_id": "till" })).await.expect(200).json;
    assert_eq!((&planned["actor_id"], &planned["revision"]), (&json!("till"), &json!(2)));
    assert!(host.get(&path("orders")).await.json.get("actor_id").is_none());
    host.put(&dry, &json!({ "actor_id": 7 })).await.problem(400, "connectors", "invalid_connector");
}

#[tokio::test]
async fn a_revision_guards_against_a_change_in_between() {
    let host = Host::builder().start().await;
    let put = async |header: &str, value: &str, body: &Value| {
        let request = host.client().request(Method::PUT, &path("orders")).header(header, value).json(body);
        answer(request).await
    };
    put("if-match", "\"1\"", &fields("token-one")).await.problem(412, "connectors", "revision_mismatch");
    put("if-none-match", "*", &fields("token-one")).await.expect(201);
    put("if-none-match", "*", &fields("token-one")).await.problem(412, "connectors", "revision_mismatch");
    put("if-match", "\"1\"", &json!({ "actor_id": "till" })).await.expect(200);
    put("if-match", "\"1\"", &json!({ "actor_id": "shop" })).await.problem(412, "connectors", "revision_mismatch");
    for bad in ["1", "\"x\"", "W/\"1\""] {
        put("if-match", bad, &json!({})).await.problem(400, "connectors", "invalid_revision");
    }
    assert_eq!(host.get(&path("orders")).await.json["actor_id"], "till");
    let stale = host.client().request(Method::DELETE, &path("orders")).header("if-match", "\"1\"");
    answer(stale).await.problem(412, "connectors", "revision_mismatch");
}

#[tokio::test]
async fn a_change_whose_sender_hangs_up_is_whole_or_nothing() {
    let host = Host::builder().start().await;
    host.put_http("orders", &fields("token-zero")).await.expect(201);
    for round in 0..60 {
        let body = fields(&format!("token-{round}")).to_string();
        let head = format!(
            "PUT {} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            path("orders"),
            body.len()
        );
        raw::abandon(host.client(), format!("{head}{body}").as_bytes()).await;
    }
    host.put_http("orders", &json!({ "actor_id": "last" })).await.expect(200);
    // Each change is a revision and a version of the secret; half of one would leave them apart for good.
    eventually("what is stored is what serves", async || {
        let view = host.get(&path("orders")).await.expect(200).json;
        let secret = host.get("/v1/runtime/secrets/connectors.http.orders.bearer_token").await.expect(200).json;
        let number = |value: &Value| value.as_i64().unwrap();
        let whole = number(&secret["version"]) == number(&view["revision"]) - 1;
        (whole && view["status"]["running"]["revision"] == view["revision"]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn lists_are_whole_or_in_pages() {
    let host = Host::builder().start().await;
    for number in 0..60 {
        host.put_http(&format!("c{number:02}"), &fields("token-one")).await.expect(201);
    }
    let list = "/v1/runtime/connectors";
    assert_eq!(host.get(list).await.expect(200).items().len(), 60);
    let mut names = Vec::new();
    let mut next = format!("{list}?page=true&limit=25");
    loop {
        let page = host.get(&next).await.expect(200).json;
        assert_eq!(page["pagination"]["total_count"], 60);
        names.extend(page["items"].as_array().unwrap().iter().map(|item| item["name"].clone()));
        let Some(cursor) = page["pagination"]["next_cursor"].as_str() else { break };
        next = format!("{list}?limit=25&cursor={cursor}");
    }
    let expected: Vec<Value> = (0..60).map(|number| format!("c{number:02}").into()).collect();
    assert_eq!(names, expected);
    host.get(&format!("{list}?limit=0")).await.problem(400, "pagination", "invalid_limit");
}
