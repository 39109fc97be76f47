//! `POST /v1/connectors/http/{name}`, case by case (contract section 3.2).

mod bearer;
mod hmac;
mod idempotency;
mod limits;
mod open;
mod payload;
mod rate;
mod session;
mod targets;
mod view;

use kheish_host_tests::{connectors::Http, host::Host, sender::Sender};

const TOKEN: &str = "token-of-the-orders-connector";

/// A daemon with the bearer connector `orders`, set up further by `more`, and a sender that it lets in.
async fn orders(more: impl FnOnce(Http) -> Http) -> (Host, Sender) {
    let host = Host::builder().connectors(more(Http::named("orders").bearer(TOKEN).fast())).start().await;
    let sender = host.sender("orders").bearer(TOKEN);
    (host, sender)
}
