//! `kheishd status` and `kheishd plugins`.

use clap::Subcommand;
use serde_json::Value;

use super::{Console, connectors};
use crate::cli::{
    failure::Failure,
    output::{FAINT, cell, list, plain, printable, state, state_cell, styled, table, text, time_cell},
    time,
};

/// What to do with plugins.
#[derive(Debug, Subcommand)]
pub enum PluginsCommand {
    /// List the files of the plugin folder and how they fare.
    List,
}

pub(super) async fn plugins(console: &Console, PluginsCommand::List: &PluginsCommand) -> Result<(), Failure> {
    let answer = console.client.get("/v1/plugins").await?;
    if console.out.is_json() {
        return console.out.document(&answer.body);
    }
    let mut rows = table(&["FILE", "STATE", "KIND", "VERSION", "LOADED", "ERROR"]);
    for report in list(&answer.json, "") {
        rows.add_row([
            cell(text(report, "/file")),
            state_cell(text(report, "/state")),
            cell(text(report, "/kind")),
            cell(text(report, "/version")),
            time_cell(&report["loaded_at_ms"]),
            cell(text(report, "/error")),
        ]);
    }
    console.out.table(rows, "the plugin folder is empty")
}

pub(super) async fn run(console: &Console) -> Result<(), Failure> {
    let answer = console.client.get("/v1/status").await?;
    let (out, status) = (&console.out, &answer.json);
    if out.is_json() {
        return out.document(&answer.body);
    }
    let fact = |name: &str, value: String| out.line(format_args!("{}  {value}", styled(FAINT, format!("{name:<11}"))));
    let process = plain("", &status["process_id"]);
    fact(
        "daemon",
        format!(
            "{}, version {}, process {process}",
            state(text(status, "/status")),
            printable(text(status, "/version"))
        ),
    )?;
    fact("address", console.client.base().to_string())?;
    let uptime = status["uptime_ms"].as_i64().map(time::span).unwrap_or_default();
    fact("up", uptime)?;
    fact("executor", printable(text(status, "/executor")))?;
    for executor in list(status, "/executors") {
        let name = printable(text(executor, "/name"));
        if executor["type"].is_null() {
            fact("", format!("{name} {}, and sessions name it", state("failed")))?;
        } else if executor["trouble"].is_object() {
            let code = printable(text(executor, "/trouble/code"));
            fact("", format!("{name} {}: {code}; see doctor", state("failed")))?;
        }
    }
    fact("sessions", plain("", &status["sessions"]["total"]))?;
    fact("runs", counts(&status["runs"]))?;
    fact("deliveries", counts(&status["deliveries"]))?;
    let connectors = list(status, "/connectors");
    fact("connectors", connectors.len().to_string())?;
    for connector in connectors.iter().filter(|connector| connector["paused"].is_object()) {
        let id = format!("{}/{}", text(connector, "/kind"), text(connector, "/name"));
        let told = connectors::paused(&connector["paused"]);
        fact("", format!("{} {}, {}", printable(&id), state("paused"), printable(&told)))?;
    }
    let plugins = list(status, "/guests/plugins");
    let failing = plugins.iter().filter(|plugin| plugin["error"].is_string()).count();
    let told = if failing == 0 { String::new() } else { format!(", {failing} with an error: see plugins list") };
    fact("plugins", format!("{}{told}", plugins.len()))
}

/// `3 completed, 1 failed` from an object of counts; those of nothing are left out.
fn counts(counts: &Value) -> String {
    let some =
        counts.as_object().into_iter().flatten().filter(|(_, count)| count.as_u64().is_some_and(|count| count > 0));
    let told: Vec<String> = some.map(|(name, count)| format!("{count} {}", state(name))).collect();
    if told.is_empty() { "none".to_owned() } else { told.join(", ") }
}
