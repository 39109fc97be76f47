//! The daemon: there, ready, and what it says about plugins, connectors and what waits.

use std::net::TcpListener;

use serde_json::Value;

use super::{Check, clock, executors};
use crate::{
    cli::{
        client::{Answer, is_loopback},
        failure::Failure,
        output::{list, printable, text},
        remote::{self, Console},
        time,
    },
    clock::Clock,
};

/// Something that has waited longer wants to be looked at.
pub(super) const LONG_MS: i64 = 5 * 60 * 1000;

/// Looks at the daemon; without one, at the place that it would take.
pub(super) async fn look(console: &Console, checks: &mut Vec<Check>) {
    let before = Clock::system().now_ms();
    let answer = console.client.get("/v1/status").await;
    let after = Clock::system().now_ms();
    let base = console.client.base();
    let status = match answer {
        Ok(status) => status,
        Err(failure) => {
            checks.push(clock::alone());
            checks.push(without_status(console, &failure));
            return;
        }
    };
    checks.push(clock::against((&status.json, &status.headers), (before, after)));
    checks.push(Check::well("port", format!("a daemon answers at {base}")));
    checks.push(ready(&status));
    checks.push(match console.client.get("/v1/plugins").await {
        Ok(answer) => plugins(&answer.json),
        Err(failure) => silent("plugins", &failure),
    });
    let mut views = Value::Null;
    match console.client.find("/v1/runtime/connectors").await {
        Ok(Some(answer)) => {
            checks.push(connectors(&answer.json));
            views = answer.json;
        }
        // A daemon of an older version has no such route.
        Ok(None) => {}
        Err(failure) => checks.push(silent("connectors", &failure)),
    }
    checks.push(executors::look(&status.json, list(&views, "")));
    checks.push(backlog(console, &status.json).await);
}

fn silent(name: &'static str, failure: &Failure) -> Check {
    Check::bad(name, failure.lines().join(" "), "look at the daemon's log")
}

fn without_status(console: &Console, failure: &Failure) -> Check {
    match failure {
        Failure::Refused(refusal) if matches!(refusal.status, 401 | 403) => {
            let found = format!("a daemon answers at {}, but not to this token", console.client.base());
            Check::bad("port", found, "give --token-file, or set KHEISH_DAEMON_TOKEN or KHEISH_DAEMON_TOKEN_FILE")
        }
        Failure::Unreachable(why) => nobody(console, why),
        other => Check::bad("port", other.lines().join(" "), "look at what listens there"),
    }
}

/// Nobody answers: perhaps nobody runs, perhaps something else is in the way.
fn nobody(console: &Console, why: &str) -> Check {
    let base = console.client.base();
    if !is_loopback(base) {
        return Check::bad("port", why, "start the daemon there, or give another --base-url");
    }
    let host = base.host_str().unwrap_or("127.0.0.1").trim_start_matches('[').trim_end_matches(']');
    match TcpListener::bind((host, base.port_or_known_default().unwrap_or(4000))) {
        Ok(_) => {
            Check::careful("port", format!("no daemon runs at {base}; the address is free"), "start one: kheishd serve")
        }
        Err(error) => {
            let found = format!("nobody answers at {base}, and the address is not free: {error}");
            Check::bad("port", found, "stop what holds it, or give --listen and --base-url another port")
        }
    }
}

fn ready(status: &Answer) -> Check {
    let (version, own) = (text(&status.json, "/version"), env!("CARGO_PKG_VERSION"));
    let version_told = format!("{}, version {}", printable(text(&status.json, "/status")), printable(version));
    if status.json["ready"] != true {
        return Check::bad("daemon", version_told, "it is stopping: start it again");
    }
    if version != own {
        return Check::careful("daemon", version_told, format!("this program is version {own}: use the same"));
    }
    Check::well("daemon", version_told)
}

/// `name: reason; name: reason`.
pub(super) fn told(items: impl Iterator<Item = (String, String)>) -> String {
    items.map(|(name, reason)| printable(&format!("{name}: {reason}"))).collect::<Vec<_>>().join("; ")
}

fn plugins(reports: &Value) -> Check {
    let reports = list(reports, "");
    let failing = || reports.iter().filter(|report| report["error"].is_string());
    let found = told(failing().map(|report| (text(report, "/file").to_owned(), text(report, "/error").to_owned())));
    let remedy = "replace the file in the plugin folder; it is taken at once";
    if failing().any(|report| report["state"] == "failed") {
        return Check::bad("plugins", found, remedy);
    }
    if found.is_empty() {
        return Check::well("plugins", format!("{} serve", reports.len()));
    }
    Check::careful("plugins", format!("an older version serves: {found}"), remedy)
}

fn connectors(views: &Value) -> Check {
    let views = list(views, "");
    let other = || views.iter().filter(|view| text(view, "/status/state") != "running");
    let found = told(other().map(|view| {
        let name = format!("{}/{} is {}", text(view, "/kind"), text(view, "/name"), text(view, "/status/state"));
        (name, remote::connectors::errors(view))
    }));
    if found.is_empty() {
        return paused(views);
    }
    let remedy = "look with connectors get, and mend it with connectors put or apply";
    if other().any(|view| text(view, "/status/state") != "outdated") {
        return Check::bad("connectors", found, remedy);
    }
    Check::careful("connectors", found, remedy)
}

/// All run; some may be locked out by their platform.
fn paused(views: &[Value]) -> Check {
    let paused = views.iter().filter(|view| view["status"]["paused"].is_object());
    let found = told(paused.map(|view| {
        let pause = &view["status"]["paused"];
        let name = format!("{}/{} is paused", text(view, "/kind"), text(view, "/name"));
        (name, format!("{}: {}", text(pause, "/code"), text(pause, "/reason")))
    }));
    if found.is_empty() {
        return faring(views);
    }
    Check::bad("connectors", found, "set its secret anew; deliveries reset --connector sends at once what waits")
}

/// None is locked out; the other side of some may not be well.
fn faring(views: &[Value]) -> Check {
    let state = |view: &Value| text(view, "/status/health/state").to_owned();
    let ailing = || views.iter().filter(|view| matches!(state(view).as_str(), "degraded" | "deaf"));
    let found = told(ailing().map(|view| {
        let name = format!("{}/{} is {}", text(view, "/kind"), text(view, "/name"), state(view));
        (name, text(view, "/status/health/reason").to_owned())
    }));
    if found.is_empty() {
        return Check::well("connectors", format!("{} run", views.len()));
    }
    let remedy = "look at the sidecar and at its own log; deliveries to one that is deaf wait";
    if ailing().any(|view| state(view) == "deaf") {
        return Check::bad("connectors", found, remedy);
    }
    Check::careful("connectors", found, remedy)
}

/// What waits, and what was given up.
async fn backlog(console: &Console, status: &Value) -> Check {
    let oldest = console.client.get("/v1/runs?status=queued&order=asc&limit=1").await;
    let oldest = oldest.ok().and_then(|answer| answer.json[0]["submitted_at_ms"].as_i64());
    let age = oldest.map(|submitted| Clock::system().now_ms() - submitted);
    let dead = status["deliveries"]["dead_lettered"].as_u64().unwrap_or_default();
    let queued = status["runs"]["queued"].as_u64().unwrap_or_default();
    let waits = age.map(|age| format!(", the oldest for {}", time::span(age))).unwrap_or_default();
    let found = format!("{queued} runs wait{waits}; {dead} deliveries are dead letters");
    if age.is_some_and(|age| age > LONG_MS) {
        return Check::careful("backlog", found, "see that workers claim runs, and that none hangs");
    }
    if dead > 0 {
        return Check::careful("backlog", found, "look at GET /v1/deliveries?status=dead_lettered");
    }
    Check::well("backlog", found)
}
