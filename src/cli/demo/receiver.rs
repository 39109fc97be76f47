//! A receiver for replies: takes every POST and keeps it.

use std::time::Duration;

use anyhow::Context;
use axum::{Json, Router, extract::State, http::HeaderMap, routing::post};
use serde_json::Value;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::task::AbortOnDropHandle;

/// One reply.
pub(super) struct Reply {
    pub(super) idempotency_key: String,
    pub(super) body: Value,
}

/// The receiver; stops when dropped.
pub(super) struct Receiver {
    url: String,
    replies: mpsc::UnboundedReceiver<Reply>,
    _server: AbortOnDropHandle<()>,
}

impl Receiver {
    /// Listens on a free loopback port.
    pub(super) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/replies", listener.local_addr()?);
        let (keep, replies) = mpsc::unbounded_channel();
        let router = Router::new().route("/replies", post(take)).with_state(keep);
        let server = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        Ok(Self { url, replies, _server: AbortOnDropHandle::new(server) })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The next reply.
    pub(super) async fn next(&mut self, patience: Duration) -> anyhow::Result<Reply> {
        let reply = tokio::time::timeout(patience, self.replies.recv()).await.context("no reply arrived in time")?;
        reply.context("the receiver has stopped")
    }

    /// Whether nothing more has arrived.
    pub(super) fn is_quiet(&mut self) -> bool {
        self.replies.try_recv().is_err()
    }
}

async fn take(State(keep): State<mpsc::UnboundedSender<Reply>>, headers: HeaderMap, Json(body): Json<Value>) {
    let key = headers.get("idempotency-key").and_then(|value| value.to_str().ok()).unwrap_or_default();
    keep.send(Reply { idempotency_key: key.to_owned(), body }).ok();
}
