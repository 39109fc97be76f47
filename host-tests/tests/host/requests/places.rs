//! Where requests go, and which secrets go along.

use kheish_host_tests::{
    courier::{HOME, OTHER, TOKEN, asks, courier, route, seen},
    receiver::{Receiver, Reply},
};
use serde_json::json;

use super::{builder, deliver, with_api};

#[tokio::test]
async fn a_secret_is_put_where_the_guest_says_and_shown_to_nobody_else() {
    let api = Receiver::start().await;
    let host = with_api(&api).await;
    let url = |path: &str| api.url(path);
    let requests = [
        json!({ "method": "POST", "url": url("/bearer"), "bearer": ["token"], "body": "hi" }),
        json!({ "url": url("/header"), "header": [["x-token", "Key ", "token"]] }),
        json!({ "url": url("/botMARKER/send"), "path": [["MARKER", "token"]] }),
        json!({ "url": url("/query?a=b"), "query": [["key", "token"]], "headers": [["x-plain", "yes"]] }),
    ];
    deliver(&host, asks(&requests), "delivered").await;
    assert_eq!(api.received_at("/bearer")[0].header("authorization"), format!("Bearer {TOKEN}"));
    assert_eq!(&api.received_at("/bearer")[0].bytes[..], b"hi");
    assert_eq!(api.received_at("/header")[0].header("x-token"), format!("Key {TOKEN}"));
    assert_eq!(api.received_at(&format!("/bot{TOKEN}/send")).len(), 1);
    let query = &api.received_at("/query")[0];
    assert_eq!((query.query.as_str(), query.header("x-plain")), (&format!("a=b&key={TOKEN}")[..], "yes"));
    assert!(!host.log().contains(TOKEN), "the log shows the token");
    let metrics = String::from_utf8_lossy(&host.get("/metrics").await.expect(200).body).into_owned();
    assert!(
        metrics.contains("kheish_guest_requests_total{connector_kind=\"courier\",outcome=\"answered\"} 4"),
        "{metrics}"
    );
}

#[tokio::test]
async fn what_is_not_named_is_denied_and_never_reached() {
    let (api, elsewhere) = (Receiver::start().await, Receiver::start().await);
    let host = with_api(&api).await;
    for request in [
        json!({ "url": elsewhere.url("/x") }),
        json!({ "url": elsewhere.url("/x").replace("http:", "https:") }),
        json!({ "url": api.url("/x").replace("127.0.0.1", "localhost") }),
        json!({ "url": "https://files.example.invalid.evil.test/x" }),
        json!({ "url": api.url("/x"), "bearer": ["other"] }),
        json!({ "url": api.url("/x"), "bearer": ["home"] }),
        json!({ "url": api.url("/x"), "bearer": ["nothing"] }),
        json!({ "url": api.url("/x"), "headers": [["Authorization", "mine"]] }),
        json!({ "url": api.url("/x"), "headers": [["accept-encoding", "gzip"]] }),
        json!({ "url": api.url("/MARK/MARK"), "path": [["MARK", "token"]] }),
        json!({ "url": api.url("/x"), "method": "CONNECT" }),
    ] {
        let delivery = deliver(&host, asks(std::slice::from_ref(&request)), "dead_lettered").await;
        assert_eq!(delivery["last_error"]["code"], "http_denied", "{request}: {delivery}");
        assert_eq!(delivery["attempts"], 1, "{request}");
    }
    assert!(api.received().is_empty() && elsewhere.received().is_empty());
}

#[tokio::test]
async fn a_secret_goes_only_to_the_destination_that_it_is_bound_to() {
    let (api, files) = (Receiver::start().await, Receiver::start().await);
    let lines = format!("files_base_url = \"{}\"", files.url("/base"));
    let host = builder().connectors(courier(&api.url(""), &lines)).start().await;
    deliver(&host, asks(&[json!({ "url": files.url("/f"), "bearer": ["other"] })]), "delivered").await;
    assert_eq!(files.received_at("/f")[0].header("authorization"), format!("Bearer {OTHER}"));
    let denied = deliver(&host, asks(&[json!({ "url": files.url("/g"), "bearer": ["token"] })]), "dead_lettered").await;
    assert!(
        denied["last_error"]["detail"].as_str().is_some_and(|detail| detail.contains("may not be sent to `files`"))
    );
    assert!(files.received_at("/g").is_empty());
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let elsewhere = Receiver::start().await;
    let away = elsewhere.url("/away");
    let api = Receiver::scripted(move |_| Reply::With(302, "location", away.clone())).await;
    let host = with_api(&api).await;
    let delivery = deliver(&host, asks(&[json!({ "url": api.url("/x"), "bearer": ["token"] })]), "delivered").await;
    assert_eq!(delivery["platform_id"], "status-302");
    assert!(elsewhere.received().is_empty());
}

#[tokio::test]
async fn a_server_that_echoes_gives_no_secret_to_the_guest() {
    let api = Receiver::scripted(|request| {
        let all = format!("{} {} {HOME} {OTHER} the rest", request.header("authorization"), request.query);
        match request.path.as_str() {
            "/header" => Reply::With(200, "x-echo", request.header("authorization").to_owned()),
            _ => Reply::Body(200, "text/plain", all),
        }
    })
    .await;
    let host = with_api(&api).await;
    let body = json!({ "url": api.url("/body"), "bearer": ["token"], "query": [["key", "token"]] });
    let header = json!({ "url": api.url("/header"), "bearer": ["token"] });
    deliver(&host, asks(&[body, header]), "delivered").await;
    let seen = seen(&host);
    assert_eq!(seen[0]["body"], "Bearer [masked] key=[masked] [masked] [masked] the rest", "{seen:?}");
    assert!(seen[1]["headers"].as_array().unwrap().contains(&json!(["x-echo", "Bearer [masked]"])), "{seen:?}");
}

#[tokio::test]
async fn nobody_asks_while_a_caller_waits() {
    let api = Receiver::start().await;
    let host = with_api(&api).await;
    let ask = json!({ "url": api.url("/x") });
    let answer = host.post("/v1/connectors/courier/main", &json!({ "ask": ask })).await.expect(400);
    assert_eq!(answer.text("/code"), "http_denied", "{answer:?}");
    host.make_session("s").await;
    let target = route(&json!({ "check": ask }));
    let refused = host.submit("s", &json!({ "content": "work", "reply_targets": [target] })).await;
    assert!((400..500).contains(&refused.status) && refused.json.to_string().contains("somebody waits"), "{refused:?}");
    assert!(api.received().is_empty());
}

#[tokio::test]
async fn private_places_and_plain_http_want_the_operator_s_grant() {
    let api = Receiver::start().await;
    for (url, says) in [(api.url(""), "plain http"), ("https://127.0.0.1".to_owned(), "not a public address")] {
        let text = courier(&url, "").replace("allow_private_network = true\n", "");
        let ended = builder().connectors(text).run_to_end().await;
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(says) && ended.stderr.contains("allow_private_network"), "{}", ended.stderr);
    }
    // A name is vetted where it is resolved.
    let port = api.url("").rsplit(':').next().unwrap_or_default().to_owned();
    let name = format!("https://localhost:{port}");
    let host = builder().connectors(courier(&name, "").replace("allow_private_network = true\n", "")).start().await;
    let delivery = deliver(&host, asks(&[json!({ "url": format!("{name}/x") })]), "dead_lettered").await;
    assert_eq!(delivery["last_error"]["code"], "http_denied", "{delivery}");
}

#[tokio::test]
async fn plain_http_goes_to_private_addresses_only() {
    let host = builder().connectors(courier("http://1.1.1.1", "")).start().await;
    let delivery =
        deliver(&host, asks(&[json!({ "url": "http://1.1.1.1/x", "bearer": ["token"] })]), "dead_lettered").await;
    assert_eq!(delivery["last_error"]["code"], "http_denied", "{delivery}");
}
