//! Commands against the real daemon: how they print, and how they end.

use kheish_host_tests::{cli::Cli, connectors::Http, host::Host};
use serde_json::Value;

const TOKEN: &str = "token-for-operators";

async fn host() -> Host {
    Host::builder().executor("echo").connectors(Http::named("orders").open()).start().await
}

#[tokio::test]
async fn a_session_is_made_submitted_to_and_waited_for() {
    let host = host().await;
    let cli = Cli::of(&host);
    cli.run(&["sessions", "create", "shop/room 1"]).await.expect(0).says(&["shop/room 1"]);
    // Path parts are encoded: the slash is part of the name.
    cli.run(&["sessions", "get", "shop/room 1"]).await.expect(0).says(&["session_id", "shop/room 1"]);
    let submit = ["sessions", "submit", "shop/room 1", "hello", "--idempotency-key", "k1"];
    let run = cli.run(&[&submit[..], &["--output", "json"]].concat()).await.expect(0).json();
    let id = run["run_id"].as_str().unwrap();
    let again = cli.run(&[&submit[..], &["--wait"]].concat()).await.expect(0);
    again.says(&[id, "completed", "output     hello"]);
    cli.run(&["runs", "wait", id]).await.expect(0).says(&["completed"]);
    let from_stdin = Cli::of(&host).stdin("from a pipe");
    from_stdin.run(&["sessions", "submit", "shop/room 1", "--stdin", "--wait"]).await.expect(0).says(&["from a pipe"]);
    cli.run(&["runs", "list", "--session", "shop/room 1", "--status", "completed"])
        .await
        .expect(0)
        .says(&[id, "hello"]);
    cli.run(&["runs", "list", "--status", "queued"]).await.expect(0).says(&["there are no such runs"]);
    cli.run(&["status"]).await.expect(0).says(&["2 completed", "ready", "sessions"]);
    cli.run(&["plugins", "list"]).await.expect(0).says(&["http.wasm", "serving"]);
}

#[tokio::test]
async fn json_is_the_document_of_the_api_and_nothing_else() {
    let host = host().await;
    host.make_session("a").await;
    let cli = Cli::of(&host);
    for (args, path) in [(["sessions", "get", "a"].as_slice(), "/v1/sessions/a"), (&["plugins", "list"], "/v1/plugins")]
    {
        let ran = cli.run(&[args, &["--output", "json"]].concat()).await.expect(0);
        assert_eq!((ran.json(), ran.stderr.as_str()), (host.get(path).await.json, ""));
    }
}

#[tokio::test]
async fn lists_come_in_pages_and_whole() {
    let host = host().await;
    for n in 0..130 {
        host.make_session(&format!("s{n:03}")).await;
    }
    let cli = Cli::of(&host);
    let first = cli.run(&["sessions", "list", "--limit", "2"]).await.expect(0);
    first.says(&["s000", "s001", "130 in all; go on with --cursor "]);
    assert!(!first.stdout.contains("s002") && !first.stdout.contains("cursor"), "{}", first.stdout);
    let page = cli.run(&["sessions", "list", "--limit", "2", "--output", "json"]).await.expect(0).json();
    let cursor = page["pagination"]["next_cursor"].as_str().unwrap();
    cli.run(&["sessions", "list", "--limit", "1", "--cursor", cursor]).await.expect(0).says(&["s002"]);
    let all = cli.run(&["sessions", "list", "--all", "--output", "json"]).await.expect(0).json();
    let ids: Vec<&str> = all.as_array().unwrap().iter().filter_map(|one| one["session_id"].as_str()).collect();
    assert_eq!((ids.len(), ids[0], ids[129]), (130, "s000", "s129"));
    cli.run(&["sessions", "list", "--all", "--limit", "2"]).await.expect(2);
}

#[tokio::test]
async fn a_token_comes_from_a_flag_a_file_or_a_variable() {
    let host = Host::builder().token(TOKEN).start().await;
    let cli = Cli::of(&host);
    cli.run(&["status"]).await.expect(4).says(&["code: "]);
    cli.run(&["status", "--token", "wrong"]).await.expect(4);
    cli.run(&["status", "--token", TOKEN]).await.expect(0);
    let file = cli.file("token", &format!("{TOKEN}\n"));
    let file = file.to_str().unwrap();
    cli.run(&["status", "--token-file", file]).await.expect(0);
    cli.run(&["status", "--token-file", file, "--token", TOKEN]).await.expect(2);
    cli.run(&["status", "--token-file", "nowhere"]).await.expect(2).says(&["nowhere"]);
    Cli::of(&host).env("KHEISH_DAEMON_TOKEN", TOKEN).run(&["status"]).await.expect(0);
    let by_file = Cli::of(&host).env("KHEISH_DAEMON_TOKEN_FILE", file);
    by_file.run(&["status"]).await.expect(0);
    // A flag counts before the variables; both variables are one too many.
    by_file.run(&["status", "--token", "wrong"]).await.expect(4);
    by_file.env("KHEISH_DAEMON_TOKEN", TOKEN).run(&["status"]).await.expect(2).says(&["are both set"]);
}

#[tokio::test]
async fn exit_codes_say_what_went_wrong() {
    let host = host().await;
    let cli = Cli::of(&host);
    cli.run(&["runs", "get", "run_00000000000000000000000000000000"]).await.expect(3).says(&["code: run_not_found"]);
    cli.run(&["sessions", "submit", "nobody", "hello"]).await.expect(3).says(&["code: session_not_found"]);
    cli.run(&["runs", "list", "--order", "sideways"]).await.expect(4).says(&["sideways", "code: invalid_order"]);
    cli.run(&["runs", "list", "--limit", "0"]).await.expect(2);
    cli.run(&["sessions", "get", ".."]).await.expect(2);
    cli.run(&["status", "--base-url", "127.0.0.1"]).await.expect(2).says(&["is no address of a daemon"]);
    let help = cli.run(&["--help"]).await.expect(0);
    help.says(&["5  the daemon cannot be reached", "6  a check found something"]);
    let base = host.client().base().to_owned();
    drop(host);
    let ran = cli.run(&["status", "--output", "json"]).await.expect(5);
    ran.says(&[&base, "cannot be reached"]);
    assert_eq!(ran.stdout, "");
}

#[tokio::test]
async fn a_failed_run_ends_the_wait_with_1() {
    let host = Host::builder().start().await;
    host.make_session("a").await;
    let run = host.submit("a", &serde_json::json!({ "content": "hi" })).await.expect(202);
    let cli = Cli::of(&host);
    let waits = cli.run(&["runs", "wait", run.text("/run_id"), "--timeout", "50ms"]).await.expect(1);
    waits.says(&["still queued"]);
    let worker = host.worker("w");
    worker.fail(&worker.take().await, "broken", false).await.expect(200);
    cli.run(&["runs", "wait", run.text("/run_id")])
        .await
        .expect(1)
        .says(&["broken: the test says so", "the run is failed"]);
}

#[tokio::test]
async fn a_reader_that_hangs_up_is_no_error() {
    let host = host().await;
    for n in 0..100 {
        let session = format!("{}{n:03}", "long-".repeat(40));
        host.make_session(&session).await;
    }
    let cli = Cli::of(&host);
    let (status, stderr) = cli.start(&["sessions", "list", "--all"]).hang_up().await;
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn colours_are_for_terminals_or_by_order() {
    let host = host().await;
    let cli = Cli::of(&host);
    let colours = async |cli: &Cli, args: &[&str]| cli.run(args).await.expect(0).stdout.contains('\u{1b}');
    assert!(!colours(&cli, &["status"]).await);
    assert!(colours(&cli, &["status", "--color", "always"]).await);
    assert!(colours(&cli, &["plugins", "list", "--color", "always"]).await);
    assert!(!colours(&cli, &["status", "--color", "never"]).await);
}

#[tokio::test]
async fn completions_know_the_commands() {
    let cli = Cli::at("http://127.0.0.1:1");
    for shell in ["bash", "zsh", "fish"] {
        cli.run(&["completions", shell]).await.expect(0).says(&["kheishd", "connectors", "rotate-keys", "base-url"]);
    }
    cli.run(&["completions", "abacus"]).await.expect(2);
}

#[tokio::test]
async fn a_generated_value_is_random_and_long_enough() {
    let cli = Cli::at("http://127.0.0.1:1");
    let mut values = Vec::new();
    for _ in 0..2 {
        values.push(cli.run(&["secrets", "generate"]).await.expect(0).stdout);
    }
    assert!(values[0] != values[1] && values.iter().all(|value| value.trim().len() == 43), "{values:?}");
    let long: Value = cli.run(&["secrets", "generate", "--bytes", "64", "--output", "json"]).await.expect(0).json();
    assert_eq!(long["value"].as_str().map(str::len), Some(86));
    cli.run(&["secrets", "generate", "--bytes", "8"]).await.expect(2);
}
