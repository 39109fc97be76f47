//! Tools that judge the document, and the real daemon by it: no answer that the document does not know, no failure of
//! the daemon's own, nothing accepted that the document forbids.

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use kheish_host_tests::{connectors::Http, host::Host, receiver::Receiver, wait::within};
use serde_json::{Map, Value, json};

use super::document;

/// How long it may take on a busy machine. It takes a fraction of that.
const DEADLINE: Duration = Duration::from_secs(240);

/// Not `positive_data_acceptance`: rules that no schema says (lengths in bytes, a cursor that a list gave, either
/// `content` or `input_items`) refuse with 400 what fits the schema. Not `ensure_resource_availability` and
/// `use_after_free`: which path leads to what another one made is guessed from names.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,negative_data_rejection,missing_required_header,unsupported_method,\
                      allow_header_conformance,ignored_auth";

/// Requests without a token are part of the run; they must hear why, not that there were too many.
const NO_BUDGET: &str = "[auth]\nfailure_limit = 1000000\n";

/// Streams never end, so their answers cannot be waited for; they stand in the document all the same.
const ENDLESS: &str = "/stream$";

/// `KHEISH_SCHEMATHESIS`, or `schemathesis` on the path.
fn program() -> PathBuf {
    let named = env::var_os("KHEISH_SCHEMATHESIS").map(PathBuf::from);
    let on_path = || {
        let folders = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&folders).map(|folder| folder.join("schemathesis")).find(|program| program.is_file())
    };
    named.filter(|program| program.is_file()).or_else(on_path).unwrap_or_else(|| {
        panic!("schemathesis is not here: run `just tools` first, and set KHEISH_SCHEMATHESIS to the program")
    })
}

/// Something of each sort, and half of the requests about it: the others are about what is not there.
async fn settings(host: &Host, receiver: &Receiver) -> String {
    host.make_session("s").await;
    host.put_http("made", &json!({ "bearer_token": { "value": "a-token" } })).await.expect(201);
    host.post("/v1/runtime/secrets", &json!({ "slot_id": "slot", "state": { "value": "a-value" } })).await.expect(200);
    let file =
        json!({ "type": "inline_asset", "file_name": "f", "media_type": "text/plain", "content_base64": "YQ==" });
    let body = json!({ "input_items": [file], "reply_targets": [receiver.target_json("/")] });
    host.submit("s", &body).await.expect(202);
    let done = host.worker("w").take().await;
    host.worker("w").finish(&done, &["answer"]).await.expect(200);
    let delivery = host.deliveries_when(&done.run, 1, "delivered").await;
    feed(host, "t").await;
    let running = host.worker("w").take().await;
    let delivery = &delivery[0]["delivery_id"];
    let asset = &done.view["input"][0]["asset_id"];
    [
        operations("^/v1/connectors/", &[("path.kind", json!(["http"])), ("path.name", json!(["open"]))]),
        operations(
            "^/v1/runtime/connectors/",
            &[("path.kind", json!(["http"])), ("path.name", json!(["open", "made", "new"]))],
        ),
        operations("^/v1/runtime/kinds/", &[("path.kind", json!(["http"]))]),
        operations("^/v1/runtime/secrets/", &[("path.ref", json!(["slot"]))]),
        operations("^/v1/sessions/", &[("path.id", json!(["s", running.session]))]),
        operations(
            "^/v1/runs/",
            &[("path.id", json!([done.run, running.run])), ("body.epoch", json!([running.epoch]))],
        ),
        operations("^/v1/deliveries/", &[("path.id", json!([delivery]))]),
        operations("^/v1/assets/", &[("path.id", json!([asset]))]),
    ]
    .concat()
}

/// Values for parameters of the operations under these paths.
fn operations(paths: &str, parameters: &[(&str, Value)]) -> String {
    let name = |parameter: &str| format!("{paths}{parameter}").replace(|one: char| !one.is_ascii_alphanumeric(), "-");
    let lists = parameters.iter().map(|(one, values)| format!("[dictionaries.{}]\nvalues = {values}\n", name(one)));
    let bound = parameters
        .iter()
        .map(|(one, _)| format!("parameters.\"{one}\" = {{ dictionary = \"{}\", probability = 0.5 }}\n", name(one)));
    let table = format!("[[operations]]\ninclude-path-regex = '{paths}'\n");
    lists.chain([table]).chain(bound).collect()
}

/// Makes a session with a run that waits.
async fn feed(host: &Host, session: &str) {
    host.make_session(session).await;
    host.submit(session, &json!({ "content": "text" })).await.expect(202);
}

/// How many operations of a document can be tested.
fn count(document: &Value) -> usize {
    let finite = document["paths"].as_object().into_iter().flatten().filter(|(path, _)| !path.ends_with("/stream"));
    finite.map(|(_, item)| item.as_object().map_or(0, Map::len)).sum()
}

#[tokio::test]
async fn the_document_follows_the_rules_of_openapi() {
    // Installed beside the other.
    let program = program().with_file_name("openapi-spec-validator");
    assert!(program.is_file(), "there is no `{}`: run `just tools` first", program.display());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("openapi.json");
    fs::write(&file, document(&super::host().await).await.to_string()).unwrap();
    let judged = Command::new(program).args(["--schema", "3.1"]).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&judged.stdout);
    let said: String = said.chars().take(2_000).collect();
    assert!(judged.status.success(), "{said}\n{}", String::from_utf8_lossy(&judged.stderr));
}

#[tokio::test]
async fn nothing_that_the_document_allows_surprises() {
    let program = program();
    let receiver = Receiver::start().await;
    let open = Http::named("open").open().fast().set("require_idempotency_key = false");
    let host = Host::builder().connectors(open).token("secret").settings(NO_BUDGET).start().await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("schemathesis.toml"), settings(&host, &receiver).await).unwrap();
    let document = document(&host).await;
    fs::write(folder.path().join("openapi.json"), document.to_string()).unwrap();
    let report = folder.path().join("report.txt");
    let mut run = Command::new(program)
        .current_dir(folder.path())
        // From a file: it leaves out the route that it has a document from.
        .args(["run", "openapi.json", "--url", host.client().base()])
        .args(["--header", "Authorization: Bearer secret", "--checks", CHECKS, "--exclude-path-regex", ENDLESS])
        .args(["--seed", "7", "--generation-database", "none", "--max-examples", "25"])
        .args(["--continue-on-failure", "--request-timeout", "20", "--no-color"])
        .env("NO_PROXY", "*")
        .stdin(Stdio::null())
        .stdout(fs::File::create(&report).unwrap())
        .stderr(fs::File::create(folder.path().join("errors.txt")).unwrap())
        .spawn()
        .unwrap();
    let mut fed = 0;
    let ended = within(DEADLINE, "schemathesis ended", async || {
        // A claim may wait for a minute; so there is always something to claim.
        feed(&host, &format!("fed-{fed}")).await;
        fed += 1;
        run.try_wait().unwrap()
    })
    .await;
    let report = fs::read_to_string(&report).unwrap();
    let errors = fs::read_to_string(folder.path().join("errors.txt")).unwrap();
    assert!(ended.success(), "{ended}\n{report}\n{errors}");
    assert!(report.contains(&format!("Tested: {}\n", count(&document))), "operations were left out\n{report}");
    host.get("/readyz").await.expect(200);
    assert!(!host.log().contains(" ERROR "), "the log has errors");
}
