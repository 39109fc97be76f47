//! `kheishd deliveries`: look at deliveries and dead letters, and do something about them.

use std::time::Duration;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::{Console, lists::Paging, runs::millis};
use crate::cli::{
    client::{path, query},
    failure::Failure,
    output::{cell, list, plain, printable, state_cell, table, text, time_cell},
    time::parse_span,
};

mod bulk;

/// What to do with deliveries.
#[derive(Debug, Subcommand)]
pub enum DeliveriesCommand {
    /// List them in the order in which they were made.
    List {
        /// With this status: pending, retrying, sending, delivered, unknown, dead_lettered or cancelled.
        #[arg(long, value_name = "STATUS")]
        status: Option<String>,
        /// Which.
        #[command(flatten)]
        which: Which,
        /// Which part of the list.
        #[command(flatten)]
        paging: Paging,
    },
    /// List those that were given up.
    DeadLetters {
        /// Which.
        #[command(flatten)]
        which: Which,
        /// Which part of the list.
        #[command(flatten)]
        paging: Paging,
    },
    /// Look at one, with its parts and its failed attempts.
    Get {
        /// The delivery.
        delivery: String,
    },
    /// Send what a dead letter did not; what arrived is not sent again.
    Replay {
        /// The dead letter, or all of them that match.
        #[command(flatten)]
        chosen: Chosen,
        /// Everything again under a new idempotency key, also where it was replayed before.
        #[arg(long)]
        force: bool,
    },
    /// Say that nothing is left to do about a dead letter.
    Resolve {
        /// The dead letter, or all of them that match.
        #[command(flatten)]
        chosen: Chosen,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Ask the platform now whether unknown parts arrived, where the connector can.
    LookUp {
        /// The delivery.
        delivery: String,
    },
    /// Send unknown parts again: they did not arrive, or may arrive twice.
    Resend {
        /// The delivery.
        delivery: String,
        /// Only this part.
        #[arg(long, value_name = "NUMBER")]
        part: Option<u32>,
    },
    /// Say that unknown parts arrived.
    MarkDelivered {
        /// The delivery.
        delivery: String,
        /// Only this part.
        #[arg(long, value_name = "NUMBER")]
        part: Option<u32>,
        /// What the platform calls it.
        #[arg(long, value_name = "ID", requires = "part")]
        platform_id: Option<String>,
    },
    /// Withdraw what was not sent yet.
    Cancel {
        /// The delivery.
        delivery: String,
    },
    /// Remove dead letters that are resolved, with their recorded attempts.
    Purge {
        /// Also those that nobody resolved and that were given up so long ago.
        #[arg(long, value_name = "TIME", value_parser = parse_span)]
        older_than: Option<Duration>,
        /// Which.
        #[command(flatten)]
        which: Which,
        /// The most of them; all that match when absent.
        #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
        limit: Option<u64>,
        /// Show what would be done.
        #[arg(long)]
        dry_run: bool,
    },
    /// Close open breakers and lift pauses: what waits is sent now.
    Reset {
        /// A target as deliveries show it.
        #[arg(long, value_name = "TARGET", required_unless_present_any = ["plugin", "connector"])]
        target: Option<String>,
        /// Everything of this plugin.
        #[arg(long, value_name = "PLUGIN")]
        plugin: Option<String>,
        /// Everything of this connector.
        #[arg(long, value_name = "KIND/NAME")]
        connector: Option<String>,
        /// Show what would be done.
        #[arg(long)]
        dry_run: bool,
    },
}

/// What narrows a list.
#[derive(Debug, Args)]
pub struct Which {
    /// Of this session.
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Of this run.
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// To targets of this plugin.
    #[arg(long, value_name = "PLUGIN")]
    plugin: Option<String>,
}

impl Which {
    fn pairs(&self) -> [(&str, Option<&str>); 3] {
        [("session_id", self.session.as_deref()), ("run_id", self.run.as_deref()), ("plugin", self.plugin.as_deref())]
    }

    /// A body that chooses, and says whether to look only.
    fn body(&self, dry_run: bool) -> Value {
        let mut body = json!({ "dry_run": dry_run });
        for (name, value) in self.pairs() {
            if let Some(value) = value {
                body[name] = value.into();
            }
        }
        body
    }
}

/// One dead letter, or all that match.
#[derive(Debug, Args)]
pub struct Chosen {
    /// The delivery.
    #[arg(required_unless_present = "every", conflicts_with = "every")]
    delivery: Option<String>,
    /// All that nobody resolved and that match.
    #[arg(long = "all", id = "every")]
    every: bool,
    /// Of this session.
    #[arg(long, value_name = "ID", requires = "every")]
    session: Option<String>,
    /// Of this run.
    #[arg(long, value_name = "RUN", requires = "every")]
    run: Option<String>,
    /// To targets of this plugin.
    #[arg(long, value_name = "PLUGIN", requires = "every")]
    plugin: Option<String>,
    /// The most of them; all that match when absent.
    #[arg(long, value_name = "COUNT", requires = "every", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Show what would be done.
    #[arg(long, requires = "every")]
    dry_run: bool,
}

impl Chosen {
    fn body(&self) -> Value {
        let which = Which { session: self.session.clone(), run: self.run.clone(), plugin: self.plugin.clone() };
        which.body(self.dry_run)
    }
}

pub(super) async fn run(console: &Console, command: DeliveriesCommand) -> Result<(), Failure> {
    match command {
        DeliveriesCommand::List { status, which, paging } => {
            let mut filter = which.pairs().to_vec();
            filter.push(("status", status.as_deref()));
            paging.print(console, "/v1/deliveries", &filter, |items| show_all(console, items)).await
        }
        DeliveriesCommand::DeadLetters { which, paging } => {
            paging.print(console, "/v1/deliveries/dead-letter", &which.pairs(), |items| show_all(console, items)).await
        }
        DeliveriesCommand::Get { delivery } => get(console, &delivery).await,
        DeliveriesCommand::Replay { chosen, force } => match &chosen.delivery {
            Some(delivery) => {
                let forced = query(&[("force", force.then_some("true"))]);
                let place = format!("{}{forced}", path(&["v1", "deliveries", delivery, "replay"])?);
                one(console, &place, None, "/delivery").await
            }
            None => {
                let mut body = chosen.body();
                body["force"] = force.into();
                bulk::run(console, "replay-bulk", body, chosen.limit).await
            }
        },
        DeliveriesCommand::Resolve { chosen, reason } => {
            let mut body = if chosen.every { chosen.body() } else { json!({}) };
            if let Some(reason) = reason {
                body["reason"] = reason.into();
            }
            match &chosen.delivery {
                Some(delivery) => {
                    one(console, &path(&["v1", "deliveries", delivery, "resolve"])?, Some(&body), "").await
                }
                None => bulk::run(console, "resolve-bulk", body, chosen.limit).await,
            }
        }
        DeliveriesCommand::LookUp { delivery } => {
            one(console, &path(&["v1", "deliveries", &delivery, "look-up"])?, None, "").await
        }
        DeliveriesCommand::Resend { delivery, part } => {
            one(console, &of_part(&delivery, part, "resend")?, None, "").await
        }
        DeliveriesCommand::MarkDelivered { delivery, part, platform_id } => {
            let body = part.map(|_| platform_id.map_or_else(|| json!({}), |id| json!({ "platform_id": id })));
            one(console, &of_part(&delivery, part, "mark-delivered")?, body.as_ref(), "").await
        }
        DeliveriesCommand::Cancel { delivery } => {
            one(console, &path(&["v1", "deliveries", &delivery, "cancel"])?, None, "").await
        }
        DeliveriesCommand::Purge { older_than, which, limit, dry_run } => {
            let mut body = which.body(dry_run);
            if let Some(age) = older_than {
                body["older_than_ms"] = millis(age).into();
            }
            bulk::run(console, "purge", body, limit).await
        }
        DeliveriesCommand::Reset { target, plugin, connector, dry_run } => {
            let mut body = json!({ "dry_run": dry_run });
            for (name, value) in [("target", target), ("plugin", plugin), ("connector", connector)] {
                if let Some(value) = value {
                    body[name] = value.into();
                }
            }
            reset(console, &body).await
        }
    }
}

fn of_part(delivery: &str, part: Option<u32>, verb: &str) -> Result<String, Failure> {
    match part {
        Some(part) => path(&["v1", "deliveries", delivery, "parts", &part.to_string(), verb]),
        None => path(&["v1", "deliveries", delivery, verb]),
    }
}

/// Does something to one delivery and shows how it stands then, which is at `pointer` of the answer.
async fn one(console: &Console, place: &str, body: Option<&Value>, pointer: &str) -> Result<(), Failure> {
    let answer = console.client.send(Method::POST, place, body).await?;
    if console.out.is_json() {
        return console.out.document(&answer.body);
    }
    let delivery = answer.json.pointer(pointer).unwrap_or(&Value::Null);
    show_all(console, std::slice::from_ref(delivery))
}

async fn reset(console: &Console, body: &Value) -> Result<(), Failure> {
    let answer = console.client.send(Method::POST, "/v1/deliveries/backpressure/reset", Some(body)).await?;
    if console.out.is_json() {
        return console.out.document(&answer.body);
    }
    let mut rows = table(&["WHAT", "NAME"]);
    for (what, pointer) in [("breaker", "/targets"), ("pause", "/connectors")] {
        for name in list(&answer.json, pointer) {
            rows.add_row([cell(what), cell(name.as_str().unwrap_or_default())]);
        }
    }
    console.out.table(rows, "no breaker is open and nothing is paused there")
}

fn show_all(console: &Console, items: &[Value]) -> Result<(), Failure> {
    let mut rows = table(&["DELIVERY", "STATUS", "TARGET", "PARTS", "ATTEMPTS", "NEXT", "ERROR"]);
    for delivery in items {
        rows.add_row([
            cell(text(delivery, "/delivery_id")),
            state_cell(text(delivery, "/status")),
            cell(text(delivery, "/target")),
            cell(&plain("", &delivery["parts_count"])),
            cell(&plain("", &delivery["attempts"])),
            time_cell(delivery.get("next_attempt_at_ms").unwrap_or(&delivery["next_look_up_at_ms"])),
            cell(text(delivery, "/last_error/detail")),
        ]);
    }
    console.out.table(rows, "there are no such deliveries")
}

async fn get(console: &Console, delivery: &str) -> Result<(), Failure> {
    let answer = console.client.get(&path(&["v1", "deliveries", delivery])?).await?;
    if console.out.is_json() {
        return console.out.document(&answer.body);
    }
    show_all(console, std::slice::from_ref(&answer.json))?;
    let mut rows = table(&["PART", "KIND", "STATUS", "ATTEMPTS", "PLATFORM ID", "ERROR"]);
    for part in list(&answer.json, "/parts") {
        rows.add_row([
            cell(&plain("", &part["part"])),
            cell(text(part, "/kind")),
            state_cell(text(part, "/status")),
            cell(&plain("", &part["attempts"])),
            cell(text(part, "/platform_id")),
            cell(text(part, "/last_error/detail")),
        ]);
    }
    console.out.table(rows, "")?;
    let mut rows = table(&["FAILED", "PART", "ATTEMPT", "OUTCOME", "CODE", "DETAIL"]);
    for attempt in list(&answer.json, "/failed_attempts") {
        rows.add_row([
            time_cell(&attempt["ended_at_ms"]),
            cell(&plain("", &attempt["part"])),
            cell(&plain("", &attempt["attempt"])),
            cell(text(attempt, "/outcome")),
            cell(text(attempt, "/error/code")),
            cell(text(attempt, "/error/detail")),
        ]);
    }
    console.out.table(rows, "no attempt failed")?;
    console.out.line(printable(text(&answer.json, "/content")))
}
