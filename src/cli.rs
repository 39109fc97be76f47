//! The command tree: types only.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::{config::auth::AuthMode, guard::GuardArgs, telemetry::LogFormat};

pub mod apply;
pub mod bench;
mod client;
pub mod demo;
mod diff;
pub mod doctor;
mod failure;
pub mod output;
mod progress;
mod prompt;
pub mod remote;
pub mod serve;
mod sse;
mod time;
pub mod trial;

/// A connector host: messages in, durable runs, answers out.
#[derive(Debug, Parser)]
#[command(name = "kheishd", version, about, max_term_width = 100, after_help = failure::EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon until it is told to stop.
    Serve(Box<ServeArgs>),
    /// Show the whole path of an event on a daemon of its own, and check each step.
    Demo(DemoArgs),
    /// Measure guest calls, or fill a store; for the benchmark.
    #[command(hide = true)]
    Bench(bench::BenchArgs),
    /// Stand between the daemon and a sidecar that it starts.
    #[command(hide = true)]
    Guard(GuardArgs),
    /// What is asked of a daemon over HTTP.
    #[command(flatten)]
    Remote(Box<remote::RemoteCommand>),
}

/// How the daemon runs. Each option is also a key of the settings file.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// File with settings, in TOML.
    #[arg(long, env = "KHEISH_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:4000].
    #[arg(long, env = "KHEISH_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Folder with the daemon's state [default: kheish-state].
    #[arg(long, env = "KHEISH_STATE_ROOT", value_name = "DIR")]
    pub state_root: Option<PathBuf>,
    /// Folder with plugins [default: plugins in the state folder].
    #[arg(long, env = "KHEISH_PLUGINS", value_name = "DIR")]
    pub plugins: Option<PathBuf>,
    /// File with connectors, in TOML.
    #[arg(long, env = "KHEISH_CONNECTORS_CONFIG", value_name = "FILE")]
    pub connectors_config: Option<PathBuf>,
    /// Database [default: a SQLite file in the state folder].
    #[arg(long, env = "KHEISH_DATABASE_URL", value_name = "URL")]
    pub database_url: Option<String>,
    /// Events that are kept for streams that resume [default: 65536].
    #[arg(long, env = "KHEISH_EVENT_HISTORY_CAPACITY", value_name = "COUNT")]
    pub event_history_capacity: Option<usize>,
    /// Who performs runs of sessions that name no executor: claim, echo, or the name of a section [default: claim].
    #[arg(long, env = "KHEISH_EXECUTOR", value_name = "NAME")]
    pub executor: Option<String>,
    /// When the control plane demands a token [default: auto].
    #[arg(long, env = "KHEISH_HTTP_AUTH_MODE", value_enum)]
    pub http_auth_mode: Option<AuthMode>,
    /// Origin whose pages may call the daemon; may be repeated [default: every loopback origin].
    #[arg(long, env = "KHEISH_HTTP_CORS_ALLOW_ORIGINS", value_name = "ORIGIN", value_delimiter = ',')]
    pub http_cors_allow_origin: Option<Vec<String>>,
    /// How lines of the log are written [default: text].
    #[arg(long, env = "KHEISH_LOG_FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
    /// Collector that traces are sent to (OTLP over HTTP) [default: none].
    #[arg(long, env = "KHEISH_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// Also provide the kind `noop`, native code that parses nothing; for the benchmark.
    #[arg(long, hide = true)]
    pub native_noop: bool,
}

/// How the demonstration runs.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Folder with the bundled plugins.
    #[arg(long, env = "KHEISH_PLUGINS", value_name = "DIR")]
    pub plugins: PathBuf,
}
