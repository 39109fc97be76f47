//! `kheishd runs`, and waiting for the end of one.

use std::time::Duration;

use clap::Subcommand;
use http::Method;
use serde_json::Value;
use tokio::time::Instant;

use super::{Console, lists::Paging};
use crate::cli::{
    client::{Answer, path},
    failure::Failure,
    output::{FAINT, cell, list, plain, printable, state, state_cell, styled, table, text, time_cell},
    progress::Progress,
    time::{self, parse_span},
};

/// The first pause between two looks at a run; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What to do with runs.
#[derive(Debug, Subcommand)]
pub enum RunsCommand {
    /// List them in the order of their submission.
    List {
        /// Of this session.
        #[arg(long, value_name = "ID")]
        session: Option<String>,
        /// With this status: queued, running, completed, failed or cancelled.
        #[arg(long, value_name = "STATUS")]
        status: Option<String>,
        /// asc, or desc for the newest first.
        #[arg(long, value_name = "ORDER")]
        order: Option<String>,
        /// Which part of the list.
        #[command(flatten)]
        paging: Paging,
    },
    /// Look at one, with its outputs and deliveries.
    Get {
        /// The run.
        run: String,
    },
    /// Ask for the end of one: at once when it waits, else as soon as its worker knows or its lease is over.
    Cancel {
        /// The run.
        run: String,
    },
    /// Wait for the end of one; exit code 1 when it does not complete.
    Wait {
        /// The run.
        run: String,
        /// How long to wait.
        #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_span)]
        timeout: Duration,
    },
}

pub(super) async fn run(console: &Console, command: RunsCommand) -> Result<(), Failure> {
    match command {
        RunsCommand::List { session, status, order, paging } => {
            let filter =
                [("session_id", session.as_deref()), ("status", status.as_deref()), ("order", order.as_deref())];
            paging.print(console, "/v1/runs", &filter, |items| show_all(console, items)).await
        }
        RunsCommand::Get { run } => {
            let answer = console.client.get(&path(&["v1", "runs", &run])?).await?;
            if console.out.is_json() { console.out.document(&answer.body) } else { show(console, &answer.json) }
        }
        RunsCommand::Cancel { run } => {
            let answer = console.client.send(Method::POST, &path(&["v1", "runs", &run, "cancel"])?, None).await?;
            if console.out.is_json() { console.out.document(&answer.body) } else { show(console, &answer.json) }
        }
        RunsCommand::Wait { run, timeout } => wait(console, &run, timeout).await,
    }
}

fn show_all(console: &Console, items: &[Value]) -> Result<(), Failure> {
    let mut rows = table(&["RUN", "STATUS", "SESSION", "ATTEMPT", "SUBMITTED", "TEXT"]);
    for run in items {
        let preview: String = text(run, "/request/text_preview").chars().take(40).collect();
        rows.add_row([
            cell(text(run, "/run_id")),
            state_cell(text(run, "/status")),
            cell(text(run, "/session_id")),
            cell(&plain("", &run["attempt"])),
            time_cell(&run["submitted_at_ms"]),
            cell(&preview),
        ]);
    }
    console.out.table(rows, "there are no such runs")
}

fn show(console: &Console, run: &Value) -> Result<(), Failure> {
    let out = &console.out;
    let fact = |name: &str, value: String| out.line(format_args!("{}  {value}", styled(FAINT, format!("{name:<9}"))));
    fact("run", printable(text(run, "/run_id")))?;
    fact("session", printable(text(run, "/session_id")))?;
    fact("status", format!("{}, attempt {}", state(text(run, "/status")), plain("", &run["attempt"])))?;
    for (name, field) in
        [("submitted", "submitted_at_ms"), ("started", "started_at_ms"), ("finished", "finished_at_ms")]
    {
        if let Some(at) = run[field].as_i64() {
            fact(name, time::precise(at))?;
        }
    }
    let actor = match text(run, "/request/actor_id") {
        "" => String::new(),
        actor => format!(", {}", printable(actor)),
    };
    fact("from", format!("{}{actor}", printable(text(run, "/request/source_plugin"))))?;
    fact("text", printable(text(run, "/request/text_preview")))?;
    show_end(console, run)
}

/// What came of a run: its error, its outputs, its deliveries.
pub(crate) fn show_end(console: &Console, run: &Value) -> Result<(), Failure> {
    let out = &console.out;
    let fact = |name: &str, value: String| out.line(format_args!("{}  {value}", styled(FAINT, format!("{name:<9}"))));
    if run["error"].is_object() {
        fact("error", format!("{}: {}", printable(text(run, "/error/code")), printable(text(run, "/error/detail"))))?;
    }
    for output in list(run, "/outputs") {
        fact("output", printable(text(output, "/content")))?;
    }
    for delivery in list(run, "/deliveries") {
        fact("delivery", delivery_line(delivery))?;
    }
    Ok(())
}

/// A delivery in one line.
pub(crate) fn delivery_line(delivery: &Value) -> String {
    let error = match text(delivery, "/last_error/detail") {
        "" => String::new(),
        detail => format!(": {} ({})", printable(detail), printable(text(delivery, "/last_error/code"))),
    };
    let (id, target) = (printable(text(delivery, "/delivery_id")), printable(text(delivery, "/target")));
    let attempts = plain("", &delivery["attempts"]);
    format!("{id} to {target}: {} after {attempts} attempts{error}", state(text(delivery, "/status")))
}

/// Waits for a run's end and shows it.
pub(super) async fn wait(console: &Console, run: &str, patience: Duration) -> Result<(), Failure> {
    let progress = Progress::spinner("waiting for the run");
    let answer = until(console, run, patience, |view| {
        progress.say(&format!("{} is {}", printable(run), text(view, "/status")));
        has_ended(view)
    });
    let answer = answer.await?;
    drop(progress);
    if console.out.is_json() {
        console.out.document(&answer.body)?;
    } else {
        show(console, &answer.json)?;
    }
    let status = text(&answer.json, "/status");
    if !has_ended(&answer.json) {
        return Err(Failure::Failed(format!("after {} the run is still {status}", time::span(millis(patience)))));
    }
    if status == "completed" { Ok(()) } else { Err(Failure::Failed(format!("the run is {status}"))) }
}

/// Whether a run has ended.
pub(crate) fn has_ended(run: &Value) -> bool {
    matches!(text(run, "/status"), "completed" | "failed" | "cancelled")
}

/// Looks at a run again and again until it `is` as wanted or patience ends, and gives the last look. A daemon that is away
/// after the first look may come back: a restart ends no run.
pub(crate) async fn until(
    console: &Console,
    run: &str,
    patience: Duration,
    mut is: impl FnMut(&Value) -> bool,
) -> Result<Answer, Failure> {
    let place = path(&["v1", "runs", run])?;
    let end = Instant::now() + patience;
    let (mut pause, mut seen) = (FIRST_PAUSE, false);
    loop {
        let look = console.client.get(&place).await;
        let left = end.saturating_duration_since(Instant::now());
        match look {
            Ok(answer) if is(&answer.json) || left.is_zero() => return Ok(answer),
            Ok(_) => seen = true,
            Err(failure) if !(seen && failure.may_pass()) || left.is_zero() => return Err(failure),
            Err(_) => {}
        }
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// A length of time in milliseconds.
pub(crate) fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
