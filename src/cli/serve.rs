//! `kheishd serve`.

use std::sync::Arc;

use anyhow::Context as _;

use super::{ServeArgs, bench::Noop};
use crate::{
    app::{App, StartError},
    config::{Settings, located},
    connectors::Plugin,
    lifecycle::StopSignals,
};

/// Runs the daemon until a signal or a failure of its store.
pub async fn run(args: ServeArgs) -> Result<(), StartError> {
    let native: Vec<Arc<dyn Plugin>> = if args.native_noop { vec![Arc::new(Noop::new())] } else { Vec::new() };
    // Before anybody can know that the daemon is there and tell it to stop.
    let mut signals = StopSignals::listen().context("listening for signals")?;
    let app = App::start(settings(args)?, native).await?;
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
    settings.executor = args.executor.unwrap_or(settings.executor);
    Ok(settings)
}
