//! Which session an event goes to: fixed id, named id, bound session, natural id.

use kheish_host_tests::{connectors::Http, host::Host, sign::natural_session};
use serde_json::{Value, json};

use super::{TOKEN, orders};

fn to(key: &str, session: Option<&str>, bindings: &[&str]) -> Value {
    let mut payload = json!({ "idempotency_key": key, "content": "hello", "binding_keys": bindings });
    if let Some(session) = session {
        payload["session_id"] = json!(session);
    }
    payload
}

#[tokio::test]
async fn by_itself_an_event_goes_where_its_first_key_after_sorting_leads() {
    let (_host, sender) = orders(|http| http).await;
    let answer = sender.post(&to("k1", None, &["zebra", "customer:42", "zebra"])).await.expect(200);
    assert_eq!(answer.text("/session_id"), natural_session("orders", "customer:42"));
}

#[tokio::test]
async fn keys_stick_to_their_session() {
    let (_host, sender) = orders(|http| http).await;
    let session = natural_session("orders", "a");
    for (key, bindings) in
        [("k1", &["a", "b"][..]), ("k2", &["b"]), ("k3", &["c", "b"]), ("k4", &["c"]), ("k5", &["a", "c"])]
    {
        let answer = sender.post(&to(key, None, bindings)).await.expect(200);
        assert_eq!(answer.text("/session_id"), session, "{bindings:?}");
    }
}

#[tokio::test]
async fn a_named_session_wins_over_keys_and_takes_them() {
    let (_host, sender) = orders(|http| http).await;
    let named = sender.post(&to("k1", Some("ticket 7"), &["a"])).await.expect(200);
    assert_eq!(named.text("/session_id"), "ticket 7");
    let bound = sender.post(&to("k2", None, &["a"])).await.expect(200);
    assert_eq!(bound.text("/session_id"), "ticket 7");
    let alone = sender.post(&to("k3", Some("ticket 8"), &[])).await.expect(200);
    assert_eq!(alone.text("/session_id"), "ticket 8");
}

#[tokio::test]
async fn the_fixed_session_wins_over_everything() {
    let (_host, sender) = orders(|http| http.set("fixed_session_id = \"desk\"")).await;
    for (key, session, bindings) in
        [("k1", None, &[][..]), ("k2", Some("other"), &[]), ("k3", None, &["a"]), ("k4", Some("x"), &["b"])]
    {
        let answer = sender.post(&to(key, session, bindings)).await.expect(200);
        assert_eq!(answer.text("/session_id"), "desk");
    }
}

#[tokio::test]
async fn the_connectors_keys_serve_where_the_payload_has_none() {
    let (_host, sender) = orders(|http| http.set("default_binding_keys = [\"lobby\"]")).await;
    let plain = sender.post(&to("k1", None, &[])).await.expect(200);
    assert_eq!(plain.text("/session_id"), natural_session("orders", "lobby"));
    let own = sender.post(&to("k2", None, &["own"])).await.expect(200);
    assert_eq!(own.text("/session_id"), natural_session("orders", "own"));
}

#[tokio::test]
async fn without_anything_to_go_by_the_event_is_refused() {
    let (host, sender) = orders(|http| http).await;
    host.refuses(400, "session_unresolved", sender.post(&to("k1", None, &[]))).await;
    // The key was not used up.
    sender.post(&to("k1", None, &["room"])).await.expect(200);
}

#[tokio::test]
async fn ids_that_cannot_name_a_session_are_refused() {
    let (host, sender) = orders(|http| http).await;
    let long = "x".repeat(257);
    for id in ["", ".", "..", "a\nb", "a\u{0}b", &long] {
        host.refuses(400, "invalid_session_id", sender.post(&to("k1", Some(id), &[]))).await;
    }
    let longest = "x".repeat(256);
    sender.post(&to("k1", Some(&longest), &[])).await.expect(200);
    let odd = "a/b ?#%:ü";
    let answer = sender.post(&to("k2", Some(odd), &[])).await.expect(200);
    assert_eq!(answer.text("/session_id"), odd);
}

#[tokio::test]
async fn keys_of_two_sessions_are_a_conflict() {
    let (host, sender) = orders(|http| http).await;
    sender.post(&to("k1", Some("one"), &["a"])).await.expect(200);
    sender.post(&to("k2", Some("two"), &["b"])).await.expect(200);
    host.refuses(409, "binding_conflict", sender.post(&to("k3", None, &["a", "b"]))).await;
    host.refuses(409, "binding_conflict", sender.post(&to("k3", Some("two"), &["a"]))).await;
    host.refuses(409, "binding_conflict", sender.post(&to("k3", Some("three"), &["c", "b"]))).await;
    // What came along with a refused key was not bound.
    let free = sender.post(&to("k3", Some("four"), &["c"])).await.expect(200);
    assert_eq!(free.text("/session_id"), "four");
}

#[tokio::test]
async fn a_connector_that_may_make_no_sessions_uses_those_that_are_there() {
    let known = Http::named("orders").bearer(TOKEN).known_sessions_only();
    let open = Http::named("maker").bearer(TOKEN);
    let host = Host::builder().connectors(format!("{known}{open}")).start().await;
    let sender = host.sender("orders").bearer(TOKEN);
    host.refuses(409, "session_not_found", sender.post(&to("k1", Some("desk"), &["a"]))).await;
    host.refuses(409, "session_not_found", sender.post(&to("k1", None, &["a"]))).await;
    host.make_session("desk").await;
    let answer = sender.post(&to("k1", Some("desk"), &["a"])).await.expect(200);
    assert_eq!(answer.text("/session_id"), "desk");
    assert_eq!(sender.post(&to("k2", None, &["a"])).await.expect(200).text("/session_id"), "desk");
}

#[tokio::test]
async fn bindings_outlive_the_process() {
    let (mut host, sender) = orders(|http| http).await;
    sender.post(&to("k1", Some("desk"), &["a"])).await.expect(200);
    host.kill();
    host.restart().await;
    let answer = host.sender("orders").bearer(TOKEN).post(&to("k2", None, &["a"])).await.expect(200);
    assert_eq!(answer.text("/session_id"), "desk");
    let again = host.sender("orders").bearer(TOKEN).post(&to("k1", Some("desk"), &["a"])).await.expect(200);
    assert_eq!(again.header("kheish-receipt"), "duplicate");
}
