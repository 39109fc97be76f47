//! Settings files, flags and folders.

use kheish_host_tests::host::Host;

use super::{assert_refused, builder, with_settings};

#[tokio::test]
async fn broken_settings_files() {
    assert_refused(&with_settings("listen = ").await, &["settings.toml:1", "listen"]);
    assert_refused(
        &with_settings("\n[queue]\nmax_atempts = 3\n").await,
        &["settings.toml:3", "max_atempts", "max_attempts"],
    );
    assert_refused(&with_settings("[queue]\nmax_attempts = \"many\"\n").await, &["settings.toml:2", "max_attempts"]);
    assert_refused(&with_settings("[quue]\n").await, &["settings.toml:1", "quue"]);
    assert_refused(&builder().executor("magic").run_to_end().await, &["executor", "magic", "claim, echo"]);
    assert_refused(&with_settings("[guests]\nmemory_bytes = -1\n").await, &["settings.toml:2", "memory_bytes"]);
    assert_refused(&with_settings("listen = \"here\"\n").await, &["settings.toml:1", "listen"]);
}

#[tokio::test]
async fn files_and_folders_that_are_not_there() {
    let config = builder().flag("--config", "/nowhere/settings.toml").run_to_end().await;
    assert_refused(&config, &["/nowhere/settings.toml"]);
    let connectors = builder().flag("--connectors-config", "/nowhere/connectors.toml").run_to_end().await;
    assert_refused(&connectors, &["/nowhere/connectors.toml"]);
}

#[tokio::test]
async fn a_database_that_this_version_does_not_speak_to() {
    let ended = builder().flag("--database-url", "postgres://somewhere/kheish").run_to_end().await;
    assert_refused(&ended, &["database_url", "SQLite"]);
    assert_refused(
        &with_settings("database_url = \"postgres://user:canary@somewhere/kheish\"\n").await,
        &["database_url"],
    );
}

#[tokio::test]
async fn flags_and_variables_go_before_the_file() {
    let host = builder().settings("executor = \"echo\"\nlisten = \"127.0.0.1:1\"\n").start().await;
    assert_eq!(host.get("/v1/status").await.expect(200).json["executor"], "claim");
}

#[tokio::test]
async fn a_port_that_is_taken() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = builder().env("KHEISH_LISTEN", &address).listen_by_variable().run_to_end().await;
    assert_refused(&ended, &["cannot listen", &address]);
}

#[tokio::test]
async fn without_any_file_it_starts_and_shows_what_it_has() {
    let host = Host::builder().start().await;
    let status = host.get("/v1/status").await.expect(200).json;
    assert_eq!(
        (&status["status"], &status["ready"], &status["executor"]),
        (&"ready".into(), &true.into(), &"claim".into())
    );
    assert_eq!(status["connectors"], serde_json::json!([]));
    assert_eq!(status["guests"]["plugins"][0]["kind"], "http");
    assert_eq!(status["process_id"], host.process_id());
    assert!(status["uptime_ms"].as_i64().is_some_and(|uptime| uptime >= 0), "{status}");
    let probe = host.get("/healthz").await.expect(200);
    assert_eq!(&probe.body[..], b"ok\n");
}

#[tokio::test]
async fn what_takes_longer_than_its_lease_is_refused() {
    let ended = with_settings("[guests]\ndelivery_deadline_ms = 59000\n").await;
    assert_refused(
        &ended,
        &["delivery.lease_ms is 60000", "guests.delivery_deadline_ms (59000)", "queue_timeout_ms (1000)"],
    );
    let both = with_settings("[delivery]\nlease_ms = 2000\n").await;
    assert_refused(&both, &["guests.delivery_deadline_ms (30000)", "egress.timeout_ms (15000)"]);
}

#[tokio::test]
async fn a_batch_that_never_fits_into_the_queue_is_refused() {
    let ended = with_settings("[store]\nqueue_length = 50\n").await;
    assert_refused(&ended, &["sidecars.batch_events is 64", "store.queue_length leaves room for 50"]);
}
