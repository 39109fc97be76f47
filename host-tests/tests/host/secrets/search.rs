//! A long mixed run with a value of its own in every place where a secret can be, and then a search for each of them, in every
//! form, wherever the daemon has left anything.

use std::{
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use kheish_host_tests::{
    client::{Answer, Client, answer},
    connectors::Http,
    host::Host,
    receiver::{Receiver, Reply},
};
use reqwest::Method;
use serde_json::{Value, json};

use super::fields;

const FILE_INLINE: &str = "canary-of-file-inline-7f3a";
const FILE_KEY: &str = "canary-of-file-key-19bc";
const ENV: &str = "canary-of-env-55e0";
const NAMED: &str = "canary-of-named-a81d";
const NAMED_LATER: &str = "canary-of-named-later-0c4e";
const INLINE: &str = "canary/of inline \"quoted\" ü-6d21";
const DELETED: &str = "canary-of-deleted-f00d";
const ADMIN: &str = "canary-of-admin-3b9f";
const READER: &str = "canary-of-reader-77aa";
const CANARIES: [&str; 9] = [FILE_INLINE, FILE_KEY, ENV, NAMED, NAMED_LATER, INLINE, DELETED, ADMIN, READER];

/// Those that the daemon still has at the end. What it has forgotten it cannot know again when a caller writes it.
const KEPT: [&str; 7] = [FILE_INLINE, FILE_KEY, ENV, NAMED_LATER, INLINE, ADMIN, READER];

/// GETs whose answers are searched.
const PATHS: [&str; 14] = [
    "/v1/status",
    "/v1/plugins",
    "/v1/openapi.json",
    "/metrics",
    "/v1/runtime/kinds",
    "/v1/runtime/connectors",
    "/v1/runtime/connectors/http/file",
    "/v1/runtime/connectors/http/inline",
    "/v1/runtime/secrets",
    "/v1/runtime/secrets/named",
    "/v1/sessions",
    "/v1/runs",
    "/v1/deliveries",
    "/v1/whatever",
];

/// Everything that the daemon said.
#[derive(Default)]
struct Heard(Vec<(String, String)>);

impl Heard {
    fn add(&mut self, what: &str, answer: &Answer) {
        let text = format!("{:?}\n{}", answer.headers, String::from_utf8_lossy(&answer.body));
        self.0.push((format!("{what} ({})", answer.status), text));
    }

    async fn all_paths(&mut self, host: &Host) {
        for path in PATHS {
            self.add(path, &host.get(path).await);
        }
        for run in host.get("/v1/runs").await.items() {
            let path = format!("/v1/runs/{}", run["run_id"].as_str().unwrap());
            self.add(&path, &host.get(&path).await);
        }
    }
}

#[tokio::test]
async fn no_value_that_was_ever_secret_is_anywhere() {
    // A target that repeats what it should not know.
    let receiver = Receiver::scripted(|_| Reply::Body(400, "text/plain", CANARIES.join(" "))).await;
    let file =
        Http::named("file").bearer(FILE_INLINE).hmac(FILE_KEY).fast().reply_to(&[receiver.target("/")]).to_string()
            + &Http::named("env").set("bearer_token_env = \"CANARY\"").fast().to_string();
    let mut host = Host::builder()
        .executor("echo")
        .connectors(file)
        .settings("[telemetry]\nlog_format = \"json\"\n")
        .env("CANARY", ENV)
        .env("KHEISH_DAEMON_READONLY_TOKEN", READER)
        .env("RUST_LOG", "debug")
        .token(ADMIN)
        .start()
        .await;
    let mut heard = Heard::default();
    operate(&host, &mut heard).await;
    events(&host, &mut heard).await;
    heard.all_paths(&host).await;
    let mut log = host.log();
    host.restart().await;
    misuse(&host, &mut heard).await;
    heard.add("rotate", &host.post("/v1/runtime/secret-keys/rotate", &json!({})).await.expect(200));
    heard.add("delete", &host.delete("/v1/runtime/connectors/http/inline").await.expect(200));
    heard.all_paths(&host).await;
    let ended = host.terminate().await;
    log.push_str(&ended.stderr);
    heard.0.push(("log".to_owned(), log));
    assert!(heard.0.iter().any(|(_, text)| text.contains("[masked]")), "nothing was masked: the search proves nothing");
    for (what, text) in &heard.0 {
        search(what, text.as_bytes());
    }
    let mut files = Vec::new();
    all_files(&host.state_folder(), &mut files);
    assert!(files.len() > 4, "{files:?}");
    for file in files {
        search(&file.display().to_string(), &fs::read(&file).unwrap());
    }
}

/// Secrets are stored, replaced and deleted.
async fn operate(host: &Host, heard: &mut Heard) {
    let secret = |name: &str, value: &str| json!({ "slot_id": name, "state": { "value": value } });
    for (name, value) in [("named", NAMED), ("doomed", DELETED)] {
        heard.add("store", &host.post("/v1/runtime/secrets", &secret(name, value)).await.expect(200));
    }
    heard.add("put", &host.put_http("inline", &fields(INLINE)).await.expect(201));
    let mut named = fields("unused");
    named["bearer_token"] = json!({ "secret_ref": "named" });
    heard.add("put", &host.put_http("named", &named).await.expect(201));
    heard.add("store", &host.post("/v1/runtime/secrets", &secret("named", NAMED_LATER)).await.expect(200));
    heard.add("delete", &host.delete("/v1/runtime/secrets/doomed").await.expect(200));
    heard.add("test", &host.post("/v1/runtime/connectors/http/file/test", &json!({})).await.expect(200));
}

/// Events come with every secret, and answers fail.
async fn events(host: &Host, heard: &mut Heard) {
    for (name, token) in [("env", ENV), ("named", NAMED_LATER), ("inline", INLINE)] {
        if name == "inline" {
            // Not every token can stand in a header: the daemon sends it for us.
            heard.add("test", &host.post("/v1/runtime/connectors/http/inline/test", &json!({})).await.expect(200));
            continue;
        }
        heard.add("event", &host.sender(name).bearer(token).say("k1", "room", "hello").await.expect(200));
    }
    let sent = host.sender("file").bearer(FILE_INLINE).hmac(FILE_KEY).say("k1", "room", "hello").await.expect(200);
    host.deliveries_when(sent.text("/run_id"), 1, "dead_lettered").await;
    heard.add("event", &sent);
}

/// Requests that fail and have a secret in them where none belongs.
async fn misuse(host: &Host, heard: &mut Heard) {
    let anybody = Client::new(host.client().base());
    for canary in KEPT.into_iter().filter(|canary| canary.is_ascii() && !canary.contains('"')) {
        heard.add("event", &host.sender("file").bearer(canary).hmac(canary).say("k2", "room", "hello").await);
        heard.add("wrong token", &anybody.with_token(&format!("{canary}x")).get("/v1/status").await);
        let path = format!("/v1/runtime/secrets/{canary}");
        heard.add("secret by value", &host.get(&path).await);
        heard.add("connector by value", &host.get(&format!("/v1/runtime/connectors/http/{canary}")).await);
    }
    for canary in KEPT {
        for wrong in [json!([canary]), json!({ "value": canary, "env": canary }), json!(canary)] {
            let mut broken = fields("unused-token");
            broken["actor_id"] = wrong.clone();
            broken["hmac_secret"] = wrong;
            broken["fixed_session_id"] = json!(format!("{canary}\n"));
            heard.add("broken", &host.put_http("broken", &broken).await);
        }
        let body = json!({ "slot_id": canary, "state": { "valeu": canary } });
        heard.add("broken", &host.post("/v1/runtime/secrets", &body).await);
        let request = host.client().request(Method::POST, "/v1/sessions").header("content-type", "application/json");
        heard.add("broken", &answer(request.body(format!("{{\"{}\": 1}}", canary.replace('"', "\\\"")))).await);
    }
}

/// Every form in which a value could be found again.
fn forms(canary: &str) -> Vec<Vec<u8>> {
    let escaped = Value::from(canary).to_string();
    let percent: String = canary
        .bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    let texts = [
        canary.to_owned(),
        escaped.trim_matches('"').to_owned(),
        percent,
        hex::encode(canary),
        STANDARD.encode(canary),
        canary.replace('~', "~0").replace('/', "~1"),
    ];
    texts.map(String::into_bytes).into()
}

#[track_caller]
fn search(what: &str, bytes: &[u8]) {
    for canary in CANARIES {
        for form in forms(canary) {
            if let Some(at) = bytes.windows(form.len()).position(|window| window == form) {
                let around = &bytes[at.saturating_sub(200)..(at + 200).min(bytes.len())];
                panic!("{canary} is in {what}: …{}…", String::from_utf8_lossy(around));
            }
        }
    }
}

fn all_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() { all_files(&path, found) } else { found.push(path) }
    }
}
