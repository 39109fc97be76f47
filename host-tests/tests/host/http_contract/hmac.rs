//! Signatures: the canonical string, the two headers, their age.

use kheish_host_tests::{
    connectors::Http,
    host::Host,
    sender::{Sender, event},
    sign::{now_secs, sign},
};
use serde_json::Value;

use super::TOKEN;

const KEY: &str = "key-of-the-signed-connector";

/// `signed` demands a signature only, `both` a token too; `lax` has a key but does not demand it in so many words;
/// `short` takes signatures of the last 30 seconds.
async fn host() -> Host {
    let demand = "require_hmac_signature = true";
    let connectors = [
        Http::named("signed").hmac(KEY).set(demand),
        Http::named("both").bearer(TOKEN).hmac(KEY).set(demand),
        Http::named("lax").bearer(TOKEN).hmac(KEY).set("require_hmac_signature = false"),
        Http::named("short").hmac(KEY).set(demand).set("signature_max_age_secs = 30"),
    ];
    Host::builder().connectors(connectors.map(|one| one.fast().to_string()).concat()).start().await
}

fn payload() -> Value {
    event("k1", "room", "hello")
}

/// A caller that sends exactly these values in the signature headers.
fn with_headers(caller: Sender, timestamps: &[&str], signatures: &[&str]) -> Sender {
    let caller = timestamps.iter().fold(caller, |caller, value| caller.header("x-kheish-timestamp", value));
    signatures.iter().fold(caller, |caller, value| caller.header("x-kheish-signature", value))
}

/// A caller that signed [`payload`] so many seconds from now.
fn signed_at(caller: Sender, offset: i64) -> Sender {
    let timestamp = now_secs().saturating_add_signed(offset).to_string();
    let signature = sign(KEY, "POST", caller.target(), &timestamp, payload().to_string().as_bytes()).signature;
    with_headers(caller, &[&timestamp], &[&signature])
}

#[tokio::test]
async fn a_good_signature_lets_in_in_either_case() {
    let host = host().await;
    host.sender("signed").hmac(KEY).say("k1", "room", "hello").await.expect(200);
    let body = event("k2", "room", "hello").to_string();
    let caller = host.sender("signed").hmac(KEY);
    let signature = caller.signature(body.as_bytes());
    let upper = format!("v1={}", signature.signature[3..].to_uppercase());
    let caller = with_headers(host.sender("signed"), &[&signature.timestamp], &[&upper]);
    caller.post_bytes(body).await.expect(200);
}

#[tokio::test]
async fn a_signature_of_anything_else_stays_out() {
    let host = host().await;
    let body = payload().to_string();
    let timestamp = now_secs().to_string();
    let path = "/v1/connectors/http/signed";
    let forged = [
        sign("another key", "POST", path, &timestamp, body.as_bytes()),
        sign(KEY, "PUT", path, &timestamp, body.as_bytes()),
        sign(KEY, "POST", "/v1/connectors/http/both", &timestamp, body.as_bytes()),
        sign(KEY, "POST", path, &(now_secs() - 1).to_string(), body.as_bytes()),
        sign(KEY, "POST", path, &timestamp, body.replace("hello", "hullo").as_bytes()),
        sign(KEY, "POST", path, &timestamp, b""),
    ];
    for signature in forged {
        let caller = with_headers(host.sender("signed"), &[&timestamp], &[&signature.signature]);
        host.refuses(401, "invalid_signature", caller.post_bytes(body.as_str())).await;
    }
    // Not one byte of white space may differ either.
    let signature = sign(KEY, "POST", path, &timestamp, body.as_bytes()).signature;
    let caller = with_headers(host.sender("signed"), &[&timestamp], &[&signature]);
    host.refuses(401, "invalid_signature", caller.post_bytes(format!("{body} "))).await;
}

#[tokio::test]
async fn each_header_is_there_once_and_well_formed() {
    let host = host().await;
    let body = payload().to_string();
    let now = now_secs().to_string();
    let good = sign(KEY, "POST", "/v1/connectors/http/signed", &now, body.as_bytes()).signature;
    let (now, good) = (now.as_str(), good.as_str());
    let long = format!("{good}00");
    let (plus, fraction, negative) = (format!("+{now}"), format!("{now}.0"), format!("-{now}"));
    let cases: [(&[&str], &[&str], &str); 14] = [
        (&[], &[], "missing_timestamp"),
        (&[], &[good], "missing_timestamp"),
        (&[now], &[], "missing_signature"),
        (&[now, now], &[good], "malformed_timestamp"),
        (&[now], &[good, good], "malformed_signature"),
        (&[&plus], &[good], "malformed_timestamp"),
        (&[&fraction], &[good], "malformed_timestamp"),
        (&[&negative], &[good], "malformed_timestamp"),
        (&["soon"], &[good], "malformed_timestamp"),
        (&["99999999999999999999999"], &[good], "malformed_timestamp"),
        (&[now], &[&good[3..]], "malformed_signature"),
        (&[now], &[&good[..good.len() - 1]], "malformed_signature"),
        (&[now], &[&long], "malformed_signature"),
        (&[now], &["v1=zz"], "malformed_signature"),
    ];
    for (timestamps, signatures, code) in cases {
        let caller = with_headers(host.sender("signed"), timestamps, signatures);
        host.refuses(401, code, caller.post_bytes(body.as_str())).await;
    }
}

#[tokio::test]
async fn signatures_age_both_ways() {
    let host = host().await;
    for offset in [-1_000, 1_000, -400, 400] {
        host.refuses(401, "stale_timestamp", signed_at(host.sender("signed"), offset).post(&payload())).await;
    }
    for offset in [-100, 100] {
        host.refuses(401, "stale_timestamp", signed_at(host.sender("short"), offset).post(&payload())).await;
    }
    let epoch = with_headers(host.sender("signed"), &["0"], &["v1=00"]);
    host.refuses(401, "stale_timestamp", epoch.post(&payload())).await;
    signed_at(host.sender("signed"), -200).post(&payload()).await.expect(200);
    signed_at(host.sender("signed"), 200).post(&payload()).await.expect(200);
}

#[tokio::test]
async fn with_both_configured_both_must_pass() {
    let host = host().await;
    let signed = || host.sender("both").hmac(KEY);
    host.refuses(401, "missing_token", signed().post(&payload())).await;
    host.refuses(401, "invalid_token", signed().bearer("wrong").post(&payload())).await;
    host.refuses(401, "missing_timestamp", host.sender("both").bearer(TOKEN).post(&payload())).await;
    let other_key = host.sender("both").bearer(TOKEN).hmac("another key");
    host.refuses(401, "invalid_signature", other_key.post(&payload())).await;
    signed().bearer(TOKEN).post(&payload()).await.expect(200);
}

#[tokio::test]
async fn a_configured_key_is_enforced_even_where_it_is_not_demanded() {
    let host = host().await;
    host.refuses(401, "missing_timestamp", host.sender("lax").bearer(TOKEN).post(&payload())).await;
    host.sender("lax").bearer(TOKEN).hmac(KEY).post(&payload()).await.expect(200);
}

#[tokio::test]
async fn the_query_is_signed_exactly_as_it_was_sent() {
    let host = host().await;
    let query = "?source=a%2Fb&attempt=1&empty=&plus=a+b";
    host.sender("signed").at(query).hmac(KEY).say("k1", "room", "hello").await.expect(200);
    let body = payload().to_string();
    let now = now_secs().to_string();
    let path = "/v1/connectors/http/signed";
    let others = [
        "",
        "?source=a/b&attempt=1&empty=&plus=a+b",
        "?attempt=1&source=a%2Fb&empty=&plus=a+b",
        "?source=a%2fb&attempt=1&empty=&plus=a+b",
    ];
    for other in others {
        let signature = sign(KEY, "POST", &format!("{path}{other}"), &now, body.as_bytes()).signature;
        let caller = with_headers(host.sender("signed").at(query), &[&now], &[&signature]);
        host.refuses(401, "invalid_signature", caller.post_bytes(body.as_str())).await;
    }
}
