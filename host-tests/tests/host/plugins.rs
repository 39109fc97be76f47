//! The plugin folder: what appears serves, what is broken is reported, and nothing that serves is disturbed.

mod broken;
mod cache;
mod own;
mod reload;

use kheish_host_tests::{
    connectors::Http,
    host::{Host, HostBuilder},
    sender::Sender,
    sign::sha256_hex,
};
use serde_json::Value;

const TOKEN: &str = "token-of-a-steady-caller";

fn builder() -> HostBuilder {
    Host::builder().connectors(Http::named("orders").bearer(TOKEN).fast())
}

fn sender(host: &Host) -> Sender {
    host.sender("orders").bearer(TOKEN)
}

fn serves(bytes: &[u8]) -> impl Fn(&Value) -> bool {
    let digest = sha256_hex(bytes);
    move |report| report["state"] == "serving" && report["digest"] == digest.as_str()
}

fn is_broken(report: &Value) -> bool {
    report["error"].as_str().is_some_and(|error| !error.is_empty())
}
