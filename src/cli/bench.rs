//! Parts of the benchmark that need the daemon's own code: guest calls without HTTP, a kind without a guest, and a store
//! that is already full.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::{
    app::StartError,
    clock::Clock,
    connectors::{Answer, Context, Fault, Plugin, Request, manifest::Manifest},
    ingress::prepare::receipt_key,
    metrics::Metrics,
    model::event::{Event, InputPart, SessionKey},
    store::{
        Store, StoreError, StoreSettings,
        receipts::{self, NewReceipt},
        writer::{Command, Tx},
    },
};

mod ended;
mod guest;
mod waiting;

/// What to measure or prepare.
#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Time guest calls; prints JSON.
    Guest(guest::GuestArgs),
    /// Write receipts, ended runs or deliveries into a store that no daemon uses.
    Prefill {
        /// The state folder.
        #[arg(long)]
        state_root: PathBuf,
        /// Receipts of events.
        #[arg(long, default_value_t = 0)]
        receipts: u64,
        /// Runs that ended, each in a session of its own.
        #[arg(long, default_value_t = 0)]
        runs: u64,
        /// How long ago all of it happened, in days.
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=10_000))]
        days_ago: u64,
        #[command(flatten)]
        waiting: waiting::WaitingArgs,
    },
}

/// Does it.
pub async fn run(args: BenchArgs) -> Result<(), StartError> {
    match args.what {
        What::Guest(args) => Ok(guest::time(&args).await?),
        What::Prefill { state_root, receipts, runs, days_ago, waiting } => {
            let clock = Clock::behind(Duration::from_secs(days_ago * 86_400));
            Ok(prefill(&state_root, &clock, (receipts, runs), &waiting).await?)
        }
    }
}

/// What the sample says beside its text.
fn sample_metadata() -> Map<String, Value> {
    let item = |n: u32| json!({ "sku": format!("item-{n:04}"), "quantity": n, "price_cents": n * 199 });
    let items: Vec<Value> = (0..16).map(item).collect();
    Map::from_iter([("items".to_owned(), items.into()), ("currency".to_owned(), "EUR".into())])
}

/// The sample's text.
const SAMPLE_TEXT: &str = "Order 123 has arrived with sixteen items.";

async fn prefill(
    state_root: &Path,
    clock: &Clock,
    (receipts, runs): (u64, u64),
    waiting: &waiting::WaitingArgs,
) -> anyhow::Result<()> {
    let folder = crate::state_folder::StateFolder::open(state_root)?;
    let store = Store::open_sqlite(folder.path(), &StoreSettings::default(), Metrics::new()?).await?;
    let mut written = 0;
    while written < receipts {
        let upto = (written + 4096).min(receipts);
        store.write(Fill { keys: written..upto, clock: clock.clone() }).await?;
        written = upto;
    }
    ended::fill(&store, clock, runs).await?;
    waiting::fill(&store, clock, waiting).await?;
    store.close().await;
    Ok(())
}

struct Fill {
    keys: std::ops::Range<u64>,
    clock: Clock,
}

impl Command for Fill {
    type Reply = ();

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<()>, StoreError> {
        for fill in batch {
            let receipt = |n: u64| NewReceipt {
                key: receipt_key("http/prefilled", &n.to_string()),
                fingerprint: [7; 32],
                run: fill.clock.run_id(),
            };
            let rows: Vec<NewReceipt> = fill.keys.clone().map(receipt).collect();
            receipts::insert(tx, &rows, fill.clock.now_ms()).await?;
        }
        Ok(vec![(); batch.len()])
    }
}

/// The kind `noop`: the event of the `http` kind without a guest that parses it. What a route costs by itself.
pub struct Noop {
    manifest: Manifest,
    metadata: Map<String, Value>,
}

impl Noop {
    /// The kind, with the recipes of the `http` kind.
    pub fn new() -> Self {
        let manifest = json!({
            "contract": "0.1", "kind": "noop", "version": env!("CARGO_PKG_VERSION"),
            "secrets": { "bearer_token": { "description": "" }, "hmac_secret": { "description": "" } },
            "verification": [
                { "scheme": "bearer", "id": "bearer", "slot": "bearer_token" },
                { "scheme": "hmac", "id": "hmac", "slot": "hmac_secret", "algorithm": "sha256",
                  "template": "v1:{method}:{target}:{timestamp}:{body}", "signature_header": "x-kheish-signature",
                  "signature_prefix": "v1=", "timestamp_header": "x-kheish-timestamp" },
            ],
        });
        #[expect(clippy::expect_used, reason = "the text above is a manifest; a test loads it")]
        let manifest = serde_json::from_value(manifest).expect("the text above is a manifest");
        Self { manifest, metadata: sample_metadata() }
    }
}

impl Default for Noop {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Plugin for Noop {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn digest(&self) -> &str {
        "native"
    }

    async fn check_settings(&self, _: &Value, _: &[String]) -> Result<Vec<String>, Fault> {
        Ok(Vec::new())
    }

    /// Makes the event that the `http` kind would make of the sample. Only what differs from one to the next is looked up.
    async fn receive(&self, context: Arc<Context>, request: Request) -> Result<Answer, Fault> {
        let text = String::from_utf8_lossy(&request.body);
        let field = |before: &str| {
            let (_, rest) = text.split_once(before)?;
            rest.split_once('"').map(|(value, _)| value.to_owned())
        };
        let event = Event {
            key: field("\"idempotency_key\":\""),
            fingerprint: Some(text.clone().into_owned()),
            occurred_at_ms: None,
            actor: Some("shop".to_owned()),
            source_kind: context.connector.name.clone(),
            intent: None,
            relation: None,
            session: SessionKey::Unspecified,
            binding_keys: field("\"binding_keys\":[\"").into_iter().collect(),
            input: vec![InputPart::Text(SAMPLE_TEXT.to_owned())],
            reply_route: None,
            reply_targets: Vec::new(),
            settle: None,
            metadata: self.metadata.clone(),
        };
        Ok(Answer::Accept { events: vec![event], effects: Vec::new(), response: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noop_manifest_is_one() {
        assert_eq!(Noop::new().manifest().verification.len(), 2);
    }
}
