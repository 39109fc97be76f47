//! Parts of the benchmark that need the daemon's own code: guest calls without HTTP, a kind without a guest, and a store
//! that is already full.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use anyhow::Context as _;
use async_trait::async_trait;
use bytes::Bytes;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use crate::{
    app::StartError,
    clock::Clock,
    connectors::{
        Answer, Context, Fault, KeyValue, Plugin, Request,
        files::{ByteStream, Files, NotTaken, OpenFile},
        manifest::Manifest,
        outbound::Outbound,
        wasm::{EngineSettings, WasmEngine},
    },
    egress::{Egress, EgressSettings},
    ingress::prepare::receipt_key,
    metrics::Metrics,
    model::{
        event::{Event, InputPart, SessionKey},
        ids::ConnectorId,
    },
    store::{
        Store, StoreError, StoreSettings,
        receipts::{self, NewReceipt},
        writer::{Command, Tx},
    },
};

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
    Guest {
        /// The component.
        #[arg(long)]
        plugin: PathBuf,
        /// Calls to time.
        #[arg(long, default_value_t = 20_000)]
        calls: u32,
        /// What a pool slot keeps resident, in bytes [default: that of the settings].
        #[arg(long)]
        keep_resident_bytes: Option<usize>,
    },
    /// Write receipts or deliveries into a store that no daemon uses.
    Prefill {
        /// The state folder.
        #[arg(long)]
        state_root: PathBuf,
        /// Receipts of events.
        #[arg(long, default_value_t = 0)]
        receipts: u64,
        #[command(flatten)]
        waiting: waiting::WaitingArgs,
    },
}

/// Does it.
pub async fn run(args: BenchArgs) -> Result<(), StartError> {
    match args.what {
        What::Guest { plugin, calls, keep_resident_bytes } => {
            let mut settings = EngineSettings::default();
            settings.keep_resident_bytes = keep_resident_bytes.unwrap_or(settings.keep_resident_bytes);
            Ok(time_guest(&plugin, calls, &settings).await?)
        }
        What::Prefill { state_root, receipts, waiting } => Ok(prefill(&state_root, receipts, &waiting).await?),
    }
}

async fn time_guest(path: &Path, calls: u32, settings: &EngineSettings) -> anyhow::Result<()> {
    let bytes = std::fs::read(path).with_context(|| format!("reading `{}`", path.display()))?;
    let cache = tempfile::tempdir()?;
    let egress = Arc::new(Egress::new(EgressSettings::default())?);
    let load = async || -> anyhow::Result<(f64, Arc<dyn Plugin>)> {
        // An engine of its own each time, so that the second one finds compiled code on disk and nowhere else.
        let engine = WasmEngine::new(settings.clone(), cache.path().join("compiled"), Arc::clone(&egress))?;
        let started = Instant::now();
        let plugin: Arc<dyn Plugin> = engine.load(bytes.clone()).await?;
        Ok((started.elapsed().as_secs_f64() * 1e3, plugin))
    };
    let (compile_cold_ms, cold) = load().await?;
    drop(cold);
    let (load_cached_ms, plugin) = load().await?;
    let context = Arc::new(Context {
        connector: ConnectorId { kind: plugin.manifest().kind.clone(), name: "bench".to_owned() },
        settings: "{}".to_owned(),
        secrets: std::collections::BTreeMap::new(),
        key_value: Arc::new(Nothing),
        permits: Arc::new(Semaphore::new(16)),
        delivery_permits: Arc::new(Semaphore::new(16)),
        unknown: plugin.manifest().delivery.unknown,
        files: Arc::new(Nothing),
        outbound: Outbound::default(),
        request_permits: Arc::new(Semaphore::new(1)),
        counts: Metrics::new()?.for_kind(&plugin.manifest().kind),
    });
    let request = sample_request();
    let mut micros = Vec::with_capacity(calls as usize);
    for _ in 0..calls {
        let started = Instant::now();
        match plugin.receive(Arc::clone(&context), request.clone()).await {
            Ok(Answer::Accept { .. }) => {}
            other => anyhow::bail!("the guest did not accept the sample: {other:?}"),
        }
        micros.push(started.elapsed().as_secs_f64() * 1e6);
    }
    micros.sort_by(f64::total_cmp);
    let at = |share: f64| micros[((micros.len() - 1) as f64 * share) as usize];
    let report = json!({
        "calls": calls, "event_bytes": request.body.len(),
        "p50_us": at(0.5), "p99_us": at(0.99), "mean_us": micros.iter().sum::<f64>() / micros.len() as f64,
        "compile_cold_ms": compile_cold_ms, "load_cached_ms": load_cached_ms,
    });
    println!("{report}");
    Ok(())
}

/// What the sample says beside its text.
fn sample_metadata() -> Map<String, Value> {
    let item = |n: u32| json!({ "sku": format!("item-{n:04}"), "quantity": n, "price_cents": n * 199 });
    let items: Vec<Value> = (0..16).map(item).collect();
    Map::from_iter([("items".to_owned(), items.into()), ("currency".to_owned(), "EUR".into())])
}

/// An event of about 1 KiB, as an authenticated caller sends it.
fn sample_request() -> Request {
    let body = json!({
        "idempotency_key": "order-000123", "binding_keys": ["customer:42"], "actor_id": "shop",
        "content": SAMPLE_TEXT, "metadata": sample_metadata(),
    });
    Request {
        method: "POST".to_owned(),
        target: "/v1/connectors/http/bench".to_owned(),
        subpath: String::new(),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: Bytes::from(body.to_string()),
        received_at_ms: 0,
        authenticated_by: Some("hmac".to_owned()),
    }
}

/// The sample's text.
const SAMPLE_TEXT: &str = "Order 123 has arrived with sixteen items.";

struct Nothing;

#[async_trait]
impl KeyValue for Nothing {
    async fn get(&self, _: &ConnectorId, _: &str) -> anyhow::Result<Option<Vec<u8>>> {
        Ok(None)
    }
}

#[async_trait]
impl Files for Nothing {
    async fn open(&self, _: &str) -> anyhow::Result<Option<OpenFile>> {
        Ok(None)
    }

    async fn take_in(&self, _: String, _: String, _: ByteStream) -> Result<String, NotTaken> {
        Err(NotTaken::Host(anyhow::anyhow!("a benchmark keeps no files")))
    }
}

async fn prefill(state_root: &Path, receipts: u64, waiting: &waiting::WaitingArgs) -> anyhow::Result<()> {
    let folder = crate::state_folder::StateFolder::open(state_root)?;
    let store = Store::open_sqlite(folder.path(), &StoreSettings::default(), Metrics::new()?).await?;
    let clock = Clock::system();
    let mut written = 0;
    while written < receipts {
        let upto = (written + 4096).min(receipts);
        store.write(Fill { keys: written..upto, clock: clock.clone() }).await?;
        written = upto;
    }
    waiting::fill(&store, &clock, waiting).await?;
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
