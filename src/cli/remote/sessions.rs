//! `kheishd sessions`.

use std::time::Duration;

use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::{Console, lists::Paging, read_stdin, runs, targets};
use crate::cli::{
    client::path,
    failure::Failure,
    output::{cell, plain, printable, state, state_cell, table, text, time_cell},
    time::parse_span,
};

/// What to do with sessions.
#[derive(Debug, Subcommand)]
pub enum SessionsCommand {
    /// List them in the order of their ids.
    List {
        /// Which part of the list.
        #[command(flatten)]
        paging: Paging,
    },
    /// Look at one.
    Get {
        /// The session.
        session: String,
    },
    /// Make one; an existing one is reused.
    Create {
        /// Its id; a new one is made up otherwise.
        session: Option<String>,
    },
    /// Where its outputs go when nothing else says.
    #[command(subcommand)]
    ReplyTargets(targets::TargetsCommand),
    /// Submit a run.
    Submit(SubmitArgs),
}

/// What to submit.
#[derive(Debug, clap::Args)]
pub struct SubmitArgs {
    /// The session.
    pub session: String,
    /// The text.
    #[arg(required_unless_present = "stdin", conflicts_with = "stdin")]
    pub text: Option<String>,
    /// The text comes from standard input, as it is.
    #[arg(long)]
    pub stdin: bool,
    /// The same key makes no second run.
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Wait for the run's end and show it; exit code 1 when it does not complete.
    #[arg(long)]
    pub wait: bool,
    /// How long to wait.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_span, requires = "wait")]
    pub timeout: Duration,
}

pub(super) async fn run(console: &Console, command: SessionsCommand) -> Result<(), Failure> {
    match command {
        SessionsCommand::List { paging } => {
            paging.print(console, "/v1/sessions", &[], |items| show_all(console, items)).await
        }
        SessionsCommand::Get { session } => {
            let answer = console.client.get(&path(&["v1", "sessions", &session])?).await?;
            if console.out.is_json() { console.out.document(&answer.body) } else { console.out.fields(&answer.json) }
        }
        SessionsCommand::Create { session } => create(console, session).await,
        SessionsCommand::ReplyTargets(command) => targets::run(console, command).await,
        SessionsCommand::Submit(args) => submit(console, &args).await,
    }
}

fn show_all(console: &Console, items: &[Value]) -> Result<(), Failure> {
    let mut rows = table(&["SESSION", "STATE", "QUEUED", "RUNS", "UPDATED"]);
    for session in items {
        rows.add_row([
            cell(text(session, "/session_id")),
            state_cell(text(session, "/state")),
            cell(&plain("", &session["queued_runs"])),
            cell(&plain("", &session["last_seq"])),
            time_cell(&session["updated_at_ms"]),
        ]);
    }
    console.out.table(rows, "there are no sessions")
}

async fn create(console: &Console, session: Option<String>) -> Result<(), Failure> {
    let body = match session {
        Some(id) => json!({ "session_id": id }),
        None => json!({}),
    };
    let answer = console.client.send(Method::POST, "/v1/sessions", Some(&body)).await?;
    if console.out.is_json() {
        return console.out.document(&answer.body);
    }
    console.out.line(printable(text(&answer.json, "/session_id")))
}

async fn submit(console: &Console, args: &SubmitArgs) -> Result<(), Failure> {
    let content = match &args.text {
        Some(text) => text.clone(),
        None => read_stdin()?,
    };
    let place = path(&["v1", "sessions", &args.session, "runs"])?;
    let body = json!({ "content": content });
    let key = ("idempotency-key", args.idempotency_key.as_deref());
    let answer = console.client.send_with(Method::POST, &place, Some(&body), key).await?;
    let run = text(&answer.json, "/run_id").to_owned();
    if args.wait {
        return runs::wait(console, &run, args.timeout).await;
    }
    if console.out.is_json() {
        return console.out.document(&answer.body);
    }
    console.out.line(format_args!("{} {}", printable(&run), state(text(&answer.json, "/status"))))
}
