//! Sidecars: events, deliveries and files over HTTP, between the real daemon and a second server.

mod batch;
mod child;
mod concealed;
mod credentials;
mod deliver;
mod files;
mod health;
mod ingress;
mod manifest;
mod settings;
mod trial;
mod words;

use kheish_host_tests::{
    host::{Host, HostBuilder},
    sidecar::Sidecar,
};

/// Short waits, four attempts, and looks many times a second.
const QUICK: &str = "[queue]\nsweep_interval_ms = 20\n[delivery]\npoll_interval_ms = 20\n\
                     [delivery.connectors]\ninitial_ms = 20\nmax_ms = 60\nmax_attempts = 4\n\
                     [delivery.pause]\ninitial_ms = 60\nmax_ms = 60\n[egress]\ntimeout_ms = 700\n\
                     [sidecars]\nhealth_interval_ms = 50\nhealth_retry_ms = 20\nprobe_timeout_ms = 500\n";

/// A daemon with the connector `bridge`, whose runs say what they were given.
fn builder(sidecar: &Sidecar, lines: &str) -> HostBuilder {
    Host::builder().plugins(&[]).executor("echo").settings(QUICK).connectors(sidecar.connector("bridge", lines))
}

async fn start(sidecar: &Sidecar, lines: &str) -> Host {
    builder(sidecar, lines).start().await
}
