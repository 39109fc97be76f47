//! `kheishd connectors`.

use clap::Subcommand;
use http::Method;
use serde_json::Value;

use super::{Console, Document, kinds};
use crate::cli::{
    apply,
    client::path,
    failure::{EXIT_CODES, Failure},
    output::{FAINT, cell, list, printable, state, state_cell, styled, table, text},
    prompt, time, trial,
};

/// The most that a list shows of why a sidecar is not ready, in characters; `connectors get` shows all of it.
const REASON: usize = 120;

/// What to do with connectors.
#[derive(Debug, Subcommand)]
pub enum ConnectorsCommand {
    /// List them, from the file and from the daemon's store.
    List,
    /// Look at one.
    Get {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// Make one, or change the fields that are given: null resets one, absent ones stay.
    Put {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// The fields; a secret is {"value"}, {"env"}, {"secret_ref"}, or {} to clear it.
        #[command(flatten)]
        document: Document,
        /// Change it only if it still has this revision.
        #[arg(long, value_name = "REVISION")]
        if_match: Option<String>,
        /// Check everything and show what would result, but change nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Delete one.
    Delete {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Start the program of a connector anew, also when it stays down.
    Restart {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// List the kinds that plugins provide, or show one with its settings and secrets.
    Kinds {
        /// The kind.
        kind: Option<String>,
    },
    /// Make the daemon's connectors what a file says, after showing what would change.
    #[command(after_help = EXIT_CODES)]
    Apply(apply::ApplyArgs),
    /// Send a signed event through a connector's public route and follow it to the end.
    #[command(after_help = EXIT_CODES)]
    Test(trial::TrialArgs),
}

pub(super) async fn run(console: &Console, command: ConnectorsCommand) -> Result<(), Failure> {
    match command {
        ConnectorsCommand::List => show_all(console).await,
        ConnectorsCommand::Get { kind, name } => {
            let answer = console.client.get(&place(&kind, &name)?).await?;
            if console.out.is_json() { console.out.document(&answer.body) } else { console.out.fields(&answer.json) }
        }
        ConnectorsCommand::Put { kind, name, document, if_match, dry_run } => {
            put(console, (&kind, &name), &document.read()?, (if_match.as_deref(), dry_run)).await
        }
        ConnectorsCommand::Delete { kind, name, yes } => delete(console, &kind, &name, yes).await,
        ConnectorsCommand::Restart { kind, name } => restart(console, &kind, &name).await,
        ConnectorsCommand::Kinds { kind: None } => kinds::show_all(console).await,
        ConnectorsCommand::Kinds { kind: Some(kind) } => kinds::show(console, &kind).await,
        ConnectorsCommand::Apply(args) => apply::run(console, &args).await,
        ConnectorsCommand::Test(args) => trial::run(console, &args).await,
    }
}

/// Where one connector is.
pub(crate) fn place(kind: &str, name: &str) -> Result<String, Failure> {
    path(&["v1", "runtime", "connectors", kind, name])
}

async fn show_all(console: &Console) -> Result<(), Failure> {
    let answer = console.client.get("/v1/runtime/connectors").await?;
    if console.out.is_json() {
        return console.out.document(&answer.body);
    }
    let mut rows = table(&["CONNECTOR", "SOURCE", "REVISION", "STATE", "HEALTH", "LAST ERROR"]);
    for view in list(&answer.json, "") {
        rows.add_row([
            cell(&format!("{}/{}", text(view, "/kind"), text(view, "/name"))),
            cell(text(view, "/source")),
            cell(&view["revision"].to_string()),
            state_cell(standing(view)),
            state_cell(text(view, "/status/health/state")),
            cell(&trouble(view)),
        ]);
    }
    console.out.table(rows, "there are no connectors")
}

/// A connector's state in a word. One that serves and whose deliveries wait is paused.
pub(crate) fn standing(view: &Value) -> &str {
    match text(view, "/status/state") {
        "running" if view["status"]["paused"].is_object() => "paused",
        state => state,
    }
}

/// What is wrong with a connector: with its definition, with what its platform says, or with its sidecar.
fn trouble(view: &Value) -> String {
    let paused = view["status"].get("paused").map(paused).unwrap_or_default();
    let told = [errors(view), paused, ailing(view)];
    told.into_iter().filter(|told| !told.is_empty()).collect::<Vec<_>>().join("; ")
}

/// Why the sidecar of a connector is not ready, shortened.
fn ailing(view: &Value) -> String {
    let reason = text(view, "/status/health/reason");
    match reason.char_indices().nth(REASON) {
        Some((end, _)) => format!("{}…", &reason[..end]),
        None => reason.to_owned(),
    }
}

/// What stands against a connector's definition.
pub(crate) fn errors(view: &Value) -> String {
    let errors = list(view, "/status/last_error/errors").iter();
    errors.map(|error| text(error, "/detail")).collect::<Vec<_>>().join("; ")
}

/// `code: reason (next try 2026-…)` of a pause.
pub(crate) fn paused(pause: &Value) -> String {
    let next = pause["next_probe_ms"].as_i64().map(time::stamp).unwrap_or_default();
    format!("{}: {} (next try {next})", text(pause, "/code"), text(pause, "/reason"))
}

async fn put(
    console: &Console,
    (kind, name): (&str, &str),
    body: &Value,
    (revision, dry_run): (Option<&str>, bool),
) -> Result<(), Failure> {
    let place = place(kind, name)?;
    let target = if dry_run { format!("{place}?dry_run=true") } else { place };
    let tag = revision.map(|revision| format!("\"{}\"", revision.trim_matches('"')));
    let answer = console.client.send_with(Method::PUT, &target, Some(body), ("if-match", tag.as_deref())).await?;
    if console.out.is_json() {
        return console.out.document(&answer.body);
    }
    let view = &answer.json;
    let id = printable(&format!("{kind}/{name}"));
    if dry_run {
        let made = view["created"].as_bool().unwrap_or_default();
        let verdict = match view["changed"].as_bool() {
            Some(false) if !made => "would stay as it is",
            _ if made => "would be created",
            _ => "would be changed",
        };
        console.out.line(format_args!("{id} {verdict}"))?;
        return console.out.fields(view);
    }
    let done = if answer.status == http::StatusCode::CREATED { "created" } else { "changed" };
    let now = state(text(view, "/status/state"));
    console.out.line(format_args!("{id} {done}: revision {}, {now}", view["revision"]))
}

async fn restart(console: &Console, kind: &str, name: &str) -> Result<(), Failure> {
    let answer = console.client.send(Method::POST, &format!("{}/restart", place(kind, name)?), None).await?;
    if console.out.is_json() {
        return console.out.document(&answer.body);
    }
    let id = printable(&format!("{kind}/{name}"));
    console.out.line(format_args!("{id} is started anew: connectors get shows how far it is"))
}

async fn delete(console: &Console, kind: &str, name: &str, yes: bool) -> Result<(), Failure> {
    let place = place(kind, name)?;
    prompt::confirm(&format!("Delete connector {}?", printable(&format!("{kind}/{name}"))), yes)?;
    let answer = console.client.send(Method::DELETE, &place, None).await?;
    if console.out.is_json() {
        return console.out.document(&answer.body);
    }
    console.out.line(format_args!("{} deleted", printable(&format!("{kind}/{name}"))))?;
    for session in list(&answer.json, "/sessions") {
        let count = list(session, "/removed").len();
        let line = format!("  session {}: {count} reply targets removed", printable(text(session, "/session_id")));
        console.out.line(styled(FAINT, line))?;
    }
    Ok(())
}
