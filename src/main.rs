//! The daemon's process: arguments and exit code. Each command starts its own log, once it knows its settings.

use std::process::ExitCode;

use clap::Parser;
use kheish::{
    app::StartError,
    cli::{self, Cli, Command},
};

/// The exit code when what was asked for cannot be done as it stands; clap uses the same for usage.
const EXIT_CONFIG: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("kheishd: the runtime did not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(async {
        match cli.command {
            Command::Serve(args) => ended(cli::serve::run(*args).await),
            Command::Demo(args) => ended(cli::demo::run(args).await),
            Command::Bench(args) => ended(cli::bench::run(args).await),
            Command::Remote(command) => cli::remote::main(*command).await,
        }
    })
}

fn ended(done: Result<(), StartError>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kheishd: {error}");
            if matches!(error, StartError::Config(_)) { ExitCode::from(EXIT_CONFIG) } else { ExitCode::FAILURE }
        }
    }
}
