//! `kheishd sessions reply-targets`: where outputs of a session go when nothing else says.

use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::{Console, Document};
use crate::cli::{
    client::{Answer, path},
    failure::Failure,
    output::{cell, list, note, printable, table, text},
};

/// What to do with a session's reply targets.
#[derive(Debug, Subcommand)]
pub enum TargetsCommand {
    /// Show them.
    Get {
        /// The session.
        session: String,
    },
    /// Replace them.
    Set {
        /// The session.
        session: String,
        /// The list, [{"plugin", "address"}], or an object with it as `reply_targets`.
        #[command(flatten)]
        document: Document,
    },
    /// Remove all of them.
    Clear {
        /// The session.
        session: String,
    },
}

pub(super) async fn run(console: &Console, command: TargetsCommand) -> Result<(), Failure> {
    let answer = match command {
        TargetsCommand::Get { session } => console.client.get(&place(&session)?).await?,
        TargetsCommand::Set { session, document } => {
            let body = match document.read()? {
                Value::Array(targets) => json!({ "reply_targets": targets }),
                other => other,
            };
            console.client.send(Method::PUT, &place(&session)?, Some(&body)).await?
        }
        TargetsCommand::Clear { session } => console.client.send(Method::DELETE, &place(&session)?, None).await?,
    };
    show(console, &answer)
}

fn place(session: &str) -> Result<String, Failure> {
    path(&["v1", "sessions", session, "reply-targets"])
}

fn show(console: &Console, answer: &Answer) -> Result<(), Failure> {
    if console.out.is_json() {
        return console.out.document(&answer.body);
    }
    let mut rows = table(&["PLUGIN", "ADDRESS"]);
    for target in list(&answer.json, "/reply_targets") {
        rows.add_row([cell(text(target, "/plugin")), cell(text(target, "/address"))]);
    }
    console.out.table(rows, "the session has no reply targets")?;
    if let Some(notice) = answer.json["notice"].as_str() {
        note(printable(notice));
    }
    Ok(())
}
