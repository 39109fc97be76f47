//! The daemon's process: arguments, log, exit code.

use std::process::ExitCode;

use clap::Parser;
use kheish::{
    app::StartError,
    cli::{self, Cli, Command},
    telemetry,
};

/// The exit code when what was asked for cannot be done as it stands; clap uses the same for usage.
const EXIT_CONFIG: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    telemetry::start(matches!(cli.command, Command::Demo(_)));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("kheishd: the runtime did not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(async {
        match cli.command {
            Command::Serve(args) => cli::serve::run(*args).await,
            Command::Demo(args) => cli::demo::run(args).await,
            Command::Bench(args) => cli::bench::run(args).await,
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kheishd: {error}");
            if matches!(error, StartError::Config(_)) { ExitCode::from(EXIT_CONFIG) } else { ExitCode::FAILURE }
        }
    }
}
