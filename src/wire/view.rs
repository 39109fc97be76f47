//! How runs and sessions look outside (contract section 1.8).

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::delivery_view::DeliveryView;
use crate::{
    model::{
        artifact::Artifact,
        ids::{RunId, SessionId},
        run::{Run, RunError, RunInput, RunStatus},
        target::ReplyTarget,
        usage::Usage,
    },
    store::{
        Store, StoreError,
        deliveries::read::{self, DeliveryFilter, StoredDelivery},
        outputs::{self, StoredOutput},
        runs, session_targets,
        sessions::{Session, SessionState},
    },
};

/// Characters of a run's text in its preview.
const PREVIEW_CHARS: usize = 160;

/// The most deliveries shown within a run.
const DELIVERIES_SHOWN: i64 = 1_000;

/// A run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Run)]
pub struct RunView {
    run_id: RunId,
    session_id: SessionId,
    status: RunStatus,
    /// Its place in the session, from 1.
    seq: i64,
    /// How often it was claimed.
    attempt: i64,
    /// Who performs it.
    executor: String,
    submitted_at_ms: i64,
    updated_at_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    started_at_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    finished_at_ms: Option<i64>,
    /// When somebody asked for the end of a run that a worker held.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    cancel_requested_at_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    queued_position: Option<i64>,
    request: RequestView,
    input: Vec<RunInput>,
    #[schema(value_type = Object)]
    input_metadata: Box<RawValue>,
    /// Whether `input` and `input_metadata` were given up because of their age; absent when they were not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    body_pruned: bool,
    reply_targets: Vec<ReplyTarget>,
    outputs: Vec<OutputView>,
    deliveries: Vec<DeliveryView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<RunError>,
    /// What its attempts consumed, where their executor says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    usage: Option<Usage>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RunRequest)]
struct RequestView {
    source_plugin: String,
    source_kind: String,
    #[schema(required)]
    actor_id: Option<String>,
    /// The beginning of its text.
    text_preview: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RunOutput)]
struct OutputView {
    ordinal: i64,
    content: String,
    artifacts: Vec<Artifact>,
    created_at_ms: i64,
}

impl RunView {
    /// A run that has just been accepted, with how many runs wait before it.
    pub fn queued(store: &Store, mut run: Run, before: i64) -> Self {
        run.executor = store.executor_name(run.executor);
        Self::build(run, Some(before), Vec::new(), Vec::new())
    }

    /// A run as it stands, with its outputs and deliveries.
    pub async fn load(store: &Store, mut run: Run) -> Result<Self, StoreError> {
        run.executor = store.executor_name(run.executor);
        let before = match run.status {
            RunStatus::Queued => Some(runs::queued_before(store, &run).await?),
            _ => None,
        };
        // A run that waits again has said nothing: what a lost attempt said is never delivered.
        let said = match run.status {
            RunStatus::Queued => Vec::new(),
            _ => outputs::of_run(store, &run).await?,
        };
        let sent = if run.status == RunStatus::Completed {
            let filter = DeliveryFilter { run: Some(run.id), ..DeliveryFilter::default() };
            read::list(store, &filter, DELIVERIES_SHOWN).await?
        } else {
            Vec::new()
        };
        Ok(Self::build(run, before, said, sent))
    }

    fn build(run: Run, before: Option<i64>, said: Vec<StoredOutput>, sent: Vec<StoredDelivery>) -> Self {
        let request = RequestView {
            text_preview: preview(&run.request.input),
            source_plugin: run.request.source_plugin,
            source_kind: run.request.source_kind,
            actor_id: run.request.actor,
        };
        let outputs = said
            .into_iter()
            .map(|said| OutputView {
                ordinal: said.ordinal,
                content: said.content,
                artifacts: said.artifacts,
                created_at_ms: said.created_ms,
            })
            .collect();
        Self {
            run_id: run.id,
            session_id: run.session,
            status: run.status,
            seq: run.seq,
            attempt: run.attempt,
            executor: run.executor,
            submitted_at_ms: run.submitted_ms,
            updated_at_ms: run.finished_ms.or(run.started_ms).unwrap_or(run.submitted_ms),
            started_at_ms: run.started_ms,
            finished_at_ms: run.finished_ms,
            cancel_requested_at_ms: run.cancel_ms,
            queued_position: before,
            request,
            input: run.request.input,
            input_metadata: run.request.metadata,
            body_pruned: run.body_pruned,
            reply_targets: run.request.reply_targets,
            outputs,
            deliveries: sent.iter().map(DeliveryView::from).collect(),
            error: run.error,
            usage: run.usage,
        }
    }
}

fn preview(input: &[RunInput]) -> String {
    let text = input.iter().find_map(|part| match part {
        RunInput::Text { text } => Some(text.as_str()),
        RunInput::Asset { .. } | RunInput::RemoteFile(_) | RunInput::UnavailableFile { .. } => None,
    });
    text.unwrap_or_default().chars().take(PREVIEW_CHARS).collect()
}

/// A session.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Session)]
pub struct SessionView {
    session_id: SessionId,
    state: SessionState,
    /// Who performs its runs.
    executor: String,
    /// Runs that wait.
    queued_runs: i64,
    /// The place of its newest run; 0 before the first.
    last_seq: i64,
    created_at_ms: i64,
    updated_at_ms: i64,
    /// Where its outputs go when neither event nor connector says.
    reply_targets: Vec<ReplyTarget>,
}

impl SessionView {
    /// Sessions with their default targets, in their order.
    pub async fn load(store: &Store, sessions: Vec<Session>) -> Result<Vec<Self>, StoreError> {
        let ids: Vec<&SessionId> = sessions.iter().map(|session| &session.id).collect();
        let mut targets = session_targets::of(store, &ids).await?;
        let load = |session: Session| {
            let reply_targets = targets.remove(&session.id).unwrap_or_default();
            let executor = store.executor_name(session.executor.clone());
            Self::new(session, executor, reply_targets)
        };
        Ok(sessions.into_iter().map(load).collect())
    }

    fn new(session: Session, executor: String, reply_targets: Vec<ReplyTarget>) -> Self {
        Self {
            session_id: session.id,
            state: session.state,
            executor,
            queued_runs: session.queued,
            last_seq: session.last_seq,
            created_at_ms: session.created_ms,
            updated_at_ms: session.updated_ms,
            reply_targets,
        }
    }
}
