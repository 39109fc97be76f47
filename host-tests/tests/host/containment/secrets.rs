//! No secret byte reaches a guest, a log line, an answer or the disk.

use std::{fs, path::Path};

use futures_util::future::join_all;
use kheish_host_tests::{
    connectors::{Http, misbehaving},
    host::{HTTP, Host, MISBEHAVING},
    problem::INGRESS,
    sign::hmac_hex,
};
use serde_json::Value;

const BEARER: &str = "canary-bearer-3f1c";
const HMAC: &str = "canary-hmac-9ab2";
const HANDLE: &str = "canary-handle-77d0";
const ADMIN: &str = "canary-admin-51e8";

/// Everything but what the compiler says to itself.
const LOG: &str = "trace,cranelift=warn,regalloc2=warn,wasmtime=warn";

fn with_secret(behaviour: &str) -> String {
    format!("{}\nhmac_secret = \"{HANDLE}\"\n\n", misbehaving(behaviour).trim_end())
}

async fn host() -> Host {
    let healthy = Http::named("healthy").bearer(BEARER).set("hmac_secret_env = \"KHEISH_TEST_CANARY\"").fast();
    let connectors = format!("{healthy}{}{}{}", with_secret("secrets"), with_secret("verify"), with_secret("trap"));
    let builder = Host::builder().plugins(&[HTTP, MISBEHAVING]).connectors(connectors);
    builder.env("KHEISH_TEST_CANARY", HMAC).env("RUST_LOG", LOG).token(ADMIN).start().await
}

#[track_caller]
fn assert_clean(what: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for canary in [BEARER, HMAC, HANDLE, ADMIN] {
        assert!(!text.contains(canary), "{what} holds {canary}");
    }
}

#[tokio::test]
async fn a_guest_uses_a_secret_without_having_it() {
    let host = host().await;
    let body = "signed by an odd scheme";
    let verify = host.misbehaving("verify");
    verify.clone().header("x-test-mac", &hmac_hex(HANDLE, body.as_bytes())).post_bytes(body).await.expect(200);
    let forged = verify.clone().header("x-test-mac", &hmac_hex("another key", body.as_bytes())).post_bytes(body).await;
    forged.problem(401, INGRESS, "unauthorized");
    verify.post_bytes(body).await.problem(401, INGRESS, "unauthorized");
}

#[tokio::test]
async fn a_guest_sees_that_a_slot_is_filled_and_no_more() {
    let host = host().await;
    let answer =
        host.misbehaving("secrets").at("/below?a=1").header("x-mine", "yes").post_bytes("body").await.expect(200);
    let seen: Value = serde_json::from_str(answer.text("/input/0/text")).unwrap_or_default();
    assert_eq!(seen["slot_is_filled"], true);
    assert_eq!(
        (&seen["name"], &seen["subpath"], &seen["method"]),
        (&"secrets".into(), &"/below".into(), &"POST".into())
    );
    assert_eq!(seen["target"], "/v1/connectors/misbehaving/secrets/below?a=1");
    assert_eq!(seen["authenticated_by"], Value::Null);
    assert!(seen["headers"].to_string().contains("[\"x-mine\",\"yes\"]"), "{seen}");
    assert_clean("what a guest sees", seen.to_string().as_bytes());
}

#[tokio::test]
async fn a_call_finds_nothing_of_the_calls_before_it() {
    // Few slots, so that every call but the first has the memory of an earlier one.
    let builder = Host::builder().plugins(&[MISBEHAVING]).connectors(misbehaving("residue"));
    let host = builder.settings("[guests]\nconcurrent_calls = 2\n").start().await;
    for _ in 0..16 {
        let sender = host.misbehaving("residue");
        for answer in join_all((0..4).map(|_| sender.post_bytes("x"))).await {
            assert_eq!(answer.expect(200).text("/input/0/text"), "0", "bytes that are not zero");
        }
    }
}

#[tokio::test]
async fn a_token_that_the_host_checked_is_kept_from_the_guest() {
    let connectors = format!("{}\nbearer_token = \"{BEARER}\"\n", misbehaving("secrets").trim_end());
    let host = Host::builder().plugins(&[MISBEHAVING]).connectors(connectors).start().await;
    host.misbehaving("secrets").post_bytes("x").await.problem(401, INGRESS, "missing_token");
    let answer = host.misbehaving("secrets").bearer(BEARER).header("x-mine", "yes").post_bytes("x").await.expect(200);
    let seen: Value = serde_json::from_str(answer.text("/input/0/text")).unwrap_or_default();
    assert_eq!(seen["authenticated_by"], "bearer");
    assert!(seen["headers"].to_string().contains("x-mine"), "{seen}");
    assert!(!seen["headers"].to_string().contains("authorization"), "{seen}");
    assert_clean("what a guest sees", seen.to_string().as_bytes());
}

#[tokio::test]
async fn secrets_show_neither_in_answers_nor_in_the_log_nor_on_the_disk() {
    let mut host = host().await;
    let mut answers = Vec::new();
    for (bearer, key) in [(BEARER, HMAC), (BEARER, "wrong"), ("wrong", HMAC)] {
        answers.push(host.sender("healthy").bearer(bearer).hmac(key).say("k1", "room", "hello").await);
    }
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 401, 401]);
    answers.push(host.misbehaving("trap").post_bytes("x").await);
    answers.push(host.misbehaving("verify").post_bytes("x").await);
    answers.push(host.misbehaving("secrets").post_bytes("x").await);
    for path in ["/v1/status", "/v1/plugins", "/v1/runs", "/v1/sessions", "/v1/deliveries", "/healthz"] {
        answers.push(host.get(path).await.expect(200));
    }
    for answer in &answers {
        assert_clean("an answer", &answer.body);
        assert_clean("an answer's headers", format!("{:?}", answer.headers).as_bytes());
    }
    host.terminate().await;
    assert_clean("the log", host.log().as_bytes());
    assert!(host.log().len() > 1_000, "the log was on");
    assert!(clean_files(&host.state_folder()) > 2, "there was nothing to look at");
}

/// Looks at every file below a folder and returns how many there were.
fn clean_files(folder: &Path) -> usize {
    let paths = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    paths
        .map(|path| match fs::read(&path) {
            Ok(bytes) => {
                assert_clean(&path.display().to_string(), &bytes);
                1
            }
            Err(_) => clean_files(&path),
        })
        .sum()
}

#[tokio::test]
async fn a_broken_file_is_explained_without_its_secrets() {
    let lines = [
        format!("bearer_token = \"{BEARER}"),
        format!("bearer_token = [\"{BEARER}\"]"),
        format!("bearer_token = \"{BEARER}\"\nbearer_token_env = \"{HANDLE}\""),
        format!("bearer_tokem = \"{BEARER}\""),
        format!("bearer_token = \"{BEARER}\" \"{HMAC}\""),
    ];
    for line in lines {
        let ended =
            Host::builder().connectors(format!("[[http_connectors]]\nname = \"a\"\n{line}\n")).run_to_end().await;
        assert_eq!(ended.code, Some(2), "{line}: {}", ended.stderr);
        // A variable's name is no secret; its place may be named.
        assert_clean("an explanation", ended.stderr.replace(&format!("`{HANDLE}`"), "").as_bytes());
    }
}
