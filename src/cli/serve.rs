//! `kheishd serve`.

use std::sync::Arc;

use anyhow::Context as _;

use super::{ServeArgs, bench::Noop};
use crate::{
    app::{App, StartError},
    config::{Settings, located},
    connectors::Plugin,
    lifecycle::{self, StopSignals},
    telemetry,
};

/// Runs the daemon until a signal or a failure of its store.
pub async fn run(args: ServeArgs) -> Result<(), StartError> {
    // Secrets are in its environment from the start, and programs that it starts run as its user.
    lifecycle::conceal().context("taking the process's memory and environment out of others' sight")?;
    let native: Vec<Arc<dyn Plugin>> = if args.native_noop { vec![Arc::new(Noop::new())] } else { Vec::new() };
    // Before anybody can know that the daemon is there and tell it to stop.
    let mut signals = StopSignals::listen().context("listening for signals")?;
    let settings = settings(args)?;
    // What is wrong with settings is said on standard error: they say how the log is written.
    let telemetry =
        telemetry::start(&settings.telemetry, false).map_err(|problem| StartError::Config(vec![problem]))?;
    let ended = serve(settings, native, &mut signals).await;
    telemetry.stop().await;
    ended
}

async fn serve(settings: Settings, native: Vec<Arc<dyn Plugin>>, signals: &mut StopSignals) -> Result<(), StartError> {
    let app = App::start(settings, native).await?;
    // Programs that start the daemon read this line to learn the port.
    println!("kheishd listening on http://{}", app.address());
    tokio::select! {
        () = signals.received() => {}
        () = app.store_failed() => {
            app.stop().await;
            return Err(StartError::Failed(anyhow::anyhow!("the store failed; start again when the disk is well")));
        }
    }
    app.stop().await;
    Ok(())
}

/// Flags and variables over the file over the defaults.
fn settings(args: ServeArgs) -> Result<Settings, StartError> {
    let mut settings = match &args.config {
        Some(path) => {
            located::load::<Settings>(path).map_err(|problem| StartError::Config(vec![problem.to_string()]))?
        }
        None => Settings::default(),
    };
    settings.listen = args.listen.unwrap_or(settings.listen);
    settings.state_root = args.state_root.unwrap_or(settings.state_root);
    settings.plugins = args.plugins.or(settings.plugins);
    settings.connectors_config = args.connectors_config.or(settings.connectors_config);
    settings.database_url = args.database_url.or(settings.database_url);
    settings.store.event_history_capacity =
        args.event_history_capacity.unwrap_or(settings.store.event_history_capacity);
    settings.executor = args.executor.unwrap_or(settings.executor);
    settings.auth.mode = args.http_auth_mode.unwrap_or(settings.auth.mode);
    settings.auth.cors_allow_origins = args.http_cors_allow_origin.unwrap_or(settings.auth.cors_allow_origins);
    settings.telemetry.log_format = args.log_format.unwrap_or(settings.telemetry.log_format);
    settings.telemetry.otlp_endpoint = args.otlp_endpoint.or(settings.telemetry.otlp_endpoint);
    Ok(settings)
}
