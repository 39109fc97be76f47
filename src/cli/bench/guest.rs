//! Guest calls without HTTP: instantiate, call, drop.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use anyhow::Context as _;
use async_trait::async_trait;
use bytes::Bytes;
use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{SAMPLE_TEXT, sample_metadata};
use crate::{
    connectors::{
        Answer, Context, KeyValue, Plugin, Request,
        files::{ByteStream, Files, NotTaken, OpenFile},
        outbound::Outbound,
        wasm::{EngineSettings, WasmEngine},
    },
    egress::{Egress, EgressSettings},
    metrics::Metrics,
    model::ids::ConnectorId,
    secrets::{Secret, SecretSet},
};

/// What to time.
#[derive(Debug, Args)]
pub(super) struct GuestArgs {
    /// The component.
    #[arg(long)]
    plugin: PathBuf,
    /// Calls to time.
    #[arg(long, default_value_t = 20_000)]
    calls: u32,
    /// What it is sent, as JSON: `body`, `settings`, `secrets`, `authenticated_by` [default: an event for the `http` kind].
    #[arg(long, value_name = "FILE")]
    sample: Option<PathBuf>,
    /// What a pool slot keeps resident, in bytes [default: that of the settings].
    #[arg(long)]
    keep_resident_bytes: Option<usize>,
}

/// What a guest is sent, already authenticated.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    body: Value,
    #[serde(default = "no_settings")]
    settings: Value,
    #[serde(default)]
    secrets: BTreeMap<String, String>,
    authenticated_by: String,
}

fn no_settings() -> Value {
    json!({})
}

impl Sample {
    fn read(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self::of_http()) };
        let text = std::fs::read_to_string(path).with_context(|| format!("reading `{}`", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("`{}` is no sample", path.display()))
    }

    /// An event of about 1 KiB, as an authenticated caller sends it.
    fn of_http() -> Self {
        let body = json!({
            "idempotency_key": "order-000123", "binding_keys": ["customer:42"], "actor_id": "shop",
            "content": SAMPLE_TEXT, "metadata": sample_metadata(),
        });
        Self { body, settings: no_settings(), secrets: BTreeMap::new(), authenticated_by: "hmac".to_owned() }
    }

    fn request(&self, kind: &str) -> Request {
        Request {
            method: "POST".to_owned(),
            target: format!("/v1/connectors/{kind}/bench"),
            subpath: String::new(),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: Bytes::from(self.body.to_string()),
            received_at_ms: 0,
            authenticated_by: Some(self.authenticated_by.clone()),
        }
    }

    fn context(self, plugin: &dyn Plugin) -> anyhow::Result<Context> {
        let manifest = plugin.manifest();
        let secrets: SecretSet = self.secrets.into_iter().map(|(slot, text)| (slot, Secret::new(text))).collect();
        Ok(Context {
            connector: ConnectorId { kind: manifest.kind.clone(), name: "bench".to_owned() },
            settings: self.settings.to_string(),
            secrets,
            key_value: Arc::new(Nothing),
            permits: Arc::new(Semaphore::new(16)),
            delivery_permits: Arc::new(Semaphore::new(16)),
            unknown: manifest.delivery.unknown,
            files: Arc::new(Nothing),
            outbound: Outbound::default(),
            request_permits: Arc::new(Semaphore::new(1)),
            counts: Metrics::new()?.for_kind(&manifest.kind),
        })
    }
}

/// Times calls, and prints JSON.
pub(super) async fn time(args: &GuestArgs) -> anyhow::Result<()> {
    let mut settings = EngineSettings::default();
    settings.keep_resident_bytes = args.keep_resident_bytes.unwrap_or(settings.keep_resident_bytes);
    let bytes = std::fs::read(&args.plugin).with_context(|| format!("reading `{}`", args.plugin.display()))?;
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
    let sample = Sample::read(args.sample.as_deref())?;
    let request = sample.request(&plugin.manifest().kind);
    let context = Arc::new(sample.context(&*plugin)?);
    let mut micros = Vec::with_capacity(args.calls as usize);
    for _ in 0..args.calls {
        let started = Instant::now();
        match plugin.receive(Arc::clone(&context), request.clone()).await {
            Ok(Answer::Accept { events, .. }) if !events.is_empty() => {}
            other => anyhow::bail!("the guest did not accept the sample: {other:?}"),
        }
        micros.push(started.elapsed().as_secs_f64() * 1e6);
    }
    micros.sort_by(f64::total_cmp);
    let at = |share: f64| micros[((micros.len() - 1) as f64 * share) as usize];
    let report = json!({
        "calls": args.calls, "event_bytes": request.body.len(),
        "p50_us": at(0.5), "p99_us": at(0.99), "mean_us": micros.iter().sum::<f64>() / micros.len() as f64,
        "compile_cold_ms": compile_cold_ms, "load_cached_ms": load_cached_ms,
    });
    println!("{report}");
    Ok(())
}

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
