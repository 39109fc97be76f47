//! How deliveries look outside (contract section 1.9).

use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::{
    model::{
        delivery::{DeliveryState, DeliveryStatus},
        ids::{DeliveryId, RunId, SessionId},
        run::RunError,
        target::ReplyTarget,
    },
    store::{
        Store, StoreError,
        deliveries::read::{self, StoredAttempt, StoredDelivery, StoredPart},
    },
};

/// A delivery. The address shows as a digest, because addresses can hold secrets.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub struct DeliveryView {
    delivery_id: DeliveryId,
    status: DeliveryState,
    session_id: SessionId,
    run_id: RunId,
    plugin: String,
    /// The plugin, and a digest of the address.
    target: String,
    /// How often it was tried; of several parts the one that was tried most.
    attempts: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_attempt_at_ms: Option<i64>,
    /// When its platform is asked about the first part that is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_look_up_at_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    delivered_at_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    dead_lettered_at_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    dead_letter_resolved_at_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    dead_letter_resolution_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    platform_id: Option<String>,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last_error: Option<RunError>,
    /// Why it was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    terminal_error: Option<RunError>,
    /// The delivery that this one repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    replayed_from_delivery_id: Option<DeliveryId>,
    content_size_bytes: i64,
    parts_count: usize,
    artifacts_count: usize,
}

impl From<&StoredDelivery> for DeliveryView {
    fn from(stored: &StoredDelivery) -> Self {
        let state = stored.state();
        let ended = stored.parts.iter().filter_map(|part| part.ended_ms).max();
        let ended = |wanted| ended.filter(|_| state == wanted);
        let dead = stored.parts.iter().find(|part| part.status == DeliveryStatus::Dead);
        let failed = stored.parts.iter().filter(|part| part.status != DeliveryStatus::Delivered);
        let waiting = stored.parts.iter().find(|part| part.status == DeliveryStatus::Pending);
        let artifacts: Vec<serde_json::Value> = serde_json::from_str(&stored.artifacts).unwrap_or_default();
        Self {
            delivery_id: stored.id,
            status: state,
            session_id: stored.session.clone(),
            run_id: stored.run,
            plugin: stored.target.plugin.clone(),
            target: digest(&stored.target),
            attempts: stored.parts.iter().map(|part| part.attempts).max().unwrap_or_default(),
            next_attempt_at_ms: waiting.and_then(|part| part.next_ms),
            next_look_up_at_ms: stored.parts.iter().find_map(look_up_ms),
            delivered_at_ms: ended(DeliveryState::Delivered),
            dead_lettered_at_ms: dead.and_then(|part| part.ended_ms),
            dead_letter_resolved_at_ms: stored.resolved.as_ref().map(|(at, _)| *at),
            dead_letter_resolution_reason: stored.resolved.as_ref().map(|(_, why)| why.clone()),
            platform_id: stored.parts.iter().find_map(|part| part.platform_ref.clone()),
            last_error: failed.filter_map(error).next_back(),
            terminal_error: dead.and_then(error),
            replayed_from_delivery_id: stored.replayed_from,
            content_size_bytes: stored.bytes,
            parts_count: stored.parts.len(),
            artifacts_count: artifacts.len(),
        }
    }
}

fn look_up_ms(part: &StoredPart) -> Option<i64> {
    part.next_ms.filter(|_| part.status == DeliveryStatus::Unknown)
}

fn error(part: &StoredPart) -> Option<RunError> {
    part.error.clone().map(|(code, detail)| RunError { code, detail })
}

/// A target as it is shown: the plugin, and the beginning of SHA-256 of the address.
pub fn digest(target: &ReplyTarget) -> String {
    format!("{}:address_sha256:{}", target.plugin, hex::encode(&Sha256::digest(&target.address)[..8]))
}

/// A delivery with what it says, its parts and its failed attempts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeliveryDetail)]
pub struct DeliveryDetailView {
    #[serde(flatten)]
    delivery: DeliveryView,
    /// The whole output; absent once it was pruned.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    content: Option<String>,
    parts: Vec<PartView>,
    /// Attempts that did not succeed, and look-ups, in order, at most 1,000.
    failed_attempts: Vec<AttemptView>,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DeliveryPartKind)]
enum PartKind {
    Text,
    File,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeliveryPart)]
struct PartView {
    /// Its place, from 0.
    part: i64,
    kind: PartKind,
    status: DeliveryStatus,
    attempts: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_attempt_at_ms: Option<i64>,
    /// When its platform is asked whether it arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_look_up_at_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    ended_at_ms: Option<i64>,
    /// What the platform calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    platform_id: Option<String>,
    /// Its own text; absent where it is the whole content.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last_error: Option<RunError>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeliveryAttempt)]
struct AttemptView {
    part: i64,
    attempt: i64,
    started_at_ms: i64,
    ended_at_ms: i64,
    /// `retry`, `unknown` or `dead`; or `look_up`, whose `error` says what was found.
    outcome: String,
    error: RunError,
}

impl DeliveryDetailView {
    /// A delivery as it stands, with everything that is known of it.
    pub async fn load(store: &Store, stored: StoredDelivery) -> Result<Self, StoreError> {
        let said = read::content(store, stored.id).await?;
        let attempts = read::attempts(store, stored.id).await?;
        let delivery = DeliveryView::from(&stored);
        let mut texts = said.texts.into_iter();
        let parts = stored.parts.into_iter().map(|part| view(part, texts.next().flatten())).collect();
        let failed_attempts = attempts.into_iter().map(AttemptView::from).collect();
        Ok(Self { delivery, content: said.content, parts, failed_attempts })
    }
}

fn view(part: StoredPart, text: Option<String>) -> PartView {
    PartView {
        part: part.part,
        kind: if part.is_file { PartKind::File } else { PartKind::Text },
        status: part.status,
        attempts: part.attempts,
        next_attempt_at_ms: part.next_ms.filter(|_| part.status != DeliveryStatus::Unknown),
        next_look_up_at_ms: look_up_ms(&part),
        ended_at_ms: part.ended_ms,
        last_error: error(&part),
        platform_id: part.platform_ref,
        text: text.filter(|_| !part.is_file),
    }
}

impl From<StoredAttempt> for AttemptView {
    fn from(stored: StoredAttempt) -> Self {
        let (code, detail) = stored.error;
        Self {
            part: stored.part,
            attempt: stored.attempt,
            started_at_ms: stored.started_ms,
            ended_at_ms: stored.ended_ms,
            outcome: stored.outcome,
            error: RunError { code, detail },
        }
    }
}
