//! Commands that talk to a daemon over its HTTP API: what they have in common, and who does which.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, CommandFactory, Subcommand};
use clap_complete::Shell;
use serde_json::Value;

use super::{
    Cli,
    client::{self, Client},
    doctor,
    failure::{EXIT_CODES, Failure},
    output::{Colors, Format, Out},
};
use crate::secrets::Secret;

pub mod connectors;
pub mod deliveries;
pub mod events;
pub mod kinds;
pub mod lists;
pub mod runs;
pub mod runtime;
pub mod secrets;
pub mod sessions;
pub mod status;
pub mod targets;

/// The variable with the token, and the one with the name of a file that holds it.
const TOKEN_VARIABLES: [&str; 2] = ["KHEISH_DAEMON_TOKEN", "KHEISH_DAEMON_TOKEN_FILE"];

/// The longest document that is read from a file or from standard input, in bytes.
const DOCUMENT_BYTES: u64 = 24 * 1024 * 1024;

/// What to ask a daemon for.
#[derive(Debug, Subcommand)]
pub enum RemoteCommand {
    /// Connectors: look, change, apply a file, send a test event.
    #[command(after_help = EXIT_CODES)]
    Connectors(Remote<connectors::ConnectorsCommand>),
    /// Secrets that the daemon keeps sealed.
    #[command(after_help = EXIT_CODES)]
    Secrets(Remote<secrets::SecretsCommand>),
    /// Sessions, their reply targets, and submissions to them.
    #[command(after_help = EXIT_CODES)]
    Sessions(Remote<sessions::SessionsCommand>),
    /// Runs: list, look, cancel, wait for the end.
    #[command(after_help = EXIT_CODES)]
    Runs(Remote<runs::RunsCommand>),
    /// Deliveries and dead letters: look, replay, decide, withdraw.
    #[command(after_help = EXIT_CODES)]
    Deliveries(Remote<deliveries::DeliveriesCommand>),
    /// Credentials that programs behind connectors fetch.
    #[command(after_help = EXIT_CODES)]
    Runtime(Remote<runtime::RuntimeCommand>),
    /// Plugin files and what is wrong with them.
    #[command(after_help = EXIT_CODES)]
    Plugins(Remote<status::PluginsCommand>),
    /// What happens, as it happens.
    #[command(after_help = EXIT_CODES)]
    Events(Remote<events::EventsCommand>),
    /// The daemon at a glance.
    #[command(after_help = EXIT_CODES)]
    Status(Common),
    /// Check this machine, the state folder and the daemon, and say what to mend.
    #[command(after_help = EXIT_CODES)]
    Doctor(Box<doctor::DoctorArgs>),
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// A group of commands with what they have in common.
#[derive(Debug, Args)]
pub struct Remote<C: Subcommand> {
    /// Where the daemon is and how to print.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: C,
}

/// Where the daemon is and how to print.
#[derive(Debug, Args)]
pub struct Common {
    /// The daemon's address.
    #[arg(
        long,
        global = true,
        env = "KHEISH_DAEMON_URL",
        default_value = "http://127.0.0.1:4000",
        value_name = "URL",
        help_heading = "Daemon"
    )]
    pub base_url: String,
    /// The token; `ps` shows it, so a file or the variable KHEISH_DAEMON_TOKEN is better.
    #[arg(long, global = true, value_name = "TOKEN", value_parser = parse_token, conflicts_with = "token_file", help_heading = "Daemon")]
    pub token: Option<Secret>,
    /// File with the token [env: KHEISH_DAEMON_TOKEN_FILE].
    #[arg(long, global = true, value_name = "FILE", help_heading = "Daemon")]
    pub token_file: Option<PathBuf>,
    /// Tables for people, or the API's documents for programs.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT", help_heading = "Output")]
    pub output: Format,
    /// When to use colours; NO_COLOR is honoured.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN", help_heading = "Output")]
    pub color: Colors,
}

fn parse_token(text: &str) -> Result<Secret, String> {
    match text.trim() {
        "" => Err("the token is blank".to_owned()),
        token => Ok(Secret::new(token)),
    }
}

/// A document on the command line, in a file, or on standard input.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Document {
    /// The document itself.
    #[arg(long, value_name = "TEXT")]
    pub json: Option<String>,
    /// File with the document; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

impl Document {
    pub(crate) fn read(&self) -> Result<Value, Failure> {
        match (&self.json, &self.file) {
            (Some(text), _) => parse("--json", text),
            (None, Some(path)) => read_json(path),
            (None, None) => Err(Failure::Usage("give --json or --file".to_owned())),
        }
    }
}

/// A JSON document of a file; `-` is standard input.
pub(crate) fn read_json(path: &Path) -> Result<Value, Failure> {
    let (text, name) = read_text(path)?;
    parse(&name, &text)
}

/// The text of a file, and its name for messages; `-` is standard input.
pub(crate) fn read_text(path: &Path) -> Result<(String, String), Failure> {
    if path == Path::new("-") {
        return Ok((read_stdin()?, "standard input".to_owned()));
    }
    let name = format!("`{}`", path.display());
    let text =
        std::fs::read_to_string(path).map_err(|error| Failure::Usage(format!("{name} cannot be read: {error}")))?;
    Ok((text, name))
}

/// All of standard input, as text.
pub(crate) fn read_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    let read = io::stdin().lock().take(DOCUMENT_BYTES + 1).read_to_string(&mut text);
    read.map_err(|error| Failure::Usage(format!("standard input cannot be read: {error}")))?;
    if u64::try_from(text.len()).is_ok_and(|length| length > DOCUMENT_BYTES) {
        return Err(Failure::Usage(format!("standard input has more than {DOCUMENT_BYTES} bytes")));
    }
    Ok(text)
}

fn parse(name: &str, text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::Usage(format!("{name} is not JSON: {error}")))
}

/// What every command works with.
pub(crate) struct Console {
    pub(crate) client: Client,
    pub(crate) out: Out,
}

impl Console {
    pub(crate) fn open(common: &Common) -> Result<Self, Failure> {
        let client = Client::new(&common.base_url, common.find_token()?.as_ref())?;
        Ok(Self { client, out: Out::new(common.output, common.color) })
    }
}

impl Common {
    /// A flag counts before a variable.
    fn find_token(&self) -> Result<Option<Secret>, Failure> {
        if let Some(token) = &self.token {
            return Ok(Some(token.clone()));
        }
        if let Some(path) = &self.token_file {
            return client::read_token(path).map(Some);
        }
        let [text, file] = TOKEN_VARIABLES.map(std::env::var_os);
        match (text, file) {
            (Some(_), Some(_)) => {
                Err(Failure::Usage(format!("{} are both set: unset one", TOKEN_VARIABLES.join(" and "))))
            }
            (Some(text), None) => {
                let text = text.into_string().unwrap_or_default();
                parse_token(&text)
                    .map(Some)
                    .map_err(|_| Failure::Usage(format!("{} is blank or no text", TOKEN_VARIABLES[0])))
            }
            (None, Some(file)) => client::read_token(Path::new(&file)).map(Some),
            (None, None) => Ok(None),
        }
    }
}

/// Does what was asked for and gives its exit code.
pub async fn main(command: RemoteCommand) -> ExitCode {
    match run(command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.end(),
    }
}

async fn run(command: RemoteCommand) -> Result<(), Failure> {
    match command {
        RemoteCommand::Connectors(group) => connectors::run(&Console::open(&group.common)?, group.command).await,
        RemoteCommand::Secrets(group) => secrets::run(&group.common, group.command).await,
        RemoteCommand::Sessions(group) => sessions::run(&Console::open(&group.common)?, group.command).await,
        RemoteCommand::Runs(group) => runs::run(&Console::open(&group.common)?, group.command).await,
        RemoteCommand::Deliveries(group) => deliveries::run(&Console::open(&group.common)?, group.command).await,
        RemoteCommand::Runtime(group) => runtime::run(&Console::open(&group.common)?, group.command).await,
        RemoteCommand::Plugins(group) => status::plugins(&Console::open(&group.common)?, &group.command).await,
        RemoteCommand::Events(group) => events::run(&Console::open(&group.common)?, group.command).await,
        RemoteCommand::Status(common) => status::run(&Console::open(&common)?).await,
        RemoteCommand::Doctor(args) => doctor::run(&args).await,
        RemoteCommand::Completions { shell } => completions(shell),
    }
}

fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "kheishd", &mut script);
    Ok(io::Write::write_all(&mut io::stdout(), &script)?)
}
