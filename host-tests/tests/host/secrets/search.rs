//! A long mixed run with values that are like nothing else, in every place where a secret can be; and a search for them
//! in everything that the daemon says and keeps.

mod book;
mod run;
mod tries;

use base64::{Engine, prelude::BASE64_STANDARD};
use kheish_host_tests::{
    connectors::Http,
    host::{HTTP, Host, HostBuilder, MISBEHAVING, OUTBOX},
};

use super::{FILE_VARIABLE, VARIABLE, key_text};
use book::{Book, Canaries};

/// Everything but what the compiler says to itself.
const LOG: &str = "trace,cranelift=warn,regalloc2=warn,wasmtime=warn";

/// Waits are short, two attempts are enough, and nobody is shut out for wrong tokens.
const QUICK: &str = "[queue]\nsweep_interval_ms = 20\n[delivery]\npoll_interval_ms = 20\n\
                     [delivery.http]\ninitial_ms = 20\nmax_ms = 60\nmax_attempts = 2\n\
                     [delivery.connectors]\ninitial_ms = 20\nmax_ms = 60\nmax_attempts = 2\n\
                     [auth]\nfailure_limit = 1000000\n";

const FILE_ENV: &str = "KHEISH_TEST_FILE_CANARY";
const API_ENV: &str = "TEST_API_CANARY";

/// The connectors file; `file_ref` names a secret of the store.
fn connectors(canaries: &Canaries, file_ref: bool) -> String {
    let inline = Http::named("inline").bearer(canaries.of("file-bearer")).hmac(canaries.of("file-hmac")).fast();
    let env = Http::named("env").set(format!("bearer_token_env = \"{FILE_ENV}\"")).fast();
    let named = Http::named("named").set("bearer_token_secret_ref = \"team\"").fast();
    format!("{inline}{env}{}", if file_ref { named.to_string() } else { String::new() })
}

fn builder(canaries: &Canaries) -> HostBuilder {
    Host::builder()
        .plugins(&[HTTP, MISBEHAVING, OUTBOX])
        .connectors(connectors(canaries, false))
        .settings(QUICK)
        .executor("echo")
        .flag("--log-format", "json")
        .env("RUST_LOG", LOG)
        .env(FILE_ENV, canaries.of("file-env"))
        .env(API_ENV, canaries.of("api-env"))
        .env("KHEISH_DAEMON_READONLY_TOKEN", canaries.of("reader"))
        .token(canaries.of("admin"))
}

#[tokio::test]
async fn no_secret_is_found_anywhere_when_the_master_key_is_in_a_variable() {
    let mut canaries = Canaries::new();
    let key = canaries.add_key();
    let host = builder(&canaries).env(VARIABLE, &BASE64_STANDARD.encode(key)).start().await;
    run::whole(host, canaries).await;
}

#[tokio::test]
async fn no_secret_is_found_anywhere_when_the_master_key_is_in_a_file() {
    let mut canaries = Canaries::new();
    let key = canaries.add_key();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), key).unwrap();
    let host = builder(&canaries).env(FILE_VARIABLE, file.path().to_str().unwrap()).start().await;
    run::whole(host, canaries).await;
}

#[tokio::test]
async fn no_secret_is_found_anywhere_but_the_master_key_in_its_file() {
    let mut canaries = Canaries::new();
    let host = builder(&canaries).start().await;
    canaries.keep_key(&key_text(&host));
    run::whole(host, canaries).await;
}

#[tokio::test]
async fn the_search_finds_each_form() {
    let canaries = Canaries::new();
    let value = canaries.of("api-bearer");
    let forms = [
        value.to_owned(),
        hex::encode(value),
        hex::encode_upper(value),
        BASE64_STANDARD.encode(value),
        BASE64_STANDARD.encode(format!("x{value}")),
        BASE64_STANDARD.encode(format!("xy{value}z")),
    ];
    for form in forms {
        let mut book = Book::default();
        book.note("a text", format!("before {form} after"));
        assert_eq!(book.leaks(&canaries).len(), 1, "{form}");
    }
    let mut book = Book::default();
    book.note("a text", "nothing of that kind");
    assert!(book.leaks(&canaries).is_empty());
}
