//! `kheishd connectors kinds`: what plugins provide, and what their connectors take.

use serde_json::Value;

use super::Console;
use crate::cli::{
    client::path,
    failure::Failure,
    output::{STRONG, cell, list, plain, printable, styled, table, text},
};

pub(super) async fn show_all(console: &Console) -> Result<(), Failure> {
    let answer = console.client.get("/v1/runtime/kinds").await?;
    if console.out.is_json() {
        return console.out.document(&answer.body);
    }
    let mut rows = table(&["KIND", "VERSION", "FILE", "SECRETS", "DOES", "DESCRIPTION"]);
    for kind in list(&answer.json, "") {
        let secrets = ["secrets", "secret_lists"].into_iter().flat_map(|member| kind[member].as_object()).flatten();
        let slots: Vec<&str> = secrets.map(|(slot, _)| slot.as_str()).collect();
        rows.add_row([
            cell(text(kind, "/kind")),
            cell(text(kind, "/version")),
            cell(text(kind, "/file")),
            cell(&slots.join(", ")),
            cell(&plain("", &kind["does"])),
            cell(text(kind, "/description")),
        ]);
    }
    console.out.table(rows, "no plugin provides a kind")
}

pub(super) async fn show(console: &Console, kind: &str) -> Result<(), Failure> {
    let answer = console.client.get(&path(&["v1", "runtime", "kinds", kind])?).await?;
    if console.out.is_json() {
        return console.out.document(&answer.body);
    }
    let (out, kind) = (&console.out, &answer.json);
    let head = format!("{} {}", printable(text(kind, "/kind")), printable(text(kind, "/version")));
    out.line(format_args!("{}  {}", styled(STRONG, head), printable(text(kind, "/description"))))?;
    out.line(format_args!("{} {}", printable(text(kind, "/file")), printable(text(kind, "/digest"))))?;
    let does = plain("", &kind["does"]);
    out.line(format_args!("does: {}", if does.is_empty() { "takes events" } else { &does }))?;
    out.line(format_args!("\n{}", styled(STRONG, "Settings")))?;
    let mut rows = table(&["FIELD", "TYPE", "DEFAULT", "DESCRIPTION"]);
    for (name, schema) in kind["settings"]["properties"].as_object().into_iter().flatten() {
        rows.add_row([
            cell(name),
            cell(&type_of(schema)),
            cell(&plain("", &schema["default"])),
            cell(text(schema, "/description")),
        ]);
    }
    out.table(rows, "none of its own")?;
    out.line(format_args!("\n{}", styled(STRONG, "Secrets")))?;
    let mut rows = table(&["SLOT", "NEEDED", "DESCRIPTION"]);
    for (slot, spec) in kind["secrets"].as_object().into_iter().flatten() {
        let needed = if spec["required"] == true { "yes" } else { "no" };
        rows.add_row([cell(slot), cell(needed), cell(text(spec, "/description"))]);
    }
    for (list, spec) in kind["secret_lists"].as_object().into_iter().flatten() {
        let entry = format!("{list}: {}, {}", text(spec, "/key"), text(spec, "/secret"));
        rows.add_row([cell(&entry), cell("no"), cell(text(spec, "/description"))]);
    }
    out.table(rows, "none")
}

/// What a schema says about the type, in a few words.
fn type_of(schema: &Value) -> String {
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().map(|value| plain("", value)).collect::<Vec<_>>().join("|");
    }
    plain("", &schema["type"])
}
