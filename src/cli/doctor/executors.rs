//! Executors: whether those that connectors and sessions name are there, answer, and are asked for work.

use serde_json::Value;

use super::{
    Check, Verdict,
    daemon::{LONG_MS, told},
};
use crate::cli::{
    output::{list, text},
    time,
};

/// What the status says of executors, and which connectors, as they are shown, make sessions of them.
pub(super) fn look(status: &Value, connectors: &[Value]) -> Check {
    let executors = list(status, "/executors");
    let found: Vec<(Verdict, &str, String)> = executors
        .iter()
        .filter_map(|executor| {
            let (verdict, reason) = judge(status, executor)?;
            let users = users(executor, connectors);
            Some((verdict, text(executor, "/name"), format!("{reason}{users}")))
        })
        .collect();
    if found.is_empty() {
        return Check::well("executors", format!("{} are there", executors.len()));
    }
    let is_bad = found.iter().any(|(verdict, ..)| *verdict == Verdict::Bad);
    let all = told(found.into_iter().map(|(_, name, reason)| (name.to_owned(), reason)));
    if is_bad {
        return Check::bad("executors", all, "put its section back, or mend what its runs are sent to");
    }
    Check::careful("executors", all, "put its section back, or start a worker that claims its runs")
}

/// What is wrong with one, if anything is.
fn judge(status: &Value, executor: &Value) -> Option<(Verdict, String)> {
    let waiting = executor["waiting_sessions"].as_i64().unwrap_or_default();
    let kind = text(executor, "/type");
    if kind.is_empty() {
        let verdict = if waiting > 0 { Verdict::Bad } else { Verdict::Careful };
        return Some((verdict, format!("it is not configured, and sessions name it; {waiting} of them wait")));
    }
    let trouble = &executor["trouble"];
    if trouble.is_object() {
        let since = since(status, &trouble["since_at_ms"]).map(|since| format!(" for {since}")).unwrap_or_default();
        let reason = format!("no answer{since}: {}: {}", text(trouble, "/code"), text(trouble, "/detail"));
        return Some((Verdict::Bad, reason));
    }
    let asked = since_ms(status, &executor["asked_at_ms"]);
    if kind != "claim" || waiting == 0 || asked.is_some_and(|age| age < LONG_MS) {
        return None;
    }
    let asked = asked.map_or("since the daemon's start".to_owned(), |age| format!("for {}", time::span(age)));
    Some((Verdict::Careful, format!("{waiting} sessions wait, and no worker has asked for runs {asked}")))
}

fn since_ms(status: &Value, moment: &Value) -> Option<i64> {
    Some(status["snapshot_at_ms"].as_i64()? - moment.as_i64()?)
}

fn since(status: &Value, moment: &Value) -> Option<String> {
    since_ms(status, moment).map(time::span)
}

/// `; its sessions come from http/orders`.
fn users(executor: &Value, connectors: &[Value]) -> String {
    let names = connectors.iter().filter(|view| view["executor"] == executor["name"]);
    let names: Vec<String> = names.map(|view| format!("{}/{}", text(view, "/kind"), text(view, "/name"))).collect();
    if names.is_empty() { String::new() } else { format!("; its sessions come from {}", names.join(", ")) }
}
