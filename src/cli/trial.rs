//! `kheishd connectors test`: a signed event through the connector's public route, followed to the end.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use http::Method;
use serde_json::{Map, Value, json};

use super::{
    failure::Failure,
    output::{BAD, CAREFUL, FAINT, GOOD, list, plain, printable, state, styled, text},
    progress::Progress,
    remote::{Console, connectors::place, read_json, runs},
    time,
};

/// How a test event is sent and how far it is followed.
#[derive(Debug, Args)]
pub struct TrialArgs {
    /// The connector's kind.
    pub kind: String,
    /// The connector's name.
    pub name: String,
    /// What the event says; a text of the daemon's own otherwise.
    #[arg(long, conflicts_with = "file")]
    pub text: Option<String>,
    /// File with the request's body, as the platform would send it, in JSON; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// How long to wait for the run and its deliveries.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time::parse_span)]
    pub timeout: Duration,
    /// Do not wait for the run.
    #[arg(long)]
    pub no_wait: bool,
}

/// What was seen on the way.
struct Trial<'c> {
    console: &'c Console,
    problems: Vec<String>,
}

pub(crate) async fn run(console: &Console, args: &TrialArgs) -> Result<(), Failure> {
    let mut body = Map::new();
    if let Some(path) = &args.file {
        body.insert("body".to_owned(), read_json(path)?);
    } else if let Some(text) = &args.text {
        body.insert("text".to_owned(), text.as_str().into());
    }
    let place = format!("{}/test", place(&args.kind, &args.name)?);
    let progress = Progress::spinner("sending");
    let answer = console.client.send(Method::POST, &place, Some(&body.into())).await?;
    drop(progress);
    let mut trial = Trial { console, problems: Vec::new() };
    trial.judge_answer(&answer.json)?;
    let mut ended = Value::Null;
    if let Some(run) = answer.json["run_id"].as_str().filter(|_| !args.no_wait) {
        ended = trial.follow(run, args.timeout).await?;
    }
    trial.conclude(&answer.json, &ended, args.no_wait)
}

impl Trial<'_> {
    /// A step that went well, or did not; then it is told why.
    fn step(&mut self, name: &str, said: String, wrong: Option<String>) -> Result<(), Failure> {
        let mark = if wrong.is_some() { styled(BAD, "✗") } else { styled(GOOD, "✓") };
        if !self.console.out.is_json() {
            self.console.out.line(format_args!("{mark} {name:<9} {said}"))?;
        }
        self.problems.extend(wrong);
        Ok(())
    }

    fn judge_answer(&mut self, answer: &Value) -> Result<(), Failure> {
        let headers = plain("", &answer["request"]["headers_sent"]);
        let sent = format!("{} {}", text(answer, "/request/method"), text(answer, "/request/url"));
        let headers = if headers.is_empty() { headers } else { styled(FAINT, format!(" with {headers}")) };
        self.step("sent", format!("{}{headers}", printable(&sent)), None)?;
        let status = answer["status"].as_u64().unwrap_or_default();
        let (code, detail) = (text(answer, "/answer/code"), text(answer, "/answer/detail"));
        if !(200..300).contains(&status) {
            let why = printable(&format!("{status} {code}: {detail}"));
            return self.step("refused", why.clone(), Some(format!("the route answered {why}")));
        }
        let receipt = match text(answer, "/receipt") {
            "" => String::new(),
            receipt => format!(", receipt {}", state(receipt)),
        };
        let run = match text(answer, "/run_id") {
            "" => ", and the event makes no run".to_owned(),
            run => format!(", run {}", printable(run)),
        };
        self.step("accepted", format!("{status}{receipt}{run}"), None)
    }

    /// Waits for the run, then for its deliveries, in the same patience.
    async fn follow(&mut self, run: &str, patience: Duration) -> Result<Value, Failure> {
        let progress = Progress::spinner("waiting for the run");
        let mut told = false;
        let started = tokio::time::Instant::now();
        let look = runs::until(self.console, run, patience, |view| {
            let waited = started.elapsed();
            progress.say(&format!("run {} after {}", text(view, "/status"), time::span(runs::millis(waited))));
            if text(view, "/status") == "queued" && waited > patience / 4 && !std::mem::replace(&mut told, true) {
                progress.aside(|| super::output::note(styled(CAREFUL, nobody_works(view))));
            }
            runs::has_ended(view) && list(view, "/deliveries").iter().all(is_settled)
        });
        let view = look.await?.json;
        drop(progress);
        self.judge_run(&view, patience)?;
        Ok(view)
    }

    fn judge_run(&mut self, run: &Value, patience: Duration) -> Result<(), Failure> {
        let status = text(run, "/status");
        let spent = match (run["submitted_at_ms"].as_i64(), run["finished_at_ms"].as_i64()) {
            (Some(submitted), Some(finished)) => format!(" after {}", time::span(finished - submitted)),
            _ => String::new(),
        };
        let patience = time::span(runs::millis(patience));
        let wrong = match status {
            "completed" => None,
            "queued" => Some(format!("after {patience} {}", nobody_works(run))),
            "failed" | "cancelled" => Some(format!("the run is {status}: {}", printable(text(run, "/error/detail")))),
            _ => Some(format!("after {patience} the run is still {status}")),
        };
        let said = wrong.clone().unwrap_or_else(|| format!("{}{spent}, attempt {}", state(status), run["attempt"]));
        self.step("run", said, wrong)?;
        for output in list(run, "/outputs") {
            self.step("output", format!("{:?}", text(output, "/content")), None)?;
        }
        for delivery in list(run, "/deliveries") {
            let line = runs::delivery_line(delivery);
            let wrong = (text(delivery, "/status") != "delivered").then(|| format!("delivery {line}"));
            self.step("delivery", line, wrong)?;
        }
        if status == "completed" && list(run, "/deliveries").is_empty() && !self.console.out.is_json() {
            self.console.out.line(styled(FAINT, "  the run has no reply targets: nothing was delivered"))?;
        }
        Ok(())
    }

    fn conclude(self, answer: &Value, run: &Value, no_wait: bool) -> Result<(), Failure> {
        let well = self.problems.is_empty();
        let out = &self.console.out;
        if out.is_json() {
            let problems: Vec<_> =
                self.problems.iter().map(|text| anstream::adapter::strip_str(text).to_string()).collect();
            out.value(&json!({ "ok": well, "problems": problems, "test": answer, "run": run }))?;
        } else if well {
            let reached = if no_wait {
                "The event was taken; nobody waited for the run."
            } else {
                "Everything did what it should."
            };
            out.line(reached)?;
        } else {
            out.line(styled(BAD, format!("{} of these steps did not do what they should.", self.problems.len())))?;
        }
        if well { Ok(()) } else { Err(Failure::Found) }
    }
}

/// Whether a delivery is where it stays unless an operator does something.
fn is_settled(delivery: &Value) -> bool {
    !matches!(text(delivery, "/status"), "pending" | "retrying" | "sending")
}

fn nobody_works(run: &Value) -> String {
    match run["queued_position"].as_u64() {
        Some(before) if before > 0 => format!("the run is still queued: {before} runs of its session come first"),
        _ => {
            "the run is still queued: no worker has taken it. Is one claiming runs, and is the session free?".to_owned()
        }
    }
}
