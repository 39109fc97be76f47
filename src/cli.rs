//! The command tree: types only.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::executor::ExecutorKind;

pub mod bench;
pub mod demo;
pub mod serve;

/// A connector host: messages in, durable runs, answers out.
#[derive(Debug, Parser)]
#[command(name = "kheishd", version, about, max_term_width = 100)]
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
    /// Who performs runs [default: claim].
    #[arg(long, env = "KHEISH_EXECUTOR", value_enum)]
    pub executor: Option<ExecutorKind>,
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
