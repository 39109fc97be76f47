//! Runs: one piece of work in one session.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    artifact::{ArtifactReference, check_media_type, check_name},
    event::RemoteFile,
    ids::{RunId, SessionId},
    target::ReplyTarget,
    usage::Usage,
};

/// Where a run stands.
// The numbers are what the store keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[repr(i64)]
pub enum RunStatus {
    /// Waits for its turn in the session.
    Queued = 0,
    /// Leased to a worker.
    Running = 1,
    /// Ended with its outputs.
    Completed = 2,
    /// Ended without them; the error says why.
    Failed = 3,
    /// Withdrawn before it ended.
    Cancelled = 4,
}

impl RunStatus {
    /// Every status.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Completed, Self::Failed, Self::Cancelled];

    /// Reads what the store keeps.
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|status| *status as i64 == code)
    }
}

/// One run as the store keeps it.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its identifier.
    pub id: RunId,
    /// The session that it belongs to.
    pub session: SessionId,
    /// Its place in the session, from 1.
    pub seq: i64,
    /// Where it stands.
    pub status: RunStatus,
    /// The fence of the lease that it last ran under; 0 before the first.
    pub epoch: i64,
    /// How often it was claimed.
    pub attempt: i64,
    /// What it was made from.
    pub request: RunRequest,
    /// When it became durable, in milliseconds since 1970.
    pub submitted_ms: i64,
    /// When it was last claimed.
    pub started_ms: Option<i64>,
    /// When it ended.
    pub finished_ms: Option<i64>,
    /// Why it failed.
    pub error: Option<RunError>,
    /// Whether input and metadata were given up because of their age.
    pub body_pruned: bool,
    /// When somebody asked for its end while a worker held it.
    pub cancel_ms: Option<i64>,
    /// What its attempts consumed; none when their executor did not say.
    pub usage: Option<Usage>,
    /// Who performs the runs of its session; empty for the default.
    pub executor: String,
}

/// What a run was made from: the durable part of an event or of an API submission.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// The connector kind, or `api`.
    pub source_plugin: String,
    /// What sort of source within it.
    pub source_kind: String,
    /// Who caused it.
    pub actor: Option<String>,
    /// Its content, in order.
    pub input: Vec<RunInput>,
    /// The event's metadata and the host's own keys: an object, as the text that the store keeps and readers get.
    pub metadata: Box<RawValue>,
    /// Where its outputs go, fixed when the run was made.
    pub reply_targets: Vec<ReplyTarget>,
}

impl RunRequest {
    /// A file under the name and the type that the input gives it, as far as it does and they can stand where these stand.
    pub fn file(&self, asset_id: &str) -> ArtifactReference {
        let own = self.input.iter().find_map(|part| match part {
            RunInput::Asset { asset_id: id, file_name, media_type } if id == asset_id => {
                Some((file_name.clone(), media_type.clone()))
            }
            _ => None,
        });
        let (name, media_type) = own.unwrap_or_default();
        ArtifactReference {
            asset_id: asset_id.to_owned(),
            name: name.filter(|name| check_name(Some(name)).is_ok()),
            media_type: media_type.filter(|media_type| check_media_type(Some(media_type)).is_ok()),
        }
    }
}

/// One piece of a run's content. Inline files have become assets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum RunInput {
    /// Plain text.
    Text {
        /// The text.
        text: String,
    },
    /// A file in the asset store.
    Asset {
        /// Its id.
        asset_id: String,
        /// Its file name, when it came with one.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        file_name: Option<String>,
        /// Its media type, when it came with one.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        media_type: Option<String>,
    },
    /// A file that is still on the platform.
    RemoteFile(RemoteFile),
    /// A file of the platform that could not be had.
    UnavailableFile {
        /// Its file name.
        name: String,
        /// Its media type, when known.
        #[schema(required)]
        media_type: Option<String>,
        /// Its size in bytes, when known.
        #[schema(required)]
        size: Option<u64>,
        /// Why, for programs: the platform's or the connector's code, `file_too_large`, `http_too_large`, `connector_gone`, …
        code: String,
        /// Why, for people.
        reason: String,
    },
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RunError {
    /// Stable, for programs.
    pub code: String,
    /// A sentence, for people.
    pub detail: String,
}
