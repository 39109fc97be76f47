//! `kheishd runtime auth`: which programs have fetched which credentials, and the end of that.

use clap::Subcommand;
use http::Method;
use serde_json::Value;

use super::Console;
use crate::cli::{
    client::{Answer, path},
    failure::Failure,
    output::{cell, list, printable, state, state_cell, table, text},
    time,
};

/// What to do with what the daemon holds while it runs.
#[derive(Debug, Subcommand)]
pub enum RuntimeCommand {
    /// Credentials that programs fetch.
    #[command(subcommand)]
    Auth(AuthCommand),
}

/// What to do with credentials that programs fetch.
#[derive(Debug, Subcommand)]
pub enum AuthCommand {
    /// Show who fetches, and what it has: connector:NAME.
    Subject {
        /// The subject.
        id: String,
    },
    /// Let a program fetch nothing any more until it is started anew.
    RevokeSubject {
        /// The subject.
        id: String,
    },
    /// Show what a program has fetched.
    Lease {
        /// The lease.
        id: String,
    },
    /// Let a program not fetch one credential again until it is started anew.
    RevokeLease {
        /// The lease.
        id: String,
    },
    /// Let no program fetch a stored secret again until it is started anew.
    RevokeSlot {
        /// The secret.
        slot: String,
    },
}

pub(super) async fn run(console: &Console, RuntimeCommand::Auth(command): RuntimeCommand) -> Result<(), Failure> {
    let (what, id, revoke) = match &command {
        AuthCommand::Subject { id } => ("subjects", id, false),
        AuthCommand::RevokeSubject { id } => ("subjects", id, true),
        AuthCommand::Lease { id } => ("leases", id, false),
        AuthCommand::RevokeLease { id } => ("leases", id, true),
        AuthCommand::RevokeSlot { slot } => ("slots", slot, true),
    };
    let place = path(&["v1", "runtime", "auth", what, id])?;
    let answer = if revoke {
        console.client.send(Method::POST, &format!("{place}/revoke"), None).await?
    } else {
        console.client.get(&place).await?
    };
    if console.out.is_json() {
        return console.out.document(&answer.body);
    }
    match command {
        AuthCommand::Subject { .. } => show_subject(console, &answer),
        AuthCommand::Lease { .. } => console.out.fields(&answer.json),
        AuthCommand::RevokeSubject { id } => console
            .out
            .line(format_args!("{} fetches no credentials any more until it is started anew", printable(&id))),
        AuthCommand::RevokeLease { id } => {
            let now = state(text(&answer.json, "/state"));
            console.out.line(format_args!("{} is {now}", printable(&id)))
        }
        AuthCommand::RevokeSlot { slot } => {
            let count = &answer.json["revoked_leases"];
            console.out.line(format_args!("{count} leases of {} ended; the secret stays", printable(&slot)))
        }
    }
}

fn show_subject(console: &Console, answer: &Answer) -> Result<(), Failure> {
    let subject = &answer.json;
    let since = subject["granted_at_ms"].as_i64().map(|at| format!(" since {}", time::stamp(at)));
    let grant = match text(subject, "/grant_id") {
        "" => "may fetch nothing".to_owned(),
        grant => format!("fetches under {}{}", printable(grant), since.unwrap_or_default()),
    };
    console.out.line(format_args!("{} {grant}", printable(text(subject, "/connector"))))?;
    let mut rows = table(&["LEASE", "CREDENTIAL", "SECRET", "STATE", "UNTIL"]);
    for lease in list(subject, "/leases") {
        rows.add_row([
            cell(text(lease, "/lease_id")),
            cell(text(lease, "/env_key")),
            cell(text(lease, "/slot_id")),
            state_cell(text(lease, "/state")),
            cell(&until(lease)),
        ]);
    }
    console.out.table(rows, "it has fetched no credential")
}

/// Its end: when it was revoked and why, or when it ends by itself.
fn until(lease: &Value) -> String {
    let stamp = |field: &str| lease[field].as_i64().map(time::stamp);
    match stamp("revoked_at_ms") {
        Some(revoked) => format!("{revoked} ({})", text(lease, "/reason")),
        None => stamp("expires_at_ms").unwrap_or_default(),
    }
}
