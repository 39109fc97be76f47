//! The daemon's process: arguments and exit code. Each command starts its own log, once it knows its settings.

use std::process::ExitCode;

use clap::Parser;
use kheish::{
    app::StartError,
    cli::{self, Cli, Command},
    guard,
};

/// SQLite allocates through it too. The C library's own took a fifth of the time of an event.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The exit code when what was asked for cannot be done as it stands; clap uses the same for usage.
const EXIT_CONFIG: u8 = 2;

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(args) => on_runtime(async { ended(cli::serve::run(*args).await) }),
        Command::Demo(args) => on_runtime(async { ended(cli::demo::run(args).await) }),
        Command::Bench(args) => on_runtime(async { ended(cli::bench::run(args).await) }),
        Command::Remote(command) => on_runtime(async { cli::remote::main(*command).await }),
        // There may be hundreds, and each is small.
        Command::Guard(args) => guard::run(&args),
    }
}

fn on_runtime(work: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => {
            eprintln!("kheishd: the runtime did not start: {error}");
            ExitCode::FAILURE
        }
    }
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
