//! Guests that misbehave: each stands beside a healthy one that stays fast, and nothing of theirs is kept.

mod beside;
mod limits;
mod secrets;
mod state;

use kheish_host_tests::{
    connectors::{Http, misbehaving},
    host::{HTTP, Host, HostBuilder, MISBEHAVING},
};

const TOKEN: &str = "token-of-the-healthy-one";

/// A daemon with the healthy connector `http/healthy` and misbehaving ones that are named after what they do.
fn builder(behaviours: &[&str]) -> HostBuilder {
    let healthy = Http::named("healthy").bearer(TOKEN).fast().to_string();
    let bad: String = behaviours.iter().map(|behaviour| misbehaving(behaviour)).collect();
    Host::builder().plugins(&[HTTP, MISBEHAVING]).connectors(healthy + &bad)
}
