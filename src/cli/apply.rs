//! `kheishd connectors apply`: the daemon's connectors become what a file says. Everything is checked by the daemon and
//! shown before the first change, and compared afterwards with what was shown.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{
    diff,
    failure::Failure,
    output::{FAINT, printable, styled},
    prompt,
    remote::Console,
};

mod carry_out;
mod nest;
mod plan;
mod read;

use carry_out::{Became, Done};
use plan::{Change, Step};

/// What to apply, and how far to go.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// File with connectors, in the form that the daemon reads; `-` is standard input.
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
    /// Show what would change and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// The same; exit code 6 when something would change.
    #[arg(long)]
    pub check: bool,
    /// Also delete connectors of the daemon's store that the file does not name.
    #[arg(long)]
    pub prune: bool,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
}

pub(crate) async fn run(console: &Console, args: &ApplyArgs) -> Result<(), Failure> {
    let steps = plan::make(console, args).await?;
    let changes: Vec<&Step> = steps.iter().filter(|step| step.change != Change::Nothing).collect();
    if !console.out.is_json() {
        for step in &changes {
            show(console, step)?;
        }
    }
    if args.dry_run || args.check || changes.is_empty() {
        report(console, &steps, &[])?;
        return if args.check && !changes.is_empty() { Err(Failure::Found) } else { Ok(()) };
    }
    let question = format!("Change {} of {} connectors?", changes.len(), steps.len());
    prompt::confirm(&question, args.yes)?;
    let done = carry_out::all(console, &steps).await;
    report(console, &steps, &done)?;
    let worst = done.iter().find_map(|done| match &done.became {
        Became::Failed(failure) => Some(failure.exit_code()),
        Became::Other(..) => Some(1),
        Became::AsPlanned(_) => None,
    });
    worst.map_or(Ok(()), |code| Err(Failure::Told(code)))
}

/// A change as a diff, under the names of both sides.
fn show(console: &Console, step: &Step) -> Result<(), Failure> {
    let id = printable(&step.id);
    let revision = step.before.as_ref().map_or("not there".to_owned(), |view| format!("revision {}", view["revision"]));
    let after = if step.change == Change::Delete { "deleted" } else { "as in the file" };
    let lines = step.lines();
    if lines.is_empty() {
        return console.out.line(format_args!("{id}: secret values are set again"));
    }
    for line in diff::painted((&format!("{id} ({revision})"), &format!("{id} ({after})")), &lines) {
        console.out.line(line)?;
    }
    console.out.line("")
}

/// What each connector became; where nothing was done, what it would become.
fn report(console: &Console, steps: &[Step], done: &[Done]) -> Result<(), Failure> {
    if console.out.is_json() {
        return console.out.value(&document(steps, done));
    }
    for step in steps {
        let id = printable(&step.id);
        let Some(done) = done.iter().find(|done| done.id == step.id) else {
            let verdict = if step.change == Change::Nothing { "unchanged" } else { step.change.future() };
            console.out.line(format_args!("{id} {}", styled(FAINT, verdict)))?;
            continue;
        };
        for line in done.lines(step) {
            console.out.line(line)?;
        }
    }
    Ok(())
}

fn document(steps: &[Step], done: &[Done]) -> Value {
    let entries = steps.iter().map(|step| {
        let done = done.iter().find(|done| done.id == step.id);
        let (action, error) = match done.map(|done| &done.became) {
            None => (if step.change == Change::Nothing { "unchanged" } else { step.change.planned() }, Value::Null),
            Some(Became::AsPlanned(_)) => (step.change.past(), Value::Null),
            Some(Became::Other(..)) => (step.change.past(), json!("it is not what was planned")),
            Some(Became::Failed(failure)) => ("failed", json!(failure.lines())),
        };
        let actual = match done.map(|done| &done.became) {
            Some(Became::AsPlanned(view)) => view.clone(),
            Some(Became::Other(view, _)) => Some(view.clone()),
            _ => None,
        };
        json!({ "connector": step.id, "action": action, "before": step.before, "planned": step.after,
                "after": actual, "error": error })
    });
    let changes = steps.iter().any(|step| step.change != Change::Nothing);
    json!({ "changes": changes, "applied": !done.is_empty(), "connectors": entries.collect::<Vec<_>>() })
}
