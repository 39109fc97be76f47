//! `kheishd secrets`. A value is never an argument: it would show in the list of processes.

use std::path::PathBuf;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Common, Console, read_stdin};
use crate::{
    cli::{
        client::path,
        failure::Failure,
        output::{Out, cell, list, plain, printable, table, text, time_cell},
        progress::Progress,
        prompt,
    },
    secrets::Secret,
};

/// What to do with secrets.
#[derive(Debug, Subcommand)]
pub enum SecretsCommand {
    /// List them; values never leave the daemon.
    List,
    /// Look at one, without its value.
    Get {
        /// Its reference.
        reference: String,
    },
    /// Set one; on a terminal the value is asked for without showing it.
    Set {
        /// Its reference.
        reference: String,
        /// Where the value comes from.
        #[command(flatten)]
        source: Source,
    },
    /// Delete one that no connector uses.
    Delete {
        /// Its reference.
        reference: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Seal every secret again under new keys, while the daemon works on.
    RotateKeys,
    /// Print a random value as base64url; asks no daemon.
    Generate {
        /// How many random bytes.
        #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(16..=1024))]
        bytes: u16,
    },
}

/// Where a value comes from.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct Source {
    /// An environment variable.
    #[arg(long, value_name = "NAME")]
    pub from_env: Option<String>,
    /// A file; one line break at its end is not part of the value.
    #[arg(long, value_name = "FILE")]
    pub from_file: Option<PathBuf>,
    /// Standard input; one line break at its end is not part of the value.
    #[arg(long)]
    pub stdin: bool,
}

impl Source {
    fn read(&self, reference: &str) -> Result<Secret, Failure> {
        if let Some(name) = &self.from_env {
            // The library's own message would show a value that is no text.
            let value = std::env::var_os(name).map(std::ffi::OsString::into_string);
            let value = match value {
                Some(Ok(value)) => value,
                Some(Err(_)) => return Err(Failure::Usage(format!("the variable `{name}` holds no UTF-8 text"))),
                None => return Err(Failure::Usage(format!("the variable `{name}` is not set"))),
            };
            return Ok(Secret::new(value));
        }
        if let Some(path) = &self.from_file {
            let text = std::fs::read_to_string(path).map(Zeroizing::new);
            let text = text.map_err(|error| Failure::Usage(format!("`{}` cannot be read: {error}", path.display())))?;
            return Ok(Secret::new(without_line_break(&text)));
        }
        if self.stdin {
            return Ok(Secret::new(without_line_break(&Zeroizing::new(read_stdin()?))));
        }
        prompt::secret(&format!("Value of {}", printable(reference)))
    }
}

fn without_line_break(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

pub(super) async fn run(common: &Common, command: SecretsCommand) -> Result<(), Failure> {
    if let SecretsCommand::Generate { bytes } = command {
        return generate(&Out::new(common.output, common.color), usize::from(bytes));
    }
    let console = Console::open(common)?;
    match command {
        SecretsCommand::List => show_all(&console).await,
        SecretsCommand::Get { reference } => {
            let answer = console.client.get(&place(&reference)?).await?;
            if console.out.is_json() { console.out.document(&answer.body) } else { console.out.fields(&answer.json) }
        }
        SecretsCommand::Set { reference, source } => set(&console, &reference, &source).await,
        SecretsCommand::Delete { reference, yes } => delete(&console, &reference, yes).await,
        SecretsCommand::RotateKeys => rotate(&console).await,
        SecretsCommand::Generate { .. } => Ok(()),
    }
}

fn place(reference: &str) -> Result<String, Failure> {
    path(&["v1", "runtime", "secrets", reference])
}

async fn show_all(console: &Console) -> Result<(), Failure> {
    let answer = console.client.get("/v1/runtime/secrets").await?;
    if console.out.is_json() {
        return console.out.document(&answer.body);
    }
    let mut rows = table(&["SECRET", "VERSION", "UPDATED", "USED BY"]);
    for secret in list(&answer.json, "") {
        rows.add_row([
            cell(text(secret, "/slot_id")),
            cell(&plain("", &secret["version"])),
            time_cell(&secret["updated_at_ms"]),
            cell(&plain("", &secret["used_by"])),
        ]);
    }
    console.out.table(rows, "there are no secrets")
}

async fn set(console: &Console, reference: &str, source: &Source) -> Result<(), Failure> {
    place(reference)?;
    let value = source.read(reference)?;
    let text = std::str::from_utf8(value.expose())
        .map_err(|_| Failure::Usage("the value is not UTF-8 text; encode it, e.g. as base64".to_owned()))?;
    if text.trim().is_empty() {
        return Err(Failure::Usage("the value is blank".to_owned()));
    }
    let body = json!({
        "slot_id": reference, "provider": "generic", "mode": "opaque_secret", "state": { "value": text },
    });
    let answer = console.client.send(Method::POST, "/v1/runtime/secrets", Some(&body)).await?;
    if console.out.is_json() {
        return console.out.document(&answer.body);
    }
    let version = plain("", &answer.json["version"]);
    console.out.line(format_args!("{} set, version {version}", printable(reference)))
}

async fn delete(console: &Console, reference: &str, yes: bool) -> Result<(), Failure> {
    let place = place(reference)?;
    prompt::confirm(&format!("Delete secret {}?", printable(reference)), yes)?;
    let answer = console.client.send(Method::DELETE, &place, None).await?;
    if console.out.is_json() {
        return console.out.document(&answer.body);
    }
    console.out.line(format_args!("{} deleted", printable(reference)))
}

async fn rotate(console: &Console) -> Result<(), Failure> {
    let progress = Progress::spinner("sealing every secret again");
    let answer = console.client.send(Method::POST, "/v1/runtime/secret-keys/rotate", None).await?;
    drop(progress);
    if console.out.is_json() {
        return console.out.document(&answer.body);
    }
    let secrets = plain("", &answer.json["secrets"]);
    let master = match answer.json["master_key_replaced"] {
        Value::Bool(true) => "the master key was replaced too",
        _ => "the master key stays: it was given by a variable",
    };
    console
        .out
        .line(format_args!("{secrets} secrets sealed again under data key {}; {master}", answer.json["data_key"]))
}

fn generate(out: &Out, bytes: usize) -> Result<(), Failure> {
    let mut random = Zeroizing::new(vec![0; bytes]);
    rand::fill(&mut random[..]);
    let value = Zeroizing::new(URL_SAFE_NO_PAD.encode(&random[..]));
    if out.is_json() { out.value(&json!({ "value": *value })) } else { out.line(&*value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_break_is_not_part_of_a_value() {
        let read = ["a", "a\n", "a\r\n", "a\n\n", " a "].map(without_line_break);
        assert_eq!(read, ["a", "a", "a", "a\n", " a "]);
    }
}
