//! An executor is chosen by connector, by session, or not at all.

use kheish_host_tests::{
    client::{Answer, Client},
    connectors::Http,
    host::Host,
    openai_double::{OpenAiDouble, Play},
};
use serde_json::{Value, json};

use super::{make, say};

const TWO: &str = "[executors.near]\ntype = \"claim\"\n[executors.twin]\ntype = \"echo\"\nconcurrent_runs = 1\n";

async fn host(settings: &str) -> Host {
    Host::builder().plugins(&[]).settings(settings).start().await
}

/// Runs that a claim for this executor gets.
async fn claimed(host: &Host, executor: Option<&str>) -> Vec<Value> {
    let with = executor.map_or_else(|| json!({}), |name| json!({ "executor": name }));
    let answer = host.worker("w").ask(&with).await.expect(200);
    answer.json["runs"].as_array().unwrap().clone()
}

/// An answer that refuses with this code.
fn refused(answer: Answer, status: u16, code: &str) -> Answer {
    assert_eq!((answer.status, answer.text("/code")), (status, code), "{}", answer.json);
    answer
}

#[tokio::test]
async fn several_executors_run_side_by_side() {
    let double = OpenAiDouble::start(None, |_, _| Play::stream(&["thought"])).await;
    let host = host(&(double.settings("concurrent_runs = 2") + TWO)).await;
    host.make_session("plain").await;
    let mut runs = Vec::new();
    for (session, executor) in [("e", "echo"), ("t", "twin"), ("o", "openai"), ("n", "near"), ("c", "claim")] {
        assert_eq!(make(&host, session, executor).await["executor"], executor);
        runs.push((executor, say(&host, session, "hello").await));
    }
    for (executor, answer) in [("echo", "hello"), ("twin", "hello"), ("openai", "thought")] {
        let (_, id) = runs.iter().find(|(name, _)| *name == executor).unwrap();
        let run = host.run_when(id, "completed").await;
        assert_eq!((&run["executor"], &run["outputs"][0]["content"]), (&json!(executor), &json!(answer)));
    }
    let plain = say(&host, "plain", "hello").await;
    assert_eq!(host.run(&plain).await["executor"], "claim", "the default");
    let near = claimed(&host, Some("near")).await;
    assert_eq!((near.len(), &near[0]["executor"], &near[0]["session_id"]), (1, &json!("near"), &json!("n")));
    assert_eq!(claimed(&host, Some("near")).await, Vec::<Value>::new());
    let mut sessions = Vec::new();
    for _ in 0..2 {
        sessions.extend(claimed(&host, None).await.iter().map(|run| run["session_id"].clone()));
    }
    assert_eq!(sessions, ["c", "plain"], "the default serves those that name it, and those that name none");
}

#[tokio::test]
async fn who_claims_says_for_whom() {
    let settings = format!("executor = \"echo\"\n{TWO}");
    let host = Host::builder().plugins(&[]).executor("echo").settings(&settings).start().await;
    let worker = host.worker("w");
    let none = refused(worker.ask(&json!({})).await, 409, "executor_not_claim");
    assert!(none.text("/detail").contains("claim, near"), "{}", none.json);
    refused(worker.ask(&json!({ "executor": "twin" })).await, 409, "executor_not_claim");
    let unknown = refused(worker.ask(&json!({ "executor": "far" })).await, 400, "executor_unknown");
    assert!(unknown.text("/detail").contains("claim, echo, near, twin"), "{}", unknown.json);
    worker.ask(&json!({ "executor": "near" })).await.expect(200);
}

#[tokio::test]
async fn a_session_keeps_the_executor_that_it_was_made_with() {
    let host = host(TWO).await;
    make(&host, "room", "near").await;
    assert_eq!(make(&host, "room", "near").await["executor"], "near");
    let again = host.post("/v1/sessions", &json!({ "session_id": "room" })).await.expect(201);
    assert_eq!(again.json["executor"], "near");
    let other = json!({ "session_id": "room", "executor": "twin" });
    refused(host.post("/v1/sessions", &other).await, 409, "session_executor_fixed");
    let unknown = json!({ "session_id": "hall", "executor": "far" });
    refused(host.post("/v1/sessions", &unknown).await, 400, "executor_unknown");
    host.get("/v1/sessions/hall").await.expect(404);
}

#[tokio::test]
async fn a_connector_chooses_for_the_sessions_that_it_makes() {
    let connectors =
        Http::named("orders").bearer("a-token").set("executor = \"twin\"\nrequire_idempotency_key = false");
    let builder = Host::builder().settings(TWO).connectors(connectors);
    let host = builder.start().await;
    host.make_session("old").await;
    let send = async |session: &str| {
        let body = json!({ "content": "hello", "session_id": session });
        let client = Client::new(host.client().base()).with_token("a-token");
        let answer = client.post("/v1/connectors/http/orders", &body).await;
        answer.json["run_id"].as_str().unwrap_or_else(|| panic!("{}", answer.json)).to_owned()
    };
    let (new, old) = (send("new").await, send("old").await);
    assert_eq!(host.run_when(&new, "completed").await["executor"], "twin");
    assert_eq!(host.run(&old).await["executor"], "claim", "a session that was there keeps its executor");
}

#[tokio::test]
async fn names_that_nobody_has_are_refused_where_they_are_set() {
    let host = Host::builder().settings(TWO).start().await;
    let fields = json!({ "allow_unauthenticated_ingress": true, "executor": "far" });
    let refused = host.put_http("orders", &fields).await;
    assert!((400..500).contains(&refused.status), "{}", refused.json);
    assert!(refused.json.to_string().contains("there are claim, echo, near, twin"), "{}", refused.json);
    host.put_http("orders", &json!({ "allow_unauthenticated_ingress": true, "executor": "near" })).await.expect(201);
    let file = Http::named("orders").open().set("executor = \"far\"");
    let ended = Host::builder().connectors(file).run_to_end().await;
    assert!(ended.code == Some(2) && ended.stderr.contains("there is no executor `far`"), "{ended:?}");
    for (settings, part) in [
        ("[executors.echo]\ntype = \"claim\"\n", "`echo` is built in"),
        ("[executors.\"a b\"]\ntype = \"claim\"\n", "executors.a b"),
        ("[executors.x]\ntype = \"magic\"\n", "magic"),
        ("[executors.x]\ntype = \"echo\"\nconcurent_runs = 1\n", "concurent_runs"),
    ] {
        let ended = Host::builder().plugins(&[]).settings(settings).run_to_end().await;
        assert!(ended.code == Some(2) && ended.stderr.contains(part), "{settings}: {ended:?}");
    }
}

#[tokio::test]
async fn runs_of_an_executor_that_is_gone_wait_and_show() {
    let mut host = host(TWO).await;
    make(&host, "room", "twin").await;
    make(&host, "hall", "near").await;
    let run = say(&host, "hall", "hello").await;
    std::fs::write(host.state_folder().with_file_name("settings.toml"), "").unwrap();
    host.restart().await;
    host.logs("`near`, which is not configured any more").await;
    let waits = host.run(&run).await;
    assert_eq!((&waits["status"], &waits["executor"]), (&json!("queued"), &json!("near")));
    let status = host.get("/v1/status").await.expect(200).json;
    let shown = json!([
        { "name": "claim", "type": "claim", "waiting_sessions": 0 },
        { "name": "echo", "type": "echo", "waiting_sessions": 0 },
        { "name": "near", "waiting_sessions": 1 },
        { "name": "twin", "waiting_sessions": 0 },
    ]);
    assert_eq!(status["executors"], shown);
    assert_eq!(claimed(&host, None).await, Vec::<Value>::new());
    std::fs::write(host.state_folder().with_file_name("settings.toml"), TWO).unwrap();
    host.restart().await;
    assert_eq!(claimed(&host, Some("near")).await.len(), 1);
}
