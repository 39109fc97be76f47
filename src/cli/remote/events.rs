//! `kheishd events tail`: what happens, as it happens. A stream that breaks is taken up where it ended.

use std::time::Duration;

use anstyle::Style;
use clap::{Args, Subcommand};
use reqwest::Response;
use serde_json::{Value, json};

use super::Console;
use crate::{
    cli::{
        client::{innermost, path, query},
        failure::Failure,
        output::{CAREFUL, FAINT, INFO, note, plain, printable, state, styled, text},
        sse::{Frame, Parser},
        time,
    },
    clock::Clock,
};

/// Silence after which a stream counts as broken; heartbeats come every 10 seconds.
const SILENCE: Duration = Duration::from_secs(45);

/// The first pause before connecting again; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// What to do with events.
#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// Print events as they happen, until Ctrl-C.
    Tail(TailArgs),
}

/// Which events.
#[derive(Debug, Args)]
pub struct TailArgs {
    /// Of this session.
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// Of this run.
    #[arg(long, value_name = "ID")]
    pub run: Option<String>,
    /// After the event with this id; otherwise from now on.
    #[arg(long, value_name = "ID")]
    pub since: Option<u64>,
}

pub(super) async fn run(console: &Console, EventsCommand::Tail(args): EventsCommand) -> Result<(), Failure> {
    let place = match (&args.session, &args.run) {
        (Some(session), None) => path(&["v1", "sessions", session, "stream"])?,
        (None, Some(run)) => path(&["v1", "runs", run, "stream"])?,
        (session, run) => {
            let filter = query(&[("session_id", session.as_deref()), ("run_id", run.as_deref())]);
            format!("/v1/events/stream{filter}")
        }
    };
    let mut tail = Tail { console, place, last_id: args.since.map(|id| id.to_string()), pause: FIRST_PAUSE };
    tokio::select! {
        done = tail.follow() => done,
        // The person has seen enough.
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

struct Tail<'c> {
    console: &'c Console,
    place: String,
    last_id: Option<String>,
    pause: Duration,
}

/// Why a stream ended.
enum Ended {
    /// It can be taken up again.
    Broken(String),
    /// Not by trying again.
    For(Failure),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::For(failure)
    }
}

impl Tail<'_> {
    async fn follow(&mut self) -> Result<(), Failure> {
        let mut stream = self.open().await?;
        loop {
            match self.print(stream).await {
                Ended::For(failure) => return Err(failure),
                Ended::Broken(why) => note(styled(CAREFUL, format!("the stream has ended: {why}; connecting again"))),
            }
            stream = self.reopen().await?;
        }
    }

    async fn open(&self) -> Result<Response, Failure> {
        self.console.client.open(&self.place, self.last_id.as_deref()).await
    }

    /// Tries until the daemon is back. A refusal ends it, unless it says that the daemon is busy.
    async fn reopen(&mut self) -> Result<Response, Failure> {
        loop {
            tokio::time::sleep(self.pause).await;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            match self.open().await {
                Ok(stream) => {
                    let place =
                        self.last_id.as_ref().map_or("from now on".to_owned(), |id| format!("after event {id}"));
                    note(styled(FAINT, format!("connected again, {place}")));
                    return Ok(stream);
                }
                Err(failure) if failure.may_pass() => {}
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Prints what comes until nothing does.
    async fn print(&mut self, mut stream: Response) -> Ended {
        let mut parser = Parser::default();
        loop {
            let chunk = match tokio::time::timeout(SILENCE, stream.chunk()).await {
                Err(_) => return Ended::Broken("not even a heartbeat came".to_owned()),
                Ok(Err(error)) => return Ended::Broken(innermost(&error)),
                Ok(Ok(None)) => return Ended::Broken("the daemon closed it".to_owned()),
                Ok(Ok(Some(chunk))) => chunk,
            };
            let frames = match parser.push(&chunk) {
                Ok(frames) => frames,
                Err(error) => return Failure::Failed(error.to_string()).into(),
            };
            for frame in frames {
                if let Err(failure) = self.take(frame) {
                    return failure.into();
                }
            }
        }
    }

    fn take(&mut self, frame: Frame) -> Result<(), Failure> {
        // Something came: the next break is a new one.
        self.pause = FIRST_PAUSE;
        let data: Value = serde_json::from_str(&frame.data).unwrap_or(Value::String(frame.data));
        let out = &self.console.out;
        if out.is_json() {
            out.value(&json!({ "id": frame.id, "event": frame.event, "data": data }))?;
        } else if frame.event != "heartbeat" {
            out.line(line(&frame.event, &data))?;
        }
        if frame.id.is_some() {
            self.last_id = frame.id;
        }
        Ok(())
    }
}

/// An event in one line: when, what, and its words.
fn line(event: &str, data: &Value) -> String {
    let at = data["at_ms"].as_i64().unwrap_or_else(|| Clock::system().now_ms());
    let name = styled(hue(event), format!("{:<17}", printable(event)));
    format!("{}  {name}  {}", styled(FAINT, time::precise(at)), words(event, data))
}

fn hue(event: &str) -> Style {
    match event {
        "ingress" => INFO,
        "stream_gap" => CAREFUL,
        "output" => anstyle::AnsiColor::Magenta.on_default(),
        "delivery_updated" => anstyle::AnsiColor::Blue.on_default(),
        _ => Style::new(),
    }
}

fn words(event: &str, data: &Value) -> String {
    let of = |name: &str| plain(name, &data[name]);
    let error = match &data["error"] {
        Value::Object(_) => {
            format!(": {} ({})", printable(text(data, "/error/detail")), printable(text(data, "/error/code")))
        }
        Value::String(error) => format!(": {}", printable(error)),
        _ => String::new(),
    };
    match event {
        "ingress" => {
            let count = data["count"].as_u64().filter(|count| *count > 1).map(|count| format!(" {count} times"));
            let rest = joined(&[of("code"), of("run_id"), of("session_id")]);
            format!("{} {}{}{rest}", of("connector"), state(text(data, "/verdict")), count.unwrap_or_default())
        }
        "run_updated" => {
            let change = match text(data, "/change") {
                "" => state(text(data, "/status")),
                change => state(change),
            };
            format!("{} {change}, attempt {}{}{error}", of("run_id"), of("attempt"), joined(&[of("session_id")]))
        }
        "output" => format!("{} {:?}", of("run_id"), text(data, "/content")),
        "delivery_updated" => format!(
            "{} {} to {}, attempt {}{}{error}",
            of("delivery_id"),
            state(text(data, "/status")),
            of("plugin"),
            of("attempts"),
            joined(&[of("run_id")])
        ),
        "connector_updated" => {
            let why = joined(&[of("code"), of("reason")]);
            format!("{} {} {}{why}{error}", of("connector"), of("change"), state(text(data, "/state")))
        }
        "stream_gap" => gap(data),
        _ => others(data),
    }
}

/// What a gap means, in words.
fn gap(data: &Value) -> String {
    let why = match text(data, "/reason") {
        "replay_window" => "they are older than what the daemon keeps",
        "restart_epoch" => "the daemon was started anew",
        "live_lag" => "this end read too slowly",
        other => other,
    };
    let about = if data["skipped_is_estimate"] == true { "about " } else { "" };
    let skipped = data["skipped"].as_u64().map_or("some".to_owned(), |skipped| format!("{about}{skipped}"));
    styled(CAREFUL, format!("{skipped} events are missing here: {}", printable(why)))
}

/// Whatever the event says, name by name.
fn others(data: &Value) -> String {
    let members = data.as_object().into_iter().flatten().filter(|(name, _)| !matches!(name.as_str(), "type" | "at_ms"));
    members.map(|(name, value)| format!("{}={}", printable(name), plain(name, value))).collect::<Vec<_>>().join(" ")
}

/// Each of those that say something, after two spaces.
fn joined(words: &[String]) -> String {
    words.iter().filter(|word| !word.is_empty()).map(|word| format!("  {word}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain_line(event: &str, data: Value) -> String {
        anstream::adapter::strip_str(&line(event, &data)).to_string()
    }

    #[test]
    fn events_read_as_sentences() {
        let ingress = json!({ "type": "ingress", "at_ms": 0, "connector": "http/orders", "verdict": "refused", "code": "invalid_signature", "count": 3 });
        assert_eq!(
            plain_line("ingress", ingress),
            "1970-01-01T00:00:00.000Z  ingress            http/orders refused 3 times  invalid_signature"
        );
        let gap = json!({ "at_ms": 0, "skipped": 12, "reason": "replay_window", "skipped_is_estimate": true });
        assert_eq!(
            plain_line("stream_gap", gap),
            "1970-01-01T00:00:00.000Z  stream_gap         about 12 events are missing here: they are older than what the daemon keeps"
        );
        let odd = json!({ "at_ms": 0, "type": "x", "secret": "orders\u{1b}[2J" });
        assert!(plain_line("secret_updated", odd).ends_with("secret_updated     secret=orders\\u{1b}[2J"));
    }
}
