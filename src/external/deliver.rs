//! What goes out to a sidecar: one `POST /deliver` for each attempt, and what its answer means (contract section 4.3).
//!
//! The protocol has an attempt of which nobody knows the end sent again, under the same key; so the kind's policy for what
//! is unknown is `resend`, and an operator whose sidecar does not know keys again can set another one.

use http::{StatusCode, header};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    External, KIND,
    call::{Mute, Said, Sidecar},
    protocol::{Outcome, RUNTIME_VERSION, Verdict},
    route,
    watch::Watch,
};
use crate::{
    connectors::{
        Context, Fault,
        health::Absence,
        outgoing::{Artifact, Attempt, DeliveryReceipt, Failure, FailureKind, Outgoing},
    },
    delivery::http::retry_after_ms,
    egress::EgressError,
    metrics::sidecars::Delivered,
    secrets::mask,
};

/// The wait that a 429 asks for when it names none, in milliseconds.
const RATE_LIMITED_MS: i64 = 1_000;

/// When a delivery comes again that was taken up as its sidecar went, in milliseconds.
const PUT_OFF_MS: i64 = 200;

/// The longest reason, and the most that is kept of what is said of a success, in characters.
const REASON_CHARS: usize = 500;

impl External {
    /// Sends a delivery once.
    pub(super) async fn send(&self, context: &Context, outgoing: &Outgoing) -> Result<Attempt, Fault> {
        let place = timeout(self.queue_timeout, context.delivery_permits.acquire()).await;
        let Ok(Ok(_place)) = place else { return Err(Fault::Overloaded) };
        // It may have gone since the delivery was taken up.
        if let Some(absence) = self.fleet.absence(context, self.interval()) {
            return Ok(attempt(Err(put_off(absence))));
        }
        let watch = self.fleet.find(&context.connector);
        let outcome = self.try_send(context, outgoing, watch.as_deref()).await?;
        let class = match outcome.as_ref().map_err(|failure| failure.kind) {
            Ok(_) => Delivered::Committed,
            Err(FailureKind::Terminal) => Delivered::Terminal,
            Err(FailureKind::Retryable | FailureKind::Unknown | FailureKind::Unauthorized) => Delivered::Retryable,
        };
        self.metrics.sidecars.count_delivery(&context.connector.name, class);
        Ok(attempt(outcome))
    }

    async fn try_send(
        &self,
        context: &Context,
        outgoing: &Outgoing,
        watch: Option<&Watch>,
    ) -> Result<Result<DeliveryReceipt, Failure>, Fault> {
        let sidecar = self.sidecar(context)?;
        let route = match route::parse(&outgoing.route) {
            Ok(route) => route,
            Err(reason) => return Ok(Err(terminal("invalid_target", reason))),
        };
        if !outgoing.artifacts.is_empty()
            && let Err(failure) = self.takes_files(&sidecar, context, watch).await
        {
            return Ok(Err(failure));
        }
        let request = sidecar
            .post("/deliver")?
            .header("idempotency-key", &outgoing.idempotency_key)
            .header("x-kheish-external-protocol-version", RUNTIME_VERSION)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body(&context.connector.name, outgoing, &route).to_string());
        let sent = sidecar.send(request).await;
        if let (Err(EgressError::Unreached(_) | EgressError::Timeout | EgressError::Transport(_)), Some(watch)) =
            (&sent, watch)
        {
            watch.nudge();
        }
        Ok(match sent {
            Ok(said) => judge(&said, self.clock.now_ms()),
            Err(EgressError::Denied(reason)) => Err(terminal("blocked", reason)),
            Err(error @ EgressError::Unreached(_)) => Err(retryable("connect", error.to_string())),
            Err(error @ EgressError::Timeout) => Err(unknown("timeout", error.to_string())),
            Err(error @ EgressError::Transport(_)) => Err(unknown("broken_answer", error.to_string())),
        })
    }

    /// Whether the sidecar takes files, by its manifest, and can fetch them.
    async fn takes_files(
        &self,
        sidecar: &Sidecar<'_>,
        context: &Context,
        watch: Option<&Watch>,
    ) -> Result<(), Failure> {
        if !sidecar.has_token() {
            let reason = "files go out, and the connector has no shared_token with which the sidecar could fetch them";
            return Err(terminal("shared_token_missing", reason.to_owned()));
        }
        let known = watch.and_then(|watch| watch.manifest(self.manifest_ttl()));
        if known.is_some_and(|manifest| manifest.capabilities.attachments_out) {
            return Ok(());
        }
        // Nothing is given up for what it said some time ago.
        let manifest = self.ask_manifest(sidecar, context, watch).await.map_err(|mute| match mute {
            Mute::Deaf(reason) => retryable("manifest_unreached", reason),
            Mute::Odd(reason) => retryable("manifest_unreadable", reason),
        })?;
        if manifest.capabilities.attachments_out {
            return Ok(());
        }
        let reason = "files go out, and the sidecar's manifest says that it takes none (attachments_out)";
        Err(terminal("attachments_refused", reason.to_owned()))
    }
}

fn attempt(outcome: Result<DeliveryReceipt, Failure>) -> Attempt {
    Attempt { outcome, effects: Vec::new() }
}

/// Nothing was sent, which costs no attempt. It soon waits as it would have if the sidecar had been away before.
fn put_off(absence: Absence) -> Failure {
    Failure { retry_after_ms: Some(PUT_OFF_MS), ..retryable(absence.code, absence.reason) }
}

/// Files stand among the parts and nowhere else: a sidecar that sends both lists would send them twice.
fn body(name: &str, outgoing: &Outgoing, route: &str) -> Value {
    let metadata: Value = serde_json::from_str(&outgoing.metadata).unwrap_or_default();
    let (run, session) = (&metadata["run_id"], &metadata["session_id"]);
    let delivery = &outgoing.delivery_id;
    let text = (!outgoing.text.is_empty()).then(|| json!({ "type": "text", "text": outgoing.text }));
    let files = outgoing.artifacts.iter().map(|file| {
        let Artifact { asset_id, name: file_name, media_type, size } = file;
        let path = format!("/v1/connectors/{KIND}/{name}/deliveries/{delivery}/assets/{asset_id}/raw");
        json!({
            "type": "attachment",
            "attachment": {
                "id": asset_id, "media_type": media_type, "file_name": file_name, "sha256": asset_id,
                "byte_length": size, "download_path": path,
            },
        })
    });
    let parts: Vec<Value> = text.into_iter().chain(files).collect();
    json!({
        "protocol_version": RUNTIME_VERSION,
        "delivery_id": delivery,
        "attempt": outgoing.attempt,
        "reply_route": route,
        "conversation": { "session_id": session, "thread_id": session },
        "content": outgoing.text,
        "parts": parts,
        "artifacts": [],
        "metadata": { "delivery_id": delivery, "delivery_attempt": outgoing.attempt, "run_id": run },
    })
}

/// What an answer means. Where the sidecar has taken the delivery in and does not say what became of it, nobody knows.
fn judge(said: &Said, now_ms: i64) -> Result<DeliveryReceipt, Failure> {
    let status = said.status;
    let verdict: Option<Verdict> = said.body.as_ref().and_then(|body| serde_json::from_slice(body).ok());
    let asked_ms = retry_after_ms(&said.headers, now_ms);
    let limited = status == StatusCode::TOO_MANY_REQUESTS;
    let later = |failure: Failure| {
        let retry_after_ms = asked_ms.or(limited.then_some(RATE_LIMITED_MS));
        Failure { retry_after_ms, ..failure }
    };
    let Some(Verdict { status: outcome, detail }) = verdict else {
        let reason = format!("the sidecar answered {status} without a verdict");
        return Err(match status {
            _ if status.is_success() => unknown("no_verdict", reason),
            _ if limited => later(retryable("rate_limited", reason)),
            // It does not know the daemon any more: somebody has to mend that, and until then nothing is given up.
            StatusCode::UNAUTHORIZED => Failure { kind: FailureKind::Unauthorized, ..terminal("unauthorized", reason) },
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => later(retryable("status", reason)),
            _ if status.is_client_error() => terminal("status", reason),
            _ => later(retryable("status", reason)),
        });
    };
    let said = detail.filter(|detail| !detail.trim().is_empty());
    let reason = said.clone().unwrap_or_else(|| "the sidecar says no more than that".to_owned());
    match outcome {
        Outcome::Committed if status.is_success() => {
            let kept = said.map(|said| json!({ "detail": mask::cut(&said, REASON_CHARS) }).to_string());
            let detail = kept.unwrap_or_else(|| "null".to_owned());
            Ok(DeliveryReceipt { platform_id: None, detail })
        }
        Outcome::Committed => {
            Err(later(unknown("contradiction", format!("the sidecar says `committed` and answered {status}"))))
        }
        Outcome::RetryableError => {
            Err(later(retryable(if limited { "rate_limited" } else { "retryable_error" }, reason)))
        }
        Outcome::TerminalError => Err(terminal("terminal_error", reason)),
    }
}

fn retryable(code: &str, reason: String) -> Failure {
    failure(FailureKind::Retryable, code, &reason)
}

fn unknown(code: &str, reason: String) -> Failure {
    failure(FailureKind::Unknown, code, &reason)
}

fn terminal(code: &str, reason: String) -> Failure {
    failure(FailureKind::Terminal, code, &reason)
}

fn failure(kind: FailureKind, code: &str, reason: &str) -> Failure {
    let reason = mask::cut(reason, REASON_CHARS);
    Failure { kind, code: code.to_owned(), reason, retry_after_ms: None }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn said(status: u16, retry_after: Option<&'static str>, body: Option<&'static str>) -> Said {
        let mut headers = HeaderMap::new();
        if let Some(wait) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(wait));
        }
        Said { status: StatusCode::from_u16(status).unwrap(), headers, body: body.map(Into::into) }
    }

    /// What follows: `ok`, or the class with its wait.
    fn follows(
        status: u16,
        retry_after: Option<&'static str>,
        body: Option<&'static str>,
    ) -> (FailureKind, Option<i64>) {
        let failure = judge(&said(status, retry_after, body), 0).unwrap_err();
        (failure.kind, failure.retry_after_ms)
    }

    const COMMITTED: Option<&str> = Some(r#"{"status":"committed","detail":"7"}"#);
    const RETRYABLE: Option<&str> = Some(r#"{"status":"retryable_error","detail":"busy"}"#);
    const TERMINAL: Option<&str> = Some(r#"{"status":"terminal_error"}"#);

    #[test]
    fn the_sidecar_s_word_counts_whatever_the_status() {
        let receipt = judge(&said(202, None, COMMITTED), 0).unwrap();
        assert_eq!(receipt, DeliveryReceipt { platform_id: None, detail: r#"{"detail":"7"}"#.to_owned() });
        assert_eq!(judge(&said(200, None, Some(r#"{"status":"committed"}"#)), 0).unwrap().detail, "null");
        for status in [200, 302, 400, 404, 500] {
            assert_eq!(follows(status, None, RETRYABLE), (FailureKind::Retryable, None), "{status}");
            assert_eq!(follows(status, None, TERMINAL), (FailureKind::Terminal, None), "{status}");
        }
        for status in [302, 400, 500] {
            assert_eq!(follows(status, None, COMMITTED), (FailureKind::Unknown, None), "{status}");
        }
    }

    #[test]
    fn without_a_verdict_the_status_counts() {
        for (status, kind) in [
            (200, FailureKind::Unknown),
            (204, FailureKind::Unknown),
            (301, FailureKind::Retryable),
            (400, FailureKind::Terminal),
            (401, FailureKind::Unauthorized),
            (403, FailureKind::Terminal),
            (408, FailureKind::Retryable),
            (413, FailureKind::Terminal),
            (425, FailureKind::Retryable),
            (500, FailureKind::Retryable),
            (503, FailureKind::Retryable),
        ] {
            for body in [None, Some(""), Some("{}"), Some(r#"{"status":"done"}"#), Some("[1")] {
                assert_eq!(follows(status, None, body), (kind, None), "{status} {body:?}");
            }
        }
    }

    #[test]
    fn a_wait_is_kept_as_it_was_asked_for() {
        assert_eq!(follows(429, None, None), (FailureKind::Retryable, Some(1_000)));
        assert_eq!(follows(429, Some("7"), None), (FailureKind::Retryable, Some(7_000)));
        assert_eq!(follows(429, Some("7"), RETRYABLE), (FailureKind::Retryable, Some(7_000)));
        assert_eq!(follows(429, Some("99999"), None), (FailureKind::Retryable, Some(99_999_000)));
        assert_eq!(follows(429, Some("Thu, 01 Jan 1970 00:00:05 GMT"), None), (FailureKind::Retryable, Some(5_000)));
        assert_eq!(follows(503, Some("7"), None), (FailureKind::Retryable, Some(7_000)));
        assert_eq!(follows(429, Some("7"), TERMINAL), (FailureKind::Terminal, None));
    }
}
