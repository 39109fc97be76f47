//! What would have to change: asked of the daemon for every connector before anything is done.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use http::Method;
use serde_json::Value;

use super::{
    ApplyArgs, nest,
    read::{self, Written},
};
use crate::cli::{
    client::path,
    diff,
    failure::{Failure, Refusal},
    output::{list, note, printable, text},
    progress::Progress,
    remote::{Console, connectors::place, read_text},
};

/// What becomes of a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Create,
    Update,
    Delete,
    Nothing,
}

impl Change {
    pub(super) fn future(self) -> &'static str {
        match self {
            Self::Create => "would be created",
            Self::Update => "would be changed",
            Self::Delete => "would be deleted",
            Self::Nothing => "would stay as it is",
        }
    }

    pub(super) fn planned(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "change",
            Self::Delete => "delete",
            Self::Nothing => "unchanged",
        }
    }

    pub(super) fn past(self) -> &'static str {
        match self {
            Self::Create => "created",
            Self::Update => "changed",
            Self::Delete => "deleted",
            Self::Nothing => "unchanged",
        }
    }
}

/// One connector of the plan.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) id: String,
    pub(super) place: String,
    pub(super) change: Change,
    /// Its view as it is.
    pub(super) before: Option<Value>,
    /// Its view as it would be.
    pub(super) after: Option<Value>,
    /// What is sent.
    pub(super) body: Value,
}

impl Step {
    /// The difference in what an operator has written.
    pub(super) fn lines(&self) -> Vec<String> {
        let [before, after] = [&self.before, &self.after].map(|view| view.as_ref().map(diff::written));
        diff::between(before.as_ref(), after.as_ref())
    }
}

/// Everything that stands against the plan; nothing is done then.
#[derive(Default)]
struct Objections {
    lines: Vec<String>,
    code: Option<u8>,
}

impl Objections {
    fn add(&mut self, code: u8, line: String) {
        self.code.get_or_insert(code);
        self.lines.push(line);
    }

    fn judge(self) -> Result<(), Failure> {
        let Some(code) = self.code else { return Ok(()) };
        for line in self.lines {
            note(line);
        }
        note("kheishd: nothing was changed");
        Err(Failure::Told(code))
    }
}

/// Reads the file and asks the daemon what would become of each connector.
pub(super) async fn make(console: &Console, args: &ApplyArgs) -> Result<Vec<Step>, Failure> {
    let (text, _) = read_text(&args.file)?;
    let file = if args.file == Path::new("-") { Path::new("standard input") } else { &args.file };
    let mut objections = Objections::default();
    let written = read::read(&text).unwrap_or_else(|mistakes| {
        for (line, mistake) in mistakes {
            objections.add(2, located(file, line, &printable(&mistake)));
        }
        Vec::new()
    });
    if objections.code.is_some() {
        return objections.judge().map(|()| Vec::new());
    }
    let progress = Progress::steps("checking", written.len());
    let names: BTreeSet<String> = written.iter().map(Written::id).collect();
    let mut slots = BTreeMap::new();
    let mut steps = Vec::new();
    for one in &written {
        // Everything is asked for, so that all that is wrong is told at once.
        match step(console, one, &names, &mut slots).await? {
            Ok(step) => steps.push(step),
            Err(refused) => refused.object(file, one, &mut objections),
        }
        progress.step();
    }
    drop(progress);
    objections.judge()?;
    if args.prune {
        steps.extend(deletions(console, &names).await?);
    }
    Ok(steps)
}

fn located(file: &Path, line: usize, sentence: &str) -> String {
    format!("{}:{line}: {sentence}", file.display())
}

/// Why a connector cannot become what the file says.
enum Refused {
    /// Fields of the file, each with a sentence.
    Fields(Vec<(String, String)>),
    /// By the daemon.
    Daemon(Refusal),
}

impl Refused {
    fn object(self, file: &Path, written: &Written, objections: &mut Objections) {
        let id = printable(&written.id());
        match self {
            Self::Fields(fields) => {
                for (field, sentence) in fields {
                    let line = written.line_of(&field);
                    objections.add(2, located(file, line, &format!("{id}: `{}`: {sentence}", printable(&field))));
                }
            }
            Self::Daemon(refusal) => {
                let code = Failure::Refused(refusal.clone()).exit_code();
                let sentence = format!("{id}: {} ({})", printable(&refusal.detail), printable(&refusal.code));
                objections.add(code, located(file, written.line_of(""), &sentence));
                for (pointer, detail) in &refusal.errors {
                    let line = line_of(written, pointer);
                    objections.add(
                        code,
                        located(file, line, &format!("{id}: {}: {}", printable(pointer), printable(detail))),
                    );
                }
            }
        }
    }
}

/// The line that a pointer of the daemon's leads to; a secret stands there flat.
fn line_of(written: &Written, pointer: &str) -> usize {
    let mut parts = pointer.trim_start_matches('/').split('/');
    let (field, member) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let flat = format!("{field}_{member}");
    let whole = written.line_of("");
    [flat.as_str(), field].into_iter().map(|field| written.line_of(field)).find(|line| *line != whole).unwrap_or(whole)
}

/// The secrets of kinds that were asked for.
type Slots = BTreeMap<String, nest::Secrets>;

/// Connectors of the same file that one's answers go to: they are there by then.
fn expected(body: &Value, names: &BTreeSet<String>) -> String {
    let targets = ["/default_reply_targets", "/additional_reply_targets"].into_iter().flat_map(|at| list(body, at));
    let ids = targets.filter_map(|target| {
        let address: Value = serde_json::from_str(text(target, "/address")).ok()?;
        let id = format!("{}/{}", text(target, "/plugin"), text(&address, "/connector"));
        names.contains(&id).then_some(id)
    });
    ids.collect::<Vec<_>>().join(",")
}

async fn step(
    console: &Console,
    written: &Written,
    names: &BTreeSet<String>,
    slots: &mut Slots,
) -> Result<Result<Step, Refused>, Failure> {
    if !slots.contains_key(&written.kind) {
        match console.client.get(&path(&["v1", "runtime", "kinds", &written.kind])?).await {
            Ok(kind) => {
                slots.insert(written.kind.clone(), nest::Secrets::of(&kind.json));
            }
            Err(Failure::Refused(refusal)) if refusal.status == 404 => {
                return Ok(Err(Refused::Fields(vec![("kind".to_owned(), refusal.detail)])));
            }
            Err(failure) => return Err(failure),
        }
    }
    let place = place(&written.kind, &written.name)?;
    let before = console.client.find(&place).await?.map(|answer| answer.json);
    let body = match nest::body(written, slots.entry(written.kind.clone()).or_default(), before.as_ref()) {
        Ok(body) => Value::from(body),
        Err(fields) => return Ok(Err(Refused::Fields(fields))),
    };
    let dry = match expected(&body, names) {
        none if none.is_empty() => format!("{place}?dry_run=true"),
        expected => format!("{place}?dry_run=true&expecting={expected}"),
    };
    let after = match console.client.send(Method::PUT, &dry, Some(&body)).await {
        Ok(answer) => answer.json,
        Err(Failure::Refused(refusal)) if refusal.status < 500 => return Ok(Err(Refused::Daemon(refusal))),
        Err(failure) => return Err(failure),
    };
    let change = match (&before, after["changed"].as_bool()) {
        (None, _) => Change::Create,
        (Some(_), Some(false)) => Change::Nothing,
        (Some(_), _) => Change::Update,
    };
    Ok(Ok(Step { id: written.id(), place, change, before, after: Some(after), body }))
}

async fn deletions(console: &Console, named: &BTreeSet<String>) -> Result<Vec<Step>, Failure> {
    let answer = console.client.get("/v1/runtime/connectors").await?;
    let mut steps = Vec::new();
    for view in list(&answer.json, "").iter().filter(|view| text(view, "/source") == "daemon") {
        let (kind, name) = (text(view, "/kind"), text(view, "/name"));
        let id = format!("{kind}/{name}");
        if !named.contains(&id) {
            let (place, before) = (place(kind, name)?, Some(view.clone()));
            steps.push(Step { id, place, change: Change::Delete, before, after: None, body: Value::Null });
        }
    }
    Ok(steps)
}
